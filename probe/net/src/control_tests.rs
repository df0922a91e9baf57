use proptest::prelude::*;

use super::*;

/// A message as the kernel lays it out.
fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let len = HEADER + data.len();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(len.next_multiple_of(WORD), 0xee);
    bytes
}

fn timespec(seconds: i64, nanoseconds: i64) -> Vec<u8> {
    [seconds.to_ne_bytes(), nanoseconds.to_ne_bytes()].concat()
}

#[test]
fn what_stands_beside_a_datagram_is_read_in_any_order() {
    let parts = [
        message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &timespec(7, 5)),
        message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &9_u32.to_ne_bytes()),
        message(
            libc::IPPROTO_IP,
            libc::IP_PKTINFO,
            &[1, 0, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1],
        ),
        message(libc::SOL_SOCKET, 9_999, b"unheard of"),
    ];
    let expected = Beside {
        at: Some(RealTime(7_000_000_005)),
        to: Some([10, 0, 0, 1].into()),
        dropped_total: 9,
        error: None,
    };
    assert_eq!(read(&parts.concat()), expected);
    let reversed: Vec<u8> = parts.iter().rev().flatten().copied().collect();
    assert_eq!(read(&reversed), expected);
}

#[test]
fn an_icmp_error_has_its_type_and_its_sender() {
    let mut data = 113_u32.to_ne_bytes().to_vec();
    data.extend([libc::SO_EE_ORIGIN_ICMP, 3, 13, 0]);
    data.extend(1_400_u32.to_ne_bytes());
    data.extend(0_u32.to_ne_bytes());
    let without_sender = data.clone();
    data.extend(u16::try_from(libc::AF_INET).unwrap().to_ne_bytes());
    data.extend([0, 0, 192, 0, 2, 1]);
    data.extend([0; 8]);
    let record = ErrorRecord {
        origin: Origin::Icmp,
        errno: Errno::HOST_UNREACHABLE,
        icmp_type: 3,
        icmp_code: 13,
        info: 1_400,
        offender: Some([192, 0, 2, 1].into()),
    };
    let told = |data: &[u8]| read(&message(libc::IPPROTO_IP, libc::IP_RECVERR, data)).error;
    assert_eq!(told(&data), Some(record));
    let unknown = ErrorRecord {
        offender: None,
        ..record
    };
    assert_eq!(told(&without_sender), Some(unknown));
    assert_eq!(told(&data[..15][..11]), None, "cut off");
}

#[test]
fn of_three_time_stamps_the_softwares_counts_and_none_is_none() {
    let three = [timespec(3, 4), timespec(0, 0), timespec(8, 8)].concat();
    let at = |data: &[u8]| read(&message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, data)).at;
    assert_eq!(at(&three), Some(RealTime(3_000_000_004)));
    assert_eq!(at(&[0; 48]), None);
}

proptest! {
    #[test]
    fn what_is_written_is_whole_and_in_bounds(from in any::<Option<IpAddr>>(), stamp in any::<bool>()) {
        let mut control = [0xaa; ROOM_OUT];
        let len = write(&mut control, from, stamp);
        prop_assert!(len <= ROOM_OUT);
        let mut left = &control[..len];
        let (mut sources, mut stamps) = (Vec::new(), 0);
        while let Some((level, kind, data, rest)) = next(left) {
            left = rest;
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    sources.push(IpAddr::from(<[u8; 4]>::try_from(&data[4..8]).unwrap()));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    sources.push(IpAddr::from(<[u8; 16]>::try_from(&data[..16]).unwrap()));
                }
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPING) => {
                    prop_assert_eq!(data, libc::SOF_TIMESTAMPING_TX_SOFTWARE.to_ne_bytes());
                    stamps += 1;
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(left.is_empty());
        prop_assert_eq!((sources, stamps), (Vec::from_iter(from), u32::from(stamp)));
    }

    #[test]
    fn any_bytes_are_read_without_harm(control in prop::collection::vec(any::<u8>(), 0..ROOM_IN)) {
        read(&control);
    }

    #[test]
    fn any_lengths_are_read_without_harm(len in any::<usize>(), data in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut control = message(libc::IPPROTO_IP, libc::IP_RECVERR, &data);
        control[..WORD].copy_from_slice(&len.to_ne_bytes());
        read(&control);
    }
}
