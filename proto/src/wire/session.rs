//! The opening of a run on the wire.

use std::fmt;

use super::{WireError, parse_boot_id, parse_node, parse_u16, v1, words};
use crate::{AgentIdentity, AgentIndex, AgentKey, IcmpMode, PROTOCOL, Port, SOFTWARE};

/// The key of one run: probes and answers carry a MAC under it, so that agents answer nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct RunKey(pub [u8; 32]);

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key in a log is a key lost.
        f.write_str("RunKey(..)")
    }
}

/// What the coordinator hands over when a run opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// Unique to the run.
    pub run_id: String,
    /// The run's key.
    pub key: RunKey,
    /// The number of the agent spoken to.
    pub own: AgentIndex,
    /// Everybody who takes part; an agent's number is its place in this list.
    pub agents: Vec<AgentKey>,
}

impl Prepare {
    /// The message for it, with our own version.
    pub fn to_wire(&self) -> v1::PrepareRequest {
        let agents = (0..).zip(&self.agents).map(|(index, key)| v1::AgentRef {
            index,
            node: key.node.as_str().to_owned(),
            plane: words::plane_to_wire(key.plane),
        });
        v1::PrepareRequest {
            protocol: PROTOCOL,
            version: SOFTWARE.to_owned(),
            run_id: self.run_id.clone(),
            key: self.key.0.to_vec(),
            self_index: self.own.0,
            agents: agents.collect(),
        }
    }

    /// Parses the message. The version must have been checked before: a newer peer's message may mean something else.
    pub fn from_wire(message: &v1::PrepareRequest) -> Result<Self, WireError> {
        let key = <[u8; 32]>::try_from(message.key.as_slice())
            .map_err(|_| WireError::new("key", format!("32 bytes wanted, {} came", message.key.len())))?;
        let agents = (0..).zip(&message.agents).map(|(index, agent)| {
            if agent.index != index {
                return Err(WireError::new(
                    "agents.index",
                    format!("{index} wanted, {} came", agent.index),
                ));
            }
            Ok(AgentKey {
                node: parse_node("agents.node", &agent.node)?,
                plane: words::plane_from_wire("agents.plane", agent.plane)?,
            })
        });
        let agents: Vec<AgentKey> = agents.collect::<Result<_, _>>()?;
        if usize::try_from(message.self_index).map_or(true, |own| own >= agents.len()) {
            return Err(WireError::new("self_index", "it is not in the list of agents"));
        }
        Ok(Self {
            run_id: message.run_id.clone(),
            key: RunKey(key),
            own: AgentIndex(message.self_index),
            agents,
        })
    }
}

/// What an agent says of itself when a run opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Who it is.
    pub identity: AgentIdentity,
    /// Where it answers probes (TCP and UDP).
    pub responder_port: Port,
    /// How it may send ICMP echo.
    pub icmp: IcmpMode,
    /// Why it may not, in words; empty where it may.
    pub icmp_why: String,
    /// The name servers of its resolv.conf.
    pub nameservers: Vec<std::net::IpAddr>,
}

impl Prepared {
    /// The message for it, with our own version.
    pub fn to_wire(&self) -> v1::PrepareReply {
        v1::PrepareReply {
            protocol: PROTOCOL,
            version: SOFTWARE.to_owned(),
            node: self.identity.key.node.as_str().to_owned(),
            plane: words::plane_to_wire(self.identity.key.plane),
            boot_id: self.identity.boot_id.0.to_vec(),
            responder_port: self.responder_port.0.into(),
            icmp: Some(v1::IcmpAccess {
                mode: words::mode_to_wire(self.icmp),
                why: self.icmp_why.clone(),
            }),
            nameservers: self.nameservers.iter().map(ToString::to_string).collect(),
        }
    }

    /// Parses the message. The version must have been checked before.
    pub fn from_wire(message: &v1::PrepareReply) -> Result<Self, WireError> {
        let icmp = message
            .icmp
            .as_ref()
            .ok_or_else(|| WireError::new("icmp", "it is missing"))?;
        let nameservers = message.nameservers.iter().map(|text| {
            text.parse()
                .map_err(|_| WireError::new("nameservers", "not an IP address"))
        });
        Ok(Self {
            identity: AgentIdentity {
                key: AgentKey {
                    node: parse_node("node", &message.node)?,
                    plane: words::plane_from_wire("plane", message.plane)?,
                },
                boot_id: parse_boot_id("boot_id", &message.boot_id)?,
            },
            responder_port: Port(parse_u16("responder_port", message.responder_port)?),
            icmp: words::mode_from_wire("icmp.mode", icmp.mode)?,
            icmp_why: icmp.why.clone(),
            nameservers: nameservers.collect::<Result<_, _>>()?,
        })
    }
}
