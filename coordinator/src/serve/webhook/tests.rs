//! A receiver on a real socket that answers as it is told to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{NAME, Tries, Webhook};
use crate::serve::http::tests::status;
use crate::serve::notice::{Notice, NoticeKind, Outlet};
use crate::serve::{Metrics, Standing};

/// Takes one request for each answer, and gives back what it got.
async fn receive(listener: TcpListener, answers: &[&str]) -> Vec<(String, Value)> {
    let mut got = Vec::new();
    for answer in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = Vec::new();
        let (head, body) = loop {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            text.extend_from_slice(&bytes[..read]);
            let so_far = String::from_utf8_lossy(&text).into_owned();
            if let Some((head, body)) = so_far.split_once("\r\n\r\n")
                && let Ok(body) = serde_json::from_str::<Value>(body)
            {
                break (head.to_owned(), body);
            }
        };
        got.push((head, body));
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    got
}

fn notice(what: NoticeKind) -> Notice {
    Notice {
        what,
        at: jiff::Timestamp::from_second(1_700_000_000).unwrap(),
        incident: status().incidents[0].clone(),
    }
}

/// What a receiver gets that answers so, and how many notices were delivered and lost.
async fn deliver(notices: &[Notice], answers: &[&str]) -> (Vec<(String, Value)>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = Webhook {
        url: format!("http://{}/hook?x=1", listener.local_addr().unwrap())
            .parse()
            .unwrap(),
        tls: None,
        source: "/mesh/serve".to_owned(),
        tries: Tries {
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(2),
            most: 3,
        },
    };
    let metrics = Metrics::new(watch::channel(None).1, watch::channel(Standing::Alone).1);
    let (outlet, queue) = Outlet::new(NAME);
    for notice in notices {
        outlet.put(notice, &metrics);
    }
    drop(outlet);
    let (got, ()) = tokio::join!(
        receive(listener, answers),
        webhook.deliver_all(queue, Arc::clone(&metrics))
    );
    let text = metrics.text().unwrap();
    let counted = text.lines().filter(|line| line.starts_with("mesh_notices_total"));
    (got, counted.collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn an_incident_is_a_cloud_event_and_is_tried_until_it_is_taken() {
    let (got, counted) = deliver(
        &[notice(NoticeKind::Opened), notice(NoticeKind::Closed)],
        &["503 Busy", "429 Slow down", "204 Taken", "200 OK"],
    )
    .await;
    let kinds: Vec<&Value> = got.iter().map(|(_, event)| &event["type"]).collect();
    let opened = "mesh.incident.opened";
    assert_eq!(kinds, [opened, opened, opened, "mesh.incident.closed"]);
    let (head, event) = &got[0];
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1"), "{head}");
    assert!(
        head.to_lowercase()
            .contains("content-type: application/cloudevents+json"),
        "{head}"
    );
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["time"], "2023-11-14T22:13:20Z");
    assert_eq!(event["data"]["finding"]["cause"], "node-down");
    assert_eq!(
        (&got[1].1["id"], &got[2].1["id"]),
        (&event["id"], &event["id"]),
        "the same event"
    );
    assert_ne!(got[3].1["id"], event["id"]);
    assert_eq!(
        counted,
        "mesh_notices_total{outlet=\"webhook\",outcome=\"told\"} 2.0"
    );
}

#[tokio::test]
async fn what_is_refused_for_good_or_too_often_is_lost_and_the_next_one_is_told() {
    let notices = [
        notice(NoticeKind::Opened),
        notice(NoticeKind::Named),
        notice(NoticeKind::Closed),
    ];
    let (got, counted) = deliver(
        &notices,
        &["400 No", "500 Ill", "500 Ill", "302 Elsewhere", "200 OK"],
    )
    .await;
    assert_eq!(got.len(), 5);
    assert!(
        counted.contains("outcome=\"lost\"} 2.0") && counted.contains("outcome=\"told\"} 1.0"),
        "{counted}"
    );
}

#[test]
fn pauses_grow_and_end() {
    let tries = Tries::default();
    let pauses: Vec<u64> = (1..12)
        .map_while(|failed| tries.pause(failed))
        .map(|pause| pause.as_secs())
        .collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
}
