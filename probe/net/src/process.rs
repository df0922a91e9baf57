//! What a prober asks for its own process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use crate::Errno;

/// A call about the own process that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {errno}")]
pub struct ProcessError {
    call: &'static str,
    errno: Errno,
}

/// Has the kernel kill this process when the thread that started it ends (`prctl(2)`, PR_SET_PDEATHSIG). Says
/// whether the parent is still there: it may have ended before the call.
pub fn die_with_parent() -> Result<bool, ProcessError> {
    let before = getppid();
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(|errno| ProcessError {
        call: "prctl(PR_SET_PDEATHSIG)",
        errno: errno.into(),
    })?;
    Ok(getppid() == before && before.as_raw() != 1)
}

/// Raises the soft limit of open files to the hard one, and returns it.
pub fn raise_open_file_limit() -> Result<u64, ProcessError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| ProcessError {
        call: "getrlimit(RLIMIT_NOFILE)",
        errno: errno.into(),
    })?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(|errno| ProcessError {
        call: "setrlimit(RLIMIT_NOFILE)",
        errno: errno.into(),
    })?;
    Ok(hard)
}
