//! The second look: questions besides the plan, asked once something failed. Walks and knocks have sockets of their own;
//! further probes are run by the plan's own engines. Answers go out as they come.
//!
//! Tasks: none but a blocking one for each route, which takes a moment. All else is one future of the call, so that
//! dropping it (the coordinator is gone, or says stop) closes every socket.

mod bounds;
mod further;
mod gate;
mod knock;
mod route;
mod walk;

use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_proto::wire::Inquire;
use mesh_proto::{Answer, Ask, Inquiry, Millis, Pacing, Port, Seen};
use tokio::sync::mpsc;

pub(crate) use self::bounds::check;
use self::further::Further;
use self::gate::Gate;
use crate::moment::Moment;
use crate::run_plan::Means;
use crate::runs::Run;

/// All inquiries of a request together take no longer than this: somebody waits for the report.
const LONGEST: Duration = Duration::from_millis(2_500);
/// Walks and knocks under way at once. Each may hold some dozens of sockets.
const AT_ONCE: usize = 32;
/// How often sockets are looked at: no time is measured by it, and an ICMP error wakes nobody.
const TICK: Duration = Duration::from_millis(20);

/// What an inquiry is worked on with.
#[derive(Debug)]
struct Work {
    run: Run,
    means: Means,
    gate: Gate,
    /// Where agents answer probes: the same port on every agent of a run.
    responder_port: Port,
    /// When all ends.
    deadline: Moment,
}

/// Finds out what is asked, and says it as it comes; what is not done in time is answered as far as it got. The inquiries
/// must have been [`check`]ed.
pub(crate) async fn inquire(
    inquire: Inquire,
    run: Run,
    means: Means,
    responder_port: Port,
    out: mpsc::Sender<Answer>,
) {
    let now = means.clock.now();
    let within = Duration::from_millis(inquire.within.0.into()).min(LONGEST);
    let (mut further, mut rest) = (Further::default(), Vec::new());
    for Inquiry { id, ask } in inquire.inquiries {
        match ask {
            Ask::Probe { probe, source } => further.add(id, probe, source),
            ask => rest.push((id, ask)),
        }
    }
    // Those who send at the same time share what one may send.
    let senders = further.senders() + 1;
    let pacing = Pacing {
        packets_per_second: (inquire.packets_per_second / senders).max(1),
        burst: (inquire.burst / senders).max(1),
        spread: Millis(0),
    };
    let work = Work {
        gate: Gate::new(pacing, means.clock),
        run,
        means,
        responder_port,
        deadline: now + within,
    };
    let (work, answers) = (&work, &out);
    let rest = futures_util::stream::iter(rest)
        .map(|(id, ask)| async move {
            let seen = look(&ask, work).await;
            // Nobody listens any more: then the call is about to be dropped.
            let _ = answers.send(Answer { id, seen }).await;
        })
        .buffer_unordered(AT_ONCE)
        .collect::<()>();
    tokio::join!(rest, further.run(work, pacing, answers));
}

async fn look(ask: &Ask, work: &Work) -> Seen {
    if work.means.clock.now() >= work.deadline {
        return Seen::Untried("no time was left for it".to_owned());
    }
    match ask {
        Ask::Walk {
            target,
            protocol,
            port,
            hops,
            timeout,
        } => {
            let path = walk::Path {
                target: *target,
                protocol: *protocol,
                port: *port,
            };
            walk::walk(path, *hops, *timeout, work).await
        }
        Ask::Knock {
            target,
            port,
            tries,
            interval,
            timeout,
        } => {
            let at = std::net::SocketAddr::new(*target, port.0);
            knock::knock(at, *tries, *interval, *timeout, work).await
        }
        Ask::Route { target } => Seen::Route(route::choose(*target).await),
        Ask::Probe { .. } => Seen::Untried("it is a probe, and those are run together".to_owned()),
    }
}

impl Work {
    /// Waits for a moment, the next tick or the end, whichever comes first.
    async fn tick(&self) {
        let clock = self.means.clock;
        tokio::time::sleep_until(clock.instant((clock.now() + TICK).min(self.deadline))).await;
    }
}

fn millis(of: Millis) -> Duration {
    Duration::from_millis(of.0.into())
}

#[cfg(test)]
mod test_road;
#[cfg(test)]
mod tests;
