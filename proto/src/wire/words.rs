//! The closed lists on the wire.

use super::{WireError, v1};
use crate::{IcmpMode, Plane, ProbeKind, Protocol, Reason};

/// Translates between a closed list and its protobuf enum, both ways, from one table.
macro_rules! both_ways {
    ($list:ident, $wire:path, $to:ident, $from:ident { $( $member:ident = $number:ident, )+ }) => {
        pub(crate) fn $to(member: $list) -> i32 {
            use $wire as Wire;
            match member { $( $list::$member => Wire::$number as i32, )+ }
        }

        pub(crate) fn $from(field: &'static str, number: i32) -> Result<$list, WireError> {
            use $wire as Wire;
            match Wire::try_from(number) {
                $( Ok(Wire::$number) => Ok($list::$member), )+
                _ => Err(WireError::new(field, format!("{number} is not in the list"))),
            }
        }
    };
}

both_ways!(Plane, v1::Plane, plane_to_wire, plane_from_wire { Pod = Pod, Host = Host, });

both_ways!(ProbeKind, v1::ProbeKind, kind_to_wire, kind_from_wire {
    Icmp = Icmp, Tcp = Tcp, Udp = Udp, DnsUdp = DnsUdp, DnsTcp = DnsTcp, Tls = Tls, PathMtu = PathMtu,
});

both_ways!(Protocol, v1::Protocol, protocol_to_wire, protocol_from_wire { Icmp = Icmp, Udp = Udp, Tcp = Tcp, });

both_ways!(IcmpMode, v1::icmp_access::Mode, mode_to_wire, mode_from_wire { Raw = Raw, Ping = Ping, None = None, });

both_ways!(Reason, v1::Reason, reason_to_wire, reason_from_wire {
    Timeout = Timeout, Refused = Refused, Reset = Reset, HostUnreachable = HostUnreachable,
    NetUnreachable = NetUnreachable, AdminProhibited = AdminProhibited, TtlExceeded = TtlExceeded, TooBig = TooBig,
    LocalError = LocalError, WrongResponder = WrongResponder, DnsError = DnsError, DataStalled = DataStalled,
});
