//! Walks the YAML tree field by field and keeps every problem with its place: all of them are told at once.

use std::borrow::Cow;

use super::yaml::{self, Node, Position, Value};

/// Something in the file that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where in the file.
    pub(crate) at: Position,
    /// Which field: `agents[1].address`; empty for the whole file.
    pub(crate) field: String,
    /// What was found and what was expected.
    pub(crate) what: String,
}

/// Reads fields and collects problems.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    source: &'a str,
    problems: Vec<Problem>,
}

/// A value and the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: String,
}

impl Place<'_> {
    /// Where it stands.
    pub(crate) fn at(&self) -> Position {
        self.node.referenced.into()
    }

    fn field(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }
}

/// The fields of a mapping, known ones only.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    place: Place<'a>,
    entries: &'a [(serde_saphyr::Spanned<String>, Node)],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self {
            source,
            problems: Vec::new(),
        }
    }

    /// What was wrong, in the order of the file.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems
            .sort_by_key(|problem| (problem.at.line, problem.at.column));
        self.problems
    }

    pub(crate) fn problem(&mut self, place: &Place<'_>, what: impl Into<String>) {
        self.problems.push(Problem {
            at: place.at(),
            field: place.path.clone(),
            what: what.into(),
        });
    }

    /// A mapping with no other fields than `known`.
    pub(crate) fn mapping(&mut self, place: &Place<'a>, known: &[&str]) -> Option<Fields<'a>> {
        let node = place.node;
        let Value::Map(entries) = &node.value else {
            self.problem(
                place,
                format!(
                    "found {}, expected a mapping with {}",
                    node.value.kind(),
                    known.join(", ")
                ),
            );
            return None;
        };
        for (key, _) in entries
            .iter()
            .filter(|(key, _)| !known.contains(&key.value.as_str()))
        {
            self.problems.push(Problem {
                at: key.referenced.into(),
                field: place.field(&shown(&key.value)),
                what: format!("unknown field, expected one of {}", known.join(", ")),
            });
        }
        Some(Fields {
            place: place.clone(),
            entries,
        })
    }

    /// The items of a list; nothing counts as an empty one.
    pub(crate) fn list(&mut self, place: &Place<'a>) -> Vec<Place<'a>> {
        let node = place.node;
        match &node.value {
            Value::List(items) => (0..)
                .zip(items)
                .map(|(index, node): (usize, _)| Place {
                    node,
                    path: format!("{}[{index}]", place.path),
                })
                .collect(),
            Value::Null => Vec::new(),
            Value::Text(_) | Value::Bare | Value::Map(_) => {
                self.problem(place, format!("found {}, expected a list", node.value.kind()));
                Vec::new()
            }
        }
    }

    /// A field that must be there.
    pub(crate) fn required(&mut self, fields: &Fields<'a>, name: &str, expected: &str) -> Option<Place<'a>> {
        let found = fields.optional(name);
        if found.is_none() {
            self.problems.push(Problem {
                at: fields.place.at(),
                field: fields.place.field(name),
                what: format!("missing, expected {expected}"),
            });
        }
        found
    }

    /// The scalar at a place, as text.
    pub(crate) fn text(&mut self, place: &Place<'a>, expected: &str) -> Option<Cow<'a, str>> {
        let node = place.node;
        let text = yaml::text(self.source, node);
        if text.is_none() {
            self.problem(place, format!("found {}, expected {expected}", node.value.kind()));
        }
        text
    }

    /// The scalar at a place, parsed. An error's own words, where there are any, say more than `expected`.
    pub(crate) fn parsed<T>(
        &mut self,
        place: &Place<'a>,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(place, expected)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                let why = if why.is_empty() { why } else { format!(" ({why})") };
                self.problem(
                    place,
                    format!("found `{}`, expected {expected}{why}", shown(&text)),
                );
                None
            }
        }
    }
}

impl<'a> Fields<'a> {
    /// A field that may be left out or empty.
    pub(crate) fn optional(&self, name: &str) -> Option<Place<'a>> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.value == name)?;
        (node.value != Value::Null).then(|| Place {
            node,
            path: self.place.field(name),
        })
    }
}

/// A text of the file as it may stand in a message: on one line, not endless, no control characters.
fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.escape_debug().take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        shown.push_str("...");
    }
    shown
}
