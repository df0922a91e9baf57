//! The kernel's error numbers.

use std::fmt;
use std::io;

/// An errno, with its symbolic name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// `EAGAIN`: nothing there yet.
    pub const WOULD_BLOCK: Self = Self(libc::EAGAIN);
    /// `EPERM`: a rule in OUTPUT drops it, or the connection table is full.
    pub const NOT_PERMITTED: Self = Self(libc::EPERM);
    /// `EACCES`: a `prohibit` route, or a broadcast address.
    pub const ACCESS: Self = Self(libc::EACCES);
    /// `EINVAL`: a `blackhole` route, among others.
    pub const INVALID: Self = Self(libc::EINVAL);
    /// `EMSGSIZE`: larger than the device or the known path takes.
    pub const TOO_BIG: Self = Self(libc::EMSGSIZE);
    /// `ENETUNREACH`: no route.
    pub const NET_UNREACHABLE: Self = Self(libc::ENETUNREACH);
    /// `EHOSTUNREACH`: no neighbour, or an `unreachable` route.
    pub const HOST_UNREACHABLE: Self = Self(libc::EHOSTUNREACH);
    /// `ECONNREFUSED`: nobody listens.
    pub const REFUSED: Self = Self(libc::ECONNREFUSED);
    /// `ECONNRESET`: the other side cut the connection.
    pub const RESET: Self = Self(libc::ECONNRESET);
    /// `ETIMEDOUT`: no answer to a SYN or to data.
    pub const TIMED_OUT: Self = Self(libc::ETIMEDOUT);
    /// `EINPROGRESS`: a connect that has begun.
    pub const IN_PROGRESS: Self = Self(libc::EINPROGRESS);
    /// `EPIPE`: the other side has closed the connection.
    pub const BROKEN_PIPE: Self = Self(libc::EPIPE);
    /// `ENOSPC`: a limit of the namespaces' number, among others.
    pub const NO_SPACE: Self = Self(libc::ENOSPC);
    /// `ENOBUFS`: the device's queue is full.
    pub const NO_BUFFERS: Self = Self(libc::ENOBUFS);

    /// The symbolic name, as in `errno(3)`.
    pub fn name(self) -> String {
        match nix::errno::Errno::from_raw(self.0) {
            nix::errno::Errno::UnknownErrno => format!("errno {}", self.0),
            known => format!("{known:?}"),
        }
    }

    /// The errno of an I/O error, if the kernel gave one.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.raw_os_error().map(Self)
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl std::error::Error for Errno {}
