//! Which of many sockets have something to read.

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Errno;

/// Says of each socket, without waiting, whether its receive or its error queue holds something (`poll(2)`, POLLIN and
/// POLLERR). One system call for all of them, where asking each one costs two.
pub fn readable<'a>(sockets: impl Iterator<Item = BorrowedFd<'a>>) -> Result<Vec<bool>, Errno> {
    let mut asked: Vec<PollFd<'_>> = sockets
        .map(|socket| PollFd::new(socket, PollFlags::POLLIN))
        .collect();
    poll(&mut asked, PollTimeout::ZERO)?;
    Ok(asked
        .iter()
        // What the kernel says beyond what we know is for the reader to find out.
        .map(|socket| socket.any().unwrap_or(true))
        .collect())
}
