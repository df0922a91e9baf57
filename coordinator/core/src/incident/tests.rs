use std::collections::BTreeMap;
use std::time::Duration;

use mesh_proto::{NodeName, Report};
use serde_json::{Value, json};

use super::{Closing, IncidentChange, IncidentConfig, IncidentId, IncidentLook, Incidents};
use crate::moment::Moment;
use crate::pulse::Depth::{self, Full, Light};

/// A look over some nodes, built by hand.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) nodes: Vec<(String, &'static str)>,
    pub(super) findings: Vec<Value>,
    pub(super) cells: Vec<Value>,
}

impl Seen {
    /// Nodes n0, n1, ... that all probe.
    pub(super) fn nodes(count: usize) -> Self {
        Self {
            nodes: (0..count)
                .map(|number| (format!("n{number}"), "probed"))
                .collect(),
            ..Self::default()
        }
    }

    pub(super) fn absent(mut self, node: &str) -> Self {
        for (name, state) in &mut self.nodes {
            if name == node {
                *state = "absent";
            }
        }
        self.cell("n0", node, "unknown")
    }

    fn cell(mut self, from: &str, to: &str, state: &str) -> Self {
        let reason = (state == "unknown").then_some("its agent did not come up");
        self.cells.push(
            json!({"from": {"node": from, "plane": "pod"}, "probe": "tcp", "state": state,
            "reason": reason, "to": {"kind": "pod", "node": to, "address": "10.0.0.1", "port": 0},
            "sent": 1, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}}),
        );
        self
    }

    pub(super) fn fault(mut self, cause: &str, node: &str) -> Self {
        self.findings.push(
            json!({"cause": cause, "where": {"nodes": [node], "pairs": []}, "severity": "failure",
            "confidence": "likely", "explains": 1, "summary": "s", "evidence": [], "advice": []}),
        );
        self.cell("n0", node, "failed")
    }

    fn pair(mut self, cause: &str, from: &str, to: &str) -> Self {
        self.findings.push(
            json!({"cause": cause, "where": {"nodes": [], "pairs": [[from, to]]}, "severity": "failure",
            "confidence": "likely", "explains": 1, "summary": "s", "evidence": [], "advice": []}),
        );
        self.cell(from, to, "failed")
    }

    fn warning(mut self, cause: &str, node: &str) -> Self {
        self.findings.push(
            json!({"cause": cause, "where": {"nodes": [node], "pairs": []}, "severity": "warning",
            "confidence": "likely", "explains": 1, "summary": "s", "evidence": [], "advice": []}),
        );
        self.cell("n0", node, "degraded")
    }

    fn report(&self) -> Report {
        let node =
            |(name, state): &(String, &str)| json!({"name": name, "planes": {"pod": {"state": state}}});
        serde_json::from_value(json!({
            "schema": "mesh.report/v1", "verdict": "unknown",
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
            "run": {"id": "r", "ground": "lab", "started": "", "finished": "", "version": "0"},
            "cells": self.cells, "coverage": {"cells": 99, "observed": 99, "unknown": 0, "skipped": 0},
            "findings": self.findings, "unexplained": 0
        }))
        .unwrap()
    }
}

/// Incidents and a clock that goes on by a second with each look.
pub(super) struct Watch {
    pub(super) incidents: Incidents,
    pub(super) now: Moment,
    pub(super) excused: BTreeMap<NodeName, String>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            incidents: Incidents::new(IncidentConfig::default(), IncidentId(7)),
            now: Moment::default(),
            excused: BTreeMap::new(),
        }
    }

    pub(super) fn look(&mut self, depth: Depth, seen: &Seen) -> Vec<String> {
        self.now = self.now + Duration::from_secs(1);
        let report = seen.report();
        let look = IncidentLook {
            report: &report,
            depth,
            excused: &self.excused,
        };
        let changes = self.incidents.handle_look(look, self.now);
        changes.iter().map(words).collect()
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

fn words(change: &IncidentChange) -> String {
    let (what, incident) = match change {
        IncidentChange::Opened(incident) => ("opened", incident),
        IncidentChange::Renamed(incident) => ("renamed", incident),
        IncidentChange::Closed(incident) => ("closed", incident),
    };
    let flapping = if incident.is_flapping { " flapping" } else { "" };
    format!(
        "{what} {} {} x{}{flapping}",
        incident.id.0, incident.finding.cause, incident.count
    )
}

pub(super) const QUIET: [String; 0] = [];

#[test]
fn the_second_look_opens_and_the_second_good_one_closes() {
    let mut watch = Watch::new();
    let (well, ill) = (Seen::nodes(3), Seen::nodes(3).fault("ip-forward-off", "n2"));
    assert_eq!(watch.look(Full, &well), QUIET);
    assert_eq!(watch.look(Light, &ill), QUIET);
    assert!(watch.incidents.has_suspects());
    assert_eq!(watch.look(Light, &ill), ["opened 7 ip-forward-off x1"]);
    let open = watch.incidents.open().next().unwrap().clone();
    assert_eq!(
        (open.since, open.opened),
        (Moment(Duration::from_secs(2)), Some(watch.now))
    );
    assert_eq!(watch.look(Light, &ill), QUIET);
    assert_eq!(watch.look(Light, &well), QUIET);
    assert_eq!(watch.look(Light, &well), ["closed 7 ip-forward-off x1"]);
    assert_eq!(watch.incidents.current(), []);
}

#[test]
fn what_one_look_saw_alone_is_noise() {
    let mut watch = Watch::new();
    for round in 0..20 {
        let seen = if round % 2 == 1 {
            Seen::nodes(3).fault("unknown", "n1")
        } else {
            Seen::nodes(3)
        };
        assert_eq!(watch.look(Light, &seen), QUIET, "round {round}");
    }
}

#[test]
fn a_whole_look_names_what_quick_ones_saw() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(3));
    // Quick looks take it for a fault between two nodes, then of one of them.
    watch.look(Light, &Seen::nodes(3).pair("unknown", "n0", "n2"));
    assert_eq!(
        watch.look(Light, &Seen::nodes(3).fault("unknown", "n2")),
        ["opened 7 unknown x1"]
    );
    let named = Seen::nodes(3).fault("overlay-port-blocked", "n2");
    assert_eq!(watch.look(Full, &named), ["renamed 7 overlay-port-blocked x1"]);
    // From now on quick looks do not rename it, nor make others of it.
    assert_eq!(
        watch.look(Light, &Seen::nodes(3).pair("unknown", "n1", "n2")),
        QUIET
    );
    assert_eq!(
        watch.look(Light, &Seen::nodes(3).pair("unknown", "n0", "n1")),
        QUIET
    );
    assert_eq!(watch.incidents.current().len(), 1);
    assert_eq!(watch.look(Full, &named), QUIET);
}

#[test]
fn quick_looks_confirm_only_what_stays_where_it_is() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(6));
    // The same place each time, but never the same cells.
    for round in 0..20 {
        let seen = Seen::nodes(6).pair("unknown", "n2", &format!("n{}", 3 + round % 3));
        assert_eq!(watch.look(Light, &seen), QUIET, "round {round}");
    }
}

#[test]
fn what_quick_looks_saw_at_starved_agents_says_nothing() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(3));
    let mut report = Seen::nodes(3).fault("node-down", "n2").report();
    report.nodes[2].planes.pod.as_mut().unwrap().starved = Some("3 late wake-ups".to_owned());
    for _ in 0..5 {
        let look = IncidentLook {
            report: &report,
            depth: Light,
            excused: &BTreeMap::new(),
        };
        assert_eq!(watch.incidents.handle_look(look, watch.now), []);
        assert!(watch.incidents.want_full());
    }
    // A whole look has the patience for it.
    let look = IncidentLook {
        report: &report,
        depth: Full,
        excused: &BTreeMap::new(),
    };
    watch.incidents.handle_look(look, watch.now);
    assert_eq!(watch.incidents.handle_look(look, watch.now).len(), 1);
}

#[test]
fn two_faults_are_two_incidents_and_end_each_by_itself() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(4));
    let both = Seen::nodes(4)
        .fault("ip-forward-off", "n1")
        .fault("overlay-device-down", "n2");
    watch.look(Full, &both);
    assert_eq!(
        watch.look(Full, &both),
        ["opened 7 ip-forward-off x1", "opened 8 overlay-device-down x1"]
    );
    let one = Seen::nodes(4).fault("overlay-device-down", "n2");
    watch.look(Full, &one);
    assert_eq!(watch.look(Full, &one), ["closed 7 ip-forward-off x1"]);
    assert_eq!(watch.incidents.open().count(), 1);
}

#[test]
fn a_quick_look_makes_one_incident_of_what_it_sees_at_one_place() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(4));
    let seen = Seen::nodes(4)
        .fault("unknown", "n2")
        .pair("unknown", "n1", "n2")
        .fault("node-down", "n3");
    watch.look(Light, &seen);
    assert_eq!(
        watch.look(Light, &seen),
        ["opened 7 unknown x1", "opened 8 node-down x1"]
    );
}

/// A whole look names a side of the node, and a quick one only the node.
#[test]
fn what_has_no_name_beside_a_greater_fault_waits_for_a_whole_look() {
    let mut watch = Watch::new();
    let beside = |greater: &str| Seen::nodes(4).fault(greater, "n2").fault("unknown", "n1");
    assert_eq!(watch.look(Light, &beside("unknown")), QUIET);
    let opened = watch.look(Light, &beside("ip-forward-off"));
    assert_eq!(opened, ["opened 7 ip-forward-off x1"]);
    assert!(watch.incidents.want_full());
    assert_eq!(
        watch.look(Full, &beside("ip-forward-off")).len(),
        1,
        "named; n1 is suspected now"
    );
    assert_eq!(
        watch.look(Full, &beside("ip-forward-off")),
        ["opened 8 unknown x1"]
    );
}

#[test]
fn a_quick_look_confirms_what_a_whole_one_saw_first() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(3));
    let mut named = Seen::nodes(3).fault("overlay-port-blocked", "n2");
    named.findings[0]["where"]["direction"] = "egress".into();
    watch.look(Full, &named);
    let quick = Seen::nodes(3).fault("unknown", "n2");
    assert_eq!(watch.look(Light, &quick), ["opened 7 overlay-port-blocked x1"]);
    assert_eq!(watch.look(Full, &named), QUIET);
    assert_eq!(watch.incidents.current().len(), 1);
}

#[test]
fn what_comes_back_to_a_place_is_named_anew() {
    let mut watch = Watch::new();
    let (well, first) = (Seen::nodes(3), Seen::nodes(3).fault("ip-forward-off", "n2"));
    for seen in [&well, &first, &first, &well, &well] {
        watch.look(Full, seen);
    }
    let quick = Seen::nodes(3).fault("unknown", "n2");
    watch.look(Light, &quick);
    assert_eq!(watch.look(Light, &quick), ["opened 7 unknown x2"]);
    assert!(!watch.incidents.open().next().unwrap().is_known);
    let other = Seen::nodes(3).fault("forward-dropped", "n2");
    assert_eq!(watch.look(Full, &other), ["renamed 7 forward-dropped x2"]);
}

#[test]
fn warnings_are_of_whole_looks_only() {
    let mut watch = Watch::new();
    let slow = Seen::nodes(3).warning("slow", "n1");
    for _ in 0..5 {
        assert_eq!(watch.look(Light, &slow), QUIET);
    }
    watch.look(Full, &slow);
    assert_eq!(watch.look(Full, &slow), ["opened 7 slow x1"]);
}

#[test]
fn what_comes_and_goes_is_one_incident_that_stays_open() {
    let mut watch = Watch::new();
    let (well, ill) = (Seen::nodes(3), Seen::nodes(3).fault("node-down", "n1"));
    watch.look(Full, &well);
    let mut said = Vec::new();
    for _ in 0..6 {
        for seen in [&ill, &ill, &well, &well] {
            said.extend(watch.look(Light, seen));
        }
    }
    // After the third time it does not close any more, so it does not open either.
    let expected = [
        "opened 7 node-down x1",
        "closed 7 node-down x1",
        "opened 7 node-down x2",
        "closed 7 node-down x2",
        "opened 7 node-down x3 flapping",
    ];
    assert_eq!(said, expected);
    assert_eq!(watch.look(Light, &well), QUIET);
    watch.wait(120);
    assert_eq!(watch.look(Light, &well), ["closed 7 node-down x3 flapping"]);
    // Long after it is another one.
    watch.wait(3600);
    watch.look(Light, &ill);
    assert_eq!(watch.look(Light, &ill), ["opened 8 node-down x1"]);
}

#[test]
fn a_newcomer_has_its_time_of_grace_until_it_was_well_once() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(3));
    let ill = Seen::nodes(4).fault("overlay-peer-stale", "n3");
    for _ in 0..10 {
        assert_eq!(watch.look(Light, &ill), QUIET);
    }
    assert!(watch.incidents.newcomers(watch.now)[&"n3".parse().unwrap()].contains("it came 9 s ago"));
    watch.look(Light, &Seen::nodes(4));
    watch.look(Light, &ill);
    assert_eq!(watch.look(Light, &ill), ["opened 7 overlay-peer-stale x1"]);
}

#[test]
fn a_newcomer_that_never_gets_well_is_told_of_after_its_time() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(3));
    let ill = Seen::nodes(4).fault("overlay-peer-stale", "n3");
    watch.look(Light, &ill);
    watch.wait(60);
    watch.look(Light, &ill);
    assert_eq!(watch.look(Light, &ill), ["opened 7 overlay-peer-stale x1"]);
}

#[test]
fn who_was_there_from_the_beginning_has_no_grace() {
    let mut watch = Watch::new();
    let ill = Seen::nodes(3).fault("overlay-peer-stale", "n2");
    watch.look(Full, &ill);
    assert_eq!(watch.look(Full, &ill), ["opened 7 overlay-peer-stale x1"]);
}

#[test]
fn nobody_blames_a_node_that_is_excused() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(3));
    watch.excused.insert("n2".parse().unwrap(), "NotReady".to_owned());
    let ill = Seen::nodes(3).fault("node-down", "n2");
    for _ in 0..5 {
        assert_eq!(watch.look(Light, &ill), QUIET);
    }
    // A pair of which one end is excused is as well; one of two others is not.
    let pair = Seen::nodes(3).pair("unknown", "n1", "n2");
    assert_eq!(
        (watch.look(Full, &pair), watch.look(Full, &pair)),
        (Vec::new(), Vec::new())
    );
    let pair = Seen::nodes(3).pair("unknown", "n1", "n0");
    watch.look(Full, &pair);
    assert_eq!(watch.look(Full, &pair), ["opened 7 unknown x1"]);
}

#[test]
fn what_was_open_before_its_node_was_excused_stays_until_it_is_mended() {
    let mut watch = Watch::new();
    let ill = Seen::nodes(3).fault("node-down", "n2");
    watch.look(Full, &Seen::nodes(3));
    watch.look(Light, &ill);
    assert_eq!(watch.look(Light, &ill), ["opened 7 node-down x1"]);
    // Kubernetes takes 40 s to notice.
    watch.excused.insert("n2".parse().unwrap(), "NotReady".to_owned());
    // What quick looks guessed is known now, though nothing of it is new.
    assert_eq!(watch.look(Full, &ill), ["renamed 7 node-down x1"]);
    for _ in 0..5 {
        assert_eq!(watch.look(Full, &ill), QUIET);
    }
    watch.look(Light, &Seen::nodes(3));
    assert_eq!(watch.look(Light, &Seen::nodes(3)), ["closed 7 node-down x1"]);
}

#[test]
fn a_node_that_left_takes_its_incident_with_it() {
    let mut watch = Watch::new();
    let ill = Seen::nodes(3).fault("node-down", "n2");
    watch.look(Full, &ill);
    watch.look(Full, &ill);
    let report = Seen::nodes(2).report();
    let look = IncidentLook {
        report: &report,
        depth: Light,
        excused: &BTreeMap::new(),
    };
    let changes = watch.incidents.handle_look(look, watch.now);
    let [IncidentChange::Closed(closed)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!(closed.closed, Some((watch.now, Closing::NodeLeft)));
}

#[test]
fn an_observer_that_sees_hardly_anybody_doubts_itself() {
    let mut watch = Watch::new();
    watch.look(Full, &Seen::nodes(5));
    let cut_off = Seen::nodes(5)
        .absent("n1")
        .absent("n2")
        .absent("n3")
        .fault("node-down", "n1")
        .fault("node-down", "n2");
    for _ in 0..5 {
        assert_eq!(watch.look(Full, &cut_off), QUIET);
    }
    let doubt = watch.incidents.doubt().unwrap();
    assert!(
        doubt.why.starts_with("only 2 of 5 nodes are in sight"),
        "{}",
        doubt.why
    );
    assert_eq!(doubt.since, Moment(Duration::from_secs(2)));
    // One of three that is really gone leaves no doubt.
    let gone = Seen::nodes(3).absent("n1").fault("node-down", "n1");
    watch.look(Full, &gone);
    assert_eq!(watch.look(Full, &gone), ["opened 7 node-down x1"]);
    assert_eq!(watch.incidents.doubt(), None);
}

#[test]
fn an_incident_neither_ends_nor_stays_for_ever_where_nobody_can_look() {
    let mut watch = Watch::new();
    let ill = Seen::nodes(4).fault("overlay-device-down", "n2");
    watch.look(Full, &ill);
    watch.look(Full, &ill);
    let blind = Seen::nodes(4).absent("n2");
    for _ in 0..10 {
        assert_eq!(watch.look(Light, &blind), QUIET);
    }
    assert_eq!(watch.incidents.open().count(), 1);
    watch.wait(120);
    assert_eq!(watch.look(Light, &blind), ["closed 7 overlay-device-down x1"]);
}
