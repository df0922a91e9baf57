//! What a dead place does to services. A service sends each connection to one of its endpoints, so that some of its cells
//! cross the place and others do not, and which is chance: such a cell alone says little, and the dead place is reason enough.

use std::collections::BTreeSet;

use super::choice::{Choice, choice};
use super::cover::{Pick, Place};
use super::family::{Family, Filter, Init};
use super::hypothesis::Hypothesis;
use super::kin::came_back;
use super::model::Model;
use super::symptom::{Symptom, protocol_of};
use crate::round::{CellIndex, Target};

/// Puts places that only services suffer from under the dead place that these services may cross, if it explains more.
pub(super) fn gather(model: &Model<'_>, mut picks: Vec<Pick>) -> Vec<Pick> {
    // The greatest first, so that what it takes is not taken by a smaller one.
    picks.sort_by_key(|pick| std::cmp::Reverse(pick.explains.len()));
    let mut kept: Vec<Pick> = Vec::new();
    for pick in picks {
        let fault = kept
            .iter_mut()
            .find(|fault| pick.explains.len() * 2 <= fault.explains.len() && may_do(model, fault, &pick));
        match fault {
            Some(fault) => fault.explains.extend(pick.explains),
            None => kept.push(pick),
        }
    }
    kept
}

/// Whether a dead place may be why another's cells are ill: all of them ask services by more than one way, and each may
/// cross it.
fn may_do(model: &Model<'_>, fault: &Pick, effect: &Pick) -> bool {
    let Place::At(hypothesis) = &fault.place else {
        return false;
    };
    let is_way = matches!(
        hypothesis.family,
        Family::Wire
            | Family::Bare
            | Family::Overlay
            | Family::Forward
            | Family::Routes
            | Family::Agent(_)
            | Family::Between(..)
            | Family::DnsEndpoint(_)
    );
    if fault.symptom != Symptom::Dead || !is_way {
        return false;
    }
    // Answers cross the place as well, whoever asks.
    let place = Hypothesis {
        init: Init::Both,
        filter: Filter::ALL,
        ..hypothesis.clone()
    };
    let protocol = hypothesis.filter.protocol;
    let fits = |cell: &CellIndex| {
        model.crosses(*cell, &place).is_some()
            && model.nodes_behind_choice(*cell) > 1
            && protocol.is_none_or(|protocol| protocol_of(model.kind(*cell)) == protocol)
    };
    !is_firm(effect) && effect.explains.iter().all(fits) && may_be_choice(model, hypothesis, effect)
}

/// Whether chance may have sent all flows of the effect's dead cells to the endpoints behind the place.
fn may_be_choice(model: &Model<'_>, place: &Hypothesis, effect: &Pick) -> bool {
    const LEAST: f64 = 0.001;
    let dead = effect
        .explains
        .iter()
        .filter(|cell| model.symptom(**cell) == Some(Symptom::Dead));
    let chances = dead.map(|cell| {
        if came_back(model, *cell) {
            f64::NEG_INFINITY
        } else {
            choice(model, *cell, place).map_or(0.0, Choice::ln_chance)
        }
    });
    chances.sum::<f64>() >= LEAST.ln()
}

/// A place at which whole services are dead by every way is no side effect.
fn is_firm(effect: &Pick) -> bool {
    let rules = matches!(&effect.place, Place::At(hypothesis) if hypothesis.family == Family::Rules);
    effect.symptom == Symptom::Dead && (rules || matches!(effect.place, Place::Down(_)))
}

impl Model<'_> {
    /// On how many nodes the endpoints of the service stand that a cell asks; 0 if it asks no such service.
    pub(crate) fn nodes_behind_choice(&self, cell: CellIndex) -> usize {
        let cluster = &self.matrix.round().roster().cluster;
        let nodes = |nodes: BTreeSet<_>| nodes.len();
        match self.target(cell) {
            Target::NodePort { service, .. } => cluster.node_ports.get(service).map_or(0, |service| {
                nodes(service.backends.iter().map(|backend| &backend.node).collect())
            }),
            Target::Dns { .. } => cluster.dns.as_ref().map_or(0, |dns| {
                nodes(dns.endpoints.iter().map(|endpoint| &endpoint.node).collect())
            }),
            _ => 0,
        }
    }
}
