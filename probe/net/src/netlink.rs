//! Netlink sockets (`netlink(7)`): asking the kernel for its devices, routes and rules.

use std::fmt;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_core::NetlinkBuffer;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvmsg, sendto, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::Errno;

/// Which part of the kernel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetlinkFamily {
    /// Devices, addresses, routes, neighbours (`rtnetlink(7)`).
    Route,
    /// nf_tables, ipset, the connection table: needs CAP_NET_ADMIN.
    Netfilter,
    /// Whatever has registered itself by name: WireGuard.
    Generic,
}

impl fmt::Display for NetlinkFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "NETLINK_ROUTE",
            Self::Netfilter => "NETLINK_NETFILTER",
            Self::Generic => "NETLINK_GENERIC",
        })
    }
}

/// The kernel could not be asked, or gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkError {
    /// A call failed, or the kernel answered with an errno.
    #[error("{call} on {family}: {errno}")]
    Errno {
        /// What was tried; `answer` where the kernel refused.
        call: &'static str,
        /// Whom was asked.
        family: NetlinkFamily,
        /// What the kernel said.
        errno: Errno,
    },
    /// What came is no netlink message.
    #[error("the answer of {0} is malformed or endless")]
    Malformed(NetlinkFamily),
}

impl NetlinkError {
    /// The errno, if there was one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Errno { errno, .. } => Some(*errno),
            Self::Malformed(_) => None,
        }
    }
}

/// How a dump went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// All objects were there, once each.
    Whole,
    /// They changed meanwhile: some may be missing or twice (`NLM_F_DUMP_INTR`).
    Interrupted,
}

/// A socket to one part of the kernel, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    family: NetlinkFamily,
    sequence: u32,
    buffer: Vec<u8>,
}

/// The kernel writes up to 32 KiB at once (`netlink_dump` in `net/netlink/af_netlink.c`), and a single attribute that is
/// longer, up to 64.
const BUFFER: usize = 1 << 17;
/// A dump comes from memory: who waits longer than that for the next part waits for ever.
const PATIENCE_S: i64 = 2;
/// More than a million rules; an answer beyond that would not end.
const MOST_BYTES: usize = 1 << 29;

/// `struct nlmsghdr`.
const NETLINK_HEADER_LEN: usize = 16;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Numbers below that are messages of netlink itself.
const NLMSG_MIN_TYPE: u16 = 16;

impl Netlink {
    /// Opens a socket.
    pub fn open(family: NetlinkFamily) -> Result<Self, NetlinkError> {
        let failed = |call| {
            move |errno: nix::errno::Errno| NetlinkError::Errno {
                call,
                family,
                errno: errno.into(),
            }
        };
        let protocol = match family {
            NetlinkFamily::Route => SockProtocol::NetlinkRoute,
            NetlinkFamily::Netfilter => SockProtocol::NetlinkNetFilter,
            NetlinkFamily::Generic => SockProtocol::NetlinkGeneric,
        };
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )
        .map_err(failed("socket"))?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE_S))
            .map_err(failed("setsockopt"))?;
        Ok(Self {
            socket: fd,
            family,
            sequence: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Asks for all objects of a kind. `request` is what follows the netlink header; `each` gets the type and the content
    /// of every message that comes.
    pub fn dump(
        &mut self,
        kind: u16,
        request: &[u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<Dump, NetlinkError> {
        self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, request)?;
        self.receive(each)
    }

    /// Asks for one object: as [`Self::dump`], but one message comes, or an errno.
    pub fn ask(
        &mut self,
        kind: u16,
        request: &[u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<(), NetlinkError> {
        const NLM_F_ACK: u16 = 0x04;
        self.send(kind, NLM_F_REQUEST | NLM_F_ACK, request)?;
        self.receive(each).map(|_| ())
    }

    fn send(&mut self, kind: u16, flags: u16, request: &[u8]) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = vec![0; NETLINK_HEADER_LEN + request.len()];
        let length = u32::try_from(message.len()).map_err(|_| NetlinkError::Malformed(self.family))?;
        let mut header = NetlinkBuffer::new(&mut message);
        header.set_length(length);
        header.set_message_type(kind);
        header.set_flags(flags);
        header.set_sequence_number(self.sequence);
        header.payload_mut().copy_from_slice(request);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.socket.as_raw_fd(), &message, &kernel, MsgFlags::empty())
            .map(|_| ())
            .map_err(|errno| self.failed("send", errno.into()))
    }

    /// Takes messages until the last one.
    fn receive(&mut self, each: &mut dyn FnMut(u16, &[u8])) -> Result<Dump, NetlinkError> {
        let mut dump = Dump::Whole;
        let mut taken = 0;
        loop {
            let length = self.receive_some()?;
            taken += length;
            if taken > MOST_BYTES {
                return Err(NetlinkError::Malformed(self.family));
            }
            let mut rest = &self.buffer[..length];
            while !rest.is_empty() {
                let message =
                    NetlinkBuffer::new_checked(rest).map_err(|_| NetlinkError::Malformed(self.family))?;
                let (kind, flags) = (message.message_type(), message.flags());
                let size = usize::try_from(message.length()).unwrap_or(rest.len());
                // An answer to an earlier question that was given up.
                let ours = message.sequence_number() == self.sequence;
                let content = rest.get(NETLINK_HEADER_LEN..size).unwrap_or_default();
                if ours && flags & NLM_F_DUMP_INTR != 0 {
                    dump = Dump::Interrupted;
                }
                match kind {
                    _ if !ours => {}
                    NLMSG_DONE | NLMSG_ERROR => {
                        return match content.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)) {
                            code if code < 0 => Err(self.failed("answer", Errno(code.saturating_neg()))),
                            _ => Ok(dump),
                        };
                    }
                    NLMSG_MIN_TYPE.. => each(kind, content),
                    _ => {}
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    /// What comes next from the kernel; others cannot answer in its place.
    fn receive_some(&mut self) -> Result<usize, NetlinkError> {
        loop {
            let mut slices = [IoSliceMut::new(&mut self.buffer)];
            let received =
                recvmsg::<NetlinkAddr>(self.socket.as_raw_fd(), &mut slices, None, MsgFlags::empty());
            let (length, from, cut) = match received {
                Ok(message) => (
                    message.bytes,
                    message.address,
                    message.flags.contains(MsgFlags::MSG_TRUNC),
                ),
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(self.failed("receive", errno.into())),
            };
            if from.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            if cut || length == 0 {
                return Err(NetlinkError::Malformed(self.family));
            }
            return Ok(length);
        }
    }

    fn failed(&self, call: &'static str, errno: Errno) -> NetlinkError {
        NetlinkError::Errno {
            call,
            family: self.family,
            errno,
        }
    }
}
