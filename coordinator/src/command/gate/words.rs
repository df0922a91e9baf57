//! The decision for people.

use std::fmt::Write;

use mesh_core::Decision;
use mesh_proto::{Cell, Verdict};
use owo_colors::{OwoColorize, Style};

use crate::render::{count, finding_in_words, listing, plain, source, target, why, wrap};

/// Findings and cells that are shown; the JSON form has more.
const FINDINGS_SHOWN: usize = 10;
const CELLS_SHOWN: usize = 15;

/// The answer, then what blocks.
pub(super) fn words(decision: &Decision, width: usize) -> String {
    let (word, style) = match decision.verdict {
        Verdict::Reachable => ("OPEN", Style::new().green().bold()),
        Verdict::Unreachable => ("CLOSED", Style::new().red().bold()),
        Verdict::Unknown => ("UNKNOWN", Style::new().magenta().bold()),
    };
    let mut sentence = String::new();
    let explanation = plain(&decision.explanation);
    let looks = count(decision.looks as usize, "look");
    wrap(
        &mut sentence,
        "",
        &format!("{word}: {explanation} ({looks})."),
        width,
    );
    let rest = sentence.strip_prefix(word).unwrap_or(&sentence);
    let mut out = format!("{}{rest}", word.style(style));
    for finding in decision.findings.iter().take(FINDINGS_SHOWN) {
        out.push('\n');
        finding_in_words(&mut out, finding, false, width);
    }
    let more = decision.findings.len().saturating_sub(FINDINGS_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "\nAnd {}; -o json shows all.", count(more, "more finding"));
    }
    cells(&mut out, decision);
    out
}

fn cells(out: &mut String, decision: &Decision) {
    if decision.cells.is_empty() {
        return;
    }
    let verb = if decision.blocking == 1 { "blocks" } else { "block" };
    let _ = writeln!(out, "\n{} {verb}", count(decision.blocking, "cell"));
    let row = |cell: &Cell| {
        [
            source(cell),
            target(&cell.to),
            cell.probe.to_string(),
            cell.state.to_string(),
            plain(&why(cell)),
        ]
    };
    let rows = decision.cells.iter().take(CELLS_SHOWN).map(row).collect();
    listing(out, &["FROM", "TO", "PROBE", "STATE", "WHY"], rows);
    let more = decision.blocking.saturating_sub(CELLS_SHOWN);
    if more > 0 {
        let _ = writeln!(out, " and {}; -o json has more", count(more, "more cell"));
    }
}
