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
        // With the causes, on one line: what failed, on what, why. Many errors say their cause themselves, in the midst
        // of a sentence: it is not said again.
        let mut said = String::new();
        for cause in self.error.chain() {
            let words = cause.to_string();
            if said.is_empty() {
                said = words;
            } else if !said.contains(&words) {
                said = format!("{said}: {words}");
            }
        }
        f.write_str(&said)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Failure;

    /// What stands for all errors that say their cause themselves.
    #[derive(Debug, thiserror::Error)]
    #[error("cannot run ip: {source}: install it")]
    struct SaysItsCause {
        source: io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read x")]
    struct DoesNot {
        source: io::Error,
    }

    #[test]
    fn every_cause_is_said_once() {
        let source = || io::Error::from_raw_os_error(2);
        let failure = Failure::could_not_run(
            anyhow::Error::new(SaysItsCause { source: source() }).context("cannot raise the lab"),
        );
        assert_eq!(
            failure.to_string(),
            "cannot raise the lab: cannot run ip: No such file or directory (os error 2): install it"
        );
        let failure = Failure::usage(DoesNot { source: source() });
        assert_eq!(
            failure.to_string(),
            "cannot read x: No such file or directory (os error 2)"
        );
    }
}
