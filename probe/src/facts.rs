//! What the kernel of this place says of itself, read from the kernel itself: netlink, getsockopt, `/proc`. All is of the
//! network namespace of the calling thread. What may not be read is said; nothing is changed or made by looking.

mod conntrack;
mod counters;
mod ip_sets;
mod ip_tables;
mod left_out;
mod link_kind;
mod links;
mod listening;
mod neighbours;
mod nftables;
mod octets;
mod reader;
mod route_to;
mod routes;
mod sysctls;
mod tables;
#[cfg(test)]
mod tests;
mod wireguard;
mod xtables;

use std::fs;
use std::path::Path;

use mesh_net::{Netlink, NetlinkFamily};
use mesh_proto::{HostFacts, Missing};

use self::ip_sets::IpSets;
use self::links::Names;
use self::reader::{Reader, absent};
pub(crate) use self::route_to::route_to;

/// Reads them all. Takes a few milliseconds on an ordinary node, more with tens of thousands of rules or routes: nothing
/// for a thread of an async runtime.
pub fn host_facts() -> HostFacts {
    let mut missing = Vec::new();
    let mut facts = HostFacts {
        kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
        uptime_s: uptime(),
        sysctls: sysctls::of_the_place(),
        counters: counters::of_the_place(),
        conntrack: conntrack::conntrack(&mut missing),
        listening: listening::listening(),
        ..HostFacts::default()
    };
    let names = read_routing(&mut facts, &mut missing);
    let ip_sets = IpSets::default();
    let mut tables = nftables::tables(&names, &ip_sets, &mut missing);
    ip_tables::read(&ip_sets, &mut tables, &mut missing);
    facts.missing = missing;
    left_out::fit(&mut facts, tables);
    facts
}

/// Devices and where packets go. Gives the devices' names.
fn read_routing(facts: &mut HostFacts, missing: &mut Vec<Missing>) -> Names {
    const WHAT: [&str; 6] = [
        "links",
        "addresses",
        "routes",
        "routing rules",
        "neighbours",
        "forwarding entries",
    ];
    let netlink = match Netlink::open(NetlinkFamily::Route) {
        Ok(netlink) => netlink,
        Err(error) => {
            missing.extend(WHAT.map(|what| absent(what, &error)));
            return Names::default();
        }
    };
    let mut reader = Reader { netlink, missing };
    let devices = links::devices(&mut reader);
    let names = links::names(&devices);
    facts.addresses = routes::addresses(&mut reader, &names);
    facts.routes = routes::routes(&mut reader, &names);
    facts.routing_rules = routes::rules(&mut reader);
    facts.neighbours = neighbours::neighbours(&mut reader, &names);
    facts.forwarding_entries = neighbours::forwarding_entries(&mut reader, &names);
    let (links, sysctls) = links::finish(devices, &names);
    facts.links = links;
    facts.sysctls.extend(sysctls);
    wireguard::complete(&mut facts.links, missing);
    names
}

/// A file's text without white space around it.
fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn uptime() -> u64 {
    let text = read("/proc/uptime").unwrap_or_default();
    text.split('.')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0)
}
