//! What the history holds, and how it is asked.

use std::io::Read;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use mesh_proto::Report;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::HistoryBounds;
use crate::serve::{IncidentRecord, IncidentStateRecord, MinuteKey, MinuteRow};

/// By number.
const INCIDENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("incidents");
/// By minute since 1970, node and kind: looks, failed, degraded, unknown, median and 99th percentile.
const MINUTES: TableDefinition<'_, MinuteKeyStored<'static>, MinuteStored> = TableDefinition::new("minutes");
/// The order of a minute's key, and of its row.
type MinuteKeyStored<'k> = (i64, &'k str, &'k str);
type MinuteStored = (u32, u32, u32, u32, u32, u32);
/// By milliseconds since 1970: JSON, compressed.
const REPORTS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("reports");

/// A history that is open. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct History(Arc<Database>);

/// What it does not take or give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the history's file: {0}")]
    Redb(#[from] Box<redb::Error>),
    #[error("an entry of the history is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("an entry of the history cannot be packed or unpacked: {0}")]
    Pack(#[from] std::io::Error),
}

impl StoreError {
    pub(super) fn is_corruption(&self) -> bool {
        match self {
            Self::Redb(error) => matches!(
                **error,
                redb::Error::Corrupted(_)
                    | redb::Error::TableTypeMismatch { .. }
                    | redb::Error::TypeDefinitionChanged { .. }
            ),
            Self::Json(_) | Self::Pack(_) => true,
        }
    }
}

/// Any of redb's errors.
fn of_redb(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Redb(Box::new(error.into()))
}

/// A packed report is never larger; what is, is not what was written.
const LARGEST: u64 = 1 << 30;
/// How many entries one step of making room takes away.
const AT_ONCE: usize = 512;

/// One entry for each of these is given at the most.
pub(crate) const MOST_INCIDENTS: usize = 1000;

impl History {
    /// Makes the tables.
    pub(super) fn over(database: Database) -> Result<Self, StoreError> {
        let writing = database.begin_write().map_err(of_redb)?;
        writing.open_table(INCIDENTS).map_err(of_redb)?;
        writing.open_table(MINUTES).map_err(of_redb)?;
        writing.open_table(REPORTS).map_err(of_redb)?;
        writing.commit().map_err(of_redb)?;
        Ok(Self(Arc::new(database)))
    }

    /// Writes an incident, or writes it anew. It is on the disk when this returns.
    pub(crate) fn put_incident(&self, incident: &IncidentRecord) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(incident)?;
        let writing = self.0.begin_write().map_err(of_redb)?;
        {
            let mut table = writing.open_table(INCIDENTS).map_err(of_redb)?;
            table.insert(incident.id, bytes.as_slice()).map_err(of_redb)?;
        }
        writing.commit().map_err(of_redb)
    }

    /// Writes a minute.
    pub(crate) fn put_minute(&self, minute: i64, rows: &[(MinuteKey, MinuteRow)]) -> Result<(), StoreError> {
        let writing = self.0.begin_write().map_err(of_redb)?;
        {
            let mut table = writing.open_table(MINUTES).map_err(of_redb)?;
            for ((node, probe), row) in rows {
                let value = (
                    row.looks,
                    row.failed,
                    row.degraded,
                    row.unknown,
                    row.rtt_p50,
                    row.rtt_p99,
                );
                table
                    .insert((minute, node.as_str(), probe.name()), value)
                    .map_err(of_redb)?;
            }
        }
        writing.commit().map_err(of_redb)
    }

    /// Writes a report.
    pub(crate) fn put_report(&self, at: Timestamp, report: &Report) -> Result<(), StoreError> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        serde_json::to_writer(&mut packed, report)?;
        let packed = packed.finish()?;
        let writing = self.0.begin_write().map_err(of_redb)?;
        {
            let mut table = writing.open_table(REPORTS).map_err(of_redb)?;
            table
                .insert(at.as_millisecond(), packed.as_slice())
                .map_err(of_redb)?;
        }
        writing.commit().map_err(of_redb)
    }

    /// The latest incidents that were there after `since`, the newest first, `most` at the most.
    pub(crate) fn incidents(&self, since: Timestamp, most: usize) -> Result<Vec<IncidentRecord>, StoreError> {
        let reading = self.0.begin_read().map_err(of_redb)?;
        let table = reading.open_table(INCIDENTS).map_err(of_redb)?;
        let mut found = Vec::new();
        for entry in table.iter().map_err(of_redb)?.rev() {
            let (_, bytes) = entry.map_err(of_redb)?;
            let incident: IncidentRecord = serde_json::from_slice(bytes.value())?;
            if incident.closed.is_none_or(|closed| closed >= since) {
                found.push(incident);
            }
            if found.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    /// The number of the next incident.
    pub(crate) fn next_incident(&self) -> Result<u64, StoreError> {
        let reading = self.0.begin_read().map_err(of_redb)?;
        let table = reading.open_table(INCIDENTS).map_err(of_redb)?;
        let last = table.last().map_err(of_redb)?;
        Ok(last.map_or(1, |(number, _)| number.value().saturating_add(1)))
    }

    /// Ends those that are open in it: whoever watched them is gone. How many.
    pub(crate) fn close_orphans(&self) -> Result<usize, StoreError> {
        let orphans = self.incidents(Timestamp::MIN, usize::MAX)?;
        let mut count = 0;
        for mut orphan in orphans
            .into_iter()
            .filter(|one| one.state != IncidentStateRecord::Closed)
        {
            orphan.state = IncidentStateRecord::Closed;
            orphan.closed = Some(orphan.seen);
            orphan.why_closed = Some("mesh serve ended, or let another lead, while it was open".to_owned());
            self.put_incident(&orphan)?;
            count += 1;
        }
        Ok(count)
    }

    /// The report that stood at a time: the last one written before, or at, it.
    pub(crate) fn report_at(&self, at: Timestamp) -> Result<Option<(Timestamp, Report)>, StoreError> {
        let reading = self.0.begin_read().map_err(of_redb)?;
        let table = reading.open_table(REPORTS).map_err(of_redb)?;
        let Some(entry) = table.range(..=at.as_millisecond()).map_err(of_redb)?.next_back() else {
            return Ok(None);
        };
        let (then, bytes) = entry.map_err(of_redb)?;
        let mut json = Vec::new();
        GzDecoder::new(bytes.value())
            .take(LARGEST)
            .read_to_end(&mut json)?;
        let then = Timestamp::from_millisecond(then.value()).unwrap_or(at);
        Ok(Some((then, serde_json::from_slice(&json)?)))
    }

    /// The rows of a span of minutes, `most` at the most.
    pub(crate) fn minutes(
        &self,
        from: i64,
        to: i64,
        most: usize,
    ) -> Result<Vec<(i64, String, String, MinuteRow)>, StoreError> {
        let reading = self.0.begin_read().map_err(of_redb)?;
        let table = reading.open_table(MINUTES).map_err(of_redb)?;
        let mut rows = Vec::new();
        for entry in table
            .range((from, "", "")..(to, "", ""))
            .map_err(of_redb)?
            .take(most)
        {
            let (key, value) = entry.map_err(of_redb)?;
            let (minute, node, probe) = key.value();
            let (looks, failed, degraded, unknown, rtt_p50, rtt_p99) = value.value();
            let row = MinuteRow {
                looks,
                failed,
                degraded,
                unknown,
                rtt_p50,
                rtt_p99,
            };
            rows.push((minute, node.to_owned(), probe.to_owned(), row));
        }
        Ok(rows)
    }

    /// Bytes of what it holds.
    pub(crate) fn bytes(&self) -> Result<u64, StoreError> {
        let reading = self.0.begin_read().map_err(of_redb)?;
        let incidents = reading.open_table(INCIDENTS).map_err(of_redb)?;
        let minutes = reading.open_table(MINUTES).map_err(of_redb)?;
        let reports = reading.open_table(REPORTS).map_err(of_redb)?;
        let stats = [
            incidents.stats().map_err(of_redb)?,
            minutes.stats().map_err(of_redb)?,
            reports.stats().map_err(of_redb)?,
        ];
        Ok(stats
            .iter()
            .map(|stats| stats.stored_bytes() + stats.metadata_bytes())
            .sum())
    }

    /// Takes away what is too old, then the oldest until the rest is small enough. What it holds then.
    pub(crate) fn make_room(&self, bounds: HistoryBounds, now: Timestamp) -> Result<u64, StoreError> {
        let oldest = now.saturating_sub(bounds.age).unwrap_or(Timestamp::MIN);
        self.drop_until(oldest)?;
        let mut bytes = self.bytes()?;
        while bytes > bounds.bytes {
            if self.drop_oldest()? == 0 {
                break;
            }
            bytes = self.bytes()?;
        }
        Ok(bytes)
    }

    fn drop_until(&self, oldest: Timestamp) -> Result<(), StoreError> {
        let writing = self.0.begin_write().map_err(of_redb)?;
        {
            let mut minutes = writing.open_table(MINUTES).map_err(of_redb)?;
            let end = (oldest.as_second().div_euclid(60), "", "");
            minutes.retain_in(..end, |_, _| false).map_err(of_redb)?;
            let mut reports = writing.open_table(REPORTS).map_err(of_redb)?;
            reports
                .retain_in(..oldest.as_millisecond(), |_, _| false)
                .map_err(of_redb)?;
            let mut incidents = writing.open_table(INCIDENTS).map_err(of_redb)?;
            // The last one stays: numbers go on from it.
            let last = incidents
                .last()
                .map_err(of_redb)?
                .map(|(number, _)| number.value());
            let is_young = |bytes: &[u8]| {
                serde_json::from_slice::<IncidentRecord>(bytes)
                    .is_ok_and(|incident| incident.closed.is_none_or(|closed| closed >= oldest))
            };
            incidents
                .retain(|number, bytes| Some(number) == last || is_young(bytes))
                .map_err(of_redb)?;
        }
        writing.commit().map_err(of_redb)
    }

    /// Takes some of the oldest of what there is most of; how many.
    fn drop_oldest(&self) -> Result<usize, StoreError> {
        let writing = self.0.begin_write().map_err(of_redb)?;
        let dropped = {
            let mut minutes = writing.open_table(MINUTES).map_err(of_redb)?;
            let mut reports = writing.open_table(REPORTS).map_err(of_redb)?;
            let mut incidents = writing.open_table(INCIDENTS).map_err(of_redb)?;
            let of_minutes = minutes.stats().map_err(of_redb)?.stored_bytes();
            let of_reports = reports.stats().map_err(of_redb)?.stored_bytes();
            let mut dropped = 0;
            // Incidents are worth most, and last.
            if of_reports >= of_minutes && of_reports > 0 {
                // A report is as large as hundreds of rows.
                for _ in 0..(AT_ONCE / 64) {
                    dropped += usize::from(reports.pop_first().map_err(of_redb)?.is_some());
                }
            } else if of_minutes > 0 {
                for _ in 0..AT_ONCE {
                    dropped += usize::from(minutes.pop_first().map_err(of_redb)?.is_some());
                }
            } else {
                for _ in 0..AT_ONCE / 8 {
                    dropped += usize::from(incidents.pop_first().map_err(of_redb)?.is_some());
                }
            }
            dropped
        };
        writing.commit().map_err(of_redb)?;
        Ok(dropped)
    }
}
