//! The values of all metrics: a pure function of what was counted and of the last state.

use std::collections::BTreeMap;

use mesh_proto::{CellState, NodeName, Plane, PlaneState, Report, Severity, Verdict};

use super::table::{self, Metric};
use super::{Counted, LOOK_BOUNDS, RTT_BOUNDS};
use crate::render::place;
use crate::serve::Published;

/// A metric and its samples.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) metric: &'static Metric,
    pub(super) samples: Vec<(Labels, Value)>,
}

pub(super) type Labels = Vec<(&'static str, String)>;

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Gauge(f64),
    Counter(f64),
    Histogram {
        sum: f64,
        count: u64,
        /// By upper bound; each counts its own.
        buckets: Vec<(f64, u64)>,
    },
}

/// Pairs and findings with series of their own.
pub(super) const PAIRS_SHOWN: usize = 200;
pub(super) const FINDINGS_SHOWN: usize = 100;
/// A place with many nodes would make a label without end.
const LONGEST_PLACE: usize = 120;

pub(super) fn all(counted: &Counted, published: Option<&Published>, looks: bool) -> Vec<Series> {
    let mut all = of_counts(counted);
    all.push(gauge(table::LEADS, f64::from(u8::from(looks))));
    if let Some(published) = published {
        all.extend(of_state(published));
        all.extend(of_nodes(published));
        all.extend(of_pairs(&published.report));
        all.extend(of_findings(published));
    }
    all.extend(of_process());
    all
}

fn one(metric: &'static Metric, value: Value) -> Series {
    Series {
        metric,
        samples: vec![(Vec::new(), value)],
    }
}

fn gauge(metric: &'static Metric, value: f64) -> Series {
    one(metric, Value::Gauge(value))
}

/// Samples with one label.
fn by<L: ToString>(metric: &'static Metric, samples: impl IntoIterator<Item = (L, Value)>) -> Series {
    let label = metric.labels.first().copied().unwrap_or_default();
    Series {
        metric,
        samples: samples
            .into_iter()
            .map(|(of, value)| (vec![(label, of.to_string())], value))
            .collect(),
    }
}

fn notices(counted: &Counted) -> Series {
    let sample = |((outlet, is_told), count): (&(&'static str, bool), &u64)| {
        let outcome = if *is_told { "told" } else { "lost" };
        let labels = vec![("outlet", (*outlet).to_owned()), ("outcome", outcome.to_owned())];
        (labels, Value::Counter(*count as f64))
    };
    Series {
        metric: table::NOTICES,
        samples: counted.notices.iter().map(sample).collect(),
    }
}

fn of_counts(counted: &Counted) -> Vec<Series> {
    vec![
        by(
            table::OPENED,
            counted
                .opened
                .iter()
                .map(|(cause, count)| (cause, Value::Counter(*count as f64))),
        ),
        one(table::CLOSED, Value::Counter(counted.closed as f64)),
        notices(counted),
        by(
            table::RTT,
            counted
                .rtt
                .iter()
                .map(|(probe, buckets)| (probe, buckets.value(&RTT_BOUNDS))),
        ),
        by(
            table::LOOKS,
            counted
                .looks
                .iter()
                .map(|(depth, buckets)| (depth, buckets.value(&LOOK_BOUNDS))),
        ),
        gauge(table::HISTORY_BYTES, counted.history_bytes as f64),
        one(table::HISTORY_LOST, Value::Counter(counted.history_lost as f64)),
        gauge(table::PAGES, counted.pages_open as f64),
    ]
}

fn of_state(published: &Published) -> Vec<Series> {
    let status = &published.status;
    let verdicts = Verdict::ALL.iter().map(|verdict| {
        (
            verdict,
            Value::Gauge(f64::from(u8::from(*verdict == status.verdict))),
        )
    });
    let coverage = published.report.coverage;
    let counted = |state| {
        published
            .report
            .cells
            .iter()
            .filter(|cell| cell.state == state)
            .count() as f64
    };
    let (failed, degraded) = (counted(CellState::Failed), counted(CellState::Degraded));
    let cells = CellState::ALL.iter().map(|state| {
        let number = match state {
            // Reachable cells are not listed in large reports.
            CellState::Reachable => f64::from(coverage.observed) - failed - degraded,
            CellState::Degraded => degraded,
            CellState::Failed => failed,
            CellState::Unknown => f64::from(coverage.unknown),
            CellState::Skipped => f64::from(coverage.skipped),
        };
        (state, Value::Gauge(number))
    });
    vec![
        by(table::VERDICT, verdicts),
        gauge(table::DOUBT, f64::from(u8::from(status.doubt.is_some()))),
        gauge(table::NODES, status.nodes as f64),
        by(table::CELLS, cells),
        gauge(
            table::LAST_LOOK,
            status.last_look.finished.as_millisecond() as f64 / 1e3,
        ),
    ]
}

fn of_nodes(published: &Published) -> Vec<Series> {
    let report = &published.report;
    let (mut from, mut to) = (BTreeMap::new(), BTreeMap::new());
    for node in &report.nodes {
        from.insert(&node.name, 0_u32);
        to.insert(&node.name, 0_u32);
    }
    for cell in report.cells.iter().filter(|cell| cell.state == CellState::Failed) {
        from.entry(&cell.from.node).and_modify(|count| *count += 1);
        if let Some(node) = &cell.to.node {
            to.entry(node).and_modify(|count| *count += 1);
        }
    }
    let mut agents = Vec::new();
    for node in &report.nodes {
        for plane in Plane::ALL {
            let up = match node.planes.get(*plane).map(|record| record.state) {
                Some(PlaneState::Probed) => 1.0,
                Some(PlaneState::Absent) => 0.0,
                Some(PlaneState::Skipped) | None => continue,
            };
            let labels = vec![("node", node.name.to_string()), ("plane", plane.to_string())];
            agents.push((labels, Value::Gauge(up)));
        }
    }
    let count = |(node, count): (&NodeName, u32)| (node.to_string(), Value::Gauge(f64::from(count)));
    let excused = published.status.excused.iter();
    vec![
        Series {
            metric: table::AGENT,
            samples: agents,
        },
        by(
            table::EXCUSED,
            excused.map(|note| (&note.node, Value::Gauge(1.0))),
        ),
        by(table::FAILED_FROM, from.into_iter().map(count)),
        by(table::FAILED_TO, to.into_iter().map(count)),
    ]
}

fn of_pairs(report: &Report) -> Vec<Series> {
    let mut pairs: BTreeMap<(&NodeName, &NodeName), u32> = BTreeMap::new();
    for cell in report.cells.iter().filter(|cell| cell.state == CellState::Failed) {
        if let Some(to) = &cell.to.node {
            *pairs.entry((&cell.from.node, to)).or_default() += 1;
        }
    }
    let all = pairs.len();
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_by_key(|(pair, count)| (std::cmp::Reverse(*count), *pair));
    let samples = pairs.into_iter().take(PAIRS_SHOWN).map(|((from, to), count)| {
        let labels = vec![("from", from.to_string()), ("to", to.to_string())];
        (labels, Value::Gauge(f64::from(count)))
    });
    vec![
        Series {
            metric: table::PAIR,
            samples: samples.collect(),
        },
        gauge(table::PAIRS, all as f64),
        gauge(table::PAIRS_BEYOND, all.saturating_sub(PAIRS_SHOWN) as f64),
    ]
}

fn of_findings(published: &Published) -> Vec<Series> {
    let open = &published.status.incidents;
    let samples = open.iter().take(FINDINGS_SHOWN).map(|incident| {
        let finding = &incident.finding;
        let labels = vec![
            ("cause", finding.cause.to_string()),
            ("severity", finding.severity.to_string()),
            ("confidence", finding.confidence.to_string()),
            ("place", place(finding).chars().take(LONGEST_PLACE).collect()),
            ("incident", incident.id.to_string()),
        ];
        (labels, Value::Gauge(1.0))
    });
    let severities = Severity::ALL.iter().map(|severity| {
        let of = open
            .iter()
            .filter(|incident| incident.finding.severity == *severity);
        (severity, Value::Gauge(of.count() as f64))
    });
    vec![
        Series {
            metric: table::FINDING,
            samples: samples.collect(),
        },
        by(table::FINDINGS, severities),
        gauge(
            table::FINDINGS_BEYOND,
            open.len().saturating_sub(FINDINGS_SHOWN) as f64,
        ),
    ]
}

fn of_process() -> Vec<Series> {
    let mut all = vec![by(table::BUILD, [(mesh_proto::SOFTWARE, Value::Gauge(1.0))])];
    // What the kernel does not tell is left out, not made up.
    if let Some(bytes) = resident_bytes() {
        all.push(gauge(table::MEMORY, bytes as f64));
    }
    if let Some(seconds) = cpu_seconds() {
        all.push(one(table::CPU, Value::Counter(seconds)));
    }
    all
}

/// `VmRSS` of /proc/self/status (proc(5)), in KiB there.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// `utime` and `stime` of /proc/self/stat, the 14th and 15th field (proc(5)), in ticks of which Linux has 100 a second on every
/// architecture that programs see.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / 100.0)
}
