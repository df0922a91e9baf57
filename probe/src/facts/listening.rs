//! Sockets that wait for others (`proc_pid_net(5)`: `/proc/net/tcp` and its sisters).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mesh_proto::{Listening, Port, Protocol};

/// All of them, each once. More than a document has room for are not read.
pub(super) fn listening() -> Vec<Listening> {
    const MOST: usize = 4_096;
    let mut all = Vec::new();
    for (file, protocol) in [
        ("tcp", Protocol::Tcp),
        ("tcp6", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("udp6", Protocol::Udp),
    ] {
        let Ok(file) = File::open(format!("/proc/thread-self/net/{file}")) else {
            continue;
        };
        let lines = BufReader::new(file).lines().map_while(Result::ok).skip(1);
        all.extend(of_lines(lines, protocol).take(MOST));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// The kernel lists what listens on TCP before all connections (`tcp_seq_start` in Linux `net/ipv4/tcp_ipv4.c`), so that
/// hundreds of thousands of those need not be read. A UDP socket without a peer takes datagrams from everybody.
fn of_lines(lines: impl Iterator<Item = String>, protocol: Protocol) -> impl Iterator<Item = Listening> {
    const LISTEN: &str = "0A";
    const CLOSE: &str = "07";
    let wanted = if protocol == Protocol::Tcp { LISTEN } else { CLOSE };
    lines
        .map_while(move |line| {
            let (local, state) = fields(&line)?;
            (protocol == Protocol::Udp || state == wanted).then_some((local, state == wanted))
        })
        .filter_map(move |(local, waits)| {
            waits.then_some(Listening {
                protocol,
                address: local.ip(),
                port: Port(local.port()),
            })
        })
}

/// The second and the fourth field.
fn fields(line: &str) -> Option<(SocketAddr, String)> {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(address_of(address)?, port), state.to_owned()))
}

/// Words of 32 bits as they are in memory, written as numbers of the machine's byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (at, place) in octets.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}
