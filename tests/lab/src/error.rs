//! Why a lab could not be raised.

use std::io;
use std::path::PathBuf;

use mesh_net::ProcessError;

use crate::fault::FaultError;
use crate::options::OptionsError;

/// Why a lab could not be raised, or a fault in it.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The options do not fit together.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A fault that this lab cannot have.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// The kernel gives us no namespaces.
    #[error("cannot make a network namespace: {0}")]
    Namespaces(#[source] ProcessError),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A tool is not there, or cannot be started.
    #[error("cannot run {program}: {source}{}", mend(program, source))]
    Tool {
        /// Which.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A tool said no.
    #[error("`{command}` failed in {space}: {said}")]
    Command {
        /// What was run.
        command: String,
        /// Where.
        space: String,
        /// What it said.
        said: String,
    },
    /// A sysctl could not be set.
    #[error("cannot write {path}: {source} (is /proc/sys mounted read-only, as in most containers?)")]
    Sysctl {
        /// Which.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A server of the lab could not start.
    #[error("cannot start the lab's {what}: {source}")]
    Server {
        /// Which.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// An agent could not start.
    #[error("the agent {agent} did not start: {said}")]
    Agent {
        /// Which.
        agent: String,
        /// What it said.
        said: String,
    },
    /// A folder for sockets and files.
    #[error("cannot write {}: {source}", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The tools of a lab, and the Debian package of each.
pub const TOOLS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("nft", "nftables"),
    ("iptables-restore", "iptables"),
];

fn mend(program: &str, source: &io::Error) -> String {
    let package = TOOLS
        .iter()
        .find(|(name, _)| *name == program)
        .map(|(_, package)| package);
    match package {
        Some(package) if source.kind() == io::ErrorKind::NotFound => {
            format!(": install it, on Debian or Ubuntu by `apt-get install {package}`")
        }
        _ => String::new(),
    }
}
