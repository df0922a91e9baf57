//! ICMP echo messages (RFC 792, RFC 4443). The payload carries our token: identifiers and sequence numbers are too
//! short to tell one try of thousands from another, and the kernel chooses the identifier of a ping socket.

use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpPacket, IcmpType, IcmpTypes, checksum};
use pnet_packet::icmpv6::Icmpv6Types;
use pnet_packet::{MutablePacket, Packet};

use crate::echo_packet::Token;

/// Header and payload: as long as what `ping(8)` sends.
pub(crate) const ECHO_LEN: usize = HEADER + 56;
const HEADER: usize = 8;
const MAGIC: [u8; 4] = *b"mesh";

/// An echo request. The kernel computes the checksum of ICMPv6 (RFC 3542 section 3.1) and of ping sockets.
pub(crate) fn request(v6: bool, identifier: u16, token: Token) -> [u8; ECHO_LEN] {
    let mut bytes = [0; ECHO_LEN];
    bytes[HEADER..HEADER + 4].copy_from_slice(&MAGIC);
    bytes[HEADER + 4..HEADER + 12].copy_from_slice(&token.0.to_be_bytes());
    if let Some(mut packet) = MutableEchoRequestPacket::new(&mut bytes) {
        packet.set_icmp_type(if v6 {
            IcmpType(Icmpv6Types::EchoRequest.0)
        } else {
            IcmpTypes::EchoRequest
        });
        packet.set_identifier(identifier);
        // The low half of the token, for those who read a packet capture.
        packet.set_sequence_number(u16::try_from(token.0 & 0xffff).unwrap_or(0));
        let sum = IcmpPacket::new(packet.packet()).map_or(0, |whole| checksum(&whole));
        if !v6 {
            packet.packet_mut()[2..4].copy_from_slice(&sum.to_be_bytes());
        }
    }
    bytes
}

/// The token of an echo reply with our identifier; `None` for anything else.
pub(crate) fn token_of_reply(v6: bool, identifier: u16, message: &[u8]) -> Option<Token> {
    let reply = if v6 {
        Icmpv6Types::EchoReply.0
    } else {
        IcmpTypes::EchoReply.0
    };
    (message.first() == Some(&reply))
        .then(|| token(identifier, message))
        .flatten()
}

/// The token of an echo request of ours that came back inside an ICMP error.
pub(crate) fn token_of_request(v6: bool, identifier: u16, message: &[u8]) -> Option<Token> {
    let request = if v6 {
        Icmpv6Types::EchoRequest.0
    } else {
        IcmpTypes::EchoRequest.0
    };
    (message.first() == Some(&request))
        .then(|| token(identifier, message))
        .flatten()
}

/// The sequence number of an echo request with our identifier that came back inside an ICMP error, which may quote the
/// header alone; `None` if it quotes more, for then the token decides.
pub(crate) fn sequence_of_request(v6: bool, identifier: u16, message: &[u8]) -> Option<u16> {
    let request = if v6 {
        Icmpv6Types::EchoRequest.0
    } else {
        IcmpTypes::EchoRequest.0
    };
    let ours = message.first() == Some(&request)
        && message.get(4..6)? == identifier.to_be_bytes()
        && message.len() < HEADER + 12;
    let sequence: [u8; 2] = message.get(6..8)?.try_into().ok()?;
    ours.then(|| u16::from_be_bytes(sequence))
}

fn token(identifier: u16, message: &[u8]) -> Option<Token> {
    let ours = message.get(4..6)? == identifier.to_be_bytes() && message.get(HEADER..HEADER + 4)? == MAGIC;
    let token: [u8; 8] = message.get(HEADER + 4..HEADER + 12)?.try_into().ok()?;
    ours.then(|| Token(u64::from_be_bytes(token)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_reply_brings_its_token_back_and_the_sum_is_right(v6 in any::<bool>(), id in any::<u16>(), token in any::<u64>()) {
            let mut message = request(v6, id, Token(token));
            prop_assert_eq!(token_of_request(v6, id, &message), Some(Token(token)));
            prop_assert_eq!(token_of_reply(v6, id, &message), None);
            if !v6 {
                let sum = message.chunks(2).fold(0_u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
                prop_assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
            }
            message[0] = if v6 { 129 } else { 0 };
            prop_assert_eq!(token_of_reply(v6, id, &message), Some(Token(token)));
            prop_assert_eq!(token_of_reply(v6, id.wrapping_add(1), &message), None);
        }

        #[test]
        fn garbage_has_no_token(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(token_of_reply(false, 1, &bytes), None);
        }
    }
}
