use mesh_proto::{CellState, Report};
use serde_json::{Value, json};

use super::{Trend, diff, trend};

/// A report over nodes `a` and `b` with these cells, as `(from, to, state)` by ICMP between pods; `planned` cells in all.
fn report(verdict: &str, cells: &[(&str, &str, &str)], planned: usize) -> Report {
    let cells: Vec<Value> = cells
        .iter()
        .map(|(from, to, state)| {
            json!({"from": {"node": from, "plane": "pod"}, "probe": "icmp", "state": state,
                   "to": {"kind": "pod", "node": to, "address": "10.0.0.1", "port": 0},
                   "sent": 1, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}})
        })
        .collect();
    let node = |name| json!({"name": name, "planes": {"pod": {"state": "probed"}}});
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": verdict, "nodes": [node("a"), node("b")], "cells": cells,
        "run": {"id": "r", "ground": "lab", "started": "", "finished": "", "version": "0"},
        "coverage": {"cells": planned, "observed": planned, "unknown": 0, "skipped": 0},
        "findings": [], "unexplained": 0
    }))
    .unwrap()
}

fn with_finding(mut report: Report, cause: &str, node: &str, explains: u32) -> Report {
    let finding = json!({"cause": cause, "where": {"nodes": [node], "pairs": []}, "severity": "failure",
        "confidence": "likely", "explains": explains, "summary": "s", "evidence": [], "advice": []});
    report.findings.push(serde_json::from_value(finding).unwrap());
    report
}

#[test]
fn every_change_of_state_has_its_trend() {
    use CellState::{Degraded, Failed, Reachable, Skipped, Unknown};
    let states = [
        None,
        Some(Reachable),
        Some(Skipped),
        Some(Degraded),
        Some(Unknown),
        Some(Failed),
    ];
    // A row for each state before, a letter for each after: better, worse, different, nothing.
    let table = ["...www", "..dwww", ".d.www", "dbd.ww", "dbdb.w", "dbdbd."];
    for (before, row) in states.into_iter().zip(table) {
        for (after, letter) in states.into_iter().zip(row.chars()) {
            let expected = match letter {
                'b' => Some(Trend::Better),
                'w' => Some(Trend::Worse),
                'd' => Some(Trend::Different),
                _ => None,
            };
            assert_eq!(trend(before, after), expected, "{before:?} to {after:?}");
        }
    }
}

#[test]
fn a_report_is_no_worse_than_itself() {
    let report = with_finding(
        report("unreachable", &[("a", "b", "failed")], 1),
        "unknown",
        "a",
        1,
    );
    let same = diff(&report, &report);
    assert!(!same.is_worse() && !same.is_better());
    assert_eq!((same.cells.len(), same.findings_same.len()), (0, 1));
}

#[test]
fn what_broke_is_worse_and_mended_the_other_way() {
    let good = report(
        "reachable",
        &[("a", "b", "reachable"), ("b", "a", "reachable")],
        2,
    );
    let bad = report("unreachable", &[("a", "b", "failed"), ("b", "a", "reachable")], 2);
    let broke = diff(&good, &bad);
    assert!(broke.is_worse() && !broke.is_better());
    assert_eq!(broke.changed(Trend::Worse).count(), 1);
    let mended = diff(&bad, &good);
    assert!(mended.is_better() && !mended.is_worse());
}

#[test]
fn a_cell_that_a_short_report_does_not_list_was_reachable() {
    let short = report("unreachable", &[("a", "b", "failed")], 2);
    let long = report("unreachable", &[("a", "b", "failed"), ("b", "a", "reachable")], 2);
    assert!(diff(&short, &long).cells.is_empty());
    let healthy = report("reachable", &[], 2);
    let broke = diff(&healthy, &short);
    assert_eq!(broke.cells[0].before, Some(CellState::Reachable));
    assert_eq!(broke.cells[0].trend, Trend::Worse);
    assert_eq!(diff(&short, &healthy).cells[0].trend, Trend::Better);
}

#[test]
fn cells_of_a_node_that_went_are_neither_better_nor_worse() {
    let before = report("unreachable", &[("a", "b", "failed"), ("a", "a", "reachable")], 2);
    let mut after = report("reachable", &[("a", "a", "reachable")], 1);
    after.nodes.pop();
    let went = diff(&before, &after);
    assert_eq!(went.nodes_went[0].as_str(), "b");
    assert_eq!(
        (went.cells[0].after, went.cells[0].trend),
        (None, Trend::Different)
    );
    assert!(!went.is_worse());
    let came = diff(&after, &before);
    assert_eq!(came.nodes_came[0].as_str(), "b");
    assert!(came.is_worse());
}

#[test]
fn findings_are_the_same_by_cause_and_place() {
    let base = || report("unreachable", &[("a", "b", "failed")], 1);
    let before = with_finding(base(), "node-down", "a", 3);
    let more = with_finding(base(), "node-down", "a", 9);
    assert_eq!(diff(&before, &more).findings_same[0].explains, 9);
    let elsewhere = with_finding(base(), "node-down", "b", 3);
    let moved = diff(&before, &elsewhere);
    assert_eq!((moved.findings_new.len(), moved.findings_gone.len()), (1, 1));
    assert!(moved.is_worse() && !moved.is_better());
}

#[test]
fn a_verdict_that_sinks_is_worse() {
    let of = |verdict| report(verdict, &[], 0);
    let cases = [
        ("reachable", "unknown", true),
        ("unknown", "unreachable", true),
        ("unreachable", "unknown", false),
        ("unknown", "reachable", false),
    ];
    for (before, after, worse) in cases {
        assert_eq!(
            diff(&of(before), &of(after)).is_worse(),
            worse,
            "{before} to {after}"
        );
    }
}

#[test]
fn a_pod_with_another_address_is_the_same_target() {
    let before = report("reachable", &[("a", "b", "reachable")], 1);
    let mut after = report("unreachable", &[("a", "b", "failed")], 1);
    after.cells[0].to.address = "10.9.9.9".parse().ok();
    let changes = diff(&before, &after).cells;
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].before, Some(CellState::Reachable));
}
