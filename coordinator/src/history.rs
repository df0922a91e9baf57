//! The history of a `mesh serve`: incidents, a row per minute, node and kind of probe, and whole reports when they changed.
//! It is one file (redb: a B-tree with copy-on-write pages and two checksummed roots, so that a process may end at any
//! moment), bounded in age and size. Without a file it is in memory, and ends with the process.

mod bounds;
mod file;
mod store;
mod writer;

pub(crate) use self::bounds::HistoryBounds;
#[cfg(test)]
use self::file::HistoryError;
pub(crate) use self::file::open;
pub(crate) use self::store::{History, MOST_INCIDENTS, StoreError};
pub(crate) use self::writer::HistoryWriter;

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod tests;
