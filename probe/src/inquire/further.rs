//! Further probes: one more plan for each source address, run by the plan's own engines.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use mesh_proto::{
    Answer, InquiryId, Millis, Observation, Pacing, Plan, PlannedProbe, ProbeId, ProbeKind, Seen, WAVES,
};
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::Work;
use crate::run_plan::run_plan;
use crate::way::Sending;

/// Probes by the source address that they are bound to.
#[derive(Debug, Default)]
pub(super) struct Further(BTreeMap<Option<IpAddr>, Vec<(InquiryId, PlannedProbe)>>);

/// As long as the echo machine waits for late answers before it tries a flow again.
const BETWEEN_WAVES: Duration = Duration::from_millis(300);
/// Longer than any round trip in a cluster, that of a SYN that is sent again aside.
const SHORTEST: Duration = Duration::from_millis(200);
/// Observations on their way; then the plan waits.
const WAITING: usize = 64;

impl Further {
    pub(super) fn add(&mut self, id: InquiryId, probe: PlannedProbe, source: Option<IpAddr>) {
        self.0.entry(source).or_default().push((id, probe));
    }

    /// How many will send at their own pace: each plan has a pacer for datagrams and one for connections.
    pub(super) fn senders(&self) -> u32 {
        u32::try_from(self.0.len() * 2).unwrap_or(u32::MAX - 1)
    }

    /// Runs them all side by side.
    pub(super) async fn run(self, work: &Work, pacing: Pacing, answers: &mpsc::Sender<Answer>) {
        let groups = self
            .0
            .into_iter()
            .map(|(source, probes)| run(source, probes, work, pacing, answers));
        join_all(groups).await;
    }
}

/// How long a try may take, so that a dead path and a flow that loses are told before all ends.
fn patience(probe: &PlannedProbe, left: Duration) -> Millis {
    let interval = Duration::from_micros(probe.interval.0.into());
    let before = match probe.kind {
        // What lost something is tried again, each time after a pause.
        ProbeKind::Icmp | ProbeKind::Udp => {
            interval * u32::from(probe.tries) * WAVES + BETWEEN_WAVES * (WAVES - 1)
        }
        ProbeKind::PathMtu => interval * u32::from(probe.tries),
        // Flows begin one after the other.
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsUdp | ProbeKind::DnsTcp => {
            interval * u32::from(probe.flows)
        }
    };
    let patience = (left / 10 * 9).saturating_sub(before).max(SHORTEST.min(left / 2));
    Millis(u32::try_from(patience.as_millis()).unwrap_or(u32::MAX))
}

async fn run(
    source: Option<IpAddr>,
    probes: Vec<(InquiryId, PlannedProbe)>,
    work: &Work,
    pacing: Pacing,
    answers: &mpsc::Sender<Answer>,
) {
    let (ids, probes): (Vec<InquiryId>, Vec<PlannedProbe>) = probes.into_iter().unzip();
    let left = work.deadline.since(work.means.clock.now());
    let probes = (0..).map(ProbeId).zip(probes).map(|(id, probe)| PlannedProbe {
        id,
        timeout: probe.timeout.min(patience(&probe, left)),
        ..probe
    });
    let plan = Plan {
        pacing,
        probes: probes.collect(),
    };
    let sending = Sending {
        source,
        uncounted: true,
    };
    let (out, mut seen) = mpsc::channel::<Observation>(WAITING);
    let mut unanswered: Vec<Option<InquiryId>> = ids.into_iter().map(Some).collect();
    let pass_on = async {
        while let Some(mut observation) = seen.recv().await {
            let slot = usize::try_from(observation.id.0)
                .ok()
                .and_then(|slot| unanswered.get_mut(slot));
            let Some(id) = slot.and_then(Option::take) else {
                continue;
            };
            observation.id = ProbeId(id.0);
            let seen = Seen::Probe(observation);
            // Nobody listens any more: then the call is about to be dropped.
            let _ = answers.send(Answer { id, seen }).await;
        }
    };
    let plan = run_plan(plan, work.run.clone(), work.means.clone(), sending, out);
    let both = async { tokio::join!(plan, pass_on) };
    // What the plan holds ends with its future.
    let _ = timeout_at(work.means.clock.instant(work.deadline), both).await;
    for id in unanswered.into_iter().flatten() {
        let seen = Seen::Untried(format!("it was not done within {} ms", left.as_millis()));
        let _ = answers.send(Answer { id, seen }).await;
    }
}
