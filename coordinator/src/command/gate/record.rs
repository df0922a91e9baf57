//! The decision for programs, schema `mesh.gate/v1`.

use mesh_core::Decision;
use mesh_proto::{Cell, Finding, Verdict};
use serde::Serialize;

/// The gate's answer.
#[derive(Debug, Serialize)]
pub(super) struct GateRecord<'d> {
    schema: &'static str,
    /// Whether the upgrade may go on.
    open: bool,
    verdict: Verdict,
    explanation: &'d str,
    looks: u32,
    waited_seconds: u64,
    /// How many cells block; `cells` lists a bounded number of them.
    blocking: usize,
    findings: &'d [Finding],
    cells: &'d [Cell],
}

impl<'d> GateRecord<'d> {
    pub(super) fn of(decision: &'d Decision) -> Self {
        Self {
            schema: "mesh.gate/v1",
            open: decision.verdict == Verdict::Reachable,
            verdict: decision.verdict,
            explanation: &decision.explanation,
            looks: decision.looks,
            waited_seconds: decision.waited.as_secs(),
            blocking: decision.blocking,
            findings: &decision.findings,
            cells: &decision.cells,
        }
    }
}
