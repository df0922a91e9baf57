//! One spot of the picture: several probes, of which the worst shows.

use mesh_proto::{CellState, ProbeKind, TargetKind};

/// What became of the probes of one spot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spot {
    /// Kinds that failed, a bit each.
    failed: u8,
    /// States that occur, a bit each.
    states: u8,
}

impl Spot {
    /// A spot nothing is known of; `others_passed` says that probes which are not listed came through.
    pub(super) fn new(others_passed: bool) -> Self {
        let mut spot = Self::default();
        if others_passed {
            spot.states |= 1 << CellState::Reachable as u8;
        }
        spot
    }

    pub(super) fn take(&mut self, kind: ProbeKind, state: CellState) {
        self.states |= 1 << state as u8;
        if state == CellState::Failed {
            self.failed |= 1 << kind as u8;
        }
    }

    pub(super) fn mark(self) -> Mark {
        let has = |state: CellState| self.states & (1 << state as u8) != 0;
        if has(CellState::Failed) {
            // A letter means: this kind alone, while others pass.
            let others_pass = has(CellState::Reachable) || has(CellState::Degraded);
            let alone = |kind: &ProbeKind| others_pass && self.failed == 1 << *kind as u8;
            let one = ProbeKind::ALL.iter().copied().find(alone);
            one.map_or(Mark::Failed, Mark::FailedOne)
        } else if has(CellState::Unknown) {
            Mark::Unknown
        } else if has(CellState::Degraded) {
            Mark::Degraded
        } else if has(CellState::Reachable) {
            Mark::Fine
        } else if has(CellState::Skipped) {
            Mark::Skipped
        } else {
            Mark::Blank
        }
    }
}

/// Whether a target of this kind is tried in more ways than one; what a short report does not list of it came through.
pub(super) fn usually_several(kind: TargetKind) -> bool {
    match kind {
        TargetKind::NodePort | TargetKind::Service | TargetKind::External => false,
        TargetKind::Pod
        | TargetKind::Host
        | TargetKind::Api
        | TargetKind::Dns
        | TargetKind::DnsEndpoint
        | TargetKind::Loopback => true,
    }
}

/// What a spot shows, worse ones last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::render) enum Mark {
    /// Nothing is planned there: an agent does not probe itself.
    Blank,
    /// Silent by design.
    Skipped,
    /// All came through.
    Fine,
    /// It came through, but not well.
    Degraded,
    /// It could not be tried, or not told.
    Unknown,
    /// One kind of probe failed, others came through.
    FailedOne(ProbeKind),
    /// All failed, or several kinds.
    Failed,
}

/// What a mark looks like where its letter does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::render) enum Shape {
    Blank,
    Skipped,
    Fine,
    Degraded,
    Unknown,
    /// Only ICMP was lost, which is no failure where the rest passes.
    IcmpOnly,
    Failed,
}

impl Mark {
    /// The letter that stands for it. Healthy ones are small and wrong ones large, so that trouble is seen without
    /// colour too.
    pub(in crate::render) const fn letter(self) -> char {
        match self {
            Self::Blank => ' ',
            Self::Skipped => '-',
            Self::Fine => '.',
            Self::Degraded => '~',
            Self::Unknown => '?',
            Self::Failed => 'X',
            Self::FailedOne(kind) => match kind {
                ProbeKind::Icmp => 'I',
                ProbeKind::Tcp | ProbeKind::DnsTcp => 'T',
                ProbeKind::Udp | ProbeKind::DnsUdp => 'U',
                ProbeKind::Tls => 'S',
                ProbeKind::PathMtu => 'M',
            },
        }
    }

    /// What it means, for the legend.
    pub(in crate::render) const fn meaning(self) -> &'static str {
        match self {
            Self::Blank => "not planned",
            Self::Skipped => "skipped by design",
            Self::Fine => "reachable",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::FailedOne(kind) => match kind {
                ProbeKind::Icmp => "only ICMP failed",
                ProbeKind::Tcp | ProbeKind::DnsTcp => "only TCP failed",
                ProbeKind::Udp | ProbeKind::DnsUdp => "only UDP failed",
                ProbeKind::Tls => "only TLS failed",
                ProbeKind::PathMtu => "only large packets failed",
            },
        }
    }

    pub(in crate::render) const fn shape(self) -> Shape {
        match self {
            Self::Blank => Shape::Blank,
            Self::Skipped => Shape::Skipped,
            Self::Fine => Shape::Fine,
            Self::Degraded => Shape::Degraded,
            Self::Unknown => Shape::Unknown,
            Self::FailedOne(ProbeKind::Icmp) => Shape::IcmpOnly,
            Self::FailedOne(_) | Self::Failed => Shape::Failed,
        }
    }

    /// Whether somebody should look at it.
    pub(in crate::render) const fn is_trouble(self) -> bool {
        match self {
            Self::Blank | Self::Skipped | Self::Fine => false,
            Self::Degraded | Self::Unknown | Self::FailedOne(_) | Self::Failed => true,
        }
    }
}
