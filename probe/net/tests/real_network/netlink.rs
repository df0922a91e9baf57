//! Asking the kernel for its devices and rules.

use std::io::Write;
use std::process::{Command, Stdio};

use mesh_net::{Attributes, Dump, Errno, Netlink, NetlinkFamily, legacy_table};

use crate::topology::{Pair, command, node};

const RTM_GETLINK: u16 = 18;
/// `struct ifinfomsg`; the device's number stands at the fifth byte.
const IFINFOMSG: usize = 16;
const IFLA_IFNAME: u16 = 3;

fn name(content: &[u8]) -> String {
    Attributes::after(IFINFOMSG, content)
        .find(IFLA_IFNAME)
        .unwrap()
        .text()
}

#[test]
fn a_dump_has_all_objects_of_the_namespace_of_its_socket() {
    let pair = Pair::new();
    let mut netlink = pair
        .here
        .run(|| Netlink::open(NetlinkFamily::Route))
        .unwrap()
        .unwrap();
    // Twice, since a socket is asked for one thing after another.
    for _ in 0..2 {
        let mut names = Vec::new();
        let dump = netlink.dump(RTM_GETLINK, &[0; IFINFOMSG], &mut |_, content| {
            names.push(name(content));
        });
        assert_eq!(dump, Ok(Dump::Whole));
        names.sort();
        assert_eq!(names, ["lo", "near"]);
    }
}

#[test]
fn a_dump_of_many_objects_comes_in_many_parts() {
    let place = node();
    let line = |number: usize| format!("link add many{number} type veth peer name other{number}\n");
    let lines = (0..300).map(line).collect::<Vec<_>>().concat();
    let status = place.run(|| {
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        child.wait().unwrap()
    });
    assert!(status.unwrap().success());
    let mut netlink = place
        .run(|| Netlink::open(NetlinkFamily::Route))
        .unwrap()
        .unwrap();
    let mut names = std::collections::BTreeSet::new();
    netlink
        .dump(RTM_GETLINK, &[0; IFINFOMSG], &mut |_, content| {
            assert!(names.insert(name(content)));
        })
        .unwrap();
    assert_eq!(names.len(), 601);
}

#[test]
fn one_object_is_told_or_why_not() {
    let place = node();
    let mut netlink = place
        .run(|| Netlink::open(NetlinkFamily::Route))
        .unwrap()
        .unwrap();
    let mut ask = |index: u8| {
        let mut request = [0; IFINFOMSG];
        request[4] = index;
        let mut names = Vec::new();
        let answer = netlink.ask(RTM_GETLINK, &request, &mut |_, content| names.push(name(content)));
        (answer, names)
    };
    assert_eq!(ask(1), (Ok(()), vec!["lo".to_owned()]));
    let (refused, names) = ask(99);
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.errno(), names.len()),
        (Some(Errno(nix::libc::ENODEV)), 0)
    );
    assert_eq!(refused.to_string(), "answer on NETLINK_ROUTE: ENODEV");
    // What was refused leaves nothing behind that the next answer could be taken for.
    assert_eq!(ask(1), (Ok(()), vec!["lo".to_owned()]));
}

#[test]
fn rules_need_the_privilege() {
    const NFT_MSG_GETTABLE: u16 = 10 << 8 | 1;
    let place = node();
    command(&place, "iptables-legacy -A INPUT -j ACCEPT");
    let (rules, legacy) = place
        .run(|| {
            mesh_net::give_up_network_administration().unwrap();
            let mut netlink = Netlink::open(NetlinkFamily::Netfilter).unwrap();
            (
                netlink.dump(NFT_MSG_GETTABLE, &[0; 4], &mut |_, _| {}),
                legacy_table(false, "filter"),
            )
        })
        .unwrap();
    assert_eq!(rules.unwrap_err().errno(), Some(Errno::NOT_PERMITTED));
    assert_eq!(legacy, Err(Errno::NOT_PERMITTED));
}

#[test]
fn a_legacy_table_is_read_whole() {
    let place = node();
    command(&place, "iptables-legacy -A FORWARD -s 10.0.0.0/8 -j DROP");
    command(&place, "ip6tables-legacy -A FORWARD -j DROP");
    for (v6, entry) in [(false, 152), (true, 208)] {
        let table = place.run(|| legacy_table(v6, "filter")).unwrap().unwrap();
        // INPUT, FORWARD, OUTPUT.
        assert_eq!(table.valid_hooks, 0b01110, "{v6}");
        assert_eq!(table.hook_entry[1], 0, "{v6}");
        // One rule stands before the policy of FORWARD, none before that of OUTPUT.
        assert_eq!(table.underflow[2] - table.hook_entry[2], entry, "{v6}");
        assert_eq!(table.underflow[3], table.hook_entry[3], "{v6}");
        assert!(table.entries.len() > 4 * 152, "{v6}");
    }
}
