//! Where a report goes: `-o FORMAT` to stdout, `-o FORMAT=FILE` to files. Files are tried before any probing and written
//! aside, so that a report is there whole or not at all.

mod destination;
mod file;
mod stdout;

use clap::{ArgAction, Args};
use mesh_proto::Report;

use self::destination::{Destination, DestinationParser};
use crate::failure::Failure;
use crate::render::{Format, render};

/// `-o`, as `mesh run`, `mesh lab run` and `mesh report` take it.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// How to show the result, and the file to write it to instead of stdout; several at once by repeating it or with
    /// commas. Unless a format goes to stdout, the table does
    #[arg(
        short,
        long,
        env = "MESH_OUTPUT",
        value_name = "FORMAT[=FILE]",
        value_delimiter = ',',
        action = ArgAction::Append,
        value_parser = DestinationParser,
    )]
    output: Vec<Destination>,
}

/// Files are as wide as a page of old, whatever the terminal is.
const FILE_WIDTH: usize = 100;

/// Outputs that are known to be writable.
#[derive(Debug)]
pub(crate) struct Outputs {
    stdout: Format,
    files: Vec<(Format, OutputFile)>,
}

impl OutputArgs {
    /// Makes sure, before any probing, that every file can be written.
    pub(crate) fn open(&self) -> Result<Outputs, Failure> {
        let mut stdout = None;
        let mut files: Vec<(Format, OutputFile)> = Vec::new();
        for Destination { format, file } in &self.output {
            let Some(path) = file else {
                if let Some(other) = stdout.replace(*format) {
                    return Err(Failure::usage(two_for_stdout(other, *format)));
                }
                continue;
            };
            let file = OutputFile::check(path, "the report").map_err(Failure::could_not_run)?;
            if let Some((other, _)) = files.iter().find(|(_, taken)| taken.is(&file)) {
                return Err(Failure::usage(anyhow::anyhow!(
                    "two reports would go to the file {}: -o {} and -o {}; give each a file of its own",
                    path.display(),
                    other.name(),
                    format.name()
                )));
            }
            files.push((*format, file));
        }
        Ok(Outputs {
            stdout: stdout.unwrap_or(Format::Table),
            files,
        })
    }
}

fn two_for_stdout(first: Format, second: Format) -> anyhow::Error {
    let (first, second) = (first.name(), second.name());
    anyhow::anyhow!(
        "two formats for stdout, {first} and {second}: write one of them to a file, as in -o {first} -o {second}=FILE"
    )
}

impl Outputs {
    /// Writes the report everywhere it was asked for. What can be written is, also when something else cannot.
    pub(crate) fn write(self, report: &Report) -> Result<(), Failure> {
        let files = self.files.into_iter().map(|(format, file)| {
            file.write(|out| {
                let mut text = Vec::new();
                render(report, format, FILE_WIDTH, &mut text)?;
                if format.is_coloured() {
                    text = anstream::adapter::strip_bytes(&text).into_vec();
                }
                out.write_all(&text)
            })
            .map_err(Failure::could_not_run)
        });
        let files: Vec<Result<(), Failure>> = files.collect();
        let shown = stdout::print(self.stdout, |width, out| render(report, self.stdout, width, out));
        files
            .into_iter()
            .chain(std::iter::once(shown.map_err(Failure::could_not_run)))
            .collect()
    }
}

pub(crate) use self::file::OutputFile;
pub(crate) use self::stdout::print;

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
