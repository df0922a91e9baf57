//! DNS against one server's address, over UDP and TCP (RFC 1035), by sockets of our own: an ICMP error is read with who
//! sent it, and a query that was answered only after it was sent again is told from one that was answered at once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use mesh_net::{DatagramSocket, Received};
use mesh_proto::{Failure, Reason};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::attempt::{Answered, Attempt, Outcome};
use crate::failure::{more_telling, of_errno, of_queued};
use crate::moment::{Clock, Moment};
use crate::stream::connect;
use crate::way::Way;

/// A query, ready to be sent.
#[derive(Debug)]
pub(crate) struct Question {
    id: u16,
    name: String,
    packet: Vec<u8>,
}

impl Question {
    /// Asks for the address of a name, which is absolute.
    pub(crate) fn new(name: &str, server: IpAddr) -> Result<Self, String> {
        let mut parsed =
            Name::from_utf8(name).map_err(|error| format!("{name:?} is no domain name: {error}"))?;
        parsed.set_fqdn(true);
        // A cluster has one family or both; its DNS has addresses of the family that it stands in itself.
        let kind = if server.is_ipv4() {
            RecordType::A
        } else {
            RecordType::AAAA
        };
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(parsed, kind));
        let packet = message
            .to_vec()
            .map_err(|error| format!("cannot encode the query: {error}"))?;
        Ok(Self {
            id: message.metadata.id,
            name: name.to_owned(),
            packet,
        })
    }

    /// What a datagram says, if it answers this.
    fn read(&self, packet: &[u8]) -> Option<Result<(), Failure>> {
        let message = Message::from_vec(packet).ok()?;
        if message.metadata.id != self.id || message.metadata.message_type != MessageType::Response {
            return None;
        }
        let code = message.metadata.response_code;
        Some(if code == ResponseCode::NoError {
            Ok(())
        } else {
            Err(dns_error(code, &self.name))
        })
    }
}

/// A response code other than NOERROR.
pub(crate) fn dns_error(code: ResponseCode, name: &str) -> Failure {
    let mnemonic = match code {
        ResponseCode::NXDomain => "NXDOMAIN (no such name)".to_owned(),
        ResponseCode::ServFail => "SERVFAIL (the server could not find out)".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => other.to_str().to_owned(),
    };
    Failure {
        detail: Some(format!("{mnemonic} for {name}")),
        ..Failure::new(Reason::DnsError)
    }
}

/// Resolvers wait longer (5 s in glibc), so that what is answered after our second query is slow, not lost, to them too.
const RESEND_AFTER: Duration = Duration::from_secs(1);
/// An ICMP error does not wake a reader.
const TICK: Duration = Duration::from_millis(20);
/// The largest answer without EDNS is 512 bytes (RFC 1035 section 4.2.1); with room for servers that do not care.
const LARGEST: usize = 4_096;

/// One question over UDP, from a fresh port.
pub(crate) async fn over_udp(
    way: impl Into<Way>,
    question: &Question,
    clock: Clock,
    deadline: Moment,
) -> Attempt {
    let way: Way = way.into();
    let server = way.to;
    let socket = match DatagramSocket::bind(way.local()) {
        Ok(socket) => socket,
        // The address is not one of this machine's: that is for whoever chose it to hear.
        Err(errno) if way.source.is_some() => return Attempt::failed(0, 1, of_errno(errno, "bind")),
        Err(error) => return Attempt::untried(format!("cannot open a UDP socket: {error}")),
    };
    let source_port = socket.local_address().map_or(0, |address| address.port());
    match mesh_net::register(socket) {
        Ok(socket) => {
            Asking {
                socket,
                server,
                question,
                source_port,
                sent: 0,
            }
            .ask(clock, deadline)
            .await
        }
        Err(error) => Attempt::untried(format!("epoll: {error}")),
    }
}

struct Asking<'a> {
    socket: AsyncFd<DatagramSocket>,
    server: SocketAddr,
    question: &'a Question,
    source_port: u16,
    sent: u32,
}

impl Asking<'_> {
    async fn ask(mut self, clock: Clock, deadline: Moment) -> Attempt {
        let began = clock.now();
        let mut buffer = vec![0; LARGEST];
        let mut failure = None;
        let mut resend_at = began;
        loop {
            let now = clock.now();
            // Reading comes before giving up and before asking again: a late wake-up must not look like loss.
            match self.receive(&mut buffer, &mut failure) {
                Some(Ok(())) => {
                    let answered = Answered {
                        rtt: clock.now().since(began),
                        resent: self.sent > 1,
                        ..Answered::default()
                    };
                    let outcome = Outcome::Answered(answered);
                    return Attempt {
                        source_port: self.source_port,
                        sent: self.sent,
                        outcome,
                    };
                }
                Some(Err(refusal)) => {
                    failure = Some(refusal);
                    break;
                }
                None => {}
            }
            failure = more_telling(failure, self.drain());
            if now >= deadline || failure.is_some() {
                break;
            }
            if now >= resend_at {
                resend_at = now + RESEND_AFTER;
                self.sent += 1;
                if let Err(errno) = self
                    .socket
                    .get_ref()
                    .send(&self.question.packet, self.server, None)
                {
                    failure = more_telling(self.drain(), Some(of_errno(errno, "sendmsg")));
                    break;
                }
            }
            let wake = deadline.min(resend_at).min(now + TICK);
            tokio::select! {
                readable = self.socket.readable() => if let Ok(mut readable) = readable { readable.clear_ready() },
                () = tokio::time::sleep_until(clock.instant(wake)) => {}
            }
        }
        let failure = failure.unwrap_or_else(|| Failure::new(Reason::Timeout));
        Attempt::failed(self.source_port, self.sent, failure)
    }

    fn receive(&self, buffer: &mut [u8], failure: &mut Option<Failure>) -> Option<Result<(), Failure>> {
        while let Ok(Some(Received { len, from, .. })) = self.socket.get_ref().receive(buffer) {
            let Some(said) = buffer.get(..len).and_then(|packet| self.question.read(packet)) else {
                continue;
            };
            if from == self.server {
                return Some(said);
            }
            // An application's socket is connected and never sees it.
            let detail = Some(format!(
                "{from} answered instead, so the answer's source was not translated back"
            ));
            *failure = Some(Failure {
                detail,
                ..Failure::new(Reason::WrongResponder)
            });
        }
        None
    }

    fn drain(&self) -> Option<Failure> {
        let mut found = None;
        while let Ok(Some(error)) = self.socket.get_ref().next_error(&mut []) {
            found = more_telling(found, of_queued(&error, "sendmsg"));
        }
        found
    }
}

/// One question over a TCP connection (RFC 7766).
pub(crate) async fn over_tcp(
    way: impl Into<Way>,
    question: &Question,
    clock: Clock,
    deadline: Instant,
) -> Attempt {
    let mut connected = match connect(way, clock, deadline).await {
        Ok(connected) => connected,
        Err(attempt) => return attempt,
    };
    let began = clock.now();
    let said = connected
        .converse(deadline, async |stream| exchange(stream, &question.packet).await)
        .await;
    let said = said.and_then(|answer| {
        question.read(&answer).unwrap_or_else(|| {
            let detail = Some("what it answered is no DNS answer to our question".to_owned());
            Err(Failure {
                detail,
                ..Failure::new(Reason::WrongResponder)
            })
        })
    });
    if let Err(failure) = said {
        return connected.failed(failure);
    }
    let took = clock.now().since(began);
    let resent = connected.resent || connected.was_slowed(took);
    let answered = Answered {
        rtt: connected.rtt + took,
        resent,
        ..Answered::default()
    };
    Attempt {
        source_port: connected.source_port,
        sent: 1,
        outcome: Outcome::Answered(answered),
    }
}

async fn exchange(stream: &mut TcpStream, query: &[u8]) -> io::Result<Vec<u8>> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut message = u16::try_from(query.len())
        .map_err(too_long)?
        .to_be_bytes()
        .to_vec();
    message.extend_from_slice(query);
    stream.write_all(&message).await?;
    let len = stream.read_u16().await?;
    let mut answer = vec![0; len.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests;
