//! Each signature before kernels that say what it looks for, and before healthy ones.

use mesh_proto::{
    Action, Answer, Ask, Cause, Confidence, Conntrack, Finding, HostFacts, IcmpError, KnockEcho, MacAddress,
    Match, NeighbourState, Plane, Port, PortRange, Seen,
};

use crate::world::kernel::{gateway, insert, kernels, overlay_mac};
use crate::world::{Fate, Trip, World};

fn dead_if(dead: bool) -> Fate {
    if dead { Fate::TimesOut } else { Fate::Passes }
}

/// What is found in a cluster with these faults, whose kernels are healthy but for what is spoiled.
fn found(nodes: usize, dead: fn(&Trip) -> bool, spoil: impl FnOnce(&mut [HostFacts])) -> Finding {
    let mut world = World::with(nodes, move |trip| dead_if(dead(trip)));
    let mut facts = kernels(nodes);
    spoil(&mut facts);
    world.facts = facts.into_iter().enumerate().collect();
    let report = world.run();
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    report.findings.into_iter().next().unwrap()
}

/// Pod packets between the third node and all others.
fn overlay_of_third(trip: &Trip) -> bool {
    trip.overlaid() && trip.touches(2)
}

/// Pod packets between the first two nodes.
fn overlay_of_pair(trip: &Trip) -> bool {
    trip.overlaid() && trip.touches(0) && trip.touches(1)
}

fn forwarding_of_third(trip: &Trip) -> bool {
    trip.forwarded_at(2)
}

fn overlay_port() -> Vec<Match> {
    let port = PortRange {
        from: Port(8472),
        to: Port(8472),
    };
    vec![Match::Protocol(17), Match::DestinationPort(vec![port])]
}

type Spoil = fn(&mut [HostFacts]);
type Dead = fn(&Trip) -> bool;

#[test]
fn what_a_kernel_says_names_the_cause_for_certain() {
    let cases: [(Cause, Dead, Spoil); 9] = [
        (Cause::OverlayPortBlocked, overlay_of_third, |facts| {
            insert(
                &mut facts[2],
                "INPUT",
                &overlay_port(),
                Action::Drop,
                "udp dport 8472 drop",
            );
        }),
        (Cause::OverlayPortMismatch, overlay_of_third, |facts| {
            facts[2].links[2].tunnel.as_mut().unwrap().port = Some(Port(4789));
        }),
        (Cause::OverlayDeviceDown, overlay_of_third, |facts| {
            facts[2].links[2].up = false;
        }),
        (Cause::OverlayDeviceDown, overlay_of_third, |facts| {
            facts[2].links.remove(2);
        }),
        (Cause::IpForwardOff, forwarding_of_third, |facts| {
            facts[2]
                .sysctls
                .insert("net.ipv4.ip_forward".to_owned(), "0".to_owned());
        }),
        (Cause::ForwardDropped, forwarding_of_third, |facts| {
            facts[2].netfilter.tables[0].chains[1]
                .base
                .as_mut()
                .unwrap()
                .accepts = false;
        }),
        (Cause::ForwardRejected, forwarding_of_third, |facts| {
            insert(
                &mut facts[2],
                "FORWARD",
                &[],
                Action::Reject { kind: 3, code: 13 },
                "reject",
            );
        }),
        (Cause::ConntrackFull, forwarding_of_third, |facts| {
            facts[2].conntrack = Some(Conntrack {
                count: 65_536,
                max: 65_536,
                dropped: 9_000,
            });
        }),
        (Cause::PodRoutesMissing, overlay_of_third, |facts| {
            facts[2]
                .routes
                .retain(|route| route.link.as_deref() != Some("vxlan.calico"));
        }),
    ];
    for (cause, dead, spoil) in cases {
        let finding = found(4, dead, spoil);
        assert_eq!(
            (finding.cause, finding.confidence),
            (cause, Confidence::Certain),
            "{finding:#?}"
        );
        assert_eq!(finding.place.nodes.len(), 1, "{finding:#?}");
        assert!(finding.place.nodes[0].as_str().contains("-25."), "{finding:#?}");
    }
}

#[test]
fn entries_that_lead_to_the_wrong_machine_name_who_has_them_and_for_whom() {
    let fdb: Spoil = |facts| {
        let entry = facts[0]
            .forwarding_entries
            .iter_mut()
            .find(|entry| entry.mac == overlay_mac(1));
        entry.unwrap().peer = Some("10.0.3.77".parse().unwrap());
    };
    let neighbour: Spoil = |facts| {
        let entry = facts[0]
            .neighbours
            .iter_mut()
            .find(|entry| entry.address == gateway(1));
        entry.unwrap().mac = Some(MacAddress([2, 0, 0, 0, 0, 99]));
    };
    for spoil in [fdb, neighbour] {
        let finding = found(3, overlay_of_pair, spoil);
        assert_eq!(
            (finding.cause, finding.confidence),
            (Cause::OverlayPeerStale, Confidence::Certain),
            "{finding:#?}"
        );
        let [(from, to)] = finding.place.pairs.as_slice() else {
            panic!("{finding:#?}");
        };
        assert!(
            from.as_str().contains("-11.") && to.as_str().contains("-18."),
            "{finding:#?}"
        );
        assert!(
            finding.advice[0].contains(&overlay_mac(1).to_string())
                && finding.advice[0].contains("vxlan.calico"),
            "all of the command is known: {finding:#?}"
        );
    }
}

#[test]
fn an_entry_that_is_missing_leads_to_no_wrong_machine() {
    let finding = found(3, overlay_of_pair, |facts| {
        facts[0]
            .forwarding_entries
            .retain(|entry| entry.mac != overlay_mac(1));
    });
    assert_eq!(finding.cause, Cause::OverlayPeerStale, "{finding:#?}");
    assert!(
        finding.summary.contains("missing") && !finding.summary.contains("wrong"),
        "{finding:#?}"
    );
}

#[test]
fn missing_routes_of_an_overlay_are_written_by_its_agent_and_not_by_bgp() {
    let finding = found(4, overlay_of_third, |facts| {
        facts[2]
            .routes
            .retain(|route| route.link.as_deref() != Some("vxlan.calico"));
    });
    assert_eq!(finding.cause, Cause::PodRoutesMissing, "{finding:#?}");
    let advice = finding.advice.join(" ");
    assert!(!advice.contains("BGP") && !advice.contains("179"), "{advice}");
    assert!(
        advice.contains("ip route replace 10.244.1.0/24 via 10.244.1.0 dev vxlan.calico onlink"),
        "{advice}"
    );
}

#[test]
fn the_simplest_cell_is_the_example() {
    let finding = found(4, overlay_of_third, |facts| facts[2].links[2].up = false);
    let example = finding
        .evidence
        .iter()
        .find(|line| line.contains("for example"))
        .unwrap();
    assert!(
        example.contains("/pod to") && example.contains("by icmp"),
        "{example}"
    );
    assert!(
        finding.advice[0].contains("ip link set vxlan.calico up"),
        "{finding:#?}"
    );
}

#[test]
fn a_stale_neighbour_of_the_node_network_is_told_from_a_cut_pair() {
    let wire_of_pair: fn(&Trip) -> bool = |trip| trip.crosses() && trip.touches(0) && trip.touches(1);
    let finding = found(4, wire_of_pair, |facts| {
        let entry = facts[1]
            .neighbours
            .iter_mut()
            .find(|entry| entry.link == "eth0")
            .unwrap();
        entry.mac = Some(MacAddress([2, 0, 0, 0, 0, 99]));
        entry.state = NeighbourState::Permanent;
    });
    assert_eq!(finding.cause, Cause::NeighbourStale, "{finding:#?}");
    let finding = found(4, wire_of_pair, |_| {});
    assert_eq!(finding.cause, Cause::NodePartitioned, "{finding:#?}");
    assert!(
        finding
            .ruled_out
            .iter()
            .any(|line| line.starts_with("neighbour-stale")),
        "{finding:#?}"
    );
}

#[test]
fn what_others_were_answered_by_tells_of_a_stale_neighbour_whose_own_kernel_cannot_be_asked() {
    let of_pair = |trip: &Trip| trip.crosses() && trip.touches(0) && trip.touches(3);
    let found = |believed_by_others: NeighbourState| {
        let mut world = World::with(4, move |trip| dead_if(trip.to == 3 || of_pair(trip)));
        // The kernel there answers others; its agents never came up.
        world.fate = Box::new(move |trip| {
            let answers = trip.kind == mesh_proto::ProbeKind::Icmp && trip.to_plane == Plane::Host;
            dead_if(of_pair(trip) || trip.touches(3) && !answers)
        });
        world.service =
            Box::new(|_, target| (!matches!(target, crate::Target::Agent(_))).then_some(Fate::Passes));
        world.absent = vec![3];
        let mut facts = kernels(4);
        let third = "10.0.3.4".parse::<std::net::IpAddr>().unwrap();
        for (node, of) in facts.iter_mut().enumerate() {
            for entry in of.neighbours.iter_mut().filter(|entry| entry.address == third) {
                entry.state = believed_by_others;
                if node == 0 {
                    entry.mac = Some(MacAddress([2, 0, 0, 0, 0, 99]));
                    entry.state = NeighbourState::Permanent;
                }
            }
        }
        world.facts = facts.into_iter().enumerate().take(3).collect();
        world.run().findings
    };
    let findings = found(NeighbourState::Reachable);
    let stale = findings.iter().find(|of| of.cause == Cause::NeighbourStale);
    let stale = stale.unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(stale.evidence[0].contains("as other nodes know"), "{stale:#?}");
    assert_eq!(
        stale.advice[0].split(": ").last(),
        Some("ip neigh del 10.0.3.4 dev eth0")
    );
    // What others only remember proves nothing.
    let findings = found(NeighbourState::Stale);
    assert!(
        findings.iter().all(|of| of.cause != Cause::NeighbourStale),
        "{findings:#?}"
    );
}

#[test]
fn who_was_answered_by_another_device_lately_met_a_second_machine() {
    let wire_of_pair: fn(&Trip) -> bool = |trip| trip.crosses() && trip.touches(0) && trip.touches(1);
    let finding = found(4, wire_of_pair, |facts| {
        let entry = facts[1].neighbours.iter_mut().find(|entry| entry.link == "eth0");
        entry.unwrap().mac = Some(MacAddress([2, 0, 0, 0, 0, 99]));
    });
    assert_eq!(
        (finding.cause, finding.confidence),
        (Cause::DuplicateAddress, Confidence::Certain),
        "{finding:#?}"
    );
}

#[test]
fn healthy_kernels_are_no_evidence_and_the_rest_is_ruled_out_in_words() {
    let finding = found(4, overlay_of_third, |_| {});
    // Devices, entries, routes and rules are in order: what is left is between the nodes.
    assert_eq!(
        (finding.cause, finding.confidence),
        (Cause::OverlayPortBlocked, Confidence::Likely)
    );
    for ruled_out in [
        "overlay-device-down",
        "overlay-port-mismatch",
        "overlay-peer-stale",
        "ip-forward-off",
    ] {
        assert!(
            finding.ruled_out.iter().any(|line| line.starts_with(ruled_out)),
            "{ruled_out}: {finding:#?}"
        );
    }
}

#[test]
fn a_rule_that_may_be_passed_by_makes_nothing_certain() {
    let finding = found(4, overlay_of_third, |facts| {
        let mut tests = overlay_port();
        tests.push(Match::Other("ipset allowed".to_owned()));
        insert(
            &mut facts[2],
            "INPUT",
            &tests,
            Action::Drop,
            "udp dport 8472 @allowed drop",
        );
    });
    assert_eq!(
        (finding.cause, finding.confidence),
        (Cause::OverlayPortBlocked, Confidence::Likely)
    );
}

#[test]
fn rules_of_a_policy_engine_are_a_policy() {
    let finding = found(4, forwarding_of_third, |facts| {
        insert(
            &mut facts[2],
            "FORWARD",
            &[],
            Action::Jump("cali-FORWARD".to_owned()),
            "jump cali-FORWARD",
        );
        let chain = mesh_proto::Chain {
            name: "cali-FORWARD".to_owned(),
            base: None,
            rules: Vec::new(),
        };
        facts[2].netfilter.tables[0].chains.push(chain);
        insert(&mut facts[2], "cali-FORWARD", &[], Action::Drop, "drop");
    });
    assert_eq!(finding.cause, Cause::PolicyBlocked, "{finding:#?}");
}

/// The answer to every knock at the third node.
fn knocked(kind: u8, code: u8) -> Finding {
    let world = World::with(4, |trip| dead_if(overlay_of_third(trip)));
    let mut matrix = world.matrix();
    let asked = matrix.second_look();
    let third: std::net::IpAddr = "10.0.3.3".parse().unwrap();
    for (agent, inquiries) in asked {
        let answers = inquiries.into_iter().filter_map(|inquiry| match inquiry.ask {
            Ask::Knock { target, .. } => Some(Answer {
                id: inquiry.id,
                seen: Seen::Knock(KnockEcho {
                    sent: 8,
                    answered: 0,
                    icmp: (target == third).then_some(IcmpError {
                        kind,
                        code,
                        from: target,
                    }),
                    local: None,
                }),
            }),
            _ => None,
        });
        matrix.answered(agent, answers.collect());
    }
    let report = matrix.into_report(crate::world::run_info());
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    report.findings.into_iter().next().unwrap()
}

#[test]
fn without_a_kernels_word_the_answer_to_a_knock_tells() {
    let finding = knocked(3, 10);
    assert_eq!(
        (finding.cause, finding.confidence),
        (Cause::OverlayPortBlocked, Confidence::Certain),
        "{finding:#?}"
    );
    let finding = knocked(3, 3);
    assert_eq!(
        (finding.cause, finding.confidence),
        (Cause::OverlayPortMismatch, Confidence::Possible),
        "{finding:#?}"
    );
    assert_eq!(finding.place.plane, Some(Plane::Pod));
}

#[test]
fn nothing_is_asked_where_all_is_well() {
    assert!(World::healthy(4).matrix().second_look().is_empty());
}

#[test]
fn rules_of_both_directions_at_most_nodes_are_of_those_nodes_and_not_of_all() {
    let at_blocked: Dead = |trip| trip.overlaid();
    let finding = found(4, at_blocked, |facts| {
        for node in [0, 1, 3] {
            for chain in ["INPUT", "OUTPUT"] {
                let rule = format!("{chain} udp dport 8472 drop");
                insert(&mut facts[node], chain, &overlay_port(), Action::Drop, &rule);
            }
        }
    });
    assert_eq!(finding.cause, Cause::OverlayPortBlocked);
    assert_eq!(finding.place.nodes.len(), 3, "{finding:#?}");
}
