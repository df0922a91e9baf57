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
//! **Cost.** Whole cells are the rule and are not looked at one by one: how many of them must cross a node follows from who
//! takes part ([`census`]), so that contradicted places are dropped before any of their cells is. Cells between two
//! nodes are found by their place in the round ([`layout`]). Pairs are looked at only when no node and nothing larger
//! explains more. What remains is the number of ill and unknown cells, times the parts they cross, and the cells that ask
//! services; a cluster that loses packets everywhere has ill cells everywhere.

mod behind_services;
mod census;
mod chance;
mod choice;
mod cover;
mod family;
mod groups;
mod hypothesis;
mod kin;
mod layout;
mod likelihood;
mod loss;
mod model;
mod path;
mod stand_out;
mod symptom;

pub(crate) use self::cover::{Pick, Place};
pub(crate) use self::family::{Family, Filter, Init, Scope};
pub(crate) use self::hypothesis::Hypothesis;
pub(crate) use self::likelihood::Losing;
pub(crate) use self::loss::LossSite;
pub(crate) use self::model::Model;
pub(crate) use self::symptom::{Symptom, protocol_of};

use self::cover::cover;
use crate::assemble::Located;
use crate::diagnose::diagnose;
use crate::judge::{Judged, nodes_down};
use crate::matrix::Matrix;

/// Finds places, has them named, and counts what stays unexplained.
pub(crate) fn localise(matrix: &Matrix, judged: &[Judged]) -> Located {
    match places(matrix, judged) {
        Some((model, picks)) => diagnose(&model, &picks),
        None => Located::default(),
    }
}

/// The places at fault, and the model that they were found in; `None` where all is well.
pub(crate) fn places<'a>(matrix: &'a Matrix, judged: &'a [Judged]) -> Option<(Model<'a>, Vec<Pick>)> {
    let symptoms: Vec<Option<Symptom>> = symptom::symptoms(matrix, judged);
    if symptoms.iter().all(Option::is_none) {
        return None;
    }
    let model = Model::new(matrix, judged, symptoms);
    let picks = behind_services::gather(&model, cover(&model, &nodes_down(matrix, judged)));
    Some((model, picks))
}

#[cfg(test)]
mod tests;
