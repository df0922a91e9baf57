//! The thread that writes the history: a disk that takes its time must not hold up the looks.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use jiff::Timestamp;
use mesh_proto::Report;

use super::{History, HistoryBounds, StoreError};
use crate::serve::{IncidentRecord, Metrics, MinuteKey, MinuteRow};

/// What there is to write.
#[derive(Debug)]
enum Entry {
    Incident(Box<IncidentRecord>),
    Minute(i64, Vec<(MinuteKey, MinuteRow)>),
    Report(Timestamp, Arc<Report>),
}

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

    fn put(&self, entry: Entry) {
        let taken = self
            .entries
            .as_ref()
            .is_some_and(|entries| entries.try_send(entry).is_ok());
        if !taken {
            self.metrics.history_lost();
        }
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
        Entry::Minute(minute, rows) => {
            history.put_minute(minute, &rows)?;
            metrics.history_holds(history.make_room(bounds, Timestamp::now())?);
            Ok(())
        }
    }
}
