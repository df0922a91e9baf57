use std::collections::BTreeSet;

use mesh_proto::Port;

use super::*;
use crate::options::{Encapsulation, LabOptions, Networks, PodNetwork, ServiceBackEnd};
use crate::{IpFamily, Space};

fn lab(nodes: usize, change: impl FnOnce(&mut LabOptions)) -> Topology {
    let mut options = LabOptions::of_size(nodes).unwrap();
    change(&mut options);
    options.check().unwrap();
    Topology::of(&options)
}

fn topology(nodes: usize) -> Topology {
    lab(nodes, |_| ())
}

fn set(text: &str, topology: &Topology) -> Result<Fault, FaultError> {
    text.parse::<FaultSpec>()?.in_lab(topology)
}

/// Labs that differ in all that faults look at.
fn shapes() -> Vec<Topology> {
    vec![
        topology(4),
        lab(3, |lab| lab.encapsulation = Encapsulation::None),
        lab(3, |lab| lab.encapsulation = Encapsulation::Ipip),
        lab(3, |lab| {
            lab.pod_network = PodNetwork::Bridge;
            lab.services = ServiceBackEnd::IptablesLegacy;
            lab.nat_outgoing = false;
        }),
        lab(5, |lab| {
            lab.networks = Networks::usual(IpFamily::V6);
            lab.services = ServiceBackEnd::Nft;
        }),
        lab(3, |lab| lab.second_networks = Some(Networks::usual(IpFamily::V6))),
    ]
}

#[test]
fn every_cause_but_unknown_can_be_raised() {
    let raised: BTreeSet<Cause> = faults().map(|kind| kind.cause).collect();
    let all: BTreeSet<Cause> = Cause::ALL
        .iter()
        .copied()
        .filter(|cause| *cause != Cause::Unknown)
        .collect();
    assert_eq!(raised, all);
    assert_eq!(faults().count(), all.len(), "each once");
}

/// All values of all words of a fault, one key at a time.
fn spellings(kind: &FaultKind) -> Vec<String> {
    let mut all = vec![kind.cause.to_string()];
    for key in kind.keys {
        if let keys::Takes::Words(words) = key.takes {
            let with = key
                .when
                .map(|(key, words)| format!(",{key}={}", words[0]))
                .unwrap_or_default();
            all.extend(
                words
                    .iter()
                    .map(|word| format!("{}:{}={word}{with}", kind.cause, key.name)),
            );
        }
    }
    all
}

#[test]
fn every_fault_does_something_in_every_lab_that_can_have_it() {
    let shapes = shapes();
    for kind in faults() {
        for spelled in spellings(kind) {
            let mut raised = 0;
            for topology in &shapes {
                let fault = match set(&spelled, topology) {
                    Err(FaultError::Needs { .. }) => continue,
                    fault => fault.unwrap(),
                };
                raised += 1;
                assert!(!fault.actions(topology, 1).is_empty(), "{fault}");
                assert!(!fault.places(topology).is_empty(), "{fault}");
                assert_eq!(
                    set(&fault.to_string(), topology),
                    Ok(fault),
                    "it is spelled as it is read"
                );
            }
            assert!(raised > 0, "{spelled}: no lab can have it");
        }
    }
}

/// A family that the lab has not is not touched: its tools may be missing.
#[test]
fn a_fault_keeps_to_the_families_of_the_lab() {
    let tools = |fault: &str, topology: &Topology| -> BTreeSet<&str> {
        let actions = set(fault, topology).unwrap().actions(topology, 1);
        let programs = actions.iter().filter_map(|action| match action {
            Action::Run { program, .. } => Some(*program),
            _ => None,
        });
        programs.collect()
    };
    let shapes = shapes();
    for (place, expected) in [
        (0, vec!["iptables-nft-restore"]),
        (3, vec!["iptables-legacy-restore"]),
        (4, vec!["ip6tables-nft-restore"]),
        (5, vec!["ip6tables-nft-restore", "iptables-nft-restore"]),
    ] {
        let tools = tools("forward-dropped", &shapes[place]);
        assert_eq!(tools.into_iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_is_left_out_is_filled_in() {
    let filled = |text: &str, topology: &Topology| set(text, topology).unwrap().to_string();
    assert_eq!(
        filled("overlay-port-blocked:action=reject", &topology(3)),
        "overlay-port-blocked:action=reject,code=10,direction=ingress,node=node-2"
    );
    let small = lab(2, |lab| {
        lab.mtu = 1_000;
        lab.encapsulation = Encapsulation::Vxlan(Port(9440));
    });
    assert_eq!(
        filled("mtu-blackhole", &small),
        "mtu-blackhole:direction=both,how=path,node=node-2,size=900"
    );
    assert_eq!(
        filled("overlay-port-mismatch", &small),
        "overlay-port-mismatch:node=node-2,port=9442",
        "9441 is the responder's"
    );
    assert_eq!(
        filled("routing-loop", &topology(3)),
        "routing-loop:how=nodes,node=node-2,peer=node-3,via=node-1"
    );
    assert_eq!(
        filled("node-down:node=node-3+node-1+node-3", &topology(3)),
        "node-down:how=cut,node=node-1+node-3",
        "in the lab's order, each once"
    );
    let plus = lab(3, |lab| lab.nodes[1] = "a+b".parse().unwrap());
    assert_eq!(filled("node-down:node=a+b", &plus), "node-down:how=cut,node=a+b");
}

#[test]
fn places_say_where_mesh_should_look() {
    let four = topology(4);
    let at = |text: &str| {
        let Place {
            nodes,
            pairs,
            plane,
            direction,
        } = set(text, &four).unwrap().place(&four);
        let pairs = pairs.iter().map(|(from, to)| format!("{from}>{to}"));
        let names = [nodes, pairs.collect()].concat().join(" ").replace("node-", "");
        let plane = plane.map(|plane| format!(" {plane}")).unwrap_or_default();
        let direction = direction
            .map(|direction| format!(" {direction}"))
            .unwrap_or_default();
        format!("{names}{plane}{direction}")
    };
    for (fault, expected) in [
        ("node-down:node=node-1+node-4", "1 4"),
        ("node-partitioned:node=node-1+node-3+node-4", "2"),
        ("node-partitioned:node=node-1,peer=node-3+node-4", "1>3 1>4"),
        ("overlay-port-blocked:direction=egress", "2 pod egress"),
        ("overlay-port-blocked:direction=both", "2 pod"),
        ("overlay-peer-stale:node=node-3,peer=node-1", "3>1 pod"),
        ("pod-routes-missing", " pod"),
        ("pod-routes-missing:node=node-3", "3 pod"),
        ("pod-routes-missing:peer=node-3", "1>3 2>3 4>3 pod"),
        ("pod-routes-missing:node=node-3,peer=node-4", "3>4 pod"),
        ("routing-loop:node=node-4,via=node-3", "3>4 pod"),
        ("routing-loop:how=gateway", "2>1 pod"),
        ("one-way-loss:from=node-1,to=node-2", "1>2"),
        ("one-way-loss:from=node-1,to=node-2+node-3+node-4", "1 egress"),
        ("one-way-loss:from=node-1+node-2+node-3,to=node-4", "4 ingress"),
        ("one-way-loss:from=node-1,to=node-2,how=ban", "2 ingress"),
        ("reverse-path-filter:peer=node-1", "2"),
        ("random-loss:peer=node-1", "2>1"),
        ("random-loss:peer=node-1+node-3+node-4", "2"),
        (
            "random-loss:node=node-1+node-2,peer=node-3+node-4",
            "1>3 1>4 2>3 2>4",
        ),
        ("mtu-blackhole:direction=ingress", "2 ingress"),
        ("mtu-blackhole:how=icmp-filtered", "2 pod egress"),
        ("policy-blocked:node=all", " pod ingress"),
        ("policy-node-port", " pod"),
        ("protocol-filtered:where=input", "2 host"),
        ("duplicate-address:plane=pod", "2 pod"),
        ("duplicate-address:peer=node-1", "2"),
        ("local-egress-blocked:peer=node-1", "2"),
        ("loopback-down:plane=pod", "2 pod"),
        ("endpoint-stale:node=node-3", "3"),
        ("dns-endpoint-down", "1"),
        ("dns-down", ""),
        ("api-server-down", "1"),
    ] {
        assert_eq!(at(fault), expected, "{fault}");
    }
    let places = set("ip-forward-off:node=node-1+node-2", &four)
        .unwrap()
        .places(&four);
    assert_eq!(places.len(), 2, "each for itself");
}

#[test]
fn what_cannot_be_says_why() {
    let three = topology(3);
    let table = [
        (
            "node-dwn",
            "no fault is called \"node-dwn\"; did you mean node-down?; `mesh lab faults` lists them",
        ),
        (
            "node-down:nod=x",
            "node-down takes no \"nod\"; did you mean node?; it takes node, how, each once",
        ),
        ("node-down:node", "node-down: \"node\" is not key=value"),
        (
            "node-down:node=node-9",
            "node-down: node=node-9: expected one of node-1, node-2, node-3, or several joined by +; did you mean node-1 or \
             node-2 or node-3?",
        ),
        ("node-down:node=node-1,node=node-2", "node-down takes no \"node\""),
        (
            "random-loss:share=101",
            "random-loss: share=101: expected 1 to 100 percent",
        ),
        (
            "random-loss:share=0",
            "random-loss: share=0: expected 1 to 100 percent",
        ),
        (
            "one-way-loss:from=node-1,to=node-1",
            "one-way-loss: to=node-1: expected one of node-2, node-3",
        ),
        (
            "dns-endpoint-down:node=node-2",
            "dns-endpoint-down: node=node-2: expected one of node-1, node-3",
        ),
        (
            "overlay-port-mismatch:port=9441",
            "overlay-port-mismatch: port=9441: expected a port from 1 to 65535 that the lab does not use (it uses 4789, 6443,",
        ),
        (
            "overlay-port-mismatch:port=0",
            "overlay-port-mismatch: port=0: expected a port",
        ),
        (
            "mtu-blackhole:size=1500",
            "mtu-blackhole: size=1500: expected 576 to 1499 bytes",
        ),
        (
            "mtu-blackhole:how=icmp-filtered,size=1400",
            "mtu-blackhole takes \"size\" only with how=path",
        ),
        (
            "pod-routes-missing:node=x",
            "pod-routes-missing: node=x: expected one of all, node-1, node-2, node-3",
        ),
        (
            "api-server-down:how=refusd",
            "api-server-down: how=refusd: expected one of silent, refused; did you mean refused?",
        ),
        (
            "endpoint-stale:address=fd00::1",
            "endpoint-stale: address=fd00::1: expected an IPv4 address",
        ),
        (
            "underlay-drops-pods",
            "underlay-drops-pods needs a lab without an overlay",
        ),
        (
            "reverse-path-filter:how=strict",
            "reverse-path-filter needs with how=strict pods that keep their address",
        ),
        (
            "masquerade-missing:node=node-2",
            "masquerade-missing needs with how=node-port a node that the NodePorts' backend does not stand on",
        ),
        (
            "slow:protocol=dns,node=node-2",
            "slow: node=node-2: expected one of node-1, node-3, or several joined by +",
        ),
        ("unknown", "no fault is called"),
    ];
    for (text, expected) in table {
        let said = set(text, &three).unwrap_err().to_string();
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    let needs = |text, nodes| set(text, &topology(nodes)).unwrap_err().to_string();
    assert_eq!(needs("one-way-loss", 1), "one-way-loss needs two nodes or more");
    assert_eq!(
        needs("routing-loop", 2),
        "routing-loop needs with how=nodes three nodes or more"
    );
}

#[test]
fn faults_that_exclude_each_other_are_told_beforehand() {
    let four = topology(4);
    let together = |texts: &[&str]| {
        let specs: Vec<FaultSpec> = texts.iter().map(|text| text.parse().unwrap()).collect();
        FaultSpec::all_in_lab(&specs, &four)
    };
    for (first, second, over) in [
        ("slow", "slow", "the first packets of node-2"),
        (
            "overlay-device-down",
            "overlay-port-mismatch",
            "the overlay device of node-2",
        ),
        (
            "overlay-device-down",
            "overlay-peer-stale:peer=node-3",
            "the overlay device of node-2",
        ),
        (
            "overlay-device-down",
            "pod-routes-missing",
            "the pod routes of node-2",
        ),
        (
            "node-down:node=node-3",
            "conntrack-full:node=node-2+node-3",
            "at node-3 cannot be seen while it is down",
        ),
        (
            "one-way-loss:from=node-1,to=node-3",
            "node-down:node=node-3",
            "at node-3 cannot be seen",
        ),
        (
            "api-server-down",
            "node-down:node=node-1",
            "at node-1 cannot be seen",
        ),
        (
            "node-down",
            "node-down:node=node-2+node-4",
            "at node-2 cannot be seen",
        ),
        (
            "kube-proxy-missing",
            "endpoint-stale:node=node-2",
            "the service rules of node-2",
        ),
        ("endpoint-stale", "service-no-endpoints", "the endpoints"),
        ("ip-forward-off", "forward-dropped", "the forwarding of node-2"),
        (
            "dns-down",
            "dns-endpoint-down:node=node-4",
            "the DNS servers of node-4",
        ),
        ("node-partitioned", "random-loss", "the packets lost of node-2"),
        (
            "overlay-port-blocked:direction=both",
            "overlay-port-blocked:direction=egress",
            "the overlay's port",
        ),
        (
            "policy-node-port",
            "policy-blocked:node=node-3",
            "the policy of the pod of node-3",
        ),
    ] {
        for pair in [[first, second], [second, first]] {
            let said = together(&pair).unwrap_err().to_string();
            assert!(
                said.contains(" exclude each other: ") && said.contains(over),
                "{pair:?}: {said}"
            );
        }
    }
    for fine in [
        ["node-down:node=node-4", "kube-proxy-missing:node=node-2"],
        ["node-down:node=node-4", "dns-down"],
        [
            "protocol-filtered:protocol=udp",
            "protocol-filtered:protocol=icmp",
        ],
        [
            "overlay-port-blocked:direction=ingress",
            "overlay-port-blocked:direction=egress",
        ],
        ["overlay-peer-stale:peer=node-1", "overlay-peer-stale:peer=node-3"],
        ["endpoint-stale:service=api", "endpoint-stale:service=dns"],
        [
            "one-way-loss:from=node-1,to=node-2",
            "one-way-loss:from=node-2,to=node-1",
        ],
        ["random-loss", "mtu-blackhole"],
        ["slow:node=node-1", "slow:node=node-2"],
    ] {
        assert!(together(&fine).is_ok(), "{fine:?}: {:?}", together(&fine));
    }
    // Others' rules must not stand where kube-proxy's are gone.
    let ordered = together(&["kube-proxy-missing", "service-no-endpoints"]).unwrap();
    assert_eq!(ordered.last().map(Fault::cause), Some(Cause::KubeProxyMissing));
}

#[test]
fn what_the_machine_has_not_is_named() {
    let fault = set("flow-loss", &topology(3)).unwrap();
    let failed = LabError::Command {
        command: "nft -f -".to_owned(),
        space: format!("{:?}", Space::Fabric),
        said: "No such file or directory".to_owned(),
    };
    let said = fault.not_here(failed).to_string();
    assert!(
        said.contains("flow-loss:") && said.contains("CONFIG_NFT_HASH"),
        "{said}"
    );
    assert!(matches!(
        fault.not_here(LabError::Interrupted),
        LabError::Interrupted
    ));
}
