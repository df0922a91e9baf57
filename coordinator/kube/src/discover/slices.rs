//! EndpointSlices of one service, joined.

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use mesh_proto::{NodeName, Port};

/// An address behind a service, with the ports that its slice names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: IpAddr,
    pub(super) node: Option<NodeName>,
    pub(super) ports: Vec<MemberPort>,
}

/// A port of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberPort {
    /// The same as the service port's; empty where the service has but one.
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) port: Port,
}

/// The endpoints of a service.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Members {
    /// Those that the service's rules send to.
    pub(super) in_use: Vec<Member>,
    /// How many more there are.
    pub(super) not_ready: usize,
}

/// Joins the slices of one service.
///
/// kube-proxy sends to the ready ones; where there is none, to those that end but still serve (KEP-1669).
pub(super) fn join(slices: &[EndpointSlice]) -> Members {
    let mut ready: Vec<Member> = Vec::new();
    let mut serving: Vec<Member> = Vec::new();
    let mut others: Vec<IpAddr> = Vec::new();
    for slice in slices {
        let ports = ports(slice);
        for endpoint in slice.endpoints.as_deref().unwrap_or_default() {
            // Addresses of one endpoint are interchangeable, and kube-proxy takes the first. An FQDN is no address.
            let Some(address) = endpoint.addresses.first().and_then(|text| text.parse().ok()) else {
                continue;
            };
            let member = Member {
                address,
                node: endpoint.node_name.as_deref().and_then(|name| name.parse().ok()),
                ports: ports.clone(),
            };
            match state(endpoint) {
                State::Ready => add(&mut ready, member),
                State::EndingButServes => add(&mut serving, member),
                State::NotReady => others.push(address),
            }
        }
    }
    let (in_use, left) = if ready.is_empty() {
        (serving, Vec::new())
    } else {
        (ready, serving)
    };
    others.extend(left.iter().map(|member| member.address));
    // While an endpoint moves from one slice to another it is in both.
    others.retain(|address| in_use.iter().all(|member| member.address != *address));
    others.sort_unstable();
    others.dedup();
    Members {
        in_use,
        not_ready: others.len(),
    }
}

enum State {
    Ready,
    EndingButServes,
    NotReady,
}

/// A condition that is absent counts as true, and `serving` as `ready` (the API's own words for EndpointConditions).
fn state(endpoint: &Endpoint) -> State {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
    let serving = conditions
        .and_then(|conditions| conditions.serving)
        .unwrap_or(ready);
    let ending = conditions
        .and_then(|conditions| conditions.terminating)
        .unwrap_or(false);
    match (ready, serving && ending) {
        (true, _) => State::Ready,
        (false, true) => State::EndingButServes,
        (false, false) => State::NotReady,
    }
}

fn add(members: &mut Vec<Member>, member: Member) {
    match members.iter_mut().find(|known| known.address == member.address) {
        // Slices of one service may differ in their ports, where pods give one name to different numbers.
        Some(known) => {
            for port in member.ports {
                if !known.ports.contains(&port) {
                    known.ports.push(port);
                }
            }
        }
        None => members.push(member),
    }
}

fn ports(slice: &EndpointSlice) -> Vec<MemberPort> {
    let listed = slice.ports.as_deref().unwrap_or_default();
    listed
        .iter()
        .filter_map(|port| {
            Some(MemberPort {
                name: port.name.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: number(port.port?)?,
            })
        })
        .collect()
}

/// A port number of the API: 1 to 65535.
pub(super) fn number(port: i32) -> Option<Port> {
    u16::try_from(port).ok().filter(|port| *port != 0).map(Port)
}

/// A service's own addresses, the primary family's first; none for a headless one.
pub(super) fn cluster_ips(service: &k8s_openapi::api::core::v1::Service) -> Vec<IpAddr> {
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let all = spec.cluster_ips.as_deref().unwrap_or_default();
    let texts = if all.is_empty() {
        spec.cluster_ip.as_slice()
    } else {
        all
    };
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
