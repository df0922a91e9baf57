//! The sockets that a walk sends by.

use std::net::IpAddr;
use std::os::fd::AsFd;

use mesh_net::{Errno, QueuedError};
use mesh_proto::{Failure, HopAnswer, Protocol};
use socket2::SockRef;

use super::Path;
use super::echo_lane::EchoLane;
use super::machine::TryNumber;
use super::syn_lane::SynLane;
use super::udp_lane::UdpLane;
use crate::failure::of_queued;
use crate::inquire::Work;

/// The sockets of one walk.
pub(super) enum Lanes {
    Echo(EchoLane),
    Udp(UdpLane),
    Syn(SynLane),
}

impl Lanes {
    /// Opens what can be opened at once.
    pub(super) fn open(path: Path, work: &Work) -> Result<Self, String> {
        match path.protocol {
            Protocol::Icmp => EchoLane::open(path.target)
                .map(Self::Echo)
                .map_err(|error| error.to_string()),
            Protocol::Udp => Ok(Self::Udp(UdpLane::new(path, work))),
            Protocol::Tcp => Ok(Self::Syn(SynLane::new(path))),
        }
    }

    /// Whether a socket has more than one packet, so that an errno may be that of an earlier one.
    pub(super) fn are_shared(&self) -> bool {
        matches!(self, Self::Echo(_))
    }

    /// Sends a packet with its TTL.
    pub(super) fn send(&mut self, number: TryNumber) -> Result<(), Failure> {
        match self {
            Self::Echo(lane) => lane.send(number),
            Self::Udp(lane) => lane.send(number),
            Self::Syn(lane) => lane.send(number),
        }
    }

    /// Hands over all that came back; says whether there was anything.
    pub(super) fn listen(&mut self, mut take: impl FnMut(TryNumber, HopAnswer)) -> bool {
        let mut any = false;
        let take = |number, answer| {
            any = true;
            take(number, answer);
        };
        match self {
            Self::Echo(lane) => lane.listen(take),
            Self::Udp(lane) => lane.listen(take),
            Self::Syn(lane) => lane.listen(take),
        }
        any
    }
}

/// Sets how many hops the next packets may make.
pub(super) fn set_ttl(socket: &impl AsFd, target: IpAddr, ttl: u8) -> Result<(), Errno> {
    let socket = SockRef::from(socket);
    let set = match target {
        IpAddr::V4(_) => socket.set_ttl_v4(ttl.into()),
        IpAddr::V6(_) => socket.set_unicast_hops_v6(ttl.into()),
    };
    set.map_err(|error| Errno::of(&error).unwrap_or(Errno::INVALID))
}

/// What an entry of an error queue says of a hop; `None` for what no ICMP error stands behind, and for redirects.
pub(super) fn answer_of(error: &QueuedError, target: IpAddr) -> Option<HopAnswer> {
    let icmp = of_queued(error, "sendmsg")?.icmp?;
    let port_unreachable = match icmp.from {
        IpAddr::V4(_) => (3, 3),
        IpAddr::V6(_) => (1, 4),
    };
    if (icmp.kind, icmp.code) == port_unreachable && icmp.from == target {
        return Some(HopAnswer::Target);
    }
    Some(HopAnswer::Error(icmp))
}
