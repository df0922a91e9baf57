//! Sockets in tokio's reactor.

use std::io;

use tokio::io::unix::AsyncFd;

use crate::DatagramSocket;

/// Registers a socket with the reactor of the current runtime.
pub fn register(socket: DatagramSocket) -> io::Result<AsyncFd<DatagramSocket>> {
    // SAFETY: the socket owns its descriptor, never another one, gives it out by shared reference only and closes it
    // when it is dropped, which is after `AsyncFd` has taken it out of the reactor.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}
