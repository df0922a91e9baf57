//! The state machines of the engine's probes, as one.

use std::time::Duration;

use mesh_proto::Failure;

use super::sockets::Lane;
use crate::echo::EchoProbe;
use crate::moment::Moment;
use crate::path_mtu::PathMtuProbe;

#[derive(Debug)]
pub(super) enum Machine {
    Icmp { v6: bool, echo: EchoProbe },
    Udp { v6: bool, echo: EchoProbe },
    PathMtu { v6: bool, search: PathMtuProbe },
}

impl Machine {
    pub(super) fn poll_transmit(&mut self, now: Moment) -> Option<(u32, Lane, u32)> {
        match self {
            Self::Icmp { v6, echo } => echo
                .poll_transmit(now)
                .map(|transmit| (transmit.number, Lane::Icmp { v6: *v6 }, 0)),
            Self::Udp { v6, echo } => {
                let lane = |flow| Lane::Udp { v6: *v6, flow };
                echo.poll_transmit(now)
                    .map(|transmit| (transmit.number, lane(transmit.flow), 0))
            }
            Self::PathMtu { v6, search } => {
                let lane = Lane::PathMtu { v6: *v6 };
                search
                    .poll_transmit(now)
                    .map(|transmit| (transmit.number, lane, transmit.size))
            }
        }
    }

    pub(super) fn handle_sent(&mut self, number: u32, now: Moment) {
        match self {
            Self::Icmp { echo, .. } | Self::Udp { echo, .. } => echo.handle_sent(number, now),
            Self::PathMtu { search, .. } => search.handle_sent(number, now),
        }
    }

    pub(super) fn handle_answer(&mut self, number: u32, rtt: Duration) {
        match self {
            Self::Icmp { echo, .. } | Self::Udp { echo, .. } => echo.handle_answer(number, rtt),
            Self::PathMtu { search, .. } => search.handle_answer(number, rtt),
        }
    }

    pub(super) fn handle_failure(&mut self, number: u32, failure: Failure, told: Option<u32>) {
        match self {
            Self::Icmp { echo, .. } | Self::Udp { echo, .. } => echo.handle_failure(number, failure),
            Self::PathMtu { search, .. } => search.handle_failure(number, failure, told),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Moment) {
        match self {
            Self::Icmp { echo, .. } | Self::Udp { echo, .. } => echo.handle_timeout(now),
            Self::PathMtu { search, .. } => search.handle_timeout(now),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        match self {
            Self::Icmp { echo, .. } | Self::Udp { echo, .. } => echo.next_deadline(),
            Self::PathMtu { search, .. } => search.next_deadline(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Icmp { echo, .. } | Self::Udp { echo, .. } => echo.is_done(),
            Self::PathMtu { search, .. } => search.is_done(),
        }
    }
}
