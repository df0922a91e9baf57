//! How likely it is that loss alone, by chance, took all of a cell.

use mesh_proto::{ProbeKind, Reason};

use super::likelihood::{Shares, exponent};
use super::loss::LossSite;
use super::model::Model;
use super::symptom::Symptom;
use crate::round::{CellIndex, Planned};

/// For each cell the logarithm of the chance that it shows its symptom by the loss of the places it crosses; minus
/// infinity where it crosses none.
pub(super) fn chances(model: &Model<'_>, sites: &[LossSite]) -> Vec<f64> {
    if sites.is_empty() {
        return Vec::new();
    }
    let mut shares = vec![Shares::default(); model.cells().count()];
    for site in sites {
        let share = cautious(site);
        for cell in site.cells.keys() {
            shares[cell.0] = shares[cell.0].and(site.losing, share);
        }
    }
    let chance = |(number, shares): (usize, Shares)| {
        let cell = CellIndex(number);
        // What was refused or forbidden was not lost. A lost ARP request gives host unreachable.
        let silent = matches!(
            model.judged(cell).seen(),
            None | Some(Reason::Timeout | Reason::DataStalled | Reason::HostUnreachable)
        );
        if !silent || shares == Shares::default() || !model.matrix.seen().is_observed(model.number(cell)) {
            return f64::NEG_INFINITY;
        }
        let planned = model.planned(cell);
        let outcome = model.matrix.outcome(model.number(cell));
        let sent = outcome.map_or(planned.flows * planned.tries, |seen| seen.sent);
        chance(model.kind(cell), model.symptom(cell), sent, shares, planned).ln()
    };
    shares.into_iter().enumerate().map(chance).collect()
}

/// The share is an estimate: two standard errors more, since a wrong culprit is worse than none.
fn cautious(site: &LossSite) -> f64 {
    let error = (site.share * (1.0 - site.share) / site.sample.max(1.0)).sqrt();
    (site.share + 2.0 * error).min(0.999)
}

fn chance(kind: ProbeKind, symptom: Option<Symptom>, sent: u32, shares: Shares, planned: Planned) -> f64 {
    let q = shares.packets;
    // A flow that is tried again takes the same path; of a stream each SYN was counted.
    let tries = exponent(sent.div_ceil(planned.flows.max(1)));
    let (flows, of_flow) = match kind {
        // Large ones are tried four times before they count as lost.
        ProbeKind::PathMtu if symptom == Some(Symptom::Large) => return q.powi(4),
        // Large ones may be kept back by a limit; that the small ones are lost is enough.
        ProbeKind::PathMtu => (1, q.powi(exponent(planned.tries))),
        ProbeKind::Icmp => (1, q.powi(exponent(sent))),
        ProbeKind::Udp | ProbeKind::DnsUdp => (planned.flows, q.powi(tries)),
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsTcp => (planned.flows, stream(q)),
    };
    (1.0 - (1.0 - shares.flows) * (1.0 - of_flow)).powi(exponent(flows))
}

/// That a TCP connection does not get through in time: three SYNs fit into a time-out, then a dozen segments must pass,
/// each of which is sent about four times in it (RFC 6298: the time between them doubles).
fn stream(q: f64) -> f64 {
    1.0 - (1.0 - q.powi(3)) * (1.0 - q.powi(4)).powi(12)
}
