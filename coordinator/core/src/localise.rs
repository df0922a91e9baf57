//! From failed cells to places: the smallest set of places that explains every failed cell and contradicts no healthy
//! one.
//!
//! **Model.** Each cell touches parts of the network ([`path`]): it must cross some (`certain`), and may cross others. A
//! hypothesis is a place, that is a family of parts at a node, a pair or the whole cluster, with the protocol and the
//! source plane that it hits ([`hypothesis`]). It is admissible when every observed cell that must cross it shows the
//! symptom; a cell that something else keeps dead says nothing of large packets or of loss, and a cell that is not known,
//! or whose agent was starved, says nothing at all.
//!
//! **Choice.** Among the admissible places a greedy set cover takes the one that explains most of what is not yet
//! explained, and on a tie the one of which less is explained by others, then the smaller place ([`cover`]). Minimum set
//! cover is NP-hard; the greedy choice is within a factor ln n of it (Chvatal, "A greedy heuristic for the set-covering
//! problem", Math. of OR 1979), and exact for single faults. The model is that of risk groups (Kompella et al., "IP fault
//! localization via risk modeling", NSDI 2005) with exoneration by healthy paths, as in binary tomography (Duffield,
//! "Network tomography of binary network performance characteristics", IEEE Trans. Inf. Theory 2006).
//!
//! **Chance.** Three things make cells ill that are at no place of their own, and a place is chosen only if what it adds is
//! more than they do:
//! - Loss ([`loss`]): a path that loses a share of its packets makes dead cells too. Shares are estimated first, each beside
//!   the others, as the likelihoods of what datagrams did; then it can be told how likely each dead cell is ([`chance`]).
//! - Choice of an endpoint ([`choice`]): a service whose endpoints stand at several nodes is dead for a client if all its
//!   flows went to those behind a place that is at fault, or behind several of them.
//! - Noise: streams and services that lose a share count only where they are many more than anywhere else ([`stand_out`]).
//!
//! **What cannot be told.** Where a fault is cluster-wide, what it leaves to be seen of a second one may be a handful of cells
//! (a client on the endpoint's own node): then these are named with the smaller place, or as unexplained. Two places
//! that hit the same cells are told apart by nobody; the order of families then decides, and diagnosis says `possible`.
//!
//! **Size.** Of a large cluster only a sketch is looked at ([`sketch`]): nodes that a [`survey`] of all ill cells shows to stand out, and
//! some of the others, which stand for the rest. What the places explain of the rest is counted afterwards ([`outside`]).
//!
//! **Cost.** Whole cells are the rule and are not looked at one by one: how many of them must cross a node follows from who
//! takes part ([`census`]), so that contradicted places are dropped before any of their cells is. Cells between two
//! nodes are found by their place in the round ([`Layout`]). Pairs are looked at only when no node and nothing larger
//! explains more. What remains is the number of ill and unknown cells, times the parts they cross, and the cells that ask
//! services; a cluster that loses packets everywhere has ill cells everywhere.

mod behind_services;
mod cell_set;
mod census;
mod chance;
mod choice;
mod cover;
mod crossing;
mod family;
mod groups;
mod hypothesis;
mod kin;
mod likelihood;
mod loss;
mod model;
mod outside;
mod path;
mod sketch;
mod stand_out;
mod survey;
mod symptom;

pub(crate) use self::cover::{Pick, Place};
pub(crate) use self::family::{Family, Filter, Init, Scope};
pub(crate) use self::hypothesis::Hypothesis;
pub(crate) use self::likelihood::Losing;
pub(crate) use self::loss::LossSite;
pub(crate) use self::model::Model;
pub(crate) use self::outside::Rest;
pub(crate) use self::symptom::{Symptom, protocol_of};

use self::cover::cover;
use crate::assemble::Located;
use crate::diagnose::diagnose;
use std::collections::BTreeSet;

use self::sketch::Sketch;
use self::survey::{FIRST, Survey};
use crate::judge::Judge;
use crate::round::Layout;

/// Finds places, has them named, and counts what stays unexplained.
pub(crate) fn localise(judge: &Judge<'_>) -> Located {
    match places(judge) {
        Some(found) => diagnose(&found.model, &found.picks, &found.rest),
        None => Located::default(),
    }
}

/// The places at fault, and the model that they were found in.
pub(crate) struct Found<'a> {
    pub(crate) model: Model<'a>,
    pub(crate) picks: Vec<Pick>,
    /// What none of them explains, outside the model.
    pub(crate) rest: Rest,
}

/// Finds places; `None` where all is well.
pub(crate) fn places<'a>(judge: &'a Judge<'a>) -> Option<Found<'a>> {
    let whole = judge.matrix.round().layout();
    let find = |model: &Model<'_>| behind_services::gather(model, cover(model, judge.down()));
    if Sketch::is_needless(whole) {
        let model = Model::new(judge, whole.clone(), BTreeSet::new());
        return (!model.ill.is_empty()).then(|| Found {
            picks: find(&model),
            rest: Rest::default(),
            model,
        });
    }
    let survey = Survey::new(judge);
    if survey.ill == 0 {
        return None;
    }
    let mut besides = if survey.ill <= FIRST {
        survey.first.clone()
    } else {
        BTreeSet::new()
    };
    let mut may_look_again = true;
    loop {
        let Sketch { nodes, usual } = Sketch::new(judge, &survey, &besides);
        let layout = Layout::within(judge.matrix.round().roster(), |node| nodes.contains(&node));
        let model = Model::new(judge, layout, usual);
        let mut picks = find(&model);
        let rest = outside::count(&model, &mut picks);
        let missed = rest.missed();
        if missed.is_empty() || !std::mem::take(&mut may_look_again) {
            return Some(Found { model, picks, rest });
        }
        besides.extend(missed);
    }
}

#[cfg(test)]
mod tests;
