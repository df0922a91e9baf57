//! A look at all cells that are not whole, counted by the nodes at their ends: which nodes fare unlike the others.
//!
//! Most nodes of a large cluster fare alike, and what is said of one of them can be said of all. Those that do not, and those
//! between which something is dead or lost that is not between others, are few, and a fault that is not everywhere is at one
//! of them. So the localiser needs no more than these and some of the others ([`super::sketch`]).

use std::collections::BTreeSet;

use mesh_proto::{Plane, ProbeKind};

use super::symptom::{Symptom, of_outcome};
use crate::NodeIndex;
use crate::judge::{Judge, Noted};
use crate::round::{KINDS, Target};

/// What is counted at each node: by symptom, which end it is, and what is asked.
#[derive(Debug)]
pub(super) struct Survey {
    nodes: usize,
    /// One count of all nodes lies side by side: a row of cells passes the nodes in order.
    counts: Vec<u32>,
    /// Nodes that something dead lies between which does not lie between the first and most others.
    pub(super) dead_pairs: Vec<(NodeIndex, NodeIndex)>,
    /// By the nodes at both ends, the source first: datagrams lost, as far as a byte counts.
    lost: Vec<u8>,
    /// How many cells are not whole.
    pub(super) ill: usize,
    /// The nodes at the ends of the first of these.
    pub(super) first: BTreeSet<NodeIndex>,
}

pub(super) const SYMPTOMS: usize = 3;
/// From pod or host, to pod or host.
const PLANES: usize = 4;
const OUT: usize = 0;
const IN: usize = 1;
/// Between agents: as source or target, or both.
const BETWEEN: usize = 3 * PLANES * KINDS.len();
/// The same summed up, then what is asked of loopback, of services, and of NodePorts as client and as entry, by plane.
const SUMS: usize = 2 + 2 * 4;
/// How many counts each node has.
const WIDTH: usize = SYMPTOMS * (BETWEEN + SUMS);
/// One agent that misses more nodes than so many misses them for a reason of its own; and a node that so many miss is missed
/// for its own.
const FEW: usize = 16;
/// Where no more cells than these are ill, each of them matters.
pub(super) const FIRST: usize = 24;

impl Survey {
    pub(super) fn new(judge: &Judge<'_>) -> Self {
        let layout = judge.matrix.round().layout();
        let nodes = layout.nodes();
        let mut survey = Self {
            nodes,
            counts: vec![0; nodes * WIDTH],
            dead_pairs: Vec::new(),
            lost: vec![0; nodes * nodes],
            ill: 0,
            first: BTreeSet::new(),
        };
        let by_rank: Vec<(NodeIndex, Plane)> = layout
            .sources()
            .map(|(_, source)| (source.node, source.plane))
            .collect();
        let mut missed = Missed::new(nodes);
        let (mut row, mut rank) = (layout.sources(), 0);
        let mut current = row.next();
        judge.each_noted(|noted| {
            while current.is_some_and(|(from, _)| from != noted.from) {
                missed.end_row(by_rank[rank].0);
                current = row.next();
                rank += 1;
            }
            survey.count(judge, &by_rank, rank, noted, &mut missed);
        });
        if let Some((_, source)) = current {
            missed.end_row(source.node);
        }
        survey.dead_pairs = missed.pairs();
        survey
    }

    fn count(
        &mut self,
        judge: &Judge<'_>,
        by_rank: &[(NodeIndex, Plane)],
        rank: usize,
        noted: Noted,
        missed: &mut Missed,
    ) {
        let layout = judge.matrix.round().layout();
        let outcome = judge.matrix.seen().outcome(noted.outcome);
        let Some(symptom) = of_outcome(outcome, noted.judged) else {
            return;
        };
        let (here, from) = by_rank[rank];
        let (target, kind) = layout.asked(rank, noted.place);
        if symptom == Symptom::Partial && judge.loses_by_itself(noted.from, target, outcome) {
            return;
        }
        self.ill += 1;
        if self.ill <= FIRST {
            self.first.extend(
                [Some(here), layout.ends(noted.from, target).1]
                    .into_iter()
                    .flatten(),
            );
        }
        let what = match target {
            Target::Agent(_) => {
                let other = noted.place / KINDS.len();
                let (there, to) = by_rank[other + usize::from(other >= rank)];
                let planes = 2 * from as usize + to as usize;
                let number = noted.place % KINDS.len();
                if here == there {
                    self.add(here, symptom, (2 * PLANES + planes) * KINDS.len() + number);
                    return;
                }
                for (node, end) in [(here, OUT), (there, IN)] {
                    self.add(node, symptom, (end * PLANES + planes) * KINDS.len() + number);
                    self.add(node, symptom, BETWEEN + end);
                }
                if symptom == Symptom::Partial {
                    if matches!(kind, ProbeKind::Icmp | ProbeKind::Udp) {
                        let lost = u8::try_from(outcome.sent - outcome.received).unwrap_or(u8::MAX);
                        let so_far = &mut self.lost[here.0 * self.nodes + there.0];
                        *so_far = so_far.saturating_add(lost);
                    }
                } else {
                    missed.add(there, planes == 3);
                }
                return;
            }
            Target::Loopback => 0,
            Target::Api | Target::Dns { .. } | Target::DnsEndpoint(_) => 1,
            Target::NodePort { node, .. } => {
                self.add(node, symptom, BETWEEN + 2 + 2 * 3 + from as usize);
                2
            }
        };
        self.add(here, symptom, BETWEEN + 2 + 2 * what + from as usize);
    }

    fn add(&mut self, node: NodeIndex, symptom: Symptom, what: usize) {
        let column = symptom as usize * (BETWEEN + SUMS) + what;
        self.counts[column * self.nodes + node.0] += 1;
    }

    /// Nodes that fare unlike most, those that do it most clearly first; whether what stands out is a loss.
    pub(super) fn stand_out(&self) -> Vec<(NodeIndex, f64, bool)> {
        // A handful of nodes that are like the others may be among them.
        let least = (self.nodes as f64).ln() + 4.0;
        let mut clearest: Vec<(f64, bool)> = vec![(0.0, false); self.nodes];
        for (what, column) in self.counts.chunks_exact(self.nodes.max(1)).enumerate() {
            let Some(usual) = usual(column) else { continue };
            let is_loss = what / (BETWEEN + SUMS) == Symptom::Partial as usize;
            for (node, count) in column.iter().enumerate() {
                let surprise = surprise(f64::from(*count), usual);
                if surprise > clearest[node].0 {
                    clearest[node] = (surprise, is_loss);
                }
            }
        }
        let mut found: Vec<(NodeIndex, f64, bool)> = clearest
            .into_iter()
            .enumerate()
            .filter(|(_, (surprise, _))| *surprise > least)
            .map(|(node, (surprise, is_loss))| (NodeIndex(node), surprise, is_loss))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found
    }

    /// Pairs of nodes between which more is lost than chance would have it, those with most first.
    pub(super) fn lossy_pairs(&self, passes: impl Fn(NodeIndex) -> bool) -> Vec<(NodeIndex, NodeIndex)> {
        let pairs = (self.nodes * (self.nodes + 1) / 2).max(1) as f64;
        let all: u64 = self.lost.iter().map(|lost| u64::from(*lost)).sum();
        let usual = (all as f64 / pairs).max(LEAST_USUAL);
        let least = (2..=u8::MAX).find(|lost| surprise(f64::from(*lost), usual) > pairs.ln() + 1.0);
        let Some(least) = least else { return Vec::new() };
        let mut found = Vec::new();
        for high in 0..self.nodes {
            let row = &self.lost[high * self.nodes..][..=high];
            let both = row.iter().enumerate().map(|(low, there)| {
                let back = if low == high {
                    0
                } else {
                    self.lost[low * self.nodes + high]
                };
                (low, there.saturating_add(back))
            });
            let lossy = both.filter(|(_, lost)| *lost >= least);
            let named = lossy.map(|(low, lost)| (lost, NodeIndex(low), NodeIndex(high)));
            found.extend(named.filter(|(_, a, b)| passes(*a) && passes(*b)));
        }
        found.sort_by_key(|(lost, a, b)| (std::cmp::Reverse(*lost), *a, *b));
        found.into_iter().map(|(_, a, b)| (a, b)).collect()
    }
}

/// Fewer than this are not expected anywhere: one dead cell is a surprise, if not much of one.
const LEAST_USUAL: f64 = 0.001;

/// How many most nodes have: the median, or where that is nothing the mean of all but the largest two in a hundred. `None` where all are
/// alike.
fn usual(column: &[u32]) -> Option<f64> {
    let (least, most) = (column.iter().min()?, column.iter().max()?);
    if least == most {
        return None;
    }
    let mut sorted = column.to_vec();
    let (_, median, _) = sorted.select_nth_unstable(column.len() / 2);
    if *median > 0 {
        return Some((*median).into());
    }
    let (rest, ..) = sorted.select_nth_unstable(column.len() * 49 / 50);
    let sum: u64 = rest.iter().map(|count| u64::from(*count)).sum();
    Some((sum as f64 / rest.len().max(1) as f64).max(LEAST_USUAL))
}

/// How unlikely such a count is where so many are usual: about minus the logarithm of a Poisson distribution's tail.
fn surprise(count: f64, usual: f64) -> f64 {
    let part = if count > 0.0 {
        count * (count / usual).ln()
    } else {
        0.0
    };
    part - count + usual
}

/// Which nodes the agents of a row do not reach, by ways with node addresses only and by others.
#[derive(Debug)]
struct Missed {
    /// By node.
    dead: [Vec<u8>; 2],
    touched: [Vec<NodeIndex>; 2],
    pairs: [Vec<(NodeIndex, NodeIndex)>; 2],
    /// By node: how many rows miss it.
    by_others: [Vec<usize>; 2],
}

impl Missed {
    fn new(nodes: usize) -> Self {
        Self {
            dead: [vec![0; nodes], vec![0; nodes]],
            touched: [Vec::new(), Vec::new()],
            pairs: [Vec::new(), Vec::new()],
            by_others: [vec![0; nodes], vec![0; nodes]],
        }
    }

    fn add(&mut self, node: NodeIndex, bare: bool) {
        let way = usize::from(bare);
        let dead = &mut self.dead[way][node.0];
        if *dead == 0 {
            self.touched[way].push(node);
        }
        *dead = dead.saturating_add(1);
    }

    fn end_row(&mut self, from: NodeIndex) {
        for way in 0..2 {
            let touched = std::mem::take(&mut self.touched[way]);
            // One dead cell is chance, where packets are lost.
            let several = touched.iter().filter(|node| self.dead[way][node.0] >= 2);
            let several: Vec<NodeIndex> = several.copied().collect();
            for node in &several {
                self.by_others[way][node.0] += 1;
            }
            if several.len() <= FEW {
                self.pairs[way].extend(several.into_iter().map(|to| (from, to)));
            }
            for node in touched {
                self.dead[way][node.0] = 0;
            }
        }
    }

    fn pairs(self) -> Vec<(NodeIndex, NodeIndex)> {
        let mut found = Vec::new();
        for (pairs, by_others) in self.pairs.into_iter().zip(self.by_others) {
            found.extend(pairs.into_iter().filter(|(_, to)| by_others[to.0] <= FEW));
        }
        found
    }
}
