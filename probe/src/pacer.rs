//! How fast an agent may send: a token bucket, without a clock.

use std::time::Duration;

use mesh_proto::Pacing;

use crate::moment::Moment;

/// A token bucket: so many packets a second, so many at once.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    /// Between two packets at the steady rate.
    gap: Duration,
    /// How far ahead of the steady rate a burst may run.
    ahead: Duration,
    /// When the bucket would be full again.
    full_at: Moment,
}

impl Pacer {
    pub(crate) fn new(pacing: Pacing, now: Moment) -> Self {
        let gap = Duration::from_secs(1) / pacing.packets_per_second.max(1);
        Self {
            gap,
            ahead: gap * pacing.burst.max(1),
            full_at: now,
        }
    }

    /// Takes leave to send one packet, if it may go now.
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        if self.ready_at(now) > now {
            return false;
        }
        self.full_at = self.full_at.max(now) + self.gap;
        true
    }

    /// When the next packet may go; not before `now`.
    pub(crate) fn ready_at(&self, now: Moment) -> Moment {
        let lead = (self.full_at + self.gap).since(now);
        now + lead.saturating_sub(self.ahead)
    }
}

/// How often the work of a plan is looked at. A plan whose probes all begin at once has somebody waiting; one that is
/// spread over a long time has not, and fewer wake-ups cost less.
pub(crate) fn tick(pacing: Pacing) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_millis(100);
    (Duration::from_millis(pacing.spread.0.into()) / 100).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_second_and_no_instant_sees_more_than_its_share(
            rate in 1..5_000_u32, burst in 1..100_u32, steps in prop::collection::vec(0..20_u64, 1..400),
        ) {
            let pacing = Pacing { packets_per_second: rate, burst, spread: mesh_proto::Millis(0) };
            let mut now = Moment::default();
            let mut pacer = Pacer::new(pacing, now);
            let mut sent = 0_u64;
            for step in steps {
                now = now + Duration::from_millis(step);
                let mut at_once = 0;
                while pacer.take(now) {
                    at_once += 1;
                }
                prop_assert!(pacer.ready_at(now) > now);
                prop_assert!(at_once <= burst);
                sent += u64::from(at_once);
                let most = u64::from(burst) + u64::try_from(now.0.as_micros()).unwrap() * u64::from(rate) / 1_000_000 + 1;
                prop_assert!(sent <= most, "{sent} of {most}");
            }
        }
    }
}
