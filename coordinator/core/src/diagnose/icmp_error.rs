//! What an ICMP error means, the same for both versions (RFC 792, RFC 1812 section 5.2.7.1, RFC 4443 section 3).

use mesh_proto::IcmpError;

/// What an ICMP error says of the packet that it quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nobody listens at the port.
    PortUnreachable,
    /// A filter forbids it.
    Prohibited,
    /// Its TTL or hop limit ended.
    TimeExceeded,
    /// No way there, or nobody has the address.
    Unreachable,
    /// It is too large.
    TooBig,
    Other,
}

/// What it means.
pub(super) fn meaning(icmp: &IcmpError) -> Meaning {
    if icmp.from.is_ipv4() {
        return match (icmp.kind, icmp.code) {
            (3, 3) => Meaning::PortUnreachable,
            (3, 9 | 10 | 13) => Meaning::Prohibited,
            (3, 4) => Meaning::TooBig,
            (3, _) => Meaning::Unreachable,
            (11, 0) => Meaning::TimeExceeded,
            _ => Meaning::Other,
        };
    }
    match (icmp.kind, icmp.code) {
        (1, 4) => Meaning::PortUnreachable,
        (1, 1 | 5 | 6) => Meaning::Prohibited,
        (1, _) => Meaning::Unreachable,
        (2, _) => Meaning::TooBig,
        (3, 0) => Meaning::TimeExceeded,
        _ => Meaning::Other,
    }
}
