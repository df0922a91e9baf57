use mesh_proto::Port;

use super::*;
use crate::cidr::Cidr;
use crate::options::{LabOptions, Networks};

fn space(place: &str) -> PathBuf {
    PathBuf::from(format!("/ns/{place}"))
}

fn lab(change: impl FnOnce(&mut LabOptions)) -> Topology {
    let mut options = LabOptions::of_size(3).unwrap();
    change(&mut options);
    options.check().unwrap();
    Topology::of(&options)
}

fn usual(_: &mut LabOptions) {}

fn six(options: &mut LabOptions) {
    options.networks = Networks::usual(IpFamily::V6);
}

fn dual(options: &mut LabOptions) {
    options.second_networks = Some(Networks::usual(IpFamily::V6));
}

/// All that wires the second node and its first pod.
fn all_of_second(topology: &Topology) -> String {
    let mut text = fabric(topology, |node| space(node.name.as_str()));
    text += &node_devices(topology, &topology.nodes[1], |pod| {
        space(&format!("{:?}", pod.role))
    });
    for view in topology.views() {
        let node = &view.nodes[1];
        text += &node_addresses(&view, node);
        text += &overlay_entries(&view, node);
        text += &pod_addresses(&view, node, &node.pods[0]);
    }
    text
}

fn is_wired(shapes: &[(&str, Topology, &[&str])]) {
    for (shape, topology, lines) in shapes {
        let text = all_of_second(topology);
        for line in *lines {
            assert!(
                text.lines().any(|found| found == *line),
                "{shape}: {line:?} is missing in\n{text}"
            );
        }
    }
}

#[test]
fn every_shape_of_ipv4_is_wired_with_its_own_words() {
    is_wired(&[
        (
            "vxlan, routed",
            lab(usual),
            &[
                "link add port-2 mtu 1500 type veth peer name eth0 mtu 1500 address 02:6d:0a:00:00:02 netns /ns/node-2",
                "link add cali-pod mtu 1450 type veth peer name eth0 mtu 1450 netns /ns/Agent",
                "address add 172.18.0.2/16 dev eth0",
                "route add default via 172.18.255.254",
                "route add 10.244.2.10/32 dev cali-pod",
                "link add vxlan0 mtu 1450 address 02:6d:0b:00:00:02 type vxlan id 4096 dstport 4789 local 172.18.0.2 dev eth0 nolearning",
                "address add 10.244.2.0/32 dev vxlan0",
                "neighbour add 10.244.3.0 lladdr 02:6d:0b:00:00:03 dev vxlan0 nud permanent",
                "route add 10.244.3.0/24 via 10.244.3.0 dev vxlan0 onlink",
                "fdb add 02:6d:0b:00:00:03 dev vxlan0 dst 172.18.0.3",
                "address add 10.244.2.10/32 dev eth0",
                "route add 169.254.1.1 dev eth0 scope link",
                "route add default via 169.254.1.1 dev eth0",
            ],
        ),
        (
            "vxlan on another port, bridge",
            lab(|options| {
                options.encapsulation = Encapsulation::Vxlan(Port(8472));
                options.pod_network = PodNetwork::Bridge;
            }),
            &[
                "link add cni0 mtu 1450 type bridge",
                "link set cali-pod master cni0 up",
                "address add 10.244.2.1/24 dev cni0",
                "link add vxlan0 mtu 1450 address 02:6d:0b:00:00:02 type vxlan id 4096 dstport 8472 local 172.18.0.2 dev eth0 nolearning",
                "address add 10.244.2.10/24 dev eth0",
                "route add default via 10.244.2.1",
            ],
        ),
        (
            "none",
            lab(|options| options.encapsulation = Encapsulation::None),
            &[
                "link add cali-pod mtu 1500 type veth peer name eth0 mtu 1500 netns /ns/Agent",
                "route add 10.244.3.0/24 via 172.18.0.3 dev eth0",
            ],
        ),
        (
            "ipip",
            lab(|options| options.encapsulation = Encapsulation::Ipip),
            &[
                "link add cali-pod mtu 1480 type veth peer name eth0 mtu 1480 netns /ns/Agent",
                "link add ipip0 mtu 1480 type ipip local 172.18.0.2",
                "address add 10.244.2.0/32 dev ipip0",
                "link set ipip0 up",
                "route add 10.244.1.0/24 via 172.18.0.1 dev ipip0 onlink",
                "route add 10.244.3.0/24 via 172.18.0.3 dev ipip0 onlink",
            ],
        ),
    ]);
}

#[test]
fn every_shape_of_ipv6_is_wired_with_its_own_words() {
    is_wired(&[
        (
            "IPv6, vxlan, routed",
            lab(six),
            &[
                "address add fd00:172:18::2/64 dev eth0 nodad",
                "route add default via fd00:172:18:0:ffff:ffff:ffff:fffe",
                "address add fe80::1/64 dev cali-pod nodad",
                "route add fd00:10:244:2::a/128 dev cali-pod",
                "link add vxlan0 mtu 1430 address 02:6d:0c:00:00:02 type vxlan id 4096 dstport 4789 local fd00:172:18::2 dev eth0 nolearning",
                "route add fd00:10:244:3::/64 via fd00:10:244:3::100 dev vxlan0 onlink",
                "fdb add 02:6d:0c:00:00:03 dev vxlan0 dst fd00:172:18::3",
                "address add fd00:10:244:2::a/128 dev eth0 nodad",
                "route add default via fe80::1 dev eth0",
            ],
        ),
        (
            "IPv6, none, bridge",
            lab(|options| {
                six(options);
                options.encapsulation = Encapsulation::None;
                options.pod_network = PodNetwork::Bridge;
            }),
            &[
                "address add fd00:10:244:2::1/64 dev cni0 nodad",
                "route add fd00:10:244:3::/64 via fd00:172:18::3 dev eth0",
                "route add default via fd00:10:244:2::1",
            ],
        ),
        (
            "dual stack",
            lab(dual),
            &[
                // The larger header of the two decides.
                "link add cali-pod mtu 1430 type veth peer name eth0 mtu 1430 netns /ns/Agent",
                "address add 172.18.0.2/16 dev eth0",
                "link add vxlan0 mtu 1450 address 02:6d:0b:00:00:02 type vxlan id 4096 dstport 4789 local 172.18.0.2 dev eth0 nolearning",
                "address add fd00:172:18::2/64 dev eth0 nodad",
                "link add vxlan1 mtu 1430 address 02:6d:0c:00:00:02 type vxlan id 4096 dstport 4789 local fd00:172:18::2 dev eth0 nolearning",
                "fdb add 02:6d:0c:00:00:03 dev vxlan1 dst fd00:172:18::3",
            ],
        ),
        (
            "a small MTU in pods",
            lab(|options| {
                options.odd.insert(crate::oddity::Oddity::SmallPodMtu);
            }),
            &[
                "link add cali-pod mtu 1350 type veth peer name eth0 mtu 1350 netns /ns/Agent",
                "link add vxlan0 mtu 1450 address 02:6d:0b:00:00:02 type vxlan id 4096 dstport 4789 local 172.18.0.2 dev eth0 nolearning",
            ],
        ),
    ]);
}

#[test]
fn a_shape_has_nothing_of_another() {
    let routed = all_of_second(&lab(|options| options.encapsulation = Encapsulation::None));
    for word in ["vxlan", "ipip", "fdb", "cni0", "nodad", "fd00"] {
        assert!(!routed.contains(word), "{word}: {routed}");
    }
    let six = all_of_second(&lab(six));
    for word in ["172.18", "10.244.", "169.254", "vxlan1"] {
        assert!(!six.contains(word), "{word}: {six}");
    }
}

#[test]
fn neighbours_of_large_labs_are_permanent() {
    let permanent = |nodes: usize| {
        let topology = Topology::of(&LabOptions::of_size(nodes).unwrap());
        let text = node_addresses(&topology, &topology.nodes[0]);
        text.lines()
            .filter(|line| line.contains(" dev eth0 nud permanent"))
            .count()
    };
    assert_eq!((permanent(16), permanent(17)), (0, 16));
}

#[test]
fn sysctls_are_of_the_families_that_the_lab_has() {
    let names = |topology: &Topology| {
        let mut all = first_sysctls(topology);
        all.extend(node_sysctls(topology, &topology.nodes[0]));
        all.extend(pod_sysctls(topology));
        all.into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
    };
    let has = |all: &[String], sysctl: &str| all.iter().any(|found| found == sysctl);
    let (four, six, both) = (names(&lab(usual)), names(&lab(six)), names(&lab(dual)));
    for (sysctl, expected) in [
        ("net/ipv4/conf/cali-pod/proxy_arp=1", [true, false, true]),
        ("net/ipv4/neigh/eth0/retrans_time_ms=100", [true, false, true]),
        ("net/ipv6/neigh/cali-pod/retrans_time_ms=100", [false, true, true]),
        ("net/ipv6/conf/default/accept_dad=0", [false, true, true]),
        ("net/ipv6/conf/all/forwarding=1", [false, true, true]),
        ("net/ipv4/ping_group_range=0 0", [true, true, true]),
    ] {
        assert_eq!(
            [&four, &six, &both].map(|all| has(all, sysctl)),
            expected,
            "{sysctl}"
        );
    }
}

#[test]
fn routes_are_taken_away_as_they_were_made() {
    let topology = lab(usual);
    let text = pod_routes(&topology, &topology.nodes[0], "del");
    assert_eq!(
        text,
        "route del 10.244.2.0/24 via 10.244.2.0 dev vxlan0 onlink\nroute del 10.244.3.0/24 via 10.244.3.0 dev vxlan0 onlink\n"
    );
    let second: Cidr = "10.244.2.0/24".parse().unwrap();
    assert_eq!(topology.pods_of(&topology.nodes[1]), second);
}
