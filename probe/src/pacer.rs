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

/// When each probe of a plan has its turn: evenly over the plan's spread, in the plan's order, each at a random moment of its
/// share, so that agents that were started together do not fire in step, and no target is met by all of them at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    began: Moment,
    spread: Duration,
    count: u64,
    seed: u64,
}

impl Turns {
    /// For `count` probes; agents differ in their seeds.
    pub(crate) fn new(pacing: Pacing, count: usize, now: Moment, seed: u64) -> Self {
        Self {
            began: now,
            spread: Duration::from_millis(pacing.spread.0.into()),
            count: u64::try_from(count).unwrap_or(u64::MAX).max(1),
            seed,
        }
    }

    /// When the probe of this place in the plan may begin; a later one never begins before it.
    pub(crate) fn of(&self, place: usize) -> Moment {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        let spread = u64::try_from(self.spread.as_nanos()).unwrap_or(u64::MAX);
        let share = spread / self.count;
        let jitter = (u128::from(share) * u128::from(mix(self.seed ^ place))) >> 64;
        // The product is at most the spread, and the jitter less than a share.
        let begins = u128::from(spread) * u128::from(place) / u128::from(self.count);
        self.began + Duration::from_nanos(u64::try_from(begins + jitter).unwrap_or(u64::MAX))
    }
}

/// Spreads a number over all 64 bits (S. Vigna's splitmix64, in the public domain).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The next of the moments, a tick apart, at which all work of the agent is looked at together: each wake-up by itself finds
/// the processor's caches cold.
pub(crate) fn next_tick(now: Moment, tick: Duration) -> Moment {
    let tick = tick.as_nanos().max(1);
    let next = (now.0.as_nanos() / tick + 1) * tick;
    Moment(Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX)))
}

/// Of a plan whose probes begin at once, or as good as.
pub(crate) const SHORTEST_TICK: Duration = Duration::from_millis(20);

/// How often the work of a plan is looked at. A plan whose probes all begin at once has somebody waiting; one that is
/// spread over a long time has not, and fewer wake-ups cost less.
pub(crate) fn tick(pacing: Pacing) -> Duration {
    const LONGEST: Duration = Duration::from_millis(100);
    (Duration::from_millis(pacing.spread.0.into()) / 100).clamp(SHORTEST_TICK, LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ticks_come_after_now_and_are_the_same_for_all(now in any::<u32>(), later in 0..100_u64, tick in 1..200_u64) {
            let (tick, micros) = (Duration::from_millis(tick), Duration::from_micros(now.into()));
            let next = next_tick(Moment(micros), tick);
            prop_assert!(next > Moment(micros) && next.since(Moment(micros)) <= tick);
            let meanwhile = Moment(micros + Duration::from_millis(later));
            prop_assert!(meanwhile >= next || next_tick(meanwhile, tick) == next);
        }

        #[test]
        fn turns_are_in_order_and_each_in_its_share(
            spread in 0..60_000_u32, count in 1..500_usize, seed in any::<u64>(),
        ) {
            let pacing = Pacing { packets_per_second: 1, burst: 1, spread: mesh_proto::Millis(spread) };
            let began = Moment(Duration::from_secs(9));
            let turns = Turns::new(pacing, count, began, seed);
            let whole = Duration::from_millis(spread.into());
            let mut before = began;
            for place in 0..count {
                let turn = turns.of(place);
                prop_assert!(before <= turn);
                let share = |place: usize| began + whole * u32::try_from(place).unwrap() / u32::try_from(count).unwrap();
                prop_assert!(share(place) <= turn && turn <= share(place + 1) + Duration::from_nanos(1), "{place}");
                before = turn;
            }
        }

        #[test]
        fn agents_do_not_fire_in_step(one in any::<u64>(), other in any::<u64>()) {
            prop_assume!(one != other);
            let pacing = Pacing { packets_per_second: 1, burst: 1, spread: mesh_proto::Millis(30_000) };
            let turns = |seed| Turns::new(pacing, 300, Moment::default(), seed);
            let (one, other) = (turns(one), turns(other));
            let together = (0..300).filter(|place| one.of(*place).0.as_millis() == other.of(*place).0.as_millis());
            prop_assert!(together.count() < 60);
        }

        #[test]
        fn a_bucket_is_what_a_count_of_tokens_is(
            rate in 1..5_000_u32, burst in 1..100_u32, steps in prop::collection::vec((0..5_000_u64, 0..20_u32), 1..200),
        ) {
            let pacing = Pacing { packets_per_second: rate, burst, spread: mesh_proto::Millis(0) };
            let mut now = Moment::default();
            let mut pacer = Pacer::new(pacing, now);
            // The model counts in nanoseconds of sending: what a packet costs, and what the bucket holds.
            let cost = 1_000_000_000 / u64::from(rate);
            let full = cost * u64::from(burst);
            let mut held = full;
            for (micros, wanted) in steps {
                now = now + Duration::from_micros(micros);
                held = (held + micros * 1_000).min(full);
                for _ in 0..wanted {
                    let expected = held >= cost;
                    prop_assert_eq!(pacer.take(now), expected, "{} of {}", held, cost);
                    if expected {
                        held -= cost;
                    }
                }
            }
        }

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
