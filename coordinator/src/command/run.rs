//! `mesh run`: one shot over a ground.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{ProbeArgs, TlsArgs};
use crate::drive::{Progress, drive};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::ground;
use crate::inventory::Inventory;

/// Flags of `mesh run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Use the agents that this file lists, which somebody else started; - is stdin
    #[arg(long, env = "MESH_INVENTORY", value_name = "FILE")]
    inventory: Option<PathBuf>,

    #[command(flatten)]
    probe: ProbeArgs,

    #[command(flatten)]
    tls: TlsArgs,
}

/// Runs once.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let Some(file) = &args.inventory else {
        return Err(Failure::could_not_run(anyhow::anyhow!(
            "this build of mesh cannot raise agents on a Kubernetes cluster yet: give --inventory FILE for agents that \
             already run, or try `mesh lab run`"
        )));
    };
    let tls = args.tls.load().map_err(Failure::usage)?;
    let inventory = Inventory::load(file).map_err(Failure::usage)?;
    let raised = ground::inventory::raise(inventory, tls.is_some()).map_err(|error| {
        Failure::usage(anyhow::Error::new(error).context(format!("the inventory {}", file.display())))
    })?;
    let outputs = args.probe.output.open()?;
    let options = args.probe.drive_options(tls);
    let interrupt = super::listen_for_signals()?;
    let progress = Progress::on_terminal();
    let drive = drive(raised, &options, interrupt, &progress);
    let report = super::runtime()?
        .block_on(drive)
        .map_err(Failure::could_not_run)?;
    outputs.write(&report)?;
    Ok(ExitCode::of(&report))
}
