//! UDP sockets that read their error queue, stamp what they receive, and say and choose local addresses.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::option::set_int;
use crate::{Errno, QueuedError, RealTime, address, queued_error};

/// A nonblocking, unconnected UDP socket of one address family.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: Socket,
    v6: bool,
}

/// A datagram that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its bytes in the buffer; a longer datagram is cut.
    pub len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The local address that it was sent to.
    pub to: Option<IpAddr>,
    /// When the kernel received it.
    pub at: RealTime,
    /// Datagrams that the kernel dropped so far since the socket's buffer was full.
    pub dropped_total: u32,
}

/// Room for replies of some thousands of peers that answer at once.
const RECEIVE_BUFFER: usize = 1 << 20;

impl DatagramSocket {
    /// Binds a socket. Port 0 takes any free one.
    pub fn bind(local: SocketAddr) -> Result<Self, Errno> {
        let v6 = local.is_ipv6();
        let socket =
            Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP)).map_err(errno)?;
        socket.set_nonblocking(true).map_err(errno)?;
        if v6 {
            socket.set_only_v6(true).map_err(errno)?;
        }
        enlarge_receive_buffer(&socket, RECEIVE_BUFFER);
        prepare(&socket, v6)?;
        socket.bind(&local.into()).map_err(errno)?;
        Ok(Self { socket, v6 })
    }

    /// The address and port it is bound to.
    pub fn local_address(&self) -> Result<SocketAddr, Errno> {
        let local = self.socket.local_addr().map_err(errno)?;
        local.as_socket().ok_or(Errno::INVALID)
    }

    /// Sends everything unfragmentable and ignores the path MTU that the kernel has cached (IP_PMTUDISC_PROBE).
    pub fn probe_path_mtu(&self) -> Result<(), Errno> {
        if self.v6 {
            set_int(
                &self.socket,
                libc::IPPROTO_IPV6,
                libc::IPV6_MTU_DISCOVER,
                libc::IPV6_PMTUDISC_PROBE,
            )
        } else {
            set_int(
                &self.socket,
                libc::IPPROTO_IP,
                libc::IP_MTU_DISCOVER,
                libc::IP_PMTUDISC_PROBE,
            )
        }
    }

    /// Sends a datagram, from the given local address if there is one. An errno may stem from an earlier ICMP error:
    /// drain the error queue ([`Self::next_error`]) and, if it held something, send again.
    pub fn send(&self, payload: &[u8], to: SocketAddr, from: Option<IpAddr>) -> Result<(), Errno> {
        send_message(self.socket.as_fd(), payload, to, from)
    }

    /// Takes the next datagram, if one is there.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<Received>, Errno> {
        receive_message(self.socket.as_fd(), buffer)
    }

    /// Takes the next entry of the error queue, if there is one.
    pub fn next_error(&self, buffer: &mut [u8]) -> Result<Option<QueuedError>, Errno> {
        queued_error(&self.socket, buffer)
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for DatagramSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Makes room for `bytes` in a socket's receive buffer: with CAP_NET_ADMIN all of it, else what net.core.rmem_max allows.
/// Less than asked for is no error: what does not fit is dropped, and the kernel counts it.
pub fn enlarge_receive_buffer(socket: &impl AsFd, bytes: usize) {
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &bytes);
    }
}

/// Makes room for `bytes` in a socket's send buffer, as [`enlarge_receive_buffer`] does: packets that wait for a
/// neighbour's address are held against it, and then nothing else leaves.
pub fn enlarge_send_buffer(socket: &impl AsFd, bytes: usize) {
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        let _ = setsockopt(socket, sockopt::SndBuf, &bytes);
    }
}

/// Has the kernel leave out which local address a datagram was sent to, for those who do not ask.
pub fn leave_out_local_address(socket: &impl AsFd) {
    // One of the two is of the socket's family; the other does no harm.
    let _ = setsockopt(socket, sockopt::Ipv4PacketInfo, &false);
    let _ = setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false);
}

/// Has the kernel say when packets leave that ask for it, where the device's driver tells (Linux
/// `Documentation/networking/timestamping.rst`); see [`crate::SendBatch::add`]. Without it nothing is said.
pub fn report_departures(socket: &impl AsFd) {
    let flags = i32::try_from(libc::SOF_TIMESTAMPING_SOFTWARE).unwrap_or(0);
    // Kernels without it, or that do not allow it, leave the caller with its own clock.
    let _ = set_int(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags);
}

/// For `map_err`, which hands errors over by value.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(crate) fn errno(error: std::io::Error) -> Errno {
    Errno::of(&error).unwrap_or(Errno::INVALID)
}

/// Error queue, packet info, kernel time stamps, drop counter.
pub(crate) fn prepare(socket: &Socket, v6: bool) -> Result<(), Errno> {
    setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
    set_int(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

pub(crate) fn send_message(
    socket: BorrowedFd<'_>,
    payload: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> Result<(), Errno> {
    let to = address::from_std(to);
    let slices = [IoSlice::new(payload)];
    let send_with = |control: &[ControlMessage<'_>]| {
        sendmsg(
            socket.as_raw_fd(),
            &slices,
            control,
            MsgFlags::MSG_DONTWAIT,
            Some(&to),
        )
    };
    let sent = match from {
        Some(IpAddr::V4(source)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: address::to_in_addr(source),
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            send_with(&[ControlMessage::Ipv4PacketInfo(&info)])
        }
        Some(IpAddr::V6(source)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: address::to_in6_addr(source),
                ipi6_ifindex: 0,
            };
            send_with(&[ControlMessage::Ipv6PacketInfo(&info)])
        }
        None => send_with(&[]),
    };
    sent.map(|_| ()).map_err(Errno::from)
}

pub(crate) fn receive_message(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Option<Received>, Errno> {
    let mut control = nix::cmsg_space!(libc::timespec, libc::in6_pktinfo, u32, i32);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    );
    let message = match received {
        Ok(message) => message,
        Err(nix::errno::Errno::EAGAIN) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut at = None;
    let mut to = None;
    let mut dropped_total = 0;
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmTimestampns(time) => {
                at = Some(RealTime::from_timespec(time.tv_sec(), time.tv_nsec()));
            }
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                to = Some(IpAddr::V4(address::from_in_addr(info.ipi_addr)));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                to = Some(IpAddr::V6(address::from_in6_addr(info.ipi6_addr)));
            }
            ControlMessageOwned::RxqOvfl(dropped) => dropped_total = dropped,
            _ => {}
        }
    }
    let from = message
        .address
        .as_ref()
        .and_then(address::to_std)
        .ok_or(Errno::INVALID)?;
    Ok(Some(Received {
        len: message.bytes,
        from,
        to,
        at: at.unwrap_or_else(RealTime::now),
        dropped_total,
    }))
}
