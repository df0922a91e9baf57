//! What rules of iptables test and do: the same structures with the legacy back end and, as `match` and `target`
//! expressions, with nf_tables (Linux `include/uapi/linux/netfilter/xt_*.h`, `netfilter_ipv4/`, `netfilter_ipv6/`).

mod matches;
mod target;
mod text;

pub(super) use self::matches::{match_tests, tcp_flags};
pub(super) use self::target::target;
pub(super) use self::text::{protocol, rule_text};

use std::net::IpAddr;

use mesh_proto::{Match, MatchTest, Port, PortRange, Prefix};

/// A test that is not turned round.
pub(super) fn plain(on: Match) -> MatchTest {
    MatchTest { not: false, on }
}

/// A test in words.
pub(super) fn other(text: impl Into<String>) -> MatchTest {
    plain(Match::Other(text.into()))
}

/// Ports from and to.
pub(super) fn ports(from: u16, to: u16) -> PortRange {
    PortRange {
        from: Port(from),
        to: Port(to),
    }
}

/// The networks that a range of addresses is made of, the fewest there are; `None` if they are more than `most`, or the
/// ends do not belong together.
pub(super) fn prefixes_of_range(from: IpAddr, to: IpAddr, most: usize) -> Option<Vec<Prefix>> {
    let (width, mut at, last) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (32, u128::from(u32::from(from)), u128::from(u32::from(to))),
        (IpAddr::V6(from), IpAddr::V6(to)) => (128, u128::from(from), u128::from(to)),
        _ => return None,
    };
    let mut prefixes = Vec::new();
    while at <= last {
        if prefixes.len() == most {
            return None;
        }
        // The largest block that begins here and does not end behind the last address.
        let mut free = at.trailing_zeros().min(width);
        while free > 0 && (free == 128 && last != u128::MAX || free < 128 && last - at < (1 << free) - 1) {
            free -= 1;
        }
        let address = if width == 32 {
            IpAddr::V4(u32::try_from(at).ok()?.into())
        } else {
            IpAddr::V6(at.into())
        };
        prefixes.push(Prefix {
            address,
            len: u8::try_from(width - free).ok()?,
        });
        let Some(next) = 1_u128.checked_shl(free).and_then(|size| at.checked_add(size)) else {
            break;
        };
        at = next;
    }
    Some(prefixes)
}

/// How many of the mask's bits count, if they are the first ones.
pub(super) fn mask_len(mask: &[u8]) -> Option<u8> {
    let bit = |at: usize| mask[at / 8] & (0x80 >> (at % 8)) != 0;
    let ones = (0..mask.len() * 8).take_while(|at| bit(*at)).count();
    let rest = (ones..mask.len() * 8).any(bit);
    u8::try_from(ones).ok().filter(|_| !rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{mask_len, prefixes_of_range};

    #[test]
    fn masks_are_told() {
        let cases: [(&[u8], Option<u8>); 6] = [
            (&[255, 255, 240, 0], Some(20)),
            (&[0, 0, 0, 0], Some(0)),
            (&[255; 4], Some(32)),
            (&[255; 16], Some(128)),
            (&[255, 0, 255, 0], None),
            (&[0, 1], None),
        ];
        for (mask, len) in cases {
            assert_eq!(mask_len(mask), len, "{mask:?}");
        }
    }

    #[test]
    fn the_ends_of_the_address_space_are_no_trap() {
        let all = |from: &str, to: &str| {
            let prefixes = prefixes_of_range(from.parse().unwrap(), to.parse().unwrap(), 300).unwrap();
            prefixes.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(all("0.0.0.0", "255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(all("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ["::/0"]);
        assert_eq!(
            all("10.0.0.5", "10.0.0.8"),
            ["10.0.0.5/32", "10.0.0.6/31", "10.0.0.8/32"]
        );
        assert_eq!(all("255.255.255.255", "255.255.255.255"), ["255.255.255.255/32"]);
        assert!(prefixes_of_range([10, 0, 0, 1].into(), [10, 0, 0, 254].into(), 3).is_none());
    }

    proptest! {
        #[test]
        fn a_range_holds_what_is_in_it_and_nothing_else(from: u32, len in 0..100_000_u32, asked: u32, near in -3..3_i64) {
            let to = from.saturating_add(len);
            let near_end = u32::try_from(i64::from(to) + near).unwrap_or(from);
            let prefixes = prefixes_of_range(
                std::net::Ipv4Addr::from(from).into(),
                std::net::Ipv4Addr::from(to).into(),
                64,
            ).unwrap();
            for asked in [asked, near_end, from] {
                let address = std::net::Ipv4Addr::from(asked).into();
                let within = prefixes.iter().filter(|prefix| prefix.contains(address)).count();
                prop_assert_eq!(within, usize::from((from..=to).contains(&asked)));
            }
        }
    }
}
