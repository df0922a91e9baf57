//! ICMP echo sockets: raw where CAP_NET_RAW is there, else ping sockets where `net.ipv4.ping_group_range` allows
//! (Linux `net/ipv4/ping.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::datagram::{enlarge_receive_buffer, errno, prepare, receive_message, send_message};
use crate::option::{set_int, set_words};
use crate::{Errno, QueuedError, Received, queued_error};

/// How an ICMP socket was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpAccess {
    /// A raw socket: the caller chooses the identifier and computes the checksum (IPv4).
    Raw,
    /// A ping socket: the kernel sets identifier and checksum.
    Ping,
}

/// Neither kind of socket was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no ICMP: a raw socket gave {raw}, a ping socket gave {ping} (add CAP_NET_RAW, or set net.ipv4.ping_group_range)"
)]
pub struct IcmpOpenError {
    raw: Errno,
    ping: Errno,
}

/// A nonblocking socket for ICMP echo of one family. Messages begin with the ICMP header, in both directions.
#[derive(Debug)]
pub struct IcmpSocket {
    socket: Socket,
    access: IcmpAccess,
    v6: bool,
}

/// From `linux/icmp.h`: which ICMP types a raw socket receives, a bit set for those that it does not.
const ICMP_FILTER: i32 = 1;
/// From `linux/icmpv6.h`.
const ICMPV6_FILTER: i32 = 1;
const ECHO_REPLY: u8 = 0;
const ECHO_REPLY_V6: u8 = 129;

impl IcmpSocket {
    /// Opens a raw socket, or a ping socket where that is not allowed.
    pub fn open(v6: bool) -> Result<Self, IcmpOpenError> {
        let raw = match Self::open_as(v6, IcmpAccess::Raw) {
            Ok(socket) => return Ok(socket),
            Err(errno) => errno,
        };
        Self::open_as(v6, IcmpAccess::Ping).map_err(|ping| IcmpOpenError { raw, ping })
    }

    /// Opens a socket of one kind.
    pub fn open_as(v6: bool, access: IcmpAccess) -> Result<Self, Errno> {
        let (domain, protocol) = if v6 {
            (Domain::IPV6, Protocol::ICMPV6)
        } else {
            (Domain::IPV4, Protocol::ICMPV4)
        };
        let kind = match access {
            IcmpAccess::Raw => Type::RAW,
            IcmpAccess::Ping => Type::DGRAM,
        };
        let socket = Socket::new(domain, kind, Some(protocol)).map_err(errno)?;
        socket.set_nonblocking(true).map_err(errno)?;
        enlarge_receive_buffer(&socket, 1 << 20);
        prepare(&socket, v6)?;
        match (access, v6) {
            // A raw socket would wake for every ICMP message of the machine.
            (IcmpAccess::Raw, false) => {
                set_int(&socket, libc::SOL_RAW, ICMP_FILTER, !(1 << ECHO_REPLY))?;
            }
            (IcmpAccess::Raw, true) => {
                let mut blocked = [u32::MAX; 8];
                blocked[usize::from(ECHO_REPLY_V6 >> 5)] &= !(1 << (ECHO_REPLY_V6 & 31));
                set_words(&socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, blocked)?;
            }
            // Binding makes the kernel choose the identifier now.
            (IcmpAccess::Ping, _) => {
                let any: IpAddr = if v6 {
                    Ipv6Addr::UNSPECIFIED.into()
                } else {
                    Ipv4Addr::UNSPECIFIED.into()
                };
                socket.bind(&SocketAddr::new(any, 0).into()).map_err(errno)?;
            }
        }
        Ok(Self { socket, access, v6 })
    }

    /// How it was opened.
    pub fn access(&self) -> IcmpAccess {
        self.access
    }

    /// The identifier that the kernel uses, for a ping socket.
    pub fn kernel_identifier(&self) -> Option<u16> {
        match self.access {
            IcmpAccess::Raw => None,
            IcmpAccess::Ping => Some(self.socket.local_addr().ok()?.as_socket()?.port()),
        }
    }

    /// Has a raw socket receive messages with this identifier only, so that it does not wake for others' echoes, and their
    /// answers do not fill its buffer. A ping socket has its own.
    pub fn only_identifier(&self, identifier: u16) -> Result<(), Errno> {
        /// From `linux/filter.h`, as the assembler of `bpf_asm(1)` writes them.
        const LDX_HEADER_LEN: u16 = 0xb1;
        const LD_HALF_BEHIND_HEADER: u16 = 0x48;
        const LD_HALF: u16 = 0x28;
        const JUMP_IF_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        /// The identifier's place in an echo message (RFC 792, RFC 4443).
        const IDENTIFIER: u32 = 4;
        if self.access == IcmpAccess::Ping {
            return Ok(());
        }
        let step = socket2::SockFilter::new;
        // A raw IPv4 socket sees the IP header, an IPv6 one does not.
        let [find, load] = if self.v6 {
            [step(LD_HALF, 0, 0, IDENTIFIER), step(LD_HALF, 0, 0, IDENTIFIER)]
        } else {
            [
                step(LDX_HEADER_LEN, 0, 0, 0),
                step(LD_HALF_BEHIND_HEADER, 0, 0, IDENTIFIER),
            ]
        };
        let program = [
            find,
            load,
            step(JUMP_IF_EQUAL, 0, 1, identifier.into()),
            step(RETURN, 0, 0, u32::MAX),
            step(RETURN, 0, 0, 0),
        ];
        self.socket.attach_filter(&program).map_err(errno)
    }

    /// The ICMP message in what a [`crate::ReceiveBatch`] took from this socket.
    pub fn message<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        let start = if self.access == IcmpAccess::Raw && !self.v6 {
            ipv4_header_len(packet)
        } else {
            0
        };
        packet.get(start..).unwrap_or_default()
    }

    /// Sends an ICMP message. See [`crate::DatagramSocket::send`] for what an errno may mean.
    pub fn send(&self, message: &[u8], to: IpAddr) -> Result<(), Errno> {
        send_message(self.socket.as_fd(), message, SocketAddr::new(to, 0), None)
    }

    /// Takes the next ICMP message, if one is there: its place in the buffer, and the rest.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<(std::ops::Range<usize>, Received)>, Errno> {
        let Some(received) = receive_message(self.socket.as_fd(), buffer)? else {
            return Ok(None);
        };
        let start = if self.access == IcmpAccess::Raw && !self.v6 {
            ipv4_header_len(&buffer[..received.len])
        } else {
            0
        };
        Ok(Some((start.min(received.len)..received.len, received)))
    }

    /// Takes the next entry of the error queue; the payload begins with the ICMP header that was sent.
    pub fn next_error(&self, buffer: &mut [u8]) -> Result<Option<QueuedError>, Errno> {
        queued_error(&self.socket, buffer)
    }
}

/// A raw IPv4 socket delivers the IP header too (`raw(7)`); its length is in the low half of the first byte, in words.
fn ipv4_header_len(packet: &[u8]) -> usize {
    packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4)
}

impl AsFd for IcmpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
