//! UDP datagrams, each by a socket of its own: an error may quote no more than the header of what it is about, which does
//! not reach the socket, so that the socket must say which datagram it was.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use mesh_net::DatagramSocket;
use mesh_proto::{Failure, HopAnswer, ProbeKind};

use super::Path;
use super::lanes::{answer_of, set_ttl};
use super::machine::TryNumber;
use crate::echo_packet::{REQUEST_LEN, Request, Token, write_request};
use crate::failure::of_errno;
use crate::inquire::Work;
use crate::inquire::knock::HARMLESS;
use crate::way::Way;

pub(super) struct UdpLane {
    sockets: BTreeMap<TryNumber, DatagramSocket>,
    to: SocketAddr,
    payload: Vec<u8>,
}

impl UdpLane {
    pub(super) fn new(path: Path, work: &Work) -> Self {
        // Agents answer what their run's key has signed. Nobody else need be made to think about what came.
        let payload = if path.port == work.responder_port {
            signed(work)
        } else {
            HARMLESS.to_vec()
        };
        Self {
            sockets: BTreeMap::new(),
            to: SocketAddr::new(path.target, path.port.0),
            payload,
        }
    }

    pub(super) fn send(&mut self, number: TryNumber) -> Result<(), Failure> {
        let socket =
            DatagramSocket::bind(Way::from(self.to).local()).map_err(|errno| of_errno(errno, "bind"))?;
        set_ttl(&socket, self.to.ip(), number.ttl).map_err(|errno| of_errno(errno, "setsockopt"))?;
        let sent = socket.send(&self.payload, self.to, None);
        // An error may be in its queue even so.
        self.sockets.insert(number, socket);
        sent.map_err(|errno| of_errno(errno, "sendmsg"))
    }

    pub(super) fn listen(&mut self, mut take: impl FnMut(TryNumber, HopAnswer)) {
        let ready =
            mesh_net::readable(self.sockets.values().map(|socket| socket.as_fd())).unwrap_or_default();
        let mut ready = ready.into_iter();
        self.sockets.retain(|number, socket| {
            // If the kernel does not say, each of them is read.
            if !ready.next().unwrap_or(true) {
                return true;
            }
            let answer = answer(socket, self.to);
            if let Some(answer) = answer {
                take(*number, answer);
            }
            answer.is_none()
        });
    }
}

fn answer(socket: &DatagramSocket, to: SocketAddr) -> Option<HopAnswer> {
    while let Ok(Some(error)) = socket.next_error(&mut []) {
        if let Some(answer) = answer_of(&error, to.ip()) {
            return Some(answer);
        }
    }
    while let Ok(Some(received)) = socket.receive(&mut [0; 16]) {
        if received.from == to {
            return Some(HopAnswer::Target);
        }
    }
    None
}

fn signed(work: &Work) -> Vec<u8> {
    let mut packet = vec![0; REQUEST_LEN];
    let request = Request {
        // Answers come by a socket of their own, so that nothing hangs on the token.
        token: Token(0),
        from: work.run.own,
        kind: ProbeKind::Udp,
        uncounted: true,
    };
    write_request(&mut packet, &work.run.key, request);
    packet
}
