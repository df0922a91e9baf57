use mesh_proto::{CellState, Report, Verdict};
use serde_json::{Value, json};

use super::check;

/// Kinds of probes with their states.
type Cells<'a> = [(&'a str, &'a str)];

/// What is done to a good report.
type Change = fn(&mut Report);

/// A cell from `a`'s pod to `b`'s.
fn cell(probe: &str, state: &str) -> Value {
    let received = if state == "reachable" || state == "degraded" {
        3
    } else {
        0
    };
    json!({"from": {"node": "a", "plane": "pod"}, "to": {"kind": "pod", "node": "b", "address": "10.0.0.2", "port": 0},
           "probe": probe, "state": state, "sent": 3, "received": received,
           "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}})
}

/// A report over so many nodes whose counts are those of its cells.
fn report(verdict: &str, nodes: usize, cells: &Cells<'_>) -> Report {
    let count = |states: &[&str]| cells.iter().filter(|(_, state)| states.contains(state)).count();
    let (observed, unknown) = (count(&["reachable", "degraded", "failed"]), count(&["unknown"]));
    let nodes = (0..nodes).map(|number| json!({"name": format!("n{number}"), "planes": {}}));
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": verdict, "unexplained": 0, "nodes": nodes.collect::<Vec<_>>(),
        "cells": cells.iter().map(|(probe, state)| cell(probe, state)).collect::<Vec<_>>(),
        "findings": [{"cause": "unknown", "where": {"nodes": [], "pairs": []}, "severity": "failure",
                      "confidence": "possible", "explains": 1, "summary": "s", "evidence": [], "advice": []}],
        "run": {"id": "r", "ground": "lab", "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01Z",
                "version": "0"},
        "coverage": {"cells": observed + unknown, "observed": observed, "unknown": unknown,
                     "skipped": count(&["skipped"])}
    }))
    .unwrap()
}

fn said(report: &Report) -> String {
    check(report).map_err(|error| error.to_string()).unwrap_err()
}

/// All that is reachable but icmp.
const ICMP_FAILS: &Cells<'_> = &[("icmp", "failed"), ("tcp", "reachable"), ("udp", "degraded")];

#[test]
fn the_verdict_is_that_of_the_cells() {
    let all: &[(&Cells<'_>, &str, &str)] = &[
        (&[], "reachable", "reachable"),
        (&[("tcp", "reachable")], "reachable", "reachable"),
        (
            &[("tcp", "degraded"), ("udp", "skipped")],
            "reachable",
            "unreachable",
        ),
        (
            &[("tcp", "failed"), ("udp", "unknown")],
            "unreachable",
            "unreachable",
        ),
        (&[("tcp", "reachable"), ("udp", "unknown")], "unknown", "unknown"),
        (ICMP_FAILS, "reachable", "unreachable"),
        (
            &[("icmp", "failed"), ("tcp", "failed"), ("udp", "reachable")],
            "unreachable",
            "unreachable",
        ),
        (
            &[("icmp", "failed"), ("tcp", "reachable")],
            "unreachable",
            "unreachable",
        ),
    ];
    for (cells, expected, strict) in all {
        for verdict in Verdict::ALL {
            let mut report = report(verdict.name(), 2, cells);
            let fits = |report: &Report| check(report).is_ok();
            assert_eq!(fits(&report), verdict.name() == *expected, "{cells:?} {verdict}");
            report.strict = true;
            assert_eq!(
                fits(&report),
                verdict.name() == *strict,
                "strict: {cells:?} {verdict}"
            );
            report.interrupted = true;
            assert_eq!(fits(&report), verdict.name() == *strict, "interrupted");
        }
    }
    let said = said(&report(
        "reachable",
        2,
        &[("tcp", "reachable"), ("udp", "failed")],
    ));
    assert_eq!(
        said,
        "the report contradicts itself: verdict: reachable, but cells[1] is failed"
    );
}

#[test]
fn above_64_nodes_reachable_cells_may_be_missing() {
    let without_reachable = |verdict: &str, nodes: usize, cells: &[(&str, &str)]| {
        let mut report = report(verdict, nodes, cells);
        report.cells.retain(|cell| cell.state != CellState::Reachable);
        check(&report)
    };
    let plain = [("tcp", "reachable"), ("udp", "failed"), ("dns_udp", "skipped")];
    assert_eq!(without_reachable("unreachable", 65, &plain), Ok(()));
    assert!(without_reachable("reachable", 65, &plain).is_err());
    assert!(
        without_reachable("unreachable", 64, &plain).is_err(),
        "all are listed there"
    );
    // It cannot be told whether the TCP that is not listed passed or was not there.
    assert_eq!(without_reachable("reachable", 65, ICMP_FAILS), Ok(()));
    assert_eq!(without_reachable("unreachable", 65, ICMP_FAILS), Ok(()));
    assert!(without_reachable("unknown", 65, ICMP_FAILS).is_err());
    let tcp_too = [("icmp", "failed"), ("tcp", "failed"), ("udp", "reachable")];
    assert!(without_reachable("reachable", 65, &tcp_too).is_err());
}

#[test]
fn what_contradicts_itself_is_told_by_its_field() {
    let cells = [
        ("tcp", "failed"),
        ("udp", "reachable"),
        ("icmp", "unknown"),
        ("tls", "skipped"),
    ];
    let good = || report("unreachable", 2, &cells);
    assert_eq!(check(&good()), Ok(()));
    let cases: &[(Change, &str)] = &[
        (|r| r.cells[1].received = 4, "cells[1].received: 4, but sent is 3"),
        (|r| r.cells[1].resent = 4, "cells[1].resent: 4, but received is 3"),
        (
            |r| r.findings[0].place.loss = Some(1.5),
            "findings[0].where.loss: 1.5",
        ),
        (
            |r| r.findings[0].place.loss = Some(-0.1),
            "findings[0].where.loss",
        ),
        (
            |r| r.findings[0].place.loss = Some(f64::NAN),
            "findings[0].where.loss",
        ),
        (
            |r| r.coverage.observed = 9,
            "coverage.cells: 3 is not 9 observed and 1 unknown",
        ),
        (
            |r| {
                r.coverage.observed = 1;
                r.coverage.cells = 2;
            },
            "coverage.observed: 1, but 2 cells were",
        ),
        (
            |r| {
                r.coverage.unknown = 0;
                r.coverage.cells = 2;
            },
            "coverage.unknown: 0, but 1",
        ),
        (|r| r.coverage.skipped = 2, "coverage.skipped: 2, but 1"),
        (|r| r.unexplained = 2, "unexplained: 2, but 1"),
        (|r| r.nodes[1] = r.nodes[0].clone(), "nodes[1]: a second one"),
        (
            |r| r.cells.push(r.cells[0].clone()),
            "cells[4]: a second one of the same source, target and probe",
        ),
    ];
    for (change, expected) in cases {
        let mut report = good();
        change(&mut report);
        let said = said(&report);
        assert!(said.contains(expected), "`{expected}` is missing: {said}");
    }
}
