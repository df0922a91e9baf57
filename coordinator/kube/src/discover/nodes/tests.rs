use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::{FoundNode, read};

fn node(of: Value) -> Node {
    serde_json::from_value(of).expect("a node")
}

fn found(of: Value) -> FoundNode {
    read(&node(of)).expect("a node with a name")
}

fn addresses(of: &FoundNode) -> Vec<String> {
    of.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn a_node_of_kubeadm() {
    let found = found(json!({
        "metadata": {"name": "cp-1", "labels": {"kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "a"}},
        "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00:10::/64"], "unschedulable": true,
                 "taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                            {"key": "who", "value": "me", "effect": "Later"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}],
                   "addresses": [{"type": "Hostname", "address": "cp-1"},
                                 {"type": "ExternalIP", "address": "203.0.113.7"},
                                 {"type": "InternalIP", "address": "fd00::2"},
                                 {"type": "InternalIP", "address": "not an address"},
                                 {"type": "InternalIP", "address": "172.18.0.2"},
                                 {"type": "InternalIP", "address": "fd00::2"}]},
    }));
    assert_eq!(found.name.as_str(), "cp-1");
    assert_eq!(found.zone.as_deref(), Some("a"));
    // The API's order tells which family is the primary one.
    assert_eq!(addresses(&found), ["fd00::2", "172.18.0.2"]);
    assert_eq!(found.pod_cidrs, ["10.244.0.0/24", "fd00:10::/64"]);
    assert!(found.cordoned);
    assert_eq!(found.not_ready, None);
    let taints: Vec<String> = found.taints.iter().map(ToString::to_string).collect();
    assert_eq!(
        taints,
        ["node-role.kubernetes.io/control-plane:NoSchedule", "who=me:Later"]
    );
    assert_eq!(found.skip, None);
}

#[test]
fn a_node_of_which_little_is_told() {
    let bare = found(json!({"metadata": {"name": "n1"}}));
    assert_eq!(
        (
            bare.addresses.len(),
            bare.pod_cidrs.len(),
            bare.cordoned,
            bare.zone,
            bare.skip
        ),
        (0, 0, false, None, None)
    );
    assert!(
        bare.not_ready
            .is_some_and(|why| why.contains("no condition Ready"))
    );

    let older = found(json!({
        "metadata": {"name": "n1", "labels": {"failure-domain.beta.kubernetes.io/zone": "b"}},
        "spec": {"podCIDR": "10.1.0.0/24"},
        "status": {"addresses": [{"type": "ExternalIP", "address": "198.51.100.1"}]},
    }));
    assert_eq!(older.zone.as_deref(), Some("b"));
    assert_eq!(older.pod_cidrs, ["10.1.0.0/24"]);
    assert_eq!(addresses(&older), ["198.51.100.1"]);

    let nameless = read(&node(json!({"metadata": {}})));
    assert!(nameless.is_err_and(|gap| gap.contains("left out")));
}

#[test]
fn why_a_node_is_not_ready_is_told_in_its_own_words() {
    let ready = |status: &str| {
        json!({"type": "Ready", "status": status, "reason": "KubeletNotReady",
        "message": "container runtime network not ready: cni plugin not initialized"})
    };
    let network =
        |status: &str| json!({"type": "NetworkUnavailable", "status": status, "reason": "NoRouteCreated"});
    let table = [
        (json!([ready("True")]), None),
        (json!([network("False"), ready("True")]), None),
        (
            json!([ready("False")]),
            Some(
                "Ready is False: KubeletNotReady: container runtime network not ready: cni plugin not initialized",
            ),
        ),
        (
            json!([{"type": "Ready", "status": "Unknown"}]),
            Some("Ready is Unknown"),
        ),
        (
            json!([network("True"), ready("True")]),
            Some("NetworkUnavailable is True: NoRouteCreated"),
        ),
    ];
    for (conditions, why) in table {
        let node = found(json!({"metadata": {"name": "n1"}, "status": {"conditions": conditions}}));
        assert_eq!(node.not_ready.as_deref(), why);
    }
}

#[test]
fn nodes_where_no_agent_can_run_say_why() {
    let labelled = |key: &str, value: &str| json!({"metadata": {"name": "n", "labels": {key: value}}});
    let tainted = |key: &str, value: &str| json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": key, "value": value, "effect": "NoSchedule"}]}});
    let table = [
        (labelled("kubernetes.io/os", "linux"), None),
        (
            labelled("kubernetes.io/os", "windows"),
            Some("it runs windows, agents run on linux only"),
        ),
        (
            labelled("eks.amazonaws.com/compute-type", "fargate"),
            Some("no machine stands behind it: EKS Fargate"),
        ),
        (
            tainted("eks.amazonaws.com/compute-type", "fargate"),
            Some("no machine stands behind it: EKS Fargate"),
        ),
        // EKS Auto Mode and hybrid nodes are machines.
        (labelled("eks.amazonaws.com/compute-type", "auto"), None),
        (labelled("eks.amazonaws.com/nodegroup", "workers"), None),
        (
            labelled("type", "virtual-kubelet"),
            Some("no machine stands behind it: virtual kubelet"),
        ),
        (
            tainted("virtual-kubelet.io/provider", "azure"),
            Some("no machine stands behind it: virtual kubelet, Azure Container Instances"),
        ),
        (
            tainted("virtual-kubelet.io/provider", "admiralty"),
            Some("no machine stands behind it: virtual kubelet, admiralty"),
        ),
        (
            labelled("liqo.io/type", "virtual-node"),
            Some("no machine stands behind it: Liqo, another cluster"),
        ),
        (tainted("node.kubernetes.io/unreachable", ""), None),
    ];
    for (of, why) in table {
        assert_eq!(found(of.clone()).skip.as_deref(), why, "{of}");
    }
    // Where the label is missing, what the kubelet reports counts.
    let reported = json!({"metadata": {"name": "n"}, "status": {"nodeInfo": {"operatingSystem": "windows",
        "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
        "kubeletVersion": "", "machineID": "", "osImage": "", "systemUUID": ""}}});
    assert!(found(reported).skip.is_some());
}
