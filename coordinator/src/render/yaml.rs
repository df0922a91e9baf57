//! The report as YAML: the structure of the JSON form.

use std::io::{self, Write};

use mesh_proto::Report;

pub(super) fn yaml(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let text = serde_saphyr::to_string(report).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}
