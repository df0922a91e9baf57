//! JUnit XML, as CI servers read it: a suite per source agent, a case per cell, and before them one suite with the
//! verdict, so that a run of which nothing is known is never green.

use std::collections::BTreeMap;
use std::fmt::Write;

use mesh_core::ExcusedIcmp;
use mesh_proto::{Cell, CellFrom, CellState, Report, Verdict};

use super::headline::Headline;
use super::markup::escape;
use super::place::{place, target, why};
use super::plain::plain;

/// The report as JUnit XML.
pub(super) fn junit(report: &Report) -> String {
    let mut by_source: BTreeMap<&CellFrom, Vec<&Cell>> = BTreeMap::new();
    for cell in &report.cells {
        by_source.entry(&cell.from).or_default().push(cell);
    }
    let excused = ExcusedIcmp::of(report);
    let mut suites = vec![verdict(report)];
    suites.extend(by_source.into_iter().map(|(from, cells)| {
        let name = format!("{}/{}", from.node, from.plane);
        let cases = cells.into_iter().map(|cell| case(&name, cell, report, &excused));
        Suite {
            cases: cases.collect(),
            name,
            out: String::new(),
        }
    }));
    let all = suites.iter().flat_map(|suite| &suite.cases);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"mesh\" {}>", counts(all));
    for suite in &suites {
        write_suite(&mut out, suite, report);
    }
    out.push_str("</testsuites>\n");
    out
}

struct Suite {
    name: String,
    cases: Vec<Case>,
    out: String,
}

struct Case {
    class: String,
    name: String,
    /// Seconds.
    time: f64,
    outcome: Outcome,
    out: String,
}

enum Outcome {
    Passed,
    Failed {
        kind: String,
        message: String,
    },
    /// Unknown: a check that did not happen is no pass.
    Error {
        kind: &'static str,
        message: String,
    },
    Skipped(String),
}

/// The whole run as one case, with the findings.
fn verdict(report: &Report) -> Suite {
    let message = Headline::of(report).in_full();
    let outcome = match report.verdict {
        _ if report.interrupted => Outcome::Error {
            kind: "interrupted",
            message,
        },
        Verdict::Reachable => Outcome::Passed,
        Verdict::Unreachable => Outcome::Failed {
            kind: "unreachable".to_owned(),
            message,
        },
        Verdict::Unknown => Outcome::Error {
            kind: "unknown",
            message,
        },
    };
    let mut findings = String::new();
    for finding in &report.findings {
        let _ = writeln!(
            findings,
            "{} {}: {}\n  cause: {} ({})",
            finding.severity,
            place(finding),
            plain(&finding.summary),
            finding.cause,
            finding.confidence
        );
        for (what, items) in [("evidence", &finding.evidence), ("to do", &finding.advice)] {
            for item in items {
                let _ = writeln!(findings, "  {what}: {}", plain(item));
            }
        }
    }
    Suite {
        name: "verdict".to_owned(),
        cases: vec![Case {
            class: "verdict".to_owned(),
            name: "everything asked for is reachable".to_owned(),
            time: 0.0,
            outcome,
            out: String::new(),
        }],
        out: findings,
    }
}

fn case(class: &str, cell: &Cell, report: &Report, excused: &ExcusedIcmp<'_>) -> Case {
    let words = || {
        let why = why(cell);
        let got = format!("{} of {} came back", cell.received, cell.sent);
        if why.is_empty() {
            got
        } else {
            format!("{why}; {got}")
        }
    };
    let failed = || Outcome::Failed {
        kind: cell
            .reason
            .as_ref()
            .map_or_else(|| cell.state.to_string(), ToString::to_string),
        message: words(),
    };
    let (outcome, out) = match cell.state {
        CellState::Reachable => (Outcome::Passed, String::new()),
        CellState::Degraded if report.strict => (failed(), String::new()),
        CellState::Failed if report.strict || !excused.contains(cell) => (failed(), String::new()),
        // What leaves the exit code 0 leaves the build green, too, but not without a word.
        CellState::Degraded | CellState::Failed => {
            (Outcome::Passed, format!("warning: {}: {}", cell.state, words()))
        }
        CellState::Unknown => (
            Outcome::Error {
                kind: "unknown",
                message: why(cell),
            },
            String::new(),
        ),
        CellState::Skipped => (Outcome::Skipped(why(cell)), String::new()),
    };
    Case {
        class: class.to_owned(),
        name: format!("{} to {}", cell.probe, target(&cell.to)),
        time: f64::from(cell.rtt_us.p50) / 1e6,
        outcome,
        out,
    }
}

fn counts<'c>(cases: impl Iterator<Item = &'c Case>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped, mut time) = (0, 0, 0, 0, 0.0);
    for case in cases {
        tests += 1;
        time += case.time;
        match case.outcome {
            Outcome::Passed => {}
            Outcome::Failed { .. } => failures += 1,
            Outcome::Error { .. } => errors += 1,
            Outcome::Skipped(_) => skipped += 1,
        }
    }
    format!(
        "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{time:.6}\""
    )
}

fn write_suite(out: &mut String, suite: &Suite, report: &Report) {
    let _ = writeln!(
        out,
        "  <testsuite name=\"{}\" {} timestamp=\"{}\">",
        escape(&suite.name),
        counts(suite.cases.iter()),
        escape(&report.run.started)
    );
    for case in &suite.cases {
        let _ = write!(
            out,
            "    <testcase classname=\"mesh.{}\" name=\"{}\" time=\"{:.6}\"",
            escape(&case.class),
            escape(&case.name),
            case.time
        );
        let inner = match &case.outcome {
            Outcome::Passed => String::new(),
            Outcome::Failed { kind, message } => element("failure", Some(kind), message),
            Outcome::Error { kind, message } => element("error", Some(kind), message),
            Outcome::Skipped(why) => element("skipped", None, why),
        };
        let said = if case.out.is_empty() {
            String::new()
        } else {
            format!("<system-out>{}</system-out>", escape(&case.out))
        };
        if inner.is_empty() && said.is_empty() {
            out.push_str("/>\n");
        } else {
            let _ = writeln!(out, ">{inner}{said}</testcase>");
        }
    }
    if !suite.out.is_empty() {
        let _ = writeln!(out, "    <system-out>{}</system-out>", escape(&suite.out));
    }
    out.push_str("  </testsuite>\n");
}

fn element(name: &str, kind: Option<&str>, message: &str) -> String {
    let message = escape(&plain(message));
    match kind {
        Some(kind) => format!(
            "<{name} message=\"{message}\" type=\"{}\">{message}</{name}>",
            escape(&plain(kind))
        ),
        None => format!("<{name} message=\"{message}\"/>"),
    }
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
