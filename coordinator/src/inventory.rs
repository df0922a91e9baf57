//! The inventory: a file that lists agents somebody else started, and what the cluster offers. Read strictly: a typing
//! error must not silently take an agent or a service out of the check.

mod agents;
mod cluster;
mod reader;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};

use mesh_core::Cluster;

pub(crate) use self::agents::InventoryAgent;
use self::reader::{Place, Problem, Reader};
use crate::input_file;

/// In bytes: ten thousand agents have a tenth of it.
const LONGEST: u64 = 16 << 20;

/// A whole inventory.
#[derive(Debug, Clone)]
pub(crate) struct Inventory {
    /// In the order of the file; node and plane, and link, are unique, and so is an address in its plane.
    pub(crate) agents: Vec<InventoryAgent>,
    /// What the cluster offers.
    pub(crate) cluster: Cluster,
}

/// Why there is no inventory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InventoryError {
    /// The file cannot be read.
    #[error("cannot read the inventory {}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    /// Something in it does not fit; a line for each problem.
    #[error("{0}")]
    Malformed(Problems),
}

/// All that is wrong with a file.
#[derive(Debug)]
pub(crate) struct Problems {
    file: String,
    problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond these the file is most likely something else than an inventory.
        const SHOWN: usize = 20;
        write!(f, "the inventory is malformed")?;
        for Problem { at, field, what } in self.problems.iter().take(SHOWN) {
            write!(f, "\n  {}:{at}: ", self.file)?;
            if !field.is_empty() {
                write!(f, "{field}: ")?;
            }
            f.write_str(what)?;
        }
        match self.problems.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl Inventory {
    /// Reads a file; `-` is stdin.
    pub(crate) fn load(file: &Path) -> Result<Self, InventoryError> {
        let read = |source| InventoryError::Read {
            file: file.to_owned(),
            source,
        };
        let (name, bytes) = input_file::read(file, LONGEST).map_err(read)?;
        let malformed = |problems| InventoryError::Malformed(Problems { file: name, problems });
        match String::from_utf8(bytes) {
            Ok(source) => Self::parse(&source).map_err(malformed),
            Err(error) => Err(malformed(vec![not_text(&error)])),
        }
    }

    fn parse(source: &str) -> Result<Self, Vec<Problem>> {
        let root = yaml::parse(source).map_err(|error| {
            vec![Problem {
                at: error.at,
                field: String::new(),
                what: format!("not YAML: {}", error.why),
            }]
        })?;
        let mut reader = Reader::new(source);
        let inventory = read_root(
            &mut reader,
            &Place {
                node: &root,
                path: String::new(),
            },
        );
        match (inventory, reader.into_problems()) {
            (Some(inventory), problems) if problems.is_empty() => Ok(inventory),
            (_, problems) => Err(problems),
        }
    }
}

fn read_root<'a>(reader: &mut Reader<'a>, root: &Place<'a>) -> Option<Inventory> {
    let fields = reader.mapping(root, &["agents", "cluster"])?;
    let cluster = fields
        .optional("cluster")
        .map(|place| cluster::read(reader, &place));
    let place = reader.required(
        &fields,
        "agents",
        "a list of agents with node, plane, address, link",
    )?;
    let agents = agents::read(reader, &place);
    Some(Inventory {
        agents,
        cluster: cluster.unwrap_or_default(),
    })
}

fn not_text(error: &std::string::FromUtf8Error) -> Problem {
    let valid = error
        .as_bytes()
        .get(..error.utf8_error().valid_up_to())
        .unwrap_or_default();
    let line_start = valid
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let count = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Problem {
        at: yaml::Position {
            line: (1..)
                .zip(valid.split(|byte| *byte == b'\n'))
                .last()
                .map_or(1, |(line, _)| line),
            column: count(valid.get(line_start..).unwrap_or_default()).saturating_add(1),
        },
        field: String::new(),
        what: "not UTF-8 text".to_owned(),
    }
}

#[cfg(test)]
mod tests;
