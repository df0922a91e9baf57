//! The report as JSON: exactly its own form, indented.

use std::io::{self, Write};

use mesh_proto::Report;

pub(super) fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    out.write_all(b"\n")
}
