use mesh_proto::{AgentIndex, CellState, Failure, Observation, Plane, ProbeKind, Reason};

use super::super::{Judge, Judged};
use crate::matrix::Matrix;
use crate::round::Target;
use crate::world::{Fate, World};
use crate::{CellIndex, PlanOptions, Round};

fn judged(matrix: &Matrix) -> Vec<Judged> {
    let judge = Judge::new(matrix);
    let cells = (0..matrix.round().cell_count()).map(CellIndex);
    cells.map(|cell| judge.of(cell)).collect()
}

#[test]
fn a_node_that_left_meanwhile_is_not_known_and_has_not_failed() {
    let world = World::with(3, |trip| {
        if trip.touches(2) {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    let failed = |matrix: &Matrix| {
        let judged = judged(matrix);
        judged.iter().filter(|of| of.state == CellState::Failed).count()
    };
    let mut matrix = world.matrix();
    assert!(failed(&matrix) > 0);
    matrix.left(world.names[2].parse().unwrap());
    assert_eq!(failed(&matrix), 0, "its DNS endpoint left with it");
}

/// NodePorts that agents stand behind, and that do not answer.
fn dead_services() -> Matrix {
    let mut roster = World::healthy(3).roster();
    for service in &mut roster.cluster.node_ports {
        for backend in &mut service.backends {
            let agent = roster
                .agents
                .iter()
                .find(|agent| agent.key.plane == Plane::Pod && agent.key.node == backend.node);
            backend.address = agent.and_then(|agent| agent.address).unwrap();
        }
    }
    let mut matrix = Matrix::new(Round::plan(roster, &PlanOptions::default()));
    let agents = (0..).map(AgentIndex).take(matrix.round().roster().agents.len());
    for agent in agents {
        for probe in matrix.round().plan_of(agent).unwrap().probes.clone() {
            let cell = matrix.round().cell_of(agent, probe.id).unwrap();
            let dead = matches!(matrix.round().cell(cell).target, Target::NodePort { .. });
            let seen = Observation {
                sent: 12,
                received: if dead { 0 } else { 12 },
                failure: dead.then(|| Failure::new(Reason::Timeout)),
                ..Observation::new(probe.id)
            };
            matrix.take(agent, seen).unwrap();
        }
    }
    matrix
}

#[test]
fn a_service_that_sends_to_an_agent_that_takes_no_part_is_not_known() {
    let states = |matrix: &Matrix| {
        let judged = judged(matrix);
        let cells = matrix.round().cells().zip(&judged);
        let of_services = cells.filter(|(cell, _)| matches!(cell.target, Target::NodePort { .. }));
        of_services.map(|(_, judged)| judged.state).collect::<Vec<_>>()
    };
    let mut matrix = dead_services();
    assert!(states(&matrix).contains(&CellState::Failed));
    let node = matrix.round().roster().cluster.node_ports[0].backends[0]
        .node
        .clone();
    let (behind, _) = matrix.round().roster().find(&node, Plane::Pod).unwrap();
    matrix.lost(behind, "gone".to_owned());
    let states = states(&matrix);
    assert!(
        states.contains(&CellState::Unknown) && !states.contains(&CellState::Failed),
        "{states:?}"
    );
}

#[test]
fn a_kernel_that_answers_others_echo_requests_without_its_agent_fails_those_it_does_not_answer() {
    let of_icmp = |world: &World| {
        let matrix = world.matrix();
        let judged = judged(&matrix);
        let cells = matrix.round().cells().zip(&judged);
        let to_second = cells.filter(|(cell, _)| {
            let Target::Agent(to) = cell.target else {
                return false;
            };
            let key = &matrix.round().roster().agents[to.0 as usize].key;
            key.plane == Plane::Host && key.node.as_str() == world.names[1] && cell.kind == ProbeKind::Icmp
        });
        let states: Vec<CellState> = to_second.map(|(_, judged)| judged.state).collect();
        let count = |state| states.iter().filter(|of| **of == state).count();
        (count(CellState::Reachable), count(CellState::Failed))
    };
    // Only the first node does not reach it.
    let mut world = World::with(4, |trip| {
        let answers = trip.kind == ProbeKind::Icmp && trip.to_plane == Plane::Host && trip.from != 0;
        if trip.to == 1 && !answers {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    world.absent = vec![1];
    assert_eq!(
        of_icmp(&world),
        (4, 2),
        "from two nodes and two planes, and from one"
    );
    // Where only its own pods are answered, a filter of the node may be the reason as well.
    let mut world = World::with(4, |trip| {
        if trip.to == 1 {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    world.absent = vec![1];
    world.service = Box::new(|_, target| (!matches!(target, Target::Agent(_))).then_some(Fate::Passes));
    assert_eq!(
        of_icmp(&world),
        (0, 0),
        "a NodePort there answers, so it is not down"
    );
}

#[test]
fn a_node_that_took_none_of_the_runs_pods_need_not_know_of_its_services() {
    let states = |fresh: bool| {
        let mut world = World::with(4, |trip| {
            if trip.touches(2) {
                Fate::TimesOut
            } else {
                Fate::Passes
            }
        });
        world.service = Box::new(|_, target| match target {
            Target::NodePort { node, .. } if node.0 == 2 => Some(Fate::Fails(Failure::new(Reason::Refused))),
            Target::Agent(_) => None,
            _ => Some(Fate::Passes),
        });
        world.absent = vec![2];
        world.fresh = fresh;
        let matrix = world.matrix();
        let judged = judged(&matrix);
        let cells = matrix.round().cells().zip(&judged);
        let asked = cells
            .filter(|(cell, _)| matches!(cell.target, Target::NodePort { node, service: 0 } if node.0 == 2));
        asked.map(|(_, judged)| judged.state).collect::<Vec<_>>()
    };
    let count = |states: &[CellState], wanted| states.iter().filter(|state| **state == wanted).count();
    let (made, found) = (states(true), states(false));
    assert_eq!(
        (count(&made, CellState::Failed), count(&found, CellState::Failed)),
        (0, 6)
    );
    assert_eq!(
        count(&made, CellState::Unknown),
        count(&found, CellState::Unknown) + 6
    );
}
