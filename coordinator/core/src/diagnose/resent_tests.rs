use mesh_proto::{AgentIndex, Cause, Observation, ProbeKind};

use crate::world::{World, run_info};
use crate::{Matrix, PlanOptions, Round, Target};

/// Endpoints whose queries over UDP are answered to the second try only, to all but agents of their own node; the service is
/// slow for whoever meets one of them.
fn report(slow: &[usize]) -> mesh_proto::Report {
    let world = World::healthy(4);
    let round = Round::plan(world.roster(), &PlanOptions::default());
    let mut matrix = Matrix::new(round.clone());
    let homes = [0, 3].map(|node: usize| world.names[node].clone());
    for agent in (0..).map(AgentIndex).take(round.roster().agents.len()) {
        let own = round.roster().agents[agent.0 as usize].key.node.to_string();
        for probe in &round.plan_of(agent).unwrap().probes {
            let cell = round.cell(round.cell_of(agent, probe.id).unwrap());
            let is_slow = |number: &usize| slow.contains(number) && homes[*number] != own;
            let resent = match cell.target {
                Target::DnsEndpoint(number) if is_slow(&number) => 3,
                Target::Dns { .. } if [0, 1].iter().any(is_slow) => 1,
                _ => 0,
            };
            let resent = if cell.kind == ProbeKind::DnsUdp { resent } else { 0 };
            let seen = Observation {
                sent: 3,
                received: 3,
                resent,
                ..Observation::new(probe.id)
            };
            matrix.take(agent, seen).unwrap();
        }
    }
    matrix.into_report(run_info())
}

#[test]
fn endpoints_of_which_every_query_is_sent_again_are_slow_each_for_itself() {
    let names = World::healthy(4).names;
    let names = |nodes: &[usize]| -> Vec<String> { nodes.iter().map(|node| names[*node].clone()).collect() };
    for (slow, homes) in [(vec![0, 1], names(&[0, 3])), (vec![1], names(&[3]))] {
        let report = report(&slow);
        assert!(
            report.findings.iter().all(|of| of.cause == Cause::Slow),
            "{:#?}",
            report.findings
        );
        let mut found: Vec<String> = report
            .findings
            .iter()
            .flat_map(|of| of.place.nodes.iter().map(ToString::to_string))
            .collect();
        found.sort();
        assert_eq!(found, homes, "{:#?}", report.findings);
    }
    assert_eq!(report(&[]).findings, []);
}
