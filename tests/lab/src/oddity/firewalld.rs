//! A firewall as firewalld's nftables back end writes it (`src/firewall/core/nftables.py`): its own table, ten behind the
//! usual priority, where what no zone accepts is rejected. The zone of the cluster accepts all.

use std::fmt::Write as _;

use crate::cidr::IpFamily;
use crate::fault::Action;
use crate::space::Space;
use crate::topology::{Node, Topology};

/// One table is for both families: the first view writes it.
pub(super) fn action(topology: &Topology, node: &Node) -> Option<Action> {
    (!topology.is_second).then(|| Action::Run {
        space: Space::of_node(node),
        program: "nft",
        arguments: vec!["-f".to_owned(), "-".to_owned()],
        input: text(topology),
    })
}

pub(super) fn text(topology: &Topology) -> String {
    let (mut incoming, mut forwarded) = (String::new(), String::new());
    for networks in topology.options.families() {
        let ip = match networks.family() {
            IpFamily::V4 => "ip",
            IpFamily::V6 => "ip6",
        };
        let (nodes, pods) = (networks.nodes, networks.pods);
        let trusted = format!("{ip} saddr {{ {nodes}, {pods} }} accept\n");
        incoming.push_str(&trusted);
        forwarded.push_str(&trusted);
        // Writing to a string cannot fail.
        let _ = writeln!(forwarded, "{ip} daddr {pods} accept");
    }
    let known = "ct state { established, related } accept\nct status dnat accept\niifname \"lo\" accept\n\
                 ct state invalid drop\n";
    // Link-local neighbours are in no zone.
    let neighbours = "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept\n";
    format!(
        "table inet firewalld {{\n\
         chain filter_INPUT {{\ntype filter hook input priority filter + 10; policy accept;\n\
         {known}{neighbours}jump filter_IN_trusted\nreject with icmpx admin-prohibited\n}}\n\
         chain filter_FORWARD {{\ntype filter hook forward priority filter + 10; policy accept;\n\
         {known}jump filter_FWD_trusted\nreject with icmpx admin-prohibited\n}}\n\
         chain filter_OUTPUT {{\ntype filter hook output priority filter + 10; policy accept;\n\
         ct state {{ established, related }} accept\noifname \"lo\" accept\n}}\n\
         chain filter_IN_trusted {{\n{incoming}}}\n\
         chain filter_FWD_trusted {{\n{forwarded}}}\n}}\n"
    )
}
