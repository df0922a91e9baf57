//! What the process says when it ends: one table, from which help takes its text.

use mesh_proto::{Report, Verdict};

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// Everything asked for is reachable.
    Reachable = 0,
    /// Something is unreachable.
    Unreachable = 1,
    /// Wrong usage.
    Usage = 2,
    /// Nothing failed, but not all of it could be checked.
    Unknown = 3,
    /// It could not run at all.
    CouldNotRun = 4,
    /// Interrupted by a signal: 128 + SIGINT, as shells have it.
    Interrupted = 130,
}

impl ExitCode {
    const MEANINGS: &'static [(Self, &'static str)] = &[
        (Self::Reachable, "everything asked for is reachable"),
        (Self::Unreachable, "something is unreachable"),
        (
            Self::Usage,
            "wrong usage: a flag, a value, a file to read that is missing or malformed",
        ),
        (
            Self::Unknown,
            "unknown: nothing failed, but not all of it could be checked",
        ),
        (
            Self::CouldNotRun,
            "could not run: no permission, no image, no cluster, an output that cannot be written",
        ),
        (Self::Interrupted, "interrupted; cleaned up all the same"),
    ];

    /// The number that the shell sees.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The table as a section of the help text.
    pub(crate) fn help() -> String {
        let rows = Self::MEANINGS
            .iter()
            .map(|(code, meaning)| format!("\n  {:>3}  {meaning}", code.number()));
        std::iter::once("Exit codes:".to_owned()).chain(rows).collect()
    }

    /// What a run's result means for the shell.
    pub(crate) fn of(report: &Report) -> Self {
        match report.verdict {
            _ if report.interrupted => Self::Interrupted,
            Verdict::Reachable => Self::Reachable,
            Verdict::Unreachable => Self::Unreachable,
            Verdict::Unknown => Self::Unknown,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn help_tells_the_contracts_numbers() {
        let help = ExitCode::help();
        let numbers: Vec<&str> = help
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(numbers, ["0", "1", "2", "3", "4", "130"]);
    }
}
