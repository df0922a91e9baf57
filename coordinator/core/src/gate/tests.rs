use std::time::Duration;

use mesh_proto::{Report, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Gate, GateConfig, GateScope, GateStep};
use crate::moment::Moment;

/// A report over nodes a, b and c with these cells, as `(from, to, probe, state)` between pods; the others are reachable.
fn report(cells: &[(&str, &str, &str, &str)]) -> Report {
    let listed: Vec<Value> = cells
        .iter()
        .map(|(from, to, probe, state)| {
            let reason = (*state == "unknown").then_some("its agent did not come up");
            json!({"from": {"node": from, "plane": "pod"}, "probe": probe, "state": state, "reason": reason,
                   "to": {"kind": "pod", "node": to, "address": "10.0.0.1", "port": 0},
                   "sent": 1, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}})
        })
        .collect();
    let node = |name| json!({"name": name, "planes": {"pod": {"state": "probed"}}});
    let verdict = match cells {
        _ if cells.iter().any(|cell| cell.3 == "failed") => "unreachable",
        _ if cells.iter().any(|cell| cell.3 == "unknown") => "unknown",
        _ => "reachable",
    };
    serde_json::from_value(json!({
        "schema": "mesh.report/v1", "verdict": verdict, "nodes": [node("a"), node("b"), node("c")],
        "run": {"id": "r", "ground": "lab", "started": "", "finished": "", "version": "0"},
        "cells": listed, "coverage": {"cells": 24, "observed": 24, "unknown": 0, "skipped": 0},
        "findings": [], "unexplained": 0
    }))
    .unwrap()
}

fn with_finding(mut report: Report, cause: &str, nodes: &[&str], pairs: &[(&str, &str)]) -> Report {
    let finding = json!({"cause": cause, "where": {"nodes": nodes, "pairs": pairs}, "severity": "failure",
        "confidence": "likely", "explains": 1, "summary": format!("{cause} it is."), "evidence": [], "advice": []});
    report.findings.push(serde_json::from_value(finding).unwrap());
    report
}

fn good() -> Report {
    report(&[])
}

fn node(name: &str) -> GateScope {
    GateScope::Node(name.parse().unwrap())
}

fn config(scope: GateScope) -> GateConfig {
    GateConfig {
        scope,
        steady: Duration::from_secs(30),
        timeout: Duration::from_mins(10),
        interval: Duration::from_secs(5),
        baseline: None,
        strict: false,
    }
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

/// Looks that take no time, one after the other, until the gate decides; the last report stands for all that follow.
fn decide(config: GateConfig, reports: &[Report]) -> (super::Decision, Moment) {
    let mut now = at(0);
    let mut gate = Gate::start(config, now);
    let mut reports = reports.iter().peekable();
    loop {
        match gate.step(now) {
            GateStep::Wait(until) => {
                assert!(until > now, "it waits for the past");
                now = until;
            }
            GateStep::Look => {
                let one = reports.next().unwrap();
                if reports.peek().is_none() {
                    reports = std::slice::from_ref(one).iter().peekable();
                }
                gate.handle_report(one, now, now);
            }
            GateStep::Decided => return (gate.decision().unwrap().clone(), now),
        }
    }
}

#[test]
fn it_opens_once_all_was_well_for_the_time_asked_for() {
    let (decision, now) = decide(config(GateScope::All), &[good()]);
    assert_eq!(decision.verdict, Verdict::Reachable);
    assert_eq!((now, decision.looks), (at(30), 7));
    assert!(
        decision.explanation.contains("for 30 s"),
        "{}",
        decision.explanation
    );
}

#[test]
fn without_a_time_one_good_look_is_enough() {
    let config = GateConfig {
        steady: Duration::ZERO,
        ..config(GateScope::All)
    };
    let (decision, now) = decide(config, &[good()]);
    assert_eq!(
        (decision.verdict, now, decision.looks),
        (Verdict::Reachable, at(0), 1)
    );
}

#[test]
fn a_fault_begins_the_time_anew() {
    let bad = report(&[("a", "b", "tcp", "failed")]);
    let (decision, now) = decide(config(GateScope::All), &[good(), good(), bad, good()]);
    assert_eq!(decision.verdict, Verdict::Reachable);
    // Good at 0 and 5, bad at 10, good from 15 on.
    assert_eq!(now, at(45));
}

#[test]
fn the_last_look_must_begin_after_the_time_is_full() {
    let mut gate = Gate::start(config(GateScope::All), at(0));
    gate.handle_report(&good(), at(0), at(4));
    // It ends late enough, but what it saw may be of its beginning.
    gate.handle_report(&good(), at(33), at(40));
    assert_eq!(gate.decision(), None);
    gate.handle_report(&good(), at(45), at(46));
    assert_eq!(gate.decision().unwrap().verdict, Verdict::Reachable);
}

/// Only what begins or ends at the node counts for it.
#[test]
fn what_concerns_a_node_is_what_begins_or_ends_there() {
    type Cells = &'static [(&'static str, &'static str, &'static str, &'static str)];
    let table: [(Cells, Verdict); 9] = [
        (&[("a", "b", "tcp", "failed")], Verdict::Unreachable),
        (&[("b", "a", "tcp", "failed")], Verdict::Unreachable),
        (&[("b", "c", "tcp", "failed")], Verdict::Reachable),
        (&[("b", "c", "tcp", "unknown")], Verdict::Reachable),
        (&[("a", "c", "tcp", "unknown")], Verdict::Unknown),
        (
            &[("a", "c", "tcp", "unknown"), ("b", "a", "udp", "failed")],
            Verdict::Unreachable,
        ),
        (&[("a", "b", "tcp", "degraded")], Verdict::Reachable),
        // ICMP alone is often filtered on purpose.
        (&[("a", "b", "icmp", "failed")], Verdict::Reachable),
        (
            &[("a", "b", "icmp", "failed"), ("a", "b", "udp", "failed")],
            Verdict::Unreachable,
        ),
    ];
    for (cells, verdict) in table {
        let (decision, _) = decide(config(node("a")), &[report(cells)]);
        assert_eq!(decision.verdict, verdict, "{cells:?}: {}", decision.explanation);
    }
    for cells in [[("a", "b", "tcp", "degraded")], [("a", "b", "icmp", "failed")]] {
        let strict = GateConfig {
            strict: true,
            ..config(node("a"))
        };
        assert_eq!(
            decide(strict, &[report(&cells)]).0.verdict,
            Verdict::Unreachable,
            "{cells:?}"
        );
    }
}

#[test]
fn a_node_that_takes_no_part_is_unknown_however_well_the_others_are() {
    let (decision, _) = decide(config(node("d")), &[good()]);
    assert_eq!(decision.verdict, Verdict::Unknown);
    assert!(
        decision.explanation.contains("no node d takes part"),
        "{}",
        decision.explanation
    );
    let mut absent = good();
    let record = absent.nodes[0].planes.pod.as_mut().unwrap();
    record.state = mesh_proto::PlaneState::Absent;
    record.why = Some("ImagePullBackOff".to_owned());
    let (decision, _) = decide(config(node("a")), &[absent]);
    assert_eq!(decision.verdict, Verdict::Unknown);
    assert!(
        decision.explanation.contains("ImagePullBackOff"),
        "{}",
        decision.explanation
    );
}

#[test]
fn a_gate_that_stays_closed_says_why_and_shows_what_blocks() {
    let bad = report(&[("a", "b", "tcp", "failed"), ("b", "c", "tcp", "failed")]);
    let bad = with_finding(bad, "ip-forward-off", &["b"], &[]);
    let bad = with_finding(bad, "mtu-blackhole", &[], &[("b", "c")]);
    let (decision, _) = decide(config(node("a")), &[bad]);
    assert_eq!((decision.verdict, decision.blocking), (Verdict::Unreachable, 1));
    let causes: Vec<_> = decision
        .findings
        .iter()
        .map(|finding| finding.cause.name())
        .collect();
    assert_eq!(causes, ["ip-forward-off"]);
    assert!(
        decision
            .explanation
            .starts_with("1 cell from or to a failed: ip-forward-off it is"),
        "{}",
        decision.explanation
    );
}

#[test]
fn it_gives_up_as_soon_as_it_cannot_open_any_more() {
    let bad = report(&[("a", "b", "tcp", "failed")]);
    let (decision, now) = decide(config(GateScope::All), &[bad]);
    assert_eq!(decision.verdict, Verdict::Unreachable);
    // 600 s less the 30 s that it would still need.
    assert!(now > at(570) && now <= at(575), "{now:?}");
}

#[test]
fn a_look_that_the_end_cut_takes_nothing_back() {
    let bad = report(&[("a", "b", "tcp", "failed")]);
    let cut = report(&[("a", "b", "tcp", "unknown")]);
    let mut gate = Gate::start(config(GateScope::All), at(0));
    gate.handle_report(&bad, at(560), at(568));
    gate.handle_report(&cut, at(599), at(600));
    assert_eq!(gate.step(at(600)), GateStep::Decided);
    assert_eq!(gate.decision().unwrap().verdict, Verdict::Unreachable);
    // Nor is one begun that cannot end in time.
    let short = GateConfig {
        steady: Duration::ZERO,
        ..config(GateScope::All)
    };
    let mut gate = Gate::start(short, at(0));
    gate.handle_report(&bad, at(0), at(8));
    assert_eq!(gate.step(at(591)), GateStep::Look);
    assert_eq!(gate.step(at(593)), GateStep::Decided);
}

#[test]
fn what_was_good_for_too_short_a_time_is_unknown() {
    let mut gate = Gate::start(config(GateScope::All), at(0));
    gate.handle_report(&good(), at(565), at(566));
    gate.interrupt(at(580));
    let decision = gate.decision().unwrap();
    assert_eq!(decision.verdict, Verdict::Unknown);
    assert!(
        decision.explanation.contains("only for 14 s of the 30 s"),
        "{}",
        decision.explanation
    );
}

#[test]
fn a_look_that_was_missed_leaves_a_gap() {
    let mut gate = Gate::start(config(GateScope::All), at(0));
    gate.handle_report(&good(), at(0), at(0));
    gate.handle_missed("the server does not answer", at(5));
    gate.handle_report(&good(), at(31), at(31));
    assert_eq!(gate.decision(), None);
    gate.handle_missed("the server does not answer", at(36));
    gate.interrupt(at(40));
    let decision = gate.decision().unwrap();
    assert_eq!(decision.verdict, Verdict::Unknown);
    assert!(decision.explanation.contains("the server does not answer"));
}

#[test]
fn only_what_is_worse_than_the_baseline_blocks() {
    let before = report(&[("a", "b", "tcp", "failed"), ("a", "c", "udp", "unknown")]);
    let with = |report: Report| {
        let config = GateConfig {
            baseline: Some(before.clone()),
            ..config(node("a"))
        };
        decide(config, &[report]).0.verdict
    };
    assert_eq!(with(before.clone()), Verdict::Reachable);
    assert_eq!(with(report(&[("a", "b", "tcp", "failed")])), Verdict::Reachable);
    assert_eq!(with(report(&[("b", "a", "tcp", "failed")])), Verdict::Unreachable);
    assert_eq!(with(report(&[("a", "c", "udp", "failed")])), Verdict::Unreachable);
    // Nobody can look any more: that is no pass for what was reachable before.
    assert_eq!(with(report(&[("c", "a", "tcp", "unknown")])), Verdict::Unknown);
}

/// What a look brings.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    Good,
    Failed,
    Unknown,
    Missed,
}

fn look() -> impl Strategy<Value = Look> {
    prop_oneof![
        6 => Just(Look::Good),
        1 => Just(Look::Failed),
        1 => Just(Look::Unknown),
        1 => Just(Look::Missed),
    ]
}

proptest! {
    /// Against a model that keeps all looks and asks of the last of them: is it in a row of good ones that is long enough?
    #[test]
    fn it_opens_after_a_row_of_good_looks_and_only_then(
        looks in prop::collection::vec((look(), 0u64..8, 0u64..9), 1..60),
        steady in 0u64..40,
        timeout in 40u64..300,
    ) {
        let mut now = at(0);
        let mut gate = Gate::start(
            GateConfig {
                steady: Duration::from_secs(steady),
                timeout: Duration::from_secs(timeout),
                ..config(node("a"))
            },
            now,
        );
        let mut seen: Vec<(Look, Moment, Moment)> = Vec::new();
        for (look, takes, late) in looks {
            // A driver wakes up late.
            while let GateStep::Wait(until) = gate.step(now) {
                now = until + Duration::from_secs(late);
            }
            if gate.step(now) == GateStep::Decided {
                break;
            }
            let began = now;
            now = now + Duration::from_secs(takes);
            match look {
                Look::Good => gate.handle_report(&good(), began, now),
                Look::Failed => gate.handle_report(&report(&[("a", "b", "tcp", "failed")]), began, now),
                Look::Unknown => gate.handle_report(&report(&[("b", "a", "tcp", "unknown")]), began, now),
                Look::Missed => gate.handle_missed("no answer", now),
            }
            seen.push((look, began, now));
        }
        let row: Vec<_> = seen.iter().rev().take_while(|(look, ..)| *look == Look::Good).collect();
        let long_enough = match (row.first(), row.last()) {
            (Some((_, last_began, _)), Some((_, _, first_ended))) => {
                last_began.since(*first_ended) >= Duration::from_secs(steady)
                    && (steady == 0 || row.len() > 1)
            }
            _ => false,
        };
        gate.interrupt(now);
        let verdict = gate.decision().unwrap().verdict;
        // A look that the end cut takes nothing back of what the one before it saw.
        let told: Vec<Look> = seen
            .iter()
            .filter(|(look, _, ended)| *look != Look::Unknown || *ended < at(timeout))
            .map(|(look, ..)| *look)
            .collect();
        let expected = match told.last() {
            _ if long_enough => Verdict::Reachable,
            Some(Look::Failed) => Verdict::Unreachable,
            _ => Verdict::Unknown,
        };
        prop_assert_eq!(verdict, expected);
    }
}
