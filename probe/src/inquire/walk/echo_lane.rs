//! ICMP echo requests, all by one socket.

use std::net::IpAddr;

use mesh_net::{IcmpOpenError, IcmpSocket};
use mesh_proto::{Failure, HopAnswer};

use super::lanes::{answer_of, set_ttl};
use super::machine::TryNumber;
use crate::echo_packet::Token;
use crate::failure::of_errno;
use crate::icmp_packet::{request, sequence_of_request, token_of_reply, token_of_request};

pub(super) struct EchoLane {
    socket: IcmpSocket,
    identifier: u16,
    /// Tells this walk's requests from all others; the low half of a token is the sequence number.
    base: u64,
    target: IpAddr,
}

/// Larger than the part of a packet that an ICMP error brings back.
const BUFFER: usize = 2_048;

impl EchoLane {
    pub(super) fn open(target: IpAddr) -> Result<Self, IcmpOpenError> {
        Ok(Self::by(IcmpSocket::open(target.is_ipv6())?, target))
    }

    pub(super) fn by(socket: IcmpSocket, target: IpAddr) -> Self {
        let mut random = [0; 8];
        // Without randomness a walk may take the errors of another one for its own.
        let _ = getrandom::fill(&mut random);
        let base = u64::from_be_bytes(random);
        let own = u16::try_from(base & 0xffff).unwrap_or(0);
        Self {
            identifier: socket.kernel_identifier().unwrap_or(own),
            socket,
            base: base & !0xffff,
            target,
        }
    }

    pub(super) fn send(&mut self, number: TryNumber) -> Result<(), Failure> {
        set_ttl(&self.socket, self.target, number.ttl).map_err(|errno| of_errno(errno, "setsockopt"))?;
        let token = Token(self.base | u64::from(number.sequence()));
        let message = request(self.target.is_ipv6(), self.identifier, token);
        self.socket
            .send(&message, self.target)
            .map_err(|errno| of_errno(errno, "sendmsg"))
    }

    pub(super) fn listen(&mut self, mut take: impl FnMut(TryNumber, HopAnswer)) {
        let v6 = self.target.is_ipv6();
        let mut buffer = [0; BUFFER];
        while let Ok(Some(error)) = self.socket.next_error(&mut buffer) {
            let message = &buffer[..error.payload_len.min(BUFFER)];
            let about_us = error.destination.is_none_or(|to| to.ip() == self.target);
            if let Some(sequence) = self.sequence(v6, message).filter(|_| about_us)
                && let Some(answer) = answer_of(&error, self.target)
            {
                take(TryNumber::of_sequence(sequence), answer);
            }
        }
        while let Ok(Some((range, received))) = self.socket.receive(&mut buffer) {
            let token = token_of_reply(v6, self.identifier, &buffer[range]);
            if let Some(sequence) = token.and_then(|token| self.own(token))
                && received.from.ip() == self.target
            {
                take(TryNumber::of_sequence(sequence), HopAnswer::Target);
            }
        }
    }

    /// The sequence number of a request of this walk that came back inside an error. By its token; an error may quote no
    /// more than the header of what it is about (RFC 792).
    fn sequence(&self, v6: bool, message: &[u8]) -> Option<u16> {
        match token_of_request(v6, self.identifier, message) {
            Some(token) => self.own(token),
            None => sequence_of_request(v6, self.identifier, message),
        }
    }

    fn own(&self, token: Token) -> Option<u16> {
        (token.0 & !0xffff == self.base).then(|| u16::try_from(token.0 & 0xffff).unwrap_or(0))
    }
}
