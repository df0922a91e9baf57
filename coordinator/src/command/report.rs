//! `mesh report`: a saved report in another form.

mod consistent;
pub(crate) mod saved;

use std::path::PathBuf;

use clap::Args;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::OutputArgs;

/// Flags of `mesh report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A report that was written with -o json=FILE or -o yaml=FILE; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    output: OutputArgs,
}

/// Renders it; the exit code is that of the run.
pub(crate) fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let report = saved::load(&args.file).map_err(Failure::usage)?;
    args.output.open()?.write(&report)?;
    Ok(ExitCode::of(&report))
}
