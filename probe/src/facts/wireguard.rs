//! The ports of WireGuard devices, which the kernel tells by a family of its own (Linux `include/uapi/linux/wireguard.h`,
//! `genetlink.h`).

use mesh_net::{Attributes, Netlink, NetlinkError, NetlinkFamily, put_attribute};
use mesh_proto::{Link, Missing, OverlayKind, Port};

use super::reader::absent;

/// `struct genlmsghdr`: command, version, two reserved.
const GENLMSGHDR: usize = 4;
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const WG_CMD_GET_DEVICE: u8 = 0;
const WGDEVICE_A_IFNAME: u16 = 2;
const WGDEVICE_A_LISTEN_PORT: u16 = 6;

/// Fills in the ports, if there are such devices.
pub(super) fn complete(links: &mut [Link], missing: &mut Vec<Missing>) {
    for link in links {
        let name = link.name.clone();
        if let Some(tunnel) = link
            .tunnel
            .as_mut()
            .filter(|tunnel| tunnel.kind == OverlayKind::Wireguard)
        {
            match port(&name) {
                Ok(port) => tunnel.port = port,
                Err(error) => missing.push(absent(&format!("the port of {name}"), &error)),
            }
        }
    }
}

fn port(name: &str) -> Result<Option<Port>, NetlinkError> {
    let mut netlink = Netlink::open(NetlinkFamily::Generic)?;
    let mut family = 0;
    let request = request(CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, "wireguard");
    netlink.ask(GENL_ID_CTRL, &request, &mut |_, content| {
        let attributes = Attributes::after(GENLMSGHDR, content);
        family = attributes
            .find(CTRL_ATTR_FAMILY_ID)
            .and_then(|id| id.u16())
            .unwrap_or(family);
    })?;
    let mut port = None;
    let request = self::request(WG_CMD_GET_DEVICE, WGDEVICE_A_IFNAME, name);
    netlink.dump(family, &request, &mut |_, content| {
        port = port.or(port_in(content));
    })?;
    Ok(port)
}

/// Of all that the kernel tells here, keys among it, the port is what is kept.
fn port_in(content: &[u8]) -> Option<Port> {
    let port = Attributes::after(GENLMSGHDR, content)
        .find(WGDEVICE_A_LISTEN_PORT)?
        .u16()?;
    (port != 0).then_some(Port(port))
}

fn request(command: u8, attribute: u16, name: &str) -> Vec<u8> {
    let mut request = vec![command, 1, 0, 0];
    let mut text = name.as_bytes().to_vec();
    text.push(0);
    put_attribute(&mut request, attribute, &text);
    request
}

#[cfg(test)]
mod tests {
    use mesh_net::put_attribute;
    use mesh_proto::Port;

    use super::port_in;

    #[test]
    fn the_port_is_found_among_all_else() {
        let mut content = vec![0, 1, 0, 0];
        put_attribute(&mut content, 2, b"wg0\0");
        put_attribute(&mut content, 6, &51_820_u16.to_ne_bytes());
        assert_eq!(port_in(&content), Some(Port(51_820)));
        assert_eq!(port_in(&content[..8]), None);
    }
}
