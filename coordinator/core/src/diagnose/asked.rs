//! The service that a place is about: its name in words, and in the report's terms.

use std::net::IpAddr;

use mesh_proto::Where;

use crate::localise::Family;
use crate::{Backend, Cluster};

/// A service that is asked, or an endpoint of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Api,
    Dns,
    /// By its place in the roster.
    DnsEndpoint(usize),
    /// By its place in the roster.
    NodePort(usize),
    /// All of them.
    NodePorts,
}

impl Asked {
    /// What a family of parts is about, if it is about a service.
    pub(super) fn of(family: Family, cluster: &Cluster) -> Option<Self> {
        match family {
            Family::ApiService => Some(Self::Api),
            Family::DnsService | Family::DnsAll => Some(Self::Dns),
            Family::DnsEndpoint(number) => Some(Self::DnsEndpoint(number)),
            Family::NodePort(number) => Some(Self::NodePort(number)),
            Family::AnyNodePort if cluster.node_ports.len() == 1 => Some(Self::NodePort(0)),
            Family::AnyNodePort => Some(Self::NodePorts),
            _ => None,
        }
    }

    /// In words: `the DNS service`, `NodePort 30080/tcp`.
    pub(super) fn words(self, cluster: &Cluster) -> String {
        match self {
            Self::Api => "the API service".to_owned(),
            Self::Dns => "the DNS service".to_owned(),
            Self::DnsEndpoint(number) => match endpoint(cluster, number) {
                Some(of) => format!("the DNS endpoint {} on {}", of.address, of.node),
                None => "a DNS endpoint".to_owned(),
            },
            Self::NodePort(number) => match cluster.node_ports.get(number) {
                Some(offer) => format!("NodePort {}/{}", offer.port, offer.protocol),
                None => "a NodePort".to_owned(),
            },
            Self::NodePorts => "every NodePort".to_owned(),
        }
    }

    /// Puts it into a place.
    pub(super) fn put(self, cluster: &Cluster, place: &mut Where) {
        match self {
            Self::Api => {
                place.service = cluster.api.as_ref().map(|api| api.address);
                place.port = cluster.api.as_ref().map(|api| api.port);
            }
            Self::Dns => place.service = cluster.dns.as_ref().map(|dns| dns.address),
            Self::DnsEndpoint(number) => place.endpoint = endpoint(cluster, number).map(|of| of.address),
            Self::NodePort(number) => {
                if let Some(offer) = cluster.node_ports.get(number) {
                    (place.port, place.protocol) = (Some(offer.port), Some(offer.protocol));
                }
            }
            Self::NodePorts => {
                let mut ports = cluster.node_ports.iter().map(|offer| offer.port);
                let first = ports.next();
                place.port = first.filter(|first| ports.all(|port| port == *first));
            }
        }
    }

    /// The addresses behind it.
    pub(super) fn endpoints(self, cluster: &Cluster) -> Vec<IpAddr> {
        match self {
            Self::Api => {
                let endpoints = cluster.api.iter().flat_map(|api| &api.endpoints);
                endpoints.map(std::net::SocketAddr::ip).collect()
            }
            Self::Dns => cluster
                .dns
                .iter()
                .flat_map(|dns| &dns.endpoints)
                .map(|of| of.address)
                .collect(),
            Self::DnsEndpoint(number) => endpoint(cluster, number)
                .map(|of| of.address)
                .into_iter()
                .collect(),
            Self::NodePort(number) => {
                let backends = cluster
                    .node_ports
                    .get(number)
                    .into_iter()
                    .flat_map(|of| &of.backends);
                backends.map(|of| of.address).collect()
            }
            Self::NodePorts => {
                let backends = cluster.node_ports.iter().flat_map(|of| &of.backends);
                backends.map(|of| of.address).collect()
            }
        }
    }
}

impl Asked {
    /// Where to look when it does not answer.
    pub(super) fn advice(self) -> Vec<String> {
        let lines: [&str; 2] = match self {
            Self::Api => [
                "kubectl get endpointslices -n default kubernetes; curl -k https://ENDPOINT/livez",
                "On the control plane: crictl ps -a | grep kube-apiserver; journalctl -u kubelet",
            ],
            Self::Dns | Self::DnsEndpoint(_) => [
                "kubectl -n kube-system get pods -o wide -l k8s-app=kube-dns; kubectl -n kube-system logs -l k8s-app=kube-dns",
                "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns",
            ],
            Self::NodePort(_) | Self::NodePorts => [
                "kubectl get service,endpointslices -A -o wide | grep PORT; are the pods ready, and does the selector fit them?",
                "On the node: iptables-save -t nat | grep PORT; nft list table ip kube-proxy; and try the backend's own address.",
            ],
        };
        lines.map(str::to_owned).to_vec()
    }
}

fn endpoint(cluster: &Cluster, number: usize) -> Option<&Backend> {
    cluster.dns.as_ref()?.endpoints.get(number)
}
