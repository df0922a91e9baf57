//! `mesh serve`: looks that follow each other without an end, what they mean over time, and who is told.
//!
//! Tasks: the watch is one future, which owns the links; HTTP connections are tasks of the listener's `JoinSet`; the history
//! writes in a thread of its own. What the watch knows goes to all of them through one `watch` channel, which holds the
//! last state only: whoever is slow misses what was in between, and holds nobody up.

mod fingerprint;
mod http;
mod leadership;
mod look;
mod metrics;
mod minute;
mod page;
mod published;
mod record;
mod timeline;

pub(crate) use self::http::{Served, listen};
pub(crate) use self::leadership::{Leadership, Standing};
pub(crate) use self::look::{Beside, Looking, Watcher};
pub(crate) use self::metrics::Metrics;
pub(crate) use self::minute::{MinuteKey, MinuteRow};
pub(crate) use self::published::Published;
pub(crate) use self::record::{IncidentRecord, IncidentStateRecord, LookRecord, NodeNote, StatusRecord};
