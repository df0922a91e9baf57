//! Files to write to that are no regular files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use socket2::SockRef;

/// Opens a pipe or a device to write to, without waiting for anybody: a named pipe that nobody reads is ENXIO (`fifo(7)`).
/// Writing then waits as usual.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    // A file as good as a socket for this call, which is `fcntl(F_SETFL)`.
    SockRef::from(&file).set_nonblocking(false)?;
    Ok(file)
}

/// A second descriptor of what this process was given under this number (`>&3` in a shell): it shares the position in the
/// file. EBADF if there is none that can be written to.
pub fn duplicate_descriptor(number: RawFd) -> io::Result<File> {
    // SAFETY: the call takes numbers only; one that is not open is an error.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(copy) });
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Err(Errno::EBADF.into());
    }
    Ok(file)
}
