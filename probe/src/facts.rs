//! What the kernel of this place says of itself.

use std::fs;
use std::path::Path;

use mesh_proto::HostFacts;

/// Sysctls that decide whether packets pass, by their dotted names.
const SYSCTLS: &[&str] = &[
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.conf.all.forwarding",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.ping_group_range",
    "net.ipv4.icmp_ratelimit",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_count",
    "net.bridge.bridge-nf-call-iptables",
];

/// Reads them all; what cannot be read is left out.
pub(crate) fn facts() -> HostFacts {
    let sysctls = SYSCTLS.iter().filter_map(|name| {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        Some(((*name).to_owned(), read(&path)?))
    });
    HostFacts {
        kernel: read(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default(),
        sysctls: sysctls.collect(),
        ..HostFacts::default()
    }
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
