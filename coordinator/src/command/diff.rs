//! `mesh diff`: two saved reports compared.

mod pairs;
mod record;
mod words;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mesh_core::diff;

use self::record::DiffRecord;
use super::report::saved;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use crate::render::Format;

/// Flags of `mesh diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The earlier report, JSON or YAML; - is stdin
    #[arg(value_name = "A")]
    before: PathBuf,

    /// The later report
    #[arg(value_name = "B")]
    after: PathBuf,

    /// How to show the difference
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = DiffFormat::Table)]
    output: DiffFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    /// In words
    Table,
    /// All of it, for programs
    Json,
    /// The same as YAML
    Yaml,
}

/// The exit codes of this command, for its help.
pub(crate) const EXIT_CODES: &str = "Exit codes:
    0  B is not worse than A
    1  something became worse: the verdict, a cell, or a finding that was not there before
    2  wrong usage: a flag, a file that is missing or malformed
    4  the difference cannot be written";

/// Compares.
pub(crate) fn run(args: &DiffArgs) -> Result<ExitCode, Failure> {
    if args.before == args.after && args.before.as_os_str() == "-" {
        return Err(Failure::usage(anyhow::anyhow!(
            "both reports would come from stdin: give at least one of them as a file"
        )));
    }
    let before = saved::load(&args.before).map_err(Failure::usage)?;
    let after = saved::load(&args.after).map_err(Failure::usage)?;
    let diff = diff(&before, &after);
    let shown = match args.output {
        DiffFormat::Table => print(Format::Table, |width, out| {
            out.write_all(words::words(&diff, &before, width).as_bytes())
        }),
        DiffFormat::Json => print(Format::Json, |_, out| {
            serde_json::to_writer_pretty(&mut *out, &DiffRecord::of(&diff))?;
            out.write_all(b"\n")
        }),
        DiffFormat::Yaml => print(Format::Yaml, |_, out| {
            let text = serde_saphyr::to_string(&DiffRecord::of(&diff)).map_err(std::io::Error::other)?;
            out.write_all(text.as_bytes())
        }),
    };
    shown.map_err(Failure::could_not_run)?;
    Ok(if diff.is_worse() {
        ExitCode::Unreachable
    } else {
        ExitCode::Reachable
    })
}

#[cfg(test)]
#[path = "diff/diff_tests.rs"]
mod tests;
