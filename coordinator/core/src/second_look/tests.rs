//! A service whose flows went to a dead endpoint by chance is told from one that is dead.

use mesh_proto::{AgentIndex, Answer, Ask, FlowTally, Inquiry, Observation, ProbeId, Report, Seen};

use crate::world::{Fate, World, run_info};
use crate::{Matrix, Target};

/// Four nodes, the third's overlay dead, and a `NodePort` with an endpoint on each node that the clients on the first node
/// asked at every node without an answer: too many dead flows for chance.
fn unlucky() -> Matrix {
    let mut world = World::with(4, |trip| {
        if trip.overlaid() && trip.touches(2) {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    world.backends = vec![0, 1, 2, 3];
    world.service = Box::new(|node, target| match target {
        Target::NodePort { service: 0, .. } if node == 0 => Some(Fate::TimesOut),
        Target::NodePort { .. } => Some(Fate::Passes),
        _ => None,
    });
    world.matrix()
}

fn is_again(ask: &Ask) -> bool {
    matches!(ask, Ask::Probe { probe, .. } if probe.flows > 16)
}

/// Answers what asks services again: so many of the tries came back.
fn answer(matrix: &mut Matrix, asked: Vec<(AgentIndex, Vec<Inquiry>)>, received: u32) -> usize {
    let mut again = 0;
    for (agent, inquiries) in asked {
        let answers = inquiries.into_iter().filter(|inquiry| is_again(&inquiry.ask));
        let answers: Vec<Answer> = answers
            .map(|inquiry| Answer {
                id: inquiry.id,
                seen: Seen::Probe(Observation {
                    sent: 24,
                    received,
                    incomplete_flows: (received..24)
                        .map(|port| FlowTally {
                            source_port: 40_000 + u16::try_from(port).unwrap(),
                            sent: 1,
                            received: 0,
                        })
                        .collect(),
                    ..Observation::new(ProbeId(inquiry.id.0))
                }),
            })
            .collect();
        again += answers.len();
        matrix.answered(agent, answers);
    }
    again
}

fn report_after(received: u32) -> Report {
    let mut matrix = unlucky();
    let asked = matrix.second_look();
    assert!(answer(&mut matrix, asked, received) > 4);
    matrix.into_report(run_info())
}

#[test]
fn a_service_that_answers_fresh_ports_is_no_fault_of_its_own() {
    assert_eq!(unlucky().into_report(run_info()).findings.len(), 2);
    let report = report_after(18);
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(report.unexplained, 0);
    assert_eq!(
        report.findings[0].place.nodes[0].as_str(),
        World::healthy(4).names[2]
    );
}

#[test]
fn a_service_that_is_dead_for_fresh_ports_too_stays_a_fault() {
    assert_eq!(report_after(0).findings.len(), 2);
}

#[test]
fn what_was_asked_is_not_asked_again() {
    let mut matrix = unlucky();
    assert!(!matrix.second_look().is_empty());
    assert!(matrix.second_look().is_empty());
}
