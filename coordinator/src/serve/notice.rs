//! News of incidents, for whoever is told besides the page: Events of the cluster, a webhook. Each has a queue of its own, so
//! that one that is slow holds up neither the looks nor the others.

use std::sync::Arc;

use jiff::Timestamp;
use mesh_core::IncidentChange;
use tokio::sync::mpsc;

use super::{IncidentRecord, Metrics};

/// Something happened to an incident.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) what: NoticeKind,
    pub(crate) at: Timestamp,
    pub(crate) incident: IncidentRecord,
}

/// What.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeKind {
    Opened,
    Named,
    Closed,
}

impl NoticeKind {
    pub(crate) const fn of(change: &IncidentChange) -> Self {
        match change {
            IncidentChange::Opened(_) => Self::Opened,
            IncidentChange::Renamed(_) => Self::Named,
            IncidentChange::Closed(_) => Self::Closed,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Named => "named",
            Self::Closed => "closed",
        }
    }
}

/// One that is told.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    name: &'static str,
    queue: mpsc::Sender<Notice>,
}

/// Notices that may wait for one outlet. A bad hour has some dozens; beyond it they are lost, and counted.
const WAITING: usize = 256;

impl Outlet {
    /// With the end that takes the notices out.
    pub(crate) fn new(name: &'static str) -> (Self, mpsc::Receiver<Notice>) {
        let (queue, notices) = mpsc::channel(WAITING);
        (Self { name, queue }, notices)
    }

    pub(super) fn put(&self, notice: &Notice, metrics: &Arc<Metrics>) {
        if self.queue.try_send(notice.clone()).is_err() {
            metrics.notice(self.name, false);
        }
    }
}
