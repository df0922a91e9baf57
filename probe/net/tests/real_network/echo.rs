//! ICMP echo, by raw and by ping sockets.

use std::net::IpAddr;

use mesh_net::{Errno, IcmpAccess, IcmpSocket, Origin, RealTime};

use crate::topology::{Pair, command, far_ends, ip, sysctl, wait_for};

pub(crate) const IDENTIFIER: u16 = 0x4d45;

/// An echo request (RFC 792, RFC 4443) with a payload that is told from others.
pub(crate) fn request(v6: bool, payload: u8) -> Vec<u8> {
    let mut message = vec![if v6 { 128 } else { 8 }, 0, 0, 0, 0, 0, 0, 7];
    message[4..6].copy_from_slice(&IDENTIFIER.to_be_bytes());
    message.extend_from_slice(&[payload; 40]);
    let words = message
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    if !v6 {
        message[2..4].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    }
    message
}

/// Sends an echo request and returns the reply's bytes.
fn ping(socket: &IcmpSocket, to: IpAddr) -> Vec<u8> {
    let mut buffer = [0; 1_024];
    let before = RealTime::now();
    socket.send(&request(to.is_ipv6(), 0x5a), to).unwrap();
    wait_for(socket);
    let (range, received) = socket.receive(&mut buffer).unwrap().unwrap();
    assert_eq!(received.from.ip(), to);
    assert!(before <= received.at && received.at <= RealTime::now());
    buffer[range].to_vec()
}

fn check_reply(reply: &[u8], to: IpAddr, identifier: u16) {
    assert_eq!(
        reply[0],
        if to.is_ipv6() { 129 } else { 0 },
        "the type of a reply"
    );
    assert_eq!(reply[4..6], identifier.to_be_bytes());
    assert_eq!(reply[8..], [0x5a; 40]);
}

#[test]
fn a_raw_socket_is_answered_with_the_callers_identifier() {
    let pair = Pair::new();
    for to in far_ends() {
        let socket = pair.here.run(|| IcmpSocket::open(to.is_ipv6())).unwrap().unwrap();
        assert_eq!(socket.access(), IcmpAccess::Raw);
        assert_eq!(socket.kernel_identifier(), None);
        check_reply(&ping(&socket, to), to, IDENTIFIER);
    }
}

#[test]
fn a_ping_socket_is_answered_with_the_kernels_identifier() {
    let pair = Pair::new();
    let open = |v6| {
        pair.here
            .run(|| IcmpSocket::open_as(v6, IcmpAccess::Ping))
            .unwrap()
    };
    let closed = open(false).err();
    assert_eq!(closed, Some(Errno::ACCESS), "a new namespace lets nobody ping");
    // The range of both families.
    sysctl(&pair.here, "net.ipv4.ping_group_range", "0 0");
    for to in far_ends() {
        let socket = open(to.is_ipv6()).unwrap();
        assert_eq!(socket.access(), IcmpAccess::Ping);
        let identifier = socket.kernel_identifier().unwrap();
        check_reply(&ping(&socket, to), to, identifier);
    }
}

#[test]
fn a_raw_socket_wakes_for_replies_only() {
    let pair = Pair::new();
    for to in far_ends() {
        let v6 = to.is_ipv6();
        let listener = pair.there.run(|| IcmpSocket::open(v6)).unwrap().unwrap();
        let asker = pair.here.run(|| IcmpSocket::open(v6)).unwrap().unwrap();
        check_reply(&ping(&asker, to), to, IDENTIFIER);
        // Its request has been at the far end for sure.
        assert_eq!(listener.receive(&mut [0; 512]), Ok(None));
    }
}

#[test]
fn an_icmp_error_brings_back_the_request_and_who_sent_it() {
    let pair = Pair::new();
    sysctl(&pair.there, "net.ipv4.ping_group_range", "0 0");
    command(&pair.there, "nft add table inet wall");
    command(
        &pair.there,
        "nft add chain inet wall in { type filter hook input priority 0 ; }",
    );
    command(
        &pair.there,
        "nft add rule inet wall in icmp type echo-request reject with icmp admin-prohibited",
    );
    command(
        &pair.there,
        "nft add rule inet wall in icmpv6 type echo-request reject with icmpv6 admin-prohibited",
    );
    sysctl(&pair.here, "net.ipv4.ping_group_range", "0 0");
    for to in far_ends() {
        for access in [IcmpAccess::Raw, IcmpAccess::Ping] {
            let v6 = to.is_ipv6();
            let socket = pair
                .here
                .run(|| IcmpSocket::open_as(v6, access))
                .unwrap()
                .unwrap();
            socket.send(&request(v6, 0x5a), to).unwrap();
            wait_for(&socket);
            let mut buffer = [0; 512];
            let error = socket.next_error(&mut buffer).unwrap().unwrap();
            let expected = if v6 {
                (Origin::Icmp6, 1, 1)
            } else {
                (Origin::Icmp, 3, 13)
            };
            assert_eq!((error.origin, error.icmp_type, error.icmp_code), expected);
            assert_eq!(error.offender, Some(to));
            assert_eq!(error.destination.map(|to| to.ip()), Some(to), "{access:?}");
            let echoed = &buffer[..error.payload_len];
            assert_eq!(echoed[0], if v6 { 128 } else { 8 }, "{access:?}");
            assert_eq!(echoed[8..48], [0x5a; 40]);
        }
    }
}

#[test]
fn a_rule_in_output_is_a_local_error() {
    let pair = Pair::new();
    command(&pair.here, "nft add table inet wall");
    command(
        &pair.here,
        "nft add chain inet wall out { type filter hook output priority 0 ; policy drop ; }",
    );
    let socket = pair.here.run(|| IcmpSocket::open(false)).unwrap().unwrap();
    let refused = socket.send(&request(false, 1), ip("10.0.0.2"));
    assert_eq!(refused, Err(Errno::NOT_PERMITTED));
}
