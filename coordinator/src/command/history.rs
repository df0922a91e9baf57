//! `mesh history`: the incidents that a running `mesh serve` remembers.

use std::fmt::Write;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::status::RecordFormat;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::render::{count, listing, place, plain};
use crate::serve::{IncidentRecord, IncidentStateRecord};
use crate::server_url::{ServerArgs, When};

/// Flags of `mesh history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    server: ServerArgs,

    /// Incidents that were there after this time, as in 2026-01-31T12:00:00Z, or so long ago, as in 24h [default: all that are kept]
    #[arg(long, value_name = "TIME")]
    since: Option<When>,

    /// How to show them
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = RecordFormat::Table)]
    output: RecordFormat,
}

#[derive(Debug, Serialize, Deserialize)]
struct IncidentsRecord {
    schema: String,
    incidents: Vec<IncidentRecord>,
}

/// Asks and shows.
pub(crate) fn history(args: &HistoryArgs) -> Result<ExitCode, Failure> {
    let path = match args.since {
        Some(When(since)) => format!("/api/v1/incidents?since={since}"),
        None => "/api/v1/incidents".to_owned(),
    };
    let asked = super::runtime()?.block_on(args.server.server.get::<IncidentsRecord>(&path));
    let record = asked.map_err(Failure::could_not_run)?;
    args.output.print(&record, |_| words(&record.incidents))?;
    Ok(ExitCode::Reachable)
}

fn words(incidents: &[IncidentRecord]) -> String {
    let mut out = String::new();
    let open = incidents
        .iter()
        .filter(|one| one.state == IncidentStateRecord::Open)
        .count();
    let _ = writeln!(out, "{}, {open} open.", count(incidents.len(), "incident"));
    if incidents.is_empty() {
        return out;
    }
    let row = |one: &IncidentRecord| {
        let until = match (one.closed, one.state) {
            (Some(closed), _) => format!("{closed:.0}"),
            (None, IncidentStateRecord::Open) => "open".to_owned(),
            (None, _) => "-".to_owned(),
        };
        [
            one.id.to_string(),
            format!("{:.0}", one.since),
            until,
            one.count.to_string(),
            one.finding.cause.to_string(),
            one.finding.confidence.to_string(),
            place(&one.finding),
            plain(&one.finding.summary),
        ]
    };
    let heads = ["ID", "SINCE", "UNTIL", "TIMES", "CAUSE", "SURE", "PLACE", "WHAT"];
    listing(&mut out, &heads, incidents.iter().map(row).collect());
    out
}
