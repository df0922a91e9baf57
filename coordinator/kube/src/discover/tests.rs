//! The order of the reads, over an API server that is a table: paths and what they answer.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::{DiscoverError, Discovery, discover};

/// Answers by the path; what is not in the table is 404.
#[derive(Clone, Default)]
struct Table {
    answers: BTreeMap<&'static str, (u16, Value)>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Table {
    fn with(mut self, path: &'static str, answer: Value) -> Self {
        self.answers.insert(path, (200, answer));
        self
    }

    fn forbids(mut self, path: &'static str) -> Self {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
            "code": 403, "message": format!("User \"dev\" may not see {path}")});
        self.answers.insert(path, (403, status));
        self
    }

    async fn discover(&self, selector: Option<&str>) -> Result<Discovery, DiscoverError> {
        discover(&kube::Client::new(self.clone(), "default"), selector).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }
}

impl tower::Service<Request<Body>> for Table {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let uri = request.uri();
        self.asked
            .lock()
            .expect("no test panics while it holds this")
            .push(uri.to_string());
        let (code, answer) = match self.answers.get(uri.path()) {
            Some((code, answer)) => (*code, answer.to_string()),
            // An object is missed in other words than a group of the API.
            None if uri.path().starts_with("/api/v1/") => (404, missing().to_string()),
            None => (404, "404 page not found".to_owned()),
        };
        let mut response = Response::new(Body::from(answer.into_bytes()));
        *response.status_mut() = http::StatusCode::from_u16(code).expect("a status code");
        ready(Ok(response))
    }
}

fn missing() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
           "message": "it is not there"})
}

const NODES: &str = "/api/v1/nodes";
const SERVICES: &str = "/api/v1/services";
const SERVICES_OF_SYSTEM: &str = "/api/v1/namespaces/kube-system/services";
const API: &str = "/api/v1/namespaces/default/services/kubernetes";
const API_SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const DNS_SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices";
const CALICO_POOLS: &str = "/apis/crd.projectcalico.org/v1/ippools";
const CALICO_POOLS_V3: &str = "/apis/projectcalico.org/v3/ippools";

fn list(items: &Value) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn one_node(annotations: &Value) -> Value {
    list(&json!([{"metadata": {"name": "n1", "annotations": annotations}}]))
}

fn api() -> Value {
    json!({"metadata": {"name": "kubernetes", "namespace": "default"},
           "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]}})
}

fn dns(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": "10.96.0.10",
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]}})
}

fn k3s() -> Table {
    let slice = |port: &Value, address: &str| {
        list(
            &json!([{"metadata": {"name": "s"}, "addressType": "IPv4", "ports": port,
            "endpoints": [{"addresses": [address], "nodeName": "n1"}]}]),
        )
    };
    let https = json!([{"name": "https", "port": 6443}]);
    let both = json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]);
    Table::default()
        .with(
            NODES,
            one_node(&json!({"flannel.alpha.coreos.com/backend-type": "vxlan"})),
        )
        .with(API, api())
        .with(SERVICES, list(&json!([dns("kube-system", "kube-dns")])))
        .with(API_SLICES, slice(&https, "172.18.0.2"))
        .with(DNS_SLICES, slice(&both, "10.42.0.3"))
        .with(
            "/api/v1/namespaces/kube-system/configmaps/coredns",
            json!({"data": {"Corefile": ".:53 {\n kubernetes k8s.lan {\n }\n}"}}),
        )
}

#[tokio::test]
async fn a_whole_cluster_is_found_and_nothing_is_missed() {
    let table = k3s();
    let found = table.discover(Some("pool=a")).await.expect("a cluster");
    assert_eq!(found.nodes.len(), 1);
    let api = found.api.expect("the API's service");
    assert_eq!(format!("{:?}", api.endpoints), "[172.18.0.2:6443]");
    let dns = found.dns.expect("the DNS");
    assert_eq!(
        (dns.name.as_str(), dns.endpoints.len()),
        ("kubernetes.default.svc.k8s.lan", 1)
    );
    assert_eq!(
        found.overlay.and_then(|overlay| overlay.port),
        Some(mesh_proto::Port(8472))
    );
    assert_eq!(found.gaps, Vec::<String>::new());
    let asked = table.asked();
    assert!(
        asked
            .iter()
            .any(|uri| uri.starts_with(NODES) && uri.contains("labelSelector=pool%3Da")),
        "{asked:?}"
    );
    // Of the networks, only the one that is there is asked about, and Cilium, which leaves no mark.
    assert!(
        !asked
            .iter()
            .any(|uri| uri.contains("calico") || uri.contains("daemonsets")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_must_be_readable_is_an_error_otherwise() {
    let no_nodes = k3s().forbids(NODES).discover(Some("pool=a")).await;
    let words = no_nodes.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        words.starts_with("cannot list nodes with the labels `pool=a`: forbidden"),
        "{words}"
    );

    let no_service = k3s().forbids(API).discover(None).await;
    let words = no_service
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        words.starts_with("cannot get the service default/kubernetes: forbidden"),
        "{words}"
    );

    let none = k3s().with(NODES, list(&json!([]))).discover(Some("pool=b")).await;
    let words = none.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(words.contains("no node has the labels `pool=b`"), "{words}");
}

#[tokio::test]
async fn a_cluster_of_which_only_the_nodes_are_seen_is_one_with_gaps() {
    let table = Table::default()
        .with(NODES, one_node(&json!({})))
        .forbids(SERVICES)
        .forbids(SERVICES_OF_SYSTEM);
    let found = table.discover(None).await.expect("a cluster");
    assert_eq!(
        (found.nodes.len(), found.api, found.dns, found.overlay),
        (1, None, None, None)
    );
    let has = |words: &str| found.gaps.iter().any(|gap| gap.contains(words));
    assert!(
        has("services of kube-system: forbidden") && has("DNS is not probed"),
        "{:?}",
        found.gaps
    );
    assert!(has("default/kubernetes"), "{:?}", found.gaps);
}

#[tokio::test]
async fn services_that_may_not_be_listed_everywhere_are_found_in_kube_system() {
    let table = k3s()
        .forbids(SERVICES)
        .with(SERVICES_OF_SYSTEM, list(&json!([dns("kube-system", "kube-dns")])));
    let found = table.discover(None).await.expect("a cluster");
    assert!(found.dns.is_some());
    assert_eq!(found.gaps, Vec::<String>::new());
}

#[tokio::test]
async fn a_service_without_the_label_is_found_by_its_name() {
    let table = k3s().with(SERVICES, list(&json!([]))).with(
        "/api/v1/namespaces/openshift-dns/services/dns-default",
        dns("openshift-dns", "dns-default"),
    );
    let found = table.discover(None).await.expect("a cluster");
    assert_eq!(found.dns.map(|dns| dns.service).as_deref(), Some("dns-default"));
}

#[tokio::test]
async fn slices_that_are_forbidden_leave_the_services() {
    let found = k3s()
        .forbids(API_SLICES)
        .forbids(DNS_SLICES)
        .discover(None)
        .await
        .expect("a cluster");
    assert!(found.api.is_some_and(|api| api.endpoints.is_empty()));
    assert!(found.dns.is_some_and(|dns| dns.endpoints.is_empty()));
    assert_eq!(found.gaps.len(), 2, "{:?}", found.gaps);
}

#[tokio::test]
async fn calico_is_asked_in_its_later_group_only_where_the_first_is_not_there() {
    let pools =
        list(&json!([{"metadata": {"name": "p"}, "spec": {"cidr": "10.1.0.0/16", "ipipMode": "Always"}}]));
    let nodes = one_node(&json!({"projectcalico.org/IPv4Address": "172.18.0.2/16"}));
    let kind_of = |found: Discovery| found.overlay.map(|overlay| overlay.kind);

    let first = k3s().with(NODES, nodes.clone()).with(CALICO_POOLS, pools.clone());
    let found = first.discover(None).await.expect("a cluster");
    assert_eq!(kind_of(found), Some(mesh_proto::OverlayKind::Ipip));
    assert!(
        !first
            .asked()
            .iter()
            .any(|uri| uri.contains("/apis/projectcalico.org"))
    );

    let later = k3s().with(NODES, nodes.clone()).with(CALICO_POOLS_V3, pools);
    let found = later.discover(None).await.expect("a cluster");
    assert_eq!(kind_of(found), Some(mesh_proto::OverlayKind::Ipip));

    let forbidden = k3s()
        .with(NODES, nodes)
        .forbids(CALICO_POOLS)
        .discover(None)
        .await
        .expect("a cluster");
    assert!(
        forbidden.gaps.iter().any(|gap| gap.contains("ippools")),
        "{:?}",
        forbidden.gaps
    );
}
