//! `mesh run`: one shot over the cluster of the current kubeconfig, or over an inventory.

mod cluster;

use std::path::{Path, PathBuf};

use clap::Args;

pub(super) use self::cluster::{ClusterArgs, on_cluster};
use crate::cli::{ProbeArgs, TlsArgs};
use crate::drive::{Progress, RunSecret, drive};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::ground;
use crate::inventory::Inventory;
use crate::link::LinkMeans;

/// Flags of `mesh run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Use the agents that this file lists, which somebody else started; - is stdin
    #[arg(long, env = "MESH_INVENTORY", value_name = "FILE")]
    inventory: Option<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    probe: ProbeArgs,

    #[command(flatten)]
    tls: TlsArgs,
}

/// Runs once.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    match &args.inventory {
        Some(file) => over_inventory(args, file),
        None => cluster::run(&args.cluster, &args.probe),
    }
}

fn over_inventory(args: &RunArgs, file: &Path) -> Result<ExitCode, Failure> {
    let tls = args.tls.load().map_err(Failure::usage)?;
    let inventory = Inventory::load(file).map_err(Failure::usage)?;
    let raised = ground::inventory::raise(inventory, tls.is_some()).map_err(|error| {
        Failure::usage(anyhow::Error::new(error).context(format!("the inventory {}", file.display())))
    })?;
    let outputs = args.probe.output.open()?;
    let options = args.probe.drive_options(LinkMeans {
        tls,
        ..LinkMeans::default()
    });
    let secret = RunSecret::draw().map_err(Failure::could_not_run)?;
    let interrupt = super::listen_for_signals()?;
    let progress = Progress::on_terminal();
    let drive = drive(raised, secret, &options, interrupt, &progress);
    let report = super::runtime()?.block_on(drive);
    outputs.write(&report)?;
    Ok(ExitCode::of(&report))
}
