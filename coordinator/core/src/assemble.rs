//! The report is put together here: nodes, coverage, cells, findings.

use mesh_proto::{
    Cell, CellFrom, CellState, CertificateRecord, Coverage, Finding, FlowRecord, Ground, IcmpRecord,
    KindRttRecord, LeftOut, LocalErrorRecord, Node, Observation, PlaneRecord, PlaneState, Planes, ProbeKind,
    Report, RotationRecord, RttUs, Run, SCHEMA, TargetKind, To,
};

use crate::judge::{Judge, Judged, Tally, why_absent};
use crate::matrix::Matrix;
use crate::round::{CellIndex, Target};
use crate::verdict::verdict;
use crate::{Presence, Rotation};

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

/// A report lists no more cells than this that are not reachable, unless all are asked for: of a large cluster that loses
/// packets everywhere there are millions. How many are left out it says.
pub(crate) const MOST_LISTED: usize = 20_000;

/// What the localiser hands over.
#[derive(Debug, Default)]
pub(crate) struct Located {
    pub(crate) findings: Vec<Finding>,
    pub(crate) unexplained: u32,
}

pub(crate) fn assemble(matrix: &Matrix, judge: &Judge<'_>, located: Located, info: RunInfo) -> Report {
    let tally = judge.tally();
    let all = info.all_cells || matrix.round().roster().nodes.len() <= ALL_CELLS_UP_TO_NODES;
    let cells: Vec<Cell> = listed(judge, &tally, all)
        .into_iter()
        .map(|cell| record(judge, cell, judge.of(cell)))
        .collect();
    let left_out = left_out(&tally, &cells);
    let mut notes = info.notes;
    notes.extend((!left_out.is_none()).then(|| {
        let LeftOut {
            failed,
            degraded,
            unknown,
            skipped,
        } = left_out;
        format!(
            "Not all cells that are not reachable are listed, there are too many: {failed} failed, {degraded} degraded, {unknown} unknown and {skipped} skipped ones are counted only."
        )
    }));
    Report {
        schema: SCHEMA.to_owned(),
        run: Run {
            id: info.id,
            ground: info.ground,
            started: info.started,
            finished: info.finished,
            version: mesh_proto::SOFTWARE.to_owned(),
        },
        verdict: verdict(judge, &tally, info.strict),
        nodes: nodes(matrix),
        coverage: Coverage {
            rotation: matrix.round().rotation().map(rotation),
            ..tally.coverage()
        },
        left_out,
        cells,
        findings: located.findings,
        unexplained: located.unexplained,
        strict: info.strict,
        interrupted: info.interrupted,
        notes,
    }
}

/// The cells that a report lists: all, or those that are not reachable. Where these are too many, the worst of them.
fn listed(judge: &Judge<'_>, tally: &Tally, all: bool) -> Vec<CellIndex> {
    let is_in_turn = |cell: &CellIndex| {
        let round = judge.matrix.round();
        let (from, target, _) = round.layout().what(*cell);
        round.is_in_turn(from, target)
    };
    if all {
        let cells = (0..judge.matrix.round().cell_count()).map(CellIndex);
        return cells.filter(is_in_turn).collect();
    }
    // What is left for each state once those before it have theirs.
    let failed = tally.failed.min(MOST_LISTED);
    let unknown = tally.unknown.min(MOST_LISTED - failed);
    let degraded = tally.degraded.min(MOST_LISTED - failed - unknown);
    let skipped = tally.skipped.min(MOST_LISTED - failed - unknown - degraded);
    let mut listed = Vec::with_capacity(failed + unknown + degraded + skipped);
    let mut left = [failed, degraded, unknown];
    judge.any_noted(|noted| {
        let left_of = match noted.judged.state {
            CellState::Failed => &mut left[0],
            CellState::Degraded => &mut left[1],
            CellState::Unknown => &mut left[2],
            CellState::Reachable | CellState::Skipped => return false,
        };
        if *left_of > 0 {
            *left_of -= 1;
            listed.push(noted.cell);
        }
        left == [0; 3]
    });
    let mut left = [left[2], skipped];
    if left != [0; 2] {
        for (agent, source) in judge.matrix.round().layout().sources() {
            let mut row = source.row.clone();
            // Where all was tried and observed there is nothing to be found but what is silent.
            if left[1] == 0 && judge.is_row_full(agent) {
                row = 0..0;
            }
            for cell in row
                .map(CellIndex)
                .filter(|cell| !judge.matrix.seen().is_observed(*cell) && is_in_turn(cell))
            {
                let left_of = match judge.of(cell).state {
                    CellState::Unknown => &mut left[0],
                    CellState::Skipped => &mut left[1],
                    _ => continue,
                };
                if *left_of > 0 {
                    *left_of -= 1;
                    listed.push(cell);
                }
            }
            if left == [0; 2] {
                break;
            }
        }
        listed.sort_unstable();
    }
    listed
}

fn rotation(of: &Rotation) -> RotationRecord {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    RotationRecord {
        peers: count(of.count()),
        of: count(of.others()),
        runs: count(of.looks()),
        // How long a run takes its driver knows.
        within_s: 0,
        next: count(of.next()),
    }
}

fn left_out(tally: &Tally, cells: &[Cell]) -> LeftOut {
    let mut listed = [0_usize; 4];
    for cell in cells {
        match cell.state {
            CellState::Failed => listed[0] += 1,
            CellState::Degraded => listed[1] += 1,
            CellState::Unknown => listed[2] += 1,
            CellState::Skipped => listed[3] += 1,
            CellState::Reachable => {}
        }
    }
    let rest = |all: usize, listed: usize| u32::try_from(all - listed).unwrap_or(u32::MAX);
    LeftOut {
        failed: rest(tally.failed, listed[0]),
        degraded: rest(tally.degraded, listed[1]),
        unknown: rest(tally.unknown, listed[2]),
        skipped: rest(tally.skipped, listed[3]),
    }
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

fn record(judge: &Judge<'_>, number: CellIndex, judged: Judged) -> Cell {
    let matrix = judge.matrix;
    let roster = matrix.round().roster();
    let cell = matrix.round().cell(number);
    let seen = matrix.observation(number);
    let seen = seen.as_deref();
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
        to: target(matrix, &cell),
        probe: cell.kind,
        state: judged.state,
        reason: judge.reason(number, judged),
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
    // Of what was not kept the ports are not known.
    let flows = flows.filter(|flow| flow.source_port != 0);
    flows
        .map(|flow| FlowRecord {
            source_port: flow.source_port,
            sent: flow.sent,
            received: flow.received,
        })
        .collect()
}

fn target(matrix: &Matrix, cell: &crate::PlannedCell) -> To {
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
            to.node = Some(roster.node_name(*node).clone());
            to.policy = roster.cluster.node_ports.get(*service).map(|offer| offer.policy);
        }
    }
    to
}
