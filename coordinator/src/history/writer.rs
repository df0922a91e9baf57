//! The thread that writes the history: a disk that takes its time must not hold up the looks.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use jiff::Timestamp;
use mesh_core::IncidentId;
use mesh_proto::Report;
use tokio::sync::oneshot;

use super::{History, HistoryBounds, StoreError};
use crate::failure::Failure;
use crate::serve::{IncidentRecord, Metrics, MinuteKey, MinuteRow};

/// What there is to write.
#[derive(Debug)]
enum Entry {
    Incident(Box<IncidentRecord>),
    Minute(i64, Vec<(MinuteKey, MinuteRow)>),
    Report(Timestamp, Arc<Report>),
    Watch(oneshot::Sender<Result<u64, StoreError>>),
}

/// The history takes nothing any more, or too much waits for it.
#[derive(Debug, thiserror::Error)]
#[error("the history does not answer")]
pub(crate) struct Busy;

/// Hands entries to the thread. Dropping it writes what is left, and waits for that.
#[derive(Debug)]
pub(crate) struct HistoryWriter {
    entries: Option<SyncSender<Entry>>,
    thread: Option<JoinHandle<()>>,
    metrics: Arc<Metrics>,
}

/// Entries that may wait for the disk: minutes of a bad day. Beyond it they are lost, and counted: looks go on.
const WAITING: usize = 256;

impl HistoryWriter {
    /// Starts the thread.
    pub(crate) fn start(
        history: History,
        bounds: HistoryBounds,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (entries, waiting) = sync_channel(WAITING);
        let of_thread = Arc::clone(&metrics);
        let thread = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || write_all(&history, bounds, &of_thread, &waiting))?;
        Ok(Self {
            entries: Some(entries),
            thread: Some(thread),
            metrics,
        })
    }

    pub(crate) fn incident(&self, incident: IncidentRecord) {
        self.put(Entry::Incident(Box::new(incident)));
    }

    pub(crate) fn minute(&self, minute: i64, rows: Vec<(MinuteKey, MinuteRow)>) {
        self.put(Entry::Minute(minute, rows));
    }

    pub(crate) fn report(&self, at: Timestamp, report: Arc<Report>) {
        self.put(Entry::Report(at, report));
    }

    /// A watch begins: what an earlier one, of this process or another, left open is closed, behind all that it wrote. What
    /// the first new incident is called.
    pub(crate) async fn begin_watch(&self) -> Result<IncidentId, Failure> {
        let (tell, told) = oneshot::channel();
        if !self.try_put(Entry::Watch(tell)) {
            return Err(Failure::could_not_run(Busy));
        }
        let first = told.await.map_err(|_| Failure::could_not_run(Busy))?;
        first.map(IncidentId).map_err(Failure::could_not_run)
    }

    fn put(&self, entry: Entry) {
        if !self.try_put(entry) {
            self.metrics.history_lost();
        }
    }

    fn try_put(&self, entry: Entry) -> bool {
        self.entries
            .as_ref()
            .is_some_and(|entries| entries.try_send(entry).is_ok())
    }
}

impl Drop for HistoryWriter {
    fn drop(&mut self) {
        drop(self.entries.take());
        if let Some(thread) = self.thread.take() {
            // It says itself what went wrong.
            let _ = thread.join();
        }
    }
}

fn write_all(history: &History, bounds: HistoryBounds, metrics: &Metrics, entries: &Receiver<Entry>) {
    let mut is_well = true;
    while let Ok(entry) = entries.recv() {
        match write(history, bounds, metrics, entry) {
            Ok(()) => is_well = true,
            Err(error) => {
                metrics.history_lost();
                // A full disk stays full for a while: it is said once.
                if std::mem::take(&mut is_well) {
                    crate::cli::tell(format_args!(
                        "the history does not take what is new: {error}; checking goes on"
                    ));
                }
            }
        }
    }
}

fn write(
    history: &History,
    bounds: HistoryBounds,
    metrics: &Metrics,
    entry: Entry,
) -> Result<(), StoreError> {
    match entry {
        Entry::Incident(incident) => history.put_incident(&incident),
        Entry::Report(at, report) => history.put_report(at, &report),
        Entry::Watch(tell) => {
            // Whoever asked may have ended meanwhile.
            let _ = tell.send(begin_watch(history));
            Ok(())
        }
        Entry::Minute(minute, rows) => {
            history.put_minute(minute, &rows)?;
            metrics.history_holds(history.make_room(bounds, Timestamp::now())?);
            Ok(())
        }
    }
}

fn begin_watch(history: &History) -> Result<u64, StoreError> {
    let orphans = history.close_orphans()?;
    if orphans > 0 {
        tracing::info!(orphans, "incidents that nobody watched any more are closed");
    }
    history.next_incident()
}
