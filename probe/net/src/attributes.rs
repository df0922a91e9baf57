//! Attributes of netlink messages (`netlink(7)`, Linux `include/uapi/linux/netlink.h`): type, length, value, nested.
//! A value that is shorter than what is read from it gives `None`: kernels differ.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLA_HEADER_SIZE, NlasIterator};

/// The attributes in a stretch of bytes, up to the first that is malformed.
#[derive(Debug, Clone)]
pub struct Attributes<'a>(NlasIterator<&'a [u8]>);

/// An attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number, without the flags for nesting and byte order.
    pub kind: u16,
    /// Its bytes.
    pub value: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(NlasIterator::new(bytes))
    }

    /// The attributes behind a header of so many bytes; none, if there are fewer.
    pub fn after(header: usize, bytes: &'a [u8]) -> Self {
        Self::new(bytes.get(header..).unwrap_or_default())
    }

    /// The first attribute of a kind.
    pub fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut self.clone(), |attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let attribute = self.0.next()?.ok()?;
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        let value = attribute.into_inner().get(NLA_HEADER_SIZE..length)?;
        Some(Attribute { kind, value })
    }
}

impl<'a> Attribute<'a> {
    fn start<const N: usize>(&self) -> Option<[u8; N]> {
        self.value.first_chunk().copied()
    }

    /// One byte.
    pub fn u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    /// 16 bits in the machine's byte order.
    pub fn u16(&self) -> Option<u16> {
        self.start().map(u16::from_ne_bytes)
    }

    /// 16 bits in network byte order.
    pub fn u16_be(&self) -> Option<u16> {
        self.start().map(u16::from_be_bytes)
    }

    /// 32 bits in the machine's byte order.
    pub fn u32(&self) -> Option<u32> {
        self.start().map(u32::from_ne_bytes)
    }

    /// 32 bits in network byte order.
    pub fn u32_be(&self) -> Option<u32> {
        self.start().map(u32::from_be_bytes)
    }

    /// 64 bits in network byte order.
    pub fn u64_be(&self) -> Option<u64> {
        self.start().map(u64::from_be_bytes)
    }

    /// Text that a zero may end. What is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        let end = self.value.iter().position(|byte| *byte == 0);
        String::from_utf8_lossy(&self.value[..end.unwrap_or(self.value.len())]).into_owned()
    }

    /// An address of four or sixteen bytes.
    pub fn address(&self) -> Option<IpAddr> {
        match self.value.len() {
            4 => self.start().map(|bytes: [u8; 4]| Ipv4Addr::from(bytes).into()),
            16 => self.start().map(|bytes: [u8; 16]| Ipv6Addr::from(bytes).into()),
            _ => None,
        }
    }

    /// The attributes in its value.
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }
}

/// Adds an attribute to a request, padded to four bytes.
pub fn put_attribute(request: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + NLA_HEADER_SIZE).unwrap_or(u16::MAX);
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(value);
    request.resize(request.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Attributes, put_attribute};

    proptest! {
        #[test]
        fn attributes_come_back(all in prop::collection::vec((0..0x3fff_u16, prop::collection::vec(any::<u8>(), 0..70)), 0..9)) {
            let mut bytes = Vec::new();
            for (kind, value) in &all {
                put_attribute(&mut bytes, *kind, value);
            }
            let read: Vec<_> = Attributes::new(&bytes).map(|one| (one.kind, one.value.to_vec())).collect();
            prop_assert_eq!(read, all);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for attribute in Attributes::new(&bytes) {
                let _ = (attribute.u8(), attribute.u32(), attribute.u64_be(), attribute.address(), attribute.text());
                prop_assert!(attribute.nested().count() <= bytes.len() / 4);
            }
        }
    }
}
