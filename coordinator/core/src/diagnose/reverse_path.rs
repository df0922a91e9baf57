//! `reverse-path-filter`: a kernel drops what comes by another device than its answer would leave by.

use mesh_proto::{HostFacts, Plane, Where};

use super::kernel::{is_strict, link_to};
use super::overlay::against_if;
use super::place::{in_words, node_name, where_to_look};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::Family;
use crate::round::CellIndex;

/// The counter of such packets (`LINUX_MIB_IPRPFILTER`).
const COUNTER: &str = "TcpExt.IPReversePathFilter";

/// Strict filtering at a node that gets packets by another way than it answers.
pub(super) fn reverse_path_filter(scene: &Scene<'_>) -> Opinion {
    if !matches!(
        scene.hypothesis.family,
        Family::Forward
            | Family::Overlay
            | Family::Routes
            | Family::Wire
            | Family::Bare
            | Family::Local
            | Family::Agent(_)
            | Family::Between(..)
            | Family::ApiService
    ) {
        return Opinion::Elsewhere;
    }
    let mut dropping = Vec::new();
    let mut evidence = Vec::new();
    let mut counted = true;
    let mut lax = 0_usize;
    for node in scene.nodes() {
        let Some(facts) = scene.host(node) else { continue };
        let Some((link, other)) = crooked(scene, node, facts) else {
            lax += 1;
            continue;
        };
        let count = facts.counters.get(COUNTER).copied().unwrap_or(0);
        counted &= count > 0;
        let name = node_name(scene.model, node);
        evidence.push(format!(
            "On {name}: net.ipv4.conf.{link}.rp_filter is strict, and what comes by {link} would be answered by {other}; {count} packets were dropped so ({COUNTER})."
        ));
        dropping.push(node);
    }
    let mut touched: Vec<NodeIndex> = dropping.clone();
    let suspects = scene.suspects();
    if scene.pair().is_none() {
        touched.retain(|node| suspects.contains(node));
    }
    if touched.is_empty() || !scene.covers(&touched) {
        return against_if(
            lax > 0,
            "strict reverse path filtering drops nothing there".to_owned(),
        );
    }
    let place = scene.narrowed(&touched);
    Case {
        proof: if counted { Proof::Shown } else { Proof::Fits },
        summary: format!("Strict reverse path filtering on {} drops packets that come by another way than it would answer.", in_words(&place)),
        evidence,
        advice: vec![
            format!("{}, loose instead of strict: sysctl -w net.ipv4.conf.all.rp_filter=2", where_to_look(&place)),
            format!("{}, whether it still drops: nstat -az TcpExtIPReversePathFilter", where_to_look(&place)),
            "Of the values of `all` and of the device the larger counts. Or make both ways the same: natOutgoing for the pod network, or routes that fit.".to_owned(),
        ],
        place: Where { direction: None, ..place },
    }
    .into()
}

/// A device by which packets come that would be answered by another, and strictly so: that device and the other. The route to
/// another node may lead by another device than the network that both are in; or packets of pods come with their own addresses,
/// where nothing translates them, while the way back is inside the overlay.
fn crooked(scene: &Scene<'_>, node: NodeIndex, facts: &HostFacts) -> Option<(String, String)> {
    scene.nodes().filter(|other| *other != node).find_map(|other| {
        let host = scene.address(other, Plane::Host)?;
        let network = facts
            .addresses
            .iter()
            .find(|of| of.address != host && of.network.contains(host))?;
        let arrives = network.link.as_str();
        let by = |address| link_to(facts, address).filter(|back| *back != arrives);
        let back = by(host).or_else(|| {
            let pod = scene
                .address(other, Plane::Pod)
                .filter(|_| is_from_pods_to(scene, node))?;
            by(pod)
        });
        let back = back.filter(|_| is_strict(facts, arrives))?;
        Some((arrives.to_owned(), back.to_owned()))
    })
}

/// Whether what fails at a node is what pods elsewhere send to its own address.
fn is_from_pods_to(scene: &Scene<'_>, node: NodeIndex) -> bool {
    let at_node = |cell: &&CellIndex| scene.model.nodes(**cell).1 == Some(node);
    let mut cells = scene.pick.explains.iter().filter(at_node).peekable();
    let pod_to_host = |cell: &CellIndex| {
        (scene.model.plane_from(*cell), scene.model.plane_to(*cell)) == (Some(Plane::Pod), Some(Plane::Host))
    };
    cells.peek().is_some() && cells.all(pod_to_host)
}
