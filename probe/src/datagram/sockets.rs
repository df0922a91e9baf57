//! The engine's sockets: ICMP and UDP, both families, opened when first needed and kept.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;

use mesh_net::{DatagramSocket, Errno, IcmpOpenError, IcmpSocket, QueuedError, RealTime};
use tokio::io::unix::AsyncFd;

use crate::echo_packet::{self, Token};
use crate::icmp_packet;

/// By which socket a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Lane {
    Icmp {
        v6: bool,
    },
    /// A UDP flow, by its number.
    Udp {
        v6: bool,
        flow: u16,
    },
    /// UDP, unfragmentable.
    PathMtu {
        v6: bool,
    },
}

/// Something that came in and belongs to a try.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    Icmp {
        from: IpAddr,
        at: RealTime,
    },
    Udp {
        packet: &'a [u8],
        from: SocketAddr,
        at: RealTime,
    },
    Error(QueuedError),
}

/// All sockets that were opened so far.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    icmp: BTreeMap<bool, Icmp>,
    udp: BTreeMap<Lane, Udp>,
    /// Local EMSGSIZE errors, by lane: what the device takes.
    local_mtu: BTreeMap<Lane, u32>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Icmp {
    socket: AsyncFd<IcmpSocket>,
    identifier: u16,
    dropped: u32,
}

#[derive(Debug)]
struct Udp {
    socket: AsyncFd<DatagramSocket>,
    port: u16,
    dropped: u32,
}

/// Larger than any answer of ours, and than the part of a packet that an ICMP error brings back.
const BUFFER: usize = 2_048;
/// What is read from one socket before the next one has its turn.
const AT_ONCE: usize = 256;

impl Sockets {
    /// Opens an ICMP socket, unless it is open.
    pub(super) fn open_icmp(&mut self, v6: bool) -> Result<Lane, IcmpOpenError> {
        if let std::collections::btree_map::Entry::Vacant(place) = self.icmp.entry(v6) {
            let socket = IcmpSocket::open(v6)?;
            let identifier = socket.kernel_identifier().unwrap_or_else(random_identifier);
            if let Ok(socket) = mesh_net::register(socket) {
                place.insert(Icmp {
                    socket,
                    identifier,
                    dropped: 0,
                });
            }
        }
        Ok(Lane::Icmp { v6 })
    }

    /// Opens a UDP socket, unless it is open.
    pub(super) fn open_udp(&mut self, lane: Lane) -> Result<Lane, Errno> {
        let v6 = matches!(lane, Lane::Udp { v6: true, .. } | Lane::PathMtu { v6: true });
        if let std::collections::btree_map::Entry::Vacant(place) = self.udp.entry(lane) {
            let any: IpAddr = if v6 {
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            };
            let socket = DatagramSocket::bind(SocketAddr::new(any, 0))?;
            if matches!(lane, Lane::PathMtu { .. }) {
                socket.probe_path_mtu()?;
            }
            let port = socket.local_address()?.port();
            let socket =
                mesh_net::register(socket).map_err(|error| Errno::of(&error).unwrap_or(Errno::INVALID))?;
            place.insert(Udp {
                socket,
                port,
                dropped: 0,
            });
        }
        Ok(lane)
    }

    /// The source port of a lane; 0 for ICMP.
    pub(super) fn port_of(&self, lane: Lane) -> u16 {
        self.udp.get(&lane).map_or(0, |udp| udp.port)
    }

    /// Sends a packet; ICMP messages are made here, since the socket has the identifier.
    pub(super) fn send(
        &self,
        lane: Lane,
        packet: Option<&[u8]>,
        token: Token,
        to: SocketAddr,
    ) -> Result<(), Errno> {
        match (lane, packet) {
            (Lane::Icmp { v6 }, _) => {
                let icmp = self.icmp.get(&v6).ok_or(Errno::INVALID)?;
                icmp.socket
                    .get_ref()
                    .send(&icmp_packet::request(v6, icmp.identifier, token), to.ip())
            }
            (_, Some(packet)) => {
                let udp = self.udp.get(&lane).ok_or(Errno::INVALID)?;
                udp.socket.get_ref().send(packet, to, None)
            }
            (_, None) => Err(Errno::INVALID),
        }
    }

    /// The MTU that a local EMSGSIZE error told, if `error` is one.
    pub(super) fn local_mtu(&self, lane: Lane, error: Errno) -> Option<u32> {
        (error == Errno::TOO_BIG)
            .then(|| self.local_mtu.get(&lane).copied())
            .flatten()
    }

    /// Waits until something can be read.
    pub(super) async fn readable(&mut self) {
        let (icmp, udp) = (&self.icmp, &self.udp);
        std::future::poll_fn(|context| {
            let mut ready = false;
            // Every socket is asked, so that each of them wakes this task.
            for icmp in icmp.values() {
                ready |= icmp.socket.poll_read_ready(context).is_ready();
            }
            for udp in udp.values() {
                ready |= udp.socket.poll_read_ready(context).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Reads all that is there, answers and errors, and hands over what carries a token of ours. Says how many datagrams
    /// the kernel has dropped since the last time, for want of room.
    pub(super) fn drain(&mut self, mut take: impl FnMut(Token, Incoming<'_>)) -> u32 {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        let mut dropped = 0;
        for (v6, icmp) in &mut self.icmp {
            let before = icmp.dropped;
            icmp.drain(*v6, &mut buffer, &mut take);
            dropped += icmp.dropped.wrapping_sub(before);
        }
        for (lane, udp) in &mut self.udp {
            let before = udp.dropped;
            if let Some(mtu) = udp.drain(&mut buffer, &mut take) {
                self.local_mtu.insert(*lane, mtu);
            }
            dropped += udp.dropped.wrapping_sub(before);
        }
        self.buffer = buffer;
        dropped
    }
}

impl Icmp {
    fn drain(&mut self, v6: bool, buffer: &mut [u8], take: &mut impl FnMut(Token, Incoming<'_>)) {
        let socket = self.socket.get_ref();
        while let Ok(Some(error)) = socket.next_error(buffer) {
            let message = &buffer[..error.payload_len.min(buffer.len())];
            if let Some(token) = icmp_packet::token_of_request(v6, self.identifier, message) {
                take(token, Incoming::Error(error));
            }
        }
        let dropped = &mut self.dropped;
        until_empty(&self.socket, |socket| {
            let Some((range, received)) = socket.receive(buffer)? else {
                return Ok(false);
            };
            note_drops(dropped, received.dropped_total);
            if let Some(token) = icmp_packet::token_of_reply(v6, self.identifier, &buffer[range]) {
                take(
                    token,
                    Incoming::Icmp {
                        from: received.from.ip(),
                        at: received.at,
                    },
                );
            }
            Ok(true)
        });
    }
}

impl Udp {
    /// Says what the device takes, if the kernel told so.
    fn drain(&mut self, buffer: &mut [u8], take: &mut impl FnMut(Token, Incoming<'_>)) -> Option<u32> {
        let mut local_mtu = None;
        while let Ok(Some(error)) = self.socket.get_ref().next_error(buffer) {
            if error.origin == mesh_net::Origin::Local && error.errno == Errno::TOO_BIG {
                local_mtu = Some(error.mtu);
            }
            let payload = &buffer[..error.payload_len.min(buffer.len())];
            if let Some(token) = echo_packet::token_of(payload) {
                take(token, Incoming::Error(error));
            }
        }
        let dropped = &mut self.dropped;
        until_empty(&self.socket, |socket| {
            let Some(received) = socket.receive(buffer)? else {
                return Ok(false);
            };
            note_drops(dropped, received.dropped_total);
            let packet = &buffer[..received.len];
            if let Some(token) = echo_packet::token_of(packet) {
                take(
                    token,
                    Incoming::Udp {
                        packet,
                        from: received.from,
                        at: received.at,
                    },
                );
            }
            Ok(true)
        });
        local_mtu
    }
}

/// The kernel tells its count only beside a datagram, and only once it is not 0.
fn note_drops(dropped: &mut u32, total: u32) {
    if total != 0 {
        *dropped = total;
    }
}

/// Reads a socket until it is empty, and only then clears its readiness. An errno in between is that of an ICMP error,
/// which the error queue has told already.
fn until_empty<S: std::os::fd::AsRawFd>(
    socket: &AsyncFd<S>,
    mut read: impl FnMut(&S) -> Result<bool, Errno>,
) {
    for _ in 0..AT_ONCE {
        let more = socket.try_io(tokio::io::Interest::READABLE, |socket| match read(socket) {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            Err(errno) => Err(errno.into()),
        });
        if matches!(&more, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return;
        }
    }
}

fn random_identifier() -> u16 {
    let mut bytes = [0; 2];
    let _ = getrandom::fill(&mut bytes);
    u16::from_be_bytes(bytes)
}
