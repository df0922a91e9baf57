use std::time::Duration;

use mesh_proto::RotationRecord;

use super::{coverage_in_brief, coverage_sentence, rtt, span, time_sentence};
use crate::render::samples::{empty, healthy, motley};

#[test]
fn coverage_tells_what_was_left_out() {
    assert_eq!(coverage_sentence(&healthy(1)), "8 of 8 cells observed");
    assert_eq!(
        coverage_sentence(&motley()),
        "12 of 13 cells observed, 1 unknown, 1 more skipped by design"
    );
    assert_eq!(
        coverage_in_brief(&motley()),
        "12 of 13 cells observed, 1 unknown, 1 more skipped"
    );
}

#[test]
fn a_look_at_some_pairs_says_when_all_have_had_their_turn() {
    let mut report = healthy(1);
    report.coverage.rotation = Some(RotationRecord {
        peers: 16,
        of: 4_999,
        runs: 624,
        within_s: 37_440,
        next: 8,
    });
    assert_eq!(
        coverage_sentence(&report),
        "8 of 8 cells observed; each node probed 16 of 4999 others: every pair has its turn within 624 such runs, 624 min of probing \
         (the next one: --peers 16 --turn 8)"
    );
    assert_eq!(
        coverage_in_brief(&report),
        "8 of 8 cells observed; 16 of 4999 peers a node, every pair within 624 such runs"
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
