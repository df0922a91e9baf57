//! A report as text: for people at a terminal, for other programs, for a CI server, for a browser.

mod advice;
mod grid;
mod headline;
mod html;
mod json;
mod junit;
mod markup;
mod place;
mod plain;
mod reason;
mod sentence;
mod table;
mod wide;
mod yaml;

use std::io::{self, Write};

use clap::ValueEnum;
use mesh_proto::Report;

/// How a report is shown: the one list from which help, completion and error messages take the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Format {
    /// The verdict, findings and the matrix, for people
    Table,
    /// The table, every cell that is not well, and round-trip times
    Wide,
    /// The whole report, for programs
    Json,
    /// The same as YAML
    Yaml,
    /// JUnit XML, for CI servers
    Junit,
    /// One self-contained page
    Html,
}

impl Format {
    /// The name that flags use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Wide => "wide",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Junit => "junit",
            Self::Html => "html",
        }
    }

    /// Whether it holds colours, to be taken out where no terminal shows them.
    pub(crate) const fn is_coloured(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// Writes a report; `width` is that of the terminal in columns.
pub(crate) fn render(report: &Report, format: Format, width: usize, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Table => out.write_all(table::table(report, width).as_bytes()),
        Format::Wide => out.write_all(wide::wide(report, width).as_bytes()),
        Format::Json => json::json(report, out),
        Format::Yaml => yaml::yaml(report, out),
        Format::Junit => out.write_all(junit::junit(report).as_bytes()),
        Format::Html => out.write_all(html::html(report).as_bytes()),
    }
}

pub(crate) use self::html::{CSS as PAGE_STYLE, html_body};
pub(crate) use self::markup::escape;
pub(crate) use self::place::{place, source, target, why};
pub(crate) use self::plain::{count, plain, some_of, wrap};
pub(crate) use self::table::finding_in_words;
pub(crate) use self::wide::listing;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
