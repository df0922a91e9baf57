//! A walk: who answers from each hop on the way to a target.

mod echo_lane;
mod lanes;
mod machine;
mod syn_lane;
mod udp_lane;

use std::net::IpAddr;

use mesh_proto::{Failure, Millis, Port, Protocol, Seen};

use self::lanes::Lanes;
use self::machine::Walk;
use super::{Work, millis};

/// What walks, and where to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) target: IpAddr,
    pub(super) protocol: Protocol,
    pub(super) port: Port,
}

/// Walks, and says of each hop up to the target who answered.
pub(super) async fn walk(path: Path, hops: u8, timeout: Millis, work: &Work) -> Seen {
    match Lanes::open(path, work) {
        Ok(lanes) => walk_by(lanes, hops, timeout, work).await,
        Err(why) => Seen::Untried(why),
    }
}

async fn walk_by(mut lanes: Lanes, hops: u8, timeout: Millis, work: &Work) -> Seen {
    let clock = work.means.clock;
    let mut walk = Walk::start(hops, millis(timeout), clock.now());
    let mut refused: Option<Failure> = None;
    loop {
        while let Some(number) = walk.poll_transmit(clock.now()) {
            if !work.gate.pass(work.deadline).await {
                break;
            }
            let mut sent = lanes.send(number);
            if sent.is_err() {
                // The errno may be that of an ICMP error, of this packet or of an earlier one: the queue knows.
                let any = lanes.listen(|number, answer| walk.handle_answer(number, answer));
                if any && lanes.are_shared() {
                    sent = lanes.send(number);
                }
            }
            match sent {
                Ok(()) => walk.handle_sent(number, clock.now()),
                Err(failure) => refused = refused.or(Some(failure)),
            }
        }
        lanes.listen(|number, answer| walk.handle_answer(number, answer));
        let now = clock.now();
        if walk.is_done(now) || now >= work.deadline {
            break;
        }
        work.tick().await;
    }
    let hops = walk.hops();
    match (hops.is_empty(), refused) {
        (false, _) => Seen::Walk(hops),
        (true, Some(failure)) => Seen::Untried(failure.detail.unwrap_or_else(|| failure.reason.to_string())),
        (true, None) => Seen::Untried("no time was left for it".to_owned()),
    }
}

#[cfg(test)]
mod tests;
