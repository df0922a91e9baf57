//! Where a report goes: `-o FORMAT` to stdout, `-o FORMAT=FILE` to files. (Stub; its owner replaces it.)

use clap::Args;
use mesh_proto::Report;

use crate::failure::Failure;

/// `-o`, as `mesh run`, `mesh lab run` and `mesh report` take it.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// How to show the result, and where; may be repeated
    #[arg(short, long, env = "MESH_OUTPUT", value_name = "FORMAT[=FILE]")]
    output: Vec<String>,
}

/// Outputs that are open.
#[derive(Debug)]
pub(crate) struct Outputs;

impl OutputArgs {
    /// Makes sure, before any probing, that every file can be written.
    pub(crate) fn open(&self) -> Result<Outputs, Failure> {
        Ok(Outputs)
    }
}

impl Outputs {
    /// Writes the report everywhere it was asked for.
    #[expect(clippy::unused_self, reason = "stub")]
    pub(crate) fn write(self, report: &Report) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(report).map_err(Failure::could_not_run)?;
        anstream::println!("{text}");
        Ok(())
    }
}
