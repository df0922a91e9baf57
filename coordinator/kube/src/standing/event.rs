//! What events say: of a pod that has trouble before its containers do, and of a DaemonSet that may make no pods.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Event;

use super::pod::{id, stage, supersedes};
use super::words;

/// Events by the uid of what they are about.
#[derive(Debug, Clone, Default)]
pub(super) struct Events(HashMap<String, BTreeMap<String, EventNote>>);

#[derive(Debug, Clone)]
struct EventNote {
    version: String,
    kind: Kind,
    count: u64,
    words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The runtime or the CNI could not make the sandbox.
    Sandbox,
    /// A volume could not be mounted.
    Mount,
    /// The image could not be pulled; `words` are the puller's.
    Pull,
    /// The DaemonSet controller was not allowed to make a pod.
    Refusal { may_pass: bool },
    /// Anything else about a pod.
    Other,
}

/// What was heard about one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a>(Option<&'a BTreeMap<String, EventNote>>);

/// Pods were refused.
#[derive(Debug, Clone)]
pub(super) struct Refusal<'a> {
    pub(super) words: &'a str,
    /// How often, as far as Kubernetes counted.
    pub(super) count: u64,
    /// It may be over in a moment.
    pub(super) may_pass: bool,
}

impl Events {
    /// Takes an event in; the uid of what it is about, and how far a pod is that it is said of.
    pub(super) fn note(&mut self, event: &Event) -> Option<(String, u8)> {
        let about = event.involved_object.uid.clone().filter(|uid| !uid.is_empty())?;
        let reason = event.reason.as_deref().unwrap_or_default();
        // That a node was found is no reason why nothing runs there.
        if reason == "Scheduled" {
            return None;
        }
        let message = words::said_once(event.message.as_deref().unwrap_or_default());
        let (kind, words) = match event.involved_object.kind.as_deref()? {
            "Pod" => of_pod(reason, message),
            "DaemonSet" if reason == "FailedCreate" => of_daemon_set(reason, message),
            _ => return None,
        };
        let series = event.series.as_ref().and_then(|series| series.count);
        let count = event
            .count
            .max(series)
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or(1)
            .max(1);
        let version = event.metadata.resource_version.clone().unwrap_or_default();
        let notes = self.0.entry(about.clone()).or_default();
        let id = id(&event.metadata)?;
        if notes
            .get(&id)
            .is_none_or(|known| supersedes(&version, &known.version))
        {
            notes.insert(
                id,
                EventNote {
                    version,
                    kind,
                    count,
                    words,
                },
            );
        }
        let stage = match reason {
            "Pulling" => stage::PULLING,
            "Pulled" => stage::PULLED,
            "Started" => stage::STARTED,
            _ => 0,
        };
        Some((about, stage))
    }

    pub(super) fn about(&self, uid: &str) -> Heard<'_> {
        Heard(self.0.get(uid))
    }

    pub(super) fn forget(&mut self, uid: &str) {
        self.0.remove(uid);
    }
}

fn of_pod(reason: &str, message: &str) -> (Kind, String) {
    match reason {
        "FailedCreatePodSandBox" => (Kind::Sandbox, words::sandbox(reason, message)),
        // The kubelet does not even ask for a sandbox while the runtime says that there is no CNI.
        "NetworkNotReady" => (Kind::Sandbox, words::said(reason, message)),
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" if !words::kubelet_waits(message) => {
            (Kind::Mount, words::said(reason, message))
        }
        "Failed" if message.starts_with("Failed to pull image") => {
            (Kind::Pull, words::puller(message).unwrap_or_default())
        }
        _ => (Kind::Other, words::said(reason, message)),
    }
}

fn of_daemon_set(reason: &str, message: &str) -> (Kind, String) {
    let message = message.strip_prefix("Error creating: ").unwrap_or(message);
    // Admission says no for good with these words; everything else (a webhook or API server that does not answer) is
    // tried again. In a new namespace the service account and the quota's count come a moment after the DaemonSet.
    let denied = message.contains("is forbidden") || message.contains("denied the request");
    let too_early =
        message.contains("error looking up service account") || message.contains("status unknown for quota");
    (
        Kind::Refusal {
            may_pass: !denied || too_early,
        },
        words::said(reason, message),
    )
}

impl<'a> Heard<'a> {
    fn notes(self) -> impl Iterator<Item = (&'a String, &'a EventNote)> {
        self.0.into_iter().flatten()
    }

    /// The newest of a kind, and how often such was said in all: the kubelet makes a new event for each new text.
    fn newest(self, kind: impl Fn(Kind) -> bool) -> Option<(&'a EventNote, u64)> {
        let of_kind = || self.notes().filter(|(_, note)| kind(note.kind));
        let (_, newest) = of_kind().max_by_key(|(id, note)| (note.version.parse::<u64>().ok(), *id))?;
        Some((newest, of_kind().map(|(_, note)| note.count).sum()))
    }

    fn repeated(self, kind: Kind, times: u64) -> Option<&'a str> {
        let (note, count) = self.newest(|of| of == kind)?;
        (count >= times).then_some(note.words.as_str())
    }

    /// Why there is no sandbox, if that failed so often.
    pub(super) fn no_sandbox(self, times: u64) -> Option<&'a str> {
        self.repeated(Kind::Sandbox, times)
    }

    /// Why a volume is not mounted, if that failed so often.
    pub(super) fn no_mount(self, times: u64) -> Option<&'a str> {
        self.repeated(Kind::Mount, times)
    }

    /// The puller's last message.
    pub(super) fn pull_failure(self) -> Option<&'a str> {
        self.repeated(Kind::Pull, 1)
    }

    /// The last thing heard of it.
    pub(super) fn latest(self) -> Option<&'a str> {
        Some(self.newest(|_| true)?.0.words.as_str())
    }

    /// Why no pod may be made. A refusal for good counts before one that may pass.
    pub(super) fn refusal(self) -> Option<Refusal<'a>> {
        [false, true].into_iter().find_map(|may_pass| {
            let (note, count) = self.newest(|kind| kind == Kind::Refusal { may_pass })?;
            Some(Refusal {
                words: &note.words,
                count,
                may_pass,
            })
        })
    }
}
