//! Why a command ended without a result: the words for stderr and the exit code.

use crate::exit_code::ExitCode;

/// A command that did not get to its result.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process says.
    pub(crate) code: ExitCode,
    error: anyhow::Error,
}

impl Failure {
    /// A flag, a value or a file to read is wrong.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: ExitCode::Usage,
            error: error.into(),
        }
    }

    /// No permission, no cluster, an output that cannot be written.
    pub(crate) fn could_not_run(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: ExitCode::CouldNotRun,
            error: error.into(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // With the causes, on one line: what failed, on what, why.
        write!(f, "{:#}", self.error)
    }
}
