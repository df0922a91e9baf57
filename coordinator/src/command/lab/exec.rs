//! `mesh lab exec`: a command in a node or pod.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use mesh_net::NetNamespace;

use super::standing::{Folder, NameArg, not_standing};
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh lab exec`.
#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    name: NameArg,

    /// NODE, NODE/pod (where the agent stands), NODE/dns, NODE/backend, or fabric (between the nodes)
    place: String,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the command; its exit code is what it says itself.
pub(super) fn exec(args: &ExecArgs) -> Result<ExitCode, Failure> {
    let standing = Folder::of(&args.name)
        .standing()?
        .ok_or_else(|| not_standing(&args.name))?;
    let Some(path) = standing.namespaces.get(&args.place) else {
        let places: Vec<&str> = standing.namespaces.keys().map(String::as_str).collect();
        let places = places.join(", ");
        return Err(Failure::usage(anyhow::anyhow!(
            "the lab has no place {:?}; it has {places}",
            args.place
        )));
    };
    let enter = || {
        mesh_net::join_user_namespace_of(standing.pid)?;
        NetNamespace::at(path)?.enter()
    };
    enter().map_err(|error| {
        Failure::could_not_run(anyhow::Error::new(error).context(format!("cannot enter {}", args.place)))
    })?;
    let mut words = args.command.iter();
    let program = words.next().cloned().unwrap_or_default();
    let error = Command::new(&program).args(words).exec();
    Err(Failure::could_not_run(
        anyhow::Error::new(error).context(format!("cannot run {}", program.display())),
    ))
}
