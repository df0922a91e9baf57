use std::time::Duration;

use jiff::Timestamp;
use mesh_proto::{ProbeKind, Report};
use serde_json::json;

use super::{History, HistoryBounds, HistoryError, open};
use crate::serve::{IncidentRecord, MinuteKey, MinuteRow};

pub(super) fn incident(id: u64, since: i64, closed: Option<i64>) -> IncidentRecord {
    let at = |second| Timestamp::from_second(second).unwrap();
    serde_json::from_value(json!({
        "id": id, "state": if closed.is_some() { "closed" } else { "open" }, "since": at(since), "seen": at(since),
        "closed": closed.map(at), "count": 1, "flapping": false, "named": true,
        "finding": {"cause": "node-down", "where": {"nodes": ["a"], "pairs": []}, "severity": "failure",
            "confidence": "certain", "explains": 3, "summary": "s", "evidence": ["e"], "advice": []}
    }))
    .unwrap()
}

fn report(id: &str) -> Report {
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": "reachable", "nodes": [], "cells": [], "findings": [], "unexplained": 0,
        "run": {"id": id, "ground": "lab", "started": "", "finished": "", "version": "0"},
        "coverage": {"cells": 0, "observed": 0, "unknown": 0, "skipped": 0}
    }))
    .unwrap()
}

fn row(node: &str, failed: u32) -> (MinuteKey, MinuteRow) {
    let row = MinuteRow {
        looks: 60,
        failed,
        ..MinuteRow::default()
    };
    ((node.parse().unwrap(), ProbeKind::Tcp), row)
}

fn in_memory() -> History {
    open(None).unwrap().0
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn what_was_written_is_read_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    {
        let (history, said) = open(Some(&path)).unwrap();
        assert_eq!((said, history.next_incident().unwrap()), (None, 1));
        history.put_incident(&incident(1, 100, Some(160))).unwrap();
        history.put_incident(&incident(2, 200, None)).unwrap();
        history.put_minute(3, &[row("a", 5), row("b", 0)]).unwrap();
        history.put_report(second(150), &report("early")).unwrap();
        history.put_report(second(250), &report("late")).unwrap();
    }
    let (history, said) = open(Some(&path)).unwrap();
    assert_eq!(said, None);
    let ids = |since| -> Vec<u64> {
        let found = history.incidents(second(since), 10).unwrap();
        found.iter().map(|incident| incident.id).collect()
    };
    // The newest first; one that is open is always there.
    assert_eq!((ids(0), ids(161)), (vec![2, 1], vec![2]));
    assert_eq!(
        history.incidents(second(0), 1).unwrap()[0],
        incident(2, 200, None)
    );
    assert_eq!(history.next_incident().unwrap(), 3);
    let rows = history.minutes(3, 4, 100).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].1.as_str(), rows[0].3.failed), ("a", 5));
    let at = |when| {
        history
            .report_at(second(when))
            .unwrap()
            .map(|(_, report)| report.run.id)
    };
    assert_eq!(at(149), None);
    assert_eq!(
        (at(150).as_deref(), at(249).as_deref(), at(9999).as_deref()),
        (Some("early"), Some("early"), Some("late"))
    );
}

#[test]
fn incidents_that_nobody_watches_any_more_are_closed() {
    let history = in_memory();
    history.put_incident(&incident(1, 100, Some(160))).unwrap();
    history.put_incident(&incident(2, 200, None)).unwrap();
    assert_eq!(history.close_orphans().unwrap(), 1);
    let [closed, _] = history.incidents(second(0), 10).unwrap().try_into().unwrap();
    assert_eq!(closed.closed, Some(second(200)));
    assert!(closed.why_closed.unwrap().contains("mesh serve ended"));
    assert_eq!(history.close_orphans().unwrap(), 0);
}

#[test]
fn what_is_too_old_goes() {
    let history = in_memory();
    history.put_incident(&incident(1, 0, Some(60))).unwrap();
    history.put_incident(&incident(2, 0, Some(4000))).unwrap();
    history.put_incident(&incident(3, 0, None)).unwrap();
    history.put_minute(1, &[row("a", 0)]).unwrap();
    history.put_minute(61, &[row("a", 0)]).unwrap();
    history.put_report(second(60), &report("old")).unwrap();
    let bounds = HistoryBounds {
        age: Duration::from_hours(1),
        ..HistoryBounds::default()
    };
    history.make_room(bounds, second(3600 + 120)).unwrap();
    let ids: Vec<u64> = history
        .incidents(second(0), 10)
        .unwrap()
        .iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(ids, [3, 2]);
    assert_eq!(history.minutes(0, 1000, 100).unwrap().len(), 1);
    assert_eq!(
        history
            .report_at(second(9999))
            .unwrap()
            .map(|(_, report)| report.run.id),
        None
    );
}

#[test]
fn it_stays_below_its_size_and_the_oldest_goes_first() {
    let history = in_memory();
    let rows: Vec<_> = (0..200)
        .map(|number| row(&format!("node-with-a-long-name-{number}"), 1))
        .collect();
    let bounds = HistoryBounds {
        bytes: 1 << 20,
        ..HistoryBounds::default()
    };
    history.put_incident(&incident(1, 0, Some(60))).unwrap();
    let start = 20_000_000;
    for minute in start..start + 200 {
        history.put_minute(minute, &rows).unwrap();
        history.put_report(second(minute * 60), &report("r")).unwrap();
        assert!(
            history.make_room(bounds, second(minute * 60)).unwrap() <= bounds.bytes,
            "{minute}"
        );
    }
    let first = history.minutes(0, i64::MAX, 1).unwrap()[0].0;
    assert!(first > start + 50, "{first}");
    assert_eq!(history.minutes(start + 199, start + 200, 999).unwrap().len(), 200);
    // What is worth most is still there.
    assert_eq!(history.incidents(second(0), 9).unwrap().len(), 1);
}

#[test]
fn a_corrupt_file_is_set_aside_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    std::fs::write(&path, b"this is no history at all").unwrap();
    let (history, said) = open(Some(&path)).unwrap();
    assert!(said.unwrap().contains("is set aside as"));
    history.put_incident(&incident(1, 100, None)).unwrap();
    assert_eq!(
        std::fs::read(folder.path().join("history.corrupt")).unwrap(),
        b"this is no history at all"
    );
}

/// Bytes turned over anywhere in the file: it is read as it was, or set aside; never wrong, never a crash.
#[test]
fn a_file_with_bytes_turned_over_is_whole_or_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    {
        let (history, _) = open(Some(&whole)).unwrap();
        for id in 1..50 {
            history.put_incident(&incident(id, 100, Some(160))).unwrap();
        }
    }
    let bytes = std::fs::read(&whole).unwrap();
    let (mut aside, mut kept) = (0, 0);
    for step in 0..120_usize {
        let path = folder.path().join(format!("turned-{step}"));
        let mut turned = bytes.clone();
        // The head and the first pages closely, the rest in strides.
        let place = if step < 60 {
            step * 7
        } else {
            (step * 99_991) % bytes.len()
        };
        for byte in turned.iter_mut().skip(place).take(8) {
            *byte = !*byte;
        }
        std::fs::write(&path, &turned).unwrap();
        match open(Some(&path)) {
            Ok((_, Some(_))) => aside += 1,
            Ok((history, None)) => {
                kept += 1;
                let found = history.incidents(second(0), 100).unwrap();
                assert!(
                    found.iter().all(|one| *one == incident(one.id, 100, Some(160))),
                    "step {step}"
                );
                assert_eq!(found.len(), 49, "step {step}");
            }
            Err(error) => panic!("step {step}: {error}"),
        }
        std::fs::remove_file(&path).unwrap();
    }
    assert!(aside > 5 && kept > 5, "{aside} set aside, {kept} kept");
}

#[test]
fn another_process_keeps_its_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    let (_held, _) = open(Some(&path)).unwrap();
    assert!(matches!(open(Some(&path)), Err(HistoryError::InUse { .. })));
}
