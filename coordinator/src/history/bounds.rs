//! How much a history may hold.

use std::time::Duration;

/// Its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryBounds {
    /// What is older goes.
    pub(crate) age: Duration,
    /// Where it holds more bytes, the oldest goes first. The file is up to twice as large.
    pub(crate) bytes: u64,
}

impl Default for HistoryBounds {
    fn default() -> Self {
        Self {
            age: Duration::from_hours(30 * 24),
            bytes: 64 << 20,
        }
    }
}
