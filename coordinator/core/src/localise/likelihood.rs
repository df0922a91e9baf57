//! How likely it is that a path which loses a given share shows what a cell shows.
//!
//! Two ways to lose: each packet by itself with the same chance, or whole flows, always the same ones (one bad path
//! among several, chosen by a hash of addresses and ports). Cells of which nothing came back are left out, since other
//! faults make them too; what is left is taken under the condition that something came back (a binomial distribution
//! cut off at its end).

use mesh_proto::{Observation, ProbeKind};

/// How a place loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losing {
    /// Each packet with the same chance.
    Packets,
    /// Certain flows wholly, others never.
    Flows,
}

/// What became of a cell's tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tries {
    pub(super) sent: u32,
    pub(super) lost: u32,
    /// Those sent whatever became of them; more are sent only where some of them were lost and some were not.
    first: u32,
    pub(super) flows: u32,
    /// Flows of which nothing came back.
    dead_flows: u32,
    /// Flows of which some came back.
    torn_flows: u32,
    /// Tries on the latter.
    sent_on_torn: u32,
}

/// How a cell was to be tried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planned {
    pub(super) flows: u32,
    /// On each flow.
    pub(super) tries: u32,
}

/// What is lost on a healthy path: a datagram here and there, when a machine is busy.
const HEALTHY: f64 = 0.001;
/// A flow that lost some of its packets, on a path that loses whole flows.
const TORN: f64 = 0.01;
const LEAST: f64 = 0.001;
const MOST: f64 = 0.995;

impl Tries {
    /// Of a cell that sends datagrams; `None` for others, whose kernels hide what is lost by sending again.
    pub(super) fn of(kind: ProbeKind, seen: &Observation, planned: Planned) -> Option<Self> {
        if !matches!(kind, ProbeKind::Icmp | ProbeKind::Udp) || seen.sent == 0 {
            return None;
        }
        let dead = seen.incomplete_flows.iter().filter(|flow| flow.received == 0);
        let torn = seen.incomplete_flows.iter().filter(|flow| flow.received > 0);
        let sent_on_torn = torn.clone().map(|flow| flow.sent).sum();
        let count = |flows: usize| u32::try_from(flows).unwrap_or(u32::MAX);
        Some(Self {
            sent: seen.sent,
            lost: seen.sent.saturating_sub(seen.received),
            first: planned.flows * planned.tries,
            flows: planned.flows,
            dead_flows: count(dead.count()).min(planned.flows),
            torn_flows: count(torn.count()).min(planned.flows),
            sent_on_torn,
        })
    }

    /// The logarithm of the likelihood, of a cell of which something came back.
    fn ln(self, losing: Losing, share: f64) -> f64 {
        let alive = |count: u32| -(1.0 - share.powi(exponent(count))).max(f64::MIN_POSITIVE).ln();
        match losing {
            Losing::Packets => {
                f64::from(self.lost) * share.ln()
                    + f64::from(self.sent - self.lost) * (1.0 - share).ln()
                    + alive(self.first)
            }
            // What is a single flow is whole or dead; if neither, then the path does not lose whole flows.
            Losing::Flows if self.flows == 1 => f64::from(self.lost) * HEALTHY.ln(),
            Losing::Flows => {
                let whole = self.flows.saturating_sub(self.dead_flows + self.torn_flows);
                f64::from(self.dead_flows) * share.ln()
                    // Any of its tries may be lost as well as not.
                    + f64::from(self.torn_flows) * TORN.ln()
                    + f64::from(self.sent_on_torn) * 0.5_f64.ln()
                    + f64::from(whole) * (1.0 - share).ln()
                    + alive(self.flows)
            }
        }
    }
}

pub(super) fn exponent(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Cells that are alike, with what is lost of them elsewhere on their way, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bin {
    pub(super) tries: Tries,
    /// The share that places found before lose of it.
    pub(super) before: f64,
    pub(super) count: u32,
}

/// What explains the cells best, by how much better than health it does (the logarithm of a likelihood ratio), and the
/// share that it loses.
pub(super) fn best_fit(bins: &[Bin]) -> (f64, Losing, f64) {
    let gain = |losing: Losing, share: f64| -> f64 {
        let of_bin = |bin: &Bin| {
            let before = bin.before.max(HEALTHY);
            let together = 1.0 - (1.0 - share) * (1.0 - bin.before);
            let with = bin.tries.ln(losing, together.clamp(LEAST, MOST));
            f64::from(bin.count) * (with - bin.tries.ln(Losing::Packets, before))
        };
        bins.iter().map(of_bin).sum()
    };
    let of = |losing| {
        let share = highest(|share| gain(losing, share));
        (gain(losing, share), losing, share)
    };
    let (packets, flows) = (of(Losing::Packets), of(Losing::Flows));
    if flows.0 > packets.0 { flows } else { packets }
}

/// Whether so many cells may be whole at a place that loses such a share. If there are far too many, then it is a part of
/// the place that loses, or several parts are. Twice as many may be, since real loss comes in bursts.
pub(super) fn spares_enough(bins: &[Bin], losing: Losing, share: f64) -> bool {
    let (mut expected, mut seen) = (0.0, 0.0);
    for bin in bins
        .iter()
        .filter(|bin| losing == Losing::Packets || bin.tries.flows > 1)
    {
        let tries = match losing {
            Losing::Packets => bin.tries.first,
            Losing::Flows => bin.tries.flows,
        };
        let together = (1.0 - (1.0 - share) * (1.0 - bin.before)).clamp(LEAST, MOST);
        let (none, all) = (
            (1.0 - together).powi(exponent(tries)),
            together.powi(exponent(tries)),
        );
        expected += f64::from(bin.count) * none / (1.0 - all);
        if bin.tries.lost == 0 {
            seen += f64::from(bin.count);
        }
    }
    seen <= 2.0 * expected + 4.0 * expected.sqrt() + 2.0
}

/// Where a function with one hill is highest, by the golden section.
fn highest(f: impl Fn(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let (mut low, mut high) = (LEAST, MOST);
    for _ in 0..28 {
        let (a, b) = (high - (high - low) * GOLDEN, low + (high - low) * GOLDEN);
        if f(a) < f(b) { low = a } else { high = b }
    }
    f64::midpoint(low, high)
}
