//! A plan on the wire.

use super::{WireError, address_bytes, parse_address, parse_u16, v1, words};
use crate::{AgentIndex, DnsQuestion, Expect, Micros, Millis, Pacing, Plan, PlannedProbe, Port, ProbeId};

impl Plan {
    /// The message that asks an agent for this plan.
    pub fn to_wire(&self, run_id: &str) -> v1::ProbeRequest {
        v1::ProbeRequest {
            run_id: run_id.to_owned(),
            packets_per_second: self.pacing.packets_per_second,
            burst: self.pacing.burst,
            spread_ms: self.pacing.spread.0,
            probes: self.probes.iter().map(probe_to_wire).collect(),
        }
    }

    /// Parses a plan that a coordinator sent.
    pub fn from_wire(request: &v1::ProbeRequest) -> Result<Self, WireError> {
        if request.packets_per_second == 0 || request.burst == 0 {
            return Err(WireError::new(
                "pacing",
                "packets_per_second and burst must be at least 1",
            ));
        }
        Ok(Self {
            pacing: Pacing {
                packets_per_second: request.packets_per_second,
                burst: request.burst,
                spread: Millis(request.spread_ms),
            },
            probes: request
                .probes
                .iter()
                .map(probe_from_wire)
                .collect::<Result<_, _>>()?,
        })
    }
}

pub(super) fn probe_to_wire(probe: &PlannedProbe) -> v1::PlannedProbe {
    let who = match probe.expect {
        Expect::Agent(index) => v1::expect::Who::Agent(index.0),
        Expect::Anyone => v1::expect::Who::Anyone(true),
    };
    v1::PlannedProbe {
        id: probe.id.0,
        kind: words::kind_to_wire(probe.kind),
        address: address_bytes(probe.address),
        port: probe.port.0.into(),
        expect: Some(v1::Expect { who: Some(who) }),
        flows: probe.flows.into(),
        tries: probe.tries.into(),
        interval_us: probe.interval.0,
        timeout_ms: probe.timeout.0,
        name: probe.dns.as_ref().map(|dns| dns.name.clone()).unwrap_or_default(),
        as_application: probe.dns.as_ref().is_some_and(|dns| dns.as_application),
    }
}

pub(super) fn probe_from_wire(probe: &v1::PlannedProbe) -> Result<PlannedProbe, WireError> {
    let expect = match probe.expect.as_ref().and_then(|expect| expect.who.as_ref()) {
        Some(v1::expect::Who::Agent(index)) => Expect::Agent(AgentIndex(*index)),
        Some(v1::expect::Who::Anyone(_)) => Expect::Anyone,
        None => return Err(WireError::new("expect", "who must answer is not said")),
    };
    let flows = parse_u16("flows", probe.flows)?;
    let tries = parse_u16("tries", probe.tries)?;
    if flows == 0 || tries == 0 {
        return Err(WireError::new("flows", "flows and tries must be at least 1"));
    }
    Ok(PlannedProbe {
        id: ProbeId(probe.id),
        kind: words::kind_from_wire("kind", probe.kind)?,
        address: parse_address("address", &probe.address)?,
        port: Port(parse_u16("port", probe.port)?),
        expect,
        flows,
        tries,
        interval: Micros(probe.interval_us),
        timeout: Millis(probe.timeout_ms),
        dns: (!probe.name.is_empty()).then(|| DnsQuestion {
            name: probe.name.clone(),
            as_application: probe.as_application,
        }),
    })
}
