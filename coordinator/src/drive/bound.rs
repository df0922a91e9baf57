//! How long an agent may take for its plan before it counts as hung.

use std::time::Duration;

use mesh_proto::{Plan, PlannedProbe, ProbeKind, WAVES};

/// Beyond what the plan itself needs: the agent's machine may be busy.
const GRACE: Duration = Duration::from_secs(15);

/// The longest that an agent which does its work can take. All probes of a plan run side by side, behind one pacer.
pub(super) fn longest(plan: &Plan) -> Duration {
    let packets: u64 = plan.probes.iter().map(packets).sum();
    let rate = u64::from(plan.pacing.packets_per_second.max(1));
    let paced = Duration::from_millis(packets.saturating_mul(1000) / rate);
    let slowest = plan.probes.iter().map(slowest).max().unwrap_or_default();
    let spread = Duration::from_millis(plan.pacing.spread.0.into());
    spread + paced + slowest + GRACE
}

/// Times that a probe may wait for its whole time-out, one after the other.
fn waits(probe: &PlannedProbe) -> u32 {
    match probe.kind {
        ProbeKind::Icmp | ProbeKind::Udp => WAVES,
        // The resolver walks its search list, and asks again (resolv.conf(5): six domains and two attempts at the most).
        ProbeKind::DnsUdp | ProbeKind::DnsTcp if probe.dns.as_ref().is_some_and(|dns| dns.as_application) => {
            12
        }
        // Connect, then data.
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsUdp | ProbeKind::DnsTcp => 2,
        // A binary search over 16 bits of size.
        ProbeKind::PathMtu => 17,
    }
}

fn slowest(probe: &PlannedProbe) -> Duration {
    let interval = Duration::from_micros(probe.interval.0.into());
    let timeout = Duration::from_millis(probe.timeout.0.into());
    (interval * probe.tries.into() + timeout) * waits(probe)
}

fn packets(probe: &PlannedProbe) -> u64 {
    u64::from(probe.flows) * u64::from(probe.tries) * u64::from(waits(probe))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_proto::{Expect, Micros, Millis, Pacing, Plan, PlannedProbe, Port, ProbeId, ProbeKind};

    use super::{GRACE, longest};

    fn probe(kind: ProbeKind, tries: u16, timeout: u32) -> PlannedProbe {
        PlannedProbe {
            id: ProbeId(0),
            kind,
            address: [192, 0, 2, 1].into(),
            port: Port(1),
            expect: Expect::Anyone,
            flows: 1,
            tries,
            interval: Micros(1_000),
            timeout: Millis(timeout),
            dns: None,
        }
    }

    fn plan(probes: Vec<PlannedProbe>) -> Plan {
        Plan {
            pacing: Pacing {
                packets_per_second: 10,
                burst: 1,
                spread: Millis(200),
            },
            probes,
        }
    }

    #[test]
    fn an_empty_plan_takes_no_longer_than_its_spread() {
        assert_eq!(longest(&plan(Vec::new())), GRACE + Duration::from_millis(200));
    }

    #[test]
    fn the_slowest_probe_counts_once_and_the_pacing_for_all() {
        let probes = vec![probe(ProbeKind::Icmp, 5, 2_000), probe(ProbeKind::Icmp, 5, 1_000)];
        // 200 ms spread, three waves of 10 packets at 10 a second, each with 5 intervals of 1 ms and a time-out of 2 s.
        assert_eq!(
            longest(&plan(probes)),
            GRACE + Duration::from_millis(200 + 3 * 1_000 + 3 * (5 + 2_000))
        );
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let most = PlannedProbe {
            flows: u16::MAX,
            interval: Micros(u32::MAX),
            ..probe(ProbeKind::PathMtu, u16::MAX, u32::MAX)
        };
        assert!(longest(&plan(vec![most; 100])) > Duration::from_secs(1_000_000));
    }
}
