//! The namespaces of a lab, and the one thread that starts commands in them.

use std::collections::BTreeMap;
use std::io;
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc;

use mesh_net::NetNamespace;

use crate::error::LabError;
use crate::topology::{Node, Pod, Role, Topology};

/// A place in the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// The switch between the nodes.
    Fabric,
    /// A node, by its number.
    Node(u32),
    /// A pod, by its node's number and its role.
    Pod(u32, Role),
}

impl Space {
    /// A node's place.
    pub fn of_node(node: &Node) -> Self {
        Self::Node(node.number)
    }

    /// A pod's place.
    pub fn of_pod(node: &Node, pod: &Pod) -> Self {
        Self::Pod(node.number, pod.role)
    }

    /// Its name: fabric, NODE or NODE/POD.
    pub fn name(self, topology: &Topology) -> String {
        let node = |number: u32| {
            let found = topology.nodes.iter().find(|node| node.number == number);
            found.map_or_else(|| number.to_string(), |node| node.name.as_str().to_owned())
        };
        match self {
            Self::Fabric => "fabric".to_owned(),
            Self::Node(number) => node(number),
            Self::Pod(number, role) => format!("{}/{}", node(number), role.facts().1),
        }
    }

    /// All places of a lab.
    pub fn all(topology: &Topology) -> Vec<Self> {
        let mut all = vec![Self::Fabric];
        for node in &topology.nodes {
            all.push(Self::of_node(node));
            all.extend(node.pods.iter().map(|pod| Self::of_pod(node, pod)));
        }
        all
    }
}

/// All namespaces of a lab. They are gone when this is dropped and what runs in them has ended.
#[derive(Debug)]
pub(crate) struct Spaces {
    namespaces: BTreeMap<Space, Arc<NetNamespace>>,
    /// A lock of our own: the system's may be held, or belong to root.
    xtables_lock: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Job {
    space: Arc<NetNamespace>,
    command: Command,
    started: mpsc::Sender<io::Result<Child>>,
}

impl Spaces {
    /// Makes a namespace for each place, and the thread. Agents that were told to die with their parent die with it.
    pub(crate) fn create(topology: &Topology, folder: &Path) -> Result<Self, LabError> {
        let namespaces = Space::all(topology)
            .into_iter()
            .map(|space| {
                Ok((
                    space,
                    Arc::new(NetNamespace::create().map_err(LabError::Namespaces)?),
                ))
            })
            .collect::<Result<_, LabError>>()?;
        let (jobs, incoming) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("lab-spawner".to_owned())
            .spawn(move || {
                for Job {
                    space,
                    mut command,
                    started,
                } in incoming
                {
                    let child = space
                        .enter()
                        .map_err(|error| io::Error::from(error.errno()))
                        .and_then(|()| command.spawn());
                    // The one who asked waits for it.
                    let _ = started.send(child);
                }
            })
            .map_err(LabError::Thread)?;
        let xtables_lock = folder.join("xtables.lock");
        Ok(Self {
            namespaces,
            xtables_lock,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// A namespace; `None` if there is no such place.
    pub(crate) fn get(&self, space: Space) -> Option<&Arc<NetNamespace>> {
        self.namespaces.get(&space)
    }

    /// For commands of other processes.
    pub(crate) fn path(&self, space: Space) -> PathBuf {
        self.get(space)
            .map(|namespace| namespace.path())
            .unwrap_or_default()
    }

    /// Starts a command in a place.
    pub(crate) fn spawn(&self, space: Space, mut command: Command) -> io::Result<Child> {
        // Ctrl-C is for the one who raised the lab: what is under way here is finished, then all is taken down in order.
        command.process_group(0);
        let gone = || io::Error::other("the lab is being taken down");
        let namespace = self
            .get(space)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
            .clone();
        let (started, child) = mpsc::channel();
        let job = Job {
            space: namespace,
            command,
            started,
        };
        self.jobs
            .as_ref()
            .ok_or_else(gone)?
            .send(job)
            .map_err(|_| gone())?;
        child.recv().map_err(|_| gone())?
    }

    /// Runs a tool in a place to its end, with some text as its input. It must succeed.
    pub(crate) fn run(
        &self,
        space: Space,
        program: &'static str,
        arguments: &[&str],
        input: &str,
    ) -> Result<(), LabError> {
        let mut command = Command::new(program);
        command.env("XTABLES_LOCKFILE", &self.xtables_lock);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let tool = |source| LabError::Tool { program, source };
        let mut child = self.spawn(space, command).map_err(tool)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that ends before it has read all says why on stderr.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(tool)?;
        if output.status.success() {
            return Ok(());
        }
        if was_interrupted(output.status) {
            return Err(LabError::Interrupted);
        }
        Err(LabError::Command {
            command: [&[program], arguments].concat().join(" "),
            space: format!("{space:?}"),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Writes sysctls of a place, by their paths below /proc/sys.
    pub(crate) fn sysctls(&self, space: Space, sysctls: &[(String, &'static str)]) -> Result<(), LabError> {
        let Some(namespace) = self.get(space) else {
            return Ok(());
        };
        namespace
            .run(|| {
                for (name, value) in sysctls {
                    let path = format!("/proc/sys/{name}");
                    std::fs::write(&path, value).map_err(|source| LabError::Sysctl { path, source })?;
                }
                Ok(())
            })
            .map_err(LabError::Namespaces)?
    }
}

/// Whether a child died as one does at Ctrl-C. A signal that comes before the child has left our process group is for it
/// too.
pub(crate) fn was_interrupted(status: ExitStatus) -> bool {
    // SIGHUP, SIGINT, SIGTERM: the same numbers on all Linux architectures.
    matches!(status.signal(), Some(1 | 2 | 15))
}

impl Drop for Spaces {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It ends with its channel; a panic in it was told already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::was_interrupted;

    #[test]
    fn ctrl_c_is_told_from_a_tool_that_says_no() {
        for (raw, expected) in [
            (2, true),
            (15, true),
            (1, true),
            (9, false),
            (11, false),
            (2 << 8, false),
            (0, false),
        ] {
            assert_eq!(was_interrupted(ExitStatus::from_raw(raw)), expected, "{raw:#x}");
        }
    }
}
