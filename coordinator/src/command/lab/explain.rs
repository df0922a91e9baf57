//! `mesh lab explain`: how a cause shows, what looks alike, and how to cure it. The same text as in `docs/causes`.

mod texts;

use std::fmt::Write as _;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use mesh_proto::Cause;

use self::texts::text;
use crate::command::version::print;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh lab explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The cause, as a finding names it; all of them in a line each if left out
    #[arg(value_parser = causes(), hide_possible_values = true)]
    cause: Option<Cause>,
}

/// The names of the list; clap says which of them is near one that is not there.
fn causes() -> impl TypedValueParser<Value = Cause> {
    let names = Cause::ALL.iter().map(|cause| PossibleValue::new(cause.name()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Cause>())
}

/// Prints the text of a cause, or the list.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    match args.cause {
        Some(cause) => print(text(cause).as_bytes()),
        None => print(list().as_bytes()),
    }
}

fn list() -> String {
    let widest = Cause::ALL.iter().map(|cause| cause.name().len()).max();
    let width = widest.unwrap_or_default();
    // Writing to a string cannot fail.
    let mut list = String::new();
    for cause in Cause::ALL {
        let _ = writeln!(list, "{cause:<width$}  {}", cause.meaning());
    }
    list
}

#[cfg(test)]
mod tests;
