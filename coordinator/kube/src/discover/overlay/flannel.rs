//! flannel, also as k3s and Canal embed it: annotations of the nodes say which backend, the ConfigMap says its port.
//! Names and defaults: flannel's Documentation/backends.md, pkg/subnet/kube/annotations.go.

use k8s_openapi::api::core::v1::{ConfigMap, Node};
use mesh_proto::OverlayKind;
use serde_json::Value;

use super::{Hint, value};
use crate::discover::nodes::annotation;

pub(super) const BACKEND_TYPE: &str = "flannel.alpha.coreos.com/backend-type";
const BACKEND_DATA: &str = "flannel.alpha.coreos.com/backend-data";

/// Where `net-conf.json` lies: namespaces and names of flannel's manifest, of its earlier one, of Canal, of RKE2's Canal.
pub(in crate::discover) const CONFIG_MAPS: [(&str, &str); 4] = [
    ("kube-flannel", "kube-flannel-cfg"),
    ("kube-system", "kube-flannel-cfg"),
    ("kube-system", "canal-config"),
    ("kube-system", "rke2-canal-config"),
];

/// The kernel's default, from before VXLAN had a port of its own.
const VXLAN: u16 = 8472;
/// Windows knows VXLAN on this port only, and takes network numbers from 4096 on.
const VXLAN_WITH_WINDOWS: u16 = 4789;
const FIRST_VNI_OF_WINDOWS: u64 = 4096;
const WIREGUARD: u16 = 51_820;

pub(super) fn is_canal(map: &ConfigMap) -> bool {
    map.metadata
        .name
        .as_deref()
        .is_some_and(|name| name.contains("canal"))
}

pub(super) fn read(nodes: &[&Node], map: Option<&ConfigMap>) -> Option<Hint> {
    let mut types = nodes.iter().filter_map(|node| annotation(node, BACKEND_TYPE));
    let backend = types.next()?;
    if let Some(other) = types.find(|other| !other.eq_ignore_ascii_case(backend)) {
        return Some(Hint::Unclear(format!(
            "flannel's backend is {backend} on some nodes and {other} on others"
        )));
    }
    let backend = backend.to_ascii_lowercase();
    let configured = map.and_then(|map| configured(map, &backend));
    let told_by = |what: &str| match configured {
        Some(_) => format!("flannel's annotations on the nodes and its ConfigMap{what}"),
        None => format!("flannel's annotations on the nodes{what}"),
    };
    if configured
        .as_ref()
        .is_some_and(|conf| conf["DirectRouting"] == Value::Bool(true))
    {
        return Some(Hint::Unclear(format!(
            "flannel's {backend} encapsulates only between subnets (DirectRouting)"
        )));
    }
    let given = |key: &str| {
        let number = configured.as_ref()?[key].as_u64()?;
        u16::try_from(number).ok().filter(|port| *port != 0)
    };
    let with_port = |kind, given: Option<u16>, usual: u16| {
        let what = if given.is_some() {
            ""
        } else {
            ", with its usual port"
        };
        Hint::known(kind, Some(given.unwrap_or(usual)), told_by(what))
    };
    Some(match backend.as_str() {
        "vxlan" => {
            let with_windows = nodes.iter().any(|node| vni(node) >= Some(FIRST_VNI_OF_WINDOWS));
            let usual = if with_windows { VXLAN_WITH_WINDOWS } else { VXLAN };
            with_port(OverlayKind::Vxlan, given("Port"), usual)
        }
        // k3s has called it wireguard-native.
        "wireguard" | "wireguard-native" => with_port(OverlayKind::Wireguard, given("ListenPort"), WIREGUARD),
        "ipip" => Hint::known(OverlayKind::Ipip, None, told_by("")),
        "host-gw" | "ali-vpc" | "aws-vpc" | "gce" | "tencent-vpc" => {
            Hint::known(OverlayKind::None, None, told_by(""))
        }
        other => Hint::Unclear(format!("flannel's backend `{other}` is none of those known here")),
    })
}

fn vni(node: &Node) -> Option<u64> {
    let data: Value = serde_json::from_str(annotation(node, BACKEND_DATA)?).ok()?;
    data["VNI"].as_u64()
}

/// The backend's part of `net-conf.json`, if it is about the backend that the nodes run with: what was edited since they
/// started says nothing about them.
fn configured(map: &ConfigMap, backend: &str) -> Option<Value> {
    let conf: Value = serde_json::from_str(value(map, "net-conf.json")?).ok()?;
    let part = conf.get("Backend")?;
    let is_same = part["Type"].as_str()?.eq_ignore_ascii_case(backend);
    is_same.then(|| part.clone())
}
