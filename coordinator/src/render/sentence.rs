//! The sentences that every form for people shares: coverage, time, which run it was.

use std::fmt::Write;
use std::time::Duration;

use mesh_proto::{Ground, Report, RotationRecord};

use super::plain::{count, plain};

/// How much was looked at, in the one line that a healthy run has left for it.
pub(super) fn coverage_in_brief(report: &Report) -> String {
    let mut sentence = counts(report);
    if let Some(RotationRecord { peers, of, runs, .. }) = report.coverage.rotation {
        let _ = write!(
            sentence,
            "; {peers} of {of} peers a node, every pair within {runs} such runs"
        );
    }
    sentence
}

/// How much was looked at.
pub(super) fn coverage_sentence(report: &Report) -> String {
    let by_design = if report.coverage.skipped > 0 {
        " by design"
    } else {
        ""
    };
    let rotation = report.coverage.rotation.as_ref().map(rotation_sentence);
    counts(report) + by_design + &rotation.unwrap_or_default()
}

fn counts(report: &Report) -> String {
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
        let _ = write!(sentence, ", {} more skipped", coverage.skipped);
    }
    sentence
}

fn rotation_sentence(rotation: &RotationRecord) -> String {
    let RotationRecord {
        peers,
        of,
        runs,
        within_s,
        next,
    } = *rotation;
    let within = span(Duration::from_secs(within_s.into()));
    format!(
        "; each node probed {peers} of {of} others: every pair has its turn within {runs} such runs, {within} of probing (the next one: --peers {peers} --turn {next})"
    )
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
