//! The first sentence of a report: true by itself, and enough at three in the morning.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::ExcusedIcmp;
use mesh_proto::{Cell, CellReason, CellState, Ground, NodeName, Plane, ProbeKind, Report, Verdict};

use super::plain::{count, plain, some_of};

/// The verdict in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Headline {
    /// One word, for the head of a page or a line.
    pub(super) word: &'static str,
    /// What the word alone would hide: warnings, a run that was cut short.
    pub(super) but: Vec<String>,
    /// What was found.
    pub(super) sentence: String,
    /// That the figures tell of a machine without CPU time rather than of a network.
    pub(super) starved: Option<String>,
}

impl Headline {
    pub(super) fn of(report: &Report) -> Self {
        let tally = Tally::of(report);
        let mut but = Vec::new();
        if report.interrupted {
            but.push("interrupted before all was observed".to_owned());
        }
        but.extend(time_up(report).map(|after| format!("stopped after {after} (--timeout)")));
        if report.verdict == Verdict::Reachable && tally.degraded + tally.icmp > 0 {
            but.push("with warnings".to_owned());
        }
        Self {
            word: match report.verdict {
                Verdict::Reachable => "REACHABLE",
                Verdict::Unreachable => "UNREACHABLE",
                Verdict::Unknown => "UNKNOWN",
            },
            but,
            sentence: sentence(report, tally),
            starved: starved(report),
        }
    }

    /// Word, qualification and sentence.
    pub(super) fn in_full(&self) -> String {
        format!("{}: {}", self.lead(), self.sentence)
    }

    /// The word and its qualification: `REACHABLE, with warnings`.
    pub(super) fn lead(&self) -> String {
        std::iter::once(self.word.to_owned())
            .chain(self.but.iter().cloned())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Cells by what became of them. Only those that are not reachable are counted from the list: above 64 nodes the others
/// are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    failed: usize,
    /// Lost ICMP where TCP and UDP pass: no failure, unless `--strict` makes it one.
    icmp: usize,
    degraded: usize,
    unknown: usize,
}

impl Tally {
    fn of(report: &Report) -> Self {
        let mut tally = Self {
            unknown: report.coverage.unknown as usize,
            ..Self::default()
        };
        let excused = ExcusedIcmp::of(report);
        for cell in &report.cells {
            match cell.state {
                CellState::Failed if excused.contains(cell) => tally.icmp += 1,
                CellState::Failed => tally.failed += 1,
                CellState::Degraded => tally.degraded += 1,
                CellState::Reachable | CellState::Unknown | CellState::Skipped => {}
            }
        }
        tally
    }
}

/// `1 is`, `2 are`.
fn are(number: usize) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

fn sentence(report: &Report, tally: Tally) -> String {
    let cells = report.coverage.cells as usize;
    let over = format!("over {}", count(report.nodes.len(), "node"));
    let of = |number: usize| format!("{number} of {} {over}", count(cells, "cell"));
    let clauses = match report.verdict {
        _ if cells == 0 => vec![format!("there was nothing to probe {over}")],
        Verdict::Reachable => well(tally, of).unwrap_or_else(|| {
            vec![match cells {
                1 => format!("the one cell {over} is reachable"),
                _ => format!("all {cells} cells {over} are reachable"),
            }]
        }),
        Verdict::Unreachable => broken(tally, report.strict, of),
        Verdict::Unknown => unseen(report, tally, of),
    };
    clauses.join("; ") + "."
}

/// Nothing failed, but there are warnings.
fn well(tally: Tally, of: impl Fn(usize) -> String) -> Option<Vec<String>> {
    let Tally { icmp, degraded, .. } = tally;
    match (icmp, degraded) {
        (0, 0) => None,
        (0, _) => Some(vec![
            format!("{} {} slow or lossy", of(degraded), are(degraded)),
            "all others are well".to_owned(),
        ]),
        (_, 0) => Some(vec![
            format!("ICMP fails in {}", of(icmp)),
            "TCP and UDP pass there".to_owned(),
        ]),
        _ => Some(vec![
            format!("ICMP fails in {}, where TCP and UDP pass", of(icmp)),
            format!("{degraded} more {} slow or lossy", are(degraded)),
        ]),
    }
}

fn broken(tally: Tally, strict: bool, of: impl Fn(usize) -> String) -> Vec<String> {
    let Tally {
        failed,
        icmp,
        degraded,
        unknown,
    } = tally;
    let mut clauses = Vec::new();
    // The first figure says of how many.
    let figure = |clauses: &[String], number: usize| match clauses {
        [] => of(number),
        _ => format!("{number} more"),
    };
    if failed > 0 {
        clauses.push(format!("{} failed", of(failed)));
    }
    if icmp > 0 {
        let figure = figure(&clauses, icmp);
        clauses.push(format!("ICMP fails in {figure}, where TCP and UDP pass"));
    }
    if degraded > 0 {
        let figure = figure(&clauses, degraded);
        clauses.push(format!("{figure} {} slow or lossy", are(degraded)));
    }
    if unknown > 0 {
        clauses.push(format!("{unknown} could not be checked"));
    }
    if strict && icmp + degraded > 0 {
        clauses.push("--strict counts slow or lossy cells and lost ICMP as failed".to_owned());
    }
    clauses
}

fn unseen(report: &Report, tally: Tally, of: impl Fn(usize) -> String) -> Vec<String> {
    let cells = report.coverage.cells as usize;
    let observed = report.coverage.observed as usize;
    if observed == 0 {
        let nodes = count(report.nodes.len(), "node");
        return vec![match cells {
            1 => format!("the one cell over {nodes} could not be checked"),
            _ => format!("none of the {cells} cells over {nodes} could be checked"),
        }];
    }
    let place = what_is_unknown(report).map_or_else(String::new, |place| format!(", all {place}"));
    let mut clauses = vec![format!("{} could not be checked{place}", of(tally.unknown))];
    let Tally { icmp, degraded, .. } = tally;
    if icmp > 0 {
        clauses.push(format!("ICMP fails in {icmp} others, where TCP and UDP pass"));
    }
    if degraded > 0 {
        clauses.push(format!(
            "{degraded} of the others {} slow or lossy",
            are(degraded)
        ));
    }
    if icmp + degraded == 0 {
        clauses.push(match observed {
            1 => "the other one is reachable".to_owned(),
            _ => format!("the other {observed} are reachable"),
        });
    }
    clauses
}

/// What the unknown cells have in common, if a few words say it.
fn what_is_unknown(report: &Report) -> Option<String> {
    const NODES_NAMED: usize = 3;
    let mut left: Vec<&Cell> = unknown(report).collect();
    let probes: BTreeSet<ProbeKind> = left.iter().map(|cell| cell.probe).collect();
    if let Some(probe) = probes.first().filter(|_| probes.len() == 1 && left.len() > 1) {
        return Some(format!("by {probe}"));
    }
    let mut named: Vec<&NodeName> = Vec::new();
    while !left.is_empty() {
        if named.len() == NODES_NAMED.min(report.nodes.len().saturating_sub(1)) {
            return None;
        }
        let mut touched: BTreeMap<&NodeName, usize> = BTreeMap::new();
        for cell in &left {
            let ends: BTreeSet<&NodeName> = ends(cell).collect();
            for node in ends {
                *touched.entry(node).or_default() += 1;
            }
        }
        // The first of equals, so that the words are the same each time.
        let (worst, _) = touched.into_iter().rev().max_by_key(|(_, number)| *number)?;
        left.retain(|cell| ends(cell).all(|node| node != worst));
        named.push(worst);
    }
    let listed: Vec<String> = named.iter().map(|node| plain(node.as_str())).collect();
    (!listed.is_empty()).then(|| format!("from or to {}", listed.join(", ")))
}

fn ends(cell: &Cell) -> impl Iterator<Item = &NodeName> {
    std::iter::once(&cell.from.node).chain(&cell.to.node)
}

fn unknown(report: &Report) -> impl Iterator<Item = &Cell> {
    let of = report.cells.iter();
    of.filter(|cell| cell.state == CellState::Unknown)
}

/// Cells that are unknown, and why, in words.
fn unknown_since(report: &Report) -> impl Iterator<Item = (&Cell, &str)> {
    unknown(report).filter_map(|cell| match &cell.reason {
        Some(CellReason::Words(words)) => Some((cell, words.as_str())),
        _ => None,
    })
}

/// The `--timeout` that ended the run, if one did.
fn time_up(report: &Report) -> Option<String> {
    let of_agents = report.nodes.iter().flat_map(|node| {
        let records = Plane::ALL.iter().filter_map(|plane| node.planes.get(*plane));
        records.filter_map(|record| record.why.as_deref())
    });
    let mut reasons = unknown_since(report).map(|(_, words)| words).chain(of_agents);
    reasons.find_map(|words| {
        let (_, after) = words.split_once("time was up after ")?;
        let (after, _) = after.split_once(" (--timeout)")?;
        Some(plain(after))
    })
}

/// Agents that had no CPU time: then much of what looks like a network is a machine.
fn starved(report: &Report) -> Option<String> {
    const AGENTS_NAMED: usize = 4;
    let mut agents: BTreeSet<String> = BTreeSet::new();
    let mut cells = 0;
    for (cell, words) in unknown_since(report) {
        let Some((who, _)) = words.split_once(" was starved of CPU") else {
            continue;
        };
        cells += 1;
        agents.insert(match who.strip_prefix("the agent ") {
            Some(agent) => plain(agent),
            None => format!("{}/{}", plain(cell.from.node.as_str()), cell.from.plane),
        });
    }
    if agents.is_empty() {
        return None;
    }
    let all: usize = report
        .nodes
        .iter()
        .map(|node| {
            Plane::ALL
                .iter()
                .filter(|plane| node.planes.get(**plane).is_some())
                .count()
        })
        .sum();
    let machine = match report.run.ground {
        Ground::Lab if agents.len() * 10 >= all => format!(
            "This machine is too slow for a lab of {}",
            count(report.nodes.len(), "node")
        ),
        _ => "Agents were too slow".to_owned(),
    };
    let number = agents.len();
    let names = some_of(agents.into_iter(), AGENTS_NAMED);
    let were = if number == 1 { "was" } else { "were" };
    Some(format!(
        "{machine}: {number} of {} {were} starved of CPU ({names}), so {} could not be checked, and others may look slow, \
         lossy or dead for that alone.",
        count(all, "agent"),
        count(cells, "cell"),
    ))
}

#[cfg(test)]
#[path = "headline_tests.rs"]
mod tests;
