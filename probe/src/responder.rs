//! Answers the probes of the agent's runs, and nobody else's: a request must carry a MAC under a run's key. An answer
//! is never longer than the request, so the responder is of no use as a reflector.
//!
//! Tasks: one for each UDP socket, one that accepts for each TCP socket, one per connection, bounded in number and in
//! time. They own their sockets and end with the runtime.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_net::DatagramSocket;
use mesh_proto::AgentIdentity;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::echo_packet::{ANSWER_LEN, answer};
use crate::moment::Clock;
use crate::runs::Runs;
use crate::tcp::{FILLING, discard, say};

/// How long one TCP connection may take: longer than any prober waits.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 512;
const BACKLOG: i32 = 4_096;
/// Datagrams that are answered before others have their turn.
const AT_ONCE: u32 = 64;
/// The largest datagram there is.
const LARGEST: usize = 65_535;

/// Bound sockets, not yet answering.
pub(crate) struct Responder {
    udp: Vec<DatagramSocket>,
    tcp: Vec<TcpListener>,
}

impl Responder {
    /// Binds both protocols on one address, or on all of both families. IPv6 may be missing on a machine.
    pub(crate) fn bind(address: Option<IpAddr>, port: u16) -> io::Result<Self> {
        let mut responder = Self {
            udp: Vec::new(),
            tcp: Vec::new(),
        };
        if let Some(address) = address {
            responder.add(SocketAddr::new(address, port))?;
        } else {
            responder.add(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?;
            if let Err(error) = responder.add(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
                tracing::info!(%error, "IPv6 probes are not answered");
            }
        }
        Ok(responder)
    }

    fn add(&mut self, local: SocketAddr) -> io::Result<()> {
        let udp = DatagramSocket::bind(local).map_err(io::Error::from)?;
        let tcp = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
        tcp.set_nonblocking(true)?;
        // An agent that is started anew finds its port in TIME_WAIT.
        tcp.set_reuse_address(true)?;
        if local.is_ipv6() {
            tcp.set_only_v6(true)?;
        }
        tcp.bind(&local.into())?;
        tcp.listen(BACKLOG)?;
        self.tcp.push(TcpListener::from_std(tcp.into())?);
        self.udp.push(udp);
        Ok(())
    }

    /// Starts to answer, for the life of the runtime.
    pub(crate) fn start(self, identity: &AgentIdentity, runs: &Arc<Mutex<Runs>>, clock: Clock) {
        for socket in self.udp {
            let answering = Answering {
                identity: identity.clone(),
                runs: runs.clone(),
                clock,
            };
            tokio::spawn(async move { answering.datagrams(socket).await });
        }
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        for listener in self.tcp {
            let answering = Answering {
                identity: identity.clone(),
                runs: runs.clone(),
                clock,
            };
            tokio::spawn(answering.connections(listener, places.clone()));
        }
    }
}

#[derive(Clone)]
struct Answering {
    identity: AgentIdentity,
    runs: Arc<Mutex<Runs>>,
    clock: Clock,
}

impl Answering {
    /// The answer to what came in, if an agent of a run sent it.
    fn answer(&self, packet: &[u8]) -> Option<[u8; ANSWER_LEN]> {
        let now = self.clock.now();
        // A thread that panicked while it held the lock left the table whole: each change is one insertion.
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let (request, key) = runs.admit(packet, now)?;
        Some(answer(&key, request, packet.len(), &self.identity))
    }

    async fn datagrams(&self, socket: DatagramSocket) {
        let Ok(socket) = mesh_net::register(socket) else {
            return;
        };
        let mut buffer = vec![0; LARGEST];
        loop {
            let Ok(mut readable) = socket.readable().await else {
                return;
            };
            for turn in 1_u32.. {
                // Whoever floods this socket must not have the runtime for himself.
                if turn % AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
                match socket.get_ref().receive(&mut buffer) {
                    Ok(Some(received)) => {
                        if let Some(answer) = self.answer(&buffer[..received.len]) {
                            // From the address that was asked. A refusal to send is what the asker will see.
                            let _ = socket.get_ref().send(&answer, received.from, received.to);
                        }
                    }
                    Ok(None) => break,
                    // An ICMP error of an earlier answer: its entry in the queue is of no interest here.
                    Err(_) => while let Ok(Some(_)) = socket.get_ref().next_error(&mut []) {},
                }
            }
            readable.clear_ready();
        }
    }

    async fn connections(self, listener: TcpListener, places: Arc<Semaphore>) {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let answering = self.clone();
                    tokio::spawn(async move {
                        // A peer that is slow or breaks off is its own affair.
                        let _ = tokio::time::timeout(CONNECTION_LIMIT, answering.stream(stream)).await;
                        drop(place);
                    });
                }
                // Out of files or memory: others must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn stream(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut head = [0; ANSWER_LEN];
        stream.read_exact(&mut head).await?;
        // Not a byte is said before the key is shown.
        let Some(head) = self.answer(&head) else {
            return Ok(());
        };
        discard(&stream, FILLING.len()).await?;
        say(&mut stream, &head).await?;
        stream.shutdown().await
    }
}

#[cfg(test)]
mod tests;
