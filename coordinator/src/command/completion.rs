//! `mesh completion`.

use clap::Args;
use clap_complete::Shell;

use super::version::print;
use crate::cli::command_line;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a completion script.
pub(crate) fn completion(args: &CompletionArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command_line(None), "mesh", &mut script);
    print(&script)
}
