//! Without privileges it is said what is missing.

use mesh_net::NetNamespace;
use mesh_proto::{LEGACY_RULES, NFTABLES_RULES};

use super::super::host_facts;
use super::command;

#[test]
fn privileges_that_are_missing_are_told() {
    let namespace = NetNamespace::create().unwrap();
    let facts = namespace
        .run(|| {
            command("nft -f -", "table inet t { chain c { drop ; }\n}");
            command("iptables-legacy-restore", "*filter\n-A FORWARD -j DROP\nCOMMIT\n");
            // The thread's own, and it ends with this test.
            mesh_net::give_up_network_administration().unwrap();
            host_facts()
        })
        .unwrap();
    for what in [NFTABLES_RULES, LEGACY_RULES] {
        assert_eq!(
            facts.why_missing(what),
            Some("no CAP_NET_ADMIN"),
            "{:?}",
            facts.missing
        );
    }
    assert_eq!(facts.netfilter.tables, []);
    // What needs no privilege is there all the same.
    assert!(facts.link("lo").is_some());
    assert!(facts.sysctl("net.ipv4.ip_forward").is_some());
    assert_eq!(facts.missing.len(), 2, "{:?}", facts.missing);
}
