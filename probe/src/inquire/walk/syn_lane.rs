//! TCP SYNs: a connection for each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mesh_net::{Errno, queued_error, report_icmp_errors};
use mesh_proto::{Failure, HopAnswer};
use socket2::{Domain, Protocol, Socket, Type};

use super::Path;
use super::lanes::{answer_of, set_ttl};
use super::machine::TryNumber;
use crate::failure::of_errno;

pub(super) struct SynLane {
    sockets: BTreeMap<TryNumber, Socket>,
    to: SocketAddr,
}

impl SynLane {
    pub(super) fn new(path: Path) -> Self {
        Self {
            sockets: BTreeMap::new(),
            to: SocketAddr::new(path.target, path.port.0),
        }
    }

    pub(super) fn send(&mut self, number: TryNumber) -> Result<(), Failure> {
        let failed = |call: &'static str| {
            move |error: std::io::Error| of_errno(Errno::of(&error).unwrap_or(Errno::INVALID), call)
        };
        let kind = Type::STREAM.nonblocking();
        let socket =
            Socket::new(Domain::for_address(self.to), kind, Some(Protocol::TCP)).map_err(failed("socket"))?;
        report_icmp_errors(&socket, self.to.is_ipv6()).map_err(|errno| of_errno(errno, "setsockopt"))?;
        set_ttl(&socket, self.to.ip(), number.ttl).map_err(|errno| of_errno(errno, "setsockopt"))?;
        let connected = socket.connect(&self.to.into());
        // An error may be in its queue even so.
        self.sockets.insert(number, socket);
        match connected {
            Err(error) if Errno::of(&error) != Some(Errno::IN_PROGRESS) => Err(failed("connect")(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn listen(&mut self, mut take: impl FnMut(TryNumber, HopAnswer)) {
        // Closing each that was answered lets its target go.
        self.sockets.retain(|number, socket| {
            let answer = answer(socket, self.to);
            if let Some(answer) = answer {
                take(*number, answer);
            }
            answer.is_none()
        });
    }
}

fn answer(socket: &Socket, to: SocketAddr) -> Option<HopAnswer> {
    while let Ok(Some(error)) = queued_error(socket, &mut []) {
        if let Some(answer) = answer_of(&error, to.ip()) {
            return Some(answer);
        }
    }
    let errno = socket
        .take_error()
        .ok()
        .flatten()
        .and_then(|error| Errno::of(&error));
    let reset = matches!(errno, Some(Errno::REFUSED | Errno::RESET));
    // Before the handshake is done a socket has no peer (ENOTCONN).
    (reset || socket.peer_addr().is_ok()).then_some(HopAnswer::Target)
}
