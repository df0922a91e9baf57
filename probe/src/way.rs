//! Where packets go, and from which of the machine's addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The target of a socket, and the source that it is bound to, if it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) to: SocketAddr,
    pub(crate) source: Option<IpAddr>,
}

/// How the probes of a plan are sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sending {
    /// From this address of the machine; the kernel chooses where there is none.
    pub(crate) source: Option<IpAddr>,
    /// The far agent answers, and does not count: what was asked in a second look would spoil the comparison of what was
    /// sent with what was received.
    pub(crate) uncounted: bool,
}

impl Way {
    /// The local end: any free port.
    pub(crate) fn local(self) -> SocketAddr {
        SocketAddr::new(self.source.unwrap_or_else(|| any_address(self.to.ip())), 0)
    }
}

impl From<SocketAddr> for Way {
    fn from(to: SocketAddr) -> Self {
        Self { to, source: None }
    }
}

/// All addresses of the family of `of`.
pub(crate) fn any_address(of: IpAddr) -> IpAddr {
    match of {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
