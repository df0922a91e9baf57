//! UDP: the error queue, addresses, time stamps, full buffers.

use std::net::SocketAddr;

use mesh_net::{DatagramSocket, Errno, NetNamespace, Origin, RealTime};

use crate::topology::{Pair, any_like, command, far_ends, ip, wait_for};

const CLOSED: u16 = 7;

fn bind(namespace: &NetNamespace, local: SocketAddr) -> DatagramSocket {
    namespace.run(|| DatagramSocket::bind(local)).unwrap().unwrap()
}

#[test]
fn a_closed_port_is_told_by_the_far_kernel_and_the_socket_goes_on() {
    let pair = Pair::new();
    for far in far_ends() {
        let socket = bind(&pair.here, any_like(far));
        let closed = SocketAddr::new(far, CLOSED);
        socket.send(b"anybody there?", closed, None).unwrap();
        wait_for(&socket);
        // The errno of the ICMP error is given once, whatever is called.
        assert_eq!(socket.receive(&mut [0; 8]), Err(Errno::REFUSED));
        assert_eq!(socket.receive(&mut [0; 8]), Ok(None));

        let mut buffer = [0; 64];
        let error = socket.next_error(&mut buffer).unwrap().unwrap();
        let expected = if far.is_ipv6() {
            (Origin::Icmp6, 1, 4)
        } else {
            (Origin::Icmp, 3, 3)
        };
        assert_eq!((error.origin, error.icmp_type, error.icmp_code), expected);
        assert_eq!(error.errno, Errno::REFUSED);
        assert_eq!(error.offender, Some(far));
        assert_eq!(error.destination, Some(closed));
        assert_eq!(&buffer[..error.payload_len], b"anybody there?");
        assert_eq!(socket.next_error(&mut buffer), Ok(None));

        let server = bind(&pair.there, SocketAddr::new(any_like(far).ip(), 0));
        let open = SocketAddr::new(far, server.local_address().unwrap().port());
        socket.send(b"and here?", open, None).unwrap();
        wait_for(&server);
        assert_eq!(server.receive(&mut buffer).unwrap().unwrap().len, 9);
    }
}

#[test]
fn the_sender_of_an_error_may_be_a_router() {
    let pair = Pair::new();
    command(&pair.here, "ip route add 10.9.9.0/24 via 10.0.0.2");
    command(&pair.there, "ip route add prohibit 10.9.9.0/24");
    crate::topology::sysctl(&pair.there, "net.ipv4.ip_forward", "1");
    let socket = bind(&pair.here, any_like(ip("10.0.0.1")));
    socket
        .send(b"beyond", "10.9.9.9:9".parse().unwrap(), None)
        .unwrap();
    wait_for(&socket);
    let error = socket.next_error(&mut []).unwrap().unwrap();
    assert_eq!((error.icmp_type, error.icmp_code), (3, 13));
    assert_eq!(error.offender, Some(ip("10.0.0.2")));
    assert_eq!(error.destination, Some("10.9.9.9:9".parse().unwrap()));
}

#[test]
fn a_rule_in_output_and_a_route_are_local_errors() {
    let pair = Pair::new();
    let socket = bind(&pair.here, any_like(ip("10.0.0.1")));
    let no_route = socket.send(b"", "192.0.2.1:9".parse().unwrap(), None);
    assert_eq!(no_route, Err(Errno::NET_UNREACHABLE));
    command(&pair.here, "nft add table inet wall");
    command(
        &pair.here,
        "nft add chain inet wall out { type filter hook output priority 0 ; policy drop ; }",
    );
    for far in far_ends() {
        let socket = bind(&pair.here, any_like(far));
        let dropped = socket.send(b"no", SocketAddr::new(far, 9), None);
        assert_eq!(dropped, Err(Errno::NOT_PERMITTED));
        assert_eq!(socket.next_error(&mut []), Ok(None));
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let pair = Pair::new();
    for second in ["10.0.0.3/24", "fd00::3/64"] {
        let nodad = if second.contains(':') { "nodad" } else { "" };
        command(&pair.there, &format!("ip address add {second} dev far {nodad}"));
    }
    for [first, second] in [["10.0.0.2", "10.0.0.3"], ["fd00::2", "fd00::3"]] {
        let server = bind(&pair.there, any_like(ip(first)));
        let port = server.local_address().unwrap().port();
        let client = bind(&pair.here, any_like(ip(first)));
        for asked in [ip(first), ip(second)] {
            let asked = SocketAddr::new(asked, port);
            client.send(b"?", asked, None).unwrap();
            wait_for(&server);
            let request = server.receive(&mut [0; 8]).unwrap().unwrap();
            assert_eq!(request.to, Some(asked.ip()));
            server.send(b"!", request.from, request.to).unwrap();
            wait_for(&client);
            assert_eq!(client.receive(&mut [0; 8]).unwrap().unwrap().from, asked);
        }
    }
}

#[test]
fn the_kernel_says_when_a_datagram_came() {
    let pair = Pair::new();
    let server = bind(&pair.there, any_like(ip("10.0.0.2")));
    let to = SocketAddr::new(ip("10.0.0.2"), server.local_address().unwrap().port());
    let client = bind(&pair.here, any_like(to.ip()));
    let mut stamped_on_arrival = false;
    // The kernel begins to stamp some moment after the machine's first socket has asked for it; until then it takes
    // the time of the call.
    for _ in 0..10_000 {
        let before = RealTime::now();
        client.send(b"now", to, None).unwrap();
        wait_for(&server);
        let seen = RealTime::now();
        let received = server.receive(&mut [0; 8]).unwrap().unwrap();
        assert!(before <= received.at && received.at <= RealTime::now());
        stamped_on_arrival |= received.at < seen;
        if stamped_on_arrival {
            break;
        }
    }
    assert!(stamped_on_arrival, "every stamp is that of the call that read it");
}

#[test]
fn what_a_full_buffer_drops_is_counted() {
    let pair = Pair::new();
    let server = bind(&pair.there, any_like(ip("10.0.0.2")));
    let to = SocketAddr::new(ip("10.0.0.2"), server.local_address().unwrap().port());
    let client = bind(&pair.here, any_like(to.ip()));
    let mut buffer = [0; 2_048];
    let sent = 20_000_u32;
    for _ in 0..sent {
        client.send(&[0; 1_400], to, None).unwrap();
    }
    let mut received = 0_u32;
    while let Some(datagram) = server.receive(&mut buffer).unwrap() {
        assert_eq!(datagram.len, 1_400);
        received += 1;
    }
    assert!(received < sent, "the buffer took it all");
    // The count goes with the next datagram that finds a place.
    client.send(b"more", to, None).unwrap();
    wait_for(&server);
    let dropped = server.receive(&mut buffer).unwrap().unwrap().dropped_total;
    // A busy machine drops some before they come to the socket.
    assert!(
        (1..=sent - received).contains(&dropped),
        "{dropped} of {sent}, {received} received"
    );
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let namespace = crate::topology::node();
    let first = bind(&namespace, "127.0.0.1:0".parse().unwrap());
    let taken = first.local_address().unwrap();
    let second = namespace.run(|| DatagramSocket::bind(taken)).unwrap();
    assert_eq!(second.err().map(Errno::name).as_deref(), Some("EADDRINUSE"));
}
