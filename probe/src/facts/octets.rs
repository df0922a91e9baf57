//! Numbers, texts and addresses at given places of the kernel's structures. What is too short gives `None`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// So many bytes from there.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// In the machine's byte order, as all of those below.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array(bytes, at).map(i32::from_ne_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_ne_bytes)
}

/// An address of either family.
pub(super) fn address_at(bytes: &[u8], at: usize, v6: bool) -> Option<IpAddr> {
    if v6 {
        array(bytes, at).map(|octets: [u8; 16]| Ipv6Addr::from(octets).into())
    } else {
        array(bytes, at).map(|octets: [u8; 4]| Ipv4Addr::from(octets).into())
    }
}

/// A text in a field of fixed length; a zero may end it before.
pub(super) fn text_at(bytes: &[u8], at: usize, len: usize) -> String {
    let field = bytes.get(at..).unwrap_or_default();
    text(&field[..len.min(field.len())])
}

/// A text up to the first zero.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
