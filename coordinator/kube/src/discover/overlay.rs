//! What carries pod packets between nodes, as far as its own configuration tells: a hint for the diagnosis.
//!
//! A wrong hint is worse than none: where a network encapsulates only some of the packets, where two networks tell
//! different things, or where the configuration that decides could not be read, there is no hint but a gap.

mod calico;
mod cilium;
mod flannel;
mod others;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::DynamicObject;
use mesh_proto::{OverlayKind, Port};

use super::nodes;

pub(super) use self::flannel::CONFIG_MAPS as FLANNEL_CONFIG_MAPS;

/// What carries pod packets between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundOverlay {
    /// The encapsulation on the wire.
    pub kind: OverlayKind,
    /// Its UDP port, where it has one.
    pub port: Option<Port>,
    /// Who says so.
    pub told_by: String,
}

/// What was read of networks' configurations. Nothing here need be there.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// With flannel's `net-conf.json`.
    pub(super) flannel: Option<ConfigMap>,
    /// `cilium-config`.
    pub(super) cilium: Option<ConfigMap>,
    /// `antrea-config`.
    pub(super) antrea: Option<ConfigMap>,
    /// Calico's IPPools.
    pub(super) ip_pools: Option<Vec<DynamicObject>>,
    /// Calico's FelixConfiguration `default`.
    pub(super) felix: Option<DynamicObject>,
    /// Those of kube-system.
    pub(super) daemon_sets: Vec<DaemonSet>,
}

/// What one source tells.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hint {
    Known(FoundOverlay),
    /// A network is there, but not how it carries packets; why, in words.
    Unclear(String),
}

impl Hint {
    fn known(kind: OverlayKind, port: Option<u16>, told_by: impl Into<String>) -> Self {
        Self::Known(FoundOverlay {
            kind,
            port: port.map(Port),
            told_by: told_by.into(),
        })
    }
}

/// Which networks left annotations on nodes: more than one may have, one of them long ago.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is there or not, whatever the others are"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    pub(super) flannel: bool,
    pub(super) calico: bool,
    pub(super) antrea: bool,
    pub(super) ovn: bool,
}

impl Marks {
    pub(super) fn any(self) -> bool {
        self.flannel || self.calico || self.antrea || self.ovn
    }
}

pub(super) fn marks(nodes: &[Node]) -> Marks {
    let any = |key: &str| nodes.iter().any(|node| nodes::annotation(node, key).is_some());
    Marks {
        flannel: any(flannel::BACKEND_TYPE),
        calico: any(calico::IPV4_ADDRESS) || any(calico::IPV6_ADDRESS),
        antrea: any(others::ANTREA_MAC),
        ovn: any(others::OVN_SUBNETS),
    }
}

/// What all that was read tells together.
pub(super) fn read(nodes: &[Node], network: &Network, gaps: &mut Vec<String>) -> Option<FoundOverlay> {
    let marks = marks(nodes);
    // Windows nodes have a network of another kind beside that of the agents' nodes.
    let nodes: Vec<&Node> = nodes.iter().filter(|node| !nodes::is_left_out(node)).collect();
    let mut hints = vec![
        flannel::read(&nodes, network.flannel.as_ref()),
        network.cilium.as_ref().and_then(cilium::read),
        others::antrea(marks.antrea, network.antrea.as_ref()),
        others::ovn(marks.ovn),
    ];
    // Canal is flannel's network with Calico's policies; pools that Calico may have there carry nothing.
    if !network.flannel.as_ref().is_some_and(flannel::is_canal) && marks.calico {
        hints.push(Some(calico::read(
            &nodes,
            network.ip_pools.as_deref(),
            network.felix.as_ref(),
        )));
    }
    hints.extend(network.daemon_sets.iter().map(others::daemon_set));
    agreed(hints.into_iter().flatten(), gaps)
}

fn agreed(hints: impl Iterator<Item = Hint>, gaps: &mut Vec<String>) -> Option<FoundOverlay> {
    let mut known: Vec<FoundOverlay> = Vec::new();
    let mut unclear = Vec::new();
    for hint in hints {
        match hint {
            Hint::Known(overlay) => known.push(overlay),
            Hint::Unclear(why) => unclear.push(why),
        }
    }
    let is_clear = unclear.is_empty();
    gaps.extend(unclear);
    let mut known = known.into_iter();
    let first = known.next()?;
    for other in known {
        if (other.kind, other.port) != (first.kind, first.port) {
            gaps.push(format!(
                "what carries pod packets is told in two ways: {} by {}, {} by {}",
                first.kind, first.told_by, other.kind, other.told_by
            ));
            return None;
        }
    }
    is_clear.then_some(first)
}

/// A value of a ConfigMap that is not empty.
fn value<'a>(map: &'a ConfigMap, key: &str) -> Option<&'a str> {
    let data: &BTreeMap<String, String> = map.data.as_ref()?;
    data.get(key)
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
}

/// A port where 0 means "the usual one", as these networks write it.
fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests;
