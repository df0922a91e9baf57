//! Which of many sockets have something to read.

use std::os::fd::{AsRawFd, BorrowedFd};

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

/// Which of a socket's queues hold something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Datagrams.
    pub data: bool,
    /// Entries of the error queue.
    pub errors: bool,
}

/// The same for those who ask often: of each socket which of its queues holds something, in order, in a buffer of the
/// caller's. If the kernel does not say, all of them may.
pub fn readiness<'a>(mut sockets: impl Iterator<Item = BorrowedFd<'a>>, ready: &mut Vec<Ready>) {
    /// Asked at once; a socket for each flow of a plan is usual.
    const AT_ONCE: usize = 64;
    ready.clear();
    loop {
        let mut asked = [libc::pollfd {
            fd: -1,
            events: 0,
            revents: 0,
        }; AT_ONCE];
        let mut count = 0;
        for (place, socket) in asked.iter_mut().zip(&mut sockets) {
            place.fd = socket.as_raw_fd();
            place.events = libc::POLLIN;
            count += 1;
        }
        if count == 0 {
            return;
        }
        // SAFETY: the first `count` of the array's structures were filled above, with descriptors that are borrowed for
        // longer than the call, which does not wait; the kernel writes to `revents` only.
        let result = unsafe { libc::poll(asked.as_mut_ptr(), count as libc::nfds_t, 0) };
        ready.extend(asked[..count].iter().map(|socket| {
            let any = |of: i16| result < 0 || socket.revents & of != 0;
            Ready {
                data: any(libc::POLLIN),
                errors: any(!libc::POLLIN),
            }
        }));
        if count < AT_ONCE {
            return;
        }
    }
}
