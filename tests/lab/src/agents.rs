//! The agents of a lab: real `mesh probe` processes, one in each node and one in its agent pod.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use mesh_proto::{AgentKey, Plane, Port};

use crate::error::LabError;
use crate::space::{Space, Spaces, was_interrupted};
use crate::topology::{Role, Topology};

/// An agent that runs.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) key: AgentKey,
    pub(crate) socket: PathBuf,
    child: Child,
    /// Kept open: last words must find a pipe that is not broken.
    stderr: Option<BufReader<ChildStderr>>,
}

/// Starts all agents, then waits until each says that it is ready.
pub(crate) fn start(
    topology: &Topology,
    spaces: &Spaces,
    mesh: &Path,
    folder: &Path,
) -> Result<Vec<Agent>, LabError> {
    let resolv_conf = folder.join("resolv.conf");
    let text = format!(
        "nameserver {}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
        topology.dns()
    );
    std::fs::write(&resolv_conf, text).map_err(|source| LabError::Folder {
        path: resolv_conf.clone(),
        source,
    })?;
    let mut agents = Vec::new();
    for node in &topology.nodes {
        for plane in [Plane::Pod, Plane::Host] {
            let key = AgentKey {
                node: node.name.clone(),
                plane,
            };
            let space = match plane {
                Plane::Pod => Space::Pod(node.number, Role::Agent),
                Plane::Host => Space::of_node(node),
            };
            // By number: a node's name may be longer than a socket's path.
            let socket = folder.join(format!("{}-{plane}", node.number));
            let command = command(&key, mesh, &socket, topology.options.responder_port, &resolv_conf);
            let mut child = spaces.spawn(space, command).map_err(|source| LabError::Agent {
                agent: key.to_string(),
                said: source.to_string(),
            })?;
            let stderr = child.stderr.take().map(BufReader::new);
            agents.push(Agent {
                key,
                socket,
                child,
                stderr,
            });
        }
    }
    for agent in &mut agents {
        agent.wait_until_ready()?;
    }
    Ok(agents)
}

fn command(key: &AgentKey, mesh: &Path, socket: &Path, port: Port, resolv_conf: &Path) -> Command {
    let mut command = Command::new(mesh);
    command
        .arg("probe")
        .args(["--node", key.node.as_str(), "--plane", &key.plane.to_string()])
        .arg("--listen")
        .arg(format!("unix:{}", socket.display()))
        .args(["--responder-port", &port.to_string(), "--die-with-parent"])
        .arg("--resolv-conf")
        .arg(resolv_conf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // What was set for the coordinator must not steer its agents.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MESH_") {
            command.env_remove(name);
        }
    }
    // Nobody reads what an agent says once it is ready: a log would fill the pipe, and the agent would hang in it.
    command.env("MESH_LOG", "off");
    command
}

impl Agent {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self) -> Result<(), LabError> {
        let mut said = String::new();
        if let Some(stderr) = &mut self.stderr {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                if line.starts_with("ready") {
                    return Ok(());
                }
                said.push_str(&line);
                line.clear();
            }
            // It has closed its stderr: what is left of it was read.
            let _ = stderr.read_to_string(&mut said);
        }
        // Of one that has ended this changes nothing but to hear how.
        let _ = self.child.kill();
        if self.child.wait().is_ok_and(was_interrupted) {
            return Err(LabError::Interrupted);
        }
        Err(LabError::Agent {
            agent: self.key.to_string(),
            said: said.trim().to_owned(),
        })
    }

    /// Kills it, as a machine dies: without a word.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}
