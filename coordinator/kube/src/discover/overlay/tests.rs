use k8s_openapi::api::core::v1::{ConfigMap, Node};
use serde_json::{Value, json};

use super::{Network, read};

mod calico;

fn from<T: serde::de::DeserializeOwned>(of: Value) -> T {
    serde_json::from_value(of).expect("an object of the API")
}

fn nodes(annotations: &[Value]) -> Vec<Node> {
    let node = |of: &Value| from(json!({"metadata": {"name": "n", "annotations": of}}));
    annotations.iter().map(node).collect()
}

fn map(name: &str, data: &Value) -> ConfigMap {
    from(json!({"metadata": {"name": name}, "data": data}))
}

/// The hint in short (`vxlan:8472`), and how many gaps there are beside it.
fn told(nodes: &[Node], network: &Network) -> (String, usize) {
    let mut gaps = Vec::new();
    let hint = match read(nodes, network, &mut gaps) {
        Some(overlay) => match overlay.port {
            Some(port) => format!("{}:{port}", overlay.kind),
            None => overlay.kind.to_string(),
        },
        None => "?".to_owned(),
    };
    (hint, gaps.len())
}

fn check(case: &str, nodes: &[Node], network: &Network, hint: &str, gaps: usize) {
    assert_eq!(told(nodes, network), (hint.to_owned(), gaps), "{case}");
}

#[test]
fn flannel() {
    const TYPE: &str = "flannel.alpha.coreos.com/backend-type";
    const DATA: &str = "flannel.alpha.coreos.com/backend-data";
    let conf = |backend: &Value| {
        let conf = json!({"Backend": backend}).to_string();
        Some(map("kube-flannel-cfg", &json!({"net-conf.json": conf})))
    };
    let vxlan = json!({TYPE: "vxlan", DATA: r#"{"VNI":1,"VtepMAC":"be:5e:2c:d8:2b:be"}"#});
    let windows_vni = json!({TYPE: "vxlan", DATA: r#"{"VNI":4096,"VtepMAC":"be:5e:2c:d8:2b:be"}"#});
    let garbled = json!({TYPE: "vxlan", DATA: "{"});
    let of = |name: &str| json!({TYPE: name});
    let table = [
        (
            "kubeadm",
            vec![vxlan.clone()],
            conf(&json!({"Type": "vxlan"})),
            "vxlan:8472",
            0,
        ),
        (
            "k3s, no ConfigMap",
            vec![vxlan.clone(), vxlan.clone()],
            None,
            "vxlan:8472",
            0,
        ),
        (
            "a port of its own",
            vec![vxlan.clone()],
            conf(&json!({"Type": "vxlan", "Port": 4789})),
            "vxlan:4789",
            0,
        ),
        (
            "no port at all",
            vec![vxlan.clone()],
            conf(&json!({"Type": "vxlan", "Port": 99_999})),
            "vxlan:8472",
            0,
        ),
        ("with Windows", vec![windows_vni], None, "vxlan:4789", 0),
        (
            "data garbled",
            vec![garbled],
            Some(map("kube-flannel-cfg", &json!({"net-conf.json": "{"}))),
            "vxlan:8472",
            0,
        ),
        (
            "edited since",
            vec![of("host-gw")],
            conf(&json!({"Type": "vxlan", "Port": 4789})),
            "none",
            0,
        ),
        (
            "direct routing",
            vec![vxlan.clone()],
            conf(&json!({"Type": "vxlan", "DirectRouting": true})),
            "?",
            1,
        ),
        (
            "wireguard",
            vec![of("wireguard")],
            conf(&json!({"Type": "wireguard", "ListenPort": 51_000})),
            "wireguard:51000",
            0,
        ),
        (
            "k3s, wireguard",
            vec![of("wireguard-native")],
            None,
            "wireguard:51820",
            0,
        ),
        ("ipip", vec![of("ipip")], None, "ipip", 0),
        ("udp", vec![of("udp")], None, "?", 1),
        ("mixed", vec![vxlan.clone(), of("host-gw")], None, "?", 1),
        (
            "one node not yet up",
            vec![vxlan, json!({})],
            None,
            "vxlan:8472",
            0,
        ),
    ];
    for (case, annotations, flannel, hint, gaps) in table {
        let network = Network {
            flannel,
            ..Network::default()
        };
        check(case, &nodes(&annotations), &network, hint, gaps);
    }
}

#[test]
fn windows_nodes_do_not_count() {
    let mut both = nodes(&[json!({"flannel.alpha.coreos.com/backend-type": "vxlan"})]);
    both.push(from(
        json!({"metadata": {"name": "w", "labels": {"kubernetes.io/os": "windows"},
        "annotations": {"flannel.alpha.coreos.com/backend-type": "host-gw"}}}),
    ));
    check("mixed", &both, &Network::default(), "vxlan:8472", 0);
}

#[test]
fn cilium() {
    let table = [
        (json!({}), "vxlan:8472", 0),
        (
            json!({"routing-mode": "tunnel", "tunnel-protocol": "vxlan", "tunnel-port": "0"}),
            "vxlan:8472",
            0,
        ),
        (
            json!({"routing-mode": "tunnel", "tunnel-protocol": "vxlan", "tunnel-port": "8473"}),
            "vxlan:8473",
            0,
        ),
        (
            json!({"routing-mode": "tunnel", "tunnel-protocol": "geneve"}),
            "geneve:6081",
            0,
        ),
        (
            json!({"routing-mode": "native", "tunnel-protocol": "vxlan"}),
            "none",
            0,
        ),
        (json!({"tunnel": "disabled"}), "none", 0),
        (json!({"tunnel": "geneve", "tunnel-port": ""}), "geneve:6081", 0),
        (
            json!({"routing-mode": "native", "enable-wireguard": "true"}),
            "wireguard:51871",
            0,
        ),
        (json!({"routing-mode": "tunnel", "enable-ipsec": "true"}), "?", 1),
        (json!({"routing-mode": "later"}), "?", 1),
        (json!({"tunnel-protocol": "later"}), "?", 1),
        (
            json!({"cni-chaining-mode": "aws-cni", "routing-mode": "native"}),
            "?",
            0,
        ),
    ];
    for (data, hint, gaps) in table {
        let network = Network {
            cilium: Some(map("cilium-config", &data)),
            ..Network::default()
        };
        check(&data.to_string(), &nodes(&[json!({})]), &network, hint, gaps);
    }
}

#[test]
fn antrea_and_ovn() {
    let on = |key: &str| nodes(&[json!({key: "x"})]);
    let conf = |text: &str| Network {
        antrea: Some(map("antrea-config", &json!({"antrea-agent.conf": text}))),
        ..Network::default()
    };
    let table = [
        (
            "#tunnelType: vxlan\n# trafficEncapMode: noEncap\n",
            "geneve:6081",
            0,
        ),
        (
            "tunnelType: vxlan\ntunnelPort: 0 # the usual one\n",
            "vxlan:4789",
            0,
        ),
        ("tunnelType: \"geneve\"\ntunnelPort: 7000\n", "geneve:7000", 0),
        ("trafficEncapMode: noEncap\n", "none", 0),
        ("trafficEncapMode: hybrid\n", "?", 1),
        ("trafficEncryptionMode: wireGuard\n", "wireguard:51820", 0),
        ("", "?", 1),
    ];
    for (text, hint, gaps) in table {
        check(text, &on("node.antrea.io/mac-address"), &conf(text), hint, gaps);
    }
    check(
        "OVN",
        &on("k8s.ovn.org/node-subnets"),
        &Network::default(),
        "geneve:6081",
        0,
    );
}

#[test]
fn networks_known_by_their_daemon_set_alone() {
    let running = |name: &str, wanted: i32| {
        from(
            json!({"metadata": {"name": name}, "status": {"desiredNumberScheduled": wanted,
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}}),
        )
    };
    let table = [
        (
            "kind",
            vec![running("kube-proxy", 3), running("kindnet", 3)],
            "none",
        ),
        ("EKS", vec![running("aws-node", 2)], "none"),
        ("Weave", vec![running("weave-net", 2)], "vxlan:6784"),
        ("put out of use", vec![running("aws-node", 0)], "?"),
        ("unheard of", vec![running("my-cni", 2)], "?"),
    ];
    for (case, daemon_sets, hint) in table {
        let network = Network {
            daemon_sets,
            ..Network::default()
        };
        check(case, &nodes(&[json!({})]), &network, hint, 0);
    }
}

#[test]
fn two_networks_that_contradict_each_other_are_no_hint() {
    let flannel = nodes(&[json!({"flannel.alpha.coreos.com/backend-type": "vxlan"})]);
    let with_cilium = |data: &Value| Network {
        cilium: Some(map("cilium-config", data)),
        ..Network::default()
    };
    check(
        "left from before",
        &flannel,
        &with_cilium(&json!({"routing-mode": "native"})),
        "?",
        1,
    );
    check(
        "the same from both",
        &flannel,
        &with_cilium(&json!({"routing-mode": "tunnel"})),
        "vxlan:8472",
        0,
    );
}

#[test]
fn nothing_is_told_where_nothing_is_there() {
    check("nothing", &nodes(&[json!({})]), &Network::default(), "?", 0);
    check("no nodes", &[], &Network::default(), "?", 0);
}
