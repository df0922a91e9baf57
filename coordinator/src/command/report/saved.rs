//! A report from a file, JSON or YAML.

use std::path::{Path, PathBuf};

use mesh_proto::{Report, SCHEMA};
use serde::Deserialize;
use serde_saphyr::{MessageFormatter, UserMessageFormatter};

use super::consistent;
use crate::input_file;
use crate::render::plain;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    /// The file cannot be read.
    #[error("cannot read the report {}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    /// It is neither JSON nor YAML, or no report.
    #[error(
        "the report is malformed\n  {file}{place}: {why}; expected what `mesh run -o json` or -o yaml writes"
    )]
    Malformed {
        file: String,
        /// `:LINE:COLUMN`, where that is known.
        place: String,
        why: String,
    },
    /// It is a report of another kind.
    #[error(
        "the report {file} has the schema `{found}`, this mesh knows {SCHEMA} only: use the mesh that wrote it"
    )]
    Schema { file: String, found: String },
}

/// The one field that tells whether the others can be understood.
#[derive(Deserialize)]
struct Head {
    schema: Option<String>,
}

/// Something wrong with the text, and where.
struct Wrong {
    place: String,
    why: String,
}

/// Reads a report; `-` is stdin.
pub(crate) fn load(file: &Path) -> Result<Report, SavedError> {
    let read = |source| SavedError::Read {
        file: file.to_owned(),
        source,
    };
    let (name, bytes) = input_file::read(file, LONGEST).map_err(read)?;
    parse(name, &bytes)
}

/// Longer than the report of any cluster: a thousand nodes with all cells have half of it.
const LONGEST: u64 = 1 << 30;

fn parse(file: String, bytes: &[u8]) -> Result<Report, SavedError> {
    let malformed = |Wrong { place, why }| SavedError::Malformed {
        file: file.clone(),
        place,
        why: plain(&why),
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        malformed(Wrong {
            place: format!(":{line}"),
            why: "not UTF-8 text".to_owned(),
        })
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(malformed(Wrong {
            place: String::new(),
            why: "the file is empty".to_owned(),
        }));
    }
    let head: Head = deserialize(text).map_err(malformed)?;
    match head.schema {
        Some(schema) if schema == SCHEMA => {
            let report = deserialize(text).map_err(malformed)?;
            consistent::check(&report).map_err(|contradiction| {
                malformed(Wrong {
                    place: String::new(),
                    why: contradiction.to_string(),
                })
            })?;
            Ok(report)
        }
        Some(schema) => Err(SavedError::Schema {
            found: plain(&schema).chars().take(80).collect(),
            file,
        }),
        None => Err(malformed(Wrong {
            place: String::new(),
            why: format!("the field `schema` is missing, it must be {SCHEMA}"),
        })),
    }
}

fn deserialize<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| {
            let place = format!(":{}:{}", error.line(), error.column());
            let why = error.to_string();
            // The place stands before the words already.
            let end = format!(" at line {} column {}", error.line(), error.column());
            Wrong {
                place,
                why: why.strip_suffix(&end).unwrap_or(&why).to_owned(),
            }
        });
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        // The usual bounds are those of a configuration; a report of thousands of nodes is longer. Its depth and its
        // aliases stay bounded.
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Wrong {
        place: error.location().map_or_else(String::new, |at| {
            format!(":{}:{}", at.line().max(1), at.column().max(1))
        }),
        why: UserMessageFormatter
            .format_message(error.without_snippet())
            .into_owned(),
    })
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
