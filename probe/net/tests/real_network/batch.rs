//! Many datagrams by one call, time stamps of what left, and queues that overflow.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use mesh_net::{
    BATCH, DatagramSocket, Errno, IcmpAccess, IcmpSocket, Origin, Queued, Ready, RealTime, ReceiveBatch,
    SendBatch, enlarge_send_buffer, readiness, report_departures,
};
use nix::sys::socket::{setsockopt, sockopt};

use crate::echo::{IDENTIFIER, request};
use crate::topology::{Pair, any_like, command, far_ends, ip, sysctl, wait_for};

const ROOM: usize = 512;

fn bind(namespace: &mesh_net::NetNamespace, local: SocketAddr) -> DatagramSocket {
    namespace.run(|| DatagramSocket::bind(local)).unwrap().unwrap()
}

/// A batch of so many datagrams, each with its number in its first byte.
fn batch(count: usize, len: usize, to: SocketAddr, from: Option<IpAddr>, stamp: bool) -> SendBatch {
    let mut batch = SendBatch::new(len);
    for number in 0..count {
        let payload = batch.add(len, to, from, stamp).unwrap();
        payload.fill(0);
        payload[0] = u8::try_from(number).unwrap();
    }
    batch
}

/// All of a socket's datagrams that are there.
fn receive_all(socket: &DatagramSocket, received: &mut ReceiveBatch) -> Vec<u8> {
    let mut numbers = Vec::new();
    loop {
        let count = received.receive(socket.as_fd()).unwrap();
        numbers.extend(received.datagrams().map(|(_, payload)| payload[0]));
        if count < BATCH {
            return numbers;
        }
    }
}

#[test]
fn a_batch_arrives_in_order_from_and_to_the_right_addresses_in_both_families() {
    let pair = Pair::new();
    command(&pair.here, "ip address add 10.0.0.9/24 dev near");
    command(&pair.here, "ip address add fd00::9/64 dev near nodad");
    for (to, own) in far_ends().into_iter().zip([ip("10.0.0.9"), ip("fd00::9")]) {
        let server = bind(&pair.there, any_like(to));
        let client = bind(&pair.here, any_like(to));
        let there = SocketAddr::new(to, server.local_address().unwrap().port());
        let port = client.local_address().unwrap().port();
        for from in [None, Some(own)] {
            let before = RealTime::now();
            let mut sent = batch(BATCH, 100, there, from, false);
            assert!(sent.add(100, there, None, false).is_none(), "it is full");
            assert_eq!(sent.send(client.as_fd(), 0..BATCH), Ok(BATCH));
            wait_for(&server);
            let mut received = ReceiveBatch::new(ROOM);
            assert_eq!(received.receive(server.as_fd()), Ok(BATCH));
            for (place, (datagram, payload)) in received.datagrams().enumerate() {
                assert_eq!((usize::from(payload[0]), payload.len()), (place, 100));
                assert_eq!((datagram.len, datagram.to), (100, Some(to)));
                assert_eq!(datagram.from.port(), port);
                assert!(from.is_none_or(|from| from == datagram.from.ip()));
                assert!(before <= datagram.at && datagram.at <= RealTime::now());
            }
            assert_eq!(received.receive(server.as_fd()), Ok(0));
            assert_eq!(received.datagrams().count(), 0, "what was taken before is gone");
        }
    }
}

#[test]
fn what_is_longer_than_a_buffer_is_cut() {
    let pair = Pair::new();
    let server = bind(&pair.there, any_like(ip("10.0.0.2")));
    let client = bind(&pair.here, any_like(ip("10.0.0.2")));
    let to = SocketAddr::new(ip("10.0.0.2"), server.local_address().unwrap().port());
    assert_eq!(batch(2, 300, to, None, false).send(client.as_fd(), 0..2), Ok(2));
    wait_for(&server);
    let mut received = ReceiveBatch::new(64);
    assert_eq!(received.receive(server.as_fd()), Ok(2));
    let payloads: Vec<(usize, u8)> = received
        .datagrams()
        .map(|(_, payload)| (payload.len(), payload[0]))
        .collect();
    assert_eq!(payloads, [(64, 0), (64, 1)]);
}

#[test]
fn a_batch_that_the_kernel_refuses_in_the_middle_is_sent_up_to_there() {
    let pair = Pair::new();
    let server = bind(&pair.there, any_like(ip("10.0.0.2")));
    let client = bind(&pair.here, any_like(ip("10.0.0.2")));
    let good = SocketAddr::new(ip("10.0.0.2"), server.local_address().unwrap().port());
    let nowhere: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let mut mixed = SendBatch::new(8);
    for (number, to) in [good, good, nowhere, good].into_iter().enumerate() {
        mixed.add(1, to, None, false).unwrap()[0] = u8::try_from(number).unwrap();
    }
    assert_eq!(mixed.send(client.as_fd(), 0..4), Ok(2));
    assert_eq!(mixed.send(client.as_fd(), 2..4), Err(Errno::NET_UNREACHABLE));
    assert_eq!(mixed.send(client.as_fd(), 3..4), Ok(1));
    assert_eq!(mixed.send(client.as_fd(), 4..4), Ok(0), "nothing is nothing");
    assert_eq!(mixed.send(client.as_fd(), 4..9), Ok(0), "as is what is not there");
    wait_for(&server);
    assert_eq!(receive_all(&server, &mut ReceiveBatch::new(ROOM)), [0, 1, 3]);
}

#[test]
fn a_full_send_buffer_takes_a_part_and_then_says_so() {
    let pair = Pair::new();
    // Nobody has this address: packets wait for it, and are held against the send buffer.
    let to: SocketAddr = "10.0.0.77:9".parse().unwrap();
    let client = bind(&pair.here, any_like(to.ip()));
    setsockopt(&client, sockopt::SndBuf, &4_608).unwrap();
    let mut many = batch(BATCH, 400, to, None, false);
    let left = many.send(client.as_fd(), 0..BATCH).unwrap();
    assert!(0 < left && left < BATCH, "{left}");
    assert_eq!(many.send(client.as_fd(), left..BATCH), Err(Errno::WOULD_BLOCK));
    enlarge_send_buffer(&client, 1 << 20);
    assert!(
        many.send(client.as_fd(), left..BATCH).unwrap() > 0,
        "there is room again"
    );
}

#[test]
fn a_full_device_queue_says_so() {
    let pair = Pair::new();
    let to: SocketAddr = "10.0.0.2:9".parse().unwrap();
    let client = bind(&pair.here, any_like(to.ip()));
    // Packets that wait for a neighbour are not in the device's queue yet.
    command(
        &pair.here,
        "ip neighbour replace 10.0.0.2 lladdr 02:00:00:00:00:09 dev near nud permanent",
    );
    // A queue of no length at all drops what does not leave at once; nothing does at this rate.
    command(
        &pair.here,
        "tc qdisc add dev near root tbf rate 8kbit burst 1540 limit 1",
    );
    let mut many = batch(BATCH, 400, to, None, false);
    let mut sent = 0;
    let refused = loop {
        match many.send(client.as_fd(), sent..BATCH) {
            Ok(count) if count > 0 => sent += count,
            other => break other,
        }
    };
    assert_eq!(refused, Err(Errno::NO_BUFFERS), "after {sent}");
}

#[test]
fn the_kernel_says_when_each_packet_left_that_asked_for_it() {
    let pair = Pair::new();
    for to in far_ends() {
        let server = bind(&pair.there, any_like(to));
        let client = bind(&pair.here, any_like(to));
        report_departures(&client);
        let there = SocketAddr::new(to, server.local_address().unwrap().port());
        let before = RealTime::now();
        assert_eq!(batch(3, 40, there, None, true).send(client.as_fd(), 0..3), Ok(3));
        assert_eq!(batch(2, 40, there, None, false).send(client.as_fd(), 0..2), Ok(2));
        wait_for(&server);
        let mut errors = ReceiveBatch::new(ROOM);
        let mut ready = Vec::new();
        readiness([client.as_fd(), server.as_fd()].into_iter(), &mut ready);
        let expected = [(false, true), (true, false)].map(|(data, errors)| Ready { data, errors });
        assert_eq!(ready, expected);
        assert_eq!(errors.receive_errors(client.as_fd()), Ok(3));
        let mut last = before;
        for (place, (queued, packet)) in errors.errors().enumerate() {
            let Queued::Left(at) = queued else {
                panic!("{queued:?}")
            };
            assert!(last <= at && at <= RealTime::now());
            last = at;
            // Headers of the link, IP and UDP stand before it.
            let payload = &packet[packet.len() - 40..];
            assert_eq!(usize::from(payload[0]), place);
            assert!(packet.len() > 40 + 28);
        }
        let mut received = ReceiveBatch::new(ROOM);
        assert_eq!(received.receive(server.as_fd()), Ok(5));
        let first = received.datagrams().next().unwrap().0.at;
        assert!(first >= before, "a packet arrives after it left");
        assert_eq!(errors.receive_errors(client.as_fd()), Ok(0));
    }
}

#[test]
fn refusals_come_in_batches_with_who_sent_them() {
    let pair = Pair::new();
    sysctl(&pair.there, "net.ipv4.icmp_ratelimit", "0");
    sysctl(&pair.there, "net.ipv4.icmp_msgs_per_sec", "100000");
    sysctl(&pair.there, "net.ipv4.icmp_msgs_burst", "100000");
    sysctl(&pair.there, "net.ipv6.icmp.ratelimit", "0");
    for to in far_ends() {
        let client = bind(&pair.here, any_like(to));
        let closed = SocketAddr::new(to, 9);
        let mut sent = batch(10, 100, closed, None, false);
        let mut errors = ReceiveBatch::new(ROOM);
        let mut seen = 0;
        for place in 0..10 {
            // An errno is that of the refusal before.
            while sent.send(client.as_fd(), place..place + 1).is_err() {}
        }
        while seen < 10 {
            wait_for(&client);
            // Receiving tells the errno, and clears it.
            let _ = ReceiveBatch::new(ROOM).receive(client.as_fd());
            errors.receive_errors(client.as_fd()).unwrap();
            for (queued, payload) in errors.errors() {
                let Queued::Error(error) = queued else {
                    panic!("{queued:?}")
                };
                let expected = if to.is_ipv6() {
                    (Origin::Icmp6, 1, 4)
                } else {
                    (Origin::Icmp, 3, 3)
                };
                assert_eq!((error.origin, error.icmp_type, error.icmp_code), expected);
                assert_eq!((error.offender, error.destination), (Some(to), Some(closed)));
                assert_eq!((usize::from(payload[0]), error.payload_len), (seen, 100));
                seen += 1;
            }
        }
    }
}

#[test]
fn an_error_queue_that_overflows_keeps_what_came_first_and_goes_on() {
    let pair = Pair::new();
    let to = SocketAddr::new(ip("10.0.0.2"), 9);
    let client = bind(&pair.here, any_like(to.ip()));
    report_departures(&client);
    // A few entries fit; the kernel drops the rest, and the packets leave all the same.
    setsockopt(&client, sockopt::RcvBuf, &4_096).unwrap();
    let server = bind(&pair.there, SocketAddr::new(to.ip(), 9));
    assert_eq!(
        batch(BATCH, 100, to, None, true).send(client.as_fd(), 0..BATCH),
        Ok(BATCH)
    );
    wait_for(&server);
    let mut received = ReceiveBatch::new(ROOM);
    assert_eq!(receive_all(&server, &mut received).len(), BATCH);
    let mut errors = ReceiveBatch::new(ROOM);
    let kept = errors.receive_errors(client.as_fd()).unwrap();
    assert!(0 < kept && kept < BATCH, "{kept}");
    let places: Vec<u8> = errors
        .errors()
        .map(|(_, packet)| packet[packet.len() - 100])
        .collect();
    let first: Vec<u8> = (0..u8::try_from(kept).unwrap()).collect();
    assert_eq!(places, first);
    assert_eq!(batch(1, 100, to, None, true).send(client.as_fd(), 0..1), Ok(1));
    assert_eq!(
        errors.receive_errors(client.as_fd()),
        Ok(1),
        "there is room again"
    );
}

#[test]
fn a_raw_socket_wakes_for_its_own_identifier_only() {
    let pair = Pair::new();
    for to in far_ends() {
        let v6 = to.is_ipv6();
        let open = || pair.here.run(|| IcmpSocket::open(v6)).unwrap().unwrap();
        let (own, other) = (open(), open());
        assert_eq!(own.access(), IcmpAccess::Raw);
        own.only_identifier(IDENTIFIER).unwrap();
        other.only_identifier(IDENTIFIER + 1).unwrap();
        own.send(&request(v6, 0x5a), to).unwrap();
        wait_for(&own);
        let mut received = ReceiveBatch::new(ROOM);
        assert_eq!(received.receive(own.as_fd()), Ok(1));
        let (datagram, packet) = received.datagrams().next().unwrap();
        assert_eq!(datagram.from.ip(), to);
        let message = own.message(packet);
        assert_eq!(
            (message[0], &message[4..6]),
            (if v6 { 129 } else { 0 }, &IDENTIFIER.to_be_bytes()[..])
        );
        // Each raw socket is offered the reply before either is woken.
        assert_eq!(received.receive(other.as_fd()), Ok(0), "{to}");
    }
}

#[test]
fn more_sockets_than_one_call_asks_for_are_all_asked() {
    let pair = Pair::new();
    let to = ip("10.0.0.2");
    let servers: Vec<DatagramSocket> = (0..150).map(|_| bind(&pair.there, any_like(to))).collect();
    let client = bind(&pair.here, any_like(to));
    let chosen = [0, 63, 64, 127, 128, 149];
    for place in chosen {
        let there = SocketAddr::new(to, servers[place].local_address().unwrap().port());
        client.send(b"?", there, None).unwrap();
        wait_for(&servers[place]);
    }
    let mut ready = Vec::new();
    readiness(servers.iter().map(AsFd::as_fd), &mut ready);
    let places: Vec<usize> = (0..150).filter(|place| ready[*place].data).collect();
    assert_eq!((ready.len(), places), (150, chosen.to_vec()));
    assert!(ready.iter().all(|ready| !ready.errors));
}
