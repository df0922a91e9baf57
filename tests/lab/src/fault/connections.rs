//! Fills the connection table of a network namespace by hand: `nf_conntrack_max` is the machine's, and in all namespaces but
//! the first it is read-only, but entries are counted by namespace. Entries go in by ctnetlink
//! (`net/netfilter/nf_conntrack_netlink.c`), marked as assured, since the kernel throws out others to make room.

use std::fs;
use std::io;

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::LabError;

/// An entry takes about 320 bytes of the kernel's memory: this many take 320 MB.
const MOST: u64 = 1 << 20;
const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
/// Longer than any run, in seconds.
const LIFE: u32 = 86_400;
/// The kernel takes them one after the other before `send` comes back; many more do not fit in the socket's buffer.
const BATCH: u32 = 256;

/// Numbers of `linux/netlink.h` and `linux/netfilter/nfnetlink*.h`.
const AF_NETLINK: i32 = 16;
const NETLINK_NETFILTER: i32 = 12;
const CT_NEW: u16 = 1 << 8;
const REQUEST_CREATE_EXCLUSIVE: u16 = 0x601;
const NESTED: u16 = 0x8000;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const TIMEOUT: u16 = 7;
/// IPS_SEEN_REPLY, IPS_ASSURED, IPS_CONFIRMED.
const ASSURED: u32 = 0b1110;
const IPV4: u8 = 2;
const UDP: u8 = 17;

/// Fills the table of the current network namespace to its last entry.
pub(super) fn fill() -> Result<(), LabError> {
    let failed = |what: &'static str| move |source| LabError::Connections { what, source };
    let max = number(MAX).map_err(failed("read nf_conntrack_max"))?;
    if max > MOST {
        let source = io::Error::other(format!(
            "it is {max}, and a table of more than {MOST} is not filled"
        ));
        return Err(failed("fill a table of nf_conntrack_max entries")(source));
    }
    let netfilter = Some(Protocol::from(NETLINK_NETFILTER));
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, netfilter);
    let socket = socket.map_err(failed("open a netlink socket"))?;
    let template = Template::new();
    let mut next = 0_u32;
    let mut before = None;
    loop {
        let count = number(COUNT).map_err(failed("read nf_conntrack_count"))?;
        if count >= max {
            return Ok(());
        }
        if before == Some(count) {
            let source = io::Error::other(format!("{count} of {max} entries, and no more are taken"));
            return Err(failed("fill the connection table")(source));
        }
        before = Some(count);
        let wanted = u32::try_from(max - count).unwrap_or(u32::MAX);
        let end = next + wanted;
        while next < end {
            let upto = end.min(next + BATCH);
            let mut batch = Vec::new();
            (next..upto).for_each(|number| template.add(number, &mut batch));
            socket.send(&batch).map_err(failed("add connections"))?;
            next = upto;
        }
    }
}

fn number(path: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(io::Error::other)
}

/// The request to add one entry: a flow of UDP between addresses that are for documentation (RFC 5737). Of hundreds of
/// thousands only the number differs, which is in the address and port of one end.
struct Template {
    bytes: Vec<u8>,
    /// Where that end stands in both tuples: its address and its port.
    places: Vec<(usize, usize)>,
}

/// An address and a port.
type End = ([u8; 4], [u8; 2]);

/// The end that differs, before its number is put in; no other part of the message looks like it.
const OURS: End = ([192, 0, 2, 0xa5], [0xa5, 0x5a]);
const THEIRS: End = ([198, 51, 100, 1], [0, 9]);

impl Template {
    fn new() -> Self {
        let body = [
            // struct nfgenmsg: family, version, resource.
            vec![IPV4, 0, 0, 0],
            tuple(TUPLE_ORIGINAL, OURS, THEIRS),
            tuple(TUPLE_REPLY, THEIRS, OURS),
            attribute(STATUS, &ASSURED.to_be_bytes()),
            attribute(TIMEOUT, &LIFE.to_be_bytes()),
        ]
        .concat();
        // struct nlmsghdr: length, type, flags, sequence, port; in the machine's own byte order.
        let length = u32::try_from(body.len() + 16).unwrap_or(u32::MAX);
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(CT_NEW.to_ne_bytes());
        bytes.extend(REQUEST_CREATE_EXCLUSIVE.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        let found = |what: &[u8]| -> Vec<usize> {
            let windows = bytes.windows(what.len()).enumerate();
            windows
                .filter(|(_, window)| *window == what)
                .map(|(place, _)| place)
                .collect()
        };
        let places = found(&OURS.0).into_iter().zip(found(&OURS.1)).collect();
        Self { bytes, places }
    }

    fn add(&self, number: u32, batch: &mut Vec<u8>) {
        let [_, high, middle, low] = number.to_be_bytes();
        let start = batch.len();
        batch.extend(&self.bytes);
        for (address, port) in &self.places {
            batch[start + address + 3] = high;
            batch[start + port..start + port + 2].copy_from_slice(&[middle, low]);
        }
    }
}

fn tuple(kind: u16, source: End, target: End) -> Vec<u8> {
    let addresses = [attribute(1, &source.0), attribute(2, &target.0)].concat();
    let ports = [
        attribute(1, &[UDP]),
        attribute(2, &source.1),
        attribute(3, &target.1),
    ]
    .concat();
    let both = [attribute(NESTED | 1, &addresses), attribute(NESTED | 2, &ports)].concat();
    attribute(NESTED | kind, &both)
}

/// struct nlattr: length and type, then the value, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_differ_in_one_end_of_both_directions() {
        let template = Template::new();
        assert_eq!(template.places.len(), 2);
        let mut batch = Vec::new();
        template.add(0x0001_0203, &mut batch);
        template.add(0x0001_0204, &mut batch);
        let (one, other) = batch.split_at(template.bytes.len());
        let differing = one.iter().zip(other).filter(|(one, other)| one != other).count();
        assert_eq!(
            (one.len(), differing),
            (other.len(), 2),
            "the last byte of the port, twice"
        );
        let length = u32::from_ne_bytes([one[0], one[1], one[2], one[3]]);
        assert_eq!(length as usize, one.len());
    }
}
