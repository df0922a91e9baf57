use std::time::Duration;

use mesh_proto::{CellReason, CellState, Report, Verdict};

use super::Headline;
use crate::drive::Cut;
use crate::render::samples::{Try, cell, empty, healthy, mesh, motley, report, shortened};

/// Two nodes, and one try from a pod to the other's pod that is not reachable.
fn one(probe: &'static str, state: &'static str) -> Report {
    let state = move |on: Try<'_>| match (on.from, on.plane, on.to, on.target) {
        (1, "pod", 2, "pod") if on.probe == probe => state,
        _ => "reachable",
    };
    let mut report = mesh(2, state);
    if probe == "icmp" && report.verdict == Verdict::Unreachable {
        report.verdict = Verdict::Reachable;
    }
    report
}

fn strict(mut report: Report) -> Report {
    report.strict = true;
    report.verdict = Verdict::Unreachable;
    report
}

/// All unknown cells for this reason.
fn since(mut report: Report, reason: &str) -> Report {
    for cell in report
        .cells
        .iter_mut()
        .filter(|cell| cell.state == CellState::Unknown)
    {
        cell.reason = Some(CellReason::Words(reason.to_owned()));
    }
    report
}

/// Three nodes, of which the agents of one saw nothing and were not seen.
fn blind() -> Report {
    mesh(3, |on| {
        if on.from == 2 || on.to == 2 {
            "unknown"
        } else {
            "reachable"
        }
    })
}

fn in_full(report: &Report) -> String {
    Headline::of(report).in_full()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_first_sentence_is_true_and_enough() {
    let both = mesh(2, |on| match (on.from, on.plane, on.to, on.probe) {
        (1, "pod", 2, "icmp") => "failed",
        (1, "host", 2, "udp") => "degraded",
        _ => "reachable",
    });
    let mixed = Report {
        verdict: Verdict::Reachable,
        ..both.clone()
    };
    let broken = mesh(2, |on| match (on.from, on.plane, on.to, on.probe) {
        (1, "pod", 2, "icmp") | (1, "host", 2, "tcp") => "failed",
        (2, "host", 1, "udp") => "degraded",
        _ => "reachable",
    });
    let nothing = report(
        &[],
        &[
            cell(("a", "pod"), "pod b", "tcp", "unknown"),
            cell(("b", "pod"), "pod a", "tcp", "unknown"),
        ],
    );
    let mut interrupted = one("udp", "unknown");
    interrupted.interrupted = true;
    let cases = [
        (healthy(2), "REACHABLE: all 48 cells over 2 nodes are reachable."),
        (
            shortened(healthy(2)),
            "REACHABLE: all 48 cells over 2 nodes are reachable.",
        ),
        (
            one("icmp", "failed"),
            "REACHABLE, with warnings: ICMP fails in 1 of 48 cells over 2 nodes; TCP and UDP pass there.",
        ),
        (
            shortened(one("icmp", "failed")),
            "REACHABLE, with warnings: ICMP fails in 1 of 48 cells over 2 nodes; TCP and UDP pass there.",
        ),
        (
            one("udp", "degraded"),
            "REACHABLE, with warnings: 1 of 48 cells over 2 nodes is slow or lossy; all others are well.",
        ),
        (
            mixed,
            "REACHABLE, with warnings: ICMP fails in 2 of 48 cells over 2 nodes, where TCP and UDP pass; 2 more are slow or \
             lossy.",
        ),
        (
            one("udp", "failed"),
            "UNREACHABLE: 1 of 48 cells over 2 nodes failed.",
        ),
        (
            broken,
            "UNREACHABLE: 2 of 48 cells over 2 nodes failed; ICMP fails in 2 more, where TCP and UDP pass; 2 more are slow or \
             lossy.",
        ),
        (
            strict(one("udp", "degraded")),
            "UNREACHABLE: 1 of 48 cells over 2 nodes is slow or lossy; --strict counts slow or lossy cells and lost ICMP as \
             failed.",
        ),
        (
            strict(one("icmp", "failed")),
            "UNREACHABLE: ICMP fails in 1 of 48 cells over 2 nodes, where TCP and UDP pass; --strict counts slow or lossy cells \
             and lost ICMP as failed.",
        ),
        (
            motley(),
            "UNREACHABLE: 4 of 13 cells over 2 nodes failed; 1 more is slow or lossy; 1 could not be checked.",
        ),
        (
            one("udp", "unknown"),
            "UNKNOWN: 1 of 48 cells over 2 nodes could not be checked, all from or to n1; the other 47 are reachable.",
        ),
        (
            blind(),
            "UNKNOWN: 72 of 120 cells over 3 nodes could not be checked, all from or to n2; the other 48 are reachable.",
        ),
        (
            mesh(2, |on| {
                if on.probe == "icmp" {
                    "unknown"
                } else {
                    "reachable"
                }
            }),
            "UNKNOWN: 12 of 48 cells over 2 nodes could not be checked, all by icmp; the other 36 are reachable.",
        ),
        (
            nothing,
            "UNKNOWN: none of the 2 cells over 0 nodes could be checked.",
        ),
        (
            interrupted,
            "UNKNOWN, interrupted before all was observed: 1 of 48 cells over 2 nodes could not be checked, all from or to n1; \
             the other 47 are reachable.",
        ),
        (empty(), "REACHABLE: there was nothing to probe over 0 nodes."),
    ];
    for (report, sentence) in cases {
        assert_eq!(in_full(&report), sentence);
    }
}

#[test]
fn a_timeout_that_cut_the_run_short_is_told_first() {
    let words = Cut::TimeUp(Duration::from_secs(1)).words();
    let cut = since(blind(), &words);
    assert!(
        in_full(&cut).starts_with(
            "UNKNOWN, stopped after 1s (--timeout): 72 of 120 cells over 3 nodes could not be checked"
        ),
        "{}",
        in_full(&cut)
    );
    let other = since(blind(), "the agent hung");
    assert_eq!(Headline::of(&other).lead(), "UNKNOWN");
}

#[test]
fn a_machine_without_cpu_time_is_told_before_its_figures_are_believed() {
    let starved = since(blind(), "the agent n2/pod was starved of CPU");
    assert_eq!(
        Headline::of(&starved).starved.unwrap_or_default(),
        "This machine is too slow for a lab of 3 nodes: 1 of 6 agents was starved of CPU (n2/pod), so 72 cells could not be \
         checked, and others may look slow, lossy or dead for that alone."
    );
    let own = since(blind(), "the probing agent was starved of CPU");
    let own = Headline::of(&own).starved.unwrap_or_default();
    assert!(
        own.contains(": 6 of 6 agents were starved of CPU (n1/host, n1/pod, n2/host, n2/pod and 2 more)"),
        "{own}"
    );
    let mut elsewhere = starved.clone();
    elsewhere.run.ground = mesh_proto::Ground::Inventory;
    let elsewhere = Headline::of(&elsewhere).starved.unwrap_or_default();
    assert!(
        elsewhere.starts_with("Agents were too slow: 1 of 6 agents was starved"),
        "{elsewhere}"
    );
    assert_eq!(Headline::of(&blind()).starved, None);
}
