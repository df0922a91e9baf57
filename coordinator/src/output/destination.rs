//! `FORMAT` or `FORMAT=FILE`, as it stands on the command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, Error, ValueEnum};

use super::file::is_stdout;
use crate::render::Format;

/// A format and where it goes; no file means stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(super) format: Format,
    pub(super) file: Option<PathBuf>,
}

/// Parses a [`Destination`]; to help and completion it is one of the formats.
#[derive(Debug, Clone, Copy)]
pub(super) struct DestinationParser;

impl TypedValueParser for DestinationParser {
    type Value = Destination;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Destination, Error> {
        parse(value).map_err(|why| {
            let arg = arg.map_or_else(|| "-o".to_owned(), ToString::to_string);
            let value = value.to_string_lossy().escape_debug().to_string();
            Error::raw(
                ErrorKind::InvalidValue,
                format!("invalid value '{value}' for '{arg}': {why}\n"),
            )
            .with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            Format::value_variants()
                .iter()
                .filter_map(Format::to_possible_value),
        ))
    }
}

fn parse(value: &OsStr) -> Result<Destination, String> {
    let bytes = value.as_bytes();
    let (name, file) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (bytes, None),
    };
    let name = String::from_utf8_lossy(name);
    let known = || Format::value_variants().iter().copied();
    let Some(format) = known().find(|format| format.name() == name) else {
        let names: Vec<&str> = known().map(Format::name).collect();
        let meant =
            nearest(&name, &names).map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
        return Err(format!(
            "no such format, expected one of {}, each also as FORMAT=FILE{meant}",
            names.join(", ")
        ));
    };
    match file {
        Some(file) if file.is_empty() => Err(format!(
            "the file's name is missing after '='; leave the '=' out to write to stdout, or give a file as in {}=report",
            format.name()
        )),
        // As kubectl has it; and stdout by its other names is still one place, for one format.
        Some(file) if file == "-" || is_stdout(Path::new(file)) => Ok(Destination { format, file: None }),
        file => Ok(Destination {
            format,
            file: file.map(PathBuf::from),
        }),
    }
}

/// The name that was most likely meant: within two typing errors, or one that begins so.
fn nearest<'a>(given: &str, names: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase();
    let begins = names
        .iter()
        .find(|name| given.len() >= 2 && (name.starts_with(&given) || given.starts_with(**name)));
    let near = || {
        names
            .iter()
            .map(|name| (distance(&given, name), name))
            .filter(|(distance, _)| *distance <= 2)
            .min()
            .map(|(_, name)| name)
    };
    begins.or_else(near).copied()
}

/// Letters to add, drop or change to make one text of the other (Levenshtein); neighbours that changed places count two.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, of_a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, of_b) in b.iter().enumerate() {
            let change = diagonal + usize::from(of_a != *of_b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{Destination, parse};
    use crate::render::Format;

    #[test]
    fn formats_and_files() {
        let cases = [
            ("json", Format::Json, None),
            ("html=a=b.html", Format::Html, Some("a=b.html")),
            ("junit=-", Format::Junit, None),
            ("table=./-", Format::Table, Some("./-")),
            ("json=/dev/stdout", Format::Json, None),
            ("yaml=/dev/fd/1", Format::Yaml, None),
            ("yaml=/dev/fd/3", Format::Yaml, Some("/dev/fd/3")),
        ];
        for (text, format, file) in cases {
            let file = file.map(Into::into);
            assert_eq!(
                parse(OsStr::new(text)),
                Ok(Destination { format, file }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_gets_the_list_and_a_guess() {
        let cases = [
            ("jsno", "did you mean 'json'?"),
            ("yml", "did you mean 'yaml'?"),
            ("JSON", "did you mean 'json'?"),
            ("htm=x", "did you mean 'html'?"),
            ("json.txt", "did you mean 'json'?"),
            ("xml", "table, wide, json, yaml, junit, html"),
            ("", "expected one of"),
            ("json=", "the file's name is missing"),
        ];
        for (text, words) in cases {
            let why = parse(OsStr::new(text)).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
        assert!(!parse(OsStr::new("klingon")).unwrap_err().contains("did you mean"));
    }
}
