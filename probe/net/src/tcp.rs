//! What the kernel knows of a TCP connection.

use std::os::fd::{AsFd, AsRawFd};

use crate::Errno;
use crate::option::set_int;

/// The part of `struct tcp_info` (Linux `include/uapi/linux/tcp.h`) that a prober needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Segments sent again so far; right after a connect, SYNs.
    pub total_retransmits: u32,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u32,
    /// Segments sent and not acknowledged.
    pub unacknowledged: u32,
    /// Maximum segment size for sending, in bytes.
    pub send_mss: u32,
    /// Path MTU that the kernel assumes, in bytes.
    pub path_mtu: u32,
}

/// Reads TCP_INFO.
pub fn tcp_info(socket: impl AsFd) -> Result<TcpInfo, Errno> {
    // SAFETY: tcp_info is made of integers only, for which all zeros is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `length` bytes into `info`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(nix::errno::Errno::last().into());
    }
    Ok(TcpInfo {
        total_retransmits: info.tcpi_total_retrans,
        rtt_us: info.tcpi_rtt,
        unacknowledged: info.tcpi_unacked,
        send_mss: info.tcpi_snd_mss,
        path_mtu: info.tcpi_pmtu,
    })
}

/// Makes a TCP socket fail at once on an ICMP error, and keep the error with its sender in the queue (IP_RECVERR).
/// Set it before connecting; read with [`crate::queued_error`].
pub fn report_icmp_errors(socket: impl AsFd, v6: bool) -> Result<(), Errno> {
    if v6 {
        set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
    } else {
        set_int(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
    }
}
