//! Whether there is anything new to be seen: times and round trips differ from look to look, and are no news.

use std::hash::{DefaultHasher, Hash, Hasher};

use mesh_proto::{CellState, Plane, Report};

use super::record::StatusRecord;

pub(super) fn of(status: &StatusRecord, report: &Report) -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        status.verdict,
        &status.doubt,
        &status.roster,
        &status.lead,
        report.verdict,
    )
        .hash(&mut hasher);
    for incident in &status.incidents {
        (
            incident.id,
            incident.count,
            incident.flapping,
            incident.named,
            incident.finding.cause,
        )
            .hash(&mut hasher);
    }
    for note in &status.excused {
        note.node.hash(&mut hasher);
    }
    for node in &report.nodes {
        node.name.hash(&mut hasher);
        for record in Plane::ALL.iter().filter_map(|plane| node.planes.get(*plane)) {
            (record.address, record.state, &record.why).hash(&mut hasher);
        }
    }
    for cell in report
        .cells
        .iter()
        .filter(|cell| cell.state != CellState::Reachable)
    {
        (&cell.from, &cell.to, cell.probe, cell.state).hash(&mut hasher);
    }
    for finding in &report.findings {
        (
            finding.cause,
            finding.confidence,
            &finding.summary,
            &finding.evidence,
        )
            .hash(&mut hasher);
    }
    hasher.finish()
}
