//! `mesh lab up`: start the process that holds the lab, and wait until it stands.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use clap::Args;

use super::shape::ShapeArgs;
use super::standing::{Folder, NameArg};
use crate::command::version::print;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh lab up`.
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    name: NameArg,

    #[command(flatten)]
    shape: ShapeArgs,
}

/// Raises a lab that stays.
pub(super) fn up(args: &UpArgs) -> Result<ExitCode, Failure> {
    // Before a process is started for it.
    args.shape.options()?;
    let name = &args.name.name;
    let folder = Folder::of(&args.name);
    let io = |what: &'static str| {
        let place = folder.path().display().to_string();
        move |error: std::io::Error| {
            Failure::could_not_run(anyhow::Error::new(error).context(format!("{what} {place}")))
        }
    };
    if folder.standing()?.is_some() {
        return Err(Failure::could_not_run(anyhow::anyhow!(
            "the lab {name:?} stands already; take it down: mesh lab down --name {name}"
        )));
    }
    folder.remove().map_err(io("cannot clear"))?;
    folder.make().map_err(io("cannot make"))?;

    let mut holder = Command::new("/proc/self/exe")
        .args(["lab", "hold", "--folder"])
        .arg(folder.path())
        .args(arguments_of_up(std::env::args_os()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C here is not for a lab that stays.
        .process_group(0)
        .spawn()
        .map_err(|error| {
            Failure::could_not_run(anyhow::Error::new(error).context("cannot start the lab's process"))
        })?;
    // The holder closes its stdout when the lab stands, and ends when it cannot.
    let mut said = String::new();
    if let Some(mut stdout) = holder.stdout.take() {
        stdout
            .read_to_string(&mut said)
            .map_err(io("cannot hear of the lab in"))?;
    }
    if said.trim() != super::hold::STANDS {
        let output = holder
            .wait_with_output()
            .map_err(io("cannot hear of the lab in"))?;
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.trim().trim_start_matches("error: ").to_owned();
        // What cannot be cleared now is cleared by the next one.
        let _ = folder.remove();
        return Err(Failure::could_not_run(anyhow::anyhow!("{words}")));
    }
    let next = format!(
        "The lab {name:?} stands.\n  mesh run --inventory {}\n  mesh lab exec --name {name} NODE[/POD] -- COMMAND\n  mesh lab down --name {name}\n",
        folder.inventory().display()
    );
    print(next.as_bytes())
}

/// The arguments after `lab up`: they are those of `hold` as well.
fn arguments_of_up(all: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut rest = all.skip_while(|argument| argument != "up");
    rest.next();
    rest.collect()
}
