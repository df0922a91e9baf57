//! Counters of the protocols (`proc_pid_net(5)`): `/proc/net/snmp`, `netstat`, `snmp6`, and what the kernel dropped before
//! any protocol saw it.

use std::collections::BTreeMap;

use super::read;

/// All of them by `Group.Name`.
fn of_texts(snmp: &str, netstat: &str, snmp6: &str) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    for text in [snmp, netstat] {
        counters.extend(paired(text));
    }
    counters.extend(snmp6.lines().filter_map(of_ipv6));
    counters
}

/// Those of this network namespace. `/proc/net` would be that of the process's first thread.
pub(super) fn of_the_place() -> BTreeMap<String, u64> {
    let file = |name: &str| read(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let mut counters = of_texts(&file("snmp"), &file("netstat"), &file("snmp6"));
    counters.extend(backlog(&file("softnet_stat")));
    counters
}

/// A line of names, then a line of values, both with the group in front.
fn paired(text: &str) -> BTreeMap<String, u64> {
    let lines: Vec<&str> = text.lines().collect();
    let mut counters = BTreeMap::new();
    for pair in lines.chunks_exact(2) {
        let (Some((group, names)), Some((same, values))) = (pair[0].split_once(':'), pair[1].split_once(':'))
        else {
            continue;
        };
        if group != same {
            continue;
        }
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            // `Tcp.MaxConn` is -1 for no limit, which counts nothing.
            if let Ok(value) = value.parse() {
                counters.insert(format!("{group}.{name}"), value);
            }
        }
    }
    counters
}

/// `Ip6InReceives 7`: the group ends with the 6.
fn of_ipv6(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    let (name, value) = (words.next()?, words.next()?);
    let (group, name) = name.split_once('6')?;
    Some((format!("{group}6.{name}"), value.parse().ok()?))
}

/// Packets that came faster than they were taken (`softnet_seq_show` in Linux `net/core/net-procfs.c`): a line for each
/// processor, hexadecimal, the second number counts the dropped ones. Of the whole machine.
fn backlog(text: &str) -> Option<(String, u64)> {
    let dropped = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    let all: Vec<u64> = text.lines().filter_map(dropped).collect();
    (!all.is_empty()).then(|| ("Softnet.Dropped".to_owned(), all.iter().sum()))
}

#[cfg(test)]
mod tests {
    use super::{backlog, of_texts};

    #[test]
    fn counters_are_named_by_group() {
        let snmp = "Ip: Forwarding InReceives\nIp: 1 7\nTcp: MaxConn InSegs\nTcp: -1 9\n";
        let netstat = "TcpExt: IPReversePathFilter ListenDrops\nTcpExt: 3 4\nIpExt: a\nMPTcpExt: 5\n";
        let snmp6 = "Ip6InReceives    \t11\nIcmp6OutType135 \t2\nUdpLite6InErrors 0\nodd\n";
        let counters: Vec<_> = of_texts(snmp, netstat, snmp6).into_iter().collect();
        let expected = [
            ("Icmp6.OutType135", 2),
            ("Ip.Forwarding", 1),
            ("Ip.InReceives", 7),
            ("Ip6.InReceives", 11),
            ("Tcp.InSegs", 9),
            ("TcpExt.IPReversePathFilter", 3),
            ("TcpExt.ListenDrops", 4),
            ("UdpLite6.InErrors", 0),
        ];
        assert_eq!(counters, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn the_backlog_is_summed_over_processors() {
        let text = "00000a 00000002 0\n00000b 0000001f 0\n";
        assert_eq!(backlog(text), Some(("Softnet.Dropped".to_owned(), 33)));
        assert_eq!(backlog(""), None);
    }
}
