//! Findings in words, and agents that did not stand.

use std::collections::BTreeMap;
use std::fmt::Write;

use mesh_proto::{Finding, Node, Plane, PlaneState, Report, Severity};
use owo_colors::OwoColorize;

use super::has_unknown;
use crate::render::place::place;
use crate::render::plain::{columns, count, plain, some_of, wrap};

/// One finding: severity and place, the sentence, cause, evidence, advice; in detail also what was ruled out.
pub(super) fn finding(out: &mut String, finding: &Finding, in_detail: bool, width: usize) {
    let (word, coloured) = match finding.severity {
        Severity::Failure => ("FAILURE", "FAILURE".red().bold().to_string()),
        Severity::Warning => ("WARNING", "WARNING".yellow().bold().to_string()),
    };
    let mut head = String::new();
    wrap(&mut head, &format!("{word}  "), &place(finding), width);
    out.push_str(&coloured);
    out.push_str(head.strip_prefix(word).unwrap_or(&head));
    wrap(out, "  ", &finding.summary, width);
    let cause = format!(
        "{} ({}), explains {}",
        finding.cause,
        finding.confidence,
        count(finding.explains as usize, "cell")
    );
    wrap(out, "  Cause     ", &cause, width);
    items(out, "  Evidence  ", &finding.evidence, width);
    items(out, "  To do     ", &finding.advice, width);
    if in_detail {
        items(out, "  Not       ", &finding.ruled_out, width);
    }
}

/// Items one below the other, the name before the first.
fn items(out: &mut String, name: &str, items: &[String], width: usize) {
    let blank = " ".repeat(columns(name));
    for (index, item) in items.iter().enumerate() {
        let before = if index == 0 { name } else { &blank };
        // A command stays on one line, which the terminal may break: so it is copied whole. Sentences begin with a
        // capital letter, commands do not.
        let is_command = item.starts_with(|c: char| c.is_ascii_lowercase() || c == '/');
        if is_command {
            out.push_str(before);
            out.push_str(&plain(item));
            out.push('\n');
        } else {
            wrap(out, before, item, width);
        }
    }
}

/// The planes of a node on which no agent answered, by reason.
fn absent_planes(node: &Node) -> BTreeMap<&str, Vec<Plane>> {
    let mut planes: BTreeMap<&str, Vec<Plane>> = BTreeMap::new();
    for plane in Plane::ALL {
        let record = node.planes.get(*plane);
        if let Some(record) = record.filter(|record| record.state == PlaneState::Absent) {
            let why = record.why.as_deref().unwrap_or("no reason is known");
            planes.entry(why).or_default().push(*plane);
        }
    }
    planes
}

/// Reasons that the short form shows.
const REASONS_SHOWN: usize = 5;
/// Agents that are named for each.
const AGENTS_NAMED: usize = 4;

/// Agents that did not probe, those with the same reason together.
pub(super) fn absent(out: &mut String, report: &Report, shown: usize, width: usize) {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for node in &report.nodes {
        for (why, planes) in absent_planes(node) {
            let name = plain(node.name.as_str());
            let agent = match planes.as_slice() {
                [plane] => format!("{name}/{plane}"),
                _ => format!("{name} (both planes)"),
            };
            by_reason.entry(why).or_default().push(agent);
        }
    }
    if by_reason.is_empty() || (!has_unknown(report) && shown != usize::MAX) {
        return;
    }
    out.push_str("\nNot probed, since no agent answered there:\n");
    let reasons = if shown == usize::MAX { shown } else { REASONS_SHOWN };
    let all = by_reason.len();
    for (why, agents) in by_reason.into_iter().take(reasons) {
        let named = some_of(agents.into_iter(), AGENTS_NAMED);
        wrap(out, "  ", &format!("{named}: {why}"), width);
    }
    let more = all.saturating_sub(reasons);
    if more > 0 {
        let _ = writeln!(out, "  and {}; -o wide shows all", count(more, "more reason"));
    }
}
