//! `mesh status`: how things stand, asked of a running `mesh serve`.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use mesh_proto::Verdict;
use owo_colors::{OwoColorize, Style};

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use crate::render::{Format, count, finding_in_words, plain, wrap};
use crate::serve::StatusRecord;
use crate::server_url::{ServerArgs, ServerError};

/// Flags of `mesh status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = RecordFormat::Table)]
    output: RecordFormat,
}

/// How a record of the server's is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordFormat {
    /// In words
    Table,
    /// For programs
    Json,
    /// The same as YAML
    Yaml,
}

impl RecordFormat {
    /// Prints a record, or the words for it.
    pub(crate) fn print(
        self,
        record: &impl serde::Serialize,
        words: impl FnOnce(usize) -> String,
    ) -> Result<(), Failure> {
        let shown = match self {
            Self::Table => print(Format::Table, |width, out| out.write_all(words(width).as_bytes())),
            Self::Json => print(Format::Json, |_, out| {
                serde_json::to_writer_pretty(&mut *out, record)?;
                out.write_all(b"\n")
            }),
            Self::Yaml => print(Format::Yaml, |_, out| {
                let text = serde_saphyr::to_string(record).map_err(std::io::Error::other)?;
                out.write_all(text.as_bytes())
            }),
        };
        shown.map_err(Failure::could_not_run)
    }
}

/// Asks, shows, and exits by the verdict.
pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let asked = super::runtime()?.block_on(args.server.server.get::<StatusRecord>("/api/v1/status"));
    let status = match asked {
        // It is starting: that is an answer.
        Err(error @ ServerError::Status { status: 503, .. }) => {
            crate::cli::tell(error);
            return Ok(ExitCode::Unknown);
        }
        asked => asked.map_err(Failure::could_not_run)?,
    };
    args.output.print(&status, |width| words(&status, width))?;
    Ok(match status.verdict {
        Verdict::Reachable => ExitCode::Reachable,
        Verdict::Unreachable => ExitCode::Unreachable,
        Verdict::Unknown => ExitCode::Unknown,
    })
}

fn words(status: &StatusRecord, width: usize) -> String {
    let (word, style) = match status.verdict {
        Verdict::Reachable => ("REACHABLE", Style::new().green().bold()),
        Verdict::Unreachable => ("UNREACHABLE", Style::new().red().bold()),
        Verdict::Unknown => ("UNKNOWN", Style::new().magenta().bold()),
    };
    let look = &status.last_look;
    let sentence = format!(
        "{word}: {} of {} observed over {}, {}; last look ({}) at {:.0}.",
        status.coverage.observed,
        count(status.coverage.cells as usize, "cell"),
        count(status.nodes, "node"),
        count(status.incidents.len(), "open incident"),
        plain(&look.depth),
        look.finished
    );
    let mut text = String::new();
    wrap(&mut text, "", &sentence, width);
    let rest = text.strip_prefix(word).unwrap_or(&text);
    let mut out = format!("{}{rest}", word.style(style));
    for words in [&status.doubt, &status.roster, &status.lead]
        .into_iter()
        .flatten()
    {
        wrap(&mut out, "Note: ", words, width);
    }
    for note in &status.excused {
        wrap(
            &mut out,
            "Note: ",
            &format!("{} is not blamed: {}", note.node, note.why),
            width,
        );
    }
    for incident in &status.incidents {
        let times = if incident.flapping {
            format!(", flapping: opened {} times", incident.count)
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "\nIncident {} since {:.0}{times}",
            incident.id, incident.since
        );
        finding_in_words(&mut out, &incident.finding, false, width);
    }
    out
}
