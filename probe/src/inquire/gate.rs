//! One pacer for all who send.

use mesh_proto::Pacing;
use tokio::sync::Mutex;

use crate::moment::{Clock, Moment};
use crate::pacer::Pacer;

/// Lets packets out at the agent's pace, first come, first served.
#[derive(Debug)]
pub(super) struct Gate {
    /// Held while its holder waits, so that those behind keep their order.
    pacer: Mutex<Pacer>,
    clock: Clock,
}

impl Gate {
    pub(super) fn new(pacing: Pacing, clock: Clock) -> Self {
        Self {
            pacer: Mutex::new(Pacer::new(pacing, clock.now())),
            clock,
        }
    }

    /// Waits until a packet may leave; `false` if that is not before the deadline.
    pub(super) async fn pass(&self, deadline: Moment) -> bool {
        let mut pacer = self.pacer.lock().await;
        loop {
            let now = self.clock.now();
            if now >= deadline {
                return false;
            }
            if pacer.take(now) {
                return true;
            }
            let ready = pacer.ready_at(now).min(deadline);
            tokio::time::sleep_until(self.clock.instant(ready)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_proto::Millis;

    use super::*;

    #[tokio::test]
    async fn all_who_send_share_one_pace() {
        let clock = Clock::start();
        let pacing = Pacing {
            packets_per_second: 10,
            burst: 2,
            spread: Millis(0),
        };
        let gate = Gate::new(pacing, clock);
        let end = clock.now() + Duration::from_millis(450);
        let send = async || {
            let mut sent = 0;
            while gate.pass(end).await {
                sent += 1;
                // Others wait meanwhile.
                tokio::task::yield_now().await;
            }
            sent
        };
        let (a, b, c) = tokio::join!(send(), send(), send());
        // Two at once, and one at the end of each tenth of a second.
        assert!((2..=2 + 4).contains(&(a + b + c)), "{a} {b} {c}");
        assert!(!gate.pass(end).await);
    }
}
