//! Where a link leads: `unix:/run/mesh.sock` or `tcp:10.0.0.1:9440`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where an agent takes orders, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LinkAddress {
    /// A Unix socket on this machine.
    Unix(PathBuf),
    /// TCP with mutual TLS.
    Tcp(SocketAddr),
}

/// The coordinator's way to an agent: what can be written down, and what only a cluster knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LinkRoute {
    /// To an address.
    Address(LinkAddress),
    /// To a pod, with mutual TLS: through the API server, or by its own address.
    Pod(Box<PodLink>),
}

/// A pod, and where in it the agent takes orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PodLink {
    /// The pod's namespace.
    pub(crate) namespace: String,
    /// The pod's name.
    pub(crate) pod: String,
    /// Its own address, for those who can reach it.
    pub(crate) address: SocketAddr,
}

/// A text that is no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLink {
    /// Neither `unix:` nor `tcp:`.
    #[error("it starts with neither unix: nor tcp:")]
    NoScheme,
    /// `unix:` without a path.
    #[error("the path is empty")]
    NoPath,
    /// A path that no socket address can hold.
    #[error("the path is longer than the {LONGEST_PATH} bytes that a socket's address holds")]
    LongPath,
    /// A NUL byte.
    #[error("the path has a NUL byte")]
    NulInPath,
    /// Not `ADDRESS:PORT`.
    #[error("`{0}` is no ADDRESS:PORT; an IPv6 address stands in brackets")]
    NoSocketAddress(String),
    /// Port 0 cannot be dialled.
    #[error("port 0 cannot be dialled")]
    PortZero,
}

/// `sun_path` has 108 bytes, one of them the closing NUL (unix(7)).
const LONGEST_PATH: usize = 107;

impl FromStr for LinkAddress {
    type Err = BadLink;

    fn from_str(text: &str) -> Result<Self, BadLink> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(BadLink::NoPath),
                path if path.len() > LONGEST_PATH => Err(BadLink::LongPath),
                path if path.contains('\0') => Err(BadLink::NulInPath),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let Some(address) = text.strip_prefix("tcp:") else {
            return Err(BadLink::NoScheme);
        };
        match address.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Err(BadLink::PortZero),
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) => Err(BadLink::NoSocketAddress(
                address.escape_debug().take(80).collect(),
            )),
        }
    }
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl From<LinkAddress> for LinkRoute {
    fn from(address: LinkAddress) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for LinkRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Pod(link) => write!(f, "pod {}/{}", link.namespace, link.pod),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BadLink, LinkAddress};

    #[test]
    fn links_are_read_and_written_alike() {
        for text in ["unix:/run/a b.sock", "tcp:10.0.0.1:9440", "tcp:[fd00::1]:9440"] {
            assert_eq!(text.parse::<LinkAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_link_says_why() {
        let long = format!("unix:/{}", "a".repeat(107));
        let cases = [
            ("", BadLink::NoScheme),
            ("/run/a.sock", BadLink::NoScheme),
            ("unix:", BadLink::NoPath),
            (long.as_str(), BadLink::LongPath),
            ("tcp:10.0.0.1:0", BadLink::PortZero),
            ("tcp:10.0.0.1", BadLink::NoSocketAddress("10.0.0.1".to_owned())),
            ("tcp:fd00::1:x", BadLink::NoSocketAddress("fd00::1:x".to_owned())),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<LinkAddress>(), Err(error), "{text}");
        }
    }
}
