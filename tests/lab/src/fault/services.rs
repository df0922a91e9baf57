//! Faults of service rules.

use std::net::IpAddr;

use mesh_proto::Cause;

use super::action::sysctl;
use super::exclusion::Claim;
use super::keys::Key;
use super::needs::Need;
use super::site::Site;
use super::{FaultKind, Place};
use crate::cidr::IpFamily;
use crate::services::{self, Service, ServiceChange};
use crate::topology::{Role, Topology};

const SERVICE: Key = Key::words("service", &["dns", "api", "nodeport"], "which");

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::KubeProxyMissing,
        meaning: "the node has no service rules",
        keys: &[Key::node("node", "which has none").or_more()],
        needs: &[],
        takes: "what the lab's services are written with",
        claims: &[
            Claim::AtNodes("the service rules"),
            Claim::AtNodes("the masquerading"),
        ],
        places: |site| site.at_nodes(None, None),
        actions: |site| site.per_node(|view, node| services::change(view, node, ServiceChange::Flush)),
    },
    FaultKind {
        cause: Cause::ServiceNoEndpoints,
        meaning: "the service has no ready endpoint: every node rejects what is for it",
        keys: &[SERVICE],
        needs: &[],
        takes: "what the lab's services are written with",
        claims: &[Claim::Cluster("the endpoints", "service")],
        places: |_| vec![Place::default()],
        actions: |site| {
            let change = ServiceChange::NoEndpoints(service(site));
            let everywhere = |view: &Topology| {
                let nodes = view.nodes.iter();
                nodes
                    .flat_map(|node| services::change(view, node, change))
                    .collect::<Vec<_>>()
            };
            site.views.iter().flat_map(everywhere).collect()
        },
    },
    FaultKind {
        cause: Cause::EndpointStale,
        meaning: "the service sends to an address that is gone, in place of its last endpoint",
        keys: &[
            SERVICE,
            Key::node("node", "whose rules").or_all(),
            Key::address("where they lead"),
        ],
        needs: &[],
        takes: "what the lab's services are written with",
        claims: &[
            Claim::Part("the service rules", "service"),
            Claim::Part("the endpoints", "service"),
        ],
        places: |site| site.at_nodes(None, None),
        actions: |site| {
            let service = service(site);
            site.per_node(|view, node| {
                let given = site.address_of("address").filter(|_| !view.is_second);
                let address = given.unwrap_or_else(|| gone(view, service));
                services::change(view, node, ServiceChange::StaleEndpoint { service, address })
            })
        },
    },
    FaultKind {
        cause: Cause::MasqueradeMissing,
        meaning: "answers go past the node that translated the question, since that did not put its own address in",
        keys: &[
            Key::words(
                "how",
                &["node-port", "hairpin"],
                "what comes to a NodePort keeps its source, or what goes from a pod to one of the same bridge bypasses the \
                 rules",
            ),
            Key::node("node", "where").or_all(),
        ],
        needs: &[
            Need::When("how", "hairpin", &Need::Bridge),
            Need::When("how", "node-port", &Need::AwayFromBackend),
            Need::When("how", "hairpin", &Need::ServingPods),
        ],
        takes: "what the lab's services are written with, and br_netfilter",
        claims: &[Claim::AtNodes("the masquerading")],
        places: |site| site.at_nodes(None, None),
        actions: |site| {
            site.per_node(|view, node| match (site.word("how"), view.family()) {
                ("hairpin", IpFamily::V4) => vec![sysctl(node, "net/bridge/bridge-nf-call-iptables", "0")],
                ("hairpin", IpFamily::V6) => vec![sysctl(node, "net/bridge/bridge-nf-call-ip6tables", "0")],
                _ => services::change(view, node, ServiceChange::NoMasquerade),
            })
        },
    },
];

fn service(site: &Site<'_>) -> Service {
    match site.word("service") {
        "api" => Service::Api,
        "nodeport" => Service::NodePort,
        _ => Service::Dns,
    }
}

/// An address of the node network that no node has.
pub(super) fn no_node(view: &Topology) -> IpAddr {
    let count = u32::try_from(view.nodes.len()).unwrap_or(0);
    view.networks().nodes.address(count + 1)
}

/// The number of an address that no pod of a lab has.
const FREE: u32 = 99;

/// Where an endpoint of a service may have been: in the same network as those that it has.
fn gone(view: &Topology, service: Service) -> IpAddr {
    let role = match service {
        Service::Api => return no_node(view),
        Service::Dns => Role::Dns,
        Service::NodePort => Role::Backend,
    };
    let home = view.pods(role).last();
    home.map_or_else(|| no_node(view), |(home, _)| view.pods_of(home).address(FREE))
}
