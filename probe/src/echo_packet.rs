//! The datagram that agents send each other, and the head of what they say over TCP.
//!
//! All numbers are big-endian. A request carries who asks; an answer carries who answers. Both carry a MAC under the
//! run's key, so that an agent answers nobody else, and an answer of somebody else is noticed. An answer is never longer
//! than the request.
//!
//! ```text
//!  0  magic "mesh"        4   version, 2          5   type: 1 request, 2 answer
//!  6  kind of probe       7   1 if it is not to be counted (request), plane (answer)      8   token (8 bytes)
//! 16  sender's index (4)  20  bytes received (4, answer)
//! 24  MAC (16): HMAC-SHA256, cut, over what is before it, in an answer over what is behind it too
//! 40  zeros (request); boot id (16, answer)   56  length of the name (1, answer)   57  node name (answer), then zeros
//! ```

use std::fmt;

use mesh_proto::wire::RunKey;
use mesh_proto::{AgentIdentity, AgentIndex, AgentKey, BootId, NodeName, Plane, ProbeKind};
use ring::hmac;

/// Length of an answer, and so the shortest request: the longest node name fits.
pub(crate) const ANSWER_LEN: usize = NAME + NodeName::MAX_BYTES;
/// The usual length of a request.
pub(crate) const REQUEST_LEN: usize = 400;

const MAGIC: [u8; 4] = *b"mesh";
const VERSION: u8 = 2;
const REQUEST: u8 = 1;
const ANSWER: u8 = 2;
const TYPE: usize = 5;
const MAC: usize = 24;
const MAC_LEN: usize = 16;
const BOOT_ID: usize = 40;
const NAME_LEN: usize = 56;
const NAME: usize = 57;

/// A number that tells one try from all others of this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// The run's key, made ready for MACs.
#[derive(Clone)]
pub(crate) struct MacKey(hmac::Key);

impl MacKey {
    pub(crate) fn new(key: &RunKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key.0))
    }

    /// Of a request nothing but zeros is behind the MAC, so that a thousand a second cost little.
    fn mac(&self, packet: &[u8]) -> [u8; MAC_LEN] {
        let tag = if packet[TYPE] == REQUEST {
            hmac::sign(&self.0, &packet[..MAC])
        } else {
            let mut context = hmac::Context::with_key(&self.0);
            context.update(&packet[..MAC]);
            context.update(&packet[MAC + MAC_LEN..ANSWER_LEN]);
            context.sign()
        };
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&tag.as_ref()[..MAC_LEN]);
        mac
    }

    fn verify(&self, packet: &[u8]) -> bool {
        let rest = &packet[MAC + MAC_LEN..ANSWER_LEN];
        if packet[TYPE] == REQUEST && rest.iter().any(|byte| *byte != 0) {
            return false;
        }
        // Compared without a short cut, so that time tells nothing of the right one.
        let difference = self
            .mac(packet)
            .iter()
            .zip(&packet[MAC..])
            .fold(0, |all, (a, b)| all | (a ^ b));
        difference == 0
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

/// A request, parsed and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) token: Token,
    pub(crate) from: AgentIndex,
    pub(crate) kind: ProbeKind,
    /// It was sent to a service, whoever it is that receives it, or in a second look.
    pub(crate) uncounted: bool,
}

/// An answer, parsed and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) token: Token,
    /// Bytes of the request that arrived.
    pub(crate) arrived: u32,
    pub(crate) identity: AgentIdentity,
}

/// Writes a request into the whole of `packet`, at least [`ANSWER_LEN`] long; what is behind the head is zeroed.
pub(crate) fn write_request(packet: &mut [u8], key: &MacKey, request: Request) {
    packet.fill(0);
    write_head(packet, REQUEST, request.kind, request.token);
    packet[7] = request.uncounted.into();
    packet[16..20].copy_from_slice(&request.from.0.to_be_bytes());
    let mac = key.mac(packet);
    packet[MAC..MAC + MAC_LEN].copy_from_slice(&mac);
}

/// The answer to a request that came in with `arrived` bytes.
pub(crate) fn answer(
    key: &MacKey,
    request: Request,
    arrived: usize,
    identity: &AgentIdentity,
) -> [u8; ANSWER_LEN] {
    let mut packet = [0; ANSWER_LEN];
    write_head(&mut packet, ANSWER, request.kind, request.token);
    packet[7] = match identity.key.plane {
        Plane::Pod => 1,
        Plane::Host => 2,
    };
    packet[16..20].copy_from_slice(&request.from.0.to_be_bytes());
    packet[20..24].copy_from_slice(&u32::try_from(arrived).unwrap_or(u32::MAX).to_be_bytes());
    packet[BOOT_ID..BOOT_ID + 16].copy_from_slice(&identity.boot_id.0);
    let name = identity.key.node.as_str().as_bytes();
    // A node name has at most 253 bytes by its type.
    packet[NAME_LEN] = u8::try_from(name.len()).unwrap_or(0);
    packet[NAME..NAME + name.len()].copy_from_slice(name);
    let mac = key.mac(&packet);
    packet[MAC..MAC + MAC_LEN].copy_from_slice(&mac);
    packet
}

/// The token of anything that looks like a packet of ours, request or answer, verified or not.
pub(crate) fn token_of(packet: &[u8]) -> Option<Token> {
    let looks_like_ours = packet.len() >= 16 && packet[..4] == MAGIC && packet[4] == VERSION;
    looks_like_ours.then(|| Token(number(&packet[8..16])))
}

/// Parses a request and verifies it under one key.
pub(crate) fn read_request(packet: &[u8], key: &MacKey) -> Option<Request> {
    let head = is(packet, REQUEST).then_some(packet)?;
    let kind = kind_of(head[6])?;
    key.verify(head).then(|| Request {
        token: Token(number(&head[8..16])),
        from: AgentIndex(u32::try_from(number(&head[16..20])).unwrap_or(u32::MAX)),
        kind,
        uncounted: head[7] == 1,
    })
}

/// Parses an answer and verifies it.
pub(crate) fn read_answer(packet: &[u8], key: &MacKey) -> Option<Answer> {
    let head = is(packet, ANSWER).then_some(packet)?;
    let plane = match head[7] {
        1 => Plane::Pod,
        2 => Plane::Host,
        _ => return None,
    };
    if !key.verify(head) {
        return None;
    }
    let name = head.get(NAME..NAME + usize::from(head[NAME_LEN]))?;
    let node: NodeName = std::str::from_utf8(name).ok()?.parse().ok()?;
    let mut boot_id = [0; 16];
    boot_id.copy_from_slice(&head[BOOT_ID..BOOT_ID + 16]);
    Some(Answer {
        token: Token(number(&head[8..16])),
        arrived: u32::try_from(number(&head[20..24])).unwrap_or(u32::MAX),
        identity: AgentIdentity {
            key: AgentKey { node, plane },
            boot_id: BootId(boot_id),
        },
    })
}

fn is(packet: &[u8], kind: u8) -> bool {
    packet.len() >= ANSWER_LEN && packet[..4] == MAGIC && packet[4] == VERSION && packet[TYPE] == kind
}

fn write_head(packet: &mut [u8], kind: u8, probe: ProbeKind, token: Token) {
    packet[..4].copy_from_slice(&MAGIC);
    packet[4] = VERSION;
    packet[TYPE] = kind;
    packet[6] = match probe {
        ProbeKind::Tcp => 1,
        ProbeKind::PathMtu => 2,
        _ => 0,
    };
    packet[8..16].copy_from_slice(&token.0.to_be_bytes());
}

fn kind_of(byte: u8) -> Option<ProbeKind> {
    match byte {
        0 => Some(ProbeKind::Udp),
        1 => Some(ProbeKind::Tcp),
        2 => Some(ProbeKind::PathMtu),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
