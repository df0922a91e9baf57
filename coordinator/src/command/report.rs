//! `mesh report`: a saved report in another form.

mod consistent;
pub(crate) mod saved;

use std::path::PathBuf;

use clap::Args;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::OutputArgs;
use crate::server_url::{ServerArgs, When};

/// Flags of `mesh report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A report that was written with -o json=FILE or -o yaml=FILE; - is stdin
    #[arg(value_name = "FILE", required_unless_present = "at", conflicts_with = "at")]
    file: Option<PathBuf>,

    /// The report that a running `mesh serve` had at this time, as in 2026-01-31T12:00:00Z, or so long ago, as in 90m
    #[arg(long, value_name = "TIME")]
    at: Option<When>,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Renders it; the exit code is that of the run.
pub(crate) fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let report = match (&args.file, args.at) {
        (_, Some(When(at))) => {
            let path = format!("/api/v1/report?at={at}");
            let asked = super::runtime()?.block_on(args.server.server.get(&path));
            asked.map_err(Failure::could_not_run)?
        }
        (Some(file), None) => saved::load(file).map_err(Failure::usage)?,
        // The command line does not let it pass.
        (None, None) => {
            return Err(Failure::usage(anyhow::anyhow!(
                "which report? Give a FILE, or --at TIME"
            )));
        }
    };
    args.output.open()?.write(&report)?;
    Ok(ExitCode::of(&report))
}
