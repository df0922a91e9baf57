//! Networks that are told from one annotation, one ConfigMap or the name of their DaemonSet.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::ConfigMap;
use mesh_proto::OverlayKind;

use super::{Hint, port, value};

/// On every node of Antrea (its docs/noencap-hybrid-modes.md and pkg/agent/types).
pub(super) const ANTREA_MAC: &str = "node.antrea.io/mac-address";
/// On every node of OVN-Kubernetes (its go-controller/pkg/util/subnet_annotations.go).
pub(super) const OVN_SUBNETS: &str = "k8s.ovn.org/node-subnets";

const GENEVE: u16 = 6081;
const VXLAN: u16 = 4789;
const WIREGUARD: u16 = 51_820;

/// Antrea, by `antrea-agent.conf`: YAML whose keys of interest are scalars, commented out where the default holds.
pub(super) fn antrea(is_there: bool, map: Option<&ConfigMap>) -> Option<Hint> {
    const TOLD_BY: &str = "the ConfigMap antrea-config";
    if !is_there {
        return None;
    }
    let Some(conf) = map.and_then(|map| value(map, "antrea-agent.conf")) else {
        return Some(Hint::Unclear(
            "Antrea is there, but its ConfigMap antrea-config could not be read".to_owned(),
        ));
    };
    let scalar = |key: &str| {
        let mut lines = conf.lines().filter_map(|line| line.split_once(':'));
        let (_, text) = lines.find(|(name, _)| name.trim() == key)?;
        let text = text
            .split('#')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_matches('"');
        (!text.is_empty()).then_some(text)
    };
    let is = |text: Option<&str>, word: &str| text.is_some_and(|text| text.eq_ignore_ascii_case(word));
    let mode = scalar("trafficEncapMode").unwrap_or("encap");
    let encryption = scalar("trafficEncryptionMode");
    if is(encryption, "wireGuard") {
        return Some(Hint::known(OverlayKind::Wireguard, Some(WIREGUARD), TOLD_BY));
    }
    if is(encryption, "ipsec") {
        return Some(Hint::Unclear("Antrea sends pod packets as IPsec".to_owned()));
    }
    if mode.eq_ignore_ascii_case("noEncap") {
        return Some(Hint::known(OverlayKind::None, None, TOLD_BY));
    }
    if !mode.eq_ignore_ascii_case("encap") {
        return Some(Hint::Unclear(format!(
            "Antrea encapsulates only some packets (trafficEncapMode {mode})"
        )));
    }
    let given = scalar("tunnelPort").and_then(port);
    Some(match scalar("tunnelType").unwrap_or("geneve") {
        "geneve" => Hint::known(OverlayKind::Geneve, given.or(Some(GENEVE)), TOLD_BY),
        "vxlan" => Hint::known(OverlayKind::Vxlan, given.or(Some(VXLAN)), TOLD_BY),
        other => Hint::Unclear(format!(
            "Antrea's tunnelType `{other}` is none of those known here"
        )),
    })
}

/// OVN-Kubernetes, also OpenShift's: Geneve, on its own port unless a cluster was built otherwise.
pub(super) fn ovn(is_there: bool) -> Option<Hint> {
    let told_by = "OVN-Kubernetes' annotations on the nodes, with its usual port";
    is_there.then(|| Hint::known(OverlayKind::Geneve, Some(GENEVE), told_by))
}

/// A DaemonSet of kube-system that is known to be a network of one kind and that runs somewhere: one that was put out of
/// use is often left there with a node selector that matches nothing.
pub(super) fn daemon_set(daemon_set: &DaemonSet) -> Option<Hint> {
    let wanted = daemon_set.status.as_ref()?.desired_number_scheduled;
    if wanted <= 0 {
        return None;
    }
    let name = daemon_set.metadata.name.as_deref()?;
    let (kind, port) = match name {
        "aws-node" | "kindnet" => (OverlayKind::None, None),
        "weave-net" => (OverlayKind::Vxlan, Some(6784)),
        _ => return None,
    };
    Some(Hint::known(
        kind,
        port,
        format!("the DaemonSet kube-system/{name}"),
    ))
}
