//! mesh: finds out, by trying it, whether every node of a Kubernetes cluster can reach every other, and says where and
//! why not.

mod cli;
mod command;
mod drive;
mod exit_code;
mod failure;
mod ground;
mod history;
mod image;
mod input_file;
mod inventory;
mod link;
mod output;
mod render;
mod serve;
mod server_url;

use std::process::ExitCode;

use crate::failure::Failure;

/// Synchronous: `mesh lab` enters a user namespace, which the kernel allows to a process with one thread only. Each
/// command builds the runtime that it needs.
fn main() -> ExitCode {
    // Without it a file that grows too large ends the process without a word, and leaves half of it behind. It cannot
    // fail; if it did, all else would still work.
    let _ = mesh_net::survive_file_size_limit();
    let command = match cli::parse(std::env::args_os()) {
        Ok(cli) => match cli::log_to_stderr(cli.verbose) {
            Ok(()) => cli.command,
            Err(error) => return failed(&Failure::usage(error)),
        },
        Err(refused) => return refused.into(),
    };
    match command::execute(command) {
        Ok(code) => code.into(),
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    cli::tell(format_args!("error: {failure}"));
    failure.code.into()
}
