//! Control messages (`cmsg(3)`) as plain bytes: what the kernel puts beside a datagram, and what it takes with one.
//!
//! The layout is the kernel's own (Linux `include/linux/socket.h`): a length of a word, level and type of four bytes each,
//! then the data, each message on a word's boundary. All of it is safe code: the kernel copies these bytes, wherever they
//! stand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Errno, Origin, RealTime, address};

/// Room for what a socket of ours may be told beside one datagram.
pub(crate) const ROOM_IN: usize = 256;
/// Room for what goes with one: a source address, and the wish to know when it left.
pub(crate) const ROOM_OUT: usize = 64;

const WORD: usize = size_of::<usize>();
const HEADER: usize = WORD + 8;

/// What the kernel says beside a datagram or an entry of the error queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// When it came in, or when the packet left that an entry of the error queue is about.
    pub(crate) at: Option<RealTime>,
    /// The local address that it was sent to.
    pub(crate) to: Option<IpAddr>,
    /// SO_RXQ_OVFL; absent as long as it is 0.
    pub(crate) dropped_total: u32,
    pub(crate) error: Option<ErrorRecord>,
}

/// `struct sock_extended_err` (Linux `include/uapi/linux/errqueue.h`) and the address behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorRecord {
    pub(crate) origin: Origin,
    pub(crate) errno: Errno,
    pub(crate) icmp_type: u8,
    pub(crate) icmp_code: u8,
    /// The MTU, or for a time stamp what it is of.
    pub(crate) info: u32,
    pub(crate) offender: Option<IpAddr>,
}

/// Reads all messages; what is not known or does not fit is passed over.
pub(crate) fn read(mut control: &[u8]) -> Beside {
    let mut beside = Beside::default();
    while let Some((level, kind, data, rest)) = next(control) {
        control = rest;
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS | libc::SCM_TIMESTAMPING) => {
                beside.at = time(data).or(beside.at);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                beside.dropped_total = word(data, 0).unwrap_or(0);
            }
            // Of in_pktinfo the last field is the header's destination.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                beside.to = bytes::<4>(data, 8).map(|octets| Ipv4Addr::from(octets).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                beside.to = bytes::<16>(data, 0).map(|octets| Ipv6Addr::from(octets).into());
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                beside.error = error(data);
            }
            _ => {}
        }
    }
    beside
}

/// Writes what goes with a datagram; how many bytes of `control` count.
pub(crate) fn write(control: &mut [u8; ROOM_OUT], from: Option<IpAddr>, stamp: bool) -> usize {
    let mut len = 0;
    match from {
        Some(IpAddr::V4(source)) => {
            // struct in_pktinfo: the device, the source, the header's destination.
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&source.octets());
            put(control, &mut len, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(source)) => {
            // struct in6_pktinfo: the source, the device.
            let mut info = [0; 20];
            info[..16].copy_from_slice(&source.octets());
            put(control, &mut len, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    if stamp {
        let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE.to_ne_bytes();
        put(control, &mut len, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags);
    }
    len
}

/// Both fit [`ROOM_OUT`]: two headers of 16 bytes, 20 and 4 bytes of data, each on a word's boundary.
fn put(control: &mut [u8; ROOM_OUT], len: &mut usize, level: i32, kind: i32, data: &[u8]) {
    let end = HEADER + data.len();
    let Some(place) = control.get_mut(*len..*len + end.next_multiple_of(WORD)) else {
        return;
    };
    place.fill(0);
    place[..WORD].copy_from_slice(&end.to_ne_bytes());
    place[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    place[WORD + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
    place[HEADER..end].copy_from_slice(data);
    *len += place.len();
}

/// Level, type and data of the first message, and what is behind it.
fn next(control: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(bytes(control, 0)?);
    let level = i32::from_ne_bytes(bytes(control, WORD)?);
    let kind = i32::from_ne_bytes(bytes(control, WORD + 4)?);
    let data = control.get(HEADER..len)?;
    let rest = control.get(len.next_multiple_of(WORD)..).unwrap_or_default();
    Some((level, kind, data, rest))
}

/// The first `struct timespec`; of SCM_TIMESTAMPING it is the software's. Nothing if the kernel left it empty.
fn time(data: &[u8]) -> Option<RealTime> {
    const LONG: usize = size_of::<libc::c_long>();
    let long = |at| bytes::<LONG>(data, at).map(libc::c_long::from_ne_bytes);
    let (seconds, nanoseconds) = (long(0)?, long(LONG)?);
    (seconds != 0 || nanoseconds != 0).then(|| RealTime::from_timespec(seconds, nanoseconds))
}

fn error(data: &[u8]) -> Option<ErrorRecord> {
    let &[origin, icmp_type, icmp_code] = data.get(4..7)? else {
        return None;
    };
    // The sender's address, of the family that it has, or AF_UNSPEC.
    let offender = data.get(16..).and_then(address::from_bytes).map(|from| from.ip());
    Some(ErrorRecord {
        origin: Origin::of(origin),
        errno: Errno(i32::try_from(word(data, 0)?).unwrap_or(0)),
        icmp_type,
        icmp_code,
        info: word(data, 8)?,
        offender: offender.filter(|address| !address.is_unspecified()),
    })
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    bytes(data, at).map(u32::from_ne_bytes)
}

fn bytes<const LEN: usize>(data: &[u8], at: usize) -> Option<[u8; LEN]> {
    data.get(at..at.checked_add(LEN)?)?.try_into().ok()
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
