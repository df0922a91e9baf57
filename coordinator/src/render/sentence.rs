//! The sentences that every form for people shares: the verdict, coverage, time.

use std::fmt::Write;
use std::time::Duration;

use mesh_proto::{CellState, Ground, Report, Verdict};

use super::plain::{count, plain};

/// Cells by what became of them. Only those that are not reachable are counted from the list: above 64 nodes the others
/// are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) failed: usize,
    pub(super) degraded: usize,
    pub(super) unknown: usize,
}

impl Tally {
    pub(super) fn of(report: &Report) -> Self {
        let mut tally = Self {
            unknown: report.coverage.unknown as usize,
            ..Self::default()
        };
        for cell in &report.cells {
            match cell.state {
                CellState::Failed => tally.failed += 1,
                CellState::Degraded => tally.degraded += 1,
                CellState::Reachable | CellState::Unknown | CellState::Skipped => {}
            }
        }
        tally
    }
}

/// One word for the verdict, for the head of a page or a line.
pub(super) fn verdict_word(report: &Report) -> &'static str {
    match report.verdict {
        Verdict::Reachable => "REACHABLE",
        Verdict::Unreachable => "UNREACHABLE",
        Verdict::Unknown => "UNKNOWN",
    }
}

/// What was found, in one sentence, to stand after the verdict's word.
pub(super) fn verdict_sentence(report: &Report) -> String {
    let Tally {
        failed,
        degraded,
        unknown,
    } = Tally::of(report);
    let cells = report.coverage.cells as usize;
    let over = count(report.nodes.len(), "node");
    let of = |number: usize| format!("{number} of {} over {over}", count(cells, "cell"));
    let mut clauses = Vec::new();
    if cells == 0 {
        clauses.push(format!("there was nothing to probe over {over}"));
    } else if failed > 0 {
        clauses.push(format!("{} failed", of(failed)));
        if degraded > 0 {
            clauses.push(format!("{degraded} degraded"));
        }
        if unknown > 0 {
            clauses.push(format!("{unknown} could not be checked"));
        }
    } else if unknown > 0 {
        clauses.push(format!("{} could not be checked", of(unknown)));
        clauses.push(match degraded {
            0 => "nothing failed".to_owned(),
            _ => format!("{degraded} degraded, nothing failed"),
        });
    } else if degraded > 0 {
        clauses.push(format!("{} passed, but not well", of(degraded)));
    } else {
        clauses.push(match cells {
            1 => format!("the one cell over {over} is reachable"),
            _ => format!("all {cells} cells over {over} are reachable"),
        });
    }
    if report.strict && report.verdict == Verdict::Unreachable && (degraded > 0 || failed > 0) {
        clauses.push("--strict counts degraded cells and lost ICMP as failed".to_owned());
    }
    let sentence = clauses.join("; ") + ".";
    if report.interrupted {
        format!("interrupted before all was observed; {sentence}")
    } else {
        sentence
    }
}

/// How much was looked at.
pub(super) fn coverage_sentence(report: &Report) -> String {
    let coverage = report.coverage;
    let mut sentence = format!(
        "{} of {} observed",
        coverage.observed,
        count(coverage.cells as usize, "cell")
    );
    if coverage.unknown > 0 {
        let _ = write!(sentence, ", {} unknown", coverage.unknown);
    }
    if coverage.skipped > 0 {
        let _ = write!(sentence, ", {} skipped", coverage.skipped);
    }
    sentence
}

/// When it was, and how long it took: `1.2 s, 2026-01-01 00:00:00 UTC`.
pub(super) fn time_sentence(report: &Report) -> String {
    let run = &report.run;
    let stamp = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let (Some(started), Some(finished)) = (stamp(&run.started), stamp(&run.finished)) else {
        return format!("{} to {}", plain(&run.started), plain(&run.finished));
    };
    let began = started.strftime("%Y-%m-%d %H:%M:%S UTC");
    match Duration::try_from(finished.duration_since(started)) {
        Ok(took) => format!("{}, {began}", span(took)),
        Err(_) => began.to_string(),
    }
}

/// Which run it was.
pub(super) fn run_sentence(report: &Report) -> String {
    let run = &report.run;
    let ground = match run.ground {
        Ground::Kube => "on the cluster",
        Ground::Lab => "in a lab",
        Ground::Inventory => "over an inventory",
    };
    format!("run {} {ground}, mesh {}", plain(&run.id), plain(&run.version))
}

/// A span of time as people say it: `340 ms`, `1.2 s`, `2 min 5 s`.
pub(super) fn span(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => {
            let seconds = time.as_secs();
            match (seconds / 60, seconds % 60) {
                (minutes, 0) => format!("{minutes} min"),
                (minutes, seconds) => format!("{minutes} min {seconds} s"),
            }
        }
    }
}

/// A round-trip time in microseconds: `85 us`, `1.2 ms`, `3.0 s`.
pub(super) fn rtt(micros: u32) -> String {
    match micros {
        0..1000 => format!("{micros} us"),
        1000..1_000_000 => format!("{:.1} ms", f64::from(micros) / 1e3),
        _ => format!("{:.1} s", f64::from(micros) / 1e6),
    }
}

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
