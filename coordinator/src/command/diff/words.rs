//! A difference in words.

use std::fmt::Write;

use mesh_core::{CellChange, Diff, Trend};
use mesh_proto::{CellState, Finding, NodeName, Report};
use owo_colors::{OwoColorize, Style};

use super::pairs::{Earlier, pairs};
use crate::render::{count, listing, place, plain, some_of, wrap};

/// Pairs of ends that are listed for each trend; the JSON form has every cell.
const PAIRS_SHOWN: usize = 20;
/// Findings that are listed of each kind.
const FINDINGS_SHOWN: usize = 10;
/// Nodes that are named.
const NODES_SHOWN: usize = 10;

/// The difference from the report `before` for people: the answer, then findings, then cells.
pub(super) fn words(diff: &Diff<'_>, before: &Report, width: usize) -> String {
    let earlier = Earlier::of(before);
    let mut out = String::new();
    head(&mut out, diff, width);
    let (before, after) = diff.verdict;
    if before == after {
        line(&mut out, "Verdict", &format!("{after}, as before"), width);
    } else {
        line(&mut out, "Verdict", &format!("{after}, before {before}"), width);
    }
    let (before, after) = diff.coverage;
    let covered = |of: mesh_proto::Coverage| {
        format!("{} of {} observed", of.observed, count(of.cells as usize, "cell"))
    };
    let coverage = if before == after {
        format!("{}, as before", covered(after))
    } else {
        format!("{}, before {}", covered(after), covered(before))
    };
    line(&mut out, "Coverage", &coverage, width);
    nodes(&mut out, "came", &diff.nodes_came, width);
    nodes(&mut out, "went", &diff.nodes_went, width);
    let red = Style::new().red().bold();
    let green = Style::new().green().bold();
    findings(&mut out, "New", red, &diff.findings_new, width);
    findings(&mut out, "Gone", green, &diff.findings_gone, width);
    findings(&mut out, "Still", Style::new().bold(), &diff.findings_same, width);
    for (trend, what) in [
        (Trend::Worse, "became worse"),
        (Trend::Better, "became better"),
        (Trend::Different, "changed otherwise"),
    ] {
        let changes: Vec<&CellChange<'_>> = diff.changed(trend).collect();
        cells(&mut out, what, &changes, &earlier);
    }
    out
}

fn head(out: &mut String, diff: &Diff<'_>, width: usize) {
    let (word, style) = match (diff.is_worse(), diff.is_better()) {
        (true, _) => ("WORSE", Style::new().red().bold()),
        (false, true) => ("BETTER", Style::new().green().bold()),
        (false, false) if diff.cells.is_empty() => ("SAME", Style::new().bold()),
        (false, false) => ("DIFFERENT", Style::new().bold()),
    };
    let of = |trend| count(diff.changed(trend).count(), "cell");
    let mut parts = vec![
        format!("{} became worse", of(Trend::Worse)),
        format!("{} became better", of(Trend::Better)),
    ];
    let different = diff.changed(Trend::Different).count();
    if different > 0 {
        parts.push(format!("{} changed otherwise", count(different, "cell")));
    }
    for (what, findings) in [("new", &diff.findings_new), ("gone", &diff.findings_gone)] {
        if !findings.is_empty() {
            parts.push(format!("{} {what}", count(findings.len(), "finding")));
        }
    }
    let mut sentence = String::new();
    wrap(
        &mut sentence,
        "",
        &format!("{word}: {}.", parts.join(", ")),
        width,
    );
    let rest = sentence.strip_prefix(word).unwrap_or(&sentence);
    let _ = write!(out, "{}{rest}", word.style(style));
}

fn line(out: &mut String, name: &str, text: &str, width: usize) {
    wrap(out, &format!("{name:<10}"), text, width);
}

fn nodes(out: &mut String, what: &str, nodes: &[&NodeName], width: usize) {
    if nodes.is_empty() {
        return;
    }
    let names = some_of(nodes.iter().map(|name| plain(name.as_str())), NODES_SHOWN);
    line(
        out,
        "Nodes",
        &format!("{} {what}: {names}", count(nodes.len(), "node")),
        width,
    );
}

fn findings(out: &mut String, what: &str, style: Style, findings: &[&Finding], width: usize) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{}",
        format!("{what}: {}", count(findings.len(), "finding")).style(style)
    );
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        let text = format!("{}: {} ({})", place(finding), finding.summary, finding.cause);
        wrap(out, "  ", &text, width);
    }
    let more = findings.len().saturating_sub(FINDINGS_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "  and {}; -o json has all", count(more, "more finding"));
    }
}

fn cells(out: &mut String, what: &str, changes: &[&CellChange<'_>], earlier: &Earlier<'_>) {
    if changes.is_empty() {
        return;
    }
    let pairs = pairs(changes, earlier);
    let _ = writeln!(
        out,
        "\n{} that {what}, by who probed whom; the worst of each",
        count(changes.len(), "cell")
    );
    let state =
        |state: Option<CellState>| state.map_or_else(|| "not planned".to_owned(), |state| state.to_string());
    let more = pairs.len().saturating_sub(PAIRS_SHOWN);
    let rows = pairs.into_iter().take(PAIRS_SHOWN).map(|pair| {
        [
            pair.from(),
            pair.to(),
            pair.cells.to_string(),
            pair.looks.probes,
            state(pair.looks.before),
            state(pair.looks.after),
            pair.looks.why,
        ]
    });
    listing(
        out,
        &["FROM", "TO", "CELLS", "PROBES", "BEFORE", "AFTER", "WHY"],
        rows.collect(),
    );
    if more > 0 {
        let _ = writeln!(out, " and {}; -o json has all", count(more, "more row"));
    }
}
