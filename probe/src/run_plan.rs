//! One plan, from its first packet to its summary. Datagram probes go to the engine; each probe that has sockets of its
//! own is a task here.
//!
//! Tasks: those of [`Streams::run`], in a `JoinSet` that the plan's future owns. When that future is dropped (the
//! coordinator is gone, or says stop), they end with it, and the engine drops its job when it finds the channel closed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hdrhistogram::Histogram;
use mesh_proto::{Expect, KindRtt, Micros, Pacing, Plan, PlannedProbe, ProbeKind, Rtt, Summary};
use rustls::RootCertStore;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::attempt::{Attempt, observation};
use crate::datagram::{DatagramEngine, Job, Seen, random};
use crate::dns::{self, Question};
use crate::echo_packet::{Request, Token};
use crate::moment::{Clock, Moment};
use crate::pacer::{Pacer, Turns, next_tick, tick};
use crate::resolve;
use crate::runs::Run;
use crate::starvation::Watch;
use crate::tcp::{self, Partner};
use crate::tls;
use crate::way::{Sending, Way};

/// What a plan is run with.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) engine: DatagramEngine,
    pub(crate) clock: Clock,
    pub(crate) resolv_conf: Arc<Path>,
    pub(crate) api_ca: Option<Arc<RootCertStore>>,
}

/// Connections under way at once. A path that is dead holds each of its connections for a whole time-out, so this is
/// far above what a healthy network needs; half of what the process may open stays free for the responder.
const MOST_FLOWS: usize = 4_096;

/// Probes with sockets of their own that are under way at once where the network is quick: with more of them memory is
/// slower than the network.
const CROWD: usize = 64;
/// How long one waits for that. Where all is dead, sixteen begin in each such time.
const CROWD_WAIT: Duration = Duration::from_millis(1);

/// Sightings that are taken together.
const AT_ONCE: usize = 64;

/// Runs a plan; what is seen goes to `out` as it comes. Ends early when nobody listens to that.
pub(crate) async fn run_plan(
    plan: Plan,
    run: Run,
    means: Means,
    sending: Sending,
    out: mpsc::Sender<mesh_proto::Observation>,
) -> Summary {
    let watch = Watch::start(means.clock, &means.engine);
    let (seen, mut sightings) = mpsc::unbounded_channel();
    let (datagrams, streams): (Vec<_>, Vec<_>) = plan
        .probes
        .into_iter()
        .partition(|probe| matches!(probe.kind, ProbeKind::Icmp | ProbeKind::Udp | ProbeKind::PathMtu));
    means.engine.run(Job {
        key: run.key.clone(),
        own: run.own,
        agents: run.agents.clone(),
        pacing: plan.pacing,
        sending,
        probes: datagrams,
        seen: seen.clone(),
    });
    let streams = Streams {
        run: Arc::new(run),
        means,
        seen,
        pacing: plan.pacing,
        sending,
    }
    .run(streams);

    let mut times = Times::default();
    let gather = async {
        let mut some = Vec::new();
        while sightings.recv_many(&mut some, AT_ONCE).await > 0 {
            let starved = watch.is_serious();
            for mut seen in some.drain(..) {
                times.add(seen.kind, &seen.rtts);
                seen.observation.starved = starved;
                if out.send(seen.observation).await.is_err() {
                    sightings.close();
                    return;
                }
            }
        }
    };
    tokio::join!(streams, gather);
    Summary {
        starvation: watch.so_far(),
        rtt: times.summary(),
    }
}

/// The probes with sockets of their own.
struct Streams {
    run: Arc<Run>,
    means: Means,
    seen: mpsc::UnboundedSender<Seen>,
    pacing: Pacing,
    sending: Sending,
}

impl Streams {
    /// Starts each probe in its turn: evenly over the plan's spread, to the tick, as fast as the pacer lets flows out.
    async fn run(self, probes: Vec<PlannedProbe>) {
        let (clock, sending) = (self.means.clock, self.sending);
        let begin = clock.now();
        let mut pacer = Pacer::new(self.pacing, begin);
        let turns = Turns::new(self.pacing, probes.len(), begin, random());
        let tick = tick(self.pacing);
        let mut next = begin;
        let most = MOST_FLOWS.min(open_files() / 2).max(1);
        let places = Arc::new(Semaphore::new(most));
        let mut tasks = JoinSet::new();
        let mut crowd = CROWD;
        for (place, probe) in probes.into_iter().enumerate() {
            let start = turns.of(place);
            if start > next {
                next = next_tick(start, tick);
                tokio::time::sleep_until(clock.instant(next)).await;
            }
            for _ in 0..probe.flows {
                while !pacer.take(clock.now()) {
                    tokio::time::sleep_until(clock.instant(pacer.ready_at(clock.now()))).await;
                }
            }
            if tasks.len() >= crowd {
                let thinned = async { while tasks.len() >= CROWD && tasks.join_next().await.is_some() {} };
                // If that takes long the network is slow or dead, and more of it are looked at side by side.
                let _ = timeout(CROWD_WAIT, thinned).await;
                crowd = tasks.len().max(CROWD) + CROWD / 4;
            }
            // A probe of more flows than there are places takes them all.
            let wanted = u32::try_from(most.min(probe.flows.into())).unwrap_or(1);
            let Ok(taken) = places.clone().acquire_many_owned(wanted).await else {
                break;
            };
            if self.seen.is_closed() {
                break;
            }
            let (run, means, seen) = (self.run.clone(), self.means.clone(), self.seen.clone());
            tasks.spawn(async move {
                let attempts = attempts(&probe, &run, &means, sending).await;
                drop(taken);
                // Nobody listens any more: the plan was cut off.
                let _ = seen.send(observation(&probe, attempts));
            });
            // Finished tasks are taken away as they come, so that they do not add up over a long plan.
            while tasks.try_join_next().is_some() {}
        }
        drop(self.seen);
        while tasks.join_next().await.is_some() {}
    }
}

/// Tells one try from all others of this agent. The datagram engine has numbers of its own, from a random beginning; an
/// answer over TCP comes by the connection of its request, so that the two cannot be confused.
static NEXT_TOKEN: AtomicU64 = AtomicU64::new(0);

/// All flows of a probe, each on its own: they begin an interval apart, so that a small server's accept queue (five
/// places are usual) is not filled by a prober.
async fn attempts(probe: &PlannedProbe, run: &Run, means: &Means, sending: Sending) -> Vec<Attempt> {
    let question = match &probe.dns {
        Some(dns) if !dns.as_application => match Question::new(&dns.name, probe.address) {
            Ok(question) => Some(question),
            Err(why) => return vec![Attempt::untried(why)],
        },
        _ => None,
    };
    let interval = Duration::from_micros(probe.interval.0.into());
    if probe.flows == 1 {
        return vec![attempt(probe, question.as_ref(), run, means, sending).await];
    }
    let begin = means.clock.now();
    join_all((0..probe.flows).map(|flow| {
        let question = question.as_ref();
        async move {
            tokio::time::sleep_until(means.clock.instant(begin + interval * u32::from(flow))).await;
            attempt(probe, question, run, means, sending).await
        }
    }))
    .await
}

/// One flow.
async fn attempt(
    probe: &PlannedProbe,
    question: Option<&Question>,
    run: &Run,
    means: &Means,
    sending: Sending,
) -> Attempt {
    let way = Way {
        to: SocketAddr::new(probe.address, probe.port.0),
        source: sending.source,
    };
    let timeout = Duration::from_millis(probe.timeout.0.into());
    let clock = means.clock;
    let deadline: Moment = clock.now() + timeout;
    let instant = clock.instant(deadline);
    // Most cells are TCP: a task of theirs need not have the size of the others.
    match (probe.kind, question, &probe.dns) {
        (ProbeKind::Tls, ..) => Box::pin(tls::attempt(way, means.api_ca.clone(), clock, instant)).await,
        (ProbeKind::Tcp, ..) => tcp::attempt(way, partner(probe, run, sending), clock, instant).await,
        (ProbeKind::DnsUdp, Some(question), _) => {
            Box::pin(dns::over_udp(way, question, clock, deadline)).await
        }
        (ProbeKind::DnsTcp, Some(question), _) => {
            Box::pin(dns::over_tcp(way, question, clock, instant)).await
        }
        (ProbeKind::DnsUdp | ProbeKind::DnsTcp, None, Some(dns)) => {
            Box::pin(resolve::attempt(
                &means.resolv_conf,
                &dns.name,
                timeout,
                clock,
                instant,
            ))
            .await
        }
        (ProbeKind::DnsUdp | ProbeKind::DnsTcp, None, None) => {
            Attempt::untried("the plan has no name to ask for")
        }
        (ProbeKind::Icmp | ProbeKind::Udp | ProbeKind::PathMtu, ..) => {
            Attempt::untried("it is a probe of the datagram engine")
        }
    }
}

fn partner<'a>(probe: &PlannedProbe, run: &'a Run, sending: Sending) -> Partner<'a> {
    match probe.expect {
        Expect::Anyone => Partner::Anyone,
        Expect::Agent(index) => Partner::Agent {
            key: &run.key,
            request: Request {
                token: Token(NEXT_TOKEN.fetch_add(1, Ordering::Relaxed)),
                from: run.own,
                kind: probe.kind,
                uncounted: sending.uncounted,
            },
            expected: usize::try_from(index.0)
                .ok()
                .and_then(|index| run.agents.get(index)),
        },
    }
}

fn open_files() -> usize {
    mesh_net::raise_open_file_limit()
        .ok()
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(1_024)
}

/// Round-trip times of one plan, by kind.
#[derive(Default)]
struct Times(BTreeMap<ProbeKind, Histogram<u32>>);

impl Times {
    /// Two digits are enough to see a slow path, and keep a histogram at a few KiB.
    const DIGITS: u8 = 2;
    /// The highest time told apart, in microseconds; beyond it lies every time-out.
    const LONGEST: u64 = 60_000_000;

    fn add(&mut self, kind: ProbeKind, rtts: &[Micros]) {
        let histogram = match self.0.entry(kind) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                match Histogram::new_with_bounds(1, Self::LONGEST, Self::DIGITS) {
                    Ok(histogram) => entry.insert(histogram),
                    Err(_) => return,
                }
            }
        };
        for rtt in rtts {
            histogram.saturating_record(rtt.0.into());
        }
    }

    fn summary(&self) -> Vec<KindRtt> {
        let micros = |value: u64| Micros(u32::try_from(value).unwrap_or(u32::MAX));
        let filled = self.0.iter().filter(|(_, histogram)| !histogram.is_empty());
        let summary = filled.map(|(kind, histogram)| KindRtt {
            kind: *kind,
            count: histogram.len(),
            rtt: Rtt {
                min: micros(histogram.min()),
                p50: micros(histogram.value_at_quantile(0.5)),
                p99: micros(histogram.value_at_quantile(0.99)),
                max: micros(histogram.max()),
            },
        });
        summary.collect()
    }
}
