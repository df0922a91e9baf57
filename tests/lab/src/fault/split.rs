//! Rules of the cluster's components in both back ends of iptables, which contradict each other.

use mesh_proto::{Cause, Plane};

use super::FaultKind;
use super::action::{Action, BackEnd, alone, rules_by};
use super::exclusion::Claim;
use super::keys::Key;
use crate::options::PodNetwork;
use crate::space::Space;
use crate::topology::{Node, Pod, Role, Topology};
use crate::wiring;

pub(super) const FAULTS: &[FaultKind] = &[FaultKind {
    cause: Cause::IptablesSplit,
    meaning: "old rules stand in the back end of iptables that the lab's own do not use: they know the node's older pods only, \
              and drop what is of others",
    keys: &[Key::node("node", "where").or_more()],
    needs: &[],
    takes: "both back ends of iptables, iptables-nft and iptables-legacy (CONFIG_IP_NF_FILTER, CONFIG_IP_NF_NAT)",
    claims: &[Claim::AtNodes("the other back end of iptables")],
    places: |site| site.at_nodes(Some(Plane::Pod), None),
    actions: |site| {
        site.per_node(|view, node| {
            let stale = match BackEnd::of(view) {
                BackEnd::Nft => BackEnd::Legacy,
                BackEnd::Legacy => BackEnd::Nft,
            };
            let write = |table, lines: &[String]| -> Action {
                rules_by(
                    stale,
                    view,
                    Space::of_node(node),
                    table,
                    lines.iter().map(String::as_str),
                )
            };
            vec![
                write("filter", &of_calico(view, node)),
                write("nat", &of_kube_proxy(view)),
            ]
        })
    },
}];

/// What matches packets of some pods, as they come and as they go.
fn matches(view: &Topology, node: &Node, pod: Option<&Pod>) -> (String, String) {
    let bridge = wiring::BRIDGE;
    match (view.options.pod_network, pod) {
        (PodNetwork::Routed, Some(pod)) => {
            let device = wiring::pod_device_name(pod);
            (format!("-i {device}"), format!("-o {device}"))
        }
        (PodNetwork::Routed, None) => ("-i cali+".to_owned(), "-o cali+".to_owned()),
        (PodNetwork::Bridge, pod) => {
            let network = pod.map_or_else(|| view.pods_of(node).to_string(), |pod| alone(pod.address));
            (
                format!("-i {bridge} -s {network}"),
                format!("-o {bridge} -d {network}"),
            )
        }
    }
}

/// The chains that dispatch to a chain for each pod, from before the agent's pod was there.
fn of_calico(view: &Topology, node: &Node) -> Vec<String> {
    let (from, to) = matches(view, node, None);
    let chains = [
        "cali-FORWARD",
        "cali-INPUT",
        "cali-wl-to-host",
        "cali-from-wl-dispatch",
        "cali-to-wl-dispatch",
    ];
    let mut lines: Vec<String> = chains.iter().map(|chain| format!(":{chain} - [0:0]")).collect();
    lines.extend([
        "-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD".to_owned(),
        "-A INPUT -m comment --comment \"cali:Cz_u1IQiXIMmKD4c\" -j cali-INPUT".to_owned(),
        format!("-A cali-FORWARD {from} -j cali-from-wl-dispatch"),
        format!("-A cali-FORWARD {to} -j cali-to-wl-dispatch"),
        format!("-A cali-INPUT {from} -g cali-wl-to-host"),
        "-A cali-wl-to-host -j cali-from-wl-dispatch".to_owned(),
    ]);
    for pod in node.pods.iter().filter(|pod| pod.role != Role::Agent) {
        let (from, to) = matches(view, node, Some(pod));
        let device = wiring::pod_device_name(pod);
        for (kind, way, dispatch) in [("fw", from, "from"), ("tw", to, "to")] {
            lines.push(format!(":cali-{kind}-{device} - [0:0]"));
            lines.push(format!(
                "-A cali-{dispatch}-wl-dispatch {way} -g cali-{kind}-{device}"
            ));
            lines.push(format!("-A cali-{kind}-{device} -j RETURN"));
        }
    }
    for dispatch in ["from", "to"] {
        lines.push(format!(
            "-A cali-{dispatch}-wl-dispatch -m comment --comment \"Unknown interface\" -j DROP"
        ));
    }
    lines
}

/// kube-proxy's have no say any more: the service is gone.
fn of_kube_proxy(view: &Topology) -> Vec<String> {
    let gone = alone(view.networks().services.address(9));
    vec![
        ":KUBE-SERVICES - [0:0]".to_owned(),
        ":KUBE-SEP-GONE - [0:0]".to_owned(),
        "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES".to_owned(),
        format!("-A KUBE-SERVICES -d {gone} -p tcp --dport 80 -j KUBE-SEP-GONE"),
    ]
}
