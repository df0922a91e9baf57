//! Findings in words, and agents that did not stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use mesh_proto::{Finding, Plane, PlaneState, Report, Severity};
use owo_colors::OwoColorize;

use crate::render::advice::Advice;
use crate::render::place::place;
use crate::render::plain::{bounded, columns, count, plain, some_of, wrap};
use crate::render::reason::{readable, without_address};

/// Lines of evidence after which the short form begins no further one.
const LINES_SHOWN: usize = 6;
/// A sentence is none any more beyond these characters.
const LONGEST_SENTENCE: usize = 500;

/// One finding: severity and place, the sentence, cause, evidence, advice; in detail also what was ruled out.
pub(crate) fn finding(out: &mut String, finding: &Finding, in_detail: bool, width: usize) {
    let (word, coloured) = match finding.severity {
        Severity::Failure => ("FAILURE", "FAILURE".red().bold().to_string()),
        Severity::Warning => ("WARNING", "WARNING".yellow().bold().to_string()),
    };
    let mut head = String::new();
    wrap(&mut head, &format!("{word}  "), &place(finding), width);
    out.push_str(&coloured);
    out.push_str(head.strip_prefix(word).unwrap_or(&head));
    wrap(out, "  ", &bounded(&finding.summary, LONGEST_SENTENCE), width);
    let cause = format!(
        "{} ({}), explains {}",
        finding.cause,
        finding.confidence,
        count(finding.explains as usize, "cell")
    );
    wrap(out, "  Cause     ", &cause, width);
    let most = if in_detail { usize::MAX } else { LINES_SHOWN };
    items(out, "  Evidence  ", &finding.evidence, most, width);
    advice(out, "  To do     ", &finding.advice, width);
    if in_detail {
        items(out, "  Not       ", &finding.ruled_out, usize::MAX, width);
    }
}

/// Advice one below the other, all of it. A command has a line of its own below what it is for, which the terminal may
/// break: so it is copied whole.
fn advice(out: &mut String, name: &str, advice: &[String], width: usize) {
    let blank = " ".repeat(columns(name));
    let mut before = name;
    let mut last_lead = None;
    for item in advice {
        match Advice::of(item) {
            Advice::Sentence(text) => {
                last_lead = None;
                wrap(out, before, &bounded(text, LONGEST_SENTENCE), width);
            }
            Advice::Command { lead, command } => {
                match lead {
                    Some(lead) if last_lead != Some(lead) => {
                        wrap(
                            out,
                            before,
                            &format!("{}:", bounded(lead, LONGEST_SENTENCE)),
                            width,
                        );
                        before = &blank;
                    }
                    _ => {}
                }
                last_lead = lead;
                let indent = if lead.is_some() { "  " } else { "" };
                let _ = writeln!(out, "{before}{indent}{}", plain(command));
            }
        }
        before = &blank;
    }
}

/// Items one below the other, the name before the first.
fn items(out: &mut String, name: &str, items: &[String], most_lines: usize, width: usize) {
    let blank = " ".repeat(columns(name));
    let mut shown = String::new();
    for (index, item) in items.iter().enumerate() {
        let more = items.len() - index;
        // The last one takes hardly more room than the words that it is there.
        if more > 1 && shown.lines().count() >= most_lines {
            let _ = writeln!(shown, "{blank}and {more} more (-o json)");
            break;
        }
        let before = if index == 0 { name } else { &blank };
        wrap(&mut shown, before, &bounded(item, LONGEST_SENTENCE), width);
    }
    out.push_str(&shown);
}

/// Reasons that the short form shows.
const REASONS_SHOWN: usize = 5;
/// Agents that are named for each.
const AGENTS_NAMED: usize = 4;

/// Agents with the same reason, by node, and the reasons as they were given.
#[derive(Default)]
struct Absent<'r> {
    planes: BTreeMap<usize, Vec<Plane>>,
    given: BTreeSet<&'r str>,
}

/// Agents that did not probe, those with the same reason together.
pub(super) fn absent(out: &mut String, report: &Report, in_detail: bool, width: usize) {
    let mut by_reason: BTreeMap<String, Absent<'_>> = BTreeMap::new();
    for (number, node) in report.nodes.iter().enumerate() {
        for plane in Plane::ALL {
            let record = node.planes.get(*plane);
            if let Some(record) = record.filter(|record| record.state == PlaneState::Absent) {
                let why = record.why.as_deref().unwrap_or("no reason is known");
                let absent = by_reason.entry(without_address(why)).or_default();
                absent.planes.entry(number).or_default().push(*plane);
                absent.given.insert(why);
            }
        }
    }
    if by_reason.is_empty() || (report.coverage.unknown == 0 && !in_detail) {
        return;
    }
    // Some did not answer, others said what cannot be.
    out.push_str("\nAgents of which there is no result:\n");
    let reasons = if in_detail { usize::MAX } else { REASONS_SHOWN };
    let all = by_reason.len();
    let mut by_reason: Vec<(String, Absent<'_>)> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, absent)| std::cmp::Reverse(absent.planes.len()));
    for (why, absent) in by_reason.into_iter().take(reasons) {
        let agents = absent.planes.iter().map(|(node, planes)| {
            let name = plain(report.nodes[*node].name.as_str());
            match planes.as_slice() {
                [plane] => format!("{name}/{plane}"),
                _ => format!("{name} (both planes)"),
            }
        });
        let named = some_of(agents, AGENTS_NAMED);
        // One address can be told; of several, each is another agent's.
        let why = match absent.given.first() {
            Some(given) if absent.given.len() == 1 => readable(given),
            _ => why,
        };
        wrap(
            out,
            "  ",
            &format!("{named}: {}", bounded(&why, LONGEST_SENTENCE)),
            width,
        );
    }
    let more = all.saturating_sub(reasons);
    if more > 0 {
        let _ = writeln!(out, "  and {}; -o wide shows all", count(more, "more reason"));
    }
}
