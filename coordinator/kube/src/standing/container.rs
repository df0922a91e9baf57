//! What a pod's containers say.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, PodSpec, PodStatus};

use super::pod::Sight;
use super::words;

/// The kubelet's reasons for a container that has no image (`pkg/kubelet/images/types.go`).
pub(super) const NO_IMAGE: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// The kubelet's reasons for a container that could not be made or started (`pkg/kubelet/container/sync_result.go`,
/// `pkg/kubelet/kuberuntime/kuberuntime_container.go`).
const NO_CONTAINER: [&str; 6] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
];

/// Init containers first: the others wait for them.
fn all(status: &PodStatus) -> impl Iterator<Item = (&ContainerStatus, bool)> {
    let init = status
        .init_container_statuses
        .iter()
        .flatten()
        .map(|container| (container, true));
    init.chain(
        status
            .container_statuses
            .iter()
            .flatten()
            .map(|container| (container, false)),
    )
}

/// The first trouble of a container, if there is one.
pub(super) fn trouble(spec: &PodSpec, status: &PodStatus) -> Option<Sight> {
    let found: Vec<Sight> = all(status)
        .filter_map(|(one, init)| trouble_of(spec, one, init))
        .collect();
    // A container that ended for the first time must not hide another that is stuck.
    let stuck = found
        .iter()
        .position(|sight| !matches!(sight, Sight::Coming { .. }));
    found.into_iter().nth(stuck.unwrap_or(0))
}

fn trouble_of(spec: &PodSpec, one: &ContainerStatus, init: bool) -> Option<Sight> {
    let state = one.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let message = waiting.message.as_deref().unwrap_or_default();
        if NO_IMAGE.contains(&reason) {
            let image = image_of(spec, one);
            return Some(Sight::NoImage {
                reason: reason.to_owned(),
                image,
                why: words::puller(message),
            });
        }
        if words::kubelet_waits(message) {
            return Some(Sight::Coming {
                what: words::said(reason, message),
                telling: true,
            });
        }
        if NO_CONTAINER.contains(&reason) {
            return Some(Sight::Stuck {
                why: words::said_to_the_end(reason, message),
                log: false,
            });
        }
        if reason == "CrashLoopBackOff" {
            let last = one.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            let why = last.map_or_else(|| words::said(reason, message), |end| ends(reason, one, end));
            return Some(Sight::Stuck {
                why,
                log: last.is_none_or(ran),
            });
        }
        return None;
    }
    let end = state.terminated.as_ref()?;
    if init && end.exit_code == 0 {
        return None;
    }
    let why = ends(end.reason.as_deref().unwrap_or("Error"), one, end);
    let again = one.restart_count > 0
        || one
            .last_state
            .as_ref()
            .is_some_and(|last| last.terminated.is_some());
    Some(if again {
        Sight::Stuck { why, log: ran(end) }
    } else {
        Sight::Coming {
            what: why,
            telling: true,
        }
    })
}

/// Whether it ran at all: one that could not be started has no log.
fn ran(end: &ContainerStateTerminated) -> bool {
    !matches!(
        end.reason.as_deref(),
        Some("StartError" | "ContainerCannotRun" | "CreateContainerError")
    )
}

fn ends(reason: &str, one: &ContainerStatus, end: &ContainerStateTerminated) -> String {
    let restarts = match one.restart_count {
        0 => String::new(),
        1 => ", restarted once".into(),
        n => format!(", restarted {n} times"),
    };
    words::line_to_the_end(&format!(
        "{reason}: {}{restarts}{}",
        ended(reason, one, end),
        message(end)
    ))
}

fn ended(said_already: &str, one: &ContainerStatus, end: &ContainerStateTerminated) -> String {
    // A shell and runc report a death by signal n as exit code 128 + n.
    let signal = end
        .signal
        .or_else(|| Some(end.exit_code - 128).filter(|n| (1..=64).contains(n)));
    let signal = signal.map(|n| format!(" (signal {n})")).unwrap_or_default();
    let reason = end
        .reason
        .as_deref()
        .filter(|reason| *reason != said_already && *reason != "Error");
    let reason = reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    format!(
        "container {} ended with exit code {}{signal}{reason}",
        one.name, end.exit_code
    )
}

fn message(end: &ContainerStateTerminated) -> String {
    let text = end
        .message
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

/// How the first container that ended did so, in words.
pub(super) fn last_end(status: &PodStatus) -> Option<String> {
    all(status).find_map(|(one, _)| {
        let end = one
            .state
            .as_ref()?
            .terminated
            .as_ref()
            .filter(|end| end.exit_code != 0)?;
        Some(format!("{}{}", ended("", one, end), message(end)))
    })
}

/// Why the first container that waits does so.
pub(super) fn waiting_reason(status: &PodStatus) -> Option<&str> {
    all(status).find_map(|(one, _)| one.state.as_ref()?.waiting.as_ref()?.reason.as_deref())
}

/// Whether any container ever ran.
pub(super) fn any_started(status: &PodStatus) -> bool {
    all(status).any(|(one, _)| {
        let both = [one.state.as_ref(), one.last_state.as_ref()];
        both.into_iter()
            .flatten()
            .any(|state| state.running.is_some() || state.terminated.as_ref().is_some_and(ran))
    })
}

/// The image as asked for: the status may show a digest in its place.
fn image_of(spec: &PodSpec, one: &ContainerStatus) -> String {
    let mut specs = spec.init_containers.iter().flatten().chain(&spec.containers);
    let asked = specs
        .find(|container| container.name == one.name)
        .and_then(|container| container.image.clone());
    asked.unwrap_or_else(|| one.image.clone())
}
