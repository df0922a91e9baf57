use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::Depth;
use mesh_proto::Report;
use tokio::sync::watch;

use super::table::Kind;
use super::{METRICS, Metrics, series};
use crate::serve::http::tests::{report, status};
use crate::serve::{Published, Standing};

fn metrics(report: Report) -> Arc<Metrics> {
    let (_, state) = watch::channel(Some(Arc::new(Published::new(status(), report.into()))));
    Metrics::new(state, watch::channel(Standing::Alone).1)
}

#[test]
fn samples_have_the_labels_of_the_table() {
    let metrics = metrics(report("r"));
    metrics.looked(Depth::Full, Duration::from_millis(700), &report("r"));
    metrics.notice("webhook", true);
    let published = metrics.state.borrow().clone();
    let counted = metrics.with(|counted| counted.clone());
    let mut seen = BTreeSet::new();
    for one in series::all(&counted, published.as_deref(), true) {
        assert!(seen.insert(one.metric.name), "{} twice", one.metric.name);
        for (labels, _) in &one.samples {
            let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, one.metric.labels, "{}", one.metric.name);
        }
    }
    let all: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(seen, all);
}

#[test]
fn names_are_as_prometheus_has_them() {
    for metric in METRICS {
        assert!(metric.name.starts_with("mesh_"), "{}", metric.name);
        assert!(
            !metric.name.ends_with("_total"),
            "{}: the exporter adds it",
            metric.name
        );
        assert!(
            metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"),
            "{}",
            metric.name
        );
    }
}

#[test]
fn the_text_is_open_metrics() {
    let metrics = metrics(report("r"));
    metrics.looked(Depth::Light, Duration::from_millis(30), &report("r"));
    let text = metrics.text().unwrap();
    for line in [
        "# TYPE mesh_verdict gauge",
        "mesh_verdict{verdict=\"unreachable\"} 1.0",
        "mesh_verdict{verdict=\"reachable\"} 0.0",
        "mesh_agent_up{node=\"a\",plane=\"pod\"} 1.0",
        "mesh_agent_up{node=\"<b>\",plane=\"pod\"} 0.0",
        "mesh_cells{state=\"reachable\"} 2.0",
        "mesh_cells{state=\"failed\"} 1.0",
        "mesh_node_failed_cells_to{node=\"<b>\"} 1.0",
        "mesh_node_failed_cells_to{node=\"a\"} 0.0",
        "mesh_pair_failed_cells{from=\"a\",to=\"<b>\"} 1.0",
        "mesh_finding{cause=\"node-down\",severity=\"failure\",confidence=\"certain\",place=\"<b>\",incident=\"5\"} 1.0",
        "mesh_rtt_seconds_bucket{le=\"0.0001\",probe=\"tcp\"} 1",
        "mesh_rtt_seconds_bucket{le=\"0.00005\",probe=\"tcp\"} 0",
        "mesh_look_seconds_count{depth=\"light\"} 1",
        "mesh_incidents_closed_total 0.0",
    ] {
        assert!(text.lines().any(|has| has == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

/// Five hundred nodes of which one is cut off: a thousand pairs, and no more series for them than allowed.
#[test]
fn series_are_as_many_as_nodes_and_not_as_pairs() {
    let mut large = report("r");
    let (node, cell) = (large.nodes[0].clone(), large.cells[0].clone());
    let name = |number: usize| format!("n{number}").parse().unwrap();
    large.nodes = (0..500)
        .map(|number| mesh_proto::Node {
            name: name(number),
            ..node.clone()
        })
        .collect();
    large.cells.clear();
    for number in 1..500 {
        for (from, to) in [(0, number), (number, 0)] {
            let mut cell = cell.clone();
            cell.from.node = name(from);
            cell.to.node = Some(name(to));
            large.cells.push(cell);
        }
    }
    let text = metrics(large).text().unwrap();
    let mut series: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        *series.entry(line.split(['{', ' ']).next().unwrap()).or_default() += 1;
    }
    assert_eq!(series["mesh_pair_failed_cells"], 200);
    assert!(
        text.contains("mesh_failed_pairs 998.0") && text.contains("mesh_failed_pairs_without_series 798.0")
    );
    assert!(series.values().sum::<usize>() < 4 * 500, "{series:?}");
}

/// `MESH_WRITE_DOCS=1 cargo test -p mesh --bins metrics` writes the committed page anew.
#[test]
fn the_committed_page_of_metrics_is_made_from_the_table() {
    let mut page = String::from(
        "# Metrics\n\n`mesh serve` has these at `/metrics`, as OpenMetrics text. Made from the table in the code; a test compares.\n\n\
         | metric | type | labels | series | meaning |\n|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let (kind, end) = match metric.kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            page,
            "| `{}{end}` | {kind} | {} | {} | {} |",
            metric.name,
            labels.join(" "),
            metric.series,
            metric.help
        );
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    if std::env::var_os("MESH_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), page);
}
