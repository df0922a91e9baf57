//! Sysctls that decide whether packets pass (`Documentation/networking/ip-sysctl.rst` and its neighbours).

use std::collections::BTreeMap;
use std::path::Path;

use super::read;

/// By their dotted names. Those of single devices come with the devices: a file for each would be slow where there are
/// hundreds.
const SYSCTLS: &[&str] = &[
    "net.bridge.bridge-nf-call-arptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
    "net.ipv4.conf.all.accept_local",
    "net.ipv4.conf.all.arp_filter",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.src_valid_mark",
    "net.ipv4.conf.default.forwarding",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.icmp_echo_ignore_all",
    "net.ipv4.icmp_msgs_per_sec",
    "net.ipv4.icmp_ratelimit",
    "net.ipv4.icmp_ratemask",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_no_pmtu_disc",
    "net.ipv4.neigh.default.gc_thresh1",
    "net.ipv4.neigh.default.gc_thresh2",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_ecn",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.conf.default.disable_ipv6",
    "net.ipv6.conf.default.forwarding",
    "net.ipv6.icmp.ratelimit",
    "net.ipv6.neigh.default.gc_thresh1",
    "net.ipv6.neigh.default.gc_thresh2",
    "net.ipv6.neigh.default.gc_thresh3",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_loose",
];

/// All but those of single devices. One that this kernel or this namespace does not have is left out.
pub(super) fn of_the_place() -> BTreeMap<String, String> {
    let value = |name: &str| read(Path::new("/proc/sys").join(name.replace('.', "/")));
    SYSCTLS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), tidy(&value(name)?))))
        .collect()
}

/// Ranges are written with a tab.
fn tidy(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `IFLA_INET_CONF` has of a device: its place in the array, from one (`IPV4_DEVCONF_*` in Linux
/// `include/uapi/linux/ip.h`).
pub(super) const OF_DEVICE: &[(usize, &str)] = &[
    (1, "forwarding"),
    (3, "proxy_arp"),
    (8, "rp_filter"),
    (13, "arp_filter"),
    (19, "arp_ignore"),
    (23, "accept_local"),
    (26, "route_localnet"),
];

/// What `IFLA_INET6_CONF` has: its place, from zero (`DEVCONF_*` in Linux `include/uapi/linux/ipv6.h`).
pub(super) const OF_DEVICE_V6: &[(usize, &str)] = &[
    (0, "forwarding"),
    (3, "accept_ra"),
    (22, "proxy_ndp"),
    (26, "disable_ipv6"),
];

/// The dotted name of a device's sysctl.
pub(super) fn of_device(family: &str, link: &str, name: &str) -> String {
    format!("net.{family}.conf.{link}.{name}")
}
