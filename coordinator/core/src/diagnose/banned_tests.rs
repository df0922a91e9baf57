use mesh_proto::{
    Action, Cause, Confidence, Direction, Finding, HostFacts, Match, Plane, Port, PortRange, Prefix, Report,
};

use crate::world::kernel::{insert, kernels};
use crate::world::{Fate, Trip, World};

const NODES: usize = 4;

fn dead_if(dead: bool) -> Fate {
    if dead { Fate::TimesOut } else { Fate::Passes }
}

/// What a rule in INPUT of the third node against the second stops: what bears the second's own address, and their overlay.
fn banned(trip: &Trip) -> bool {
    let both = trip.touches(1) && trip.touches(2);
    let masqueraded = (trip.from, trip.from_plane) == (2, Plane::Pod) && trip.to_plane == Plane::Host;
    both && !masqueraded
}

fn report(dead: fn(&Trip) -> bool, spoil: impl FnOnce(&mut [HostFacts])) -> Report {
    let mut world = World::with(NODES, move |trip| dead_if(dead(trip)));
    let mut facts = kernels(NODES);
    spoil(&mut facts);
    world.facts = facts.into_iter().enumerate().collect();
    world.run()
}

fn only(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    &report.findings[0]
}

fn from(address: &str) -> Match {
    Match::Source(vec![address.parse::<Prefix>().unwrap()])
}

fn to_port(port: u16) -> [Match; 2] {
    let port = Port(port);
    let range = PortRange { from: port, to: port };
    [Match::Protocol(17), Match::DestinationPort(vec![range])]
}

#[test]
fn who_bans_a_peer_is_named_once_with_the_rule_and_how_to_delete_it() {
    let reject = Action::Reject { kind: 3, code: 3 };
    let link = Match::InLink("eth0".to_owned());
    let cases: [(&[Match], Action); 4] = [
        (&[from("10.0.3.2/32")], Action::Drop),
        (&[from("10.0.3.2/32")], reject),
        // Of a network only one other node is in.
        (&[from("10.0.3.2/31")], Action::Drop),
        (&[link, from("10.0.3.2/32")], Action::Drop),
    ];
    for (tests, action) in cases {
        let rejects = action != Action::Drop;
        let report = report(banned, |facts| {
            insert(&mut facts[2], "INPUT", tests, action, "-s 10.0.3.2/32 -j X");
        });
        let finding = only(&report);
        assert_eq!(
            (finding.cause, finding.confidence),
            (Cause::OneWayLoss, Confidence::Certain),
            "{finding:#?}"
        );
        assert_eq!(finding.place.direction, Some(Direction::Ingress));
        assert_eq!(finding.place.nodes.len(), 1);
        assert!(finding.place.nodes[0].as_str().contains("-25."), "{finding:#?}");
        assert!(
            finding.summary.contains("ip-10-0-3-18"),
            "who is banned: {finding:#?}"
        );
        assert_eq!(finding.summary.contains("rejects"), rejects);
        assert!(
            finding.evidence[0].contains("chain INPUT, rule 1"),
            "{finding:#?}"
        );
        assert!(finding.advice[0].contains("iptables -D INPUT 1"), "{finding:#?}");
        assert!(finding.advice[0].contains("handle 41"), "{finding:#?}");
    }
}

#[test]
fn a_ban_in_a_chain_of_its_own_is_followed() {
    let report = report(banned, |facts| {
        let jump = Action::Jump("f2b-sshd".to_owned());
        insert(
            &mut facts[2],
            "INPUT",
            &[from("10.0.3.2/32")],
            jump,
            "-j f2b-sshd",
        );
        let chain = mesh_proto::Chain {
            name: "f2b-sshd".to_owned(),
            base: None,
            rules: vec![crate::world::kernel::rule(&[], Action::Drop, "-j DROP")],
        };
        facts[2].netfilter.tables[0].chains.push(chain);
    });
    let finding = only(&report);
    assert_eq!(finding.cause, Cause::OneWayLoss, "{finding:#?}");
    assert!(finding.evidence[0].contains("chain f2b-sshd"), "{finding:#?}");
}

#[test]
fn rules_at_both_ends_cut_the_two_off_from_each_other() {
    let both: fn(&Trip) -> bool = |trip| trip.touches(1) && trip.touches(2) && trip.crosses();
    let report = report(both, |facts| {
        insert(
            &mut facts[2],
            "INPUT",
            &[from("10.0.3.2/32")],
            Action::Drop,
            "-j DROP",
        );
        insert(
            &mut facts[1],
            "INPUT",
            &[from("10.0.3.3/32")],
            Action::Drop,
            "-j DROP",
        );
    });
    let finding = only(&report);
    assert_eq!(
        (finding.cause, finding.confidence, finding.place.pairs.len()),
        (Cause::NodePartitioned, Confidence::Certain, 1),
        "{finding:#?}"
    );
}

#[test]
fn a_rule_that_only_the_overlay_meets_keeps_its_name() {
    let overlay: fn(&Trip) -> bool = |trip| trip.overlaid() && trip.touches(2);
    let report = report(overlay, |facts| {
        insert(
            &mut facts[2],
            "INPUT",
            &to_port(8472),
            Action::Drop,
            "--dport 8472 -j DROP",
        );
    });
    let finding = only(&report);
    assert_eq!(finding.cause, Cause::OverlayPortBlocked, "{finding:#?}");
    assert!(finding.advice[0].contains("iptables -D INPUT 1"), "{finding:#?}");
}

#[test]
fn a_ban_that_lets_packets_pass_is_none() {
    // Only the overlay between the two is dead; what the rule would stop passes.
    let overlay: fn(&Trip) -> bool = |trip| trip.overlaid() && trip.touches(2) && trip.touches(1);
    let report = report(overlay, |facts| {
        insert(
            &mut facts[2],
            "INPUT",
            &[from("10.0.3.2/32")],
            Action::Drop,
            "-j DROP",
        );
    });
    assert!(
        report.findings.iter().all(|of| of.cause != Cause::OneWayLoss),
        "{:#?}",
        report.findings
    );
}
