//! What a prober asks for its own process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::getppid;

use crate::Errno;

/// A call about the own process, its threads or its namespaces that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {errno}{}{advice}", if advice.is_empty() { "" } else { ": " })]
pub struct ProcessError {
    call: &'static str,
    errno: Errno,
    advice: &'static str,
}

impl ProcessError {
    /// The system call that the kernel refused, with what it was about.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// What the kernel said.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// For `map_err`: the error of this call, from the errno in whatever wrapping it comes.
    pub(crate) fn of<E: Into<Errno>>(call: &'static str) -> impl FnOnce(E) -> Self {
        Self::with_advice(call, |_| "")
    }

    /// The same, with what to do about it.
    pub(crate) fn with_advice<E: Into<Errno>>(
        call: &'static str,
        advice: impl FnOnce(Errno) -> &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |errno| {
            let errno = errno.into();
            Self {
                call,
                errno,
                advice: advice(errno),
            }
        }
    }
}

/// Has the kernel kill this process when the thread that started it ends (`prctl(2)`, PR_SET_PDEATHSIG). Says
/// whether the parent is still there: it may have ended before the call.
pub fn die_with_parent() -> Result<bool, ProcessError> {
    let before = getppid();
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(ProcessError::of("prctl(PR_SET_PDEATHSIG)"))?;
    // Process 1 takes over orphans, but in a container it may be the true parent: then it is the same program.
    let is_orphan = before.as_raw() == 1 && program_of("1") != program_of("self");
    Ok(getppid() == before && !is_orphan)
}

fn program_of(process: &str) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{process}/exe")).ok()
}

/// Raises the soft limit of open files to the hard one, and returns it.
pub fn raise_open_file_limit() -> Result<u64, ProcessError> {
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(ProcessError::of("getrlimit(RLIMIT_NOFILE)"))?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(ProcessError::of("setrlimit(RLIMIT_NOFILE)"))?;
    Ok(hard)
}

/// Has a write beyond the limit of file sizes (RLIMIT_FSIZE) fail with EFBIG; by default the kernel ends the process by
/// SIGXFSZ (`setrlimit(2)`). What this process starts later has the default again: only ignored signals are inherited.
pub fn survive_file_size_limit() -> Result<(), ProcessError> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, so it is safe wherever it interrupts; nobody else handles this signal.
    unsafe { sigaction(Signal::SIGXFSZ, &action) }
        .map(drop)
        .map_err(ProcessError::of("sigaction(SIGXFSZ)"))
}

/// Asks a process to end (SIGTERM). The caller must know that the number is still that process's.
pub fn terminate(pid: u32) -> Result<(), ProcessError> {
    let failed = ProcessError::of("kill(SIGTERM)");
    let pid = i32::try_from(pid).map(nix::unistd::Pid::from_raw);
    match pid {
        Ok(pid) => nix::sys::signal::kill(pid, Signal::SIGTERM).map_err(failed),
        Err(_) => Err(failed(nix::errno::Errno::ESRCH)),
    }
}

/// Lets go of stdout and stderr: what is written there from here on goes nowhere, and whoever reads them sees their end.
pub fn detach_output() -> Result<(), ProcessError> {
    let null = std::fs::File::options()
        .write(true)
        .open("/dev/null")
        .map_err(crate::datagram::errno)
        .map_err(ProcessError::of("open(/dev/null)"))?;
    nix::unistd::dup2_stdout(&null).map_err(ProcessError::of("dup2(stdout)"))?;
    nix::unistd::dup2_stderr(&null).map_err(ProcessError::of("dup2(stderr)"))
}

/// The user that this process runs as.
pub fn user_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}
