//! Calico by its pools, its FelixConfiguration and its annotations.

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::super::{Network, marks};
use super::{check, from, map, nodes};

/// Calico's pools and its FelixConfiguration.
fn calico_with(specs: &[Value], felix: &Value) -> Network {
    let of = |spec: &Value| from(json!({"metadata": {"name": "default"}, "spec": spec}));
    Network {
        ip_pools: Some(specs.iter().map(of).collect()),
        felix: Some(of(felix)),
        ..Network::default()
    }
}

/// Nodes of Calico with these addresses.
fn at(addresses: &[&str]) -> Vec<Node> {
    let annotation = |address: &&str| json!({"projectcalico.org/IPv4Address": address});
    nodes(&addresses.iter().map(annotation).collect::<Vec<_>>())
}

fn pool(ipip: &str, vxlan: &str) -> Value {
    json!({"cidr": "192.168.0.0/16", "ipipMode": ipip, "vxlanMode": vxlan})
}

#[test]
fn calico() {
    let nodes = at(&["10.0.0.5/24", "10.0.0.6/24"]);
    assert!(marks(&nodes).calico);
    let with = |key: &str, value: Value| {
        let mut pool = pool("Never", "Always");
        pool[key] = value;
        pool
    };
    let (ipip, vxlan, v6) = (
        pool("Always", "Never"),
        pool("Never", "Always"),
        with("cidr", json!("fd00::/48")),
    );
    let disabled = with("disabled", json!(true));
    let for_tunnels = with("allowedUses", json!(["Tunnel"]));
    let no_mode = json!({"cidr": "192.168.0.0/16"});
    let felix = json!({"vxlanPort": 8473, "wireguardEnabled": true});
    let table = [
        ("vxlan", vec![vxlan.clone()], json!({}), "vxlan:4789", 0),
        (
            "its port, and no keys",
            vec![vxlan.clone()],
            felix,
            "vxlan:8473",
            0,
        ),
        ("ipip", vec![ipip.clone()], json!({}), "ipip", 0),
        ("none", vec![pool("Never", "Never")], json!({}), "none", 0),
        ("none, by default", vec![no_mode], json!({}), "none", 0),
        ("dual stack", vec![v6.clone(), ipip.clone()], json!({}), "ipip", 0),
        ("IPv6 only", vec![v6], json!({}), "vxlan:4789", 0),
        (
            "some not for pods",
            vec![disabled, for_tunnels, ipip.clone()],
            json!({}),
            "ipip",
            0,
        ),
        ("pools that differ", vec![ipip, vxlan], json!({}), "?", 1),
        (
            "a mode of later",
            vec![pool("Sometimes", "Never")],
            json!({}),
            "?",
            1,
        ),
        ("no pools, no tunnels", vec![], json!({}), "none", 0),
    ];
    for (case, pools, felix, hint, gaps) in table {
        check(case, &nodes, &calico_with(&pools, &felix), hint, gaps);
    }
}

#[test]
fn calico_that_encapsulates_between_subnets_only() {
    let network = calico_with(&[pool("CrossSubnet", "Never")], &json!({}));
    let table = [
        (vec!["10.0.0.5/24", "10.0.0.6/24"], "none", 0),
        (vec!["10.0.0.5/24", "10.0.1.6/24"], "ipip", 0),
        (vec!["10.0.0.5/24", "10.0.0.6/24", "10.0.1.6/24"], "?", 1),
        (vec!["10.0.0.5/24", "10.0.0.6"], "?", 1),
        (vec!["10.0.0.5/99", "10.0.0.6/99"], "?", 1),
        (vec!["10.0.0.5/0", "10.9.0.6/0"], "none", 0),
        (vec!["fd00::1/64", "fd00::2/64"], "none", 0),
    ];
    for (addresses, hint, gaps) in table {
        check(&format!("{addresses:?}"), &at(&addresses), &network, hint, gaps);
    }
}

#[test]
fn calico_without_pools_or_with_keys() {
    const ADDRESS: &str = "projectcalico.org/IPv4Address";
    const KEY: &str = "projectcalico.org/WireguardPublicKey";
    let tunnel = json!({ADDRESS: "10.0.0.5/24", "projectcalico.org/IPv4VXLANTunnelAddr": "192.168.1.0"});
    check(
        "tunnels, pools forbidden",
        &nodes(&[tunnel]),
        &Network::default(),
        "?",
        1,
    );

    let encrypted = calico_with(&[pool("Never", "Always")], &json!({"wireguardEnabled": true}));
    let keyed = json!({ADDRESS: "10.0.0.5/24", KEY: "k"});
    check(
        "all have keys",
        &nodes(&[keyed.clone(), keyed.clone()]),
        &encrypted,
        "wireguard:51820",
        0,
    );
    check(
        "some have keys",
        &nodes(&[keyed, json!({ADDRESS: "10.0.0.6/24"})]),
        &encrypted,
        "?",
        1,
    );
}

#[test]
fn canal_is_flannel_whatever_calico_says() {
    let annotations = json!({"flannel.alpha.coreos.com/backend-type": "vxlan",
                             "projectcalico.org/IPv4Address": "10.0.0.5/24"});
    let conf = json!({"net-conf.json": r#"{"Backend": {"Type": "vxlan"}}"#});
    let of = |name: &str| Network {
        flannel: Some(map(name, &conf)),
        ..calico_with(&[pool("Never", "Never")], &json!({}))
    };
    let nodes = nodes(&[annotations]);
    check("canal", &nodes, &of("rke2-canal-config"), "vxlan:8472", 0);
    check(
        "leftovers of one of the two",
        &nodes,
        &of("kube-flannel-cfg"),
        "?",
        1,
    );
}
