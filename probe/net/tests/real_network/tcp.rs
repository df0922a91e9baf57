//! TCP: ICMP errors in the queue of a connect, and what the kernel knows of a connection.

use std::io;
use std::net::{SocketAddr, TcpListener};

use mesh_net::{Errno, NetNamespace, Origin, queued_error, report_icmp_errors, tcp_info};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};
use std::os::fd::AsFd;

use crate::topology::{Pair, command, far_ends};

/// Begins to connect and waits for what comes of it.
fn connect(namespace: &NetNamespace, to: SocketAddr) -> (Socket, Option<io::Error>) {
    let socket = namespace
        .run(|| Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP)))
        .unwrap()
        .unwrap();
    socket.set_nonblocking(true).unwrap();
    report_icmp_errors(&socket, to.is_ipv6()).unwrap();
    let begun = socket.connect(&to.into()).unwrap_err();
    assert_eq!(Errno::of(&begun), Some(Errno::IN_PROGRESS));
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut fds, PollTimeout::from(10_000_u16)).unwrap();
    assert_eq!(ready, 1, "neither connected nor refused");
    let error = socket.take_error().unwrap();
    (socket, error)
}

#[test]
fn a_rejected_connect_says_by_what_and_by_whom() {
    let pair = Pair::new();
    command(&pair.there, "nft add table inet wall");
    command(
        &pair.there,
        "nft add chain inet wall in { type filter hook input priority 0 ; }",
    );
    command(
        &pair.there,
        "nft add rule inet wall in tcp dport 443 reject with icmpx admin-prohibited",
    );
    for far in far_ends() {
        let (socket, error) = connect(&pair.here, SocketAddr::new(far, 443));
        let errno = if far.is_ipv6() {
            Errno::ACCESS
        } else {
            Errno::HOST_UNREACHABLE
        };
        assert_eq!(error.as_ref().and_then(Errno::of), Some(errno));
        let queued = queued_error(&socket, &mut []).unwrap().unwrap();
        let expected = if far.is_ipv6() {
            (Origin::Icmp6, 1, 1)
        } else {
            (Origin::Icmp, 3, 13)
        };
        assert_eq!((queued.origin, queued.icmp_type, queued.icmp_code), expected);
        assert_eq!(queued.offender, Some(far));
        assert_eq!(queued_error(&socket, &mut []), Ok(None));
    }
}

#[test]
fn a_closed_port_resets_and_queues_nothing() {
    let pair = Pair::new();
    for far in far_ends() {
        let (socket, error) = connect(&pair.here, SocketAddr::new(far, 443));
        assert_eq!(error.as_ref().and_then(Errno::of), Some(Errno::REFUSED));
        assert_eq!(queued_error(&socket, &mut []), Ok(None));
    }
}

#[test]
fn the_kernel_knows_round_trip_and_sizes_of_a_connection() {
    let pair = Pair::new();
    for far in far_ends() {
        let listener = pair
            .there
            .run(|| TcpListener::bind(SocketAddr::new(far, 0)))
            .unwrap()
            .unwrap();
        let (socket, error) = connect(&pair.here, listener.local_addr().unwrap());
        assert!(error.is_none(), "{error:?}");
        let info = tcp_info(&socket).unwrap();
        assert_eq!((info.total_retransmits, info.unacknowledged), (0, 0));
        assert!(info.rtt_us > 0);
        assert_eq!(info.path_mtu, 1_500);
        // IP and TCP headers, and the time stamp option (RFC 7323).
        let headers = if far.is_ipv6() { 72 } else { 52 };
        assert_eq!(info.send_mss, 1_500 - headers);
    }
}
