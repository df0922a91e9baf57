//! From failed cells to places: the smallest set of places that explains every failed cell and contradicts no healthy
//! one.
//!
//! Each cell touches parts of the network ([`path`]): it must cross some (`certain`), and may cross others. A
//! hypothesis is a place, that is a family of parts at a node, a pair or the whole cluster, with the protocol and the
//! source plane that it hits ([`hypothesis`]). It is admissible when every observed cell that must cross it shows the
//! symptom. Among the admissible ones a greedy set cover takes the one that explains most of what is not yet
//! explained, and on a tie the smaller place ([`cover`]). Minimum set cover is NP-hard; the greedy choice is within a
//! factor ln n of it, and exact for single faults. The model is that of risk groups (Kompella et al., "IP fault
//! localization via risk modeling", NSDI 2005) with exoneration by healthy paths, as in binary tomography (Duffield,
//! "Network tomography of binary network performance characteristics", IEEE Trans. Inf. Theory 2006).
//!
//! Loss comes first ([`loss`]): a path that loses a share of its packets makes dead cells too, by chance. Once the shares
//! are known, a place is at fault only if its dead cells are more than such chance ([`chance`]).
//!
//! Cost: linear in cells for the model; each candidate place is looked at once per cell that touches it, and only
//! places that failed cells touch are candidates.

mod behind_services;
mod chance;
mod cover;
mod family;
mod hypothesis;
mod kin;
mod likelihood;
mod loss;
mod model;
mod path;
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
    let symptoms: Vec<Option<Symptom>> = symptom::symptoms(matrix, judged);
    if symptoms.iter().all(Option::is_none) {
        return Located::default();
    }
    let model = Model::new(matrix, judged, symptoms);
    let picks = behind_services::gather(&model, cover(&model, &nodes_down(matrix, judged)));
    diagnose(&model, &picks)
}

#[cfg(test)]
mod tests;
