//! mesh: finds out, by trying it, whether every node of a Kubernetes cluster can reach every other, and says where and
//! why not.

mod cli;
mod command;
mod drive;
mod exit_code;
mod failure;
mod ground;
mod inventory;
mod link;
mod output;
mod render;

use std::process::ExitCode;

/// Synchronous: `mesh lab` enters a user namespace, which the kernel allows to a process with one thread only. Each
/// command builds the runtime that it needs.
fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(cli) => {
            cli::log_to_stderr(cli.verbose);
            cli.command
        }
        Err(refused) => return refused.into(),
    };
    match command::execute(command) {
        Ok(code) => code.into(),
        Err(failure) => {
            cli::tell(format_args!("error: {failure}"));
            failure.code.into()
        }
    }
}
