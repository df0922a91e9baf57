use mesh_proto::{CellState, Failure, FlowTally, Observation, PathMtu, ProbeId, ProbeKind, Reason};

use super::Judged;
use crate::matrix::Outcomes;

/// The judgement of one observation by itself.
fn judge_tries(kind: ProbeKind, seen: &Observation) -> Judged {
    let mut outcomes = Outcomes::default();
    let id = outcomes.intern(kind, seen.clone(), false);
    let outcome = outcomes.get(id);
    super::judge_tries(outcome, outcomes.failure(outcome).map(|failure| failure.reason))
}

fn seen(sent: u32, received: u32) -> Observation {
    Observation {
        sent,
        received,
        ..Observation::new(ProbeId(0))
    }
}

fn flow(sent: u32, received: u32) -> FlowTally {
    FlowTally {
        source_port: 1,
        sent,
        received,
    }
}

#[test]
fn the_contracts_rules_of_reachable_degraded_and_failed() {
    use CellState::{Degraded, Failed, Reachable};
    let refused = Some(Failure::new(Reason::Refused));
    let table = [
        ("all came back", seen(5, 5), Reachable),
        ("nothing came back", seen(5, 0), Failed),
        ("one lost", seen(5, 4), Degraded),
        ("half lost", seen(6, 3), Degraded),
        ("more than half lost", seen(5, 2), Failed),
        (
            "resent",
            Observation {
                resent: 1,
                ..seen(3, 3)
            },
            Degraded,
        ),
        (
            "a dead flow",
            Observation {
                incomplete_flows: vec![flow(3, 0)],
                ..seen(12, 9)
            },
            Failed,
        ),
        (
            "a flow tried twice proves nothing",
            Observation {
                incomplete_flows: vec![flow(2, 0)],
                ..seen(12, 10)
            },
            Degraded,
        ),
        (
            "a lossy flow",
            Observation {
                incomplete_flows: vec![flow(3, 1)],
                ..seen(12, 10)
            },
            Degraded,
        ),
        (
            "refused",
            Observation {
                failure: refused,
                ..seen(3, 0)
            },
            Failed,
        ),
    ];
    for (what, seen, state) in table {
        assert_eq!(judge_tries(ProbeKind::Udp, &seen).state, state, "{what}");
    }
}

#[test]
fn the_reason_of_a_failed_cell_is_what_the_agent_saw_and_a_time_out_where_it_saw_nothing() {
    let silent = judge_tries(ProbeKind::Icmp, &seen(5, 0));
    assert_eq!(silent.seen(), Some(Reason::Timeout));
    let refused = Observation {
        failure: Some(Failure::new(Reason::AdminProhibited)),
        ..seen(5, 0)
    };
    assert_eq!(
        judge_tries(ProbeKind::Icmp, &refused).seen(),
        Some(Reason::AdminProhibited)
    );
}

#[test]
fn a_smaller_path_mtu_is_reachable_when_the_kernel_was_told_and_failed_when_large_packets_vanish() {
    let told = Observation {
        path_mtu: Some(PathMtu {
            largest: 1450,
            tried: 1500,
            told: true,
        }),
        ..seen(4, 2)
    };
    assert_eq!(judge_tries(ProbeKind::PathMtu, &told).state, CellState::Reachable);
    let vanish = Observation {
        path_mtu: Some(PathMtu {
            largest: 1400,
            tried: 1500,
            told: false,
        }),
        failure: Some(Failure::new(Reason::Timeout)),
        ..seen(9, 5)
    };
    assert_eq!(judge_tries(ProbeKind::PathMtu, &vanish).state, CellState::Failed);
}
