use std::collections::BTreeMap;

use mesh_proto::{Failure, FlowTally, Micros, Observation, ProbeId, ProbeKind, Reason, Rtt};
use proptest::prelude::*;

use super::{Keeps, Note, Notes, Seen};
use crate::matrix::OutcomeId;
use crate::round::{CellIndex, Planned};

const ROW: usize = 50;
const ROWS: usize = 3;
const PLANNED: Planned = Planned { flows: 2, tries: 3 };

fn observation(received: u32, reason: Option<Reason>, p50: u32, starved: bool) -> Observation {
    let rtt = Micros(p50);
    let flow = FlowTally {
        source_port: 40_001,
        sent: 3,
        received: received.min(1),
    };
    Observation {
        sent: 6,
        received,
        incomplete_flows: if received < 6 { vec![flow] } else { Vec::new() },
        rtt: (received > 0).then_some(Rtt {
            min: rtt,
            p50: rtt,
            p99: rtt,
            max: rtt,
        }),
        failure: reason.filter(|_| received < 6).map(Failure::new),
        starved,
        ..Observation::new(ProbeId(0))
    }
}

fn some_observation() -> impl Strategy<Value = Observation> {
    let reason = prop_oneof![
        Just(None),
        Just(Some(Reason::Timeout)),
        Just(Some(Reason::Refused)),
        Just(Some(Reason::AdminProhibited))
    ];
    (
        prop_oneof![Just(6_u32), 0_u32..7],
        reason,
        prop_oneof![Just(120_u32), 400_000_u32..900_000],
        any::<bool>(),
    )
        .prop_map(|(received, reason, p50, starved)| {
            observation(received, reason, p50, starved && received < 3)
        })
}

/// What a step of a run does to a cell.
#[derive(Debug, Clone)]
enum Step {
    Take(usize, Box<Observation>),
    Forget(usize),
    Arrived(usize, u64),
    Settle(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let cell = || 0..ROW * ROWS;
    prop_oneof![
        6 => (cell(), some_observation()).prop_map(|(cell, seen)| Step::Take(cell, Box::new(seen))),
        1 => cell().prop_map(Step::Forget),
        2 => (cell(), 0_u64..9).prop_map(|(cell, requests)| Step::Arrived(cell, requests)),
        1 => (0..ROWS).prop_map(Step::Settle),
    ]
}

fn place(cell: usize) -> (usize, u32) {
    (cell / ROW, u32::try_from(cell % ROW).unwrap())
}

proptest! {
    #[test]
    fn what_was_seen_is_what_a_plain_map_holds(steps in prop::collection::vec(step(), 1..300), keeps in 0_usize..3) {
        let keeps = [Keeps::All, Keeps::some(0), Keeps::some(5)][keeps];
        let mut seen = Seen::new(ROW * ROWS, ROWS, keeps);
        let mut map: BTreeMap<usize, (Observation, u64)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Take(cell, observation) if !map.contains_key(&cell) => {
                    prop_assert!(!seen.is_observed(CellIndex(cell)));
                    seen.take(CellIndex(cell), place(cell), ProbeKind::Udp, PLANNED, (*observation).clone());
                    map.insert(cell, (*observation, 0));
                }
                Step::Take(..) => {}
                Step::Forget(cell) => {
                    prop_assert_eq!(seen.forget(CellIndex(cell), place(cell)), map.remove(&cell).is_some());
                }
                Step::Arrived(cell, requests) => {
                    seen.arrived(CellIndex(cell), place(cell), requests);
                    if let Some((_, arrived)) = map.get_mut(&cell) {
                        *arrived += requests;
                    }
                }
                Step::Settle(rank) => seen.settle(rank),
            }
        }
        seen.settle_all();
        prop_assert_eq!(seen.count(), map.len());
        prop_assert_eq!(seen.failures, map.values().filter(|(of, _)| of.failure.is_some()).count());
        for rank in 0..ROWS {
            let notes = seen.notes(rank);
            prop_assert!(notes.iter().is_sorted_by(|a, b| a.place < b.place));
            prop_assert_eq!(seen.observed_in(rank), map.keys().filter(|cell| place(**cell).0 == rank).count());
        }
        for cell in 0..ROW * ROWS {
            let known = map.get(&cell);
            prop_assert_eq!(seen.is_observed(CellIndex(cell)), known.is_some());
            let Some((known, arrived)) = known else { continue };
            let Some(id) = seen.note(CellIndex(cell), place(cell)) else {
                prop_assert!(known.received == 6 && !known.starved && known.rtt.unwrap().p50.0 < 500_000);
                continue;
            };
            let outcome = seen.outcome(id);
            prop_assert_eq!((outcome.sent, outcome.received, outcome.starved), (known.sent, known.received, known.starved));
            prop_assert_eq!(u64::from(outcome.arrived), *arrived);
            prop_assert_eq!(seen.outcomes.failure(outcome), known.failure.as_ref());
            let told = seen.outcomes.observation(ProbeId(0), outcome);
            prop_assert_eq!(told.incomplete_flows.len(), known.incomplete_flows.len());
            prop_assert_eq!(outcome.has_dead_flow, known.incomplete_flows.iter().any(|flow| flow.received == 0));
            if keeps == Keeps::All {
                prop_assert_eq!(seen.outcomes.full(outcome), Some(known));
            }
        }
    }
}

#[test]
fn cells_that_fared_alike_share_one_outcome_and_whole_ones_have_none() {
    let mut seen = Seen::new(ROW * ROWS, ROWS, Keeps::some(0));
    for cell in 0..ROW * ROWS {
        let received = if cell % 2 == 0 { 6 } else { 0 };
        let observation = observation(received, Some(Reason::Timeout), 100, false);
        seen.take(CellIndex(cell), place(cell), ProbeKind::Udp, PLANNED, observation);
    }
    seen.settle_all();
    assert_eq!(seen.outcomes.len(), 1);
    assert_eq!(seen.notes(0).len(), ROW / 2);
    assert_eq!(size_of::<super::Note>(), 8);
}

#[test]
fn a_row_whose_numbers_outgrow_two_bytes_keeps_what_it_had() {
    let mut notes = Notes::default();
    let note = |place: u32, outcome: u32| Note {
        place,
        outcome: OutcomeId(outcome),
    };
    let all = [
        note(7, 3),
        note(65_535, 65_535),
        note(2, 1),
        note(65_536, 0),
        note(9, 70_000),
    ];
    for (number, one) in all.iter().enumerate() {
        notes.push(*one);
        assert_eq!(notes.iter().collect::<Vec<_>>(), all[..=number]);
        assert_eq!(matches!(notes, Notes::Wide(_)), number >= 3);
    }
    notes.sort();
    assert_eq!(
        (notes.find(5, 9), notes.find(5, 8), notes.find(2, 9)),
        (Some(2), None, None)
    );
    let mut narrow = Notes::default();
    narrow.push(note(7, 3));
    narrow.set(0, OutcomeId(65_536));
    assert_eq!(narrow.get(0), note(7, 65_536));
    narrow.remove(0);
    assert_eq!(narrow.len(), 0);
}
