//! Cells that ask the same of the same target from the same plane, each from its own node.
//!
//! A cell that may cross a place, or may not, is evidence for the place only if it fares as the place would have it: ill
//! where its kin that may cross it are ill too, and its kin that cannot are whole. Else something else is to blame, if
//! anything is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_proto::{Plane, Port, ProbeKind, Reason};

use super::family::{Family, Scope};
use super::hypothesis::Hypothesis;
use super::model::Model;
use super::symptom::Symptom;
use crate::NodeIndex;
use crate::round::{CellIndex, Target};

/// How many of some cells are whole, and how many are ill.
#[derive(Debug, Clone, Copy, Default)]
struct Fares {
    whole: usize,
    ill: usize,
}

/// What is asked, and from which plane: once from each node.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    kind: ProbeKind,
    address: Option<IpAddr>,
    port: Port,
    as_application: bool,
    from: Option<Plane>,
}

/// How those fare who ask the same.
#[derive(Debug, Default)]
pub(super) struct Kin {
    /// Of those questions that some cell asks which is ill or not known: how many are ill, and of how many nothing is known.
    exceptions: BTreeMap<Question, (usize, usize)>,
}

impl Kin {
    pub(super) fn new(model: &Model<'_>) -> Self {
        let mut kin = Self::default();
        for cell in &model.ill {
            // What is asked with small packets came through where only large ones do not.
            if model.symptom(*cell) != Some(Symptom::Large) {
                kin.exceptions.entry(question(model, *cell)).or_default().0 += 1;
            }
        }
        for cell in &model.unknown {
            kin.exceptions.entry(question(model, *cell)).or_default().1 += 1;
        }
        kin
    }

    /// How all fare who ask what this cell asks.
    fn all(&self, model: &Model<'_>, cell: CellIndex) -> Fares {
        let question = question(model, cell);
        let (ill, unknown) = self.exceptions.get(&question).copied().unwrap_or_default();
        let has_such = |row: std::ops::Range<usize>| {
            row.map(CellIndex)
                .any(|cell| matches!(model.target(cell), Target::Dns { as_application: true }))
        };
        let asking = model
            .layout
            .sources()
            .filter(|(_, source)| {
                // Not each place has the cluster's DNS in its resolv.conf.
                !question.as_application
                    || has_such(
                        model.layout.services(source).start..model.layout.all_node_ports(source).start,
                    )
            })
            .filter(|(agent, source)| {
                Some(source.plane) == question.from && model.target(cell) != Target::Agent(*agent)
            })
            .count();
        Fares {
            whole: asking.saturating_sub(ill + unknown),
            ill,
        }
    }

    /// Of the ill cells that a place may hit, those that are no evidence for it.
    pub(super) fn doubtful(
        &self,
        model: &Model<'_>,
        place: &Hypothesis,
        crossing: &[(CellIndex, bool)],
        may_hit: &[CellIndex],
    ) -> BTreeSet<CellIndex> {
        let mut asked: BTreeMap<Question, (Fares, Fares)> = BTreeMap::new();
        for cell in may_hit {
            asked
                .entry(question(model, *cell))
                .or_insert_with(|| (self.all(model, *cell), Fares::default()));
        }
        for (cell, _) in crossing {
            if let Some((_, inside)) = asked.get_mut(&question(model, *cell)) {
                inside.count(model, *cell);
            }
        }
        let mut services: BTreeMap<Asking, Fares> = BTreeMap::new();
        for (cell, _) in crossing {
            if let Some(asking) = asking(model, *cell, &place.scope) {
                services.entry(asking).or_default().count(model, *cell);
            }
        }
        let is_doubtful = |cell: &CellIndex| {
            // Whoever asks: as many of those who cross the place have their answer.
            let spared_service = asking(model, *cell, &place.scope).is_some_and(|asking| {
                let fares = services[&asking];
                fares.whole >= 2 && fares.whole >= fares.ill
            });
            let (all, inside) = asked[&question(model, *cell)];
            let outside = Fares {
                whole: all.whole.saturating_sub(inside.whole),
                ill: all.ill.saturating_sub(inside.ill),
            };
            let spared = inside.whole >= 2 && inside.whole >= 2 * inside.ill;
            let ill_anyway = outside.ill >= 2 && outside.ill >= 2 * outside.whole;
            spared || spared_service || ill_anyway || (is_way(place.family) && came_back(model, *cell))
        };
        // A share of loss says little of one cell.
        let is_dead = |cell: &CellIndex| model.symptom(*cell) == Some(Symptom::Dead);
        may_hit
            .iter()
            .copied()
            .filter(|cell| is_dead(cell) && is_doubtful(cell))
            .collect()
    }
}

impl Fares {
    fn count(&mut self, model: &Model<'_>, cell: CellIndex) {
        match model.symptom(cell) {
            Some(Symptom::Dead | Symptom::Partial) => self.ill += 1,
            // What is asked with small packets came through.
            Some(Symptom::Large) => self.whole += 1,
            None if model.observed(cell) => self.whole += 1,
            None => {}
        }
    }
}

/// How a service is asked: which, by what kind of probe, and whether client and entry stand at a place.
type Asking = (usize, ProbeKind, bool, bool);

fn asking(model: &Model<'_>, cell: CellIndex, scope: &Scope) -> Option<Asking> {
    let is_here = |node: NodeIndex| match scope {
        Scope::Node(here) => node == *here,
        Scope::Pair(a, b) => node == *a || node == *b,
        Scope::OwnNode | Scope::OtherNodes | Scope::Group(_) | Scope::Cluster => false,
    };
    if !matches!(scope, Scope::Node(_) | Scope::Pair(..)) {
        return None;
    }
    let (service, entry) = match model.target(cell) {
        Target::Api => (0, None),
        Target::Dns { .. } => (1, None),
        Target::NodePort { service, node } => (2 + service, Some(node)),
        Target::Agent(_) | Target::Loopback | Target::DnsEndpoint(_) => return None,
    };
    let client = model.nodes(cell).0.is_some_and(is_here);
    Some((service, model.kind(cell), client, entry.is_some_and(is_here)))
}

fn question(model: &Model<'_>, cell: CellIndex) -> Question {
    let planned = model.cell(cell);
    Question {
        kind: planned.kind,
        address: planned.address,
        port: planned.port,
        as_application: matches!(planned.target, Target::Dns { as_application: true }),
        from: model.plane_from(cell),
    }
}

/// What carries packets, rather than what answers.
fn is_way(family: Family) -> bool {
    matches!(
        family,
        Family::Wire | Family::Bare | Family::Overlay | Family::Routes | Family::Forward
    )
}

/// A reset, and an ICMP error of the server itself, comes from the far end: the way there and back is open.
pub(super) fn came_back(model: &Model<'_>, cell: CellIndex) -> bool {
    model.failure(cell).is_some_and(|failure| {
        matches!(failure.reason, Reason::Refused | Reason::Reset)
            && failure.icmp.is_none_or(|icmp| is_server(model, icmp.from))
    })
}

/// Whether a pod behind a service has this address.
fn is_server(model: &Model<'_>, address: IpAddr) -> bool {
    let cluster = &model.matrix.round().roster().cluster;
    let dns = cluster.dns.iter().flat_map(|dns| &dns.endpoints);
    let node_ports = cluster.node_ports.iter().flat_map(|offer| &offer.backends);
    dns.chain(node_ports).any(|backend| backend.address == address)
}
