//! Targets: `-j REJECT`, `-j DNAT` and so on. What is not decoded here stays as the target's name.

use std::net::IpAddr;

use mesh_proto::{Action, Port};

use super::super::octets::{address_at, array, text_at, u16_at, u32_at};

/// What a target does.
pub(in crate::facts) fn target(name: &str, revision: u32, info: &[u8], v6: bool) -> Action {
    let decoded = match (name, revision) {
        ("ACCEPT", _) => Some(Action::Accept),
        ("DROP", _) => Some(Action::Drop),
        ("RETURN", _) => Some(Action::Return),
        ("REJECT", 0) => reject(info, v6),
        ("MASQUERADE", _) => Some(Action::SourceNat { address: None }),
        ("SNAT", _) => nat(info, revision, v6).map(|(address, _)| Action::SourceNat { address }),
        ("DNAT", _) => {
            nat(info, revision, v6).map(|(address, port)| Action::DestinationNat { address, port })
        }
        ("REDIRECT", _) => {
            nat(info, revision, v6).map(|(_, port)| Action::DestinationNat { address: None, port })
        }
        ("MARK", _) => Some(Action::SetMark),
        ("LOG" | "NFLOG" | "TRACE" | "AUDIT" | "CHECKSUM", _) => Some(Action::Continue),
        ("CT", _) => Some(Action::Other(connection_tracking(info))),
        ("TCPMSS", 0) => u16_at(info, 0).map(|mss| {
            // XT_TCPMSS_CLAMP_PMTU
            let text = if mss == u16::MAX {
                "--clamp-mss-to-pmtu".to_owned()
            } else {
                format!("--set-mss {mss}")
            };
            Action::Other(format!("TCPMSS {text}"))
        }),
        ("CONNMARK", 1..) => u32_at(info, 0).map(|mark| Action::Other(format!("CONNMARK {mark:#x}"))),
        ("NFQUEUE", _) => u16_at(info, 0).map(|queue| Action::Other(format!("NFQUEUE --queue-num {queue}"))),
        _ => None,
    };
    decoded.unwrap_or_else(|| Action::Other(name.to_owned()))
}

/// `enum ipt_reject_with`, `enum ip6t_reject_with`, as the ICMP type and code that is sent (RFC 792, RFC 1812, RFC 4443).
fn reject(info: &[u8], v6: bool) -> Option<Action> {
    const UNREACHABLE: u8 = 3;
    const UNREACHABLE_V6: u8 = 1;
    let kind = if v6 { UNREACHABLE_V6 } else { UNREACHABLE };
    let code = match (u32_at(info, 0)?, v6) {
        (code @ 0..=3, false) | (code @ 0..=4, true) => u8::try_from(code).ok()?,
        (5, false) => 9,
        (6, false) => 10,
        (7, false) | (6, true) => return Some(Action::Reset),
        (8, false) => 13,
        (7, true) => 5,
        (8, true) => 6,
        _ => return None,
    };
    Some(Action::Reject { kind, code })
}

/// To which address and port, as far as they are fixed. IPv4 before revision 2: `struct nf_nat_ipv4_multi_range_compat`;
/// else `struct nf_nat_range`.
fn nat(info: &[u8], revision: u32, v6: bool) -> Option<(Option<IpAddr>, Option<Port>)> {
    const MAP_IPS: u32 = 1;
    const PROTO_SPECIFIED: u32 = 2;
    let port = |at| array(info, at).map(u16::from_be_bytes);
    let (flags, address, last, port, last_port) = if revision < 2 && !v6 {
        (
            u32_at(info, 4)?,
            address_at(info, 8, v6)?,
            address_at(info, 12, v6)?,
            port(16)?,
            port(18)?,
        )
    } else {
        (
            u32_at(info, 0)?,
            address_at(info, 4, v6)?,
            address_at(info, 20, v6)?,
            port(36)?,
            port(38)?,
        )
    };
    Some((
        Some(address).filter(|address| flags & MAP_IPS != 0 && *address == last),
        Some(Port(port)).filter(|_| flags & PROTO_SPECIFIED != 0 && port == last_port),
    ))
}

/// `struct xt_ct_target_info`.
fn connection_tracking(info: &[u8]) -> String {
    let flags = u16_at(info, 0).unwrap_or(0);
    let zone = u16_at(info, 2).unwrap_or(0);
    let helper = text_at(info, 12, 16);
    match (flags & 0b11, zone, helper.as_str()) {
        (1.., ..) => "CT --notrack".to_owned(),
        (0, 0, "") => "CT".to_owned(),
        (0, 0, helper) => format!("CT --helper {helper}"),
        (0, zone, _) => format!("CT --zone {zone}"),
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::{Action, Port};

    use super::target;

    #[test]
    fn rejects_are_told_by_what_is_sent() {
        let reject = |with: u32, v6| target("REJECT", 0, &with.to_ne_bytes(), v6);
        let icmp = |kind, code| Action::Reject { kind, code };
        let cases = [
            (0, false, icmp(3, 0)),
            (1, false, icmp(3, 1)),
            (3, false, icmp(3, 3)),
            (5, false, icmp(3, 9)),
            (6, false, icmp(3, 10)),
            (7, false, Action::Reset),
            (8, false, icmp(3, 13)),
            (0, true, icmp(1, 0)),
            (1, true, icmp(1, 1)),
            (4, true, icmp(1, 4)),
            (6, true, Action::Reset),
            (4, false, Action::Other("REJECT".to_owned())),
        ];
        for (with, v6, action) in cases {
            assert_eq!(reject(with, v6), action, "{with} {v6}");
        }
    }

    #[test]
    fn a_range_of_addresses_is_not_fixed() {
        let mut info = Vec::new();
        info.extend(1_u32.to_ne_bytes());
        info.extend(3_u32.to_ne_bytes());
        info.extend([10, 0, 0, 1, 10, 0, 0, 1]);
        info.extend([0x1f, 0x90, 0x1f, 0x90]);
        let to = |address, port| Action::DestinationNat { address, port };
        assert_eq!(
            target("DNAT", 0, &info, false),
            to(Some([10, 0, 0, 1].into()), Some(Port(8_080)))
        );
        info[15] = 9;
        assert_eq!(target("DNAT", 0, &info, false), to(None, Some(Port(8_080))));
        assert_eq!(
            target("DNAT", 0, &info[..9], false),
            Action::Other("DNAT".to_owned())
        );
    }
}
