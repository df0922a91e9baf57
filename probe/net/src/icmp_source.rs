//! ICMP echo from a chosen address of the machine.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use crate::datagram::send_message;
use crate::{Errno, IcmpSocket};

/// Sends an ICMP message as [`IcmpSocket::send`] does, from the given local address if there is one (IP_PKTINFO,
/// IPV6_PKTINFO). An address that is not the machine's is ENETUNREACH (Linux
/// `net/ipv4/route.c`).
pub fn send_echo_from(
    socket: &IcmpSocket,
    message: &[u8],
    to: IpAddr,
    from: Option<IpAddr>,
) -> Result<(), Errno> {
    send_message(socket.as_fd(), message, SocketAddr::new(to, 0), from)
}
