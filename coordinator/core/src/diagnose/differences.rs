//! What the kernel of a node at fault says beside that of a healthy one, only where they differ.

use mesh_proto::HostFacts;

use super::place::node_name;
use super::scene::Scene;

/// Enough for a clue; the rest is a matter for `mesh probe facts` and `diff`.
const SHOWN: usize = 5;

/// A few lines that differ between a suspect and a node that is well.
pub(super) fn differences(scene: &Scene<'_>) -> Vec<String> {
    let suspects = scene.suspects();
    let Some((node, facts)) = suspects.iter().find_map(|node| Some((*node, scene.host(*node)?))) else {
        return Vec::new();
    };
    let mut healthy = scene.nodes().filter(|other| !suspects.contains(other));
    let Some((other, theirs)) = healthy.find_map(|other| Some((other, scene.host(other)?))) else {
        return Vec::new();
    };
    let (name, other) = (node_name(scene.model, node), node_name(scene.model, other));
    let differing = facts
        .sysctls
        .iter()
        .filter(|(name, _)| decides(name))
        .filter_map(|(sysctl, value)| {
            let healthy = theirs.sysctl(sysctl)?;
            (healthy != value).then(|| format!("{sysctl} = {value} on {name}, {healthy} on {other}."))
        });
    let mut lines: Vec<String> = differing.collect();
    lines.extend(
        links_down(facts, theirs)
            .into_iter()
            .map(|link| format!("{link} is down on {name}, and up on {other}.")),
    );
    lines.truncate(SHOWN);
    lines
}

/// Sysctls by which packets pass or not; counters and sizes differ between all machines.
fn decides(name: &str) -> bool {
    [
        "forward",
        "rp_filter",
        "route_localnet",
        "arp_",
        "bridge-nf",
        "disable_ipv6",
        "accept_local",
    ]
    .iter()
    .any(|part| name.contains(part))
}

fn links_down<'a>(facts: &'a HostFacts, theirs: &HostFacts) -> Vec<&'a str> {
    let down = facts.links.iter().filter(|link| !link.up);
    down.filter(|link| theirs.link(&link.name).is_some_and(|link| link.up))
        .map(|link| link.name.as_str())
        .collect()
}
