//! `mesh lab down`: end the process that holds the lab.

use clap::Args;

use super::standing::{Folder, NameArg, not_standing};
use crate::command::version::print;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh lab down`.
#[derive(Debug, Args)]
pub(super) struct DownArgs {
    #[command(flatten)]
    name: NameArg,
}

/// Takes a lab down and waits until it is gone.
pub(super) fn down(args: &DownArgs) -> Result<ExitCode, Failure> {
    let folder = Folder::of(&args.name);
    let failed = |error: anyhow::Error| Failure::could_not_run(error.context("cannot take the lab down"));
    if !folder.is_there() {
        return Err(not_standing(&args.name));
    }
    let name = &args.name.name;
    let Some(standing) = folder.standing()? else {
        folder.remove().map_err(|error| failed(error.into()))?;
        let said = format!("No lab {name:?} stands; what one that was killed had left is removed.\n");
        return print(said.as_bytes());
    };
    let lock = folder.lock().map_err(|error| failed(error.into()))?;
    // It has the lock, so the number is still its own.
    mesh_net::terminate(standing.pid).map_err(|error| failed(error.into()))?;
    lock.lock().map_err(|error| failed(error.into()))?;
    let _ = folder.remove();
    print(format!("The lab {name:?} is gone.\n").as_bytes())
}
