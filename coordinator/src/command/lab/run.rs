//! `mesh lab run`: raise, probe, report, take down.

use std::path::Path;

use clap::Args;
use mesh_lab::{Fault, Lab, LabError, LabOptions, Step};
use mesh_net::PrivateFolder;
use mesh_proto::Pacing;

use super::shape::ShapeArgs;
use crate::cli::ProbeArgs;
use crate::drive::{Interrupt, Progress, RunSecret, drive};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::ground;
use crate::link::LinkMeans;

/// Flags of `mesh lab run`.
#[derive(Debug, Args)]
pub(super) struct LabRunArgs {
    #[command(flatten)]
    shape: ShapeArgs,

    #[command(flatten)]
    probe: ProbeArgs,
}

/// Runs once in a lab of its own.
pub(super) fn run(args: &LabRunArgs) -> Result<ExitCode, Failure> {
    let (options, faults) = args.shape.options()?;
    let outputs = args.probe.output.open()?;
    super::become_able()?;
    let interrupt = crate::command::listen_for_signals()?;
    let progress = Progress::on_terminal();
    let secret = RunSecret::draw().map_err(Failure::could_not_run)?;
    let folder = PrivateFolder::create().map_err(|error| {
        Failure::could_not_run(
            anyhow::Error::new(error).context("cannot make a folder in memory for the agents' sockets"),
        )
    })?;
    let lab = match raise(&options, &faults, &folder.path(), &interrupt, &progress) {
        Ok(lab) => lab,
        Err(LabError::Interrupted) => {
            progress.finish();
            crate::cli::tell("interrupted while the lab was raised; it is gone again");
            return Ok(ExitCode::Interrupted);
        }
        Err(error) => return Err(super::failure(error)),
    };
    tracing::info!(nodes = lab.topology().nodes.len(), "the lab stands");
    let mut drive_options = args.probe.drive_options(LinkMeans::default());
    share_this_machine(&mut drive_options.plan.pacing, lab.topology().nodes.len());
    let drive = drive(
        ground::lab::raised(&lab),
        secret,
        &drive_options,
        interrupt,
        &progress,
    );
    let report = crate::command::runtime()?.block_on(drive);
    drop(lab);
    outputs.write(&report)?;
    Ok(ExitCode::of(&report))
}

/// All agents of a lab stand on one machine, and its cores carry every packet over every hop.
fn share_this_machine(pacing: &mut Pacing, nodes: usize) {
    /// What a core carries with ease, agents and servers included.
    const PACKETS_PER_SECOND: usize = 10_000;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = PACKETS_PER_SECOND * cores / (nodes * 2).max(1);
    let share = u32::try_from(share.max(20)).unwrap_or(u32::MAX);
    pacing.packets_per_second = pacing.packets_per_second.min(share);
    pacing.burst = pacing.burst.min(share / 20 + 1);
}

/// Raises a lab and does the faults to it.
pub(super) fn raise(
    options: &LabOptions,
    faults: &[Fault],
    folder: &Path,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Lab, LabError> {
    // This very binary, even if its file is replaced meanwhile.
    let mesh = Path::new("/proc/self/exe");
    let mut lab = Lab::raise(options, mesh, folder, |step| {
        progress.phase(match step {
            Step::Wiring(done, all) => format!("raising the lab: {done} of {all} nodes"),
            Step::Agents => "raising the lab: agents".to_owned(),
        });
        !interrupt.came()
    })?;
    for fault in faults {
        lab.inject(fault)?;
    }
    Ok(lab)
}
