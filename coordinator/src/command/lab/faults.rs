//! `mesh lab faults`: the table of faults.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use mesh_lab::{Key, faults as kinds};

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh lab faults`.
#[derive(Debug, Args)]
pub(super) struct FaultsArgs {
    /// How to show them
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For machines
    Json,
}

/// Lists all faults.
pub(super) fn faults(args: &FaultsArgs) -> Result<ExitCode, Failure> {
    let text = match args.output {
        Format::Table => table(),
        Format::Json => serde_json::to_string_pretty(&json()).map_err(Failure::could_not_run)?,
    };
    crate::output::print(crate::render::Format::Json, |_, out| {
        writeln!(out, "{}", text.trim_end())
    })
    .map_err(Failure::could_not_run)?;
    Ok(ExitCode::Reachable)
}

fn table() -> String {
    // Writing to a string cannot fail.
    let mut text = String::from(
        "A fault is given as NAME[:KEY=VALUE,...], for example --fault mtu-blackhole:node=node-2,size=1400\n",
    );
    for kind in kinds() {
        let _ = writeln!(text, "\n{}\n    {}", kind.cause, kind.meaning);
        for key in kind.keys {
            let _ = writeln!(text, "      {:<10} {}", key.name, key.expects());
            let _ = writeln!(text, "      {:<10} {}", "", key.says);
        }
    }
    text
}

fn json() -> serde_json::Value {
    let key = |key: &Key| serde_json::json!({"key": key.name, "expects": key.expects(), "says": key.says});
    kinds()
        .map(|kind| {
            let keys: Vec<_> = kind.keys.iter().map(key).collect();
            serde_json::json!({"name": kind.cause, "keys": keys, "meaning": kind.meaning})
        })
        .collect()
}
