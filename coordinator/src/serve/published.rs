//! What is known after a look, for all who ask.

use std::sync::{Arc, OnceLock};

use mesh_proto::Report;

use super::record::StatusRecord;

/// The state after a look; it never changes.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) status: StatusRecord,
    /// The look that says most of what is now: the last whole one while something is wrong, else the last.
    pub(crate) report: Arc<Report>,
    /// The same number as long as there is nothing new to be seen.
    pub(crate) fingerprint: u64,
    /// The report's JSON, written once for all who want it.
    json: OnceLock<Arc<[u8]>>,
}

impl Published {
    pub(crate) fn new(status: StatusRecord, report: Arc<Report>) -> Self {
        Self {
            fingerprint: super::fingerprint::of(&status, &report),
            status,
            report,
            json: OnceLock::new(),
        }
    }

    /// The report as JSON.
    pub(crate) fn json(&self) -> Arc<[u8]> {
        let write = || serde_json::to_vec(&*self.report).unwrap_or_default().into();
        Arc::clone(self.json.get_or_init(write))
    }
}
