//! TCP: a connect, and where an agent answers, 8 KiB to and fro, so that a path that loses large packets stalls it.

use std::io;

use mesh_proto::AgentKey;
use prost::bytes::Buf;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::attempt::{Answered, Attempt, Outcome};
use crate::echo_packet::{ANSWER_LEN, MacKey, Request, write_request};
use crate::identity::confirm;
use crate::moment::Clock;
use crate::stream::connect;
use crate::way::Way;

/// Bytes to and fro: several segments at any usual MTU.
pub(crate) const STREAM_LEN: usize = 8 * 1024;
/// What follows the head, in either direction.
pub(crate) static FILLING: [u8; STREAM_LEN - ANSWER_LEN] = [0; STREAM_LEN - ANSWER_LEN];

/// Whom a TCP probe wants to hear.
#[derive(Debug)]
pub(crate) enum Partner<'a> {
    /// Whatever accepts.
    Anyone,
    /// An agent of the run.
    Agent {
        key: &'a MacKey,
        request: Request,
        expected: Option<&'a AgentKey>,
    },
}

/// One connection.
pub(crate) async fn attempt(
    way: impl Into<Way>,
    partner: Partner<'_>,
    clock: Clock,
    deadline: Instant,
) -> Attempt {
    let mut connected = match connect(way, clock, deadline).await {
        Ok(connected) => connected,
        Err(attempt) => return attempt,
    };
    let mut answered = Answered {
        rtt: connected.rtt,
        resent: connected.resent,
        ..Answered::default()
    };
    if let Partner::Agent {
        key,
        request,
        expected,
    } = partner
    {
        let began = clock.now();
        let said = connected
            .converse(deadline, async |stream| exchange(stream, key, request).await)
            .await;
        match said.and_then(|head| confirm(&head, key, request.token, expected)) {
            Ok(identity) => answered.responder = Some(identity),
            Err(failure) => return connected.failed(failure),
        }
        answered.resent |= connected.was_slowed(clock.now().since(began));
    }
    Attempt {
        source_port: connected.source_port,
        sent: 1,
        outcome: Outcome::Answered(answered),
    }
}

/// Says 8 KiB, hears 8 KiB; returns the head of what was heard.
async fn exchange(stream: &mut TcpStream, key: &MacKey, request: Request) -> io::Result<[u8; ANSWER_LEN]> {
    let mut head = [0; ANSWER_LEN];
    write_request(&mut head, key, request);
    say(stream, &head).await?;
    let mut so_far = 0;
    while so_far < STREAM_LEN {
        stream.readable().await?;
        match hear_now(stream, &mut head, so_far) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => so_far += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// Reads what is there of an answer of which so many bytes came `so_far`, and keeps what belongs to its head. The buffer
/// stands on the thread's stack, and is gone before anybody waits.
fn hear_now(stream: &TcpStream, head: &mut [u8; ANSWER_LEN], so_far: usize) -> io::Result<usize> {
    let mut buffer = [0; STREAM_LEN];
    let read = stream.try_read(&mut buffer[..STREAM_LEN - so_far])?;
    if let Some(rest) = head.get_mut(so_far..) {
        let len = rest.len().min(read);
        rest[..len].copy_from_slice(&buffer[..len]);
    }
    Ok(read)
}

/// Says a head and the filling, with one system call where the socket takes it all.
pub(crate) async fn say(stream: &mut TcpStream, head: &[u8; ANSWER_LEN]) -> io::Result<()> {
    stream
        .write_all_buf(&mut Buf::chain(&head[..], &FILLING[..]))
        .await
}

/// Reads so many bytes without keeping them: a thousand connections at once must not cost a thousand buffers.
pub(crate) async fn discard(stream: &TcpStream, len: usize) -> io::Result<()> {
    let mut rest = len;
    while rest > 0 {
        stream.readable().await?;
        match discard_now(stream, rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => rest -= read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The buffer stands on the thread's stack, and is gone before anybody waits.
fn discard_now(stream: &TcpStream, most: usize) -> io::Result<usize> {
    let mut buffer = [0; STREAM_LEN];
    let len = most.min(buffer.len());
    stream.try_read(&mut buffer[..len])
}

#[cfg(test)]
mod tests;
