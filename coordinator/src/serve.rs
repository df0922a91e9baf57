//! `mesh serve`: looks that follow each other without an end, what they mean over time, and who is told.
//!
//! Tasks: the watch is one future, which owns the links; HTTP connections are tasks of the listener's `JoinSet`; the history
//! writes in a thread of its own; a webhook, Events and conditions of nodes are tasks of the server's `JoinSet`. What the watch knows goes to all of them through one `watch` channel, which holds the
//! last state only: whoever is slow misses what was in between, and holds nobody up.

mod fingerprint;
mod http;
mod leadership;
mod look;
mod metrics;
mod minute;
mod notice;
mod page;
mod published;
mod record;
mod timeline;
mod to_cluster;
mod webhook;

pub(crate) use self::http::{Served, listen};
pub(crate) use self::leadership::{Leadership, Standing};
pub(crate) use self::look::{Beside, Looking, Told, Watcher};
pub(crate) use self::metrics::Metrics;
pub(crate) use self::minute::{MinuteKey, MinuteRow};
pub(crate) use self::notice::Outlet;
pub(crate) use self::published::Published;
pub(crate) use self::record::{IncidentRecord, IncidentStateRecord, LookRecord, NodeNote, StatusRecord};
pub(crate) use self::to_cluster::{EVENTS, NodesSeen, ToCluster, Wanted};
pub(crate) use self::webhook::{NAME as WEBHOOK, Tries, Webhook, WebhookUrl};
