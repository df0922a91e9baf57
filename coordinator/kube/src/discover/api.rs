//! The API server's service, `default/kubernetes`.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use mesh_proto::Port;

use super::slices;

/// The API server's service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundApi {
    /// Its ClusterIP, of the primary family.
    pub address: IpAddr,
    /// Its port.
    pub port: Port,
    /// The API servers behind it. Empty where the EndpointSlices could not be read.
    pub endpoints: Vec<SocketAddr>,
}

pub(super) fn read(
    service: Option<&Service>,
    slices: &[EndpointSlice],
    gaps: &mut Vec<String>,
) -> Option<FoundApi> {
    let Some(service) = service else {
        gaps.push("there is no service default/kubernetes: the way to the API is not probed".to_owned());
        return None;
    };
    let address = slices::cluster_ips(service).into_iter().next();
    let port = https(service).and_then(|port| Some((port, slices::number(port.port)?)));
    let (Some(address), Some((service_port, port))) = (address, port) else {
        gaps.push(
            "the service default/kubernetes has no ClusterIP or no port: the way to the API is not probed"
                .to_owned(),
        );
        return None;
    };
    let name = service_port.name.as_deref().unwrap_or_default();
    let members = slices::join(slices).in_use;
    let endpoints = members.iter().flat_map(|member| {
        let ports = member.ports.iter();
        let of_this = ports.filter(|port| port.protocol == "TCP" && port.name == name);
        of_this.map(|port| SocketAddr::new(member.address, port.port.0))
    });
    Some(FoundApi {
        address,
        port,
        endpoints: endpoints.collect(),
    })
}

/// The port named `https`; else the only TCP port there is, whatever its name.
fn https(service: &Service) -> Option<&ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_deref()?;
    let mut tcp = ports
        .iter()
        .filter(|port| port.protocol.as_deref().is_none_or(|name| name == "TCP"));
    let first = tcp.clone().next();
    tcp.find(|port| port.name.as_deref() == Some("https")).or(first)
}

#[cfg(test)]
mod tests;
