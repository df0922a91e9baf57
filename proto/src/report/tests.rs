use super::{Report, report_schema};

const EXAMPLE: &str = r#"{"schema": "mesh.report/v1",
 "run": {"id": "r", "ground": "lab", "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01Z", "version": "0.1.0"},
 "verdict": "unreachable",
 "nodes": [{"name": "worker-1", "zone": "a",
            "planes": {"pod": {"address": "10.244.1.7", "state": "probed"},
                       "host": {"address": "172.18.0.3", "state": "absent", "why": "Pending: 0/3 nodes are available"}}}],
 "coverage": {"cells": 192, "observed": 192, "unknown": 0, "skipped": 4},
 "cells": [{"from": {"node": "worker-1", "plane": "pod"},
            "to": {"kind": "pod", "node": "worker-2", "address": "10.244.2.9", "port": 0},
            "probe": "icmp", "state": "failed", "reason": "admin_prohibited",
            "icmp": {"type": 3, "code": 13, "from": "10.244.2.0"},
            "sent": 5, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}}],
 "findings": [{"cause": "overlay-port-blocked",
               "where": {"nodes": ["worker-2"], "pairs": [["a", "b"]], "plane": "pod", "direction": "ingress"},
               "severity": "failure", "confidence": "certain", "explains": 56,
               "summary": "s", "evidence": ["e"], "advice": ["a"]}],
 "unexplained": 0}"#;

#[test]
fn the_contracts_example_is_read_and_written_without_loss() {
    let report: Report = serde_json::from_str(EXAMPLE).unwrap();
    let written = serde_json::to_value(&report).unwrap();
    let example: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
    assert_eq!(written, example);
}

#[test]
fn an_independent_validator_accepts_the_example_and_refuses_what_is_outside_the_lists() {
    let validator = jsonschema::validator_for(report_schema().as_value()).unwrap();
    let mut example: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
    assert!(validator.is_valid(&example));
    example["findings"][0]["cause"] = "gremlins".into();
    assert!(!validator.is_valid(&example));
}

/// `MESH_WRITE_SCHEMA=1 cargo test -p mesh-proto` writes the committed copy anew.
#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/report.schema.json");
    let generated = serde_json::to_string_pretty(&report_schema()).unwrap() + "\n";
    if std::env::var_os("MESH_WRITE_SCHEMA").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), generated);
}
