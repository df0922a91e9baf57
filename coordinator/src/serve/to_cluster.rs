//! What is written to the cluster, each where it was asked for: Events of incidents, conditions of nodes, startup taints that
//! are taken away. Only who leads writes.
//!
//! Two tasks, which live in the server's `JoinSet`: Events come from a queue, one after the other; nodes follow the last look,
//! and miss what was in between. Dropping either loses what was not written yet.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh_core::{ConditionConfig, ConditionWrite, NodeConditions, NodeReach};
use mesh_kube::{
    CONDITION, ClusterEvent, Kube, NodeCondition, STARTUP_TAINT, remove_startup_taint, write_condition,
    write_event,
};
use mesh_proto::{NodeName, Severity};
use tokio::sync::{mpsc, watch};

use super::notice::{Notice, NoticeKind};
use super::{Metrics, Standing};
use crate::cli;
use crate::drive::Clock;

/// The name that metrics give Events.
pub(crate) const EVENTS: &str = "events";
/// An incident is told of so many of its nodes.
const NODES_TOLD: usize = 10;

/// What is known of nodes after a look.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodesSeen {
    pub(crate) reach: BTreeMap<NodeName, NodeReach>,
    /// Why the coordinator does not trust what it sees, if it does not.
    pub(crate) doubt: Option<String>,
    /// Nodes that have the startup taint.
    pub(crate) tainted: BTreeSet<NodeName>,
}

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) conditions: bool,
    pub(crate) startup_taint: bool,
    /// It is said, and not done.
    pub(crate) pretend: bool,
}

/// Writes to a cluster.
#[derive(Debug, Clone)]
pub(crate) struct ToCluster {
    pub(crate) kube: Kube,
    /// The server's own.
    pub(crate) namespace: String,
    /// This server.
    pub(crate) instance: String,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) wanted: Wanted,
}

impl ToCluster {
    /// Writes an Event for each incident's node, until nobody puts anything in any more.
    pub(crate) async fn tell_all(
        self,
        mut notices: mpsc::Receiver<Notice>,
        metrics: std::sync::Arc<Metrics>,
    ) {
        let (mut is_well, mut told) = (true, BTreeSet::new());
        while let Some(notice) = notices.recv().await {
            if !is_to_be_told(&notice, &mut told) {
                continue;
            }
            for event in events(&notice, &self.instance) {
                if self.wanted.pretend {
                    let of = event.node.as_ref().map_or("the cluster", |node| node.as_str());
                    cli::tell(format_args!(
                        "an Event of {of} would be written: {}: {}",
                        event.reason, event.note
                    ));
                    continue;
                }
                if !self.standing.borrow().may_write() {
                    metrics.notice(EVENTS, false);
                    continue;
                }
                let told = write_event(&self.kube, &self.namespace, &event).await;
                metrics.notice(EVENTS, told.is_ok());
                say_once(&mut is_well, told.err());
            }
        }
    }

    /// Writes conditions and takes taints away, after each look, until there are none any more.
    pub(crate) async fn follow_nodes(self, mut seen: watch::Receiver<NodesSeen>) {
        let (clock, mut is_well, mut held_back) = (Clock::start(), true, None);
        let mut conditions = NodeConditions::new(ConditionConfig::default());
        while seen.changed().await.is_ok() {
            let nodes = seen.borrow_and_update().clone();
            let step = conditions.handle_look(&nodes.reach, nodes.doubt.as_deref(), clock.now());
            if step.held_back != held_back {
                held_back.clone_from(&step.held_back);
                if let Some(why) = &held_back {
                    cli::tell(format_args!("nodes stay as they are: {why}"));
                }
            }
            if step.held_back.is_some() {
                continue;
            }
            for write in step.writes.iter().filter(|_| self.wanted.conditions) {
                let is_done = self.condition(write, &mut is_well).await;
                conditions.handle_written(write, is_done, clock.now());
            }
            if self.wanted.startup_taint {
                self.untaint(&nodes, &mut is_well).await;
            }
        }
    }

    async fn condition(&self, write: &ConditionWrite, is_well: &mut bool) -> bool {
        let condition = condition(write);
        if self.wanted.pretend {
            if write.is_change {
                cli::tell(format_args!(
                    "the condition {CONDITION} of {} would be written: {}: {}",
                    write.node, condition.reason, condition.message
                ));
            }
            return true;
        }
        if !self.standing.borrow().may_write() {
            return false;
        }
        let written = write_condition(&self.kube, &write.node, &condition, Timestamp::now()).await;
        let is_done = written.is_ok();
        say_once(is_well, written.err());
        is_done
    }

    async fn untaint(&self, nodes: &NodesSeen, is_well: &mut bool) {
        let is_whole = |node: &&NodeName| nodes.reach.get(*node) == Some(&NodeReach::Reachable);
        for node in nodes.tainted.iter().filter(is_whole) {
            if self.wanted.pretend {
                cli::tell(format_args!(
                    "the taint {STARTUP_TAINT} of {node} would be taken away"
                ));
                continue;
            }
            if !self.standing.borrow().may_write() {
                return;
            }
            let removed = remove_startup_taint(&self.kube, node).await;
            if let Ok(true) = removed {
                cli::tell(format_args!(
                    "{node} is reachable: the taint {STARTUP_TAINT} is taken away"
                ));
            }
            say_once(is_well, removed.err());
        }
    }
}

/// An API server that is away, or says no, does so for a while: it is said once.
fn say_once(is_well: &mut bool, error: Option<mesh_kube::TellError>) {
    match error {
        None => *is_well = true,
        Some(error) if std::mem::take(is_well) => cli::tell(error),
        Some(_) => {}
    }
}

fn condition(write: &ConditionWrite) -> NodeCondition {
    let (is_reachable, reason, message) = match &write.reach {
        NodeReach::Reachable => (
            Some(true),
            "Reachable".to_owned(),
            "reachable from and to every other node".to_owned(),
        ),
        NodeReach::Unreachable { cause, words } => (Some(false), camel_case(cause.name()), words.clone()),
        NodeReach::Unknown(why) => (None, "NotKnown".to_owned(), why.clone()),
    };
    NodeCondition {
        is_reachable,
        reason,
        message,
        is_change: write.is_change,
    }
}

/// What only quick looks saw has a place that is a first guess, and an Event at a node that is not at fault is worse than a late
/// one: it waits until a whole look has named it. An end is told of what was told before.
fn is_to_be_told(notice: &Notice, told: &mut BTreeSet<u64>) -> bool {
    let id = notice.incident.id;
    if notice.what == NoticeKind::Closed {
        return told.remove(&id);
    }
    if notice.incident.named {
        told.insert(id);
    }
    notice.incident.named
}

/// One for each node at fault; one of the whole cluster where no single node is.
fn events(notice: &Notice, instance: &str) -> Vec<ClusterEvent> {
    let Notice { what, at, incident } = notice;
    let finding = &incident.finding;
    let is_over = *what == NoticeKind::Closed;
    let advice = finding.advice.first().filter(|_| !is_over);
    let note = match (is_over, advice) {
        (true, _) => {
            let why = incident
                .why_closed
                .as_deref()
                .unwrap_or("it is not seen any more");
            format!(
                "Incident {} is over: {why}. It was: {}",
                incident.id, finding.summary
            )
        }
        (false, None) => format!("Incident {}: {}", incident.id, finding.summary),
        (false, Some(next)) => format!("Incident {}: {} Next: {next}", incident.id, finding.summary),
    };
    let of = |node: Option<&NodeName>| ClusterEvent {
        node: node.cloned(),
        is_warning: !is_over,
        reason: match (is_over, finding.severity) {
            (true, _) => "NetworkRestored".to_owned(),
            (false, Severity::Failure | Severity::Warning) => camel_case(finding.cause.name()),
        },
        action: camel_case(what.name()),
        note: note.clone(),
        at: *at,
        instance: instance.to_owned(),
    };
    if finding.place.nodes.is_empty() {
        return vec![of(None)];
    }
    finding
        .place
        .nodes
        .iter()
        .take(NODES_TOLD)
        .map(|node| of(Some(node)))
        .collect()
}

/// `ip-forward-off` as `IpForwardOff`.
fn camel_case(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::http::tests::status;

    fn notice(what: NoticeKind) -> Notice {
        let mut incident = status().incidents[0].clone();
        incident.finding.advice = vec!["look at its power".to_owned()];
        Notice {
            what,
            at: Timestamp::UNIX_EPOCH,
            incident,
        }
    }

    #[test]
    fn an_incident_is_an_event_of_its_node_and_its_end_another() {
        let [event] = events(&notice(NoticeKind::Opened), "me").try_into().unwrap();
        assert_eq!(event.node.as_ref().map(NodeName::as_str), Some("<b>"));
        assert!(
            event.is_warning && event.reason == "NodeDown" && event.action == "Opened",
            "{event:?}"
        );
        assert!(event.note.contains("Next: look at its power"), "{event:?}");
        let [event] = events(&notice(NoticeKind::Closed), "me").try_into().unwrap();
        assert!(
            !event.is_warning && event.reason == "NetworkRestored",
            "{event:?}"
        );
        assert!(!event.note.contains("Next:"), "{event:?}");

        let mut wide = notice(NoticeKind::Opened);
        wide.incident.finding.place.nodes.clear();
        assert_eq!(events(&wide, "me").len(), 1);
        let names = (0..50).map(|number| format!("n{number}").parse().unwrap());
        wide.incident.finding.place.nodes = names.collect();
        assert_eq!(events(&wide, "me").len(), NODES_TOLD);
    }

    #[test]
    fn what_is_a_first_guess_is_told_once_it_is_named_and_its_end_only_then() {
        let mut told = BTreeSet::new();
        let mut guess = notice(NoticeKind::Opened);
        guess.incident.named = false;
        assert!(!is_to_be_told(&guess, &mut told));
        assert!(
            !is_to_be_told(&notice(NoticeKind::Closed), &mut told),
            "nobody knows of it"
        );
        assert!(!is_to_be_told(&guess, &mut told));
        assert!(is_to_be_told(&notice(NoticeKind::Named), &mut told));
        assert!(is_to_be_told(&notice(NoticeKind::Closed), &mut told));
        assert!(told.is_empty());
    }

    #[test]
    fn a_condition_says_the_cause_in_one_word() {
        let write = |reach| ConditionWrite {
            node: "a".parse().unwrap(),
            reach,
            is_change: true,
        };
        let down = condition(&write(NodeReach::Unreachable {
            cause: mesh_proto::Cause::IpForwardOff,
            words: "a does not forward".to_owned(),
        }));
        assert_eq!(
            (down.is_reachable, down.reason.as_str()),
            (Some(false), "IpForwardOff")
        );
        assert_eq!(condition(&write(NodeReach::Reachable)).is_reachable, Some(true));
        assert_eq!(
            condition(&write(NodeReach::Unknown("why".to_owned()))).is_reachable,
            None
        );
    }
}
