//! The engine's sockets: ICMP and UDP, both families, opened when first needed and kept.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use mesh_net::{DatagramSocket, Errno, IcmpOpenError, IcmpSocket, QueuedError, RealTime};

use crate::echo_packet::{self, Token};
use crate::icmp_packet;
use crate::way::Way;

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
    socket: IcmpSocket,
    identifier: u16,
    dropped: u32,
}

#[derive(Debug)]
struct Udp {
    socket: DatagramSocket,
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
            place.insert(Icmp {
                socket,
                identifier,
                dropped: 0,
            });
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
        way: Way,
    ) -> Result<(), Errno> {
        match (lane, packet) {
            (Lane::Icmp { v6 }, _) => {
                let icmp = self.icmp.get(&v6).ok_or(Errno::INVALID)?;
                let request = icmp_packet::request(v6, icmp.identifier, token);
                mesh_net::send_echo_from(&icmp.socket, &request, way.to.ip(), way.source)
            }
            (_, Some(packet)) => {
                let udp = self.udp.get(&lane).ok_or(Errno::INVALID)?;
                udp.socket.send(packet, way.to, way.source)
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

    /// Reads all that is there, answers and errors, and hands over what carries a token of ours. Says how many datagrams
    /// the kernel has dropped since the last time, for want of room.
    pub(super) fn drain(&mut self, mut take: impl FnMut(Token, Incoming<'_>)) -> u32 {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        let mut dropped = 0;
        let fds = self.icmp.values().map(|icmp| icmp.socket.as_fd());
        let fds = fds.chain(self.udp.values().map(|udp| udp.socket.as_fd()));
        // If the kernel does not say, each of them is read.
        let mut ready = mesh_net::readable(fds).unwrap_or_default().into_iter();
        let mut is_ready = || ready.next().unwrap_or(true);
        for (v6, icmp) in &mut self.icmp {
            if is_ready() {
                let before = icmp.dropped;
                icmp.drain(*v6, &mut buffer, &mut take);
                dropped += icmp.dropped.wrapping_sub(before);
            }
        }
        for (lane, udp) in &mut self.udp {
            if is_ready() {
                let before = udp.dropped;
                if let Some(mtu) = udp.drain(&mut buffer, &mut take) {
                    self.local_mtu.insert(*lane, mtu);
                }
                dropped += udp.dropped.wrapping_sub(before);
            }
        }
        self.buffer = buffer;
        dropped
    }
}

impl Icmp {
    fn drain(&mut self, v6: bool, buffer: &mut [u8], take: &mut impl FnMut(Token, Incoming<'_>)) {
        while let Ok(Some(error)) = self.socket.next_error(buffer) {
            let message = &buffer[..error.payload_len.min(buffer.len())];
            if let Some(token) = icmp_packet::token_of_request(v6, self.identifier, message) {
                take(token, Incoming::Error(error));
            }
        }
        let (socket, dropped) = (&self.socket, &mut self.dropped);
        until_empty(|| {
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
        while let Ok(Some(error)) = self.socket.next_error(buffer) {
            if error.origin == mesh_net::Origin::Local && error.errno == Errno::TOO_BIG {
                local_mtu = Some(error.mtu);
            }
            let payload = &buffer[..error.payload_len.min(buffer.len())];
            if let Some(token) = echo_packet::token_of(payload) {
                take(token, Incoming::Error(error));
            }
        }
        let (socket, dropped) = (&self.socket, &mut self.dropped);
        until_empty(|| {
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

/// Reads a socket until it is empty or others must have their turn. An errno in between is that of an ICMP error, which
/// the error queue has told already.
fn until_empty(mut read: impl FnMut() -> Result<bool, Errno>) {
    for _ in 0..AT_ONCE {
        if matches!(read(), Ok(false)) {
            return;
        }
    }
}

fn random_identifier() -> u16 {
    let mut bytes = [0; 2];
    let _ = getrandom::fill(&mut bytes);
    u16::from_be_bytes(bytes)
}
