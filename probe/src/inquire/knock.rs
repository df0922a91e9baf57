//! A knock at a port where nobody need answer: what comes back tells whether it is closed, rejected or let in.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_net::{DatagramSocket, Errno};
use mesh_proto::{KnockEcho, LocalError, Micros, Millis, Seen};

use super::{Work, millis};
use crate::failure::{more_telling, of_errno, of_queued};
use crate::moment::Moment;
use crate::way::Way;

/// A single byte: too short for any header of VXLAN (RFC 7348, eight bytes), Geneve (RFC 8926, eight), WireGuard (four)
/// or DNS (twelve), whose receivers drop it.
pub(super) const HARMLESS: &[u8] = &[0];

/// Knocks so many times, and says what came back. It ends early when an ICMP error came: more of them would only use up
/// what their sender may still say to others.
pub(super) async fn knock(
    at: SocketAddr,
    tries: u16,
    interval: Micros,
    timeout: Millis,
    work: &Work,
) -> Seen {
    let socket = match DatagramSocket::bind(Way::from(at).local()) {
        Ok(socket) => socket,
        Err(errno) => return Seen::Untried(format!("cannot open a UDP socket: {errno}")),
    };
    let clock = work.means.clock;
    let interval = Duration::from_micros(interval.0.into());
    let mut knocking = Knocking::new(socket, at);
    let mut next = clock.now();
    let mut given_up: Option<Moment> = None;
    for number in 1..=tries {
        while clock.now() < next.min(work.deadline) && knocking.echo.icmp.is_none() {
            let wake = next.min(work.deadline).min(clock.now() + super::TICK);
            tokio::time::sleep_until(clock.instant(wake)).await;
            knocking.listen();
        }
        if knocking.echo.icmp.is_some() || !work.gate.pass(work.deadline).await {
            break;
        }
        knocking.send();
        next = clock.now() + interval;
        given_up = (number == tries).then(|| clock.now() + millis(timeout));
    }
    let end = given_up.unwrap_or(work.deadline).min(work.deadline);
    loop {
        knocking.listen();
        if knocking.is_settled(tries) || clock.now() >= end {
            break;
        }
        work.tick().await;
    }
    knocking.seen()
}

struct Knocking {
    socket: DatagramSocket,
    at: SocketAddr,
    echo: KnockEcho,
    /// Datagrams that the kernel took or refused.
    tried: u16,
}

impl Knocking {
    fn new(socket: DatagramSocket, at: SocketAddr) -> Self {
        let echo = KnockEcho {
            sent: 0,
            answered: 0,
            icmp: None,
            local: None,
        };
        Self {
            socket,
            at,
            echo,
            tried: 0,
        }
    }

    fn send(&mut self) {
        self.tried = self.tried.saturating_add(1);
        let mut sent = self.socket.send(HARMLESS, self.at, None);
        // The errno may be that of an earlier ICMP error: read those, and send again.
        if sent.is_err() && self.listen() {
            sent = self.socket.send(HARMLESS, self.at, None);
        }
        match sent {
            Ok(()) => self.echo.sent += 1,
            // A rule in OUTPUT that rejects leaves both: the ICMP error says more.
            Err(errno) => {
                self.listen();
                self.echo.local.get_or_insert_with(|| refused(errno));
            }
        }
    }

    /// Reads all that came back; says whether there was an error among it.
    fn listen(&mut self) -> bool {
        let (mut failure, mut any) = (None, false);
        while let Ok(Some(error)) = self.socket.next_error(&mut []) {
            any = true;
            failure = more_telling(failure, of_queued(&error, "sendmsg"));
        }
        if let Some(failure) = failure {
            self.echo.icmp = self.echo.icmp.or(failure.icmp);
            self.echo.local = self.echo.local.take().or(failure.local);
        }
        let mut buffer = [0; 16];
        while let Ok(Some(received)) = self.socket.receive(&mut buffer) {
            // One that was doubled on its way is no answer more.
            if received.from == self.at && self.echo.answered < self.echo.sent {
                self.echo.answered += 1;
            }
        }
        any
    }

    fn is_settled(&self, tries: u16) -> bool {
        let all = self.tried >= tries;
        let nothing_out = all && self.echo.sent == 0;
        let all_back = all && self.echo.sent > 0 && self.echo.answered == self.echo.sent;
        self.echo.icmp.is_some() || nothing_out || all_back
    }

    fn seen(self) -> Seen {
        if self.tried == 0 {
            return Seen::Untried("no time was left for it".to_owned());
        }
        Seen::Knock(self.echo)
    }
}

fn refused(errno: Errno) -> LocalError {
    let local = of_errno(errno, "sendmsg").local;
    local.unwrap_or(LocalError {
        errno: errno.0,
        call: "sendmsg".to_owned(),
    })
}
