use mesh_kube::discover::{Discovery, FoundDns, FoundNode};
use mesh_proto::{AgentKey, Plane, Port};

use super::{AgentState, dns, notes};

fn discovery(addresses: &[&str]) -> Discovery {
    Discovery {
        nodes: vec![FoundNode {
            name: "worker-1".parse().unwrap(),
            zone: None,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            pod_cidrs: Vec::new(),
            cordoned: false,
            ready: true,
            not_ready: None,
            leaving: None,
            taints: Vec::new(),
            skip: None,
        }],
        api: None,
        dns: None,
        overlay: None,
        gaps: Vec::new(),
    }
}

fn up(addresses: &[&str]) -> (AgentKey, AgentState) {
    let addresses: Vec<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let key = AgentKey {
        node: "worker-1".parse().unwrap(),
        plane: Plane::Pod,
    };
    let state = AgentState::Up {
        pod: "a".to_owned(),
        address: addresses[0],
        addresses,
    };
    (key, state)
}

#[test]
fn a_second_family_is_told_wherever_it_shows() {
    let table = [
        (&["192.0.2.1"][..], &["10.1.0.2"][..], None),
        (
            &["192.0.2.1", "2001:db8::1"],
            &["10.1.0.2"],
            Some("only IPv4 was probed"),
        ),
        (
            &["192.0.2.1"],
            &["10.1.0.2", "fd00::2"],
            Some("only IPv4 was probed"),
        ),
        (
            &["2001:db8::1"],
            &["fd00::2", "10.1.0.2"],
            Some("only IPv6 was probed"),
        ),
        (&["2001:db8::1"], &["fd00::2"], None),
    ];
    for (node, pod, said) in table {
        let notes = notes(&discovery(node), &[up(pod)], None);
        assert_eq!(notes.len(), usize::from(said.is_some()), "{notes:?}");
        assert!(said.is_none_or(|said| notes[0].contains(said)), "{notes:?}");
    }
    let refused = notes(&discovery(&["192.0.2.1"]), &[], Some("no such capability here"));
    assert!(
        matches!(refused.as_slice(), [note] if note.ends_with("no such capability here")),
        "{refused:?}"
    );
}

#[test]
fn dns_is_asked_where_its_endpoints_listen() {
    let endpoint =
        |at: &str, node: Option<&str>| (at.parse().unwrap(), node.map(|node| node.parse().unwrap()));
    let found = FoundDns {
        address: "172.30.0.10".parse().unwrap(),
        namespace: "openshift-dns".to_owned(),
        service: "dns-default".to_owned(),
        name: "kubernetes.default.svc.cluster.local".to_owned(),
        endpoints: vec![
            endpoint("10.128.0.5:5353", Some("worker-1")),
            endpoint("10.128.0.6:5353", None),
            endpoint("10.128.0.7:53", Some("worker-2")),
        ],
        not_ready: 0,
    };
    let dns = dns(&found);
    let nodes: Vec<&str> = dns
        .endpoints
        .iter()
        .map(|endpoint| endpoint.node.as_str())
        .collect();
    assert_eq!((dns.endpoint_port, nodes), (Port(5353), vec!["worker-1"]));
}
