//! What the kernel of this place says of itself: read from /proc and /sys, which need no privilege.

use std::fs;
use std::path::Path;

use mesh_proto::Fact;

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
pub(crate) fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |group: &str, name: &str, value: Option<String>| {
        if let Some(value) = value {
            facts.push(Fact {
                group: group.to_owned(),
                name: name.to_owned(),
                value,
            });
        }
    };
    add("kernel", "release", read(Path::new("/proc/sys/kernel/osrelease")));
    let uptime = read(Path::new("/proc/uptime"));
    add(
        "kernel",
        "uptime_s",
        uptime.and_then(|text| text.split('.').next().map(str::to_owned)),
    );
    for name in SYSCTLS {
        add(
            "sysctl",
            name,
            read(&Path::new("/proc/sys").join(name.replace('.', "/"))),
        );
    }
    // Only tables that stand already: looking with a command would make them.
    add(
        "iptables",
        "legacy_tables",
        read(Path::new("/proc/net/ip_tables_names")).map(|text| text.replace('\n', " ")),
    );
    let mut interfaces: Vec<_> = fs::read_dir("/proc/sys/net/ipv4/conf")
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    interfaces.sort();
    for name in interfaces
        .iter()
        .filter(|name| *name != "all" && *name != "default")
    {
        let conf = Path::new("/proc/sys/net/ipv4/conf").join(name);
        add(
            "sysctl",
            &format!("net.ipv4.conf.{name}.rp_filter"),
            read(&conf.join("rp_filter")),
        );
        // /sys shows the namespace in which it was mounted, so an interface may not be there.
        let sys = Path::new("/sys/class/net").join(name);
        add("interface", &format!("{name}.mtu"), read(&sys.join("mtu")));
        add(
            "interface",
            &format!("{name}.operstate"),
            read(&sys.join("operstate")),
        );
    }
    facts
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn forwarding_is_read_as_the_kernel_has_it() {
        let value = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        let facts = super::facts();
        let fact = facts
            .iter()
            .find(|fact| fact.name == "net.ipv4.ip_forward")
            .unwrap();
        assert_eq!(fact.value, value.trim());
    }
}
