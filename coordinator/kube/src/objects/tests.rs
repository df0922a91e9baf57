use serde_json::Value;

use super::*;

fn blueprint() -> Blueprint {
    Blueprint {
        run: RunId::parse("0a1b2c").unwrap(),
        namespace: None,
        image: "localhost/mesh:1".to_owned(),
        version: "1".to_owned(),
        planes: vec![Plane::Pod, Plane::Host],
        nodes: None,
        tolerations: None,
        priority_class: None,
        link_port: Port(19_440),
        responder_port: Port(19_441),
        v6: false,
        node_ports: true,
        host_facts: HostFacts::Full,
        expires: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn agents(blueprint: &Blueprint) -> Vec<Value> {
    let sets = blueprint.planes.iter().map(|plane| blueprint.daemon_set(*plane));
    sets.map(|set| serde_json::to_value(set).unwrap()["spec"]["template"]["spec"].take())
        .collect()
}

#[test]
fn everything_carries_the_runs_label_and_stands_in_its_namespace() {
    let objects = manifests(&blueprint());
    let kinds: Vec<&str> = objects
        .iter()
        .map(|object| object["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "Namespace",
            "Secret",
            "Lease",
            "Service",
            "Service",
            "DaemonSet",
            "DaemonSet"
        ]
    );
    for object in &objects {
        assert_eq!(object["metadata"]["labels"][RUN], "0a1b2c", "{object}");
        let place = &object["metadata"]["namespace"];
        assert_eq!(place.is_null(), object["kind"] == "Namespace", "{object}");
    }
    let mut given = blueprint();
    given.namespace = Some("tests".to_owned());
    let objects = manifests(&given);
    assert!(
        objects
            .iter()
            .all(|object| object["metadata"]["namespace"] == "tests")
    );
}

/// What Pod Security's `restricted` demands (kubernetes.io/docs/concepts/security/pod-security-standards).
#[test]
fn the_pod_plane_passes_the_strictest_level() {
    let pod = &agents(&blueprint())[0];
    let container = &pod["containers"][0];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_ne!(pod["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(
        container["securityContext"]["capabilities"],
        serde_json::json!({"drop": ["ALL"]})
    );
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert!(pod["hostNetwork"].is_null());
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert!(pod["volumes"].is_null());
}

#[test]
fn the_host_plane_has_the_capabilities_that_were_asked_for_and_no_sysctl() {
    let full = blueprint();
    let plain = Blueprint {
        host_facts: HostFacts::Plain,
        ..blueprint()
    };
    for (blueprint, added) in [(full, &["NET_ADMIN", "NET_RAW"][..]), (plain, &["NET_RAW"])] {
        let pod = &agents(&blueprint)[1];
        assert_eq!(pod["hostNetwork"], true);
        assert!(pod["securityContext"]["sysctls"].is_null());
        let capabilities = &pod["containers"][0]["securityContext"]["capabilities"];
        assert_eq!(*capabilities, serde_json::json!({"drop": ["ALL"], "add": added}));
    }
}

#[test]
fn agents_find_their_keys_in_the_runs_secret() {
    let keys = Keys {
        ca: "a".to_owned(),
        certificate: "b".to_owned(),
        key: "c".to_owned(),
    };
    let secret = blueprint().secret(&keys);
    for pod in agents(&blueprint()) {
        let environment = pod["containers"][0]["env"].as_array().unwrap().clone();
        let named = environment.iter().filter_map(|variable| {
            let key = &variable["valueFrom"]["secretKeyRef"];
            Some((key["name"].as_str()?, key["key"].as_str()?))
        });
        let named: Vec<_> = named.collect();
        assert_eq!(named.len(), 3);
        for (name, key) in named {
            assert_eq!(Some(name), secret.metadata.name.as_deref());
            assert!(secret.data.as_ref().unwrap().contains_key(key), "{key}");
        }
    }
}

#[test]
fn everything_is_tolerated_unless_something_is_named() {
    assert_eq!(
        agents(&blueprint())[0]["tolerations"],
        serde_json::json!([{"operator": "Exists"}])
    );
    let named = Blueprint {
        tolerations: Some(vec!["a".parse().unwrap(), "b=c:NoSchedule".parse().unwrap()]),
        ..blueprint()
    };
    assert_eq!(
        agents(&named)[0]["tolerations"],
        serde_json::json!([
            {"key": "a", "operator": "Exists"},
            {"key": "b", "operator": "Equal", "value": "c", "effect": "NoSchedule"},
        ])
    );
    assert!("".parse::<Toleration>().is_err() && "a:Never".parse::<Toleration>().is_err());
}

#[test]
fn chosen_nodes_are_alternatives() {
    let chosen = Blueprint {
        nodes: Some(vec!["n1".parse().unwrap(), "n2".parse().unwrap()]),
        ..blueprint()
    };
    let pod = &agents(&chosen)[0];
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let names: Vec<_> = terms
        .as_array()
        .unwrap()
        .iter()
        .map(|term| term["matchFields"][0]["values"][0].as_str().unwrap())
        .collect();
    assert_eq!(names, ["n1", "n2"]);
}

#[test]
fn ids_are_parts_of_names() {
    assert!(RunId::parse("0f3a").is_some());
    for bad in ["", "A", "a.b", "a-b", "0123456789012345678901234567890123"] {
        assert!(RunId::parse(bad).is_none(), "{bad}");
    }
}
