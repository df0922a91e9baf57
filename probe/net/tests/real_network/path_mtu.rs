//! Unfragmentable datagrams on a path that narrows behind a router.

use std::net::{IpAddr, SocketAddr};

use mesh_net::{DatagramSocket, Errno, NetNamespace, Origin, device_mtu};

use crate::topology::{End, any_like, cable, command, ip, node, sysctl, wait_for};

const DEVICE: u32 = 1_500;
const NARROW: u32 = 1_400;

/// here (MTU 1500) -- router -- (MTU 1400) there.
struct Path {
    here: NetNamespace,
    _router: NetNamespace,
    _there: NetNamespace,
}

impl Path {
    fn new() -> Self {
        let (here, router, there) = (node(), node(), node());
        cable(
            &End(&here, "near", &["10.0.1.1/24", "fd01::1/64"]),
            &End(&router, "west", &["10.0.1.254/24", "fd01::254/64"]),
            DEVICE,
        );
        cable(
            &End(&router, "east", &["10.0.2.254/24", "fd02::254/64"]),
            &End(&there, "far", &["10.0.2.1/24", "fd02::1/64"]),
            NARROW,
        );
        sysctl(&router, "net.ipv4.ip_forward", "1");
        sysctl(&router, "net.ipv6.conf.all.forwarding", "1");
        for (namespace, v4, v6) in [
            (&here, "10.0.1.254", "fd01::254"),
            (&there, "10.0.2.254", "fd02::254"),
        ] {
            command(namespace, &format!("ip route add default via {v4}"));
            command(namespace, &format!("ip -6 route add default via {v6}"));
        }
        Self {
            here,
            _router: router,
            _there: there,
        }
    }

    fn socket(&self, to: IpAddr) -> DatagramSocket {
        let socket = self
            .here
            .run(|| DatagramSocket::bind(any_like(to)))
            .unwrap()
            .unwrap();
        socket.probe_path_mtu().unwrap();
        socket
    }
}

/// The payload of a UDP datagram that is `packet` bytes long as a whole.
fn payload(to: IpAddr, packet: u32) -> Vec<u8> {
    let headers = if to.is_ipv6() { 48 } else { 28 };
    vec![0x42; usize::try_from(packet).unwrap() - headers]
}

#[test]
fn the_router_before_the_narrow_part_tells_its_mtu() {
    let path = Path::new();
    for (to, router) in [("10.0.2.1", "10.0.1.254"), ("fd02::1", "fd01::254")] {
        let to = SocketAddr::new(ip(to), 9);
        let socket = path.socket(to.ip());
        // Twice: the kernel has the path's MTU cached the second time, and must not refuse by itself.
        for _ in 0..2 {
            socket.send(&payload(to.ip(), NARROW + 1), to, None).unwrap();
            wait_for(&socket);
            let mut buffer = [0; 16];
            let error = socket.next_error(&mut buffer).unwrap().unwrap();
            let expected = if to.is_ipv6() {
                (Origin::Icmp6, 2, 0)
            } else {
                (Origin::Icmp, 3, 4)
            };
            assert_eq!((error.origin, error.icmp_type, error.icmp_code), expected);
            assert_eq!((error.errno, error.mtu), (Errno::TOO_BIG, NARROW));
            assert_eq!(error.offender, Some(ip(router)));
            assert_eq!(buffer[..error.payload_len.min(16)], [0x42; 16]);
            // Its errno is gone with the queue's last entry.
            assert_eq!(socket.receive(&mut []), Ok(None));
        }
    }
}

#[test]
fn above_the_devices_mtu_nothing_leaves() {
    let path = Path::new();
    for to in ["10.0.2.1", "fd02::1"] {
        let to = SocketAddr::new(ip(to), 9);
        let socket = path.socket(to.ip());
        let refused = socket.send(&payload(to.ip(), DEVICE + 1), to, None);
        assert_eq!(refused, Err(Errno::TOO_BIG));
        let error = socket.next_error(&mut []).unwrap().unwrap();
        assert_eq!((error.origin, error.errno), (Origin::Local, Errno::TOO_BIG));
        assert_eq!(error.mtu, DEVICE);
    }
}

#[test]
fn the_devices_mtu_is_known_whatever_the_path_takes() {
    let path = Path::new();
    for to in ["10.0.2.1", "fd02::1", "10.0.1.254"] {
        let mtu = path.here.run(|| device_mtu(ip(to))).unwrap();
        assert_eq!(mtu, Ok(DEVICE), "{to}");
    }
    let loopback = path.here.run(|| device_mtu(ip("127.0.0.1"))).unwrap();
    // The device takes 65,536; a datagram cannot be as long (RFC 791 section 3.1).
    assert_eq!(loopback, Ok(65_535));
    command(&path.here, "ip route del default");
    let nowhere = path.here.run(|| device_mtu(ip("10.0.2.1"))).unwrap();
    assert_eq!(nowhere, Err(Errno::NET_UNREACHABLE));
}
