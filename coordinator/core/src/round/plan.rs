//! What one agent has to do.

use mesh_proto::{AgentIndex, DnsQuestion, Expect, Plan, PlannedProbe, ProbeId};

use super::{Round, Target, load};

/// The plan of an agent; `None` for one that is not present. A probe's number is its cell's place in the agent's row.
pub(super) fn plan(round: &Round, agent: AgentIndex) -> Option<Plan> {
    round.roster.agent(agent)?.prepared()?;
    let Some(source) = round.layout.source(agent) else {
        return Some(Plan {
            pacing: round.options.pacing,
            probes: Vec::new(),
        });
    };
    let places = round.places_in_turn(agent, source).into_iter();
    let probes = places.filter_map(|place| probe(round, agent, source.rank, place));
    let mut probes: Vec<PlannedProbe> = probes.collect();
    // Each agent begins behind itself, so that not all of them fall upon the first node at once.
    let row = usize::try_from(agent.0).unwrap_or(0);
    let begin = probes.len() * row / round.roster.agents.len().max(1);
    probes.rotate_left(begin);
    Some(Plan {
        pacing: round.pacing(),
        probes,
    })
}

pub(super) fn probe(round: &Round, from: AgentIndex, rank: usize, place: usize) -> Option<PlannedProbe> {
    let (target, kind) = round.layout.asked(rank, place);
    if !round.is_tried(from, target) {
        return None;
    }
    let (address, port) = round.address(from, target, kind);
    let (flows, tries) = load::flows_and_tries(&round.roster, kind, target, &round.options);
    let expect = match target {
        Target::Agent(index) => Expect::Agent(index),
        Target::Loopback => Expect::Agent(from),
        Target::Api | Target::Dns { .. } | Target::DnsEndpoint(_) | Target::NodePort { .. } => Expect::Anyone,
    };
    let as_application = match target {
        Target::Dns { as_application } => Some(as_application),
        Target::DnsEndpoint(_) => Some(false),
        _ => None,
    };
    let name = || {
        let dns = round.roster.cluster.dns.as_ref();
        dns.map(|dns| dns.name.clone()).unwrap_or_default()
    };
    Some(PlannedProbe {
        id: ProbeId(u32::try_from(place).ok()?),
        kind,
        address: address?,
        port,
        expect,
        flows,
        tries,
        interval: round.options.interval,
        timeout: round.options.timeout,
        dns: as_application.map(|as_application| DnsQuestion {
            name: name(),
            as_application,
        }),
    })
}
