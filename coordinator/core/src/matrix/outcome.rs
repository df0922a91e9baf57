//! What became of cells that are not plainly whole. Most of them fared like many others, so that each way to fare is kept
//! once and has a number.

use std::collections::HashMap;

use mesh_proto::{Failure, FlowTally, Micros, Observation, PathMtu, ProbeId, ProbeKind, Rtt};

use crate::mixing::QuickMap;

/// The number of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OutcomeId(pub(crate) u32);

/// How a cell fared: what the judgement and the localiser need of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Outcome {
    pub(crate) kind: ProbeKind,
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) resent: u32,
    /// Flows of which not all tries were answered.
    incomplete: u32,
    /// Those of which nothing came back.
    pub(crate) dead_flows: u32,
    /// Tries on those.
    pub(crate) sent_on_dead: u32,
    /// One of them was tried three times and more.
    pub(crate) has_dead_flow: bool,
    pub(crate) starved: bool,
    pub(crate) path_mtu: Option<PathMtu>,
    /// The median of round-trip times, where that is longer than [`NEVER_SLOW`]; coarse.
    pub(crate) slow: Option<Micros>,
    failure: Option<u32>,
    untried: Option<u32>,
    /// Requests that the far agent says it received.
    pub(crate) arrived: u32,
    /// The observation itself, where it is kept.
    full: Option<u32>,
}

/// What answers within this is not slow, however fast its peers are.
pub(crate) const NEVER_SLOW: Micros = Micros(500_000);

/// All outcomes of a matrix.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    all: Vec<Outcome>,
    numbers: QuickMap<Outcome, OutcomeId>,
    failures: Vec<Failure>,
    failure_numbers: HashMap<Failure, u32>,
    words: Vec<String>,
    word_numbers: HashMap<String, u32>,
    full: Vec<Observation>,
}

/// So many ways to fail are told apart. Only agents that lie have more; then no words are kept of the rest.
const MOST_FAILURES: usize = 1 << 16;

impl Outcomes {
    pub(crate) fn get(&self, id: OutcomeId) -> &Outcome {
        &self.all[id.0 as usize]
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The number of what an observation says; `keep` keeps all of it.
    pub(crate) fn intern(&mut self, kind: ProbeKind, seen: Observation, keep: bool) -> OutcomeId {
        let outcome = self.of(kind, &seen);
        if keep && let Ok(full) = u32::try_from(self.full.len()) {
            self.full.push(seen);
            return self.push(Outcome {
                full: Some(full),
                ..outcome
            });
        }
        self.number(outcome)
    }

    /// The number of the same with so many more requests arrived.
    pub(crate) fn arrived(&mut self, id: OutcomeId, requests: u64) -> OutcomeId {
        let so_far = *self.get(id);
        let arrived = u64::from(so_far.arrived).saturating_add(requests);
        let outcome = Outcome {
            arrived: u32::try_from(arrived).unwrap_or(u32::MAX),
            ..so_far
        };
        if outcome.full.is_some() {
            self.all[id.0 as usize] = outcome;
            return id;
        }
        self.number(outcome)
    }

    pub(crate) fn failure(&self, outcome: &Outcome) -> Option<&Failure> {
        self.failures.get(outcome.failure? as usize)
    }

    pub(crate) fn untried(&self, outcome: &Outcome) -> Option<&str> {
        self.words.get(outcome.untried? as usize).map(String::as_str)
    }

    /// The observation as it came, where it is kept.
    pub(crate) fn full(&self, outcome: &Outcome) -> Option<&Observation> {
        self.full.get(outcome.full? as usize)
    }

    /// The observation as far as it is known: of one that was not kept neither times nor ports are.
    pub(crate) fn observation(&self, id: ProbeId, outcome: &Outcome) -> Observation {
        let alive = outcome.incomplete.saturating_sub(outcome.dead_flows);
        let lost = outcome.sent.saturating_sub(outcome.received);
        let dead = (0..outcome.dead_flows).map(|_| FlowTally {
            source_port: 0,
            sent: outcome.sent_on_dead / outcome.dead_flows.max(1),
            received: 0,
        });
        let lost_of_alive = lost.saturating_sub(outcome.sent_on_dead);
        // As if they had fared alike, which they did where each lost one.
        let lossy = (0..alive).map(|_| FlowTally {
            source_port: 0,
            sent: (lost_of_alive / alive).max(1) + 2,
            received: 2,
        });
        Observation {
            sent: outcome.sent,
            received: outcome.received,
            resent: outcome.resent,
            incomplete_flows: dead.chain(lossy).collect(),
            rtt: outcome.slow.map(|p50| Rtt {
                min: p50,
                p50,
                p99: p50,
                max: p50,
            }),
            failure: self.failure(outcome).cloned(),
            path_mtu: outcome.path_mtu,
            untried: self.untried(outcome).map(str::to_owned),
            starved: outcome.starved,
            ..Observation::new(id)
        }
    }

    fn of(&mut self, kind: ProbeKind, seen: &Observation) -> Outcome {
        let flows = &seen.incomplete_flows;
        let dead = || flows.iter().filter(|flow| flow.received == 0);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Outcome {
            kind,
            sent: seen.sent,
            received: seen.received,
            resent: seen.resent,
            incomplete: count(flows.len()),
            dead_flows: count(dead().count()),
            sent_on_dead: dead().fold(0, |sum, flow| sum.saturating_add(flow.sent)),
            has_dead_flow: dead().any(|flow| flow.sent >= 3),
            starved: seen.starved,
            path_mtu: seen.path_mtu,
            slow: seen
                .rtt
                .map(|rtt| rtt.p50)
                .filter(|p50| *p50 >= NEVER_SLOW)
                .map(coarse),
            failure: seen
                .failure
                .as_ref()
                .map(|failure| self.number_of_failure(failure)),
            untried: seen.untried.as_ref().map(|why| self.number_of_words(why)),
            arrived: 0,
            full: None,
        }
    }

    fn number(&mut self, outcome: Outcome) -> OutcomeId {
        if let Some(id) = self.numbers.get(&outcome) {
            return *id;
        }
        let id = self.push(outcome);
        self.numbers.insert(outcome, id);
        id
    }

    fn push(&mut self, outcome: Outcome) -> OutcomeId {
        let id = OutcomeId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.all.push(outcome);
        id
    }

    fn number_of_failure(&mut self, failure: &Failure) -> u32 {
        if let Some(number) = self.failure_numbers.get(failure) {
            return *number;
        }
        if self.failures.len() >= MOST_FAILURES && (failure.detail.is_some() || failure.local.is_some()) {
            return self.number_of_failure(&Failure {
                detail: None,
                local: None,
                ..failure.clone()
            });
        }
        let number = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        self.failures.push(failure.clone());
        self.failure_numbers.insert(failure.clone(), number);
        number
    }

    fn number_of_words(&mut self, why: &str) -> u32 {
        if let Some(number) = self.word_numbers.get(why) {
            return *number;
        }
        if self.words.len() >= MOST_FAILURES {
            return 0;
        }
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.words.push(why.to_owned());
        self.word_numbers.insert(why.to_owned(), number);
        number
    }
}

/// To within three in a hundred, so that times make few outcomes.
fn coarse(Micros(time): Micros) -> Micros {
    let drop = time.checked_ilog2().unwrap_or(0).saturating_sub(5);
    Micros(time >> drop << drop)
}
