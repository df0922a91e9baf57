//! The matrix as a picture: a row per agent, a column per target, and in each spot the worst of the probes.

mod blocks;
mod spot;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use mesh_proto::{Cell, CellState, NodeName, Plane, PlaneState, Report, TargetKind, TrafficPolicy};

pub(super) use self::blocks::{Blocks, Group, Line};
use self::spot::Spot;
pub(super) use self::spot::{Mark, Shape};

/// A row: the agent of a node and plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Row {
    pub(super) node: usize,
    pub(super) plane: Plane,
}

/// A column: something that is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Column {
    /// A node's pod address, its own address, its NodePorts.
    Node(usize, OnNode),
    Api(usize),
    Dns(usize),
    /// DNS as an application asks.
    Application,
    DnsEndpoint(usize),
    Service(usize),
    External(usize),
    /// The source's own.
    Loopback,
}

/// What is probed on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum OnNode {
    Pod,
    Host,
    NodePort,
}

/// Services are columns of their own up to this many; all further ones share the last.
const MOST_SERVICES: usize = 9;

/// All spots of a report.
#[derive(Debug)]
pub(super) struct Grid<'a> {
    /// In the order of the report; their numbers are these plus one.
    pub(super) nodes: Vec<&'a NodeName>,
    /// Every row that was to be probed.
    pub(super) rows: Vec<Row>,
    /// What is probed on nodes.
    pub(super) on_node: Vec<OnNode>,
    /// What else is probed.
    pub(super) services: Vec<Column>,
    spots: HashMap<(Row, Column), Spot>,
    /// Agents that are part of the run.
    agents: BTreeSet<Row>,
    /// The report lists only cells that are not reachable.
    sparse: bool,
    /// The nodes that DNS endpoints stand on, by the endpoint's number, as far as the report lists their cells.
    pub(super) dns_endpoints: BTreeMap<usize, usize>,
    /// The nodes with endpoints behind the NodePorts, as far as the policy Local tells.
    pub(super) node_port_endpoints: BTreeSet<usize>,
}

impl<'a> Grid<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let (nodes, number) = numbered(report);
        let agents = report.nodes.iter().flat_map(|node| {
            let number = number[&node.name];
            let taking_part = Plane::ALL.iter().filter(|plane| {
                node.planes
                    .get(**plane)
                    .is_some_and(|record| record.state != PlaneState::Skipped)
            });
            taking_part.map(move |plane| Row {
                node: number,
                plane: *plane,
            })
        });
        let agents: BTreeSet<Row> = agents.collect();
        let coverage = report.coverage;
        let planned = coverage.cells as usize + coverage.skipped as usize;
        let sparse = report.cells.len() < planned;
        let services = Services::of(&report.cells);
        let mut spots: HashMap<(Row, Column), Spot> = HashMap::new();
        let mut dns_endpoints = BTreeMap::new();
        let mut node_port_endpoints = BTreeSet::new();
        for cell in &report.cells {
            let row = Row {
                node: number[&cell.from.node],
                plane: cell.from.plane,
            };
            let column = services.column(cell, |name| number[name]);
            let on = cell.to.node.as_ref().map(|name| number[name]);
            match (column, on) {
                (Column::DnsEndpoint(endpoint), Some(node)) => _ = dns_endpoints.insert(endpoint, node),
                (Column::Node(_, OnNode::NodePort), Some(node))
                    if cell.to.policy == Some(TrafficPolicy::Local) && cell.state != CellState::Skipped =>
                {
                    node_port_endpoints.insert(node);
                }
                _ => {}
            }
            let alone = sparse && spot::usually_several(cell.to.kind);
            spots
                .entry((row, column))
                .or_insert(Spot::new(alone))
                .take(cell.probe, cell.state);
        }
        let mut rows: BTreeSet<Row> = spots.keys().map(|(row, _)| *row).collect();
        let mut on_node = BTreeSet::new();
        let mut others = BTreeSet::new();
        for (_, column) in spots.keys() {
            match column {
                Column::Node(_, on) => _ = on_node.insert(*on),
                other => _ = others.insert(*other),
            }
        }
        if sparse {
            rows.extend(agents.iter().copied());
            on_node.extend(agents.iter().map(|agent| OnNode::from(agent.plane)));
        }
        Self {
            nodes,
            rows: rows.into_iter().collect(),
            on_node: on_node.into_iter().collect(),
            services: others.into_iter().collect(),
            spots,
            agents,
            sparse,
            dns_endpoints,
            node_port_endpoints,
        }
    }

    /// What a spot shows.
    pub(super) fn mark(&self, row: Row, column: Column) -> Mark {
        match self.spots.get(&(row, column)) {
            Some(spot) => spot.mark(),
            None if self.sparse && self.is_planned(row, column) => Mark::Fine,
            None => Mark::Blank,
        }
    }

    /// Spots that a report of any length has: all but those where all came through.
    pub(super) fn not_fine(&self) -> impl Iterator<Item = (Row, Column, Mark)> {
        let marks = self
            .spots
            .iter()
            .map(|((row, column), spot)| (*row, *column, spot.mark()));
        marks.filter(|(_, _, mark)| *mark != Mark::Fine)
    }

    /// Spots where something is wrong.
    pub(super) fn troubles(&self) -> impl Iterator<Item = (Row, Column, Mark)> {
        self.not_fine().filter(|(_, _, mark)| mark.is_trouble())
    }

    /// Whether a spot that no cell is listed for was probed all the same.
    fn is_planned(&self, row: Row, column: Column) -> bool {
        let target = |node, plane| {
            let target = Row { node, plane };
            target != row && self.agents.contains(&target)
        };
        self.agents.contains(&row)
            && match column {
                Column::Node(node, OnNode::Pod) => target(node, Plane::Pod),
                Column::Node(node, OnNode::Host) => target(node, Plane::Host),
                _ => true,
            }
    }
}

impl From<Plane> for OnNode {
    fn from(plane: Plane) -> Self {
        match plane {
            Plane::Pod => Self::Pod,
            Plane::Host => Self::Host,
        }
    }
}

/// The nodes of a report and their numbers. A report from elsewhere may have cells of nodes that it does not list.
fn numbered(report: &Report) -> (Vec<&NodeName>, HashMap<&NodeName, usize>) {
    let listed = report.nodes.iter().map(|node| &node.name);
    let used = report
        .cells
        .iter()
        .flat_map(|cell| std::iter::once(&cell.from.node).chain(&cell.to.node));
    let mut nodes = Vec::new();
    let mut number = HashMap::new();
    for name in listed.chain(used) {
        number.entry(name).or_insert_with(|| {
            nodes.push(name);
            nodes.len() - 1
        });
    }
    (nodes, number)
}

/// The addresses that stand for each kind of service, in order.
#[derive(Debug)]
struct Services(HashMap<(TargetKind, Option<IpAddr>, u16), usize>);

impl Services {
    fn of(cells: &[Cell]) -> Self {
        let keys: BTreeSet<_> = cells.iter().map(Self::key).collect();
        let mut next: HashMap<TargetKind, usize> = HashMap::new();
        let numbered = keys.into_iter().map(|key| {
            let next = next.entry(key.0).or_default();
            let number = (*next).min(MOST_SERVICES - 1);
            *next += 1;
            (key, number)
        });
        Self(numbered.collect())
    }

    fn key(cell: &Cell) -> (TargetKind, Option<IpAddr>, u16) {
        // One server is one column, whichever of its ports is asked.
        let port = match cell.to.kind {
            TargetKind::Service | TargetKind::External => cell.to.port.0,
            _ => 0,
        };
        (cell.to.kind, cell.to.address, port)
    }

    fn column(&self, cell: &Cell, number: impl Fn(&NodeName) -> usize) -> Column {
        let service = self.0.get(&Self::key(cell)).copied().unwrap_or_default();
        let on_node = |on| cell.to.node.as_ref().map(|name| Column::Node(number(name), on));
        let column = match cell.to.kind {
            TargetKind::Pod => on_node(OnNode::Pod),
            TargetKind::Host => on_node(OnNode::Host),
            TargetKind::NodePort => on_node(OnNode::NodePort),
            TargetKind::Service => Some(Column::Service(service)),
            TargetKind::Api => Some(Column::Api(service)),
            TargetKind::Dns if cell.to.as_application => Some(Column::Application),
            TargetKind::Dns => Some(Column::Dns(service)),
            TargetKind::DnsEndpoint => Some(Column::DnsEndpoint(service)),
            TargetKind::Loopback => Some(Column::Loopback),
            TargetKind::External => None,
        };
        // A pod, a host or a NodePort of no known node is an extra target like any other.
        column.unwrap_or(Column::External(service))
    }
}

#[cfg(test)]
#[path = "grid/grid_tests.rs"]
mod tests;
