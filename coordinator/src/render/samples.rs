//! Small reports for the tests of all forms.

use mesh_proto::Report;
use serde_json::{Value, json};

/// A cell; `to` is `kind` or `kind node`.
pub(in crate::render) fn cell(from: (&str, &str), to: &str, probe: &str, state: &str) -> Value {
    let (kind, node) = to.split_once(' ').unwrap_or((to, ""));
    let mut cell = json!({
        "from": {"node": from.0, "plane": from.1}, "to": {"kind": kind, "address": "10.0.0.1", "port": 0},
        "probe": probe, "state": state, "sent": 3, "received": 0,
        "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}
    });
    if !node.is_empty() {
        cell["to"]["node"] = node.into();
    }
    match state {
        "reachable" | "degraded" => cell["received"] = 3.into(),
        "failed" => cell["reason"] = "timeout".into(),
        _ => cell["reason"] = "silent by design".into(),
    }
    cell
}

/// A cell of [`mesh`], with node numbers.
pub(in crate::render) struct Try<'a> {
    pub(in crate::render) from: usize,
    pub(in crate::render) plane: &'a str,
    pub(in crate::render) to: usize,
    pub(in crate::render) target: &'a str,
    pub(in crate::render) probe: &'a str,
}

/// Nodes `n1` to `n{nodes}` that all reach each other.
pub(in crate::render) fn healthy(nodes: usize) -> Report {
    mesh(nodes, |_| "reachable")
}

/// Nodes `n1` to `n{nodes}` that all probe everything of each other, with this state.
pub(in crate::render) fn mesh(nodes: usize, state: impl Fn(Try<'_>) -> &'static str) -> Report {
    build(nodes, state, true)
}

/// The same as it is above 64 nodes: without the reachable cells.
pub(in crate::render) fn large(nodes: usize, state: impl Fn(Try<'_>) -> &'static str) -> Report {
    build(nodes, state, false)
}

fn build(nodes: usize, state: impl Fn(Try<'_>) -> &'static str, all: bool) -> Report {
    let mut cells = Vec::new();
    let mut left_out = 0;
    for from in 1..=nodes {
        for plane in ["pod", "host"] {
            let targets = (1..=nodes).flat_map(|to| ["pod", "host"].map(|target| (to, target)));
            for (to, target) in targets.filter(|target| *target != (from, plane)) {
                for probe in ["icmp", "tcp", "udp", "path_mtu"] {
                    let state = state(Try {
                        from,
                        plane,
                        to,
                        target,
                        probe,
                    });
                    if all || state != "reachable" {
                        let from = format!("n{from}");
                        cells.push(cell((&from, plane), &format!("{target} n{to}"), probe, state));
                    } else {
                        left_out += 1;
                    }
                }
            }
        }
    }
    let plane = || json!({"state": "probed", "address": "10.0.0.1"});
    let nodes: Vec<Value> = (1..=nodes)
        .map(|n| json!({"name": format!("n{n}"), "planes": {"pod": plane(), "host": plane()}}))
        .collect();
    let mut report = report(&nodes, &cells);
    report.coverage.cells += left_out;
    report.coverage.observed += left_out;
    report
}

/// A report with these nodes and cells; verdict and coverage follow from the cells.
pub(in crate::render) fn report(nodes: &[Value], cells: &[Value]) -> Report {
    let number = |state: &str| cells.iter().filter(|cell| cell["state"] == state).count();
    let (failed, unknown, skipped) = (number("failed"), number("unknown"), number("skipped"));
    let verdict = match (failed, unknown) {
        (0, 0) => "reachable",
        (0, _) => "unknown",
        _ => "unreachable",
    };
    let planned = cells.len() - skipped;
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": verdict, "nodes": nodes, "cells": cells, "findings": [], "unexplained": 0,
        "run": {"id": "r1", "ground": "lab", "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01.25Z",
                "version": "0.1.0"},
        "coverage": {"cells": planned, "observed": planned - unknown, "unknown": unknown, "skipped": skipped}
    }))
    .unwrap()
}

/// The same report as it is above 64 nodes: without the reachable cells.
pub(in crate::render) fn shortened(mut report: Report) -> Report {
    report
        .cells
        .retain(|cell| cell.state != mesh_proto::CellState::Reachable);
    report
}

/// A finding at a node.
pub(in crate::render) fn with_finding(mut report: Report, node: &str) -> Report {
    let finding = json!({"cause": "forward-dropped", "where": {"nodes": [node], "pairs": [], "plane": "pod",
        "direction": "ingress"}, "severity": "failure", "confidence": "likely", "explains": 12,
        "summary": format!("{node} drops packets that it should forward."),
        "evidence": ["12 cells: no answer before the deadline", "Counters of FORWARD grow on the node"],
        "advice": ["iptables -L FORWARD -v -n | head -n 3 # and so on, a command long enough not to fit into one line"],
        "ruled_out": ["overlay-port-blocked: the overlay answers"]});
    report.findings.push(serde_json::from_value(finding).unwrap());
    report
}

/// An empty report.
pub(in crate::render) fn empty() -> Report {
    report(&[], &[])
}

/// Every state, service and plane that a report can have.
pub(in crate::render) fn motley() -> Report {
    let n1 = ("n1", "pod");
    let mut local_error = cell(n1, "host n2", "udp", "failed");
    local_error["reason"] = "local_error".into();
    local_error["local_error"] = json!({"errno": 1, "call": "sendmsg"});
    let mut icmp = cell(n1, "pod n2", "tcp", "failed");
    icmp["icmp"] = json!({"type": 3, "code": 13, "from": "10.0.0.9"});
    let mut node_port = cell(n1, "node_port n2", "tcp", "skipped");
    node_port["to"]["policy"] = "Local".into();
    let mut application = cell(n1, "dns", "dns_udp", "reachable");
    application["to"]["as_application"] = true.into();
    let cells = vec![
        icmp,
        cell(n1, "pod n2", "icmp", "reachable"),
        local_error,
        node_port,
        application,
        cell(n1, "dns", "dns_udp", "failed"),
        cell(n1, "dns", "dns_tcp", "reachable"),
        cell(n1, "dns_endpoint n2", "dns_tcp", "degraded"),
        cell(n1, "api", "tcp", "reachable"),
        cell(n1, "api", "tls", "failed"),
        cell(n1, "service", "tcp", "reachable"),
        cell(n1, "external", "tcp", "reachable"),
        cell(n1, "loopback n1", "icmp", "reachable"),
        cell(("n2", "host"), "pod n1", "path_mtu", "unknown"),
    ];
    let nodes = vec![
        json!({"name": "n1", "zone": "a", "planes": {"pod": {"state": "probed", "address": "10.0.0.1",
            "rtt": [{"probe": "tcp", "count": 3, "rtt_us": {"min": 85, "p50": 1250, "p99": 3_000_000, "max": 3_000_000}}],
            "starved": "3 late wake-ups"},
            "host": {"state": "skipped", "why": "--planes pod"}}}),
        json!({"name": "n2", "planes": {"host": {"state": "absent", "why": "Pending: no room"}}}),
    ];
    let mut report = with_finding(report(&nodes, &cells), "n2");
    report.unexplained = 1;
    report.notes = vec!["ICMP to services was not planned.".to_owned()];
    report
}
