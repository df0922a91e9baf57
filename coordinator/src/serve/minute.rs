//! What a minute brought, for each node and kind of probe.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh_proto::{CellState, NodeName, Plane, ProbeKind, Report};

/// Whose minute: the node that probed, and how.
pub(crate) type MinuteKey = (NodeName, ProbeKind);

/// A node's minute, of one kind of probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MinuteRow {
    /// Looks since it first took part in one.
    pub(crate) looks: u32,
    /// Cells of all these looks that failed, were degraded, or were unknown.
    pub(crate) failed: u32,
    pub(crate) degraded: u32,
    pub(crate) unknown: u32,
    /// The mean of the looks' medians, in microseconds; 0 if nothing was answered.
    pub(crate) rtt_p50: u32,
    /// The worst of the looks' 99th percentiles.
    pub(crate) rtt_p99: u32,
}

/// Gathers looks until a minute is over.
#[derive(Debug, Default)]
pub(crate) struct Minutes {
    /// Minutes since 1970.
    minute: i64,
    rows: BTreeMap<MinuteKey, Gathered>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Gathered {
    row: MinuteRow,
    medians: u64,
    answered: u32,
}

impl Minutes {
    /// Takes a look in; the minute before, if this is the first look after it.
    pub(crate) fn handle_look(
        &mut self,
        report: &Report,
        now: Timestamp,
    ) -> Option<(i64, Vec<(MinuteKey, MinuteRow)>)> {
        let minute = now.as_second().div_euclid(60);
        let over = (minute != self.minute && !self.rows.is_empty()).then(|| (self.minute, self.take()));
        self.minute = minute;
        for node in &report.nodes {
            let records = Plane::ALL.iter().filter_map(|plane| node.planes.get(*plane));
            for of in records.flat_map(|record| &record.rtt) {
                let gathered = self.rows.entry((node.name.clone(), of.probe)).or_default();
                gathered.medians += u64::from(of.rtt_us.p50);
                gathered.answered += 1;
                gathered.row.rtt_p99 = gathered.row.rtt_p99.max(of.rtt_us.p99);
            }
        }
        for cell in &report.cells {
            let count = match cell.state {
                CellState::Failed => |row: &mut MinuteRow| row.failed += 1,
                CellState::Degraded => |row: &mut MinuteRow| row.degraded += 1,
                CellState::Unknown => |row: &mut MinuteRow| row.unknown += 1,
                CellState::Reachable | CellState::Skipped => continue,
            };
            let key = (cell.from.node.clone(), cell.probe);
            count(&mut self.rows.entry(key).or_default().row);
        }
        for gathered in self.rows.values_mut() {
            gathered.row.looks += 1;
        }
        over
    }

    fn take(&mut self) -> Vec<(MinuteKey, MinuteRow)> {
        let rows = std::mem::take(&mut self.rows);
        let row = |gathered: Gathered| MinuteRow {
            rtt_p50: u32::try_from(gathered.medians / u64::from(gathered.answered.max(1)))
                .unwrap_or(u32::MAX),
            ..gathered.row
        };
        rows.into_iter()
            .map(|(key, gathered)| (key, row(gathered)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mesh_proto::{ProbeKind, Report};
    use serde_json::json;

    use super::{MinuteRow, Minutes};

    fn look(state: &str, p50: u32) -> Report {
        serde_json::from_value(json!({
            "schema": "mesh.report/v1", "verdict": "unknown", "nodes": [{"name": "a", "planes": {"pod": {"state": "probed",
            "rtt": [{"probe": "tcp", "count": 3, "rtt_us": {"min": 1, "p50": p50, "p99": p50 * 2, "max": p50 * 3}}]}}}],
            "run": {"id": "r", "ground": "lab", "started": "", "finished": "", "version": "0"},
            "cells": [{"from": {"node": "a", "plane": "pod"}, "probe": "tcp", "state": state,
                "to": {"kind": "pod", "node": "b", "address": "10.0.0.1", "port": 0},
                "sent": 1, "received": 0, "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}}],
            "coverage": {"cells": 9, "observed": 9, "unknown": 0, "skipped": 0}, "findings": [], "unexplained": 0
        }))
        .unwrap()
    }

    #[test]
    fn a_minute_is_told_of_once_it_is_over() {
        let at = |second: i64| Timestamp::from_second(1_200_000_000 + second).unwrap();
        let mut minutes = Minutes::default();
        assert_eq!(minutes.handle_look(&look("reachable", 100), at(1)), None);
        assert_eq!(minutes.handle_look(&look("failed", 300), at(59)), None);
        let (minute, rows) = minutes.handle_look(&look("degraded", 7), at(60)).unwrap();
        assert_eq!(minute, 20_000_000);
        let row = MinuteRow {
            looks: 2,
            failed: 1,
            degraded: 0,
            unknown: 0,
            rtt_p50: 200,
            rtt_p99: 600,
        };
        assert_eq!(rows, [(("a".parse().unwrap(), ProbeKind::Tcp), row)]);
        // A pause of many minutes, and the next begins anew.
        let (_, rows) = minutes.handle_look(&look("reachable", 1), at(6000)).unwrap();
        assert_eq!((rows[0].1.looks, rows[0].1.degraded), (1, 1));
    }
}
