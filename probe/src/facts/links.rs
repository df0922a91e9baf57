//! Network devices (`RTM_GETLINK`, Linux `include/uapi/linux/if_link.h`).

use std::collections::BTreeMap;

use mesh_net::{Attribute, Attributes};
use mesh_proto::{Carrier, Link, LinkCounters, MacAddress};

use super::link_kind::{below, details, port_details, tunnel};
use super::octets::{array, u32_at, u64_at};
use super::reader::Reader;
use super::sysctls::{OF_DEVICE, OF_DEVICE_V6, of_device};

const RTM_GETLINK: u16 = 18;
/// `struct ifinfomsg`: family, type, index, flags, which flags to change.
const IFINFOMSG: usize = 16;
const IFF_UP: u32 = 1;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_CARRIER: u16 = 33;
const IFLA_LINK_NETNSID: u16 = 37;

const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;

/// In `IFLA_AF_SPEC`, by address family.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_CONF: u16 = 2;

/// A device, with what is only known once all are read.
#[derive(Debug)]
pub(super) struct Device {
    link: Link,
    /// Numbers of the device above and below, whose names may come later.
    master: Option<u32>,
    below: Option<u32>,
    sysctls: Vec<(String, String)>,
}

/// The devices' names by their numbers.
pub(super) type Names = BTreeMap<u32, String>;

/// A device's name; its number, if it has come since the devices were read.
pub(super) fn name_of(names: &Names, index: u32) -> String {
    names.get(&index).cloned().unwrap_or_else(|| format!("#{index}"))
}

/// All devices.
pub(super) fn devices(reader: &mut Reader<'_>) -> Vec<Device> {
    /// Without the statistics of each family, which nobody reads and which double the answer.
    const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
    let mut request = vec![0; IFINFOMSG];
    mesh_net::put_attribute(
        &mut request,
        IFLA_EXT_MASK,
        &RTEXT_FILTER_SKIP_STATS.to_ne_bytes(),
    );
    reader.all("links", RTM_GETLINK, &request, |content, list| {
        list.extend(device(content));
    })
}

/// Their names.
pub(super) fn names(devices: &[Device]) -> Names {
    devices
        .iter()
        .map(|device| (device.link.index, device.link.name.clone()))
        .collect()
}

/// The devices with the names of those above and below, and their sysctls.
pub(super) fn finish(devices: Vec<Device>, names: &Names) -> (Vec<Link>, Vec<(String, String)>) {
    let (mut links, mut sysctls) = (Vec::with_capacity(devices.len()), Vec::new());
    for mut device in devices {
        device.link.master = device.master.map(|index| name_of(names, index));
        if let Some(tunnel) = &mut device.link.tunnel {
            tunnel.below = device.below.map(|index| name_of(names, index));
        }
        sysctls.extend(device.sysctls);
        links.push(device.link);
    }
    (links, sysctls)
}

pub(super) fn device(content: &[u8]) -> Option<Device> {
    let attributes = Attributes::after(IFINFOMSG, content);
    let name = attributes.find(IFLA_IFNAME)?.text();
    let info = attributes.find(IFLA_LINKINFO).map(|info| info.nested());
    let of_info = |kind| info.as_ref().and_then(|info| info.find(kind));
    let kind = of_info(IFLA_INFO_KIND)
        .map(|kind| kind.text())
        .unwrap_or_default();
    let data = of_info(IFLA_INFO_DATA).map(|data| data.nested());
    let tunnel = tunnel(&kind, data.as_ref());
    let mut details = data.as_ref().map(|data| details(&kind, data)).unwrap_or_default();
    if let (Some(kind), Some(data)) = (of_info(IFLA_INFO_SLAVE_KIND), of_info(IFLA_INFO_SLAVE_DATA)) {
        details.extend(port_details(&kind.text(), &data.nested()));
    }
    // The other end of a veth pair, and what is in another namespace, has a number of that namespace.
    let here = attributes.find(IFLA_LINK_NETNSID).is_none();
    let up = u32_at(content, 8)? & IFF_UP != 0;
    let number = |kind| attributes.find(kind).and_then(|attribute| attribute.u8());
    let link = Link {
        index: u32_at(content, 4)?,
        up,
        carrier: carrier(up, number(IFLA_CARRIER), number(IFLA_OPERSTATE)),
        mtu: attributes.find(IFLA_MTU).and_then(|mtu| mtu.u32()).unwrap_or(0),
        mac: attributes
            .find(IFLA_ADDRESS)
            .and_then(|mac| mac_address(mac.value)),
        master: None,
        tunnel,
        counters: attributes
            .find(IFLA_STATS64)
            .map(|stats| counters(stats.value))
            .unwrap_or_default(),
        kind,
        name,
        details,
    };
    let of_tunnel = data.as_ref().and_then(|data| below(&link.kind, data));
    let below = of_tunnel
        .or_else(|| attributes.find(IFLA_LINK))
        .filter(|_| here)
        .and_then(|index| index.u32());
    Some(Device {
        master: attributes
            .find(IFLA_MASTER)
            .and_then(|index| index.u32())
            .filter(|index| *index != 0),
        below: below.filter(|index| *index != 0),
        sysctls: attributes
            .find(IFLA_AF_SPEC)
            .map(|spec| sysctls(&link.name, &spec))
            .unwrap_or_default(),
        link,
    })
}

/// `IF_OPER_*`: 0 unknown, 1 not present, 2 down, 3 lower layer down, 4 testing, 5 dormant, 6 up. A busy kernel brings it up to
/// date late (`net/core/link_watch.c`); whether there is a carrier it knows at once.
fn carrier(up: bool, carrier: Option<u8>, state: Option<u8>) -> Carrier {
    match (state, carrier) {
        (None | Some(0), _) => Carrier::Unknown,
        (_, Some(0)) | (Some(1 | 4 | 5), _) => Carrier::Down,
        (Some(_), Some(_)) if up => Carrier::Up,
        (Some(6), None) => Carrier::Up,
        _ => Carrier::Down,
    }
}

/// A hardware address, if it is one of six bytes: those of tunnels are IP addresses.
pub(super) fn mac_address(value: &[u8]) -> Option<MacAddress> {
    value.try_into().ok().map(MacAddress)
}

/// `struct rtnl_link_stats64`; it grows at its end.
fn counters(stats: &[u8]) -> LinkCounters {
    let at = |place: usize| u64_at(stats, place * 8).unwrap_or(0);
    LinkCounters {
        received: at(0),
        sent: at(1),
        receive_errors: at(4),
        send_errors: at(5),
        receive_dropped: at(6),
        send_dropped: at(7),
    }
}

/// The device's own sysctls, which come with it as arrays.
fn sysctls(link: &str, spec: &Attribute<'_>) -> Vec<(String, String)> {
    let conf = |family: u16, kind: u16| spec.nested().find(family)?.nested().find(kind);
    let value = |conf: &Attribute<'_>, place: usize| array(conf.value, place * 4).map(i32::from_ne_bytes);
    let mut sysctls = Vec::new();
    if let Some(conf) = conf(AF_INET, IFLA_INET_CONF) {
        for (place, name) in OF_DEVICE {
            let value = value(&conf, place - 1);
            sysctls.extend(value.map(|value| (of_device("ipv4", link, name), value.to_string())));
        }
    }
    if let Some(conf) = conf(AF_INET6, IFLA_INET6_CONF) {
        for (place, name) in OF_DEVICE_V6 {
            sysctls
                .extend(value(&conf, *place).map(|value| (of_device("ipv6", link, name), value.to_string())));
        }
    }
    sysctls
}
