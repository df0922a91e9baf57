//! A lab that stands.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use mesh_proto::AgentKey;

use crate::agents::{self, Agent};
use crate::error::LabError;
use crate::fault::{Action, Fault};
use crate::oddity;
use crate::options::LabOptions;
use crate::requirements;
use crate::servers::Servers;
use crate::services;
use crate::space::{Space, Spaces};
use crate::topology::Topology;
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
        requirements::check(options)?;
        let topology = Topology::of(options);
        let spaces = Spaces::create(&topology, folder)?;
        let first = wiring::first_sysctls(&topology);
        for space in Space::all(&topology) {
            spaces.sysctls(space, &first)?;
        }
        let batch = wiring::fabric(&topology, |node| spaces.path(Space::of_node(node)));
        spaces.run(Space::Fabric, "ip", &["-batch", "-"], &batch)?;
        let views = topology.views();
        for index in 0..topology.nodes.len() {
            go_on(Step::Wiring(index, topology.nodes.len()))?;
            wire(&views, index, &spaces)?;
        }
        let servers = Servers::start(&views, &spaces)?;
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
            self.act(&action).map_err(|error| fault.not_here(error))?;
        }
        Ok(())
    }

    fn act(&mut self, action: &Action) -> Result<(), LabError> {
        action.perform(&self.topology, &self.spaces, &self.servers, &mut self.agents)
    }
}

/// Wires one node and its pods. `views` are the lab's families.
fn wire(views: &[Topology], index: usize, spaces: &Spaces) -> Result<(), LabError> {
    let of_node = || {
        views
            .iter()
            .filter_map(|view| Some((view, view.nodes.get(index)?)))
    };
    let Some((topology, node)) = of_node().next() else {
        return Ok(());
    };
    let space = Space::of_node(node);
    let mut batch = wiring::node_devices(topology, node, |pod| spaces.path(Space::of_pod(node, pod)));
    of_node().for_each(|(view, node)| batch += &wiring::node_addresses(view, node));
    spaces.run(space, "ip", &["-batch", "-"], &batch)?;
    let entries: String = of_node()
        .map(|(view, node)| wiring::overlay_entries(view, node))
        .collect();
    if !entries.is_empty() {
        spaces.run(space, "bridge", &["-batch", "-"], &entries)?;
    }
    spaces.sysctls(space, &wiring::node_sysctls(topology, node))?;
    for (view, node) in of_node() {
        services::write(view, node).write(spaces)?;
        oddity::actions(view, node)
            .iter()
            .try_for_each(|action| action.write(spaces))?;
    }
    for (place, pod) in node.pods.iter().enumerate() {
        let space = Space::of_pod(node, pod);
        let mut batch = wiring::pod_devices();
        for (view, node) in of_node() {
            if let Some(pod) = node.pods.get(place) {
                batch += &wiring::pod_addresses(view, node, pod);
            }
        }
        spaces.run(space, "ip", &["-batch", "-"], &batch)?;
        spaces.sysctls(space, &wiring::pod_sysctls(topology))?;
    }
    Ok(())
}
