//! Cilium, by its ConfigMap. Names and defaults: Cilium's `pkg/option` and `pkg/datapath/tunnel`, "Firewall Rules" in its
//! documentation.

use k8s_openapi::api::core::v1::ConfigMap;
use mesh_proto::OverlayKind;

use super::{Hint, port, value};

const VXLAN: u16 = 8472;
const GENEVE: u16 = 6081;
const WIREGUARD: u16 = 51_871;
const TOLD_BY: &str = "the ConfigMap cilium-config";

pub(super) fn read(map: &ConfigMap) -> Option<Hint> {
    let is_on = |key: &str| value(map, key).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    // Chained behind another CNI, Cilium carries nothing itself: the other one's hint counts.
    if value(map, "cni-chaining-mode").is_some_and(|mode| mode != "none") {
        return None;
    }
    // What is encrypted is seen on the wire as that only, tunnel or not.
    if is_on("enable-wireguard") {
        return Some(Hint::known(OverlayKind::Wireguard, Some(WIREGUARD), TOLD_BY));
    }
    if is_on("enable-ipsec") {
        return Some(Hint::Unclear("Cilium sends pod packets as IPsec".to_owned()));
    }
    // Up to 1.14 `tunnel` said both what `routing-mode` and `tunnel-protocol` say since.
    let earlier = value(map, "tunnel");
    let is_tunnel = match value(map, "routing-mode") {
        Some("native") => false,
        Some("tunnel") => true,
        Some(other) => {
            return Some(Hint::Unclear(format!(
                "Cilium's routing-mode `{other}` is none of those known here"
            )));
        }
        None => earlier != Some("disabled"),
    };
    if !is_tunnel {
        return Some(Hint::known(OverlayKind::None, None, TOLD_BY));
    }
    let protocol = value(map, "tunnel-protocol")
        .or(earlier.filter(|name| *name != "disabled"))
        .unwrap_or("vxlan");
    let given = value(map, "tunnel-port").and_then(port);
    Some(match protocol {
        "vxlan" => Hint::known(OverlayKind::Vxlan, given.or(Some(VXLAN)), TOLD_BY),
        "geneve" => Hint::known(OverlayKind::Geneve, given.or(Some(GENEVE)), TOLD_BY),
        other => Hint::Unclear(format!(
            "Cilium's tunnel-protocol `{other}` is none of those known here"
        )),
    })
}
