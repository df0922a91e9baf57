//! The MTU of the device that packets to an address leave by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::option::get_int;
use crate::{DatagramSocket, Errno};

/// The largest IP packet, in bytes, that the device towards an address takes.
///
/// The kernel is asked to send the largest datagram there is, unfragmentable, and refuses with the device's MTU in the
/// error queue (`ip_local_error` in Linux `net/ipv4/ip_output.c`): nothing leaves the machine. Where even that passes
/// (loopback), the route's MTU is taken.
pub fn device_mtu(to: IpAddr) -> Result<u32, Errno> {
    const LARGEST_PAYLOAD: usize = 65_507;
    const DISCARD: u16 = 9;
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    if !to.is_loopback() {
        let socket = DatagramSocket::bind(SocketAddr::new(any, 0))?;
        socket.probe_path_mtu()?;
        match socket.send(&vec![0; LARGEST_PAYLOAD], SocketAddr::new(to, DISCARD), None) {
            Ok(()) => {}
            Err(Errno::TOO_BIG) => {
                while let Some(error) = socket.next_error(&mut [])? {
                    if error.errno == Errno::TOO_BIG && error.mtu > 0 {
                        return Ok(error.mtu);
                    }
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    route_mtu(SocketAddr::new(to, DISCARD), any)
}

fn route_mtu(to: SocketAddr, any: IpAddr) -> Result<u32, Errno> {
    let socket = std::net::UdpSocket::bind(SocketAddr::new(any, 0)).map_err(crate::datagram::errno)?;
    socket.connect(to).map_err(crate::datagram::errno)?;
    let mtu = if to.is_ipv6() {
        get_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU)?
    } else {
        get_int(&socket, libc::IPPROTO_IP, libc::IP_MTU)?
    };
    u32::try_from(mtu).map_err(|_| Errno::INVALID)
}
