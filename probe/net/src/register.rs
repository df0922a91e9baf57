//! Sockets in tokio's reactor.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::unix::AsyncFd;

use crate::{DatagramSocket, IcmpSocket};

/// A socket that owns its descriptor for as long as it lives, and never another one.
pub trait OwnsDescriptor: AsRawFd + private::Sealed {}

mod private {
    pub trait Sealed {}
    impl Sealed for super::DatagramSocket {}
    impl Sealed for super::IcmpSocket {}
}

impl OwnsDescriptor for DatagramSocket {}
impl OwnsDescriptor for IcmpSocket {}

/// Registers a socket with the reactor of the current runtime.
pub fn register<S: OwnsDescriptor>(socket: S) -> io::Result<AsyncFd<S>> {
    // SAFETY: the trait is sealed, and each socket that has it owns its descriptor, gives it out by shared reference
    // only and closes it when it is dropped, which is after `AsyncFd` has taken it out of the reactor.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}
