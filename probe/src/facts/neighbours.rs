//! Who has which address: ARP and NDP entries, and forwarding entries of VXLAN devices and bridges (`RTM_GETNEIGH`,
//! Linux `include/uapi/linux/neighbour.h`).

use mesh_net::Attributes;
use mesh_proto::{ForwardingEntry, Neighbour, NeighbourState};

use super::links::{Names, mac_address, name_of};
use super::octets::{u8_at, u16_at, u32_at};
use super::reader::Reader;

const RTM_GETNEIGH: u16 = 30;
/// `struct ndmsg`: family, padding, device, state, flags, type.
const NDMSG: usize = 12;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const AF_BRIDGE: u8 = 7;
/// In the first byte of a hardware address (IEEE 802).
const GROUP: u8 = 1;

/// All entries of both families.
pub(super) fn neighbours(reader: &mut Reader<'_>, names: &Names) -> Vec<Neighbour> {
    reader.all("neighbours", RTM_GETNEIGH, &[0; NDMSG], |content, list| {
        list.extend(neighbour(names, content));
    })
}

pub(super) fn neighbour(names: &Names, content: &[u8]) -> Option<Neighbour> {
    let attributes = Attributes::after(NDMSG, content);
    let address = attributes.find(NDA_DST)?.address()?;
    // Their hardware address follows from the address itself (RFC 1112, RFC 2464), and every device has some.
    if address.is_multicast() {
        return None;
    }
    Some(Neighbour {
        address,
        link: name_of(names, u32_at(content, 4)?),
        mac: attributes.find(NDA_LLADDR).and_then(|mac| mac_address(mac.value)),
        state: state(u16_at(content, 8)?)?,
    })
}

/// `NUD_*`; one that the kernel has only begun with has none.
fn state(state: u16) -> Option<NeighbourState> {
    Some(match state {
        0x01 => NeighbourState::Incomplete,
        0x02 => NeighbourState::Reachable,
        0x04 | 0x08 | 0x10 => NeighbourState::Stale,
        0x20 => NeighbourState::Failed,
        0x40 => NeighbourState::NoArp,
        0x80 => NeighbourState::Permanent,
        _ => return None,
    })
}

/// All entries of all bridges and VXLAN devices.
pub(super) fn forwarding_entries(reader: &mut Reader<'_>, names: &Names) -> Vec<ForwardingEntry> {
    let mut request = [0; NDMSG];
    request[0] = AF_BRIDGE;
    reader.all("forwarding entries", RTM_GETNEIGH, &request, |content, list| {
        list.extend(forwarding_entry(names, content));
    })
}

pub(super) fn forwarding_entry(names: &Names, content: &[u8]) -> Option<ForwardingEntry> {
    let attributes = Attributes::after(NDMSG, content);
    let mac = attributes
        .find(NDA_LLADDR)
        .and_then(|mac| mac_address(mac.value))?;
    // Group addresses that a device listens to are no places.
    if u8_at(content, 0)? != AF_BRIDGE || mac.0[0] & GROUP != 0 {
        return None;
    }
    Some(ForwardingEntry {
        link: name_of(names, u32_at(content, 4)?),
        mac,
        peer: attributes.find(NDA_DST).and_then(|peer| peer.address()),
    })
}
