//! A firewall as ufw writes it (`/etc/ufw/before.rules` and `user.rules`): policies are DROP, and the user's rules accept the
//! cluster's networks.

use crate::cidr::IpFamily;
use crate::fault::Action;
use crate::services;
use crate::space::Space;
use crate::topology::{Node, Topology};

pub(super) fn action(topology: &Topology, node: &Node) -> Action {
    Action::Run {
        space: Space::of_node(node),
        program: services::restore_command(topology),
        arguments: vec!["-w".to_owned(), "--noflush".to_owned()],
        input: text(topology),
    }
}

pub(super) fn text(topology: &Topology) -> String {
    let networks = topology.networks();
    // As ufw names them: the chains of IPv6 have a 6.
    let (ufw, icmp) = match topology.family() {
        IpFamily::V4 => ("ufw", "icmp"),
        IpFamily::V6 => ("ufw6", "ipv6-icmp"),
    };
    let (nodes, pods) = (networks.nodes, networks.pods);
    let chains = |chain: &str| {
        format!(":{ufw}-before-{chain} - [0:0]\n:{ufw}-user-{chain} - [0:0]\n:{ufw}-reject-{chain} - [0:0]\n")
    };
    let rules = |hook: &str, chain: &str, first: &str| {
        let before = format!("-A {ufw}-before-{chain}");
        let user = format!("-A {ufw}-user-{chain}");
        format!(
            "-A {hook} -j {ufw}-before-{chain}\n-A {hook} -j {ufw}-reject-{chain}\n{first}\
             {before} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             {before} -m conntrack --ctstate INVALID -j DROP\n\
             {before} -p {icmp} -j ACCEPT\n\
             {before} -j {ufw}-user-{chain}\n\
             {user} -s {nodes} -j ACCEPT\n\
             {user} -s {pods} -j ACCEPT\n",
        )
    };
    [
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n",
        &chains("input"),
        &chains("forward"),
        &rules(
            "INPUT",
            "input",
            &format!("-A {ufw}-before-input -i lo -j ACCEPT\n"),
        ),
        &rules("FORWARD", "forward", ""),
        // What comes by a NodePort from anywhere.
        &format!("-A {ufw}-user-forward -d {pods} -j ACCEPT\nCOMMIT\n"),
    ]
    .concat()
}
