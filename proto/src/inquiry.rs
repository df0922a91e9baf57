//! The second look: what an agent is asked besides its plan, once something failed, and what it says. As in a plan there
//! are addresses, ports and numbers only; what an answer means is decided in `mesh-core`.

use std::net::IpAddr;

use crate::{IcmpError, LocalError, Micros, Millis, Observation, PlannedProbe, Port, Protocol, Route};

/// An inquiry's number among those put to one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InquiryId(pub u32);

/// One thing to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// Its number.
    pub id: InquiryId,
    /// What to do.
    pub ask: Ask,
}

/// What an agent can be asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Send packets that may make one hop, two, and so on: who answers from where (RFC 1812 section 5.3.1, RFC 4443
    /// section 3.3).
    Walk {
        /// Where they are for.
        target: IpAddr,
        /// ICMP echo, UDP datagrams or TCP SYNs.
        protocol: Protocol,
        /// To which port; 0 for ICMP.
        port: Port,
        /// The most hops to try.
        hops: u8,
        /// How long each hop may take to answer. All are tried at once, each several times.
        timeout: Millis,
    },
    /// Send UDP datagrams to a port where nobody need answer, spread over a while (ICMP errors are rate-limited), and say
    /// what comes back.
    Knock {
        /// Where.
        target: IpAddr,
        /// At which port.
        port: Port,
        /// How many.
        tries: u16,
        /// Between two of them.
        interval: Micros,
        /// How long to wait after the last.
        timeout: Millis,
    },
    /// Run one more probe, perhaps with more flows, and perhaps from another address of this machine. Requests of it are
    /// not counted by the far agent.
    Probe {
        /// The probe; its id counts for nothing.
        probe: PlannedProbe,
        /// The source address to bind to; the kernel chooses where there is none.
        source: Option<IpAddr>,
    },
    /// Say which way the kernel would send (`RTM_GETROUTE`), and from which address (`connect` of a UDP socket, then
    /// `getsockname`).
    Route {
        /// Where to.
        target: IpAddr,
    },
}

/// The most hops that a walk may have: as many as a packet of an ordinary Linux sender may make (IP_DEFAULT_TTL).
pub const MOST_HOPS: u8 = 64;

/// How often a walk tries a hop that stays silent: ICMP errors are rate-limited.
pub const TRIES_PER_HOP: u8 = 3;

/// What an agent found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which inquiry.
    pub id: InquiryId,
    /// What was seen.
    pub seen: Seen,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Of each hop in order, up to the first that is the target itself.
    Walk(Vec<Hop>),
    /// What came back from a knock.
    Knock(KnockEcho),
    /// What became of the probe.
    Probe(Observation),
    /// Which way the kernel would send.
    Route(RouteChosen),
    /// It could not be tried, and why.
    Untried(String),
}

/// Who answered a packet with a certain TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The TTL that it was sent with.
    pub ttl: u8,
    /// What answered: nothing, the target, or an ICMP error and its sender.
    pub answer: HopAnswer,
}

/// What answered a packet with a certain TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HopAnswer {
    /// Nothing.
    Silence,
    /// The target itself: an echo reply, a SYN with ACK or reset, port unreachable.
    Target,
    /// An ICMP error: time exceeded (11/0) from a hop, or why it went no further.
    Error(IcmpError),
}

/// What came back from a knock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnockEcho {
    /// Datagrams that left.
    pub sent: u32,
    /// Datagrams that came back.
    pub answered: u32,
    /// The ICMP error that came, where one did.
    pub icmp: Option<IcmpError>,
    /// The local error, where the kernel refused to send.
    pub local: Option<LocalError>,
}

/// Which way the kernel would send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteChosen {
    /// The source address that a socket gets.
    pub source: Option<IpAddr>,
    /// The route, where there is one.
    pub route: Option<Route>,
    /// Why there is none: the errno of `connect`.
    pub error: Option<LocalError>,
}
