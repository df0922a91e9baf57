//! `mesh version`.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

#[derive(Debug, Serialize)]
struct Versions {
    version: &'static str,
    /// Of the wire between coordinator and agent: must be equal on both sides.
    protocol: u32,
    report: &'static str,
}

const VERSIONS: Versions = Versions {
    version: mesh_proto::SOFTWARE,
    protocol: mesh_proto::PROTOCOL,
    report: mesh_proto::SCHEMA,
};

/// Prints the version.
pub(crate) fn version(args: &VersionArgs) -> Result<ExitCode, Failure> {
    let text = match args.output {
        None => format!(
            "mesh {} (protocol {}, report {})\n",
            VERSIONS.version, VERSIONS.protocol, VERSIONS.report
        ),
        Some(Format::Json) => serde_json::to_string_pretty(&VERSIONS).map_err(Failure::could_not_run)? + "\n",
        Some(Format::Yaml) => serde_saphyr::to_string(&VERSIONS).map_err(Failure::could_not_run)?,
    };
    print(text.as_bytes())
}

/// Writes to stdout. A reader that went away wanted no more.
pub(in crate::command) fn print(bytes: &[u8]) -> Result<ExitCode, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::could_not_run(
            anyhow::Error::new(error).context("cannot write to stdout"),
        )),
        _ => Ok(ExitCode::Reachable),
    }
}
