use std::path::Path;

use mesh_proto::Report;
use serde_json::json;

use super::{load, parse};

fn report() -> serde_json::Value {
    json!({
        "schema": "mesh.report/v1", "verdict": "unknown", "findings": [], "unexplained": 0,
        "nodes": [{"name": "1.10", "planes": {"pod": {"state": "absent", "why": "no: answer"}}}],
        "cells": [{"from": {"node": "1.10", "plane": "pod"}, "to": {"kind": "host", "node": "no", "address": "::1", "port": 0},
                   "probe": "udp", "state": "unknown", "reason": "null", "sent": 0, "received": 0,
                   "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}}],
        "run": {"id": "0123", "ground": "lab", "started": "2026-01-01T00:00:00Z", "finished": "~", "version": "0"},
        "coverage": {"cells": 1, "observed": 0, "unknown": 1, "skipped": 0}
    })
}

fn read(bytes: &[u8]) -> Result<Report, String> {
    parse("r".to_owned(), bytes).map_err(|error| format!("{:#}", anyhow::Error::new(error)))
}

#[test]
fn json_and_yaml_say_the_same() {
    let expected: Report = serde_json::from_value(report()).unwrap();
    let json = serde_json::to_string_pretty(&expected).unwrap();
    assert_eq!(read(json.as_bytes()).as_ref(), Ok(&expected));
    assert_eq!(
        read(format!("\u{feff}\n {json}").as_bytes()).as_ref(),
        Ok(&expected)
    );
    let yaml = serde_saphyr::to_string(&expected).unwrap();
    assert_eq!(read(yaml.as_bytes()).as_ref(), Ok(&expected), "{yaml}");
}

#[test]
fn a_long_report_is_read_too() {
    // More values than the YAML library takes unless it is told to.
    const MANY: usize = 250_001;
    let mut report: Report = serde_json::from_value(report()).unwrap();
    report.notes = vec!["n".to_owned(); MANY];
    let yaml = serde_saphyr::to_string(&report).unwrap();
    assert_eq!(read(yaml.as_bytes()).map(|read| read.notes.len()), Ok(MANY));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let changed = |field: &str, value: serde_json::Value| {
        let mut report = report();
        report[field] = value;
        serde_json::to_string_pretty(&report).unwrap()
    };
    let mut without_run = report();
    without_run.as_object_mut().unwrap().remove("run");
    let without_run = without_run.to_string();
    let cases: &[(&[u8], &[&str])] = &[
        (b"", &["the file is empty", "mesh run -o json"]),
        (b" \n", &["the file is empty"]),
        (b"{\n  \"schema\": ", &["r:2:", "EOF"]),
        (b"{\"a\": 1}", &["`schema` is missing", "mesh.report/v1"]),
        (b"[1, 2]", &["r:1:1"]),
        (b"hello", &["r:1:1"]),
        (b"a: [", &["r:1:"]),
        (b"ab\n\xff", &["r:2", "not UTF-8"]),
        (
            br#"{"schema": "mesh.report/v9"}"#,
            &[
                "`mesh.report/v9`",
                "mesh.report/v1 only",
                "use the mesh that wrote it",
            ],
        ),
        (without_run.as_bytes(), &["r:1:", "missing field `run`"]),
    ];
    for (text, words) in cases {
        let error = read(text).unwrap_err();
        for word in *words {
            assert!(error.contains(word), "`{word}` is missing: {error}");
        }
    }
    let cases = [
        (
            changed("verdict", json!("perhaps")),
            ["`perhaps` is no verdict", "reachable, unreachable, unknown"],
        ),
        (
            changed("unexplained", json!("none")),
            ["invalid type: string", "u32"],
        ),
        (
            changed("cells", json!(3)),
            ["invalid type: integer", "a sequence"],
        ),
        (
            changed("nodes", json!([{"name": "a b", "planes": {}}])),
            ["is no node name", "white space"],
        ),
    ];
    for (text, words) in cases {
        let error = read(text.as_bytes()).unwrap_err();
        let place = error.split("r:").nth(1).and_then(|rest| rest.split(':').next());
        assert!(
            place.is_some_and(|line| line.parse::<u32>().is_ok_and(|line| line > 1)),
            "{error}"
        );
        for word in words {
            assert!(error.contains(word), "`{word}` is missing: {error}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(Path::new("/nonexistent/report.json")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/report.json"));
    assert!(load(Path::new("/")).is_err());
}
