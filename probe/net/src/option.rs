//! Socket options for which no crate in use has a safe call.

use std::os::fd::{AsFd, AsRawFd};

use crate::Errno;

/// Sets an integer option.
pub(crate) fn set_int(socket: impl AsFd, level: i32, name: i32, value: i32) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4);
    // SAFETY: the descriptor is borrowed for the call, and the pointer and length describe one i32 that outlives it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(nix::errno::Errno::last().into())
    }
}

/// Reads an integer option.
pub(crate) fn get_int(socket: impl AsFd, level: i32, name: i32) -> Result<i32, Errno> {
    let mut value = 0_i32;
    let mut length = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4);
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `length` bytes into `value`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(value)
    } else {
        Err(nix::errno::Errno::last().into())
    }
}

/// Reads an option of any shape: `value` goes to the kernel as it is and comes back as the kernel leaves it. Says how many
/// bytes of it count.
pub(crate) fn get_bytes(socket: impl AsFd, level: i32, name: i32, value: &mut [u8]) -> Result<usize, Errno> {
    let mut length = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVALID)?;
    // SAFETY: the descriptor is borrowed for the call; the kernel reads and writes at most `length` bytes of `value`,
    // which is that long and takes any bytes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        usize::try_from(length).map_err(|_| Errno::INVALID)
    } else {
        Err(nix::errno::Errno::last().into())
    }
}

/// Sets an option whose value is eight 32-bit words (ICMP6_FILTER, RFC 3542 section 3.2).
pub(crate) fn set_words(socket: impl AsFd, level: i32, name: i32, words: [u32; 8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(size_of_val(&words)).unwrap_or(32);
    // SAFETY: the descriptor is borrowed for the call, and the pointer and length describe an array that outlives it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            words.as_ptr().cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(nix::errno::Errno::last().into())
    }
}
