//! Between the standard library's addresses and those of the system calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::SockaddrStorage;

pub(crate) fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::new(IpAddr::V6(v6.ip()), v6.port()))
}

pub(crate) fn from_std(address: SocketAddr) -> SockaddrStorage {
    match address {
        SocketAddr::V4(v4) => v4.into(),
        SocketAddr::V6(v6) => v6.into(),
    }
}

/// Reads a `struct sockaddr_in` or `struct sockaddr_in6` as the kernel wrote it; `None` for any other family.
pub(crate) fn from_bytes(name: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(name.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(name.get(2..4)?.try_into().ok()?);
    let ip: IpAddr = match i32::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(name.get(4..8)?).ok()?.into(),
        libc::AF_INET6 => <[u8; 16]>::try_from(name.get(8..24)?).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

pub(crate) fn from_in_addr(address: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be(address.s_addr))
}

pub(crate) fn to_in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from(address).to_be(),
    }
}

pub(crate) fn from_in6_addr(address: libc::in6_addr) -> Ipv6Addr {
    Ipv6Addr::from(address.s6_addr)
}

pub(crate) fn to_in6_addr(address: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr {
        s6_addr: address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_kernels_bytes_are_read_as_the_address_that_they_are(ip in any::<IpAddr>(), port in any::<u16>()) {
            let address = SocketAddr::new(ip, port);
            let mut name = vec![0; 28];
            let (family, at) = if ip.is_ipv4() { (libc::AF_INET, 4) } else { (libc::AF_INET6, 8) };
            name[..2].copy_from_slice(&u16::try_from(family).unwrap().to_ne_bytes());
            name[2..4].copy_from_slice(&port.to_be_bytes());
            match ip {
                IpAddr::V4(v4) => name[at..at + 4].copy_from_slice(&v4.octets()),
                IpAddr::V6(v6) => name[at..at + 16].copy_from_slice(&v6.octets()),
            }
            prop_assert_eq!(from_bytes(&name), Some(address));
            name.truncate(at);
            prop_assert_eq!(from_bytes(&name), None);
        }

        #[test]
        fn addresses_come_back_as_they_were(ip in any::<IpAddr>(), port in any::<u16>()) {
            let address = SocketAddr::new(ip, port);
            prop_assert_eq!(to_std(&from_std(address)), Some(address));
            match ip {
                IpAddr::V4(v4) => prop_assert_eq!(from_in_addr(to_in_addr(v4)), v4),
                IpAddr::V6(v6) => prop_assert_eq!(from_in6_addr(to_in6_addr(v6)), v6),
            }
        }
    }
}
