//! Changed cells by who probed whom: what changes between two ends mostly changes for every kind of probe.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_core::CellChange;
use mesh_proto::{Cell, CellFrom, CellState, NodeName, ProbeKind, Report, TargetKind};

use crate::render::{plain, some_of, source, why};

/// Changes of all cells between two ends, or between one and several that look alike.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    from: Vec<String>,
    to: Vec<String>,
    pub(super) cells: usize,
    pub(super) looks: Looks,
}

/// What became of the cells between two ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Looks {
    pub(super) probes: String,
    /// The worst state there was; `None` if none of the cells was planned.
    pub(super) before: Option<CellState>,
    /// The worst state that there is.
    pub(super) after: Option<CellState>,
    /// What stands against the worst cell, or stood against it.
    pub(super) why: String,
}

impl Pair {
    /// Who probed.
    pub(super) fn from(&self) -> String {
        named(&self.from)
    }

    /// What was probed.
    pub(super) fn to(&self) -> String {
        named(&self.to)
    }
}

fn named(ends: &[String]) -> String {
    const ENDS_NAMED: usize = 2;
    some_of(ends.iter().cloned(), ENDS_NAMED)
}

/// Who probed, and what: a node's plane, its NodePorts, a service.
type Ends<'r> = (&'r CellFrom, TargetKind, Option<&'r NodeName>);

/// A cell in any of both reports. Addresses and ports of agents differ from run to run; of several targets of one kind
/// on a node, one will do for the reason.
type Key<'r> = (Ends<'r>, ProbeKind, bool);

fn ends(cell: &Cell) -> Ends<'_> {
    (&cell.from, cell.to.kind, cell.to.node.as_ref())
}

fn key(cell: &Cell) -> Key<'_> {
    (ends(cell), cell.probe, cell.to.as_application)
}

/// Cells of the earlier report that were not well, to tell why they were not.
pub(super) struct Earlier<'r>(HashMap<Key<'r>, &'r Cell>);

impl<'r> Earlier<'r> {
    pub(super) fn of(report: &'r Report) -> Self {
        let mut cells: HashMap<Key<'r>, &'r Cell> = HashMap::new();
        for cell in report
            .cells
            .iter()
            .filter(|cell| rank(Some(cell.state)) > rank(None))
        {
            let worst = cells.entry(key(cell)).or_insert(cell);
            if rank(Some(cell.state)) > rank(Some(worst.state)) {
                *worst = cell;
            }
        }
        Self(cells)
    }
}

/// How much somebody should care.
fn rank(state: Option<CellState>) -> u8 {
    match state {
        None | Some(CellState::Reachable | CellState::Skipped) => 0,
        Some(CellState::Degraded) => 1,
        Some(CellState::Unknown) => 2,
        Some(CellState::Failed) => 3,
    }
}

/// The changes by pair, the worst and those of most cells first. What looks alike from many sides is one row.
pub(super) fn pairs(changes: &[&CellChange<'_>], earlier: &Earlier<'_>) -> Vec<Pair> {
    let mut by_ends: BTreeMap<Ends<'_>, Vec<&CellChange<'_>>> = BTreeMap::new();
    for change in changes {
        by_ends.entry(ends(change.cell)).or_default().push(change);
    }
    let pairs = by_ends
        .into_values()
        .filter_map(|changes| pair(&changes, earlier))
        .collect();
    let by_target = merged(pairs, |pair| &pair.to, |pair| &mut pair.from);
    let (alone, several): (Vec<Pair>, Vec<Pair>) =
        by_target.into_iter().partition(|pair| pair.from.len() == 1);
    let mut pairs = merged(alone, |pair| &pair.from, |pair| &mut pair.to);
    pairs.extend(several);
    pairs.sort_by_key(|pair| {
        let worst = rank(pair.looks.before).max(rank(pair.looks.after));
        (std::cmp::Reverse((worst, pair.cells)), pair.from.clone())
    });
    pairs
}

/// Puts together pairs that look alike and have one side in common.
fn merged(
    pairs: Vec<Pair>,
    common: impl Fn(&Pair) -> &Vec<String>,
    other: impl Fn(&mut Pair) -> &mut Vec<String>,
) -> Vec<Pair> {
    let mut rows: BTreeMap<(Vec<String>, Looks), Pair> = BTreeMap::new();
    for mut pair in pairs {
        let key = (common(&pair).clone(), pair.looks.clone());
        match rows.entry(key) {
            Entry::Vacant(free) => _ = free.insert(pair),
            Entry::Occupied(mut row) => {
                row.get_mut().cells += pair.cells;
                let ends = std::mem::take(other(&mut pair));
                other(row.get_mut()).extend(ends);
            }
        }
    }
    rows.into_values().collect()
}

fn pair(changes: &[&CellChange<'_>], earlier: &Earlier<'_>) -> Option<Pair> {
    let by_after = |change: &&&CellChange<'_>| (rank(change.after), rank(change.before));
    let worst = changes.iter().max_by_key(by_after)?;
    let worst_before = changes.iter().max_by_key(|change| rank(change.before))?;
    let probes: BTreeSet<ProbeKind> = changes.iter().map(|change| change.cell.probe).collect();
    let why = if rank(worst.after) > 0 && worst.after == Some(worst.cell.state) {
        why(worst.cell)
    } else {
        let was = earlier.0.get(&key(worst_before.cell)).map(|cell| why(cell));
        was.filter(|was| !was.is_empty())
            .map_or_else(String::new, |was| format!("before: {was}"))
    };
    Some(Pair {
        from: vec![source(worst.cell)],
        to: vec![target(worst.cell)],
        cells: changes.len(),
        looks: Looks {
            probes: probes
                .iter()
                .map(|probe| probe.name())
                .collect::<Vec<_>>()
                .join(" "),
            before: worst_before.before,
            after: worst.after,
            why,
        },
    })
}

/// What was probed, without addresses.
fn target(cell: &Cell) -> String {
    match (&cell.to.node, cell.to.kind) {
        (Some(node), kind @ (TargetKind::Pod | TargetKind::Host)) => {
            format!("{}/{kind}", plain(node.as_str()))
        }
        (Some(node), kind) => format!("{kind} of {}", plain(node.as_str())),
        (None, kind) => kind.to_string(),
    }
}
