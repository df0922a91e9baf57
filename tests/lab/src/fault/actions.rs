//! What each fault does to the network: a list of commands, pure, so that it can be read and tested without a network.

use mesh_proto::Cause;

use super::Fault;
use crate::options::Encapsulation;
use crate::space::Space;
use crate::topology::{Node, Role, Topology};
use crate::wiring::{self, OVERLAY, SERVICE_CHAINS, UPLINK};

/// One step of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Run a tool in a place.
    Run {
        space: Space,
        program: &'static str,
        arguments: Vec<String>,
        input: String,
    },
    /// Set a sysctl of a place.
    Sysctl {
        space: Space,
        name: &'static str,
        value: &'static str,
    },
    /// Kill a node's agents.
    KillAgents { node: u32 },
    /// End the servers of a place.
    EndServers { space: Space },
}

impl Fault {
    /// All steps, in order. `number` tells its rules from those of other faults.
    pub(crate) fn actions(&self, topology: &Topology, number: usize) -> Vec<Action> {
        let site = Site {
            fault: self,
            topology,
            number,
        };
        site.of_nodes()
            .or_else(|| site.of_fabric())
            .or_else(|| site.of_services())
            .unwrap_or_default()
    }
}

struct Site<'a> {
    fault: &'a Fault,
    topology: &'a Topology,
    number: usize,
}

impl<'a> Site<'a> {
    fn node(&self, key: &str) -> Option<&'a Node> {
        self.topology
            .nodes
            .iter()
            .find(|node| node.name.as_str() == self.fault.value(key))
    }

    /// Faults that stand on a node.
    fn of_nodes(&self) -> Option<Vec<Action>> {
        if self.fault.cause == Cause::PodRoutesMissing {
            let nodes = self.topology.nodes.iter();
            let chosen = nodes.filter(|node| matches!(self.fault.value("node"), value if value == "all" || value == node.name.as_str()));
            return Some(
                chosen
                    .map(|node| {
                        ip_batch(
                            Space::of_node(node),
                            wiring::pod_routes(self.topology, node, "del"),
                        )
                    })
                    .collect(),
            );
        }
        let node = self.node("node")?;
        let space = Space::of_node(node);
        let rule = |rule: &str| tool(space, "iptables", rule);
        let peer = || self.node("peer");
        Some(match self.fault.cause {
            Cause::OverlayPortBlocked => self.overlay_port_blocked(space),
            Cause::OverlayPortMismatch => self.overlay_port_mismatch(node),
            Cause::OverlayDeviceDown => vec![tool(space, "ip", &format!("link set {OVERLAY} down"))],
            Cause::OverlayPeerStale => {
                let (mac, nobody) = (peer()?.overlay_mac(), self.nobody());
                vec![tool(
                    space,
                    "bridge",
                    &format!("fdb replace {mac} dev {OVERLAY} dst {nobody}"),
                )]
            }
            Cause::NeighbourStale => {
                let address = peer()?.address;
                let entry = format!(
                    "neighbour replace {address} lladdr 02:00:00:00:de:ad dev {UPLINK} nud permanent"
                );
                vec![tool(space, "ip", &entry)]
            }
            Cause::ForwardRejected => {
                let with = match self.fault.value("code") {
                    "10" => "icmp-host-prohibited",
                    "9" => "icmp-net-prohibited",
                    _ => "icmp-admin-prohibited",
                };
                vec![rule(&format!("-w -A FORWARD -j REJECT --reject-with {with}"))]
            }
            Cause::ForwardDropped => vec![rule("-w -P FORWARD DROP")],
            Cause::IpForwardOff => vec![Action::Sysctl {
                space,
                name: "net/ipv4/ip_forward",
                value: "0",
            }],
            Cause::LoopbackDown => vec![tool(space, "ip", "link set lo down")],
            Cause::KubeProxyMissing => SERVICE_CHAINS
                .iter()
                .map(|chain| rule(&format!("-w -t nat -F {chain}")))
                .collect(),
            Cause::ProtocolFiltered => self.protocol_filtered(space),
            Cause::LocalEgressBlocked => {
                vec![rule(
                    "-w -A OUTPUT ! -o lo -m addrtype ! --dst-type LOCAL -j DROP",
                )]
            }
            Cause::NodeDown => vec![
                tool(
                    Space::Fabric,
                    "ip",
                    &format!("link set {} down", node.fabric_port()),
                ),
                Action::KillAgents { node: node.number },
            ],
            _ => return None,
        })
    }

    fn overlay_port_blocked(&self, space: Space) -> Vec<Action> {
        let Encapsulation::Vxlan(port) = self.topology.options.encapsulation else {
            return Vec::new();
        };
        let target = match self.fault.value("action") {
            "reject" => "REJECT --reject-with icmp-host-prohibited",
            _ => "DROP",
        };
        let chains: &[&str] = match self.fault.value("direction") {
            "egress" => &["OUTPUT"],
            "both" => &["INPUT", "OUTPUT"],
            _ => &["INPUT"],
        };
        let rule = |chain: &&str| {
            tool(
                space,
                "iptables",
                &format!("-w -I {chain} -p udp --dport {port} -j {target}"),
            )
        };
        chains.iter().map(rule).collect()
    }

    fn overlay_port_mismatch(&self, node: &Node) -> Vec<Action> {
        let space = Space::of_node(node);
        let port = self.fault.value("port").parse().map_or(0, |port: u16| port);
        let mut batch = format!("link del {OVERLAY}\n");
        batch.push_str(&wiring::overlay_device(
            self.topology,
            node,
            mesh_proto::Port(port),
        ));
        batch.push_str(&wiring::pod_routes(self.topology, node, "add"));
        let entries = wiring::overlay_entries(self.topology, node);
        vec![
            ip_batch(space, batch),
            Action::Run {
                space,
                program: "bridge",
                arguments: words("-batch -"),
                input: entries,
            },
        ]
    }

    fn protocol_filtered(&self, space: Space) -> Vec<Action> {
        let protocol = self.fault.value("protocol");
        // The overlay is UDP too, but what is filtered here is the protocol inside.
        let but_overlay = match (protocol, self.topology.options.encapsulation) {
            ("udp", Encapsulation::Vxlan(port)) => format!(" ! --dport {port}"),
            _ => String::new(),
        };
        vec![
            tool(
                space,
                "iptables",
                &format!("-w -I INPUT ! -i lo -p {protocol}{but_overlay} -j DROP"),
            ),
            tool(space, "iptables", &format!("-w -I FORWARD -p {protocol} -j DROP")),
        ]
    }

    /// Faults that stand in the network between the nodes.
    fn of_fabric(&self) -> Option<Vec<Action>> {
        let both_ways = |a: &str, b: &str, what: &str| {
            vec![
                format!("iifname {a} {b} {what}"),
                format!("oifname {a} {} {what}", b.replace("oifname", "iifname")),
            ]
        };
        let of_node = |what: &str| Some(both_ways(&self.node("node")?.fabric_port(), "", what));
        let lost = |share: &str| match share {
            "" | "100" => "drop".to_owned(),
            share => format!("numgen random mod 100 < {share} drop"),
        };
        let rules = match self.fault.cause {
            Cause::NodePartitioned if self.fault.has("peer") => {
                let (a, b) = (self.node("node")?.fabric_port(), self.node("peer")?.fabric_port());
                both_ways(&a, &format!("oifname {b}"), "drop")
            }
            Cause::NodePartitioned => of_node("drop")?,
            Cause::MtuBlackhole => of_node(&format!("ip length > {} drop", self.fault.value("size")))?,
            Cause::RandomLoss => of_node(&lost(self.fault.value("share")))?,
            Cause::FlowLoss => {
                let port = self.node("node")?.fabric_port();
                let flow = "jhash ip saddr . ip daddr . th sport . th dport mod 4";
                vec![format!(
                    "oifname {port} meta l4proto {{ tcp, udp }} {flow} 1 drop"
                )]
            }
            Cause::OneWayLoss => {
                let (from, to) = (self.node("from")?.fabric_port(), self.node("to")?.fabric_port());
                // Not ARP: a link without answers to ARP is dead both ways.
                vec![format!(
                    "iifname {from} oifname {to} ether type ip {}",
                    lost(self.fault.value("share"))
                )]
            }
            Cause::UnderlayDropsPods => {
                let pods = self.topology.options.pod_cidr;
                vec![format!("ip saddr {pods} drop"), format!("ip daddr {pods} drop")]
            }
            _ => return None,
        };
        let table = format!(
            "table bridge fault-{} {{\nchain forward {{\ntype filter hook forward priority 0;\n{}\n}}\n}}\n",
            self.number,
            rules.join("\n")
        );
        Some(vec![Action::Run {
            space: Space::Fabric,
            program: "nft",
            arguments: words("-f -"),
            input: table,
        }])
    }

    /// Faults of what services lead to.
    fn of_services(&self) -> Option<Vec<Action>> {
        let silence = |space| match self.fault.value("how") {
            "refused" => Action::EndServers { space },
            _ => tool(space, "iptables", "-w -P INPUT DROP"),
        };
        let dns = self.topology.pods(Role::Dns);
        Some(match self.fault.cause {
            Cause::DnsDown => dns.map(|(node, pod)| silence(Space::of_pod(node, pod))).collect(),
            Cause::DnsEndpointDown => dns
                .filter(|(node, _)| node.name.as_str() == self.fault.value("node"))
                .map(|(node, pod)| silence(Space::of_pod(node, pod)))
                .collect(),
            Cause::ApiServerDown => {
                let space = Space::of_node(self.topology.nodes.first()?);
                let port = self.topology.options.api_port;
                vec![match self.fault.value("how") {
                    "refused" => Action::EndServers { space },
                    _ => tool(
                        space,
                        "iptables",
                        &format!("-w -I INPUT -p tcp --dport {port} -j DROP"),
                    ),
                }]
            }
            Cause::ServiceNoEndpoints => self.service_no_endpoints(),
            _ => return None,
        })
    }

    /// As kube-proxy writes it: no DNAT, and a REJECT in every filter chain that sees the packet.
    fn service_no_endpoints(&self) -> Vec<Action> {
        let (address, ports) = match self.fault.value("service") {
            "api" => (
                *self.topology.api().ip(),
                vec![("tcp", self.topology.api().port())],
            ),
            _ => (self.topology.dns(), vec![("udp", 53), ("tcp", 53)]),
        };
        let mut actions = Vec::new();
        for node in &self.topology.nodes {
            let space = Space::of_node(node);
            for (protocol, port) in &ports {
                let to = format!("-d {address}/32 -p {protocol} --dport {port}");
                actions.push(tool(
                    space,
                    "iptables",
                    &format!("-w -t nat -I KUBE-SERVICES {to} -j RETURN"),
                ));
                for chain in ["OUTPUT", "FORWARD"] {
                    let reject = "-j REJECT --reject-with icmp-port-unreachable";
                    actions.push(tool(space, "iptables", &format!("-w -I {chain} {to} {reject}")));
                }
            }
        }
        actions
    }

    /// An address of the node network that no node has.
    fn nobody(&self) -> std::net::Ipv4Addr {
        let count = u32::try_from(self.topology.nodes.len()).unwrap_or(0);
        self.topology.options.node_cidr.address(count + 1)
    }
}

fn tool(space: Space, program: &'static str, arguments: &str) -> Action {
    Action::Run {
        space,
        program,
        arguments: words(arguments),
        input: String::new(),
    }
}

fn ip_batch(space: Space, input: String) -> Action {
    Action::Run {
        space,
        program: "ip",
        arguments: words("-batch -"),
        input,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
