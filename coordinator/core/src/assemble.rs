//! The report is put together here: nodes, coverage, cells, findings.

use mesh_proto::{
    Cell, CellFrom, CellState, CertificateRecord, Coverage, Finding, FlowRecord, Ground, IcmpRecord,
    KindRttRecord, LocalErrorRecord, Node, Observation, PlaneRecord, PlaneState, Planes, ProbeKind, Report,
    RttUs, Run, SCHEMA, TargetKind, To,
};

use crate::Presence;
use crate::judge::{Judged, why_absent};
use crate::matrix::{Matrix, judged_cells};
use crate::round::{PlannedCell, Target};
use crate::verdict::verdict;

/// What a driver knows of the run.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// Unique to the run.
    pub id: String,
    /// Where the agents stood.
    pub ground: Ground,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339.
    pub finished: String,
    /// Degraded cells count as failed.
    pub strict: bool,
    /// List healthy cells above [`ALL_CELLS_UP_TO_NODES`] too.
    pub all_cells: bool,
    /// The run was interrupted.
    pub interrupted: bool,
    /// What the reader should know besides.
    pub notes: Vec<String>,
}

/// Above this many nodes a report lists only cells that are not reachable, unless all are asked for.
pub const ALL_CELLS_UP_TO_NODES: usize = 64;

/// What the localiser hands over.
#[derive(Debug, Default)]
pub(crate) struct Located {
    pub(crate) findings: Vec<Finding>,
    pub(crate) unexplained: u32,
}

pub(crate) fn assemble(matrix: &Matrix, judged: &[Judged], located: Located, info: RunInfo) -> Report {
    let verdict = verdict(matrix, judged, info.strict);
    let coverage = coverage(judged);
    let all = info.all_cells || matrix.round().roster().nodes.len() <= ALL_CELLS_UP_TO_NODES;
    let listed =
        judged_cells(matrix, judged).filter(|(_, _, judged)| all || judged.state != CellState::Reachable);
    let cells = listed
        .map(|(number, cell, judged)| record(matrix, cell, matrix.observations()[number.0].as_ref(), judged));
    Report {
        schema: SCHEMA.to_owned(),
        run: Run {
            id: info.id,
            ground: info.ground,
            started: info.started,
            finished: info.finished,
            version: mesh_proto::SOFTWARE.to_owned(),
        },
        verdict,
        nodes: nodes(matrix),
        coverage,
        cells: cells.collect(),
        findings: located.findings,
        unexplained: located.unexplained,
        strict: info.strict,
        interrupted: info.interrupted,
        notes: info.notes,
    }
}

fn coverage(judged: &[Judged]) -> Coverage {
    let mut coverage = Coverage::default();
    for judged in judged {
        match judged.state {
            CellState::Reachable | CellState::Degraded | CellState::Failed => coverage.observed += 1,
            CellState::Unknown => coverage.unknown += 1,
            CellState::Skipped => coverage.skipped += 1,
        }
    }
    coverage.cells = coverage.observed + coverage.unknown;
    coverage
}

fn nodes(matrix: &Matrix) -> Vec<Node> {
    let roster = matrix.round().roster();
    let node = |node: &crate::RosterNode| {
        let mut planes = Planes::default();
        for (index, agent) in roster.indexed().filter(|(_, agent)| agent.key.node == node.name) {
            let record = matrix.agent(index);
            let (state, why) = match &agent.presence {
                Presence::Skipped { why } => (PlaneState::Skipped, Some(why.clone())),
                Presence::Present(_) if matrix.stands(index) => (PlaneState::Probed, None),
                Presence::Present(_) | Presence::Absent { .. } => {
                    (PlaneState::Absent, Some(why_absent(matrix, index)))
                }
            };
            let rtt = record
                .and_then(|record| record.summary.as_ref())
                .map(|summary| &summary.rtt);
            let rtt = rtt.into_iter().flatten().map(|of| KindRttRecord {
                probe: of.kind,
                count: of.count,
                rtt_us: of.rtt.into(),
            });
            let starved = record
                .filter(|record| record.starvation.late_wakeups > 0)
                .map(|record| {
                    let starvation = record.starvation;
                    format!(
                        "{} late wake-ups, the longest by {} ms",
                        starvation.late_wakeups, starvation.longest.0
                    )
                });
            planes.set(
                agent.key.plane,
                PlaneRecord {
                    address: agent.address,
                    state,
                    why,
                    rtt: rtt.collect(),
                    starved,
                },
            );
        }
        Node {
            name: node.name.clone(),
            zone: node.zone.clone(),
            planes,
        }
    };
    roster.nodes.iter().map(node).collect()
}

fn record(matrix: &Matrix, cell: &PlannedCell, seen: Option<&Observation>, judged: &Judged) -> Cell {
    let roster = matrix.round().roster();
    let from = &roster.agents[cell.from.0 as usize].key;
    let failure = seen.and_then(|seen| seen.failure.as_ref());
    let arrived = match cell.target {
        Target::Agent(to)
            if !matches!(judged.state, CellState::Reachable) && cell.kind != ProbeKind::Icmp =>
        {
            matrix.arrived(cell.from, to, cell.kind)
        }
        _ => None,
    };
    Cell {
        from: CellFrom {
            node: from.node.clone(),
            plane: from.plane,
        },
        to: target(matrix, cell),
        probe: cell.kind,
        state: judged.state,
        reason: judged.reason.clone(),
        detail: failure.and_then(|failure| failure.detail.clone()),
        icmp: failure.and_then(|failure| failure.icmp).map(|icmp| IcmpRecord {
            kind: icmp.kind,
            code: icmp.code,
            from: icmp.from,
        }),
        local_error: failure
            .and_then(|failure| failure.local.as_ref())
            .map(|local| LocalErrorRecord {
                errno: local.errno,
                call: local.call.clone(),
            }),
        sent: seen.map_or(0, |seen| seen.sent),
        received: seen.map_or(0, |seen| seen.received),
        resent: seen.map_or(0, |seen| seen.resent),
        rtt_us: seen
            .and_then(|seen| seen.rtt)
            .map(RttUs::from)
            .unwrap_or_default(),
        mtu: seen.and_then(|seen| seen.path_mtu).map(|found| found.largest),
        arrived,
        incomplete_flows: flows(seen),
        certificate: seen
            .and_then(|seen| seen.certificate.as_ref())
            .map(|shown| CertificateRecord {
                subject: shown.subject.clone(),
                issuer: shown.issuer.clone(),
                names: shown.names.clone(),
                not_after: shown.not_after,
                sha256: shown.sha256.clone(),
                verified: shown.verified,
            }),
    }
}

fn flows(seen: Option<&Observation>) -> Vec<FlowRecord> {
    let flows = seen.into_iter().flat_map(|seen| &seen.incomplete_flows);
    flows
        .map(|flow| FlowRecord {
            source_port: flow.source_port,
            sent: flow.sent,
            received: flow.received,
        })
        .collect()
}

fn target(matrix: &Matrix, cell: &PlannedCell) -> To {
    let roster = matrix.round().roster();
    let mut to = To {
        kind: TargetKind::External,
        node: None,
        address: cell.address,
        port: cell.port,
        policy: None,
        as_application: false,
    };
    match &cell.target {
        Target::Agent(index) => {
            let key = &roster.agents[index.0 as usize].key;
            to.kind = match key.plane {
                mesh_proto::Plane::Pod => TargetKind::Pod,
                mesh_proto::Plane::Host => TargetKind::Host,
            };
            to.node = Some(key.node.clone());
        }
        Target::Loopback => {
            to.kind = TargetKind::Loopback;
            to.node = Some(roster.agents[cell.from.0 as usize].key.node.clone());
        }
        Target::Api => to.kind = TargetKind::Api,
        Target::Dns { as_application } => {
            to.kind = TargetKind::Dns;
            to.as_application = *as_application;
        }
        Target::DnsEndpoint(number) => {
            to.kind = TargetKind::DnsEndpoint;
            to.node = roster
                .cluster
                .dns
                .as_ref()
                .and_then(|dns| dns.endpoints.get(*number))
                .map(|e| e.node.clone());
        }
        Target::NodePort { service, node } => {
            to.kind = TargetKind::NodePort;
            to.node = Some(node.clone());
            to.policy = roster.cluster.node_ports.get(*service).map(|offer| offer.policy);
        }
    }
    to
}
