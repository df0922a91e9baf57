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
    /// The kernel has not what the lab's shape needs.
    #[error("{flag} needs {what}, which is missing here ({said})")]
    Missing {
        /// What asks for it.
        flag: &'static str,
        /// What is missing.
        what: &'static str,
        /// What the tool said that tried it.
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
    /// A connection table could not be filled.
    #[error("cannot {what}: {source}")]
    Connections {
        /// What was being done.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A fault that cannot be done on this machine.
    #[error("the fault {fault} cannot be raised here, it takes {takes}: {source}")]
    FaultNotHere {
        /// Which.
        fault: String,
        /// What it takes.
        takes: &'static str,
        /// What failed.
        source: Box<LabError>,
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

/// The tools of a lab, by the beginning of their names, and the Debian package of each.
pub const TOOLS: [(&str, &str); 5] = [
    ("iptables", "iptables"),
    ("ip6tables", "iptables"),
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("nft", "nftables"),
];

fn mend(program: &str, source: &io::Error) -> String {
    let package = TOOLS
        .iter()
        .find(|(name, _)| program.starts_with(name))
        .map(|(_, package)| package);
    match package {
        Some(package) if source.kind() == io::ErrorKind::NotFound => {
            format!(": install it, on Debian or Ubuntu by `apt-get install {package}`")
        }
        _ => String::new(),
    }
}
