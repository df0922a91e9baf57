use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::{FoundApi, read};

fn service(spec: &Value) -> Service {
    serde_json::from_value(json!({"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": spec}))
        .expect("a service")
}

fn slice(of: Value) -> EndpointSlice {
    serde_json::from_value(of).expect("a slice")
}

fn in_words(api: &FoundApi) -> String {
    format!("{} {} {:?}", api.address, api.port, api.endpoints)
}

#[test]
fn the_service_and_where_it_leads() {
    let https = json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]);
    let v4 = slice(
        json!({"addressType": "IPv4", "ports": [{"name": "https", "port": 6443, "protocol": "TCP"},
                                                             {"name": "other", "port": 1, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["172.18.0.2"], "conditions": {"ready": true}},
                      {"addresses": ["172.18.0.3"], "conditions": {"ready": false}},
                      {"addresses": ["172.18.0.4"]}]}),
    );
    let v6 = slice(
        json!({"addressType": "IPv6", "ports": [{"name": "https", "port": 6443}],
        "endpoints": [{"addresses": ["fd00::2"]}]}),
    );
    let named = slice(
        json!({"addressType": "FQDN", "ports": [{"name": "https", "port": 6443}],
        "endpoints": [{"addresses": ["api.example.org"]}]}),
    );
    let no_port = slice(json!({"addressType": "IPv4", "endpoints": [{"addresses": ["172.18.0.2"]}]}));
    let table = [
        (
            json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": https}),
            vec![v4.clone(), v4.clone()],
            Some("10.96.0.1 443 [172.18.0.2:6443, 172.18.0.4:6443]"),
        ),
        (
            json!({"clusterIPs": ["fd00:96::1", "10.96.0.1"], "ports": https}),
            vec![v6],
            Some("fd00:96::1 443 [[fd00::2]:6443]"),
        ),
        (
            json!({"clusterIP": "10.43.0.1", "ports": [{"port": 6443}]}),
            vec![],
            Some("10.43.0.1 6443 []"),
        ),
        (
            json!({"clusterIP": "10.43.0.1", "ports": https}),
            vec![named, no_port],
            Some("10.43.0.1 443 []"),
        ),
        (
            json!({"clusterIP": "None", "ports": https}),
            vec![v4.clone()],
            None,
        ),
        (
            json!({"clusterIP": "10.96.0.1", "ports": [{"port": 0}]}),
            vec![v4.clone()],
            None,
        ),
        (json!({"clusterIP": "10.96.0.1"}), vec![v4.clone()], None),
        (json!({}), vec![v4], None),
    ];
    for (spec, slices, expected) in table {
        let mut gaps = Vec::new();
        let found = read(Some(&service(&spec)), &slices, &mut gaps);
        assert_eq!(found.as_ref().map(in_words).as_deref(), expected, "{spec}");
        assert_eq!(gaps.is_empty(), expected.is_some(), "{gaps:?}");
    }
}

#[test]
fn a_cluster_without_the_service_has_a_gap() {
    let mut gaps = Vec::new();
    assert_eq!(read(None, &[], &mut gaps), None);
    assert!(
        gaps.iter().any(|gap| gap.contains("default/kubernetes")),
        "{gaps:?}"
    );
}
