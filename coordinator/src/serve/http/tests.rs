//! The server on a real socket, asked by hand.

use std::sync::Arc;
use std::time::Duration;

use mesh_proto::Report;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{Served, listen};
use crate::history;
use crate::serve::leadership::Leader;
use crate::serve::{Metrics, Published, Standing, StatusRecord};

pub(crate) fn report(id: &str) -> Report {
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": "unreachable",
        "nodes": [{"name": "a", "planes": {"pod": {"state": "probed", "address": "10.0.0.1",
            "rtt": [{"probe": "tcp", "count": 3, "rtt_us": {"min": 70, "p50": 90, "p99": 120, "max": 130}}]}}},
            {"name": "<b>", "planes": {"pod": {"state": "absent", "why": "Pending"}}}],
        "cells": [{"from": {"node": "a", "plane": "pod"}, "probe": "tcp", "state": "failed", "reason": "timeout",
            "to": {"kind": "pod", "node": "<b>", "address": "10.0.0.2", "port": 1},
            "sent": 1, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}}],
        "findings": [], "unexplained": 1,
        "run": {"id": id, "ground": "lab", "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01Z", "version": "0"},
        "coverage": {"cells": 4, "observed": 3, "unknown": 1, "skipped": 0}
    }))
    .unwrap()
}

pub(crate) fn status() -> StatusRecord {
    serde_json::from_value(json!({
        "schema": "mesh.status/v1", "version": "0", "verdict": "unreachable", "looks": 7, "nodes": 2, "suspected": 1,
        "last_look": {"depth": "full", "began": jiff::Timestamp::now(), "finished": jiff::Timestamp::now()},
        "coverage": {"cells": 4, "observed": 3, "unknown": 1, "skipped": 0},
        "excused": [{"node": "c", "why": "it came 3 s ago"}],
        "incidents": [{"id": 5, "state": "open", "since": "2026-01-01T00:00:00Z", "seen": "2026-01-01T00:00:00Z", "count": 3,
            "flapping": true, "named": true, "finding": {"cause": "node-down", "where": {"nodes": ["<b>"], "pairs": []},
            "severity": "failure", "confidence": "certain", "explains": 3, "summary": "<b> & more", "evidence": [],
            "advice": []}}]
    }))
    .unwrap()
}

/// A server with a state, and where it is.
async fn started(
    published: Option<Published>,
) -> (
    watch::Sender<Option<Arc<Published>>>,
    String,
    tokio::task::JoinHandle<()>,
) {
    standing(published, Standing::Alone).await
}

/// The same of one that stands so.
async fn standing(
    published: Option<Published>,
    standing: Standing,
) -> (
    watch::Sender<Option<Arc<Published>>>,
    String,
    tokio::task::JoinHandle<()>,
) {
    let (tell, state) = watch::channel(published.map(Arc::new));
    let (_, standing) = watch::channel(standing);
    let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let metrics = Metrics::new(state.clone(), standing.clone());
    let served = Served::new(
        state,
        standing,
        metrics,
        history::open(None).unwrap().0,
        Duration::from_mins(1),
    );
    (tell, address, tokio::spawn(served.serve(listener)))
}

async fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: &str, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answer = ask(address, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn before_the_first_look_it_is_alive_and_not_ready() {
    let (_tell, address, _task) = started(None).await;
    for (path, status) in [
        ("/healthz", "200"),
        ("/readyz", "503"),
        ("/api/v1/status", "503"),
        ("/api/v1/report", "503"),
        ("/metrics", "200"),
        ("/", "200"),
        ("/nowhere", "404"),
    ] {
        let (head, _) = get(&address, path).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
    }
}

#[tokio::test]
async fn what_is_known_is_told_in_every_form() {
    let (_tell, address, _task) = started(Some(Published::new(status(), report("r1").into()))).await;
    let (head, body) = get(&address, "/api/v1/report").await;
    assert!(
        head.contains("content-type: application/json") && head.contains("cache-control: no-store"),
        "{head}"
    );
    assert_eq!(serde_json::from_str::<Report>(&body).unwrap(), report("r1"));
    let (_, body) = get(&address, "/api/v1/status").await;
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap()["incidents"][0]["id"],
        5
    );
    let (head, _) = get(&address, "/readyz").await;
    assert!(head.starts_with("HTTP/1.1 200"));
    let (head, page) = get(&address, "/").await;
    assert!(head.contains("script-src 'self'"), "{head}");
    assert!(
        page.contains("&lt;b&gt; &amp; more") && !page.contains("<b> & more"),
        "{page}"
    );
    assert!(
        page.contains("id=\"matrix\"") && page.contains("3, flapping") && page.contains("it came 3 s ago")
    );
    let (_, script) = get(&address, "/live.js").await;
    assert!(script.contains("EventSource"));
}

#[tokio::test]
async fn nothing_can_be_changed_and_no_other_name_is_answered() {
    let (_tell, address, _task) = started(Some(Published::new(status(), report("r1").into()))).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = format!("{method} / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        assert!(
            ask(&address, &request).await.starts_with("HTTP/1.1 405"),
            "{method}"
        );
    }
    let request = "GET /api/v1/status HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert!(ask(&address, request).await.starts_with("HTTP/1.1 421"));
    let (head, body) = get(&address, "/api/v1/report?at=yesterday").await;
    assert!(
        head.starts_with("HTTP/1.1 400") && body.contains("RFC 3339"),
        "{head}"
    );
    let (head, _) = get(&address, "/api/v1/report?at=2026-01-01T00:00:00Z").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

/// A page hears of each look; one that does not read holds nobody up.
#[tokio::test]
async fn pages_follow_the_looks() {
    let (tell, address, _task) = started(Some(Published::new(status(), report("r1").into()))).await;
    let request = "GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut idle = TcpStream::connect(&address).await.unwrap();
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    for looks in 8..11 {
        let next = StatusRecord { looks, ..status() };
        tell.send_replace(Some(Arc::new(Published::new(next, report("r1").into()))));
        let wanted = format!("\"looks\":{looks}");
        while !heard.contains(&wanted) {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }
    assert!(
        heard.contains("event: look") && heard.contains("\"verdict\":\"unreachable\""),
        "{heard}"
    );
    let (_, metrics) = get(&address, "/metrics").await;
    assert!(metrics.contains("mesh_pages_open 2"), "{metrics}");
}

fn follows(address: Option<&str>) -> Standing {
    Standing::Follows(Some(Leader {
        name: "the-other".to_owned(),
        address: address.map(|address| address.parse().unwrap()),
    }))
}

/// One that stands by says what the leader says, and of itself only its health and its metrics.
#[tokio::test]
async fn one_that_stands_by_passes_on_what_the_leader_says() {
    let (tell, leader, _leads) = started(Some(Published::new(status(), report("r1").into()))).await;
    let (_tell, address, _task) = standing(None, follows(Some(&leader))).await;
    let (head, body) = get(&address, "/api/v1/status").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["looks"], 7);
    let (head, _) = get(&address, "/api/v1/report?at=yesterday").await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let (head, page) = get(&address, "/").await;
    assert!(
        head.contains("text/html") && head.contains("script-src 'self'"),
        "{head}"
    );
    assert!(page.contains("id=\"matrix\""), "{page}");
    let (_, ready) = get(&address, "/readyz").await;
    assert_eq!(ready, "ok\n");
    let (_, metrics) = get(&address, "/metrics").await;
    assert!(
        metrics.contains("mesh_coordinator_leads 0") && !metrics.contains("mesh_verdict"),
        "{metrics}"
    );
    let request = "POST /api/v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(ask(&address, request).await.starts_with("HTTP/1.1 405"));

    // The live stream goes on through it.
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = "GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut stream_said = String::new();
    for looks in 8..10 {
        let next = StatusRecord { looks, ..status() };
        tell.send_replace(Some(Arc::new(Published::new(next, report("r1").into()))));
        while !stream_said.contains(&format!("\"looks\":{looks}")) {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "{stream_said}");
            stream_said.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }
}

#[tokio::test]
async fn one_that_stands_by_says_who_leads_where_that_one_is_not_heard() {
    let nowhere = {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    for (stands, words) in [
        (
            follows(Some(&nowhere)),
            "the-other leads, and is not heard: cannot connect",
        ),
        (
            follows(None),
            "the-other leads, and is not heard: it does not say where it is",
        ),
        (Standing::Follows(None), "none leads yet"),
    ] {
        let (_tell, address, _task) = standing(None, stands).await;
        let (head, body) = get(&address, "/api/v1/status").await;
        assert!(
            head.starts_with("HTTP/1.1 503") && body.contains(words),
            "{head} {body}"
        );
        let (head, _) = get(&address, "/healthz").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    // Two that take each other for the leader.
    let (_tell, first, _task) = standing(None, follows(Some(&nowhere))).await;
    let (_tell, second, _other) = standing(None, follows(Some(&first))).await;
    let (_, body) = get(&second, "/api/v1/status").await;
    assert!(body.contains("who leads is being settled"), "{body}");
}
