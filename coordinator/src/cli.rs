//! The command line. Flag beats `MESH_*` environment beats default.

mod duration;
mod kube_args;
mod probe_args;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

pub(crate) use self::duration::Span;
pub(crate) use self::kube_args::KubeArgs;
pub(crate) use self::probe_args::{EffortArgs, ProbeArgs, TlsArgs};
use crate::command::{
    cleanup::CleanupArgs, completion::CompletionArgs, diff::DiffArgs, gate::GateArgs, history::HistoryArgs,
    image::ImageArgs, lab::LabArgs, probe::AgentArgs, report::ReportArgs, run::RunArgs, serve::ServeArgs,
    status::StatusArgs, version::VersionArgs,
};
use crate::exit_code::ExitCode;

/// Finds out, by trying it, whether every node of a Kubernetes cluster can reach every other, and says where and why
/// not.
#[derive(Debug, Parser)]
#[command(name = "mesh", version, propagate_version = false, max_term_width = 120)]
pub(crate) struct Cli {
    /// Log to stderr what is going on; twice: in detail (MESH_LOG takes a filter)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `mesh` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Probe everything once, report, exit by the verdict
    Run(RunArgs),
    /// Look again and again: incidents, metrics, a live page
    Serve(ServeArgs),
    /// How things stand, asked of a running `mesh serve`
    Status(StatusArgs),
    /// The incidents that a running `mesh serve` remembers
    History(HistoryArgs),
    /// Wait until a node, or all, is fully reachable: a gate for upgrades
    Gate(GateArgs),
    /// Raise a cluster-shaped network on this machine, and try mesh on it; needs no cluster
    Lab(LabArgs),
    /// Be an agent: probe on request, and answer probes
    Probe(AgentArgs),
    /// Pack this very binary as a container image, to load or push without Docker
    Image(ImageArgs),
    /// Remove what runs left in the cluster whose coordinators were killed
    Cleanup(CleanupArgs),
    /// Show a saved report in another form; exits as its run did
    Report(ReportArgs),
    /// Compare two saved reports: what became better or worse
    Diff(DiffArgs),
    /// Print the completion script of a shell
    Completion(CompletionArgs),
    /// Print the version
    Version(VersionArgs),
}

/// Parses the command line; what is wrong with it, or the help that was asked for, is printed here.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = command_line(arguments.first().map(OsString::as_os_str));
    let parsed = command
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let printed = error.print();
        match printed {
            _ if error.use_stderr() => ExitCode::Usage,
            // Help is a result, and a disk may be full. A reader that went away (`mesh --help | head`) changes nothing.
            Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
                tell(format_args!("error: cannot write to stdout: {cause}"));
                ExitCode::CouldNotRun
            }
            _ => ExitCode::Reachable,
        }
    })
}

/// The definition of the command line, named as it was called: as `kubectl-mesh` on the PATH it is `kubectl mesh`.
pub(crate) fn command_line(called_as: Option<&OsStr>) -> clap::Command {
    let command = Cli::command()
        .after_help(ExitCode::help())
        .mut_subcommand("run", |run| run.after_help(ExitCode::help()))
        .mut_subcommand("gate", |gate| gate.after_help(crate::command::gate::EXIT_CODES))
        .mut_subcommand("status", |status| status.after_help(ExitCode::help()))
        .mut_subcommand("report", |report| report.after_help(ExitCode::help()))
        .mut_subcommand("image", |image| image.after_help(crate::command::image::LOADING))
        .mut_subcommand("diff", |diff| diff.after_help(crate::command::diff::EXIT_CODES));
    let name = called_as.and_then(|path| Path::new(path).file_name()?.to_str());
    match name {
        Some("kubectl-mesh" | "kubectl_mesh") => {
            command.bin_name("kubectl mesh").display_name("kubectl mesh")
        }
        _ => command.bin_name("mesh"),
    }
}

/// Says a line on stderr. Nobody may be left to read it; that is no reason to end otherwise than meant.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// `MESH_LOG` is no filter.
#[derive(Debug, thiserror::Error)]
#[error(
    "MESH_LOG: `{given}` is no filter: {why}; expected a level (error, warn, info, debug, trace, off) or TARGET=LEVEL, several \
     with commas, such as info,mesh_probe=debug"
)]
pub(crate) struct BadLogFilter {
    given: String,
    why: String,
}

/// Logs go to stderr: stdout holds the result only.
pub(crate) fn log_to_stderr(verbose: u8) -> Result<(), BadLogFilter> {
    let default = match verbose {
        0 => "error,kube_client=off,kube_runtime=off",
        1 => "mesh=info,mesh_probe=info,mesh_lab=info",
        _ => "mesh=debug,mesh_probe=debug,mesh_lab=debug",
    };
    let filter = match std::env::var_os("MESH_LOG") {
        Some(given) if !given.is_empty() => log_filter(&given)?,
        _ => EnvFilter::new(default),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        // Nobody may be left to read it, or the disk be full; telling so on stderr would be a panic.
        .log_internal_errors(false)
        .init();
    Ok(())
}

fn log_filter(given: &OsStr) -> Result<EnvFilter, BadLogFilter> {
    let bad = |why: String| BadLogFilter {
        given: given.to_string_lossy().escape_debug().take(80).collect(),
        why,
    };
    let text = given.to_str().ok_or_else(|| bad("it is not UTF-8".to_owned()))?;
    EnvFilter::try_new(text).map_err(|error| bad(error.to_string()))
}
