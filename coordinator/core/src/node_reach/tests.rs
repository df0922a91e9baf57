use std::collections::BTreeMap;

use mesh_proto::{NodeName, Report};
use serde_json::{Value, json};

use super::{NodeReach, node_reach};
use crate::incident::{IncidentConfig, IncidentId, IncidentLook, Incidents};
use crate::moment::Moment;
use crate::pulse::Depth;

fn cell(from: &str, to: Option<&str>) -> Value {
    let to = match to {
        Some(to) => json!({"kind": "pod", "node": to, "address": "10.0.0.1", "port": 0}),
        None => json!({"kind": "dns", "address": "10.96.0.10", "port": 53}),
    };
    json!({"from": {"node": from, "plane": "pod"}, "to": to, "probe": "tcp", "state": "failed", "reason": "timeout",
        "sent": 1, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}})
}

fn finding(place: &Value) -> Value {
    json!({"cause": "ip-forward-off", "where": place, "severity": "failure", "confidence": "certain", "explains": 1,
        "summary": "it does not forward", "evidence": [], "advice": []})
}

fn report(findings: &[Value], cells: &[Value]) -> Report {
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": "unreachable",
        "nodes": [
            {"name": "a", "planes": {"pod": {"state": "probed"}}},
            {"name": "b", "planes": {"pod": {"state": "probed"}}},
            {"name": "c", "planes": {"pod": {"state": "probed"}}},
            {"name": "w", "planes": {"pod": {"state": "skipped", "why": "windows"}}}],
        "run": {"id": "r", "ground": "lab", "started": "", "finished": "", "version": "0"},
        "cells": cells, "coverage": {"cells": 99, "observed": 99, "unknown": 0, "skipped": 0},
        "findings": findings, "unexplained": 0
    }))
    .unwrap()
}

/// After so many whole looks that brought the same.
fn after(looks: u64, report: &Report, excused: &[&str]) -> Vec<(String, String)> {
    let excused: BTreeMap<NodeName, String> = excused
        .iter()
        .map(|node| (node.parse().unwrap(), "it is cordoned".to_owned()))
        .collect();
    let mut incidents = Incidents::new(IncidentConfig::default(), IncidentId(1));
    for look in 0..looks {
        let look_at = Moment(std::time::Duration::from_secs(look));
        let depth = Depth::Full;
        incidents.handle_look(
            IncidentLook {
                report,
                depth,
                excused: &excused,
            },
            look_at,
        );
    }
    let word = |reach: &NodeReach| match reach {
        NodeReach::Reachable => "reachable".to_owned(),
        NodeReach::Unreachable { cause, words } => format!("{cause}: {words}"),
        NodeReach::Unknown(why) => why.clone(),
    };
    let all = node_reach(report, &incidents, &excused);
    all.iter()
        .map(|(node, reach)| (node.to_string(), word(reach)))
        .collect()
}

fn told(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter()
        .map(|(node, words)| ((*node).to_owned(), (*words).to_owned()))
        .collect()
}

#[test]
fn the_node_at_fault_is_not_reachable_and_those_that_cannot_reach_it_are() {
    let report = report(
        &[finding(&json!({"nodes": ["b"], "pairs": []}))],
        &[cell("a", Some("b")), cell("b", Some("c")), cell("b", None)],
    );
    let expected = [
        ("a", "reachable"),
        ("b", "ip-forward-off: it does not forward"),
        ("c", "reachable"),
    ];
    assert_eq!(after(2, &report, &[]), told(&expected));
}

#[test]
fn what_is_not_confirmed_or_has_no_single_node_is_unknown() {
    let at_b = report(
        &[finding(&json!({"nodes": ["b"], "pairs": []}))],
        &[cell("a", Some("b"))],
    );
    let why = "1 cells are not reachable, and no open incident says why";
    assert_eq!(
        after(1, &at_b, &[]),
        told(&[("a", why), ("b", why), ("c", "reachable")])
    );
    let between = report(
        &[finding(&json!({"nodes": [], "pairs": [["a", "b"]]}))],
        &[cell("a", Some("b"))],
    );
    let why = "an incident is open between it and other nodes";
    assert_eq!(
        after(2, &between, &[]),
        told(&[("a", why), ("b", why), ("c", "reachable")])
    );
}

#[test]
fn a_fault_of_the_whole_cluster_is_no_nodes_own() {
    let cells = [cell("a", None), cell("b", None), cell("c", None)];
    let all = report(&[finding(&json!({"nodes": [], "pairs": []}))], &cells);
    assert_eq!(
        after(2, &all, &[]),
        told(&[("a", "reachable"), ("b", "reachable"), ("c", "reachable")])
    );
    let why = "1 cells are not reachable, and no open incident says why";
    assert_eq!(
        after(2, &report(&[], &cells), &[]),
        told(&[("a", why), ("b", why), ("c", why)])
    );
}

#[test]
fn of_a_node_that_is_excused_nothing_is_known() {
    let report = report(
        &[finding(&json!({"nodes": ["b"], "pairs": []}))],
        &[cell("a", Some("b"))],
    );
    assert_eq!(
        after(2, &report, &["b"]),
        told(&[("a", "reachable"), ("b", "it is cordoned"), ("c", "reachable")])
    );
}
