use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::{FoundDns, choose, corefile_of, key, read};

fn both() -> Value {
    json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
           {"name": "metrics", "port": 9153, "protocol": "TCP"}])
}

fn service(namespace: &str, name: &str, ip: &str, ports: &Value) -> Service {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": ip, "ports": ports}}))
    .expect("a service")
}

fn slice(family: &str, port: u16, endpoints: &Value) -> EndpointSlice {
    serde_json::from_value(json!({"addressType": family, "endpoints": endpoints,
        "ports": [{"name": "metrics", "port": 9153, "protocol": "TCP"},
                  {"name": "dns-tcp", "port": port, "protocol": "TCP"},
                  {"name": "dns", "port": port, "protocol": "UDP"}]}))
    .expect("a slice")
}

fn corefile(text: &str) -> ConfigMap {
    serde_json::from_value(json!({"data": {"Corefile": text}})).expect("a ConfigMap")
}

fn endpoints(dns: &FoundDns) -> Vec<String> {
    let in_words = |(address, node): &(_, Option<_>)| match node {
        Some(node) => format!("{address} on {node}"),
        None => format!("{address}"),
    };
    dns.endpoints.iter().map(in_words).collect()
}

#[test]
fn the_service_is_chosen_by_what_it_is_and_then_by_name() {
    let udp_only = json!([{"port": 53, "protocol": "UDP"}]);
    let kube_dns = service("kube-system", "kube-dns", "10.96.0.10", &both());
    let upstream = service("kube-system", "kube-dns-upstream", "10.96.7.7", &both());
    let elsewhere = service("dns", "kube-dns", "10.96.8.8", &both());
    let rke2 = service("kube-system", "rke2-coredns-rke2-coredns", "10.43.0.10", &both());
    let openshift = service("openshift-dns", "dns-default", "172.30.0.10", &both());
    let headless = service("kube-system", "kube-dns", "None", &both());
    let no_tcp = service("kube-system", "coredns", "10.96.0.11", &udp_only);
    let table = [
        (
            vec![upstream.clone(), elsewhere.clone(), kube_dns],
            Some("kube-system/kube-dns"),
        ),
        (
            vec![elsewhere.clone(), upstream],
            Some("kube-system/kube-dns-upstream"),
        ),
        (
            vec![headless.clone(), no_tcp.clone(), elsewhere],
            Some("dns/kube-dns"),
        ),
        (vec![rke2], Some("kube-system/rke2-coredns-rke2-coredns")),
        (vec![openshift], Some("openshift-dns/dns-default")),
        (vec![headless, no_tcp], None),
        (vec![], None),
    ];
    for (candidates, expected) in table {
        let mut gaps = Vec::new();
        let chosen = choose(&candidates, &mut gaps).map(|service| {
            let (namespace, name) = key(service);
            format!("{namespace}/{name}")
        });
        assert_eq!(chosen.as_deref(), expected);
        assert_eq!(gaps.len(), usize::from(expected.is_none()), "{gaps:?}");
    }
}

#[test]
fn core_dns_keeps_the_name_of_kube_dns_but_not_its_config_map() {
    let of = |namespace, name| {
        corefile_of(&service(namespace, name, "10.0.0.10", &both()))
            .1
            .to_owned()
    };
    assert_eq!(of("kube-system", "kube-dns"), "coredns");
    assert_eq!(of("openshift-dns", "dns-default"), "dns-default");
}

#[test]
fn ready_endpoints_are_listed_with_their_nodes() {
    let service = service("kube-system", "kube-dns", "10.96.0.10", &both());
    let slices = [
        slice(
            "IPv4",
            53,
            &json!([{"addresses": ["10.244.1.2"], "nodeName": "n1", "conditions": {"ready": true}},
                    {"addresses": ["10.244.2.2"], "nodeName": "n 2"},
                    {"addresses": ["10.244.3.2"], "nodeName": "n3", "conditions": {"ready": false}},
                    {"addresses": ["10.244.4.2"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                    {"addresses": []}]),
        ),
        // An endpoint on its way between slices is in both, and counts once.
        slice(
            "IPv4",
            53,
            &json!([{"addresses": ["10.244.1.2"], "conditions": {"ready": false}}]),
        ),
    ];
    let mut gaps = Vec::new();
    let corefile = corefile(".:53 {\n kubernetes corp.example in-addr.arpa {\n }\n}");
    let dns = read(&service, &slices, Some(&corefile), &mut gaps).expect("a DNS");
    assert_eq!(endpoints(&dns), ["10.244.1.2:53 on n1", "10.244.2.2:53"]);
    assert_eq!(dns.not_ready, 2);
    assert_eq!(dns.name, "kubernetes.default.svc.corp.example");
    assert_eq!(gaps, Vec::<String>::new());
}

#[test]
fn those_that_end_are_used_only_where_nothing_else_is_ready() {
    let service = service("kube-system", "kube-dns", "10.96.0.10", &both());
    let ending = json!([{"addresses": ["10.244.4.2"], "nodeName": "n4",
        "conditions": {"ready": false, "serving": true, "terminating": true}}, {"addresses": ["10.244.3.2"],
        "conditions": {"ready": false, "serving": false, "terminating": true}}]);
    let mut gaps = Vec::new();
    let dns = read(&service, &[slice("IPv4", 53, &ending)], None, &mut gaps).expect("a DNS");
    assert_eq!(endpoints(&dns), ["10.244.4.2:53 on n4"]);
    assert_eq!(dns.not_ready, 1);
    assert_eq!(dns.name, "kubernetes.default.svc.cluster.local");
    assert!(gaps.iter().any(|gap| gap.contains("cluster.local")), "{gaps:?}");
}

#[test]
fn endpoints_are_those_of_the_addresss_family() {
    let slices = [
        slice(
            "IPv6",
            53,
            &json!([{"addresses": ["fd00:10::2"], "nodeName": "n1"}]),
        ),
        slice(
            "IPv4",
            53,
            &json!([{"addresses": ["10.244.1.2"], "nodeName": "n1"}]),
        ),
    ];
    let table = [
        (
            json!({"clusterIPs": ["10.96.0.10", "fd00:96::a"]}),
            "10.96.0.10",
            "10.244.1.2:53 on n1",
        ),
        (
            json!({"clusterIPs": ["fd00:96::a", "10.96.0.10"]}),
            "fd00:96::a",
            "[fd00:10::2]:53 on n1",
        ),
        (
            json!({"clusterIP": "fd00:96::a"}),
            "fd00:96::a",
            "[fd00:10::2]:53 on n1",
        ),
    ];
    for (mut spec, address, endpoint) in table {
        spec["ports"] = both();
        let service: Service =
            serde_json::from_value(json!({"metadata": {"name": "kube-dns"}, "spec": spec}))
                .expect("a service");
        let dns = read(&service, &slices, None, &mut Vec::new()).expect("a DNS");
        assert_eq!(
            (dns.address.to_string().as_str(), endpoints(&dns)),
            (address, vec![endpoint.to_owned()])
        );
    }
}

#[test]
fn openshift_listens_elsewhere_behind_its_service() {
    let service = service("openshift-dns", "dns-default", "172.30.0.10", &both());
    let slices = [slice(
        "IPv4",
        5353,
        &json!([{"addresses": ["10.128.0.5"], "nodeName": "master-0"}]),
    )];
    let mut gaps = Vec::new();
    let dns = read(
        &service,
        &slices,
        Some(&corefile(".:5353 {\n  kubernetes cluster.local\n}")),
        &mut gaps,
    )
    .expect("a DNS");
    assert_eq!(endpoints(&dns), ["10.128.0.5:5353 on master-0"]);
    assert_eq!(gaps, Vec::<String>::new());
}

#[test]
fn an_endpoint_with_two_ports_is_left_to_its_service() {
    let service = service("kube-system", "kube-dns", "10.96.0.10", &both());
    let mut odd = slice(
        "IPv4",
        53,
        &json!([{"addresses": ["10.244.1.2"], "nodeName": "n1"}]),
    );
    for port in odd.ports.iter_mut().flatten() {
        if port.name.as_deref() == Some("dns-tcp") {
            port.port = Some(5353);
        }
    }
    let mut gaps = Vec::new();
    let corefile = corefile(".:53 {\n  kubernetes cluster.local\n}");
    let dns = read(&service, &[odd], Some(&corefile), &mut gaps).expect("a DNS");
    assert_eq!(endpoints(&dns), Vec::<String>::new());
    assert!(
        matches!(gaps.as_slice(), [gap] if gap.contains("53 for UDP and on 5353 for TCP")),
        "{gaps:?}"
    );
}
