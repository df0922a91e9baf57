//! `mesh lab hold`: the process that a lab lives in. It ends by SIGTERM, and the lab with it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use mesh_lab::{Fault, Lab, LabError};

use super::shape::ShapeArgs;
use super::standing::{Folder, NameArg, Standing};
use crate::drive::Progress;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::ground;

/// What it says on stdout when the lab stands.
pub(super) const STANDS: &str = "stands";

/// Flags of `mesh lab hold`: those of `up`.
#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    /// Where the lab keeps its files
    #[arg(long)]
    folder: PathBuf,

    #[command(flatten)]
    _name: NameArg,

    #[command(flatten)]
    shape: ShapeArgs,
}

/// Holds a lab until told to end.
pub(super) fn hold(args: &HoldArgs) -> Result<ExitCode, Failure> {
    let (options, faults) = args.shape.options()?;
    let folder = Folder::at(&args.folder);
    let lock = folder.lock().and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(|source| {
        super::failure(LabError::Folder {
            path: args.folder.clone(),
            source,
        })
    })?;
    super::become_able()?;
    let mut interrupt = crate::command::listen_for_signals()?;
    let lab = super::run::raise(&options, &faults, folder.path(), &interrupt, &Progress::silent())
        .map_err(super::failure)?;
    write(&folder, &lab, &faults).map_err(super::failure)?;
    if let Err(error) = writeln!(std::io::stdout(), "{STANDS}") {
        // Whoever asked for the lab has gone, and will not take it down.
        drop(lab);
        let _ = folder.remove();
        return Err(Failure::could_not_run(
            anyhow::Error::new(error).context("nobody waits for the lab any more"),
        ));
    }
    // The end of stdout tells `up` that the lab stands, and lets it go.
    mesh_net::detach_output().map_err(|error| {
        Failure::could_not_run(anyhow::Error::new(error).context("cannot let go of the terminal"))
    })?;
    crate::command::runtime()?.block_on(interrupt.wait());
    drop(lab);
    // What is left is cleared by the next `up`.
    let _ = folder.remove();
    Ok(ExitCode::Reachable)
}

fn write(folder: &Folder, lab: &Lab, faults: &[Fault]) -> Result<(), LabError> {
    let to = |path: PathBuf, text: String| {
        fs::write(&path, text).map_err(|source| LabError::Folder { path, source })
    };
    let standing = Standing {
        pid: std::process::id(),
        namespaces: lab
            .namespaces()
            .map(|(space, path)| (space.name(lab.topology()), path))
            .collect(),
        faults: faults.iter().map(ToString::to_string).collect(),
    };
    let text = serde_json::to_string_pretty(&standing).unwrap_or_default();
    to(
        folder.inventory(),
        ground::lab::inventory(&ground::lab::raised(lab)),
    )?;
    to(folder.state(), text)
}
