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

    /// Whether it was made for the run, or some of it was.
    pub(super) fn is_fresh(self, cluster: &Cluster) -> bool {
        match self {
            Self::Api | Self::Dns | Self::DnsEndpoint(_) => false,
            Self::NodePort(number) => cluster.node_ports.get(number).is_some_and(|offer| offer.fresh),
            Self::NodePorts => cluster.node_ports.iter().any(|offer| offer.fresh),
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
    pub(super) fn advice(self, cluster: &Cluster) -> Vec<String> {
        match self {
            Self::Api => {
                let endpoints = cluster.api.iter().flat_map(|api| &api.endpoints);
                let asked: Vec<String> = endpoints
                    .map(|of| format!("curl -k https://{of}/livez"))
                    .collect();
                let asked = if asked.is_empty() {
                    "curl -k https://ENDPOINT/livez".to_owned()
                } else {
                    asked.join("; ")
                };
                vec![
                    format!("kubectl get endpointslices -n default kubernetes; {asked}"),
                    "On the control plane: crictl ps -a | grep kube-apiserver; journalctl -u kubelet"
                        .to_owned(),
                ]
            }
            Self::Dns | Self::DnsEndpoint(_) => {
                let lines = [
                    "kubectl -n kube-system get pods -o wide -l k8s-app=kube-dns",
                    "kubectl -n kube-system logs --tail=20 --prefix -l k8s-app=kube-dns",
                    "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns",
                ];
                let nobody = self.endpoints(cluster).is_empty();
                let scaled = [
                    "kubectl -n kube-system get deploy -l k8s-app=kube-dns",
                    "If it is scaled to 0: kubectl -n kube-system scale deploy -l k8s-app=kube-dns --replicas=2",
                ];
                let scaled = scaled.into_iter().filter(|_| nobody);
                scaled.chain(lines).map(str::to_owned).collect()
            }
            Self::NodePort(_) | Self::NodePorts => {
                let mut ports: Vec<String> = match self {
                    Self::NodePort(number) => cluster.node_ports.get(number).into_iter().collect(),
                    _ => cluster.node_ports.iter().collect::<Vec<_>>(),
                }
                .into_iter()
                .map(|offer| offer.port.to_string())
                .collect();
                ports.dedup();
                let ports = format!("grep -E '{}'", ports.join("|"));
                vec![
                    format!(
                        "Are the pods ready, and does the selector fit them: kubectl get service,endpointslices -A -o wide | {ports}"
                    ),
                    format!("On the node: iptables-save -t nat | {ports}; nft list table ip kube-proxy"),
                ]
            }
        }
    }
}

fn endpoint(cluster: &Cluster, number: usize) -> Option<&Backend> {
    cluster.dns.as_ref()?.endpoints.get(number)
}

#[cfg(test)]
mod tests {
    use super::Asked;
    use crate::world::World;

    #[test]
    fn who_has_no_dns_endpoint_is_told_to_look_at_its_deployment_first_and_all_that_is_known_is_filled_in() {
        let mut cluster = World::healthy(3).roster().cluster;
        assert!(!Asked::Dns.advice(&cluster)[0].contains("scale"));
        cluster.dns.as_mut().unwrap().endpoints.clear();
        assert!(Asked::Dns.advice(&cluster)[1].contains("scale deploy"));
        assert!(Asked::Api.advice(&cluster)[0].contains("https://10.0.3.1:6443/livez"));
        assert!(Asked::NodePort(0).advice(&cluster)[0].contains("grep -E '30080'"));
    }
}
