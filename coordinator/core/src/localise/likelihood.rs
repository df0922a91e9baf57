//! How likely it is that a path which loses a given share shows what a cell shows.
//!
//! Two ways to lose, which may come together: each packet by itself with the same chance, or whole flows, always the same
//! ones (one bad path among several, chosen by a hash of addresses and ports). Cells of which nothing came back are left
//! out, since other faults make them too; what is left is taken under the condition that something came back (a binomial
//! distribution cut off at its end).

use mesh_proto::ProbeKind;

use crate::matrix::Outcome;
use crate::round::Planned;

/// How a place loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losing {
    /// Each packet with the same chance.
    Packets,
    /// Certain flows wholly, others never.
    Flows,
}

/// What a way loses: of round trips, and of flows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Shares {
    pub(super) packets: f64,
    pub(super) flows: f64,
}

/// What became of a cell's tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tries {
    pub(super) sent: u32,
    pub(super) lost: u32,
    pub(super) flows: u32,
    /// On each flow, whatever becomes of them; more are sent only where some were lost and some were not.
    first: u32,
    /// Flows of which nothing came back.
    dead_flows: u32,
    /// Tries on those.
    sent_on_dead: u32,
}

/// What is lost on a healthy path: a datagram here and there, when a machine is busy.
const HEALTHY: f64 = 0.001;
const LEAST: f64 = 0.001;
const MOST: f64 = 0.995;

impl Shares {
    /// What is lost by the two of them, one after the other.
    pub(super) fn and(self, losing: Losing, share: f64) -> Self {
        let both = |before: f64| 1.0 - (1.0 - before) * (1.0 - share);
        match losing {
            Losing::Packets => Self {
                packets: both(self.packets),
                ..self
            },
            Losing::Flows => Self {
                flows: both(self.flows),
                ..self
            },
        }
    }

    /// No path is better than a healthy one, and none so bad that nothing ever comes back.
    fn bounded(self) -> Self {
        Self {
            packets: self.packets.clamp(HEALTHY, MOST),
            flows: self.flows.clamp(0.0, MOST),
        }
    }

    /// That nothing comes back of a flow with so many tries.
    fn dead(self, tries: u32) -> f64 {
        self.flows + (1.0 - self.flows) * self.packets.powi(exponent(tries))
    }
}

impl Tries {
    /// Of a cell that sends datagrams; `None` for others, whose kernels hide what is lost by sending again.
    pub(super) fn of(seen: &Outcome, planned: Planned) -> Option<Self> {
        if !matches!(seen.kind, ProbeKind::Icmp | ProbeKind::Udp) || seen.sent == 0 {
            return None;
        }
        Some(Self {
            sent: seen.sent,
            lost: seen.sent.saturating_sub(seen.received),
            flows: planned.flows,
            first: planned.tries,
            dead_flows: seen.dead_flows.min(planned.flows),
            sent_on_dead: seen.sent_on_dead.min(seen.sent),
        })
    }

    /// Of a whole cell that sends datagrams.
    pub(super) fn whole_of(kind: ProbeKind, planned: Planned) -> Option<Self> {
        matches!(kind, ProbeKind::Icmp | ProbeKind::Udp).then_some(Self {
            sent: planned.flows * planned.tries,
            lost: 0,
            flows: planned.flows,
            first: planned.tries,
            dead_flows: 0,
            sent_on_dead: 0,
        })
    }

    /// The logarithm of the likelihood, of a cell of which something came back.
    fn ln(self, shares: Shares) -> f64 {
        let shares = shares.bounded();
        let alive = self.flows.saturating_sub(self.dead_flows);
        let (sent, lost) = (
            self.sent - self.sent_on_dead,
            self.lost.saturating_sub(self.sent_on_dead),
        );
        let dead = match self.dead_flows {
            0 => 0.0,
            flows => f64::from(flows) * shares.dead(self.sent_on_dead / flows).ln(),
        };
        let all_dead = shares.dead(self.first).powi(exponent(self.flows));
        dead + f64::from(alive) * (1.0 - shares.flows).ln()
            + f64::from(lost) * shares.packets.ln()
            + f64::from(sent - lost.min(sent)) * (1.0 - shares.packets).ln()
            - (1.0 - all_dead).max(f64::MIN_POSITIVE).ln()
    }

    /// The chance that all came back, of a cell of which something did.
    pub(super) fn whole(self, shares: Shares) -> f64 {
        let shares = shares.bounded();
        let flow = (1.0 - shares.flows) * (1.0 - shares.packets).powi(exponent(self.first));
        let all_dead = shares.dead(self.first).powi(exponent(self.flows));
        flow.powi(exponent(self.flows)) / (1.0 - all_dead).max(f64::MIN_POSITIVE)
    }
}

pub(super) fn exponent(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Cells that are alike, with what is lost of them elsewhere on their way, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bin {
    pub(super) tries: Tries,
    /// What other places lose of it.
    pub(super) before: Shares,
    pub(super) count: u32,
}

/// What explains the cells best, by how much better than without it (the logarithm of a likelihood ratio), and the share
/// that it loses.
pub(super) fn best_fit(bins: &[Bin]) -> (f64, Losing, f64) {
    let (packets, flows) = (fit_of(bins, Losing::Packets), fit_of(bins, Losing::Flows));
    if flows.0 > packets.0 {
        (flows.0, Losing::Flows, flows.1)
    } else {
        (packets.0, Losing::Packets, packets.1)
    }
}

/// How much better than without it, and the share, of a place that loses in a given way.
fn fit_of(bins: &[Bin], losing: Losing) -> (f64, f64) {
    let without: Vec<f64> = bins.iter().map(|bin| bin.tries.ln(bin.before)).collect();
    let gain_at = |share: f64| -> f64 {
        let of_bin = |(bin, without): (&Bin, &f64)| {
            f64::from(bin.count) * (bin.tries.ln(bin.before.and(losing, share)) - without)
        };
        bins.iter().zip(&without).map(of_bin).sum()
    };
    let share = highest(&gain_at);
    (gain_at(share), share)
}

/// Whether so many cells may be whole at a place that loses such a share. If there are far too many, then it is a part of
/// the place that loses, or several parts are. Twice as many may be, since real loss comes in bursts.
pub(super) fn spares_enough(bins: &[Bin], losing: Losing, share: f64) -> bool {
    let (mut expected, mut seen) = (0.0, 0.0);
    for bin in bins
        .iter()
        .filter(|bin| losing == Losing::Packets || bin.tries.flows > 1)
    {
        expected += f64::from(bin.count) * bin.tries.whole(bin.before.and(losing, share));
        if bin.tries.lost == 0 {
            seen += f64::from(bin.count);
        }
    }
    seen <= 2.0 * expected + 4.0 * expected.sqrt() + 2.0
}

/// Where a function with one hill is highest, by the golden section.
fn highest(f: &impl Fn(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let (mut low, mut high) = (LEAST, MOST);
    for _ in 0..28 {
        let (a, b) = (high - (high - low) * GOLDEN, low + (high - low) * GOLDEN);
        if f(a) < f(b) { low = a } else { high = b }
    }
    f64::midpoint(low, high)
}
