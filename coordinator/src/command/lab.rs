//! `mesh lab`: a cluster-shaped network of namespaces on this machine, to see what mesh does, and what faults look like.

mod down;
mod exec;
mod expect;
mod explain;
mod faults;
mod hold;
mod run;
mod shape;
mod standing;
mod up;

use clap::{Args, Subcommand};
use mesh_lab::{FaultError, LabError};

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh lab`.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    command: LabCommand,
}

/// What can be done with a lab.
#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Raise a lab, probe everything once, report, take the lab down
    Run(run::LabRunArgs),
    /// Raise a lab and keep it
    Up(up::UpArgs),
    /// Run a command in a node or pod of a lab that stands
    Exec(exec::ExecArgs),
    /// List the faults that a lab can have
    Faults(faults::FaultsArgs),
    /// Say how a cause shows, what looks alike, and how to cure it
    Explain(explain::ExplainArgs),
    /// Say what a run should find in a lab with these faults (for benches)
    #[command(hide = true)]
    Expect(expect::ExpectArgs),
    /// Take down a lab that stands
    Down(down::DownArgs),
    /// Be the process that holds a lab (what `up` starts)
    #[command(hide = true)]
    Hold(hold::HoldArgs),
}

/// Does it.
pub(crate) fn lab(args: LabArgs) -> Result<ExitCode, Failure> {
    match args.command {
        LabCommand::Run(args) => run::run(&args),
        LabCommand::Up(args) => up::up(&args),
        LabCommand::Exec(args) => exec::exec(&args),
        LabCommand::Faults(args) => faults::faults(&args),
        LabCommand::Explain(args) => explain::explain(&args),
        LabCommand::Expect(args) => expect::expect(&args),
        LabCommand::Down(args) => down::down(&args),
        LabCommand::Hold(args) => hold::hold(&args),
    }
}

/// Gets what building networks takes: as root nothing, as an ordinary user a user namespace. Before any thread starts.
fn become_able() -> Result<(), Failure> {
    if mesh_net::may_make_networks() {
        return Ok(());
    }
    mesh_net::become_root_in_user_namespace().map_err(|error| {
        Failure::could_not_run(
            anyhow::Error::new(error).context("an ordinary user's lab needs a user namespace"),
        )
    })
}

/// What a lab's error means to the one who asked for it.
fn failure(error: LabError) -> Failure {
    match error {
        LabError::Options(_) | LabError::Fault(_) => Failure::usage(error),
        error => Failure::could_not_run(anyhow::Error::new(error).context("cannot raise the lab")),
    }
}

fn bad_fault(error: FaultError) -> Failure {
    Failure::usage(anyhow::Error::new(error).context("--fault"))
}
