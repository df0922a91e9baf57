//! The cluster's DNS service and what stands behind it.
//!
//! A NodeLocal DNSCache, where there is one, answers pods in kube-dns' place from their own node. It is not looked for:
//! what is asked here is the service, and on such a node its address leads to the cache.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{ConfigMap, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use mesh_proto::NodeName;

use super::{domain, slices};

/// The label that DNS services of most installers carry.
pub(super) const LABEL: &str = "k8s-app=kube-dns";

/// Namespaces and names that DNS services are known by, likeliest first.
pub(super) const NAMES: [(&str, &str); 4] = [
    ("kube-system", "kube-dns"),
    ("kube-system", "coredns"),
    ("kube-system", "rke2-coredns-rke2-coredns"),
    ("openshift-dns", "dns-default"),
];

/// The cluster's DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDns {
    /// The service's ClusterIP, of the primary family.
    pub address: IpAddr,
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub service: String,
    /// A name that it must know: `kubernetes.default.svc.` and the cluster's domain.
    pub name: String,
    /// Ready endpoints of that address' family, with the node of each. Their port need not be the service's (OpenShift: 5353).
    pub endpoints: Vec<(SocketAddr, Option<NodeName>)>,
    /// How many endpoints are not ready.
    pub not_ready: usize,
}

/// The one among the candidates that pods are pointed to, as far as names tell.
pub(super) fn choose<'a>(candidates: &'a [Service], gaps: &mut Vec<String>) -> Option<&'a Service> {
    // The label alone does not do: a NodeLocal DNSCache brings a second service with it, kube-dns-upstream.
    let chosen = candidates
        .iter()
        .filter(|service| is_usable(service))
        .min_by_key(|service| {
            let (namespace, name) = key(service);
            let known = NAMES.iter().position(|known| *known == (namespace, name));
            (
                known.unwrap_or(NAMES.len()),
                namespace != "kube-system",
                namespace,
                name,
            )
        });
    if chosen.is_none() {
        gaps.push(match candidates {
            [] => "no DNS service was found, by the label k8s-app=kube-dns or by name: DNS is not probed".to_owned(),
            [first, ..] => {
                let (namespace, name) = key(first);
                format!("the service {namespace}/{name} has no ClusterIP with UDP and TCP port 53: DNS is not probed")
            }
        });
    }
    chosen
}

/// Whether it has an address of its own and port 53 in both protocols.
pub(super) fn is_usable(service: &Service) -> bool {
    let has = |protocol: &str| port(service, protocol).is_some();
    !slices::cluster_ips(service).is_empty() && has("UDP") && has("TCP")
}

pub(super) fn read(
    service: &Service,
    slices: &[EndpointSlice],
    corefile: Option<&ConfigMap>,
    gaps: &mut Vec<String>,
) -> Option<FoundDns> {
    let address = slices::cluster_ips(service).into_iter().next()?;
    // A dual-stack service has every pod in slices of both families; its address leads to those of its own.
    let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
    let slices: Vec<EndpointSlice> = slices
        .iter()
        .filter(|slice| slice.address_type == family)
        .cloned()
        .collect();
    let members = slices::join(&slices);
    let (namespace, name) = key(service);
    let mut endpoints = Vec::new();
    for member in members.in_use {
        let behind = |protocol: &str| {
            let name = port(service, protocol)?.name.as_deref().unwrap_or_default();
            let ports = member.ports.iter();
            ports
                .filter(|port| port.protocol == protocol && port.name == name)
                .map(|port| port.port)
                .next()
        };
        let (udp, tcp) = (behind("UDP"), behind("TCP"));
        let Some(port) = udp.or(tcp) else { continue };
        if let Some(tcp) = tcp.filter(|tcp| *tcp != port) {
            gaps.push(format!(
                "the endpoint {} of {namespace}/{name} listens on port {port} for UDP and on {tcp} for TCP: it is probed through \
                 the service only",
                member.address
            ));
            continue;
        }
        endpoints.push((SocketAddr::new(member.address, port.0), member.node));
    }
    let found = corefile
        .and_then(|map| map.data.as_ref()?.get("Corefile"))
        .and_then(|text| domain::of_corefile(text));
    if found.is_none() {
        gaps.push(format!(
            "no Corefile tells the cluster's domain: it is taken to be {}",
            domain::USUAL
        ));
    }
    let domain = found.as_deref().unwrap_or(domain::USUAL);
    Some(FoundDns {
        address,
        namespace: namespace.to_owned(),
        service: name.to_owned(),
        name: format!("kubernetes.default.svc.{domain}"),
        endpoints,
        not_ready: members.not_ready,
    })
}

/// The ConfigMap with the Corefile of the service's pods: called as the service is, but for kube-dns, which kept its name
/// when CoreDNS took its place.
pub(super) fn corefile_of(service: &Service) -> (&str, &str) {
    match key(service) {
        (namespace, "kube-dns") => (namespace, "coredns"),
        other => other,
    }
}

/// Namespace and name.
pub(super) fn key(service: &Service) -> (&str, &str) {
    let meta = &service.metadata;
    (
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    )
}

fn port<'a>(service: &'a Service, protocol: &str) -> Option<&'a ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_deref()?;
    ports
        .iter()
        .find(|port| port.port == 53 && port.protocol.as_deref().unwrap_or("TCP") == protocol)
}

#[cfg(test)]
mod tests;
