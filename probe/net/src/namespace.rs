//! Network namespaces (`network_namespaces(7)`), held by descriptors: nothing is left in the file system, and what a
//! process held is gone when it ends, however it ends.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{panic, thread};

use nix::sched::{CloneFlags, setns, unshare};

use crate::{Errno, ProcessError};

/// A network namespace, held by a file descriptor: it lasts as long as a descriptor or process holds it.
#[derive(Debug)]
pub struct NetNamespace {
    fd: OwnedFd,
}

/// The namespace of the thread that opens it; `/proc/self` would be that of the process's first thread.
const OWN: &str = "/proc/thread-self/ns/net";

impl NetNamespace {
    /// A new, empty namespace: nothing in it but a loopback device, which is down. Needs CAP_SYS_ADMIN, see
    /// [`crate::become_root_in_user_namespace`]. The calling thread stays where it is.
    pub fn create() -> Result<Self, ProcessError> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(ProcessError::with_advice("unshare(CLONE_NEWNET)", why_no_network))?;
            open(Path::new(OWN))
        })
    }

    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, ProcessError> {
        open(Path::new(OWN))
    }

    /// The namespace of another process's first thread. `ENOENT` where it has ended.
    pub fn of_process(pid: u32) -> Result<Self, ProcessError> {
        open(&PathBuf::from(format!("/proc/{pid}/ns/net")))
    }

    /// The namespace that a path leads to: `/proc/PID/fd/N`, or a file of `ip netns`.
    pub fn at(path: &Path) -> Result<Self, ProcessError> {
        open(path)
    }

    /// Moves the **calling thread** into the namespace, for good (`setns(2)`): what it opens from here on, and the
    /// threads and processes that it starts, stand there. Other threads stay where they are, so this is nothing for a
    /// thread of an async runtime. Sockets may be handed to any thread.
    pub fn enter(&self) -> Result<(), ProcessError> {
        setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(ProcessError::of("setns(CLONE_NEWNET)"))
    }

    /// Does some work on a thread of its own that stands in the namespace, and waits for it. A panic goes on in the
    /// caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, ProcessError> {
        on_thread(|| self.enter().map(|()| work()))
    }

    /// A path to the namespace for other processes of the same user, such as `ip link set ... netns PATH` and
    /// `nsenter --net=PATH`. It holds while this value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd()))
    }
}

impl AsFd for NetNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What to do where no network namespace is given.
pub(crate) fn why_no_network(errno: Errno) -> &'static str {
    match errno {
        Errno::NOT_PERMITTED => {
            "be root, or an ordinary user in a user namespace; in a container, allow it (docker: --privileged)"
        }
        Errno::NO_SPACE => "too many namespaces: raise the sysctl user.max_net_namespaces",
        _ => "",
    }
}

fn open(path: &Path) -> Result<NetNamespace, ProcessError> {
    let file = File::open(path)
        .map_err(|error| ProcessError::of("open(/proc/.../ns/net)")(crate::datagram::errno(error)))?;
    Ok(NetNamespace { fd: file.into() })
}

/// On a thread of its own, since a thread that changed its namespace cannot be trusted to come back.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T, ProcessError> + Send) -> Result<T, ProcessError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .spawn_scoped(scope, work)
            .map_err(|error| ProcessError::of("clone(CLONE_THREAD)")(crate::datagram::errno(error)))?;
        thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}
