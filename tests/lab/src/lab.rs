//! A lab that stands.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use mesh_proto::AgentKey;

use crate::agents::{self, Agent};
use crate::error::LabError;
use crate::fault::{Action, Fault};
use crate::options::LabOptions;
use crate::servers::Servers;
use crate::space::{Space, Spaces};
use crate::topology::{Node, Topology};
use crate::wiring;

/// A cluster-shaped network of namespaces, with agents in it. Gone when dropped, and when the process that raised it ends,
/// in whatever way: namespaces are held by descriptors only, and agents die with their parent.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: what stands in the namespaces goes before them.
    agents: Vec<Agent>,
    servers: Servers,
    spaces: Spaces,
    topology: Topology,
    faults: usize,
}

/// What is being done, for progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Namespaces are made and wired; so many of so many nodes.
    Wiring(usize, usize),
    /// Agents are started.
    Agents,
}

impl Lab {
    /// Raises a lab. `mesh` is the binary whose agents stand in it, `folder` is where their sockets go. Needs root, or a
    /// user namespace (see `mesh_net::become_root_in_user_namespace`). `step` is told what is being done, and says
    /// whether to go on.
    pub fn raise(
        options: &LabOptions,
        mesh: &Path,
        folder: &Path,
        mut step: impl FnMut(Step) -> bool,
    ) -> Result<Self, LabError> {
        options.check()?;
        let mut go_on = |now| {
            if step(now) {
                Ok(())
            } else {
                Err(LabError::Interrupted)
            }
        };
        let topology = Topology::of(options);
        let spaces = Spaces::create(&topology, folder)?;
        let batch = wiring::fabric(&topology, |node| spaces.path(Space::of_node(node)));
        spaces.run(Space::Fabric, "ip", &["-batch", "-"], &batch)?;
        for (done, node) in topology.nodes.iter().enumerate() {
            go_on(Step::Wiring(done, topology.nodes.len()))?;
            wire(&topology, node, &spaces)?;
        }
        let servers = Servers::start(&topology, &spaces)?;
        go_on(Step::Agents)?;
        let agents = agents::start(&topology, &spaces, mesh, folder)?;
        Ok(Self {
            agents,
            servers,
            spaces,
            topology,
            faults: 0,
        })
    }

    /// Who stands where.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Each agent with the path of its link's socket.
    pub fn links(&self) -> impl Iterator<Item = (&AgentKey, &Path)> {
        self.agents
            .iter()
            .map(|agent| (&agent.key, agent.socket.as_path()))
    }

    /// Each agent with its process.
    pub fn agent_processes(&self) -> impl Iterator<Item = (&AgentKey, u32)> {
        self.agents.iter().map(|agent| (&agent.key, agent.pid()))
    }

    /// Each place with a path to its network namespace, for other processes.
    pub fn namespaces(&self) -> impl Iterator<Item = (Space, PathBuf)> {
        Space::all(&self.topology)
            .into_iter()
            .map(|space| (space, self.spaces.path(space)))
    }

    /// Starts a command in a place.
    pub fn spawn(&self, space: Space, command: Command) -> std::io::Result<Child> {
        self.spaces.spawn(space, command)
    }

    /// Does a fault to the lab, on top of those that it has.
    pub fn inject(&mut self, fault: &Fault) -> Result<(), LabError> {
        self.faults += 1;
        for action in fault.actions(&self.topology, self.faults) {
            match action {
                Action::Run {
                    space,
                    program,
                    arguments,
                    input,
                } => {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    self.spaces.run(space, program, &arguments, &input)?;
                }
                Action::Sysctl { space, name, value } => {
                    self.spaces.sysctls(space, &[(name.to_owned(), value)])?;
                }
                Action::KillAgents { node } => self.kill_agents(node),
                Action::EndServers { space } => self.servers.end(space),
            }
        }
        Ok(())
    }

    fn kill_agents(&mut self, number: u32) {
        let Some(node) = self.topology.nodes.iter().find(|node| node.number == number) else {
            return;
        };
        self.agents
            .iter_mut()
            .filter(|agent| agent.key.node == node.name)
            .for_each(Agent::kill);
    }
}

/// Wires one node and its pods.
fn wire(topology: &Topology, node: &Node, spaces: &Spaces) -> Result<(), LabError> {
    let space = Space::of_node(node);
    let batch = wiring::node(topology, node, |pod| spaces.path(Space::of_pod(node, pod)));
    spaces.run(space, "ip", &["-batch", "-"], &batch)?;
    let entries = wiring::overlay_entries(topology, node);
    if !entries.is_empty() {
        spaces.run(space, "bridge", &["-batch", "-"], &entries)?;
    }
    spaces.sysctls(space, &wiring::node_sysctls(topology, node))?;
    let rules = wiring::rules(topology, node) + &wiring::filter_rules(topology, node);
    spaces.run(space, "iptables-restore", &["-w"], &rules)?;
    for pod in &node.pods {
        let space = Space::of_pod(node, pod);
        spaces.run(space, "ip", &["-batch", "-"], &wiring::pod(topology, node, pod))?;
        spaces.sysctls(space, &wiring::pod_sysctls())?;
    }
    Ok(())
}
