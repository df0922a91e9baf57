use mesh_core::diff;
use mesh_proto::Report;
use serde_json::{Value, json};

use super::record::DiffRecord;
use super::words::words;

fn report(verdict: &str, state: &str, findings: &[Value]) -> Report {
    of_cells(verdict, &[cell("a", "b", "icmp", state)], findings)
}

fn cell(from: &str, to: &str, probe: &str, state: &str) -> Value {
    let mut cell = json!({"from": {"node": from, "plane": "pod"}, "to": {"kind": "pod", "node": to, "port": 0},
        "probe": probe, "state": state, "sent": 1, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}});
    if state != "reachable" {
        cell["reason"] = "timeout".into();
    }
    cell
}

fn of_cells(verdict: &str, cells: &[Value], findings: &[Value]) -> Report {
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": verdict, "nodes": [{"name": "a", "planes": {}}, {"name": "b", "planes": {}}],
        "cells": cells, "findings": findings, "unexplained": 0,
        "run": {"id": "r", "ground": "lab", "started": "", "finished": "", "version": "0"},
        "coverage": {"cells": 1, "observed": 1, "unknown": 0, "skipped": 0}
    }))
    .unwrap()
}

fn finding() -> Value {
    json!({"cause": "node-down", "where": {"nodes": ["b"], "pairs": []}, "severity": "failure", "confidence": "certain",
           "explains": 1, "summary": "b answers nobody.\u{1b}[2J", "evidence": [], "advice": []})
}

fn shown(before: &Report, after: &Report) -> String {
    anstream::adapter::strip_str(&words(&diff(before, after), before, 80)).to_string()
}

#[test]
fn each_outcome_has_its_words() {
    let good = report("reachable", "reachable", &[]);
    let bad = report("unreachable", "failed", &[finding()]);
    let blind = report("unknown", "unknown", &[]);
    let worse = "\
WORSE: 1 cell became worse, 0 cells became better, 1 finding new.
Verdict   unreachable, before reachable
Coverage  1 of 1 cell observed, as before

New: 1 finding
  b: b answers nobody.\u{fffd}[2J (node-down)

1 cell that became worse, by who probed whom; the worst of each
";
    let text = shown(&good, &bad);
    assert!(text.starts_with(worse), "{text}");
    let row: Vec<&str> = text
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        row,
        ["a/pod", "b/pod", "1", "icmp", "reachable", "failed", "timeout"]
    );
    for (before, after, begins) in [
        (&bad, &good, "BETTER: "),
        (&bad, &bad, "SAME: "),
        (
            &bad,
            &blind,
            "DIFFERENT: 0 cells became worse, 0 cells became better, 1 cell changed",
        ),
    ] {
        let text = shown(before, after);
        assert!(text.starts_with(begins), "{text}");
    }
}

#[test]
fn programs_get_all_of_it() {
    let good = report("reachable", "reachable", &[]);
    let bad = report("unreachable", "failed", &[finding()]);
    let diff = diff(&good, &bad);
    let record = serde_json::to_value(DiffRecord::of(&diff)).unwrap();
    assert_eq!(record["schema"], "mesh.diff/v1");
    assert_eq!(record["worse"], true);
    assert_eq!(
        record["verdict"],
        json!({"before": "reachable", "after": "unreachable"})
    );
    assert_eq!(record["findings"]["new"][0]["cause"], "node-down");
    let cell = &record["cells"]["worse"][0];
    assert_eq!(
        (&cell["before"], &cell["after"], &cell["reason"]),
        (&json!("reachable"), &json!("failed"), &json!("timeout"))
    );
    assert_eq!(record["cells"]["better"], json!([]));
}

#[test]
fn cells_between_the_same_ends_are_one_row_with_the_worst_of_them() {
    let probes = ["icmp", "tcp", "udp"];
    let all = |state: &str| -> Vec<Value> { probes.map(|probe| cell("a", "b", probe, state)).into() };
    let mut broken = all("failed");
    broken[1] = cell("a", "b", "tcp", "degraded");
    broken.push(cell("b", "a", "udp", "degraded"));
    let mut whole = all("reachable");
    whole.push(cell("b", "a", "udp", "reachable"));
    let (good, bad) = (
        of_cells("reachable", &whole, &[]),
        of_cells("unreachable", &broken, &[]),
    );
    let rows = |text: &str| -> Vec<Vec<String>> {
        let rows = text
            .lines()
            .filter(|line| line.starts_with("  a/pod") || line.starts_with("  b/pod"));
        rows.map(|row| row.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    assert_eq!(
        rows(&shown(&good, &bad)),
        [
            vec![
                "a/pod",
                "b/pod",
                "3",
                "icmp",
                "tcp",
                "udp",
                "reachable",
                "failed",
                "timeout"
            ],
            vec![
                "b/pod",
                "a/pod",
                "1",
                "udp",
                "reachable",
                "degraded",
                "timeout;",
                "1",
                "of",
                "1",
                "lost"
            ],
        ]
    );
    // Of what is well again one wants to know what it was.
    assert_eq!(
        rows(&shown(&bad, &good))[0],
        [
            "a/pod",
            "b/pod",
            "3",
            "icmp",
            "tcp",
            "udp",
            "failed",
            "reachable",
            "before:",
            "timeout"
        ]
    );
}

#[test]
fn ends_that_look_alike_are_one_row() {
    let cells = |state: &str| -> Vec<Value> {
        let into = (0..5).map(|node| cell(&format!("n{node}"), "b", "icmp", state));
        let out = (0..4).map(|node| cell("b", &format!("n{node}"), "udp", state));
        into.chain(out).collect()
    };
    let text = shown(
        &of_cells("reachable", &cells("reachable"), &[]),
        &of_cells("unreachable", &cells("failed"), &[]),
    );
    let rows: Vec<String> = text
        .lines()
        .skip_while(|line| !line.contains("FROM"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        rows,
        [
            "FROM TO CELLS PROBES BEFORE AFTER WHY",
            "n0/pod, n1/pod and 3 more b/pod 5 icmp reachable failed timeout",
            "b/pod n0/pod, n1/pod and 2 more 4 udp reachable failed timeout",
        ]
    );
}

#[test]
fn a_large_difference_ends_somewhere() {
    let cells = |state: &str| -> Vec<Value> {
        (0..100)
            .map(|node| cell(&format!("n{node}"), &format!("n{}", node + 100), "icmp", state))
            .collect()
    };
    let many: Vec<Value> = (0..30)
        .map(|node| {
            let mut finding = finding();
            finding["where"]["nodes"] = json!([format!("n{node}")]);
            finding
        })
        .collect();
    let good = of_cells("reachable", &cells("reachable"), &[]);
    let text = shown(&good, &of_cells("unreachable", &cells("failed"), &many));
    assert!(text.contains(" and 80 more rows; -o json has all"), "{text}");
    assert!(text.contains("  and 20 more findings; -o json has all"), "{text}");
    assert!(text.lines().count() < 50, "{text}");
}
