use std::collections::BTreeMap;
use std::time::Duration;

use mesh_proto::Report;
use proptest::prelude::*;
use serde_json::json;

use super::{Depth, Pulse, PulseConfig};
use crate::incident::{IncidentConfig, IncidentId, IncidentLook, Incidents};
use crate::moment::Moment;

/// Three nodes, of which one may be at fault.
fn report(cause: Option<&str>) -> Report {
    let node = |name| json!({"name": name, "planes": {"pod": {"state": "probed"}}});
    let cell = json!({"from": {"node": "a", "plane": "pod"}, "probe": "tcp", "state": "failed",
        "to": {"kind": "pod", "node": "b", "address": "10.0.0.1", "port": 0},
        "sent": 1, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}});
    let finding = |cause: &str| {
        json!({"cause": cause, "where": {"nodes": ["b"], "pairs": []}, "severity": "failure",
        "confidence": "likely", "explains": 1, "summary": "s", "evidence": [], "advice": []})
    };
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": "unknown", "nodes": [node("a"), node("b"), node("c")],
        "run": {"id": "r", "ground": "lab", "started": "", "finished": "", "version": "0"},
        "cells": cause.iter().map(|_| cell.clone()).collect::<Vec<_>>(),
        "coverage": {"cells": 99, "observed": 99, "unknown": 0, "skipped": 0},
        "findings": cause.into_iter().map(finding).collect::<Vec<_>>(), "unexplained": 0
    }))
    .unwrap()
}

/// How long a look takes: one that is not answered waits for its time-outs.
fn takes(depth: Depth, ill: bool) -> Duration {
    Duration::from_millis(match (depth, ill) {
        (Depth::Light, false) => 200,
        (Depth::Light, true) => 550,
        (Depth::Full, false) => 700,
        (Depth::Full, true) => 8_000,
    })
}

/// Looks until `end`, with a fault between two moments; when an incident was open, named and closed.
fn watch(config: PulseConfig, fault: (Duration, Duration), end: Duration) -> [Option<Moment>; 3] {
    let mut now = Moment::default();
    let (mut pulse, mut times) = (Pulse::start(config, now), [None; 3]);
    let mut incidents = Incidents::new(IncidentConfig::default(), IncidentId(1));
    while now.0 < end {
        let (at, depth) = pulse.next();
        now = now.max(at);
        let began = now;
        // A fault that comes while a look is at it is seen by the next.
        let is_ill = |moment: Moment| moment.0 >= fault.0 && moment.0 < fault.1;
        let ill = is_ill(began);
        now = now + takes(depth, ill);
        let cause = if depth == Depth::Full {
            "overlay-device-down"
        } else {
            "unknown"
        };
        let report = report(ill.then_some(cause));
        let look = IncidentLook {
            report: &report,
            depth,
            excused: &BTreeMap::new(),
        };
        incidents.handle_look(look, now);
        pulse.handle_look(&report, depth, &incidents, began, now);
        let open = incidents.open().next();
        if open.is_some() {
            times[0].get_or_insert(now);
        }
        if open.is_some_and(|open| open.is_known) {
            times[1].get_or_insert(now);
        }
        if open.is_none() && times[0].is_some() {
            times[2].get_or_insert(now);
        }
    }
    times
}

#[test]
fn at_rest_most_looks_are_quick_ones() {
    let mut now = Moment::default();
    let mut pulse = Pulse::start(PulseConfig::default(), now);
    let incidents = Incidents::new(IncidentConfig::default(), IncidentId(1));
    let (mut light, mut full) = (0, 0);
    while now.0 < Duration::from_mins(10) {
        let (at, depth) = pulse.next();
        let began = now.max(at);
        now = began + takes(depth, false);
        match depth {
            Depth::Light => light += 1,
            Depth::Full => full += 1,
        }
        pulse.handle_look(&report(None), depth, &incidents, began, now);
    }
    assert_eq!(full, 10);
    assert!((700..=750).contains(&light), "{light}");
}

/// A fault that comes in the midst of a quick look shows in part: some cells, at no place.
#[test]
fn what_shows_in_part_is_looked_at_once_more_before_a_whole_look_is_taken() {
    let mut now = Moment(Duration::from_secs(10));
    let mut pulse = Pulse::start(PulseConfig::default(), Moment::default());
    let mut incidents = Incidents::new(IncidentConfig::default(), IncidentId(1));
    let mut look = |pulse: &mut Pulse, report: &Report, depth| {
        let began = now;
        now = now + takes(depth, true);
        let look = IncidentLook {
            report,
            depth,
            excused: &BTreeMap::new(),
        };
        incidents.handle_look(look, now);
        pulse.handle_look(report, depth, &incidents, began, now);
        (pulse.next(), now)
    };
    let mut partly = report(Some("unknown"));
    partly.findings[0].place.nodes.clear();
    look(&mut pulse, &report(None), Depth::Full);
    let ((at, depth), now) = look(&mut pulse, &partly, Depth::Light);
    assert_eq!((at, depth), (now, Depth::Light));
    assert!(pulse.next_full > now + PulseConfig::default().full_when_ill);
    // Still no more than that: a whole look has to tell.
    let (_, now) = look(&mut pulse, &partly, Depth::Light);
    assert!(pulse.next_full < now + PulseConfig::default().full_when_ill);
}

#[test]
fn looks_that_take_long_leave_time_between_them() {
    let start = Moment(Duration::from_secs(10));
    let mut pulse = Pulse::start(PulseConfig::default(), start);
    let incidents = Incidents::new(IncidentConfig::default(), IncidentId(1));
    let end = start + Duration::from_secs(30);
    pulse.handle_look(&report(None), Depth::Light, &incidents, start, end);
    assert_eq!(pulse.next_light, end + Duration::from_secs(3));
}

#[test]
fn most_faults_are_open_within_two_seconds() {
    let mut after: Vec<Duration> = (0..300_u64)
        .map(|number| {
            // At all phases of the pulse.
            let begins = Duration::from_millis(70_000 + number * 431);
            let ends = begins + Duration::from_secs(40);
            let [open, ..] = watch(PulseConfig::default(), (begins, ends), ends);
            open.unwrap().0.saturating_sub(begins)
        })
        .collect();
    after.sort();
    assert!(
        after[after.len() / 2] <= Duration::from_millis(1_700),
        "{:?}",
        after[after.len() / 2]
    );
    assert!(
        after[after.len() * 97 / 100] <= Duration::from_secs(2),
        "{:?}",
        after[after.len() * 97 / 100]
    );
}

proptest! {
    /// Whenever a fault comes, it is open soon (later only where a whole look is at it just then), gets its name from the whole
    /// look that follows, and ends soon after its own end.
    #[test]
    fn a_fault_is_seen_named_and_ended(begins in 0u64..200_000, lasts in 30_000u64..200_000) {
        let begins = Duration::from_millis(begins);
        let ends = begins + Duration::from_millis(lasts);
        let [open, named, closed] = watch(PulseConfig::default(), (begins, ends), ends + Duration::from_mins(1));
        let after = |time: Option<Moment>, event: Duration| time.unwrap().0.saturating_sub(event);
        prop_assert!(after(open, begins) <= Duration::from_secs(10), "{open:?}");
        prop_assert!(after(named, begins) <= Duration::from_secs(12), "{named:?}");
        prop_assert!(closed.unwrap().0 >= ends);
        prop_assert!(after(closed, ends) <= Duration::from_secs(13), "{closed:?}");
    }
}
