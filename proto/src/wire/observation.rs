//! Observations, summaries and tallies on the wire.

use super::{
    WireError, address_bytes, parse_address, parse_boot_id, parse_node, parse_u8, parse_u16, v1, words,
};
use crate::{
    AgentIdentity, AgentIndex, AgentKey, Certificate, Failure, FlowTally, IcmpError, KindRtt, LocalError,
    Micros, Millis, Observation, PathMtu, ProbeId, Rtt, Starvation, Summary, Tally,
};

impl Observation {
    /// The message for this observation.
    pub fn to_wire(&self) -> v1::Observation {
        v1::Observation {
            id: self.id.0,
            sent: self.sent,
            received: self.received,
            resent: self.resent,
            incomplete_flows: self.incomplete_flows.iter().map(flow_to_wire).collect(),
            rtt: self.rtt.map(rtt_to_wire),
            failure: self.failure.as_ref().map(failure_to_wire),
            path_mtu: self.path_mtu.map(|found| v1::PathMtu {
                largest: found.largest,
                tried: found.tried,
                told: found.told,
            }),
            responder: self.responder.as_ref().map(identity_to_wire),
            certificate: self.certificate.as_ref().map(certificate_to_wire),
            untried: self.untried.clone().unwrap_or_default(),
            starved: self.starved,
        }
    }

    /// Parses an observation that an agent sent.
    pub fn from_wire(message: &v1::Observation) -> Result<Self, WireError> {
        if message.received > message.sent || message.resent > message.received {
            return Err(WireError::new("received", "more answers than tries"));
        }
        Ok(Self {
            id: ProbeId(message.id),
            sent: message.sent,
            received: message.received,
            resent: message.resent,
            incomplete_flows: message
                .incomplete_flows
                .iter()
                .map(flow_from_wire)
                .collect::<Result<_, _>>()?,
            rtt: message.rtt.as_ref().map(rtt_from_wire),
            failure: message.failure.as_ref().map(failure_from_wire).transpose()?,
            path_mtu: message.path_mtu.as_ref().map(|found| PathMtu {
                largest: found.largest,
                tried: found.tried,
                told: found.told,
            }),
            responder: message.responder.as_ref().map(identity_from_wire).transpose()?,
            certificate: message.certificate.as_ref().map(certificate_from_wire),
            untried: (!message.untried.is_empty()).then(|| message.untried.clone()),
            starved: message.starved,
        })
    }
}

impl Summary {
    /// The message for this summary.
    pub fn to_wire(&self) -> v1::Summary {
        let rtt = self.rtt.iter().map(|of| v1::KindRtt {
            kind: words::kind_to_wire(of.kind),
            count: of.count,
            rtt: Some(rtt_to_wire(of.rtt)),
        });
        v1::Summary {
            starvation: Some(self.starvation.to_wire()),
            rtt: rtt.collect(),
        }
    }

    /// Parses a summary that an agent sent.
    pub fn from_wire(message: &v1::Summary) -> Result<Self, WireError> {
        let rtt = message.rtt.iter().map(|of| {
            Ok(KindRtt {
                kind: words::kind_from_wire("rtt.kind", of.kind)?,
                count: of.count,
                rtt: of.rtt.as_ref().map(rtt_from_wire).unwrap_or_default(),
            })
        });
        Ok(Self {
            starvation: message
                .starvation
                .as_ref()
                .map(Starvation::from_wire)
                .unwrap_or_default(),
            rtt: rtt.collect::<Result<_, WireError>>()?,
        })
    }
}

impl Starvation {
    /// The message for it.
    pub fn to_wire(self) -> v1::Starvation {
        v1::Starvation {
            late_wakeups: self.late_wakeups,
            longest_ms: self.longest.0,
            dropped_by_socket: self.dropped_by_socket,
        }
    }

    /// Reads the message.
    pub fn from_wire(message: &v1::Starvation) -> Self {
        Self {
            late_wakeups: message.late_wakeups,
            longest: Millis(message.longest_ms),
            dropped_by_socket: message.dropped_by_socket,
        }
    }
}

impl Tally {
    /// The message for it.
    pub fn to_wire(self) -> v1::Tally {
        v1::Tally {
            from_index: self.from.0,
            kind: words::kind_to_wire(self.kind),
            requests: self.requests,
        }
    }

    /// Parses a tally that an agent sent.
    pub fn from_wire(message: &v1::Tally) -> Result<Self, WireError> {
        Ok(Self {
            from: AgentIndex(message.from_index),
            kind: words::kind_from_wire("tally.kind", message.kind)?,
            requests: message.requests,
        })
    }
}

fn flow_to_wire(flow: &FlowTally) -> v1::FlowTally {
    v1::FlowTally {
        source_port: flow.source_port.into(),
        sent: flow.sent,
        received: flow.received,
    }
}

fn flow_from_wire(flow: &v1::FlowTally) -> Result<FlowTally, WireError> {
    Ok(FlowTally {
        source_port: parse_u16("flow.source_port", flow.source_port)?,
        sent: flow.sent,
        received: flow.received,
    })
}

fn rtt_to_wire(rtt: Rtt) -> v1::Rtt {
    v1::Rtt {
        min_us: rtt.min.0,
        p50_us: rtt.p50.0,
        p99_us: rtt.p99.0,
        max_us: rtt.max.0,
    }
}

fn rtt_from_wire(rtt: &v1::Rtt) -> Rtt {
    Rtt {
        min: Micros(rtt.min_us),
        p50: Micros(rtt.p50_us),
        p99: Micros(rtt.p99_us),
        max: Micros(rtt.max_us),
    }
}

fn failure_to_wire(failure: &Failure) -> v1::Failure {
    v1::Failure {
        reason: words::reason_to_wire(failure.reason),
        icmp: failure.icmp.map(icmp_to_wire),
        local: failure.local.as_ref().map(local_to_wire),
        detail: failure.detail.clone().unwrap_or_default(),
    }
}

fn failure_from_wire(failure: &v1::Failure) -> Result<Failure, WireError> {
    Ok(Failure {
        reason: words::reason_from_wire("reason", failure.reason)?,
        icmp: failure.icmp.as_ref().map(icmp_from_wire).transpose()?,
        local: failure.local.as_ref().map(local_from_wire),
        detail: (!failure.detail.is_empty()).then(|| failure.detail.clone()),
    })
}

pub(super) fn icmp_to_wire(icmp: IcmpError) -> v1::IcmpError {
    v1::IcmpError {
        r#type: icmp.kind.into(),
        code: icmp.code.into(),
        from: address_bytes(icmp.from),
    }
}

pub(super) fn icmp_from_wire(icmp: &v1::IcmpError) -> Result<IcmpError, WireError> {
    Ok(IcmpError {
        kind: parse_u8("icmp.type", icmp.r#type)?,
        code: parse_u8("icmp.code", icmp.code)?,
        from: parse_address("icmp.from", &icmp.from)?,
    })
}

pub(super) fn local_to_wire(local: &LocalError) -> v1::LocalError {
    v1::LocalError {
        errno: local.errno,
        call: local.call.clone(),
    }
}

pub(super) fn local_from_wire(local: &v1::LocalError) -> LocalError {
    LocalError {
        errno: local.errno,
        call: local.call.clone(),
    }
}

fn identity_to_wire(identity: &AgentIdentity) -> v1::AgentIdentity {
    v1::AgentIdentity {
        node: identity.key.node.as_str().to_owned(),
        plane: words::plane_to_wire(identity.key.plane),
        boot_id: identity.boot_id.0.to_vec(),
    }
}

fn identity_from_wire(identity: &v1::AgentIdentity) -> Result<AgentIdentity, WireError> {
    Ok(AgentIdentity {
        key: AgentKey {
            node: parse_node("responder.node", &identity.node)?,
            plane: words::plane_from_wire("responder.plane", identity.plane)?,
        },
        boot_id: parse_boot_id("responder.boot_id", &identity.boot_id)?,
    })
}

fn certificate_to_wire(certificate: &Certificate) -> v1::Certificate {
    v1::Certificate {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        names: certificate.names.clone(),
        not_after: certificate.not_after,
        sha256: certificate.sha256.clone(),
        verified: certificate.verified,
    }
}

fn certificate_from_wire(certificate: &v1::Certificate) -> Certificate {
    Certificate {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        names: certificate.names.clone(),
        not_after: certificate.not_after,
        sha256: certificate.sha256.clone(),
        verified: certificate.verified,
    }
}
