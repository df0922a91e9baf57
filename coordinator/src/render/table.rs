//! For people at a terminal: the verdict, then findings with place, evidence and advice, then the matrix, then coverage
//! and time. A healthy run takes ten lines at the most.

mod findings;
mod matrix;

use std::fmt::Write;

use mesh_proto::{Cause, CellState, Report, Verdict};
use owo_colors::{OwoColorize, Style};

use self::findings::absent;
pub(crate) use self::findings::finding as finding_in_words;
use self::matrix::{columns_legend, letters_legend, marks_legend, picture};
use super::grid::{Blocks, Grid};
use super::headline::Headline;
use super::plain::{count, wrap};
use super::sentence::{coverage_in_brief, coverage_sentence, run_sentence, time_sentence};

/// A healthy run's matrix is shown up to this many nodes.
const SMALL: usize = 5;
/// What a healthy run may take.
const HEALTHY_LINES: usize = 10;
/// Findings that the table shows; `wide` shows all.
const FINDINGS_SHOWN: usize = 10;

/// The table.
pub(super) fn table(report: &Report, width: usize) -> String {
    let mut out = String::new();
    head(&mut out, report, width);
    if is_healthy(report) {
        healthy(&mut out, report, width);
    } else {
        troubled(&mut out, report, width, FINDINGS_SHOWN);
    }
    out
}

/// The table as the beginning of the wide form: everything is shown, however healthy.
pub(super) fn whole(report: &Report, width: usize) -> String {
    let mut out = String::new();
    head(&mut out, report, width);
    troubled(&mut out, report, width, usize::MAX);
    out
}

/// Nothing to tell but that all is well.
fn is_healthy(report: &Report) -> bool {
    let bad = |state| {
        matches!(
            state,
            CellState::Failed | CellState::Degraded | CellState::Unknown
        )
    };
    report.verdict == Verdict::Reachable
        && !report.interrupted
        && report.findings.is_empty()
        && !report.cells.iter().any(|cell| bad(cell.state))
}

fn head(out: &mut String, report: &Report, width: usize) {
    let headline = Headline::of(report);
    let mut sentence = String::new();
    wrap(&mut sentence, "", &headline.in_full(), width);
    let style = match report.verdict {
        Verdict::Reachable => Style::new().green().bold(),
        Verdict::Unreachable => Style::new().red().bold(),
        Verdict::Unknown => Style::new().magenta().bold(),
    };
    let rest = sentence.strip_prefix(headline.word).unwrap_or(&sentence);
    let _ = write!(out, "{}{rest}", headline.word.style(style));
    if let Some(starved) = headline.starved {
        wrap(out, "", &starved, width);
    }
}

fn healthy(out: &mut String, report: &Report, width: usize) {
    let mut after = String::new();
    wrap(
        &mut after,
        "",
        &format!("{}; {}", coverage_in_brief(report), time_sentence(report)),
        width,
    );
    for note in &report.notes {
        wrap(&mut after, "Note: ", note, width);
    }
    let room = HEALTHY_LINES.saturating_sub(lines(out) + lines(&after));
    if report.nodes.len() <= SMALL {
        let grid = Grid::new(report);
        for blocks in [Blocks::whole(&grid), Blocks::by_node(&grid)] {
            let mut matrix = String::new();
            picture(&mut matrix, &grid, &blocks, width);
            letters_legend(&mut matrix, &blocks, width);
            if lines(&matrix) <= room {
                out.push_str(&matrix);
                break;
            }
        }
    }
    let room = HEALTHY_LINES.saturating_sub(lines(out));
    out.extend(after.split_inclusive('\n').take(room));
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

fn troubled(out: &mut String, report: &Report, width: usize, shown: usize) {
    for of in report.findings.iter().take(shown) {
        out.push('\n');
        finding_in_words(out, of, shown == usize::MAX, width);
    }
    let more = report.findings.len().saturating_sub(shown);
    if more > 0 {
        let _ = writeln!(out, "\nAnd {}; -o wide shows all.", count(more, "more finding"));
    }
    explain(out, report, width);
    if report.unexplained > 0 {
        let cells = count(report.unexplained as usize, "failed cell");
        let verb = if report.unexplained == 1 { "is" } else { "are" };
        let where_to = if shown == usize::MAX {
            "."
        } else {
            "; -o wide lists them."
        };
        out.push('\n');
        wrap(
            out,
            "",
            &format!("{cells} {verb} under no finding{where_to}"),
            width,
        );
    }
    absent(out, report, shown == usize::MAX, width);
    let grid = Grid::new(report);
    let blocks = Blocks::new(&grid);
    if !blocks.lines.is_empty() && !blocks.groups.is_empty() {
        out.push('\n');
        picture(out, &grid, &blocks, width);
        marks_legend(out, &blocks, width);
        columns_legend(out, &grid, &blocks, width);
    }
    out.push('\n');
    label(out, "Coverage", &coverage_sentence(report), width);
    label(
        out,
        "Time",
        &format!("{}; {}", time_sentence(report), run_sentence(report)),
        width,
    );
    for note in &report.notes {
        label(out, "Note", note, width);
    }
}

/// Where the causes above are explained. A single one is named, so that the command can be copied.
fn explain(out: &mut String, report: &Report, width: usize) {
    let mut causes: Vec<Cause> = report.findings.iter().map(|of| of.cause).collect();
    causes.dedup();
    let cause = match causes.as_slice() {
        [] => return,
        [one] => one.name(),
        _ => "CAUSE",
    };
    out.push('\n');
    wrap(
        out,
        "",
        &format!("What it means and how to cure it: mesh lab explain {cause}"),
        width,
    );
}

/// A line that begins with what it is about.
fn label(out: &mut String, name: &str, text: &str, width: usize) {
    wrap(out, &format!("{name:<10}"), text, width);
}

#[cfg(test)]
#[path = "table/table_tests.rs"]
mod tests;
