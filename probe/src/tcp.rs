//! TCP: a connect, and where an agent answers, 8 KiB to and fro, so that a path that loses large packets stalls it.

use std::io;
use std::net::SocketAddr;

use mesh_proto::AgentKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::attempt::{Answered, Attempt, Outcome};
use crate::echo_packet::{ANSWER_LEN, MacKey, Request, write_request};
use crate::identity::confirm;
use crate::moment::Clock;
use crate::stream::connect;

/// Bytes to and fro: several segments at any usual MTU.
pub(crate) const STREAM_LEN: usize = 8 * 1024;
/// What follows the head, in either direction.
pub(crate) const FILLING: [u8; STREAM_LEN - ANSWER_LEN] = [0; STREAM_LEN - ANSWER_LEN];

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
    to: SocketAddr,
    partner: Partner<'_>,
    clock: Clock,
    deadline: Instant,
) -> Attempt {
    let mut connected = match connect(to, clock, deadline).await {
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
    stream.write_all(&head).await?;
    stream.write_all(&FILLING).await?;
    stream.read_exact(&mut head).await?;
    discard(stream, FILLING.len()).await?;
    Ok(head)
}

/// Reads so many bytes without keeping them: a thousand connections at once must not cost a thousand buffers.
pub(crate) async fn discard(stream: &mut TcpStream, len: usize) -> io::Result<()> {
    let mut rest = stream.take(u64::try_from(len).unwrap_or(u64::MAX));
    let mut buffer = [0; 512];
    while rest.limit() > 0 {
        if rest.read(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
