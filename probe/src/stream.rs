//! A TCP connection as a prober makes it: ICMP errors are read with who sent them, SYNs are counted, no wait is endless.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mesh_net::{Errno, queued_error, report_icmp_errors, tcp_info};
use mesh_proto::{Failure, Reason};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::attempt::Attempt;
use crate::failure::{more_telling, of_errno, of_queued};
use crate::moment::Clock;
use crate::way::Way;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    pub(crate) source_port: u16,
    /// From SYN to SYN-ACK.
    pub(crate) rtt: Duration,
    /// A SYN had to be sent again.
    pub(crate) resent: bool,
}

/// Connects from a fresh source port. What failed comes back as the attempt that it was.
pub(crate) async fn connect(
    way: impl Into<Way>,
    clock: Clock,
    deadline: Instant,
) -> Result<Connected, Attempt> {
    let way: Way = way.into();
    let to = way.to;
    let socket = open(to).map_err(|error| Attempt::untried(format!("cannot open a TCP socket: {error}")))?;
    if way.source.is_some()
        && let Err(error) = socket.bind(&way.local().into())
    {
        return Err(Attempt::failed(0, 1, of_io(&socket, &error, "bind")));
    }
    let began = clock.now();
    let refused = socket
        .connect(&to.into())
        .err()
        .filter(|error| !is_under_way(error));
    let source_port = socket
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .map_or(0, |address| address.port());
    if let Some(error) = refused {
        let failure = of_io(&socket, &error, "connect");
        return Err(Attempt::failed(source_port, 1, failure));
    }
    let stream =
        TcpStream::from_std(socket.into()).map_err(|error| Attempt::untried(format!("epoll: {error}")))?;
    let in_time = timeout_at(deadline, stream.writable()).await.is_ok();
    let took = clock.now().since(began);
    let failed = match stream.take_error() {
        Ok(error) => error,
        Err(error) => Some(error),
    };
    let info = tcp_info(&stream).ok();
    let resent = info.map_or(0, |info| info.total_retransmits);
    if let Some(error) = failed {
        return Err(Attempt::failed(
            source_port,
            1 + resent,
            of_io(&stream, &error, "connect"),
        ));
    }
    // The deadline may have passed while the answer stood in the queue of a starved agent: then it is connected.
    if !in_time && stream.peer_addr().is_err() {
        let failure = more_telling(drain(&stream, "connect"), Some(Failure::new(Reason::Timeout)));
        let failure = failure.unwrap_or_else(|| Failure::new(Reason::Timeout));
        return Err(Attempt::failed(source_port, 1 + resent, failure));
    }
    // The kernel's own measure, where there is one: ours has the wake-up in it.
    let kernel = info.map(|info| Duration::from_micros(info.rtt_us.into()));
    let rtt = kernel.filter(|rtt| resent == 0 && !rtt.is_zero()).unwrap_or(took);
    Ok(Connected {
        stream,
        source_port,
        rtt,
        resent: resent > 0,
    })
}

impl Connected {
    /// Runs the conversation to its end or the deadline. Silence after the connect is stalled data: the SYN passed, what
    /// came after it did not.
    pub(crate) async fn converse<T>(
        &mut self,
        deadline: Instant,
        conversation: impl AsyncFnOnce(&mut TcpStream) -> io::Result<T>,
    ) -> Result<T, Failure> {
        match timeout_at(deadline, conversation(&mut self.stream)).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Failure {
                detail: Some("it closed the connection without an answer".to_owned()),
                ..Failure::new(Reason::WrongResponder)
            }),
            Ok(Err(error)) if Errno::of(&error) == Some(Errno::TIMED_OUT) => Err(self.stalled()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.stalled()),
        }
    }

    fn stalled(&self) -> Failure {
        match self.stream.take_error() {
            // An ICMP error that came meanwhile says more. It does not wake a reader: epoll tells EPOLLERR alone.
            Ok(Some(error)) => self.broken(&error),
            _ => Failure::new(Reason::DataStalled),
        }
    }

    /// An errno of an open connection stems from what came in, a reset or an ICMP error, not from the own kernel's
    /// refusal; of the latter the kernel keeps no sender (Linux `net/ipv4/tcp_ipv4.c`, tcp_v4_err).
    fn broken(&self, error: &io::Error) -> Failure {
        Failure {
            local: None,
            ..of_io(&self.stream, error, "read")
        }
    }

    /// The attempt that this connection was, if its conversation failed.
    pub(crate) fn failed(&self, failure: Failure) -> Attempt {
        Attempt::failed(self.source_port, 1, failure)
    }

    /// Whether the kernel had to send data again and it cost time. A tail-loss probe that was merely early did not.
    pub(crate) fn was_slowed(&self, took: Duration) -> bool {
        /// Linux TCP_RTO_MIN.
        const SHORTEST_TIMEOUT: Duration = Duration::from_millis(200);
        took >= SHORTEST_TIMEOUT && tcp_info(&self.stream).is_ok_and(|info| info.total_retransmits > 0)
    }
}

fn open(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(to),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_tcp_nodelay(true)?;
    report_icmp_errors(&socket, to.is_ipv6())?;
    Ok(socket)
}

fn is_under_way(error: &io::Error) -> bool {
    Errno::of(error) == Some(Errno::IN_PROGRESS)
}

/// The failure behind an error of a call: what the queue has of it, else the errno.
fn of_io(socket: &impl std::os::fd::AsFd, error: &io::Error, call: &str) -> Failure {
    if let Some(failure) = drain(socket, call) {
        return failure;
    }
    match Errno::of(error) {
        Some(Errno::REFUSED) => Failure::new(Reason::Refused),
        // EPIPE: the other side closed; what was written after that was answered by a reset.
        Some(Errno::RESET | Errno::BROKEN_PIPE) => Failure::new(Reason::Reset),
        Some(Errno::TIMED_OUT) => Failure::new(Reason::Timeout),
        Some(errno) => of_errno(errno, call),
        None => Failure {
            detail: Some(error.to_string()),
            ..Failure::new(Reason::WrongResponder)
        },
    }
}

/// The most telling entry of the error queue.
fn drain(socket: &impl std::os::fd::AsFd, call: &str) -> Option<Failure> {
    let mut found = None;
    while let Ok(Some(error)) = queued_error(socket, &mut []) {
        found = more_telling(found, of_queued(&error, call));
    }
    found
}

#[cfg(test)]
mod tests;
