//! `agents:` of an inventory.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use mesh_proto::{AgentKey, NodeName, Plane};

use super::reader::{Place, Reader};
use crate::link::LinkAddress;

/// An agent that somebody else started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InventoryAgent {
    /// Who it should be.
    pub(crate) key: AgentKey,
    /// Where probes reach it.
    pub(crate) address: IpAddr,
    /// Where the coordinator reaches it.
    pub(crate) link: LinkAddress,
    /// The field of its link, for messages: `agents[2].link`.
    pub(crate) link_field: String,
}

pub(super) const AN_ADDRESS: &str = "an IP address such as 10.244.1.10 or fd00::10";
const A_LINK: &str = "unix:PATH or tcp:ADDRESS:PORT";

pub(super) fn read<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Vec<InventoryAgent> {
    let items = reader.list(place);
    if items.is_empty() {
        reader.problem(place, "found none, expected at least one agent");
        return Vec::new();
    }
    let mut seen = Seen::default();
    items
        .iter()
        .filter_map(|item| read_agent(reader, item, &mut seen))
        .collect()
}

fn read_agent<'a>(reader: &mut Reader<'a>, item: &Place<'a>, seen: &mut Seen) -> Option<InventoryAgent> {
    let fields = reader.mapping(item, &["node", "plane", "address", "link"])?;
    let node = reader.required(&fields, "node", "a node's name");
    let node = node.and_then(|place| node_name(reader, &place));
    let plane = reader.required(&fields, "plane", "pod or host");
    let plane = plane.and_then(|place| {
        reader.parsed(&place, "pod or host", |text| {
            text.parse::<Plane>().map_err(drop_words)
        })
    });
    let address_place = reader.required(&fields, "address", AN_ADDRESS);
    let address = address_place.as_ref().and_then(|place| address(reader, place));
    let link_place = reader.required(&fields, "link", A_LINK);
    let link = link_place.as_ref().and_then(|place| {
        reader.parsed(place, A_LINK, |text| {
            text.parse::<LinkAddress>().map_err(|error| error.to_string())
        })
    });

    if let (Some(node), Some(plane)) = (&node, plane) {
        let key = AgentKey {
            node: node.clone(),
            plane,
        };
        once(reader, &mut seen.keys, key, item, "agent");
    }
    if let (Some(plane), Some(address), Some(place)) = (plane, address, &address_place) {
        once(
            reader,
            &mut seen.addresses,
            (plane, address),
            place,
            "address in this plane",
        );
    }
    if let (Some(link), Some(place)) = (&link, &link_place) {
        once(reader, &mut seen.links, link.clone(), place, "link");
    }
    Some(InventoryAgent {
        key: AgentKey {
            node: node?,
            plane: plane?,
        },
        address: address?,
        link: link?,
        link_field: link_place?.path,
    })
}

/// What must stand only once, and which field had it first.
#[derive(Debug, Default)]
struct Seen {
    keys: HashMap<AgentKey, String>,
    addresses: HashMap<(Plane, IpAddr), String>,
    links: HashMap<LinkAddress, String>,
}

/// Tells of a value that stood before.
pub(super) fn once<T: Hash + Eq>(
    reader: &mut Reader<'_>,
    seen: &mut HashMap<T, String>,
    value: T,
    place: &Place<'_>,
    what: &str,
) {
    if let Some(first) = seen.get(&value) {
        let problem = format!("duplicate: {first} has the same {what}");
        reader.problem(place, problem);
    } else {
        seen.insert(value, place.path.clone());
    }
}

pub(super) fn node_name<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<NodeName> {
    const EXPECTED: &str =
        "a node's name (1 to 253 bytes; no white space, slash, control or invisible character)";
    reader.parsed(place, EXPECTED, |text| text.parse().map_err(drop_words))
}

pub(super) fn address<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<IpAddr> {
    let address: IpAddr = reader.parsed(place, AN_ADDRESS, |text| text.parse().map_err(drop_words))?;
    if address.is_unspecified() || address.is_multicast() {
        reader.problem(
            place,
            format!("found `{address}`, expected the address of one machine or pod"),
        );
        return None;
    }
    Some(address)
}

/// For errors that say no more than what was expected.
pub(super) fn drop_words<E>(_: E) -> String {
    String::new()
}
