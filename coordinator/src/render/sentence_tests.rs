use std::time::Duration;

use mesh_proto::Verdict;

use super::{coverage_sentence, rtt, span, time_sentence, verdict_sentence};
use crate::render::samples::{Try, empty, healthy, mesh, motley, shortened};

#[test]
fn the_verdict_is_one_sentence() {
    let one = |state: &'static str| {
        move |on: Try<'_>| match (on.from, on.plane, on.to, on.target, on.probe) {
            (1, "pod", 2, "pod", "udp") => state,
            _ => "reachable",
        }
    };
    let mut strict = mesh(2, one("degraded"));
    strict.strict = true;
    strict.verdict = Verdict::Unreachable;
    let mut interrupted = mesh(2, one("unknown"));
    interrupted.interrupted = true;
    let cases = [
        (healthy(2), "all 48 cells over 2 nodes are reachable."),
        (shortened(healthy(2)), "all 48 cells over 2 nodes are reachable."),
        (mesh(2, one("failed")), "1 of 48 cells over 2 nodes failed."),
        (
            mesh(2, one("unknown")),
            "1 of 48 cells over 2 nodes could not be checked; nothing failed.",
        ),
        (
            mesh(2, one("degraded")),
            "1 of 48 cells over 2 nodes passed, but not well.",
        ),
        (
            strict,
            "1 of 48 cells over 2 nodes passed, but not well; --strict counts degraded cells and lost ICMP as failed.",
        ),
        (
            interrupted,
            "interrupted before all was observed; 1 of 48 cells over 2 nodes could not be checked; nothing failed.",
        ),
        (
            motley(),
            "4 of 13 cells over 2 nodes failed; 1 degraded; 1 could not be checked.",
        ),
        (empty(), "there was nothing to probe over 0 nodes."),
    ];
    for (report, sentence) in cases {
        assert_eq!(verdict_sentence(&report), sentence);
    }
}

#[test]
fn coverage_tells_what_was_left_out() {
    assert_eq!(coverage_sentence(&healthy(1)), "8 of 8 cells observed");
    assert_eq!(
        coverage_sentence(&motley()),
        "12 of 13 cells observed, 1 unknown, 1 skipped"
    );
}

#[test]
fn times_are_as_people_say_them() {
    let cases = [
        (7, "7 ms"),
        (999, "999 ms"),
        (1250, "1.2 s"),
        (59_940, "59.9 s"),
        (60_000, "1 min"),
        (125_900, "2 min 5 s"),
    ];
    for (millis, words) in cases {
        assert_eq!(span(Duration::from_millis(millis)), words);
    }
    for (micros, words) in [(85, "85 us"), (1250, "1.2 ms"), (3_000_000, "3.0 s")] {
        assert_eq!(rtt(micros), words);
    }
    let mut report = empty();
    assert_eq!(time_sentence(&report), "1.2 s, 2026-01-01 00:00:00 UTC");
    report.run.finished = "never\u{1b}".to_owned();
    assert_eq!(time_sentence(&report), "2026-01-01T00:00:00Z to never\u{fffd}");
    // A clock that was set back in the midst of the run.
    report.run.finished = "2025-12-31T23:59:00Z".to_owned();
    assert_eq!(time_sentence(&report), "2026-01-01 00:00:00 UTC");
}
