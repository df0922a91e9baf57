//! The engine's sockets: ICMP and UDP, both families, opened when first needed and kept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use mesh_net::{
    BATCH, DatagramSocket, Errno, IcmpOpenError, IcmpSocket, Queued, QueuedError, Ready, RealTime,
    ReceiveBatch, SendBatch, enlarge_send_buffer, leave_out_local_address, report_departures,
};

use crate::echo_packet::{self, MacKey, REQUEST_LEN, Request, Token, write_request};
use crate::icmp_packet::{self, ECHO_LEN};
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
    /// The packet of a try left.
    Left {
        at: RealTime,
    },
}

/// All sockets that were opened so far, and the buffers that they share.
#[derive(Debug)]
pub(super) struct Sockets {
    lanes: BTreeMap<Lane, Open>,
    /// Local EMSGSIZE errors, by lane: what the device takes.
    local_mtu: BTreeMap<Lane, u32>,
    outgoing: SendBatch,
    datagrams: ReceiveBatch,
    errors: ReceiveBatch,
    ready: Vec<Ready>,
}

#[derive(Debug)]
struct Open {
    socket: AnySocket,
    /// The kernel's count of datagrams for which there was no room.
    dropped: u32,
    /// Packets of which the kernel was asked to say when they leave, and has not said yet.
    departures: usize,
}

#[derive(Debug)]
enum AnySocket {
    Icmp {
        socket: IcmpSocket,
        identifier: u16,
        v6: bool,
    },
    Udp {
        socket: DatagramSocket,
        port: u16,
    },
}

/// Larger than any answer of ours and what anybody echoes, than the part of a packet that an ICMP error brings back, and
/// than a request with the headers of a tunnel around it.
const ROOM: usize = 640;
/// For packets that wait for the address of a neighbour: of some hundreds of neighbours.
const SEND_BUFFER: usize = 1 << 20;
/// Batches that are read from one socket before the next one has its turn.
const BATCHES_AT_ONCE: usize = 4;

impl Default for Sockets {
    fn default() -> Self {
        Self {
            lanes: BTreeMap::new(),
            local_mtu: BTreeMap::new(),
            outgoing: SendBatch::new(REQUEST_LEN),
            datagrams: ReceiveBatch::new(ROOM),
            errors: ReceiveBatch::new(ROOM),
            ready: Vec::new(),
        }
    }
}

impl Sockets {
    /// Opens an ICMP socket, unless it is open.
    pub(super) fn open_icmp(&mut self, v6: bool) -> Result<(), IcmpOpenError> {
        if let Entry::Vacant(place) = self.lanes.entry(Lane::Icmp { v6 }) {
            let socket = IcmpSocket::open(v6)?;
            let identifier = socket.kernel_identifier().unwrap_or_else(random_identifier);
            if let Err(error) = socket.only_identifier(identifier) {
                // Others' answers are told apart by the identifier all the same.
                tracing::debug!(%error, "no filter on the ICMP socket");
            }
            place.insert(Open::new(AnySocket::Icmp {
                socket,
                identifier,
                v6,
            }));
        }
        Ok(())
    }

    /// Opens a UDP socket, unless it is open.
    pub(super) fn open_udp(&mut self, lane: Lane) -> Result<(), Errno> {
        let v6 = matches!(lane, Lane::Udp { v6: true, .. } | Lane::PathMtu { v6: true });
        if let Entry::Vacant(place) = self.lanes.entry(lane) {
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
            place.insert(Open::new(AnySocket::Udp { socket, port }));
        }
        Ok(())
    }

    /// The source port of a lane; 0 for ICMP.
    pub(super) fn port_of(&self, lane: Lane) -> u16 {
        match self.lanes.get(&lane).map(|open| &open.socket) {
            Some(AnySocket::Udp { port, .. }) => *port,
            _ => 0,
        }
    }

    /// Makes room for a new batch.
    pub(super) fn begin_batch(&mut self) {
        self.outgoing.clear();
    }

    /// Adds the request of a try to the batch, of usual length. With `stamp` the kernel says when it leaves.
    pub(super) fn add(&mut self, lane: Lane, key: &MacKey, request: Request, way: Way, stamp: bool) {
        match self.lanes.get(&lane).map(|open| &open.socket) {
            Some(AnySocket::Icmp { identifier, v6, .. }) => {
                let message = icmp_packet::request(*v6, *identifier, request.token);
                // The port of an ICMP target is 0, which is what the kernel wants of a raw IPv6 socket.
                let to = SocketAddr::new(way.to.ip(), 0);
                if let Some(packet) = self.outgoing.add(message.len(), to, way.source, stamp) {
                    packet.copy_from_slice(&message);
                }
            }
            _ => {
                if let Some(packet) = self.outgoing.add(REQUEST_LEN, way.to, way.source, stamp) {
                    write_request(packet, key, request);
                }
            }
        }
    }

    /// Sends a part of the batch, by places, and says how many left; see [`SendBatch::send`].
    pub(super) fn send_batch(
        &mut self,
        lane: Lane,
        part: Range<usize>,
        stamped: bool,
    ) -> Result<usize, Errno> {
        let open = self.lanes.get_mut(&lane).ok_or(Errno::INVALID)?;
        let left = self.outgoing.send(open.as_fd(), part)?;
        if stamped {
            open.departures += left;
        }
        Ok(left)
    }

    /// Sends one datagram of any length.
    pub(super) fn send(&self, lane: Lane, packet: &[u8], way: Way) -> Result<(), Errno> {
        match self.lanes.get(&lane).map(|open| &open.socket) {
            Some(AnySocket::Udp { socket, .. }) => socket.send(packet, way.to, way.source),
            _ => Err(Errno::INVALID),
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
        mesh_net::readiness(self.lanes.values().map(AsFd::as_fd), &mut self.ready);
        let mut dropped = 0;
        for ((lane, open), ready) in self.lanes.iter_mut().zip(&self.ready) {
            let before = open.dropped;
            if ready.data {
                let told = open.drain(&mut self.datagrams, &mut self.errors, &mut take);
                self.local_mtu.extend(told.map(|mtu| (*lane, mtu)));
            } else if ready.errors {
                let told = open.drain_errors(&mut self.errors, &mut take);
                self.local_mtu.extend(told.map(|mtu| (*lane, mtu)));
            }
            dropped += open.dropped.wrapping_sub(before);
        }
        dropped
    }
}

impl Open {
    fn new(socket: AnySocket) -> Self {
        enlarge_send_buffer(&socket, SEND_BUFFER);
        leave_out_local_address(&socket);
        report_departures(&socket);
        Self {
            socket,
            dropped: 0,
            departures: 0,
        }
    }

    /// Reads both queues until they are empty or others must have their turn. Says what the device takes, if the kernel
    /// told so.
    fn drain(
        &mut self,
        datagrams: &mut ReceiveBatch,
        errors: &mut ReceiveBatch,
        take: &mut impl FnMut(Token, Incoming<'_>),
    ) -> Option<u32> {
        let mut local_mtu = None;
        for turn in 0..BATCHES_AT_ONCE {
            // An errno is that of an ICMP error, which the error queue tells in full.
            let count = datagrams.receive(self.as_fd());
            // When packets left is known before their answers are looked at: a packet leaves before its answer comes.
            if turn == 0 || self.departures > 0 || count.is_err() {
                local_mtu = self.drain_errors(errors, take).or(local_mtu);
            }
            for (received, packet) in datagrams.datagrams() {
                // The kernel tells its count only once it is not 0.
                if received.dropped_total != 0 {
                    self.dropped = received.dropped_total;
                }
                match &self.socket {
                    AnySocket::Icmp {
                        socket,
                        identifier,
                        v6,
                    } => {
                        let message = socket.message(packet);
                        if let Some(token) = icmp_packet::token_of_reply(*v6, *identifier, message) {
                            let (from, at) = (received.from.ip(), received.at);
                            take(token, Incoming::Icmp { from, at });
                        }
                    }
                    AnySocket::Udp { .. } => {
                        if let Some(token) = echo_packet::token_of(packet) {
                            let (from, at) = (received.from, received.at);
                            take(token, Incoming::Udp { packet, from, at });
                        }
                    }
                }
            }
            if count.is_ok_and(|count| count < BATCH) {
                break;
            }
        }
        local_mtu
    }

    fn drain_errors(
        &mut self,
        errors: &mut ReceiveBatch,
        take: &mut impl FnMut(Token, Incoming<'_>),
    ) -> Option<u32> {
        let mut local_mtu = None;
        loop {
            let count = errors.receive_errors(self.as_fd()).unwrap_or(0);
            for (queued, packet) in errors.errors() {
                match queued {
                    Queued::Left(at) => {
                        self.departures = self.departures.saturating_sub(1);
                        if let Some(token) = self.token_at_end(packet) {
                            take(token, Incoming::Left { at });
                        }
                    }
                    Queued::Error(error) => {
                        if error.origin == mesh_net::Origin::Local && error.errno == Errno::TOO_BIG {
                            local_mtu = Some(error.mtu);
                        }
                        if let Some(token) = self.token_at_start(packet) {
                            take(token, Incoming::Error(error));
                        }
                    }
                }
            }
            if count < BATCH {
                if count == 0 {
                    // Some drivers never tell.
                    self.departures = 0;
                }
                return local_mtu;
            }
        }
    }

    /// Of a request of ours that an ICMP error brought back.
    fn token_at_start(&self, packet: &[u8]) -> Option<Token> {
        match &self.socket {
            AnySocket::Icmp { identifier, v6, .. } => icmp_packet::token_of_request(*v6, *identifier, packet),
            AnySocket::Udp { .. } => echo_packet::token_of(packet),
        }
    }

    /// Of a request of ours behind headers of any number and length.
    fn token_at_end(&self, packet: &[u8]) -> Option<Token> {
        let len = match &self.socket {
            AnySocket::Icmp { .. } => ECHO_LEN,
            AnySocket::Udp { .. } => REQUEST_LEN,
        };
        self.token_at_start(packet.get(packet.len().checked_sub(len)?..)?)
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for AnySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Icmp { socket, .. } => socket.as_fd(),
            Self::Udp { socket, .. } => socket.as_fd(),
        }
    }
}

fn random_identifier() -> u16 {
    let mut bytes = [0; 2];
    let _ = getrandom::fill(&mut bytes);
    u16::from_be_bytes(bytes)
}
