//! One case: a cluster and its faults, drawn from a seed, and the matrix that agents would have filled there.

use mesh_core::{Matrix, Peers, PlanOptions, Round, RunInfo, Target};
use mesh_proto::{AgentIndex, Ground, Millis, Plane, ProbeKind, Protocol, Starvation, Summary, Tally};

use crate::agent::{Seen, observe, whole};
use crate::cluster::{Site, agent_of, place_of};
use crate::fault::Fault;
use crate::network::Network;
use crate::packet::{Hook, Server};
use crate::rule::{Action, Rule};

/// What cases are drawn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The first of the numbers that make chance.
    pub seed: u64,
    /// The fewest and the most nodes.
    pub nodes: (usize, usize),
    /// The fewest and the most faults at once.
    pub faults: (usize, usize),
    /// The share of packets that each wire loses, besides all faults.
    pub loss: f64,
    /// How many other nodes each node probes; `None` for all.
    pub peers: Option<usize>,
}

/// A cluster and its faults.
#[derive(Debug, Clone)]
pub struct Case {
    /// The cluster.
    pub site: Site,
    /// What is broken.
    pub faults: Vec<Fault>,
    /// An agent whose link died half-way.
    lost: Option<AgentIndex>,
    loss: f64,
    peers: Option<Peers>,
    seed: u64,
}

/// What agents saw.
#[derive(Debug)]
pub struct Seeing {
    /// All observations.
    pub matrix: Matrix,
    /// For each fault the cells that are not whole by it alone.
    pub shows_in: Vec<usize>,
}

/// A tally while there are millions of them.
#[derive(Debug, Clone, Copy)]
struct Received {
    from: AgentIndex,
    kind: ProbeKind,
    requests: u16,
}

impl Received {
    fn new(from: AgentIndex, kind: ProbeKind, requests: u64) -> Self {
        Self {
            from,
            kind,
            requests: u16::try_from(requests).unwrap_or(u16::MAX),
        }
    }

    fn tally(self) -> Tally {
        Tally {
            from: self.from,
            kind: self.kind,
            requests: self.requests.into(),
        }
    }
}

/// Rules that are no fault of the network: nobody stands there, or is too busy to answer.
const NOBODY: usize = 62;
const BUSY: usize = 63;

impl Case {
    /// Draws the case with this number.
    pub fn draw(draw: &Draw, number: u64) -> Self {
        let seed = draw.seed.wrapping_mul(1_000_003).wrapping_add(number);
        let mut rng = fastrand::Rng::with_seed(seed);
        let nodes = nodes(draw.nodes, &mut rng);
        let mut site = Site::draw(nodes, &mut rng);
        let count = rng.usize(draw.faults.0..=draw.faults.1);
        let mut faults: Vec<Fault> = Vec::new();
        while faults.len() < count {
            let fault = Fault::draw(&site, &mut rng);
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        for fault in &faults {
            if let Fault::Off { node } = fault {
                site.off.push(*node);
            }
        }
        let lost = (rng.usize(0..10) == 0).then(|| {
            let plane = if rng.bool() { Plane::Pod } else { Plane::Host };
            agent_of(rng.usize(0..nodes), plane)
        });
        Self {
            site,
            faults,
            lost,
            loss: draw.loss,
            peers: draw.peers.map(|count| Peers {
                count,
                turn: rng.usize(..),
            }),
            seed,
        }
    }

    /// Lets all agents probe.
    pub fn run(&self) -> Seeing {
        let mut rules: Vec<Rule> = self
            .faults
            .iter()
            .enumerate()
            .flat_map(|(number, fault)| fault.rules(number, &self.site))
            .collect();
        rules.extend(self.conditions());
        let rng = fastrand::Rng::with_seed(self.seed ^ 0x6d65_7368);
        let mut network = Network::new(self.site.clone(), rules, self.loss, rng);
        let round = Round::plan(
            self.site.roster(),
            &PlanOptions {
                peers: self.peers,
                ..PlanOptions::default()
            },
        );
        let mut matrix = Matrix::new(round.clone());
        let agents = round.roster().agents.len();
        let mut tallies: Vec<Vec<Received>> = vec![Vec::new(); agents];
        let mut shows_in = vec![0; self.faults.len()];
        // Of what is whole the matrix of a large cluster knows without being told.
        let keeps_tallies = self.site.nodes() <= 128;
        for (agent, _) in round.roster().indexed() {
            let Some(plan) = round.plan_of(agent) else {
                continue;
            };
            let from = place_of(agent);
            let is_starved = self.site.starved.contains(&from.0);
            let until = if self.lost == Some(agent) {
                plan.probes.len() / 2
            } else {
                plan.probes.len()
            };
            for probe in &plan.probes[..until] {
                let Some(cell) = round.cell_of(agent, probe.id) else {
                    continue;
                };
                let cell = &round.cell(cell);
                if let Some(mut whole) = whole(&mut network, from, cell, probe) {
                    if keeps_tallies
                        && probe.kind != ProbeKind::Icmp
                        && let Target::Agent(to) = cell.target
                    {
                        tallies[to.0 as usize].push(Received::new(agent, cell.kind, whole.received.into()));
                    }
                    whole.starved = is_starved && network.rng.bool();
                    _ = matrix.take(agent, whole);
                    continue;
                }
                let Seen {
                    mut observation,
                    arrived,
                    alone: blamed,
                    ..
                } = observe(&mut network, from, cell, probe);
                let counted = probe.kind != ProbeKind::Icmp;
                let is_known = !keeps_tallies && observation.received == observation.sent;
                if let Target::Agent(to) = cell.target
                    && counted
                    && arrived > 0
                    && !is_known
                {
                    let received = Received::new(agent, cell.kind, arrived);
                    tallies[to.0 as usize].push(received);
                }
                observation.starved = is_starved && network.rng.bool();
                if !is_starved && !self.is_in_doubt(&cell.target) {
                    let shows = shows_in.iter_mut().enumerate();
                    shows.for_each(|(number, count)| *count += usize::from(blamed & (1 << number) != 0));
                }
                // It was planned and is taken once, so it is no stray.
                _ = matrix.take(agent, observation);
            }
            matrix.summary(agent, Summary::default());
        }
        drop(network);
        self.close(&mut matrix, tallies);
        Seeing { matrix, shows_in }
    }

    /// Whether nothing is held against a cell to this target, since its agent is not there or starved.
    fn is_in_doubt(&self, target: &Target) -> bool {
        let Target::Agent(to) = target else { return false };
        let (node, plane) = place_of(*to);
        self.lost == Some(*to)
            || self.site.absent.contains(&(node, plane))
            || self.site.starved.contains(&node)
    }

    fn conditions(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            // The node itself is there: its kernel answers for the process that is not.
            for (node, plane) in &self.site.absent {
                let rule = Rule::new(NOBODY, Hook::Server, Action::Close).at(*node);
                rules.push(Rule {
                    server: Some(Server::Agent(*node, *plane)),
                    protocol: Some(protocol),
                    ..rule
                });
            }
            for node in &self.site.starved {
                for plane in [Plane::Pod, Plane::Host] {
                    let rule = Rule::new(BUSY, Hook::Server, Action::Share(0.3)).at(*node);
                    rules.push(Rule {
                        server: Some(Server::Agent(*node, plane)),
                        protocol: Some(protocol),
                        ..rule
                    });
                }
            }
        }
        rules
    }

    /// What agents say at the end: what they received, and how they fared. What their kernels know is not asked for.
    fn close(&self, matrix: &mut Matrix, tallies: Vec<Vec<Received>>) {
        for (agent, tallies) in (0..).map(AgentIndex).zip(tallies) {
            let (node, plane) = place_of(agent);
            if self.site.is_absent(node, plane) {
                continue;
            }
            if self.lost == Some(agent) {
                matrix.lost(agent, "the link broke");
                continue;
            }
            let starvation = if self.site.starved.contains(&node) {
                Starvation {
                    late_wakeups: 9,
                    longest: Millis(2_400),
                    dropped_by_socket: 0,
                }
            } else {
                Starvation::default()
            };
            let tallies = tallies.into_iter().map(Received::tally).collect();
            matrix.tallies(agent, tallies, starvation);
        }
    }

    /// What a driver would say of the run.
    pub fn info(&self) -> RunInfo {
        RunInfo {
            id: format!("sim-{:x}", self.seed),
            ground: Ground::Lab,
            started: String::new(),
            finished: String::new(),
            strict: false,
            all_cells: false,
            interrupted: false,
            notes: Vec::new(),
        }
    }
}

/// How many nodes: P(more than n) falls with the square of n (Pareto), so that small clusters are many and large ones are
/// there; the work of a case grows with the square of its nodes.
fn nodes((least, most): (usize, usize), rng: &mut fastrand::Rng) -> usize {
    if least >= most {
        return least;
    }
    let (low, high) = (least as f64, most as f64);
    let u = rng.f64() * (1.0 - (low / high).powi(2));
    let drawn = low / (1.0 - u).sqrt();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between two counts of nodes"
    )]
    let drawn = drawn as usize;
    drawn.clamp(least, most)
}
