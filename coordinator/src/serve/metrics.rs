//! Metrics for Prometheus, in OpenMetrics text: one table says which there are, and docs/metrics.md is made from it. There
//! are as many series as nodes, times a small number; of pairs and findings only those that are ill, up to a bound, and how
//! many there are beyond it.

mod series;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_core::{Depth, IncidentChange};
use mesh_proto::{Cause, Plane, ProbeKind, Report};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use self::series::{Series, Value};
use self::table::Kind;
#[cfg(test)]
use self::table::METRICS;
use super::{Published, Standing};

/// What is counted, and the last state.
#[derive(Debug)]
pub(crate) struct Metrics {
    counted: Mutex<Counted>,
    state: watch::Receiver<Option<Arc<Published>>>,
    standing: watch::Receiver<Standing>,
}

/// Counts since the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    pub(super) looks: BTreeMap<&'static str, Buckets<LOOK_BUCKETS>>,
    pub(super) rtt: BTreeMap<ProbeKind, Buckets<RTT_BUCKETS>>,
    pub(super) opened: BTreeMap<Cause, u64>,
    pub(super) closed: u64,
    pub(super) history_lost: u64,
    pub(super) history_bytes: u64,
    pub(super) pages_open: i64,
    /// By outlet, and whether it took it.
    pub(super) notices: BTreeMap<(&'static str, bool), u64>,
}

const LOOK_BUCKETS: usize = 10;
/// Upper bounds in seconds.
pub(super) const LOOK_BOUNDS: [f64; LOOK_BUCKETS] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
const RTT_BUCKETS: usize = 15;
/// From 50 us, below which two machines hardly answer each other, to the seconds of a SYN that was sent again.
pub(super) const RTT_BOUNDS: [f64; RTT_BUCKETS] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0,
];

/// A histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets<const N: usize> {
    /// By upper bound, the last one without any.
    counts: [u64; N],
    beyond: u64,
    sum: f64,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self {
            counts: [0; N],
            beyond: 0,
            sum: 0.0,
        }
    }
}

impl<const N: usize> Buckets<N> {
    fn observe(&mut self, bounds: &[f64; N], value: f64) {
        self.sum += value;
        match bounds.iter().position(|bound| value <= *bound) {
            Some(slot) => self.counts[slot] += 1,
            None => self.beyond += 1,
        }
    }

    fn value(&self, bounds: &[f64; N]) -> Value {
        let mut buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(self.counts).collect();
        buckets.push((f64::INFINITY, self.beyond));
        Value::Histogram {
            sum: self.sum,
            count: self.counts.iter().sum::<u64>() + self.beyond,
            buckets,
        }
    }
}

impl Metrics {
    pub(crate) fn new(
        state: watch::Receiver<Option<Arc<Published>>>,
        standing: watch::Receiver<Standing>,
    ) -> Arc<Self> {
        Arc::new(Self {
            counted: Mutex::default(),
            state,
            standing,
        })
    }

    /// A look has ended.
    pub(super) fn looked(&self, depth: Depth, took: Duration, report: &Report) {
        self.with(|counted| {
            let name = match depth {
                Depth::Light => "light",
                Depth::Full => "full",
            };
            counted
                .looks
                .entry(name)
                .or_default()
                .observe(&LOOK_BOUNDS, took.as_secs_f64());
            for node in &report.nodes {
                let records = Plane::ALL.iter().filter_map(|plane| node.planes.get(*plane));
                for of in records.flat_map(|record| &record.rtt) {
                    let median = f64::from(of.rtt_us.p50) / 1e6;
                    counted
                        .rtt
                        .entry(of.probe)
                        .or_default()
                        .observe(&RTT_BOUNDS, median);
                }
            }
        });
    }

    /// Incidents come and go.
    pub(super) fn changed(&self, change: &IncidentChange) {
        self.with(|counted| match change {
            IncidentChange::Opened(incident) => {
                *counted.opened.entry(incident.finding.cause).or_default() += 1;
            }
            IncidentChange::Closed(_) => counted.closed += 1,
            IncidentChange::Renamed(_) => {}
        });
    }

    /// The history did not take something.
    pub(crate) fn history_lost(&self) {
        self.with(|counted| counted.history_lost += 1);
    }

    /// How much the history holds.
    pub(crate) fn history_holds(&self, bytes: u64) {
        self.with(|counted| counted.history_bytes = bytes);
    }

    /// An outlet was told of an incident, or was not.
    pub(super) fn notice(&self, outlet: &'static str, is_told: bool) {
        self.with(|counted| *counted.notices.entry((outlet, is_told)).or_default() += 1);
    }

    /// A page was opened, or closed.
    pub(super) fn page(&self, change: i64) {
        self.with(|counted| counted.pages_open += change);
    }

    fn with<T>(&self, work: impl FnOnce(&mut Counted) -> T) -> T {
        // Nothing in here panics half-way.
        work(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All of it as text, version 1.0.0 of OpenMetrics.
    pub(crate) fn text(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(self)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Gauge(value) => encoder.encode_gauge(value),
            Self::Counter(value) => encoder.encode_counter::<NoLabelSet, _, f64>(value, None),
            Self::Histogram { sum, count, buckets } => {
                encoder.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
            }
        }
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counted = self.with(|counted| counted.clone());
        let published = self.state.borrow().clone();
        for Series { metric, samples } in
            series::all(&counted, published.as_deref(), self.standing.borrow().looks())
        {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            for (labels, value) in samples {
                if labels.is_empty() {
                    value.encode(&mut family)?;
                } else {
                    value.encode(&mut family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
