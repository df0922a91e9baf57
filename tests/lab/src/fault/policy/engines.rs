//! How policy engines write the rules of a pod.

use std::net::IpAddr;

use super::super::action::alone;
use crate::cidr::IpFamily;
use crate::options::PodNetwork;
use crate::topology::Node;

/// A pod as rules match it.
pub(super) struct Workload {
    pub(super) device: String,
    pub(super) address: IpAddr,
    pub(super) pod_network: PodNetwork,
    pub(super) family: IpFamily,
}

/// Which of a pod's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    From,
    To,
}

/// What the chain of a pod says after it has let answers pass.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    /// What it lets pass.
    pub(super) allowed: &'a [String],
    /// Of the rest, what it drops.
    pub(super) denied: &'a str,
}

impl Workload {
    /// On a bridge all pods come by the same device.
    fn matches(&self, way: Way) -> String {
        let (device, address) = (&self.device, alone(self.address));
        match (self.pod_network, way) {
            (PodNetwork::Routed, Way::From) => format!("-i {device}"),
            (PodNetwork::Routed, Way::To) => format!("-o {device}"),
            (PodNetwork::Bridge, Way::From) => format!("-s {address}"),
            (PodNetwork::Bridge, Way::To) => format!("-d {address}"),
        }
    }

    /// The same, as nftables says it.
    fn nft_matches(&self, way: Way) -> String {
        let (device, address) = (&self.device, self.address);
        let ip = match self.family {
            IpFamily::V4 => "ip",
            IpFamily::V6 => "ip6",
        };
        match (self.pod_network, way) {
            (PodNetwork::Routed, Way::From) => format!("iifname \"{device}\""),
            (PodNetwork::Routed, Way::To) => format!("oifname \"{device}\""),
            (PodNetwork::Bridge, Way::From) => format!("{ip} saddr {address}"),
            (PodNetwork::Bridge, Way::To) => format!("{ip} daddr {address}"),
        }
    }

    /// NDP is not tracked, and without it there is no IPv6 at all.
    fn neighbours(&self) -> &'static [&'static str] {
        match self.family {
            IpFamily::V4 => &[],
            IpFamily::V6 => &[
                "-p ipv6-icmp --icmpv6-type neighbour-solicitation",
                "-p ipv6-icmp --icmpv6-type neighbour-advertisement",
            ],
        }
    }
}

/// Calico: a chain that dispatches by the pod's device, and for each pod one for each way. What a pod sends to its own node
/// meets its policy too; what the node sends to it does not.
pub(super) fn calico(pod: &Workload, chains: &[(Way, Chain<'_>)]) -> Vec<String> {
    let mut lines = vec![
        ":cali-FORWARD - [0:0]".to_owned(),
        ":cali-INPUT - [0:0]".to_owned(),
        "-I FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD".to_owned(),
        "-I INPUT -m comment --comment \"cali:Cz_u1IQiXIMmKD4c\" -j cali-INPUT".to_owned(),
    ];
    for (way, chain) in chains {
        let (dispatch, own) = match way {
            Way::From => ("cali-from-wl-dispatch", format!("cali-fw-{}", pod.device)),
            Way::To => ("cali-to-wl-dispatch", format!("cali-tw-{}", pod.device)),
        };
        let matches = pod.matches(*way);
        lines.push(format!(":{dispatch} - [0:0]"));
        lines.push(format!(":{own} - [0:0]"));
        lines.push(format!("-A cali-FORWARD {matches} -j {dispatch}"));
        if *way == Way::From {
            lines.push(format!("-A cali-INPUT {matches} -j {dispatch}"));
        }
        lines.push(format!("-A {dispatch} {matches} -g {own}"));
        lines.push(format!(
            "-A {own} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        ));
        let passing = chain.allowed.iter().map(String::as_str);
        for what in pod.neighbours().iter().copied().chain(passing) {
            lines.push(format!("-A {own} {what} -j RETURN"));
        }
        let denied = chain.denied;
        lines.push(format!(
            "-A {own} {denied}-m comment --comment \"Drop if no policies passed packet\" -j DROP"
        ));
    }
    lines
}

/// kube-router: one chain for each pod, for both ways, which rejects what no policy has marked. The pod's own node is let to
/// it.
pub(super) fn kube_router(pod: &Workload, node: &Node, chains: &[(Way, Chain<'_>)]) -> Vec<String> {
    let own = format!(
        "KUBE-POD-FW-{:016X}",
        u64::from(node.number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    );
    let mut lines = vec![
        ":KUBE-ROUTER-FORWARD - [0:0]".to_owned(),
        ":KUBE-ROUTER-INPUT - [0:0]".to_owned(),
        format!(":{own} - [0:0]"),
        "-I FORWARD -m comment --comment \"kube-router netpol\" -j KUBE-ROUTER-FORWARD".to_owned(),
        "-I INPUT -m comment --comment \"kube-router netpol\" -j KUBE-ROUTER-INPUT".to_owned(),
    ];
    for (way, _) in chains {
        let matches = pod.matches(*way);
        lines.push(format!("-A KUBE-ROUTER-FORWARD {matches} -j {own}"));
        if *way == Way::From {
            lines.push(format!("-A KUBE-ROUTER-INPUT {matches} -j {own}"));
        }
    }
    lines.push(format!(
        "-A {own} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    ));
    if chains.iter().any(|(way, _)| *way == Way::To) {
        let to = alone(pod.address);
        lines.push(format!("-A {own} -d {to} -m addrtype --src-type LOCAL -j ACCEPT"));
    }
    for what in pod.neighbours() {
        lines.push(format!("-A {own} {what} -j RETURN"));
    }
    let denied = chains.first().map_or("", |(_, chain)| chain.denied);
    lines.push(format!(
        "-A {own} {denied}-m mark ! --mark 0x10000/0x10000 -j REJECT"
    ));
    lines
}

/// Calico in its nftables mode: the same chains in a table of its own.
pub(super) fn calico_nft(pod: &Workload, ways: &[Way], protocol: &str) -> String {
    let (ip, icmp) = match pod.family {
        IpFamily::V4 => ("ip", "icmp"),
        IpFamily::V6 => ("ip6", "ipv6-icmp"),
    };
    let denied = match protocol {
        "any" => String::new(),
        "icmp" => format!("meta l4proto {icmp} "),
        name => format!("meta l4proto {name} "),
    };
    let neighbours = match pod.family {
        IpFamily::V4 => "",
        IpFamily::V6 => "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return\n",
    };
    let name = |way: &Way| match way {
        Way::From => format!("filter-cali-fw-{}", pod.device),
        Way::To => format!("filter-cali-tw-{}", pod.device),
    };
    let chain = |way: &Way| {
        let passing = format!("ct state established,related accept\n{neighbours}");
        format!("chain {} {{\n{passing}{denied}drop\n}}\n", name(way))
    };
    let jump = |way: &Way| format!("{} jump {}\n", pod.nft_matches(*way), name(way));
    let own: Vec<String> = ways.iter().map(chain).collect();
    let forward: Vec<String> = ways.iter().map(jump).collect();
    let input: Vec<String> = ways.iter().filter(|way| **way == Way::From).map(jump).collect();
    let (own, forward, input) = (own.concat(), forward.concat(), input.concat());
    format!(
        "table {ip} calico {{\n{own}\
         chain filter-FORWARD {{\ntype filter hook forward priority filter;\n{forward}}}\n\
         chain filter-INPUT {{\ntype filter hook input priority filter;\n{input}}}\n}}\n"
    )
}
