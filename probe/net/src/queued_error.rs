//! The error queue of a socket (`ip(7)`, IP_RECVERR): ICMP errors with who sent them, and local errors.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

use crate::{Errno, address};

/// Who made an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The own kernel, before anything was sent.
    Local,
    /// An ICMP error came in.
    Icmp,
    /// An ICMPv6 error came in.
    Icmp6,
    /// No error: a packet left, and this is its time stamp.
    Left,
    /// Anything else.
    Other,
}

impl Origin {
    /// From `ee_origin` (Linux `include/uapi/linux/errqueue.h`).
    pub(crate) fn of(origin: u8) -> Self {
        match origin {
            libc::SO_EE_ORIGIN_LOCAL => Self::Local,
            libc::SO_EE_ORIGIN_ICMP => Self::Icmp,
            libc::SO_EE_ORIGIN_ICMP6 => Self::Icmp6,
            libc::SO_EE_ORIGIN_TIMESTAMPING => Self::Left,
            _ => Self::Other,
        }
    }
}

/// One entry of an error queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedError {
    /// Who made it.
    pub origin: Origin,
    /// The errno that the next call on the socket would have given.
    pub errno: Errno,
    /// ICMP type; 0 for local errors.
    pub icmp_type: u8,
    /// ICMP code; 0 for local errors.
    pub icmp_code: u8,
    /// The MTU, where the error is EMSGSIZE: whole IP packets, in bytes.
    pub mtu: u32,
    /// Who sent the ICMP error.
    pub offender: Option<IpAddr>,
    /// Where the packet that caused it was going.
    pub destination: Option<SocketAddr>,
    /// How many bytes of that packet's payload stand in the buffer.
    pub payload_len: usize,
}

/// Takes the next entry from a socket's error queue, if there is one. The payload of the packet that caused it is put
/// into `buffer`: for UDP what was sent, for ICMP sockets beginning with the ICMP header.
pub fn queued_error(socket: impl AsFd, buffer: &mut [u8]) -> Result<Option<QueuedError>, Errno> {
    let mut control = nix::cmsg_space!(
        libc::sock_extended_err,
        libc::sockaddr_in6,
        libc::timespec,
        libc::in6_pktinfo,
        i32,
        i32
    );
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = match recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut slices,
        Some(&mut control),
        flags,
    ) {
        Ok(message) => message,
        Err(nix::errno::Errno::EAGAIN) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let destination = message.address.as_ref().and_then(address::to_std);
    let mut found = None;
    for control in message.cmsgs()? {
        let (error, offender) = match control {
            ControlMessageOwned::Ipv4RecvErr(error, offender) => (
                error,
                offender.map(|from| IpAddr::V4(address::from_in_addr(from.sin_addr))),
            ),
            ControlMessageOwned::Ipv6RecvErr(error, offender) => (
                error,
                offender.map(|from| IpAddr::V6(address::from_in6_addr(from.sin6_addr))),
            ),
            _ => continue,
        };
        found = Some(QueuedError {
            origin: Origin::of(error.ee_origin),
            errno: Errno(i32::try_from(error.ee_errno).unwrap_or(0)),
            icmp_type: error.ee_type,
            icmp_code: error.ee_code,
            mtu: error.ee_info,
            offender: offender.filter(|address| !address.is_unspecified()),
            destination,
            payload_len: message.bytes,
        });
    }
    // An entry without an error record is none of ours to read; an empty record keeps the caller draining.
    Ok(Some(found.unwrap_or(QueuedError {
        origin: Origin::Other,
        errno: Errno(0),
        icmp_type: 0,
        icmp_code: 0,
        mtu: 0,
        offender: None,
        destination,
        payload_len: message.bytes,
    })))
}
