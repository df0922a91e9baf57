use mesh_proto::{AgentIndex, Expect, ProbeId, ProbeKind};

use super::{CellIndex, Effort, Round, Target};
use crate::world::World;
use crate::{PlanOptions, Presence};

fn efforts(round: &Round) -> impl Iterator<Item = Effort> {
    (0..round.cell_count()).map(|cell| round.effort(CellIndex(cell)))
}

fn count(round: &Round, like: impl Fn(&super::PlannedCell) -> bool) -> usize {
    round.cells().filter(like).count()
}

#[test]
fn every_agent_tries_every_other_in_all_plane_combinations_and_every_service() {
    for nodes in [2, 3, 9] {
        let round = Round::plan(World::healthy(nodes).roster(), &PlanOptions::default());
        let agents = 2 * nodes;
        assert_eq!(
            count(&round, |cell| matches!(cell.target, Target::Agent(_))),
            agents * (agents - 1) * 4
        );
        assert_eq!(count(&round, |cell| cell.target == Target::Loopback), agents * 3);
        assert_eq!(count(&round, |cell| cell.target == Target::Api), agents * 2);
        assert_eq!(
            count(&round, |cell| matches!(cell.target, Target::Dns { .. })),
            agents * 2
        );
        assert_eq!(
            count(&round, |cell| matches!(cell.target, Target::DnsEndpoint(_))),
            agents * 2 * 2
        );
        assert_eq!(
            count(&round, |cell| matches!(cell.target, Target::NodePort { .. })),
            agents * nodes * 2
        );
    }
}

#[test]
fn a_service_is_never_asked_by_icmp() {
    let round = Round::plan(World::healthy(3).roster(), &PlanOptions::default());
    let service = |target: &Target| !matches!(target, Target::Agent(_) | Target::Loopback);
    assert_eq!(
        count(&round, |cell| cell.kind == ProbeKind::Icmp
            && service(&cell.target)),
        0
    );
}

#[test]
fn a_local_node_port_is_skipped_where_no_backend_stands() {
    let round = Round::plan(World::healthy(4).roster(), &PlanOptions::default());
    let skipped = efforts(&round)
        .filter(|effort| matches!(effort, Effort::Skipped(_)))
        .count();
    // One of the two services is Local with a backend on one node of four; eight agents ask.
    assert_eq!(skipped, 8 * 3);
}

#[test]
fn dns_is_asked_as_an_application_only_where_resolv_conf_names_the_clusters_dns_alone() {
    for (nameservers, asked) in [
        (vec!["10.96.0.10"], 1),
        (vec!["10.96.0.10", "8.8.8.8"], 0),
        (vec![], 0),
    ] {
        let mut roster = World::healthy(2).roster();
        if let Presence::Present(prepared) = &mut roster.agents[0].presence {
            prepared.nameservers = nameservers.iter().map(|text| text.parse().unwrap()).collect();
        }
        let round = Round::plan(roster, &PlanOptions::default());
        assert_eq!(
            count(&round, |cell| cell.target == Target::Dns { as_application: true }),
            asked
        );
    }
}

#[test]
fn each_probe_of_a_plan_fills_one_cell_and_names_who_must_answer() {
    let round = Round::plan(World::healthy(3).roster(), &PlanOptions::default());
    let mut filled = std::collections::BTreeSet::new();
    for agent in (0..6).map(AgentIndex) {
        let plan = round.plan_of(agent).unwrap();
        for probe in &plan.probes {
            let cell = round.cell_of(agent, probe.id).unwrap();
            assert!(filled.insert(cell), "a cell is filled twice");
            let planned = round.cell(cell);
            assert_eq!(
                (planned.from, planned.kind, planned.address),
                (agent, probe.kind, Some(probe.address))
            );
            match planned.target {
                Target::Agent(to) => assert_eq!(probe.expect, Expect::Agent(to)),
                Target::Loopback => assert_eq!(probe.expect, Expect::Agent(agent)),
                _ => assert_eq!(probe.expect, Expect::Anyone),
            }
        }
        assert_eq!(round.cell_of(agent, ProbeId(u32::MAX)), None);
    }
    let tried = efforts(&round).filter(|effort| *effort == Effort::Tried).count();
    assert_eq!(filled.len(), tried);
    assert_eq!(
        (0..6)
            .map(|agent| round.tried_by(AgentIndex(agent)))
            .sum::<usize>(),
        tried
    );
}

#[test]
fn from_an_absent_agent_nothing_is_tried_and_the_reason_is_kept() {
    let mut world = World::healthy(3);
    world.absent = vec![1];
    let round = Round::plan(world.roster(), &PlanOptions::default());
    assert!(round.plan_of(AgentIndex(2)).is_none() && round.plan_of(AgentIndex(3)).is_none());
    let numbers = (0..round.cell_count()).map(CellIndex);
    for cell in numbers.filter(|cell| round.cell(*cell).from == AgentIndex(2)) {
        match round.effort(cell) {
            Effort::Impossible(why) => assert!(why.contains("connection refused")),
            effort => assert!(matches!(effort, Effort::Skipped(_)), "{effort:?}"),
        }
    }
}

/// How many agents at the most try one of an agent's cells at the same step of their plans. Steps are a share of the spread each,
/// so this, times flows, is the burst that an agent's network gets at the most.
fn most_at_once(round: &Round) -> usize {
    let agents = 0..u32::try_from(round.roster().agents.len()).unwrap();
    let plans: Vec<_> = agents
        .filter_map(|agent| round.plan_of(AgentIndex(agent)))
        .collect();
    let longest = plans.iter().map(|plan| plan.probes.len()).max().unwrap();
    let met_in = |step: usize| {
        let mut met = vec![0; round.roster().agents.len()];
        for probe in plans.iter().filter_map(|plan| plan.probes.get(step)) {
            if let Expect::Agent(to) = probe.expect {
                met[to.0 as usize] += 1;
            }
        }
        met.into_iter().max().unwrap_or(0)
    };
    (0..longest).map(met_in).max().unwrap()
}

#[test]
fn few_agents_meet_at_one_at_the_same_time() {
    for nodes in [3, 10, 40] {
        let round = Round::plan(World::healthy(nodes).roster(), &PlanOptions::default());
        assert!(
            most_at_once(&round) <= 3,
            "{nodes} nodes: {}",
            most_at_once(&round)
        );
        let round = with_peers(nodes, 6, 5);
        assert!(
            most_at_once(&round) <= 8,
            "{nodes} nodes: {}",
            most_at_once(&round)
        );
    }
}

fn with_peers(nodes: usize, count: usize, turn: usize) -> Round {
    let options = PlanOptions {
        peers: Some(crate::Peers { count, turn }),
        ..PlanOptions::default()
    };
    Round::plan(World::healthy(nodes).roster(), &options)
}

#[test]
fn with_few_peers_each_agent_tries_its_own_node_its_peers_and_all_services() {
    for (nodes, count) in [(5, 2), (9, 4), (30, 6), (30, 29), (30, 100)] {
        let round = with_peers(nodes, count, 17);
        let peers = count.min(nodes - 1);
        assert_eq!(round.rotation().is_some(), count < nodes - 1);
        let tried = |cell: &usize| round.effort(CellIndex(*cell)) == Effort::Tried;
        let all: Vec<usize> = (0..round.cell_count()).filter(tried).collect();
        let mut planned = Vec::new();
        for agent in (0..2 * nodes).map(|agent| AgentIndex(u32::try_from(agent).unwrap())) {
            let plan = round.plan_of(agent).unwrap();
            let cells = plan
                .probes
                .iter()
                .map(|probe| round.cell_of(agent, probe.id).unwrap());
            let cells: Vec<CellIndex> = cells.collect();
            assert_eq!(round.tried_by(agent), cells.len());
            let to_agents = cells
                .iter()
                .filter(|cell| matches!(round.cell(**cell).target, Target::Agent(_)));
            assert_eq!(
                to_agents.count(),
                4 * (2 * peers + 1),
                "both planes, and the other one here"
            );
            assert_eq!(round.in_turn_of(agent), cells.len() + round.skipped_by(agent));
            planned.extend(cells.into_iter().map(|cell| cell.0));
        }
        planned.sort_unstable();
        assert_eq!(planned, all);
        assert_eq!(round.all_tried(), all.len());
    }
}
