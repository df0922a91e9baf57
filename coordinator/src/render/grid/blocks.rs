//! The picture cut down to what can be read: each row and column by itself in a small cluster; in a large one only those
//! with trouble, and those that look the same as one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use mesh_proto::Plane;

use super::{Column, Grid, Mark, OnNode, Row};

/// Above this many nodes only rows and columns with trouble are shown.
const WHOLE_UP_TO_NODES: usize = 30;

/// Node numbers, in order.
pub(in crate::render) type Members = Vec<usize>;

/// Rows that look the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::render) struct Line {
    pub(in crate::render) nodes: Members,
    /// Several where the planes of a node are taken together.
    pub(in crate::render) planes: Vec<Plane>,
}

/// Columns that stand together under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::render) struct Group {
    pub(in crate::render) title: String,
    /// What the columns are, where they are of nodes.
    pub(in crate::render) nodes: Members,
    /// A letter for each, and what it is.
    pub(in crate::render) columns: Vec<(char, Column)>,
}

/// What is shown of a grid.
#[derive(Debug)]
pub(in crate::render) struct Blocks<'g, 'r> {
    grid: &'g Grid<'r>,
    pub(in crate::render) lines: Vec<Line>,
    pub(in crate::render) groups: Vec<Group>,
    /// Rows and columns without trouble were left out.
    pub(in crate::render) cut_down: bool,
}

impl<'g, 'r> Blocks<'g, 'r> {
    /// All of a small cluster, the trouble of a large one.
    pub(in crate::render) fn new(grid: &'g Grid<'r>) -> Self {
        if grid.nodes.len() > WHOLE_UP_TO_NODES {
            Self::troubles(grid)
        } else {
            Self::whole(grid)
        }
    }

    /// Every row and column by itself.
    pub(in crate::render) fn whole(grid: &'g Grid<'r>) -> Self {
        let lines = grid.rows.iter().map(|row| Line {
            nodes: vec![row.node],
            planes: vec![row.plane],
        });
        let nodes = (0..grid.nodes.len()).map(|node| vec![node]);
        Self {
            grid,
            lines: lines.collect(),
            groups: groups(grid, nodes, |_| true),
            cut_down: false,
        }
    }

    /// Every node by itself, its planes taken together: half as many rows.
    pub(in crate::render) fn by_node(grid: &'g Grid<'r>) -> Self {
        let mut planes: BTreeMap<usize, Vec<Plane>> = BTreeMap::new();
        for row in &grid.rows {
            planes.entry(row.node).or_default().push(row.plane);
        }
        let lines = planes.into_iter().map(|(node, planes)| Line {
            nodes: vec![node],
            planes,
        });
        Self {
            lines: lines.collect(),
            ..Self::whole(grid)
        }
    }

    fn troubles(grid: &'g Grid<'r>) -> Self {
        let mut of_rows: BTreeMap<Row, BTreeSet<(Column, Mark)>> = BTreeMap::new();
        let mut of_nodes: BTreeMap<usize, BTreeSet<(Row, OnNode, Mark)>> = BTreeMap::new();
        let mut services = BTreeSet::new();
        for (row, column, mark) in grid.troubles() {
            of_rows.entry(row).or_default().insert((column, mark));
            match column {
                Column::Node(node, on) => _ = of_nodes.entry(node).or_default().insert((row, on, mark)),
                service => _ = services.insert(service),
            }
            // An agent does not probe itself: that hole is taken to look as its node's other plane does, or no two
            // rows would ever look the same.
            if let Column::Node(node, on @ (OnNode::Pod | OnNode::Host)) = column
                && node == row.node
            {
                let own = OnNode::from(row.plane);
                if own != on && grid.mark(row, Column::Node(node, own)) == Mark::Blank {
                    of_rows
                        .entry(row)
                        .or_default()
                        .insert((Column::Node(node, own), mark));
                    of_nodes.entry(node).or_default().insert((row, own, mark));
                }
            }
        }
        let lines = alike(of_rows.into_iter().map(|(row, looks)| (row, (row.plane, looks))));
        let lines = lines.into_iter().map(|rows| Line {
            planes: vec![rows[0].plane],
            nodes: rows.into_iter().map(|row| row.node).collect(),
        });
        Self {
            grid,
            lines: lines.collect(),
            groups: groups(grid, alike(of_nodes).into_iter(), |service| {
                services.contains(&service)
            }),
            cut_down: true,
        }
    }

    /// What to show where a line meets a column of a group: the worst of what stands there.
    pub(in crate::render) fn mark(&self, line: &Line, group: &Group, column: Column) -> Mark {
        // Members look the same but for the holes on the diagonal: two of each are enough to find one that is none.
        let rows = line.nodes.iter().take(2).flat_map(|node| {
            line.planes.iter().map(|plane| Row {
                node: *node,
                plane: *plane,
            })
        });
        let columns = |row: Row| {
            let of_nodes = group.nodes.iter().take(2).map(move |node| match column {
                Column::Node(_, on) => Column::Node(*node, on),
                other => other,
            });
            let own = std::iter::once(column).filter(|_| group.nodes.is_empty());
            of_nodes.chain(own).map(move |column| (row, column))
        };
        rows.flat_map(columns)
            .map(|(row, column)| self.grid.mark(row, column))
            .max()
            .unwrap_or(Mark::Blank)
    }
}

/// Puts together what looks the same, in order of the first of each.
fn alike<T: Copy, L: Eq + Hash>(items: impl IntoIterator<Item = (T, L)>) -> Vec<Vec<T>> {
    let mut classes: Vec<Vec<T>> = Vec::new();
    let mut known: HashMap<L, usize> = HashMap::new();
    for (item, looks) in items {
        let class = *known.entry(looks).or_insert_with(|| {
            classes.push(Vec::new());
            classes.len() - 1
        });
        classes[class].push(item);
    }
    classes
}

/// The columns: nodes first, then services.
fn groups(
    grid: &Grid<'_>,
    nodes: impl Iterator<Item = Members>,
    shows: impl Fn(Column) -> bool,
) -> Vec<Group> {
    let mut letters = 'A'..='Z';
    let of_nodes = nodes.map(|nodes| {
        let first = nodes[0];
        let title = match nodes.len() {
            1 => (first + 1).to_string(),
            // Beyond the alphabet nobody looks them up any more.
            _ => letters.next().unwrap_or('+').to_string(),
        };
        let columns = grid
            .on_node
            .iter()
            .map(|on| (on.letter(), Column::Node(first, *on)));
        Group {
            title,
            nodes,
            columns: columns.collect(),
        }
    });
    let mut groups: Vec<Group> = of_nodes.filter(|group| !group.columns.is_empty()).collect();
    for column in grid.services.iter().copied().filter(|column| shows(*column)) {
        let (title, letter) = column.heading();
        match groups
            .last_mut()
            .filter(|group| group.nodes.is_empty() && group.title == title)
        {
            Some(group) => group.columns.push((letter, column)),
            None => groups.push(Group {
                title: title.to_owned(),
                nodes: Vec::new(),
                columns: vec![(letter, column)],
            }),
        }
    }
    groups
}

impl OnNode {
    pub(in crate::render) const fn letter(self) -> char {
        match self {
            Self::Pod => 'p',
            Self::Host => 'h',
            Self::NodePort => 'n',
        }
    }
}

impl Column {
    /// The heading of its group, and its own letter below.
    fn heading(self) -> (&'static str, char) {
        let digit = |number: usize| {
            u32::try_from(number + 1)
                .ok()
                .and_then(|number| char::from_digit(number, 10))
                .unwrap_or('+')
        };
        match self {
            Self::Node(_, on) => ("", on.letter()),
            Self::Api(0) => ("api", 's'),
            Self::Api(number) => ("api", digit(number)),
            Self::Dns(_) => ("dns", 's'),
            Self::Application => ("dns", 'a'),
            Self::DnsEndpoint(number) => ("dns", digit(number)),
            Self::Service(number) => ("svc", digit(number)),
            Self::External(number) => ("ext", digit(number)),
            Self::Loopback => ("lo", 'o'),
        }
    }
}
