//! Kubernetes' own words, cut to what matters: one line, no control characters, no more than [`LONGEST`] characters.

/// A line of a report; longer texts lose their end or their middle.
pub(super) const LONGEST: usize = 300;
/// What stays of the beginning where the end matters more.
const HEAD: usize = 120;

/// One line of it, the beginning if it is long.
pub(super) fn line(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some(_) => text.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// One line of it, the beginning and the end if it is long: errors of Go wrap their cause, which stands last.
pub(super) fn line_to_the_end(text: &str) -> String {
    let text = clean(text);
    let long = text.chars().count();
    if long <= LONGEST {
        return text;
    }
    let tail = LONGEST - HEAD - " … ".chars().count();
    let head: String = text.chars().take(HEAD).collect();
    let end: String = text.chars().skip(long - tail).collect();
    format!("{} … {}", head.trim_end(), end.trim_start())
}

/// A reason and what is said with it.
pub(super) fn said(reason: &str, message: &str) -> String {
    line(&with_reason(reason, message))
}

/// The same, where the end of the message matters most.
pub(super) fn said_to_the_end(reason: &str, message: &str) -> String {
    line_to_the_end(&with_reason(reason, message))
}

fn with_reason(reason: &str, message: &str) -> String {
    if message.trim().is_empty() {
        reason.to_owned()
    } else {
        format!("{reason}: {message}")
    }
}

/// A message without the note that it stands for many (client-go, `tools/record/events_cache.go`).
pub(super) fn said_once(message: &str) -> &str {
    message
        .strip_prefix("(combined from similar events): ")
        .unwrap_or(message)
}

/// Why an image did not come, in the runtime's words without what they are wrapped in; nothing if they are only wrapping.
pub(super) fn puller(message: &str) -> Option<String> {
    const WRAPPING: [&str; 3] = [
        "ErrImagePull: ",
        "failed to resolve image: ",
        "failed to do request: ",
    ];
    const NAMING: [&str; 4] = [
        "Back-off pulling image \"",
        "Failed to pull image \"",
        "failed to pull and unpack image \"",
        "failed to resolve reference \"",
    ];
    let text = clean(message);
    let mut rest = without_rpc(&text);
    let mut image = None;
    loop {
        let named = NAMING.iter().find_map(|start| {
            let (name, after) = rest.strip_prefix(start)?.split_once('"')?;
            Some((name, after.trim_start_matches(':').trim_start()))
        });
        let inner = WRAPPING.iter().find_map(|start| rest.strip_prefix(start));
        let again = image.and_then(|image: &str| rest.strip_prefix(image)?.strip_prefix(": "));
        if let Some((name, after)) = named {
            (image, rest) = (Some(name), without_rpc(after));
        } else if let Some(after) = inner.or(again) {
            rest = without_rpc(after);
        } else {
            break;
        }
    }
    (!rest.is_empty()).then(|| line_to_the_end(rest))
}

/// Why there is no image, naming it.
pub(super) fn no_image(reason: &str, image: &str, why: &str) -> String {
    said_to_the_end(&format!("{reason}: image {image}"), why)
}

/// The scheduler's words. A DaemonSet's pod can go to one node only, so what it says of preempting others is left out.
pub(super) fn scheduler(reason: &str, message: &str) -> String {
    let end = [" no new claims to deallocate", " preemption:"]
        .iter()
        .filter_map(|tail| message.find(tail))
        .min();
    let message = message.get(..end.unwrap_or(message.len())).unwrap_or(message);
    let message = message.trim_end_matches([' ', '.', ',']);
    let message = if matches!(reason, "" | "Unschedulable") && !message.is_empty() {
        message.to_owned()
    } else {
        with_reason(reason, message)
    };
    said("Pending", &message)
}

/// Why there is no sandbox: the runtime's or the CNI's words, without the sandbox's number, which is new each time.
pub(super) fn sandbox(reason: &str, message: &str) -> String {
    let text = clean(message);
    let rest = text
        .strip_prefix("Failed to create pod sandbox: ")
        .unwrap_or(&text);
    // `sandbox "6d7c...": no runtime` becomes `sandbox: no runtime`.
    let mut kept = String::new();
    for (at, part) in without_rpc(rest).split('"').enumerate() {
        let quoted = at % 2 == 1;
        match (quoted, is_sandbox_number(part)) {
            (true, true) => kept.truncate(kept.trim_end().len()),
            (true, false) => kept.extend(["\"", part, "\""]),
            (false, _) => kept.push_str(part),
        }
    }
    said_to_the_end(reason, &kept)
}

fn is_sandbox_number(part: &str) -> bool {
    part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a node's words say that only its pod network is missing (the kubelet's `NetworkPluginNotReady`): pods in the
/// node's own network start all the same.
pub(super) fn is_about_pod_network(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    [
        "networkpluginnotready",
        "networkready=false",
        "network plugin",
        "cni plugin",
        "networkunavailable",
    ]
    .iter()
    .any(|mark| why.contains(mark))
}

/// Without gRPC's `rpc error: code = NotFound desc = `.
fn without_rpc(text: &str) -> &str {
    let inner = |text| {
        str::strip_prefix(text, "rpc error: code = ")?
            .split_once(" desc = ")
            .map(|(_, rest)| rest)
    };
    let mut rest = text;
    while let Some(after) = inner(rest) {
        rest = after;
    }
    rest
}

/// Whether the kubelet only waits for the API server to tell it of a Secret or ConfigMap, and tries again
/// (`pkg/kubelet/util/manager/watch_based_manager.go`): after an API server's restart its watches take some seconds to come back.
pub(super) fn kubelet_waits(message: &str) -> bool {
    message.contains("failed to sync ") && message.contains(" cache: timed out waiting for the condition")
}

/// One line without control characters, and without the marks that turn a terminal's text around or hide in it.
fn clean(text: &str) -> String {
    let hidden = |c: &char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let plain: String = text
        .chars()
        .filter(|c| !hidden(c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
