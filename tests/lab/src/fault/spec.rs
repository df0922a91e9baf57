//! A fault on the command line: `NAME[:key=value,...]`.

use std::collections::BTreeMap;
use std::str::FromStr;

use mesh_proto::Cause;

use super::exclusion;
use super::nearest::nearest;
use super::values::Values;
use super::{Fault, FaultKind, faults};
use crate::topology::Topology;

/// A fault as it was spelled, not yet set into a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpec {
    kind: &'static FaultKind,
    values: BTreeMap<&'static str, String>,
}

/// A fault that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No such fault.
    #[error(
        "no fault is called {name:?}{}; `mesh lab faults` lists them",
        did_you_mean(near)
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        near: Vec<String>,
    },
    /// Not `key=value`.
    #[error("{fault}: {part:?} is not key=value")]
    NotAPair {
        /// Which fault.
        fault: Cause,
        /// What stands there.
        part: String,
    },
    /// A key that it does not take, or twice.
    #[error("{fault} takes no {key:?}{}{}", did_you_mean(near), if keys.is_empty() { String::new() } else { format!("; it takes {keys}") })]
    Key {
        /// Which fault.
        fault: Cause,
        /// Which key.
        key: String,
        /// What may have been meant.
        near: Vec<String>,
        /// Those that it takes.
        keys: String,
    },
    /// A key that it takes only beside a certain value of another.
    #[error("{fault} takes {key:?} only with {with}")]
    OutOfPlace {
        /// Which fault.
        fault: Cause,
        /// Which key.
        key: &'static str,
        /// What it goes with.
        with: String,
    },
    /// A value that it does not take.
    #[error("{fault}: {key}={}: expected {expected}{}", value.escape_debug(), did_you_mean(near))]
    Value {
        /// Which fault.
        fault: Cause,
        /// Of which key.
        key: &'static str,
        /// The value.
        value: String,
        /// What would do.
        expected: String,
        /// What may have been meant.
        near: Vec<String>,
    },
    /// The lab has not what it takes.
    #[error("{fault} needs {needs}")]
    Needs {
        /// Which fault.
        fault: Cause,
        /// What it needs.
        needs: String,
    },
    /// Two faults that cannot be together.
    #[error("{first} and {second} exclude each other: {why}")]
    Exclude {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// Why.
        why: String,
    },
}

fn did_you_mean(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

impl FromStr for FaultSpec {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let kind = faults()
            .find(|kind| kind.cause.name() == name)
            .ok_or_else(|| FaultError::Unknown {
                name: name.to_owned(),
                near: nearest(name, faults().map(|kind| kind.cause.name())),
            })?;
        let mut values = BTreeMap::new();
        for part in rest.split(',').filter(|part| !part.is_empty()) {
            let pair = part.split_once('=').filter(|(_, value)| !value.is_empty());
            let (key, value) = pair.ok_or_else(|| FaultError::NotAPair {
                fault: kind.cause,
                part: part.to_owned(),
            })?;
            let names = || kind.keys.iter().map(|key| key.name);
            let bad = |near| {
                let names: Vec<&str> = names().collect();
                let keys = if names.is_empty() {
                    String::new()
                } else {
                    format!("{}, each once", names.join(", "))
                };
                FaultError::Key {
                    fault: kind.cause,
                    key: key.to_owned(),
                    near,
                    keys,
                }
            };
            let known = names().find(|name| *name == key);
            let known = known.ok_or_else(|| bad(nearest(key, names())))?;
            if values.insert(known, value.to_owned()).is_some() {
                return Err(bad(Vec::new()));
            }
        }
        Ok(Self { kind, values })
    }
}

impl FaultSpec {
    /// Sets the fault into a lab: checks its values, and fills in what was left out.
    pub fn in_lab(&self, topology: &Topology) -> Result<Fault, FaultError> {
        let cause = self.kind.cause;
        let mut values = Values::new();
        for key in self.kind.keys {
            let given = self.values.get(key.name);
            if let Some(with) = key.out_of_place(&values) {
                if given.is_some() {
                    let key = key.name;
                    return Err(FaultError::OutOfPlace {
                        fault: cause,
                        key,
                        with,
                    });
                }
                continue;
            }
            let value = match given {
                Some(text) => {
                    let read = key.read(text, &values, topology);
                    Some(read.map_err(|expected| FaultError::Value {
                        fault: cause,
                        key: key.name,
                        value: text.clone(),
                        near: nearest(text, expected.list.iter().map(String::as_str)),
                        expected: expected.to_string(),
                    })?)
                }
                None => key.usual(&values, topology),
            };
            if let Some(value) = value {
                values.insert(key.name, value);
            }
        }
        let fault = Fault {
            kind: self.kind,
            values,
        };
        match self
            .kind
            .needs
            .iter()
            .find_map(|need| need.missing(&fault, topology))
        {
            Some(needs) => Err(FaultError::Needs { fault: cause, needs }),
            None => Ok(fault),
        }
    }

    /// Sets faults into a lab, all at once: none may exclude another.
    pub fn all_in_lab(specs: &[Self], topology: &Topology) -> Result<Vec<Fault>, FaultError> {
        let mut faults: Vec<Fault> = specs
            .iter()
            .map(|spec| spec.in_lab(topology))
            .collect::<Result<_, _>>()?;
        exclusion::check(&faults, topology)?;
        // What others write into service rules must not stand there after they are gone.
        faults.sort_by_key(|fault| fault.cause() == Cause::KubeProxyMissing);
        Ok(faults)
    }
}
