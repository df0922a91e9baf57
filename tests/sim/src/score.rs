//! How well a report tells what is broken.
//!
//! *Placed*, of a case: every fault that alone is why some observed cell is not whole has a finding at its place, and no finding names a
//! place (node, pair, service, endpoint, or the whole cluster) where nothing is broken. A finding that says in so many
//! words that no place explains its cells names none. With random loss on every wire, loss of the whole cluster is true.
//! *False culprit*: a finding that is `certain` of a place or a cause that is wrong.

use mesh_proto::{Cause, Confidence, Finding, NodeName, Report, Severity};

use crate::case::Case;
use crate::truth::{Spot, Truth};

/// What became of one fault.
#[derive(Debug, Clone)]
pub struct Found {
    /// The kind of fault, a word.
    pub kind: String,
    /// In how many cells it shows that would be whole without it.
    pub shows_in: usize,
    /// Whether a finding stands at its place.
    pub placed: bool,
    /// The cause that the best finding at its place gives.
    pub cause: Option<Cause>,
    /// Whether that is right; `None` where only facts of the kernels could tell.
    pub named: Option<bool>,
}

/// How well one report did.
#[derive(Debug, Clone)]
pub struct Score {
    /// One for each fault.
    pub found: Vec<Found>,
    /// Findings at places where nothing is broken, by their place in the report.
    pub misplaced: Vec<usize>,
    /// Findings that are certain, and wrong.
    pub false_culprits: Vec<usize>,
}

impl Score {
    /// Compares a report with what is broken.
    pub fn new(case: &Case, shows_in: &[usize], report: &Report, has_loss: bool) -> Self {
        let truths: Vec<Truth> = case
            .faults
            .iter()
            .map(|fault| Truth::of(fault, &case.site, &case.faults))
            .collect();
        let found = case
            .faults
            .iter()
            .zip(&truths)
            .zip(shows_in)
            .map(|((fault, truth), shows_in)| {
                let here: Vec<&Finding> = report
                    .findings
                    .iter()
                    .filter(|finding| truth.spots.iter().any(|spot| spot.is(finding)))
                    .collect();
                let right = here.iter().find(|finding| truth.causes.contains(&finding.cause));
                Found {
                    kind: kind(fault),
                    shows_in: *shows_in,
                    placed: !here.is_empty(),
                    cause: right.or(here.first()).map(|finding| finding.cause),
                    named: (truth.can_be_named && !here.is_empty()).then_some(right.is_some()),
                }
            });
        let found = found.collect();
        let numbered = || report.findings.iter().enumerate();
        let misplaced = numbered()
            .filter(|(_, finding)| !is_at_a_fault(finding, &truths) && !names_no_place(finding, has_loss));
        let misplaced: Vec<usize> = misplaced.map(|(number, _)| number).collect();
        let is_false = |finding: &Finding| {
            let here = truths
                .iter()
                .filter(|truth| truth.spots.iter().any(|spot| spot.is(finding)));
            finding.cause != Cause::Unknown
                && !names_no_place(finding, has_loss)
                && !here
                    .into_iter()
                    .any(|truth| truth.causes.contains(&finding.cause))
        };
        let certain = |finding: &Finding| finding.confidence == Confidence::Certain;
        let false_culprits = numbered()
            .filter(|(number, finding)| certain(finding) && (is_false(finding) || misplaced.contains(number)))
            .map(|(number, _)| number)
            .collect();
        Self {
            found,
            misplaced,
            false_culprits,
        }
    }

    /// Whether all is placed, and nothing else.
    pub fn is_placed(&self) -> bool {
        self.misplaced.is_empty() && self.found.iter().all(|fault| fault.placed || fault.shows_in == 0)
    }
}

/// The variant's name.
fn kind(fault: &crate::fault::Fault) -> String {
    let text = format!("{fault:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}

fn is_at_a_fault(finding: &Finding, truths: &[Truth]) -> bool {
    let spots = || truths.iter().flat_map(|truth| &truth.spots);
    if finding.place.pairs.len() > 1 {
        // Every pair must be one that is broken.
        let broken = |(from, to): &(NodeName, NodeName)| {
            spots().any(|spot| match spot {
                Spot::Pair(a, b, _) => (a, b) == (from, to) || (b, a) == (from, to),
                _ => false,
            })
        };
        return finding.place.pairs.iter().all(broken);
    }
    spots().any(|spot| spot.is(finding))
}

/// Whether it says that no place explains its cells, or speaks of the loss that is everywhere.
fn names_no_place(finding: &Finding, has_loss: bool) -> bool {
    let nowhere = finding.cause == Cause::Unknown
        && (finding.summary.contains("no place explains")
            || finding.summary.contains("no single place explains"));
    let place = &finding.place;
    let everywhere = place.nodes.is_empty() && place.pairs.is_empty() && place.endpoint.is_none();
    let is_loss = matches!(finding.cause, Cause::RandomLoss | Cause::Slow)
        || finding.cause == Cause::Unknown && finding.severity == Severity::Warning;
    nowhere || has_loss && everywhere && is_loss
}
