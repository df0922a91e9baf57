//! What is believed of an agent's observations: they must fit the plan it was given.

mod answers;

use mesh_proto::wire::{WireError, v1};
use mesh_proto::{AgentIndex, Failure, Observation, Plan, PlannedProbe, ProbeId, ProbeKind, WAVES};

pub(super) use self::answers::Inquired;
use super::work::Work;
use crate::link::printable;

/// An agent that broke the rules. Nothing more of it is believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Breach {
    /// A message that does not fit.
    #[error("the agent sent garbage: {0}")]
    Garbage(#[from] WireError),
    /// More tries than were asked for.
    #[error("the agent reports {reported} tries of probe {probe}, {asked} were asked for")]
    TooManyTries { probe: u32, reported: u32, asked: u32 },
    /// More flows than were asked for.
    #[error("the agent reports {reported} flows of probe {probe}, {asked} were asked for")]
    TooManyFlows { probe: u32, reported: usize, asked: u16 },
    /// It goes on after its summary.
    #[error("the agent goes on after the end of its plan")]
    AfterTheEnd,
    /// Observations that belong to no probe, or twice to one.
    #[error("the agent lies: {0}")]
    Stray(#[from] mesh_core::Stray),
    /// An answer to no question, or a second one.
    #[error("the agent lies: it answers inquiry {0}, which nobody put to it, or twice")]
    Unasked(u32),
    /// An answer to another question.
    #[error("the agent's answer to inquiry {0} does not fit what was asked")]
    Unfit(u32),
}

/// What an agent was asked, to check observations against, and of which probes one came.
#[derive(Debug)]
pub(super) struct Asked {
    work: Work,
    agent: AgentIndex,
    /// By probe number, a bit each.
    seen: Vec<u64>,
}

impl Asked {
    pub(super) fn of(work: Work, agent: AgentIndex) -> Self {
        Self {
            work,
            agent,
            seen: Vec::new(),
        }
    }

    /// Parses and checks one observation. One of a probe that is not in the plan passes here: the matrix refuses it.
    pub(super) fn check(&mut self, message: &v1::Observation) -> Result<Observation, Breach> {
        let observation = Observation::from_wire(message)?;
        if let Some(probe) = self.work.probe(self.agent, observation.id) {
            check_counts(&probe, &observation)?;
            let (word, bit) = place(probe.id);
            if self.seen.len() <= word {
                self.seen.resize(word + 1, 0);
            }
            self.seen[word] |= bit;
        }
        Ok(in_fair_words(observation))
    }

    /// The plan without what was observed.
    pub(super) fn left(&self) -> Option<Plan> {
        let mut plan = self.work.plan_of(self.agent)?;
        plan.probes.retain(|probe| {
            let (word, bit) = place(probe.id);
            self.seen.get(word).is_none_or(|seen| seen & bit == 0)
        });
        Some(plan)
    }

    /// How many probes are asked for in all.
    pub(super) fn count(&self) -> usize {
        self.work.probes_of(self.agent)
    }

    /// Of how many an observation came.
    pub(super) fn seen(&self) -> usize {
        self.seen.iter().map(|word| word.count_ones() as usize).sum()
    }
}

fn place(ProbeId(id): ProbeId) -> (usize, u64) {
    (id as usize / 64, 1 << (id % 64))
}

fn check_counts(probe: &PlannedProbe, observation: &Observation) -> Result<(), Breach> {
    let reported = observation.incomplete_flows.len();
    if let Some(asked) = most_tries(probe)
        && observation.sent > asked
    {
        return Err(Breach::TooManyTries {
            probe: probe.id.0,
            reported: observation.sent,
            asked,
        });
    }
    if reported > usize::from(probe.flows) {
        return Err(Breach::TooManyFlows {
            probe: probe.id.0,
            reported,
            asked: probe.flows,
        });
    }
    Ok(())
}

/// How many tries a probe may count; `None` where its search decides.
fn most_tries(probe: &PlannedProbe) -> Option<u32> {
    let planned = u32::from(probe.flows) * u32::from(probe.tries);
    match probe.kind {
        ProbeKind::PathMtu => None,
        ProbeKind::DnsUdp | ProbeKind::DnsTcp if probe.dns.as_ref().is_some_and(|dns| dns.as_application) => {
            None
        }
        ProbeKind::Icmp | ProbeKind::Udp => Some(planned * WAVES),
        // A flow that stays silent counts each SYN or query that was sent again, one a second at the most; and on a busy
        // machine the end of its time may come as late again.
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsUdp | ProbeKind::DnsTcp => {
            let resends = u32::from(probe.flows) * (probe.timeout.0 / 500 + 1);
            Some(planned + resends)
        }
    }
}

/// An agent's words go into reports and onto terminals.
fn in_fair_words(mut observation: Observation) -> Observation {
    let fair = |words: &mut String| *words = printable(words);
    observation.untried.iter_mut().for_each(fair);
    if let Some(Failure { local, detail, .. }) = &mut observation.failure {
        if let Some(local) = local {
            fair(&mut local.call);
        }
        detail.iter_mut().for_each(fair);
    }
    if let Some(certificate) = &mut observation.certificate {
        fair(&mut certificate.subject);
        fair(&mut certificate.issuer);
        fair(&mut certificate.sha256);
        certificate.names.iter_mut().for_each(fair);
    }
    observation
}
