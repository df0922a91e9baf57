//! Sysctls of a lab's places, by their path below /proc/sys.

use super::{BRIDGE, UPLINK, pod_device_name};
use crate::cidr::IpFamily;
use crate::options::PodNetwork;
use crate::topology::{Node, Topology};

/// A sysctl and its value.
pub(crate) type Sysctl = (String, &'static str);

/// Of every place, before it has devices: IPv6 addresses, the link-local ones too, are used at once, and nobody waits for
/// routers that are not there.
pub(crate) fn first_sysctls(topology: &Topology) -> Vec<Sysctl> {
    let names: &[(&str, &str)] = if has(topology, IpFamily::V6) {
        &[
            ("accept_dad", "0"),
            ("dad_transmits", "0"),
            ("accept_ra", "0"),
            ("router_solicitations", "0"),
        ]
    } else {
        &[]
    };
    let sysctl = |(name, value): &(&str, &'static str)| (format!("net/ipv6/conf/default/{name}"), *value);
    names.iter().map(sysctl).collect()
}

/// Of a pod, when it is wired.
pub(crate) fn pod_sysctls(topology: &Topology) -> Vec<Sysctl> {
    // Pods may ping without capabilities, as Kubernetes lets them by a pod sysctl. It is for both families.
    let mut sysctls = vec![("net/ipv4/ping_group_range".to_owned(), "0 0")];
    sysctls.extend(neighbours(topology, UPLINK));
    sysctls
}

/// Of a node, when it is wired.
pub(crate) fn node_sysctls(topology: &Topology, node: &Node) -> Vec<Sysctl> {
    let mut sysctls = vec![
        ("net/ipv4/ip_forward".to_owned(), "1"),
        ("net/ipv4/conf/all/rp_filter".to_owned(), "0"),
        ("net/ipv4/conf/default/rp_filter".to_owned(), "0"),
    ];
    if has(topology, IpFamily::V6) {
        sysctls.push(("net/ipv6/conf/all/forwarding".to_owned(), "1"));
    }
    sysctls.extend(neighbours(topology, UPLINK));
    if topology.options.pod_network == PodNetwork::Bridge {
        sysctls.extend(neighbours(topology, BRIDGE));
        return sysctls;
    }
    for pod in &node.pods {
        let device = pod_device_name(pod);
        sysctls.extend(neighbours(topology, &device));
        if has(topology, IpFamily::V4) {
            sysctls.push((format!("net/ipv4/conf/{device}/proxy_arp"), "1"));
            // Without it the kernel answers after a random time below 0.8 s.
            sysctls.push((format!("net/ipv4/neigh/{device}/proxy_delay"), "0"));
        }
    }
    sysctls
}

/// How neighbours are asked for on a device. A lab shares its machine with whatever else runs there, and may lose a
/// request: it is sent again after a tenth of a second instead of one. Nobody answers for three seconds, as usual, before
/// the kernel gives up (Linux `net/ipv4/arp.c`, `net/ipv6/ndisc.c`: three requests, a second apart).
fn neighbours(topology: &Topology, device: &str) -> Vec<Sysctl> {
    let mut sysctls = Vec::new();
    for networks in topology.options.families() {
        let ip = match networks.family() {
            IpFamily::V4 => "ipv4",
            IpFamily::V6 => "ipv6",
        };
        for (name, value) in [("retrans_time_ms", "100"), ("mcast_solicit", "30")] {
            sysctls.push((format!("net/{ip}/neigh/{device}/{name}"), value));
        }
    }
    sysctls
}

fn has(topology: &Topology, family: IpFamily) -> bool {
    topology
        .options
        .families()
        .any(|networks| networks.family() == family)
}
