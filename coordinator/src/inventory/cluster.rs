//! `cluster:` of an inventory. Every part is optional: what is absent is not probed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use mesh_core::{Api, Backend, Cluster, Dns, NodePortService, Overlay};
use mesh_proto::{OverlayKind, Port, Protocol, TrafficPolicy};

use super::agents::{AN_ADDRESS, address, drop_words, node_name, once};
use super::reader::{Fields, Place, Reader};
use super::yaml::Value;

const A_PORT: &str = "a port, 1 to 65535";
/// The name that every cluster's DNS knows, unless its domain was changed.
const USUAL_NAME: &str = "kubernetes.default.svc.cluster.local";

pub(super) fn read<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Cluster {
    let Some(fields) = reader.mapping(place, &["api", "dns", "node_ports", "overlay"]) else {
        return Cluster::default();
    };
    Cluster {
        api: fields.optional("api").and_then(|place| api(reader, &place)),
        dns: fields.optional("dns").and_then(|place| dns(reader, &place)),
        node_ports: fields
            .optional("node_ports")
            .map(|place| node_ports(reader, &place))
            .unwrap_or_default(),
        overlay: fields
            .optional("overlay")
            .and_then(|place| overlay(reader, &place)),
    }
}

fn api<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Api> {
    const HTTPS: Port = Port(443);
    let fields = reader.mapping(place, &["address", "port", "endpoints"])?;
    let address = required_address(reader, &fields);
    let port = match fields.optional("port") {
        Some(place) => port(reader, &place),
        None => Some(HTTPS),
    };
    let endpoints = items(reader, &fields, "endpoints", |reader, item| {
        reader.parsed(
            item,
            "ADDRESS:PORT such as 172.18.0.2:6443 or [fd00::2]:6443",
            |text| {
                let endpoint: SocketAddr = text.parse().map_err(drop_words)?;
                if endpoint.port() == 0 {
                    return Err("port 0".to_owned());
                }
                Ok(endpoint)
            },
        )
    });
    Some(Api {
        address: address?,
        port: port?,
        endpoints,
    })
}

fn dns<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Dns> {
    let fields = reader.mapping(place, &["address", "name", "endpoints"])?;
    let address = required_address(reader, &fields);
    let name = match fields.optional("name") {
        Some(place) => reader.parsed(&place, "a domain name", domain_name),
        None => Some(USUAL_NAME.to_owned()),
    };
    let endpoints = backends(reader, &fields, "endpoints");
    Some(Dns {
        address: address?,
        name: name?,
        endpoints,
        endpoint_port: Port(53),
    })
}

fn node_ports<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Vec<NodePortService> {
    let mut seen = HashMap::new();
    let items = reader.list(place);
    items
        .iter()
        .filter_map(|item| {
            let service = node_port(reader, item)?;
            once(
                reader,
                &mut seen,
                (service.port, service.protocol),
                item,
                "port and protocol",
            );
            Some(service)
        })
        .collect()
}

fn node_port<'a>(reader: &mut Reader<'a>, item: &Place<'a>) -> Option<NodePortService> {
    let fields = reader.mapping(item, &["port", "protocol", "policy", "backends"])?;
    let number = reader.required(&fields, "port", A_PORT);
    let number = number.and_then(|place| port(reader, &place));
    // Absent fields mean what they mean in a Service of Kubernetes.
    let protocol = match fields.optional("protocol") {
        Some(place) => reader.parsed(&place, "tcp or udp", |text| match text.parse() {
            Ok(protocol @ (Protocol::Tcp | Protocol::Udp)) => Ok(protocol),
            Ok(Protocol::Icmp) | Err(_) => Err(String::new()),
        }),
        None => Some(Protocol::Tcp),
    };
    let policy = match fields.optional("policy") {
        Some(place) => reader.parsed(&place, "Cluster or Local", |text| {
            text.parse().map_err(drop_words)
        }),
        None => Some(TrafficPolicy::Cluster),
    };
    let backends = backends(reader, &fields, "backends");
    Some(NodePortService {
        fresh: false,
        port: number?,
        protocol: protocol?,
        policy: policy?,
        backends,
    })
}

fn overlay<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Overlay> {
    let fields = reader.mapping(place, &["kind", "port"])?;
    let kinds = OverlayKind::ALL
        .iter()
        .map(|kind| kind.name())
        .collect::<Vec<_>>()
        .join(", ");
    let expected = format!("one of {kinds}");
    let kind = reader.required(&fields, "kind", &expected)?;
    let kind = reader.parsed(&kind, &expected, |text| {
        text.parse::<OverlayKind>().map_err(drop_words)
    })?;
    let Some(given) = fields.optional("port") else {
        return Some(Overlay {
            kind,
            port: usual_port(kind),
        });
    };
    if usual_port(kind).is_none() {
        reader.problem(&given, format!("found a port, expected none: {kind} has no port"));
        return None;
    }
    let port = port(reader, &given)?;
    Some(Overlay {
        kind,
        port: Some(port),
    })
}

/// The port that IANA lists for it (WireGuard: the one that everybody uses); `None` where the kind has no ports.
fn usual_port(kind: OverlayKind) -> Option<Port> {
    match kind {
        OverlayKind::Vxlan => Some(Port(4789)),
        OverlayKind::Geneve => Some(Port(6081)),
        OverlayKind::Wireguard => Some(Port(51_820)),
        OverlayKind::Ipip | OverlayKind::None => None,
    }
}

/// A backend may stand on a node without agents: that node is not checked, its backend is still expected to answer.
fn backends<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, name: &str) -> Vec<Backend> {
    let mut seen = HashMap::new();
    items(reader, fields, name, |reader, item| {
        let fields = reader.mapping(item, &["address", "node"])?;
        let address = required_address(reader, &fields);
        let node = reader.required(&fields, "node", "the name of the node it runs on");
        let node = node.and_then(|place| node_name(reader, &place));
        let backend = Backend {
            address: address?,
            node: node?,
        };
        once(reader, &mut seen, backend.address, item, "address");
        Some(backend)
    })
}

fn items<'a, T>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    name: &str,
    mut read: impl FnMut(&mut Reader<'a>, &Place<'a>) -> Option<T>,
) -> Vec<T> {
    let Some(place) = fields.optional(name) else {
        return Vec::new();
    };
    let items = reader.list(&place);
    items.iter().filter_map(|item| read(reader, item)).collect()
}

fn required_address<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<IpAddr> {
    let place = reader.required(fields, "address", AN_ADDRESS)?;
    address(reader, &place)
}

fn port<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Port> {
    // What is in quotes is a name to Kubernetes, also where it looks like a number.
    let is_text = matches!(place.node.value, Value::Text(_));
    reader.parsed(place, A_PORT, |text| match text.parse() {
        Ok(0) | Err(_) => Err(String::new()),
        Ok(_) if is_text => Err("a number, without quotes".to_owned()),
        Ok(port) => Ok(Port(port)),
    })
}

/// RFC 1035, section 2.3.4: labels of 1 to 63 bytes, 253 in all as text. A full stop at the end is taken off.
fn domain_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let fair = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > 253 || !name.split('.').all(fair) {
        return Err("labels of 1 to 63 letters, digits, hyphens, joined by full stops".to_owned());
    }
    Ok(name.to_owned())
}
