//! Networks made of namespaces and veth pairs, and waiting for what comes in.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;

use mesh_net::NetNamespace;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Runs a command in a namespace; it must succeed.
pub(crate) fn command(namespace: &NetNamespace, line: &str) {
    let mut words = line.split_whitespace();
    let output = namespace
        .run(|| Command::new(words.next().unwrap()).args(words).output())
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
}

/// Sets a sysctl of a namespace.
pub(crate) fn sysctl(namespace: &NetNamespace, name: &str, value: &str) {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    let written = namespace.run(|| std::fs::write(&path, value)).unwrap();
    written.unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// A namespace whose loopback is up.
pub(crate) fn node() -> NetNamespace {
    let namespace = NetNamespace::create().unwrap();
    command(&namespace, "ip link set lo up");
    namespace
}

/// One end of a cable: the namespace, the device's name there and its addresses.
pub(crate) struct End<'a>(
    pub(crate) &'a NetNamespace,
    pub(crate) &'a str,
    pub(crate) &'a [&'a str],
);

/// Lays a cable between two namespaces.
pub(crate) fn cable(left: &End<'_>, right: &End<'_>, mtu: u32) {
    let far = right.0.path();
    command(
        left.0,
        &format!(
            "ip link add {} mtu {mtu} type veth peer name {} mtu {mtu} netns {}",
            left.1,
            right.1,
            far.display()
        ),
    );
    for End(namespace, device, addresses) in [left, right] {
        for address in *addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            command(
                namespace,
                &format!("ip address add {address} dev {device} {nodad}"),
            );
        }
        command(namespace, &format!("ip link set {device} up"));
    }
}

/// Two nodes and a cable: 10.0.0.1 and fd00::1 here, 10.0.0.2 and fd00::2 there.
pub(crate) struct Pair {
    pub(crate) here: NetNamespace,
    pub(crate) there: NetNamespace,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let pair = Self {
            here: node(),
            there: node(),
        };
        cable(
            &End(&pair.here, "near", &["10.0.0.1/24", "fd00::1/64"]),
            &End(&pair.there, "far", &["10.0.0.2/24", "fd00::2/64"]),
            1_500,
        );
        // Who they are is known from the beginning: else the queue of a neighbour that is asked for drops what a burst has
        // too much, and lets go of the rest when the answer comes, not at once.
        let [near, far] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
        command(&pair.here, &format!("ip link set near address {near}"));
        command(&pair.there, &format!("ip link set far address {far}"));
        for family in ["10.0.0.", "fd00::"] {
            let knows = |namespace, number, mac, device| {
                let line =
                    format!("ip neighbour replace {family}{number} lladdr {mac} dev {device} nud permanent");
                command(namespace, &line);
            };
            knows(&pair.here, 2, far, "near");
            knows(&pair.there, 1, near, "far");
        }
        pair
    }
}

/// Both families' address of the far node of a [`Pair`].
pub(crate) fn far_ends() -> [IpAddr; 2] {
    [ip("10.0.0.2"), ip("fd00::2")]
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Any address of the same family, any port.
pub(crate) fn any_like(address: IpAddr) -> SocketAddr {
    let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    any.parse().unwrap()
}

/// Waits until something can be read, or an error is queued. The limit only ends a test that has failed.
pub(crate) fn wait_for(socket: &impl AsFd) {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut fds, PollTimeout::from(10_000_u16)).unwrap();
    assert_eq!(ready, 1, "nothing came in");
}
