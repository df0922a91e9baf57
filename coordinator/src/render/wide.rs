//! The table, and all that it leaves out: every cell that is not reachable, round-trip times, planes that were not
//! probed.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use mesh_proto::{Cell, CellState, Plane, PlaneState, Report};

use super::place::{source, target, why};
use super::plain::{plain, wrap};
use super::sentence::rtt;
use super::table;

/// The wide form.
pub(super) fn wide(report: &Report, width: usize) -> String {
    let mut out = table::whole(report, width);
    skipped_planes(&mut out, report, width);
    let rows: Vec<[String; 8]> = report
        .cells
        .iter()
        .filter(|cell| is_not_well(cell.state))
        .map(cell)
        .collect();
    if !rows.is_empty() {
        out.push_str("\nCells that are not reachable, or not well\n");
        let heads = ["FROM", "TO", "PROBE", "STATE", "WHY", "ANSWERED", "RTT", "MTU"];
        listing(&mut out, &heads, rows);
    }
    let rows: Vec<[String; 7]> = round_trips(report).collect();
    if !rows.is_empty() {
        out.push_str("\nRound-trip times\n");
        let heads = ["AGENT", "PROBE", "ANSWERS", "MIN", "MEDIAN", "P99", "MAX"];
        listing(&mut out, &heads, rows);
    }
    out
}

/// Whether a cell is listed. What is silent by design is only counted: it is no trouble of anybody's.
pub(super) fn is_not_well(state: CellState) -> bool {
    match state {
        CellState::Failed | CellState::Unknown | CellState::Degraded => true,
        CellState::Reachable | CellState::Skipped => false,
    }
}

fn cell(cell: &Cell) -> [String; 8] {
    let mut answered = format!("{}/{}", cell.received, cell.sent);
    if cell.resent > 0 {
        let _ = write!(answered, " ({} resent)", cell.resent);
    }
    if let Some(arrived) = cell.arrived {
        let _ = write!(answered, " ({arrived} arrived)");
    }
    [
        source(cell),
        target(&cell.to),
        cell.probe.to_string(),
        cell.state.to_string(),
        or_dash(why(cell)),
        answered,
        if cell.received == 0 {
            "-".to_owned()
        } else {
            rtt(cell.rtt_us.p50)
        },
        cell.mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string()),
    ]
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn round_trips(report: &Report) -> impl Iterator<Item = [String; 7]> {
    let records = report.nodes.iter().flat_map(|node| {
        Plane::ALL
            .iter()
            .filter_map(move |plane| Some((node, *plane, node.planes.get(*plane)?)))
    });
    records.flat_map(|(node, plane, record)| {
        record.rtt.iter().map(move |of| {
            [
                format!("{}/{plane}", plain(node.name.as_str())),
                of.probe.to_string(),
                of.count.to_string(),
                rtt(of.rtt_us.min),
                rtt(of.rtt_us.p50),
                rtt(of.rtt_us.p99),
                rtt(of.rtt_us.max),
            ]
        })
    })
}

/// Planes that were left out on purpose, and agents that were starved. (Absent ones stand in the table.)
fn skipped_planes(out: &mut String, report: &Report, width: usize) {
    let mut lines = Vec::new();
    for node in &report.nodes {
        for plane in Plane::ALL {
            let Some(record) = node.planes.get(*plane) else {
                continue;
            };
            let agent = format!("{}/{plane}", node.name);
            if record.state == PlaneState::Skipped {
                let why = record.why.as_deref().unwrap_or("not asked for");
                lines.push(format!("{agent} was left out: {why}"));
            }
            if let Some(starved) = &record.starved {
                lines.push(format!("{agent} was starved: {starved}"));
            }
        }
    }
    if !lines.is_empty() {
        out.push_str("\nAgents\n");
    }
    for line in lines {
        wrap(out, "  ", &line, width);
    }
}

/// Rows under headings, in columns as wide as they must be: lines are long here, and stay one each.
pub(crate) fn listing<const N: usize>(out: &mut String, heads: &[&str; N], rows: Vec<[String; N]>) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heads.iter().copied())
        .add_rows(rows);
    for line in table.lines() {
        let _ = writeln!(out, " {}", line.trim_end());
    }
}
