//! Many datagrams by one system call: `sendmmsg(2)` and `recvmmsg(2)`, with buffers that are made once.
//!
//! Nothing here keeps a pointer: the kernel's arrays of headers stand on the stack for the length of a call, and point
//! into buffers that the call borrows.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockAddr;

use crate::control::{self, ROOM_IN, ROOM_OUT};
use crate::{Errno, Origin, QueuedError, RealTime, Received, address};

/// Datagrams that one call sends or receives at the most. A call costs about as much as a quarter of what a packet costs:
/// beyond this many nothing is gained.
pub const BATCH: usize = 64;

/// Datagrams that are to be sent.
#[derive(Debug)]
pub struct SendBatch {
    room: usize,
    payloads: Box<[u8]>,
    waiting: Vec<Outgoing>,
}

#[derive(Debug)]
struct Outgoing {
    len: usize,
    to: SockAddr,
    control: [u8; ROOM_OUT],
    control_len: usize,
}

impl SendBatch {
    /// Makes buffers for [`BATCH`] datagrams of at most `room` bytes.
    pub fn new(room: usize) -> Self {
        Self {
            room,
            payloads: vec![0; room * BATCH].into(),
            waiting: Vec::with_capacity(BATCH),
        }
    }

    /// Adds a datagram, from the given local address if there is one, and gives out its bytes to be written: they hold
    /// whatever stood there before. With `stamp` the kernel says in the error queue when it left. `None` if the batch is
    /// full or `len` is more than there is room for.
    pub fn add(
        &mut self,
        len: usize,
        to: SocketAddr,
        from: Option<IpAddr>,
        stamp: bool,
    ) -> Option<&mut [u8]> {
        let place = self.waiting.len();
        if place >= BATCH || len > self.room {
            return None;
        }
        let mut control = [0; ROOM_OUT];
        let control_len = control::write(&mut control, from, stamp);
        self.waiting.push(Outgoing {
            len,
            to: to.into(),
            control,
            control_len,
        });
        self.payloads.get_mut(place * self.room..place * self.room + len)
    }

    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets all datagrams.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Sends datagrams, by their places in the order in which they were added, and says how many left. Fewer than asked
    /// for means that the kernel refused the next one: send from there on to learn why. An errno is that of the first, or
    /// stems from an earlier ICMP error: drain the error queue, and send again.
    pub fn send(&mut self, socket: BorrowedFd<'_>, places: Range<usize>) -> Result<usize, Errno> {
        let first = places.start;
        let Some(waiting) = self.waiting.get_mut(places).filter(|some| !some.is_empty()) else {
            return Ok(0);
        };
        let payloads = self.payloads.chunks_exact_mut(self.room).skip(first);
        let mut slices = [NO_SLICE; BATCH];
        let mut headers = [NO_HEADER; BATCH];
        let count = waiting.len();
        for (((outgoing, payload), slice), header) in waiting
            .iter_mut()
            .zip(payloads)
            .zip(&mut slices)
            .zip(&mut headers)
        {
            slice.iov_base = payload.as_mut_ptr().cast();
            slice.iov_len = outgoing.len.min(payload.len());
            let head = &mut header.msg_hdr;
            head.msg_name = outgoing.to.as_ptr().cast_mut().cast();
            head.msg_namelen = outgoing.to.len();
            head.msg_iov = slice;
            head.msg_iovlen = 1;
            head.msg_control = outgoing.control.as_mut_ptr().cast();
            head.msg_controllen = outgoing.control_len;
        }
        let count = libc::c_uint::try_from(count).map_err(|_| Errno::INVALID)?;
        // SAFETY: the first `count` headers, at most BATCH, were filled above. Each points to one slice, one name and one
        // control buffer, with their true lengths, all of which are borrowed for longer than the call. The kernel reads all
        // of them and writes nothing but each header's `msg_len`.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| nix::errno::Errno::last().into())
    }
}

/// Datagrams, or entries of an error queue, that were received.
#[derive(Debug)]
pub struct ReceiveBatch {
    room: usize,
    payloads: Box<[u8]>,
    names: Box<[[u8; NAME]]>,
    controls: Box<[[u8; ROOM_IN]]>,
    heads: Vec<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    len: usize,
    name_len: usize,
    control_len: usize,
    is_cut: bool,
}

/// `struct sockaddr_in6`, the larger one.
const NAME: usize = size_of::<libc::sockaddr_in6>();
/// The same, and [`BATCH`], as the kernel wants them.
const NAME_LEN: libc::socklen_t = 28;
const COUNT: libc::c_uint = 64;
const _: () = assert!(NAME == NAME_LEN as usize && BATCH == COUNT as usize);

/// An entry of the error queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queued {
    /// Something went wrong.
    Error(QueuedError),
    /// A packet left at this time; the payload is the whole packet, from the first header on that the device was given.
    Left(RealTime),
}

impl ReceiveBatch {
    /// Makes buffers for [`BATCH`] datagrams; of longer ones than `room` the rest is lost.
    pub fn new(room: usize) -> Self {
        Self {
            room,
            payloads: vec![0; room * BATCH].into(),
            names: vec![[0; NAME]; BATCH].into(),
            controls: vec![[0; ROOM_IN]; BATCH].into(),
            heads: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what is there, instead of what was taken before, and says how many datagrams that is. Fewer than [`BATCH`]
    /// means that no more was there. An errno stems from an ICMP error, of which the error queue knows more: receive again.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.take(socket, 0)
    }

    /// The same, of the error queue.
    pub fn receive_errors(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.take(socket, libc::MSG_ERRQUEUE)
    }

    /// What [`Self::receive`] took, with the bytes of each.
    pub fn datagrams(&self) -> impl Iterator<Item = (Received, &[u8])> {
        self.parts().filter_map(|(head, payload, name, control)| {
            let beside = control::read(control);
            let received = Received {
                len: head.len,
                from: address::from_bytes(name)?,
                to: beside.to,
                at: beside.at.unwrap_or_else(RealTime::now),
                dropped_total: beside.dropped_total,
            };
            Some((received, payload))
        })
    }

    /// What [`Self::receive_errors`] took, with the bytes of the packet that each is about. Of packets that left, those that
    /// are larger than a buffer are left out.
    pub fn errors(&self) -> impl Iterator<Item = (Queued, &[u8])> {
        self.parts().filter_map(|(head, payload, name, control)| {
            let beside = control::read(control);
            let record = beside.error?;
            if record.origin == Origin::Left {
                let left = beside.at.filter(|_| !head.is_cut)?;
                return Some((Queued::Left(left), payload));
            }
            let error = QueuedError {
                origin: record.origin,
                errno: record.errno,
                icmp_type: record.icmp_type,
                icmp_code: record.icmp_code,
                mtu: record.info,
                offender: record.offender,
                destination: address::from_bytes(name),
                payload_len: head.len,
            };
            Some((Queued::Error(error), payload))
        })
    }

    fn parts(&self) -> impl Iterator<Item = (&Head, &[u8], &[u8], &[u8])> {
        let payloads = self.payloads.chunks_exact(self.room);
        let parts = self
            .heads
            .iter()
            .zip(payloads)
            .zip(self.names.iter())
            .zip(self.controls.iter());
        parts.map(|(((head, payload), name), control)| {
            // The kernel may say that there was more than it had room for.
            let payload = &payload[..head.len.min(payload.len())];
            let name = &name[..head.name_len.min(NAME)];
            let control = &control[..head.control_len.min(ROOM_IN)];
            (head, payload, name, control)
        })
    }

    fn take(&mut self, socket: BorrowedFd<'_>, flags: i32) -> Result<usize, Errno> {
        self.heads.clear();
        let mut slices = [NO_SLICE; BATCH];
        let mut headers = [NO_HEADER; BATCH];
        let payloads = self.payloads.chunks_exact_mut(self.room);
        let buffers = payloads.zip(self.names.iter_mut()).zip(self.controls.iter_mut());
        for (((payload, name), control), (slice, header)) in buffers.zip(slices.iter_mut().zip(&mut headers))
        {
            slice.iov_base = payload.as_mut_ptr().cast();
            slice.iov_len = payload.len();
            let head = &mut header.msg_hdr;
            head.msg_name = name.as_mut_ptr().cast();
            head.msg_namelen = NAME_LEN;
            head.msg_iov = slice;
            head.msg_iovlen = 1;
            head.msg_control = control.as_mut_ptr().cast();
            head.msg_controllen = ROOM_IN;
        }
        // SAFETY: there are BATCH buffers of each kind, so that all BATCH headers were filled above. Each points to one
        // slice, one name and one control buffer of its own, with their true lengths, borrowed for longer than the call, and
        // the kernel writes no further than those. Any bytes that it writes are values of u8. No time-out is given.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                COUNT,
                libc::MSG_DONTWAIT | flags,
                std::ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return match nix::errno::Errno::last() {
                nix::errno::Errno::EAGAIN => Ok(0),
                errno => Err(errno.into()),
            };
        };
        self.heads
            .extend(headers.iter().take(received).map(|header| Head {
                len: usize::try_from(header.msg_len).unwrap_or(0),
                name_len: usize::try_from(header.msg_hdr.msg_namelen).unwrap_or(0),
                control_len: header.msg_hdr.msg_controllen,
                is_cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            }));
        Ok(received)
    }
}

const NO_SLICE: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

// SAFETY: a header is made of integers and pointers only, for which all zeros is a value.
const NO_HEADER: libc::mmsghdr = unsafe { std::mem::zeroed() };
