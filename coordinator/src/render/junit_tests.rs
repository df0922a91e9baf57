use mesh_proto::{Report, Verdict};

use crate::render::Format;
use crate::render::samples::{Try, cell, empty, healthy, mesh, motley, report, shortened, with_finding};
use crate::render::tests::text;

/// The numbers of the outermost element: tests, failures, errors, skipped.
fn counts(junit: &str) -> [u32; 4] {
    ["tests", "failures", "errors", "skipped"].map(|name| {
        let (_, after) = junit.split_once(&format!(" {name}=\"")).unwrap();
        after.split('"').next().unwrap().parse().unwrap()
    })
}

fn only(probe: &'static str, state: &'static str) -> Report {
    mesh(2, |on: Try<'_>| match (on.from, on.plane, on.to, on.target) {
        (1, "pod", 2, "pod") if on.probe == probe => state,
        _ => "reachable",
    })
}

#[test]
fn a_case_for_each_cell_and_one_for_the_verdict() {
    let cases = [
        (healthy(2), [49, 0, 0, 0]),
        (only("tcp", "failed"), [49, 2, 0, 0]),
        (only("tcp", "unknown"), [49, 0, 2, 0]),
        (only("tcp", "skipped"), [49, 0, 0, 1]),
        (only("tcp", "degraded"), [49, 0, 0, 0]),
        (empty(), [1, 0, 0, 0]),
        (motley(), [15, 5, 1, 1]),
    ];
    for (report, expected) in cases {
        assert_eq!(counts(&text(&report, Format::Junit)), expected);
    }
}

#[test]
fn it_is_red_exactly_when_the_run_is() {
    let mut strict = only("icmp", "failed");
    strict.strict = true;
    let mut excused = only("icmp", "failed");
    excused.verdict = Verdict::Reachable;
    let mut interrupted = healthy(1);
    interrupted.interrupted = true;
    let cases = [
        (excused.clone(), 0, 0),
        (shortened(excused), 0, 0),
        (strict, 2, 0),
        (interrupted, 0, 1),
        // Nobody tried TCP and UDP there.
        (
            report(&[], &[cell(("a", "pod"), "pod b", "icmp", "failed")]),
            2,
            0,
        ),
    ];
    for (report, failures, errors) in cases {
        let shown = text(&report, Format::Junit);
        assert_eq!(counts(&shown)[1..3], [failures, errors], "{shown}");
    }
}

#[test]
fn findings_and_reasons_are_told() {
    let shown = text(&with_finding(motley(), "n2"), Format::Junit);
    for words in [
        "<failure message=\"timeout; ICMP type 3 code 13 from 10.0.0.9; 0 of 3 came back\" type=\"timeout\">",
        "<testcase classname=\"mesh.n1/pod\" name=\"tcp to n2/pod 10.0.0.1\" time=",
        "<error message=\"silent by design\" type=\"unknown\">",
        "<skipped message=\"silent by design\"/>",
        "<testsuite name=\"n2/host\" tests=\"1\"",
        "failure n2, pod network, coming in: n2 drops packets that it should forward.",
        "to do: iptables -L FORWARD",
        "<system-out>warning: degraded",
    ] {
        assert!(shown.contains(words), "`{words}` is missing:\n{shown}");
    }
}
