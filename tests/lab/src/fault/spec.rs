//! A fault on the command line: `NAME[:key=value,...]`.

use std::collections::BTreeMap;
use std::str::FromStr;

use mesh_proto::Cause;

use super::allowed::Allowed;
use super::{FAULTS, Fault, FaultKind};
use crate::options::Encapsulation;
use crate::topology::Topology;

/// A fault as it was spelled, not yet set into a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpec {
    kind: FaultKind,
    values: BTreeMap<String, String>,
}

/// A fault that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No such fault.
    #[error("no fault is called {name:?}{}; `mesh lab faults` lists them", did_you_mean(guess.as_deref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        guess: Option<String>,
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
    #[error("{fault} takes no {key:?}{}", if keys.is_empty() { String::new() } else { format!("; it takes {keys}") })]
    Key {
        /// Which fault.
        fault: Cause,
        /// Which key.
        key: String,
        /// Those that it takes.
        keys: String,
    },
    /// A value that it does not take.
    #[error("{fault}: {key}={}: expected {expected}", value.escape_debug())]
    Value {
        /// Which fault.
        fault: Cause,
        /// Of which key.
        key: String,
        /// The value.
        value: String,
        /// What would do.
        expected: String,
    },
    /// The lab has not what it takes.
    #[error("{fault} needs {needs}")]
    Needs {
        /// Which fault.
        fault: Cause,
        /// What it needs.
        needs: &'static str,
    },
}

fn did_you_mean(guess: Option<&str>) -> String {
    guess
        .map(|guess| format!("; did you mean {guess}?"))
        .unwrap_or_default()
}

impl FromStr for FaultSpec {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let found = FAULTS.iter().find(|kind| kind.cause.to_string() == name);
        let kind = *found.ok_or_else(|| FaultError::Unknown {
            name: name.to_owned(),
            guess: nearest(name),
        })?;
        let mut values = BTreeMap::new();
        for part in rest.split(',').filter(|part| !part.is_empty()) {
            let pair = part.split_once('=').filter(|(_, value)| !value.is_empty());
            let (key, value) = pair.ok_or_else(|| FaultError::NotAPair {
                fault: kind.cause,
                part: part.to_owned(),
            })?;
            let known = kind.keys.iter().any(|(known, _)| *known == key);
            if !known || values.insert(key.to_owned(), value.to_owned()).is_some() {
                let keys: Vec<&str> = kind.keys.iter().map(|(key, _)| *key).collect();
                return Err(FaultError::Key {
                    fault: kind.cause,
                    key: key.to_owned(),
                    keys: format!("{}, each once", keys.join(", ")),
                });
            }
        }
        Ok(Self { kind, values })
    }
}

/// The fault whose name shares the longest beginning, or any word.
fn nearest(name: &str) -> Option<String> {
    let shared = |other: &str| {
        name.chars()
            .zip(other.chars())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let names = FAULTS.iter().map(|kind| kind.cause.to_string());
    let best = names
        .clone()
        .max_by_key(|other| shared(other))
        .filter(|other| shared(other) >= 3);
    best.or_else(|| {
        let mut names = names;
        names.find(|other| name.split('-').any(|word| word.len() > 2 && other.contains(word)))
    })
}

impl FaultSpec {
    /// Sets the fault into a lab: checks its values, and fills in what was left out.
    pub fn in_lab(&self, topology: &Topology) -> Result<Fault, FaultError> {
        let mut fault = Fault {
            cause: self.kind.cause,
            values: self.values.clone(),
        };
        if let Some(needs) = needs(&fault, topology) {
            return Err(FaultError::Needs {
                fault: fault.cause,
                needs,
            });
        }
        for (key, _) in self.kind.keys {
            if !fault.has(key)
                && let Some(value) = fault.default_of(key, topology)
            {
                fault.values.insert((*key).to_owned(), value);
            }
            let allowed = Allowed::of(&fault, key, topology);
            if fault.has(key) && !allowed.takes(fault.value(key)) {
                return Err(FaultError::Value {
                    fault: fault.cause,
                    key: (*key).to_owned(),
                    value: fault.value(key).to_owned(),
                    expected: allowed.to_string(),
                });
            }
        }
        Ok(fault)
    }
}

fn needs(fault: &Fault, topology: &Topology) -> Option<&'static str> {
    let has_overlay = matches!(topology.options.encapsulation, Encapsulation::Vxlan(_));
    match fault.cause {
        Cause::OverlayPortBlocked
        | Cause::OverlayPortMismatch
        | Cause::OverlayDeviceDown
        | Cause::OverlayPeerStale
            if !has_overlay =>
        {
            Some("an overlay (--encapsulation vxlan)")
        }
        Cause::UnderlayDropsPods if has_overlay => Some("a lab without an overlay (--encapsulation none)"),
        Cause::NodePartitioned | Cause::OverlayPeerStale | Cause::NeighbourStale | Cause::OneWayLoss
            if topology.nodes.len() < 2 =>
        {
            Some("two nodes or more")
        }
        _ => None,
    }
}
