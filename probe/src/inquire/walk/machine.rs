//! The state machine of a walk, without clock or socket. Hops are tried one after the other without waiting for answers,
//! and those that stay silent are tried again a few hundred milliseconds later. Routers limit how many ICMP errors they
//! send (Linux: six at once to one destination, then one a second; icmp_ratelimit), so that what lies beyond the target,
//! or beyond a hop that says that it goes no further, is not tried once that is known.

use std::time::Duration;

use mesh_proto::{Hop, HopAnswer, TRIES_PER_HOP};

use crate::moment::Moment;

/// One packet of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TryNumber {
    /// With this TTL.
    pub(super) ttl: u8,
    /// So many were sent with this TTL before.
    pub(super) turn: u8,
}

impl TryNumber {
    /// As a sequence number.
    pub(super) fn sequence(self) -> u16 {
        u16::from(self.ttl) << 8 | u16::from(self.turn)
    }

    pub(super) fn of_sequence(sequence: u16) -> Self {
        let [ttl, turn] = sequence.to_be_bytes();
        Self { ttl, turn }
    }
}

/// Longer than a round trip inside a cluster, so that the end of the way is known before more is sent beyond it.
const STAGGER: Duration = Duration::from_millis(40);

#[derive(Debug)]
pub(super) struct Walk {
    began: Moment,
    timeout: Duration,
    /// By TTL, from 1.
    hops: Vec<HopState>,
    last_sent: Option<Moment>,
}

#[derive(Debug, Clone, Copy)]
struct HopState {
    /// Tries that were handed out.
    tries: u8,
    /// Tries that left.
    sent: u8,
    answer: HopAnswer,
}

impl Walk {
    pub(super) fn start(hops: u8, timeout: Duration, now: Moment) -> Self {
        let untried = HopState {
            tries: 0,
            sent: 0,
            answer: HopAnswer::Silence,
        };
        Self {
            began: now,
            timeout,
            hops: vec![untried; hops.into()],
            last_sent: None,
        }
    }

    /// The next packet that is due; the caller says when it left.
    pub(super) fn poll_transmit(&mut self, now: Moment) -> Option<TryNumber> {
        let since = now.since(self.began);
        let (gap, stagger) = (self.gap(), self.stagger());
        let due = |(place, hop): &(usize, &HopState)| {
            let place = u32::try_from(*place).unwrap_or(u32::MAX);
            hop.tries < TRIES_PER_HOP && since >= gap * u32::from(hop.tries) + stagger * place
        };
        let (place, _) = self
            .open()
            .filter(due)
            .min_by_key(|(place, hop)| (hop.tries, *place))?;
        let hop = &mut self.hops[place];
        let turn = hop.tries;
        hop.tries += 1;
        Some(TryNumber {
            ttl: u8::try_from(place + 1).unwrap_or(u8::MAX),
            turn,
        })
    }

    /// A packet left.
    pub(super) fn handle_sent(&mut self, number: TryNumber, now: Moment) {
        self.last_sent = Some(now);
        if let Some(hop) = self.hop(number.ttl) {
            hop.sent += 1;
        }
    }

    /// Something answered a packet. Of several answers to one hop the one that got furthest counts: packets may take
    /// paths of different lengths.
    pub(super) fn handle_answer(&mut self, number: TryNumber, answer: HopAnswer) {
        fn rank(answer: HopAnswer) -> u8 {
            match answer {
                HopAnswer::Silence => 0,
                answer if is_passing(answer) => 1,
                HopAnswer::Error(_) => 2,
                HopAnswer::Target => 3,
            }
        }
        let Some(hop) = self.hop(number.ttl).filter(|hop| hop.tries > number.turn) else {
            return;
        };
        // What was answered has left, whatever the call that sent it said.
        hop.sent = hop.sent.max(1);
        if rank(answer) > rank(hop.answer) {
            hop.answer = answer;
        }
    }

    /// Whether nothing more is to be sent or waited for.
    pub(super) fn is_done(&self, now: Moment) -> bool {
        let mut silent = self.open().peekable();
        if silent.peek().is_none() {
            return true;
        }
        let all_sent = silent.all(|(_, hop)| hop.tries == TRIES_PER_HOP);
        let last = self.last_sent.unwrap_or(self.began);
        // The first tries have the whole time; later ones what is left of it, or as long as lies between them.
        let end = (self.began + self.timeout).max(last + self.gap());
        all_sent && now >= end
    }

    /// What answered each hop, up to the first that is the target; of hops that no packet left for nothing is said.
    pub(super) fn hops(&self) -> Vec<Hop> {
        let mut hops = Vec::new();
        for (ttl, state) in (1..).zip(&self.hops) {
            if state.sent == 0 {
                break;
            }
            let answer = state.answer;
            hops.push(Hop { ttl, answer });
            if answer == HopAnswer::Target {
                break;
            }
        }
        hops
    }

    /// Hops that an answer is still wanted of, with their places.
    fn open(&self) -> impl Iterator<Item = (usize, &HopState)> {
        let end = self.hops.iter().position(|hop| is_end(hop.answer));
        let before = end.unwrap_or(self.hops.len());
        let silent = |(_, hop): &(usize, &HopState)| hop.answer == HopAnswer::Silence;
        self.hops.iter().enumerate().take(before).filter(silent)
    }

    fn gap(&self) -> Duration {
        self.timeout / u32::from(TRIES_PER_HOP)
    }

    /// Between two hops.
    fn stagger(&self) -> Duration {
        let hops = u32::try_from(self.hops.len()).unwrap_or(u32::MAX).max(1);
        STAGGER.min(self.gap() / hops)
    }

    fn hop(&mut self, ttl: u8) -> Option<&mut HopState> {
        self.hops.get_mut(usize::from(ttl).checked_sub(1)?)
    }
}

/// The packet's TTL ended there (RFC 792: type 11; RFC 4443: type 3): the path goes on.
fn is_passing(answer: HopAnswer) -> bool {
    matches!(answer, HopAnswer::Error(icmp) if icmp.kind == if icmp.from.is_ipv4() { 11 } else { 3 })
}

/// The path ends there: it is the target, or somebody said that it goes no further.
fn is_end(answer: HopAnswer) -> bool {
    !is_passing(answer) && answer != HopAnswer::Silence
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
