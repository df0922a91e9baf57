//! The commands, one file each.

pub(crate) mod cleanup;
pub(crate) mod completion;
pub(crate) mod diff;
pub(crate) mod gate;
pub(crate) mod history;
pub(crate) mod image;
pub(crate) mod lab;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod version;

use crate::cli::Command;
use crate::drive::Interrupt;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Runs a command to its exit code.
pub(crate) fn execute(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Gate(args) => gate::gate(&args),
        Command::Serve(args) => serve::serve(&args),
        Command::Status(args) => status::status(&args),
        Command::History(args) => history::history(&args),
        Command::Lab(args) => lab::lab(args),
        Command::Probe(args) => probe::probe(args),
        Command::Image(args) => image::image(&args),
        Command::Cleanup(args) => cleanup::cleanup(&args),
        Command::Report(args) => report::report(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Completion(args) => completion::completion(&args),
        Command::Version(args) => version::version(&args),
    }
}

/// Ctrl-C and SIGTERM end a run in order from here on.
pub(crate) fn listen_for_signals() -> Result<Interrupt, Failure> {
    let interrupt = Interrupt::listen();
    interrupt.map_err(|error| {
        Failure::could_not_run(anyhow::Error::new(error).context("cannot listen for signals"))
    })
}

/// The runtime of a command: one thread is enough, since agents do the work and the coordinator waits.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| {
        Failure::could_not_run(anyhow::Error::new(error).context("cannot start the async runtime"))
    })
}
