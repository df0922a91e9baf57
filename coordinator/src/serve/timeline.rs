//! Incidents on a time line, as a picture: a row each, a bar from its beginning to its end.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use mesh_proto::Severity;

use super::IncidentRecord;
use crate::render::{escape, place};

/// Rows that a picture has room for: the newest.
const ROWS: usize = 30;
const WIDTH: f64 = 720.0;
const ROW: f64 = 14.0;
/// A bar of less could not be seen.
const THINNEST: f64 = 3.0;

pub(super) fn time_line(
    out: &mut String,
    incidents: &[IncidentRecord],
    now: Timestamp,
    span: SignedDuration,
) {
    if incidents.is_empty() {
        return;
    }
    let shown = &incidents[..incidents.len().min(ROWS)];
    let height = ROW * shown.len() as f64 + 20.0;
    let _ = write!(
        out,
        "<section id=\"times\" aria-labelledby=\"times-head\">\n<h2 id=\"times-head\">Last 24 hours</h2>\n\
         <svg class=\"times\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Incidents over time, the newest first; \
         the tables have the same\">\n"
    );
    for quarter in 0..=4 {
        let x = WIDTH * f64::from(quarter) / 4.0;
        let hours = 24 - quarter * 6;
        let (anchor, text) = match quarter {
            0 => ("start", format!("-{hours} h")),
            4 => ("end", "now".to_owned()),
            _ => ("middle", format!("-{hours} h")),
        };
        let _ = writeln!(
            out,
            "<path d=\"M{x} 0V{}\"/><text x=\"{x}\" y=\"{}\" font-size=\"10\" text-anchor=\"{anchor}\">{text}</text>",
            height - 16.0,
            height - 4.0
        );
    }
    for (row, incident) in shown.iter().enumerate() {
        let x = |at: Timestamp| position(at, now, span);
        let (from, to) = (x(incident.since), x(incident.closed.unwrap_or(now)));
        let from = from.min(WIDTH - THINNEST);
        let class = match incident.finding.severity {
            Severity::Failure => "bad",
            Severity::Warning => "warn",
        };
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{}: {}, {:.0} to {}</title></rect>",
            row as f64 * ROW + 2.0,
            (to - from).max(THINNEST),
            ROW - 4.0,
            escape(&place(&incident.finding)),
            incident.finding.cause,
            incident.since,
            incident
                .closed
                .map_or_else(|| "now".to_owned(), |closed| format!("{closed:.0}"))
        );
    }
    out.push_str("</svg>\n</section>\n");
}

/// Where a time is in the picture; what is earlier than all of it begins at its edge.
fn position(at: Timestamp, now: Timestamp, span: SignedDuration) -> f64 {
    let ago = now.duration_since(at).as_secs_f64() / span.as_secs_f64();
    (1.0 - ago.clamp(0.0, 1.0)) * WIDTH
}
