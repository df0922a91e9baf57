//! What was heard of one expected agent.

use std::collections::BTreeMap;

use super::agent_state::{AgentState, stuck};
use super::pod::{PodNote, Sight, supersedes};
use super::words;

/// So many pods that ended as failed are too many; the first may have met a kubelet that was just starting.
const FAILED_PODS: usize = 2;

/// An agent's place: its node and plane are the key that it is found by.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// By uid. More than one only while one replaces another.
    pub(super) pods: BTreeMap<String, PodNote>,
    /// Pods that ended as failed, gone or not, by uid: the DaemonSet controller deletes and replaces them within a
    /// second, and the reason would be lost with them.
    pub(super) failed: BTreeMap<String, PodNote>,
    /// The farthest that any pod here ever got.
    stage: u8,
}

impl Place {
    /// The pod to look at, with its uid.
    pub(super) fn current(&self) -> Option<(&str, &PodNote)> {
        newest(&self.pods)
    }

    /// A pod got to a stage; how much farther than ever before that is.
    pub(super) fn reached(&mut self, stage: u8) -> u64 {
        let farther = stage.saturating_sub(self.stage);
        self.stage = self.stage.max(stage);
        farther.into()
    }

    /// Stuck, if pods failed again and again.
    pub(super) fn failed_often(&self) -> Option<AgentState> {
        let why = self.last_failure().filter(|_| self.failed.len() >= FAILED_PODS)?;
        Some(stuck(words::line(&format!(
            "{why} ({} pods failed so far)",
            self.failed.len()
        ))))
    }

    /// What is heard now, and that a pod failed before.
    pub(super) fn after_failure(&self, what: &str) -> String {
        self.last_failure().map_or_else(
            || what.to_owned(),
            |why| words::line(&format!("{what} (the pod before failed: {why})")),
        )
    }

    fn last_failure(&self) -> Option<&str> {
        match &newest(&self.failed)?.1.sight {
            Sight::Failed(why) => Some(why),
            _ => None,
        }
    }
}

fn newest(pods: &BTreeMap<String, PodNote>) -> Option<(&str, &PodNote)> {
    let newest = pods.iter().max_by_key(|(uid, note)| (note.rank(), *uid))?;
    Some((newest.0.as_str(), newest.1))
}

/// Notes a pod unless a newer version of it is known.
pub(super) fn insert_newer(notes: &mut BTreeMap<String, PodNote>, uid: String, note: PodNote) {
    if notes
        .get(&uid)
        .is_none_or(|known| supersedes(&note.version, &known.version))
    {
        notes.insert(uid, note);
    }
}
