use mesh_core::diff;
use mesh_proto::Report;
use serde_json::{Value, json};

use super::record::DiffRecord;
use super::words::words;

fn report(verdict: &str, state: &str, findings: &[Value]) -> Report {
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": verdict, "nodes": [{"name": "a", "planes": {}}, {"name": "b", "planes": {}}],
        "cells": [{"from": {"node": "a", "plane": "pod"}, "to": {"kind": "pod", "node": "b", "port": 0}, "probe": "icmp",
                   "state": state, "reason": "timeout", "sent": 1, "received": 0,
                   "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}}],
        "findings": findings, "unexplained": 0,
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
    anstream::adapter::strip_str(&words(&diff(before, after), 80)).to_string()
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

Cells that became worse
";
    let text = shown(&good, &bad);
    assert!(text.starts_with(worse), "{text}");
    let row: Vec<&str> = text
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(row, ["a/pod", "b/pod", "icmp", "reachable", "failed", "timeout"]);
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
