//! Which agents stand, and why the others do not: an index over pods, their events and their DaemonSets.
//!
//! Whoever watches the cluster feeds every object to [`Standing`], in any order and as often as it likes. There is no
//! clock in here: what repeats is told by how often Kubernetes counted it, and how long to wait is the caller's to say.

mod agent_state;
mod container;
mod daemon_set;
mod event;
mod place;
mod pod;
mod words;

use std::collections::{BTreeMap, HashMap, HashSet};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use mesh_proto::{AgentKey, NodeName, Plane};

pub use self::agent_state::AgentState;
use self::agent_state::stuck;
use self::daemon_set::DaemonSetNote;
use self::event::Events;
use self::place::{Place, insert_newer};
use self::pod::{PodNote, Sight, id, supersedes};

impl AgentState {
    /// Whether it is stuck for want of its image.
    pub fn lacks_image(&self) -> bool {
        let reason = |why: &str| container::NO_IMAGE.iter().any(|reason| why.starts_with(reason));
        matches!(self, Self::Stuck { why, .. } if reason(why))
    }
}

/// How often the runtime or the CNI must fail to make a sandbox before it counts: a CNI that has just started fails once.
const SANDBOX_FAILURES: u64 = 2;
/// The kubelet fails once or twice to mount what it has not yet heard of, half a second apart.
const MOUNT_FAILURES: u64 = 3;
/// How often a refusal that may pass (a webhook that is not up) must repeat. The DaemonSet controller tries again after
/// 5 ms, 10 ms, ... up to a second or more: these are some seconds.
const PASSING_REFUSALS: u64 = 8;

/// How far all agents are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many are up.
    pub up: usize,
    /// How many will hardly come up.
    pub stuck: usize,
    /// How many should be.
    pub all: usize,
}

impl Summary {
    /// Whether nothing more is to be expected: every agent is up or stuck.
    pub fn is_settled(self) -> bool {
        self.up + self.stuck == self.all
    }

    /// Whether nothing is left to wait for.
    pub fn is_complete(self) -> bool {
        self.up == self.all
    }
}

/// The agents that should stand, and what was heard of each.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    places: BTreeMap<AgentKey, Place>,
    /// Every pod of ours that is there, also on nodes where none is expected: by its uid, in each plane.
    alive: HashMap<Plane, HashMap<String, NodeName>>,
    /// Uids of pods that are gone: a late update must not bring one back.
    gone: HashSet<String>,
    daemon_sets: BTreeMap<String, DaemonSetNote>,
    events: Events,
    not_ready: HashMap<NodeName, String>,
    progress: u64,
}

impl Standing {
    /// An index that has heard nothing yet of the agents that should stand.
    pub fn new(expected: impl IntoIterator<Item = AgentKey>) -> Self {
        Self {
            places: expected.into_iter().map(|key| (key, Place::default())).collect(),
            ..Self::default()
        }
    }

    /// A pod was added or changed. Of each uid the latest resourceVersion counts, of an agent's pods the newest.
    pub fn pod(&mut self, pod: &Pod) {
        let Some((uid, note)) = self.noted(pod) else {
            return;
        };
        if self.gone.contains(&uid) {
            return;
        }
        let key = &note.key;
        self.alive
            .entry(key.plane)
            .or_default()
            .insert(uid.clone(), key.node.clone());
        let Some(place) = self.places.get_mut(key) else {
            return;
        };
        self.progress += place.reached(note.stage);
        insert_newer(&mut place.pods, uid, note);
    }

    /// A pod was deleted.
    pub fn pod_gone(&mut self, pod: &Pod) {
        // Its last words count, also where they were not heard before.
        let _ = self.noted(pod);
        if let Some(uid) = id(&pod.metadata) {
            self.forget(uid);
        }
    }

    /// The pods of the run as just listed anew: those that are not among them are gone (a watch that broke off may have
    /// missed their end).
    pub fn pods_listed<'a>(&mut self, pods: impl IntoIterator<Item = &'a Pod>) {
        let mut missing: HashSet<String> = self
            .alive
            .values()
            .flat_map(|pods| pods.keys().cloned())
            .collect();
        for pod in pods {
            if let Some(uid) = id(&pod.metadata) {
                missing.remove(&uid);
            }
            self.pod(pod);
        }
        for uid in missing {
            self.forget(uid);
        }
    }

    /// An event of the namespace, about whatever. Those about pods and DaemonSets of ours count, also where they are
    /// heard of before the object.
    pub fn event(&mut self, event: &Event) {
        let Some((about, stage)) = self.events.note(event) else {
            return;
        };
        let found = self
            .alive
            .iter()
            .find_map(|(plane, pods)| Some((*plane, pods.get(&about)?.clone())));
        let Some((plane, node)) = found else { return };
        if let Some(place) = self.places.get_mut(&AgentKey { node, plane }) {
            self.progress += place.reached(stage);
        }
    }

    /// A DaemonSet of the run was added or changed. Without it nothing is known of why pods were refused: events name
    /// the DaemonSet, and only its label says which plane that is.
    pub fn daemon_set(&mut self, set: &DaemonSet) {
        let (Some(uid), Some(note)) = (id(&set.metadata), DaemonSetNote::read(set)) else {
            return;
        };
        if self
            .daemon_sets
            .get(&uid)
            .is_none_or(|known| supersedes(&note.version, &known.version))
        {
            self.daemon_sets.insert(uid, note);
        }
    }

    /// A node is not ready, and what it or the control plane says of it. Agents that do not run there yet are stuck; but
    /// where only the pod network is missing, the host plane needs none.
    pub fn node_not_ready(&mut self, node: &NodeName, why: &str) {
        self.not_ready.insert(node.clone(), words::line(why));
    }

    /// Where an agent is on its way.
    pub fn state(&self, key: &AgentKey) -> AgentState {
        let Some(place) = self.places.get(key) else {
            return AgentState::Stuck {
                why: "no agent is expected here".into(),
                log_of: None,
            };
        };
        let current = place.current();
        if let Some((_, note)) = current
            && let Some(up) = note.up()
        {
            return up;
        }
        if let Some(why) = self.not_ready.get(&key.node)
            && (key.plane == Plane::Pod || !words::is_about_pod_network(why))
        {
            return stuck(words::line(&format!("node not ready: {why}")));
        }
        match current {
            Some((uid, note)) => self.not_up(place, uid, note),
            None => place
                .failed_often()
                .unwrap_or_else(|| self.without_pod(key.plane, place)),
        }
    }

    fn not_up(&self, place: &Place, uid: &str, note: &PodNote) -> AgentState {
        let heard = self.events.about(uid);
        let (what, status_says) = match &note.sight {
            Sight::Failed(why) => return stuck(why.clone()),
            Sight::Stuck { why, log } if !note.leaving => {
                return AgentState::Stuck {
                    why: why.clone(),
                    log_of: log.then(|| note.name.clone()),
                };
            }
            Sight::NoImage { reason, image, why } if !note.leaving => {
                let why = why
                    .as_deref()
                    .or_else(|| heard.pull_failure())
                    .unwrap_or_default();
                return stuck(words::no_image(reason, image, why));
            }
            Sight::Coming { what, telling } => (what.as_str(), *telling),
            _ => ("its pod is being deleted", true),
        };
        if let Some(often) = place.failed_often() {
            return often;
        }
        // Volumes are mounted before the sandbox is made, so both are over once it stands.
        if !note.sandbox && !note.leaving {
            let repeated = heard
                .no_sandbox(SANDBOX_FAILURES)
                .or_else(|| heard.no_mount(MOUNT_FAILURES));
            if let Some(why) = repeated {
                return stuck(why.to_owned());
            }
        }
        let what = if status_says {
            what
        } else {
            heard.latest().unwrap_or(what)
        };
        AgentState::Coming {
            what: place.after_failure(what),
        }
    }

    fn without_pod(&self, plane: Plane, at: &Place) -> AgentState {
        let mut what = "no pod yet";
        for (uid, set) in self.daemon_sets.iter().filter(|(_, set)| set.plane == plane) {
            if let Some(refusal) = self.events.about(uid).refusal() {
                if !refusal.may_pass || refusal.count >= PASSING_REFUSALS {
                    return stuck(refusal.words.to_owned());
                }
                what = refusal.words;
            } else if set.wants.is_none() {
                what = "no pod yet: the controller of DaemonSets (kube-controller-manager) has not looked at its own";
            }
            if set
                .wants
                .is_some_and(|wants| wants <= self.alive.get(&plane).map_or(0, HashMap::len))
            {
                return stuck(
                    "its DaemonSet wants no pod on this node: node selector, affinity or tolerations leave it out"
                        .into(),
                );
            }
        }
        AgentState::Coming {
            what: at.after_failure(what),
        }
    }

    /// Grows whenever an agent got farther than it ever was: pod made, bound to its node, sandbox, image, started, up.
    /// What fails over and over is no progress, so this number has an end.
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// How far they are, all together.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            all: self.places.len(),
            ..Summary::default()
        };
        for key in self.places.keys() {
            match self.state(key) {
                AgentState::Up { .. } => summary.up += 1,
                AgentState::Stuck { .. } => summary.stuck += 1,
                AgentState::Coming { .. } => {}
            }
        }
        summary
    }

    /// Why a plane has no pod at all: admission refuses them for good.
    pub fn refusal(&self, plane: Plane) -> Option<&str> {
        if self.alive.get(&plane).is_some_and(|pods| !pods.is_empty()) {
            return None;
        }
        let sets = self.daemon_sets.iter().filter(|(_, set)| set.plane == plane);
        let refusals = sets.filter_map(|(uid, _)| self.events.about(uid).refusal());
        let mut for_good = refusals.filter(|refusal| !refusal.may_pass);
        for_good.next().map(|refusal| refusal.words)
    }

    /// Reads a pod of ours, and keeps in mind that it failed.
    fn noted(&mut self, pod: &Pod) -> Option<(String, PodNote)> {
        let (uid, note) = (id(&pod.metadata)?, PodNote::read(pod)?);
        if let (Sight::Failed(_), Some(place)) = (&note.sight, self.places.get_mut(&note.key)) {
            insert_newer(&mut place.failed, uid.clone(), note.clone());
        }
        Some((uid, note))
    }

    fn forget(&mut self, uid: String) {
        for (plane, pods) in &mut self.alive {
            if let Some(node) = pods.remove(&uid)
                && let Some(place) = self.places.get_mut(&AgentKey { node, plane: *plane })
            {
                place.pods.remove(&uid);
            }
        }
        self.events.forget(&uid);
        self.gone.insert(uid);
    }
}

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod tests;
