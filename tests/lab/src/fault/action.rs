//! The steps of a fault: what each is, how the rows of the table spell it, and how it is done to a lab that stands.

use super::connections;
use crate::agents::Agent;
use crate::cidr::IpFamily;
use crate::error::LabError;
use crate::options::ServiceBackEnd;
use crate::servers::Servers;
use crate::space::{Space, Spaces};
use crate::topology::{Node, Topology};

/// One step of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Run a tool in a place.
    Run {
        space: Space,
        program: &'static str,
        arguments: Vec<String>,
        input: String,
    },
    /// Set a sysctl of a place.
    Sysctl {
        space: Space,
        name: String,
        value: &'static str,
    },
    /// Kill a node's agents.
    KillAgents { node: u32 },
    /// End the servers of a place.
    EndServers { space: Space },
    /// Fill the connection table of a place.
    FillConnections { space: Space },
}

impl Action {
    /// Does it.
    pub(crate) fn perform(
        &self,
        topology: &Topology,
        spaces: &Spaces,
        servers: &Servers,
        agents: &mut [Agent],
    ) -> Result<(), LabError> {
        match self {
            Self::Run { .. } | Self::Sysctl { .. } => self.write(spaces)?,
            Self::KillAgents { node } => {
                let dead = topology.nodes.iter().find(|one| one.number == *node);
                agents
                    .iter_mut()
                    .filter(|agent| dead.is_some_and(|dead| agent.key.node == dead.name))
                    .for_each(Agent::kill);
            }
            Self::EndServers { space } => servers.end(*space),
            Self::FillConnections { space } => {
                if let Some(namespace) = spaces.get(*space) {
                    namespace.run(connections::fill).map_err(LabError::Namespaces)??;
                }
            }
        }
        Ok(())
    }

    /// Does it as far as it is a matter of tools and sysctls, as the lab's own rules and oddities are.
    pub(crate) fn write(&self, spaces: &Spaces) -> Result<(), LabError> {
        match self {
            Self::Run {
                space,
                program,
                arguments,
                input,
            } => {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                spaces.run(*space, program, &arguments, input)
            }
            Self::Sysctl { space, name, value } => spaces.sysctls(*space, &[(name.clone(), *value)]),
            Self::KillAgents { .. } | Self::EndServers { .. } | Self::FillConnections { .. } => Ok(()),
        }
    }
}

/// Which of the two back ends of iptables a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackEnd {
    Nft,
    Legacy,
}

impl BackEnd {
    /// That of the lab's own rules. Beside kube-proxy's nftables mode others write by iptables-nft.
    pub(super) fn of(topology: &Topology) -> Self {
        match topology.options.services {
            ServiceBackEnd::IptablesNft | ServiceBackEnd::Nft => Self::Nft,
            ServiceBackEnd::IptablesLegacy => Self::Legacy,
        }
    }

    fn restore(self, family: IpFamily) -> &'static str {
        match (self, family) {
            (Self::Nft, IpFamily::V4) => "iptables-nft-restore",
            (Self::Nft, IpFamily::V6) => "ip6tables-nft-restore",
            (Self::Legacy, IpFamily::V4) => "iptables-legacy-restore",
            (Self::Legacy, IpFamily::V6) => "ip6tables-legacy-restore",
        }
    }
}

/// Rules of the family of `view`, in the back end of the lab's own.
pub(super) fn rules<'a>(
    view: &Topology,
    space: Space,
    table: &str,
    lines: impl IntoIterator<Item = &'a str>,
) -> Action {
    rules_by(BackEnd::of(view), view, space, table, lines)
}

/// Rules of the family of `view`, as `iptables-restore` reads them, beside those that stand there.
pub(super) fn rules_by<'a>(
    back_end: BackEnd,
    view: &Topology,
    space: Space,
    table: &str,
    lines: impl IntoIterator<Item = &'a str>,
) -> Action {
    let lines: Vec<&str> = lines.into_iter().collect();
    Action::Run {
        space,
        program: back_end.restore(view.family()),
        arguments: words("-w --noflush"),
        input: format!("*{table}\n{}\nCOMMIT\n", lines.join("\n")),
    }
}

/// A tool with its arguments.
pub(super) fn tool(space: Space, program: &'static str, arguments: &str) -> Action {
    Action::Run {
        space,
        program,
        arguments: words(arguments),
        input: String::new(),
    }
}

/// `ip` with many commands.
pub(super) fn ip_batch(space: Space, commands: &[String]) -> Action {
    Action::Run {
        space,
        program: "ip",
        arguments: words("-batch -"),
        input: commands.join("\n") + "\n",
    }
}

/// `nft` with a script.
pub(super) fn nft(space: Space, input: String) -> Action {
    Action::Run {
        space,
        program: "nft",
        arguments: words("-f -"),
        input,
    }
}

/// A sysctl of a node, by its path below /proc/sys.
pub(super) fn sysctl(node: &Node, name: &str, value: &'static str) -> Action {
    Action::Sysctl {
        space: Space::of_node(node),
        name: name.to_owned(),
        value,
    }
}

/// An address with the length of its family: one machine.
pub(super) fn alone(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => format!("{address}/32"),
        std::net::IpAddr::V6(address) => format!("{address}/128"),
    }
}

/// What iptables calls a protocol, in the family of `view`.
pub(super) fn protocol(view: &Topology, name: &'static str) -> &'static str {
    match (name, view.family()) {
        ("icmp", IpFamily::V6) => "ipv6-icmp",
        _ => name,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
