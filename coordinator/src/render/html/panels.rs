//! The matrix of a large cluster as pictures: for each pair of planes one square, a row per source node, a column per
//! target node. A broken node is a cross, a broken direction a line, a split network a block.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use mesh_proto::Plane;

use super::matrix::class;
use crate::render::grid::{Column, Grid, OnNode, Row, Shape};
use crate::render::markup::escape;
use crate::render::plain::count;

/// Spots of one picture by shape, then row, then column.
type Spots = BTreeMap<Shape, BTreeMap<usize, BTreeSet<usize>>>;

pub(super) fn panels(out: &mut String, grid: &Grid<'_>) {
    let mut pictures: BTreeMap<(Plane, OnNode), Spots> = BTreeMap::new();
    for plane in Plane::ALL {
        for on in &grid.on_node {
            if grid.rows.iter().any(|row| row.plane == *plane) {
                pictures.insert((*plane, *on), Spots::new());
            }
        }
    }
    for (row, column, mark) in grid.not_fine() {
        if let Column::Node(node, on) = column {
            let spots = pictures.entry((row.plane, on)).or_default();
            spots
                .entry(mark.shape())
                .or_default()
                .entry(row.node)
                .or_default()
                .insert(node);
        }
    }
    troubled(out, grid);
    out.push_str(
        "<p>A row per source node, a column per target node, numbered as in the table of nodes. A broken node shows as a \
         cross, a broken direction as a line. Where there is trouble, pointing at a spot tells whose it is.</p>\n<ul class=\"legend\" aria-label=\"Colours\">\
         <li><span class=\"fine\">.</span> reachable</li><li><span class=\"warn\">~</span> thin bar: degraded</li>\
         <li><span class=\"odd\">?</span> dashed: unknown</li><li><span class=\"bad\">X</span> full: failed</li></ul>\n\
         <div class=\"panels\">\n",
    );
    for ((plane, on), spots) in &pictures {
        picture(out, grid, *plane, *on, spots);
    }
    out.push_str("</div>\n");
}

/// Nodes that are linked above the pictures.
const NODES_LINKED: usize = 40;
/// Spots of one picture that have words of their own: each takes a hundred bytes of the page.
const MOST_WORDS: usize = 500;

/// The nodes with trouble, those with most of it first, each a link to its row in the table of nodes.
fn troubled(out: &mut String, grid: &Grid<'_>) {
    let mut spots: BTreeMap<usize, usize> = BTreeMap::new();
    for (row, column, _) in grid.troubles() {
        *spots.entry(row.node).or_default() += 1;
        if let Column::Node(node, _) = column
            && node != row.node
        {
            *spots.entry(node).or_default() += 1;
        }
    }
    if spots.is_empty() {
        return;
    }
    let mut nodes: Vec<(usize, usize)> = spots.into_iter().collect();
    nodes.sort_by_key(|(node, number)| (std::cmp::Reverse(*number), *node));
    out.push_str("<p id=\"troubled\">Nodes with trouble, and in how many spots: ");
    let linked = nodes.iter().take(NODES_LINKED).map(|(node, number)| {
        let name = escape(grid.nodes[*node].as_str());
        format!("<a href=\"#n{0}\">{0} {name}</a> ({number})", node + 1)
    });
    out.push_str(&linked.collect::<Vec<_>>().join(", "));
    let more = nodes.len().saturating_sub(NODES_LINKED);
    if more > 0 {
        let _ = write!(out, " and {more} more");
    }
    out.push_str("</p>\n");
}

/// Words for spots with trouble, the worst first: a spot is too small to have its number beside it.
fn words(out: &mut String, grid: &Grid<'_>, on: OnNode, spots: &Spots) {
    let name = |node: usize| format!("{} {}", node + 1, escape(grid.nodes[node].as_str()));
    let runs = spots
        .iter()
        .rev()
        .filter(|(shape, _)| **shape >= Shape::Degraded)
        .flat_map(|(shape, rows)| rows.iter().map(move |(row, columns)| (shape, row, columns)))
        .flat_map(|(shape, row, columns)| runs(columns).into_iter().map(move |run| (shape, row, run)));
    let to = match on {
        OnNode::Pod | OnNode::Host => "",
        OnNode::NodePort => "NodePorts of ",
    };
    out.push_str("<g class=\"words\">");
    for (shape, row, (start, length)) in runs.take(MOST_WORDS) {
        let last = match length {
            1 => String::new(),
            _ => format!(" to {}", name(start + length - 1)),
        };
        let state = match shape {
            Shape::Degraded => "degraded",
            Shape::IcmpOnly => "only ICMP failed",
            Shape::Unknown => "unknown",
            _ => "failed",
        };
        let _ = write!(
            out,
            "<path d=\"M{start} {row}.5h{length}\"><title>from {} to {to}{}{last}: {state}</title></path>",
            name(*row),
            name(start)
        );
    }
    out.push_str("</g>\n");
}

fn picture(out: &mut String, grid: &Grid<'_>, plane: Plane, on: OnNode, spots: &Spots) {
    let nodes = grid.nodes.len();
    let to = match on {
        OnNode::Pod => "pod",
        OnNode::Host => "host",
        OnNode::NodePort => "NodePort",
    };
    let wrong: usize = spots
        .iter()
        .filter(|(shape, _)| !matches!(shape, Shape::Skipped | Shape::Blank))
        .flat_map(|(_, rows)| rows.values().map(BTreeSet::len))
        .sum();
    let title = format!("from {plane} to {to}: {} with trouble", count(wrong, "pair"));
    // The picture's unit is a node, so letters must grow with their number to stay readable.
    let letter = (nodes as f64 / 36.0).max(1.0);
    let margin = letter * 3.0;
    let side = nodes as f64 + margin;
    let _ = write!(
        out,
        "<figure><figcaption>{title}</figcaption>\n<svg role=\"img\" aria-label=\"{title}\" \
         viewBox=\"{:.1} {:.1} {side:.1} {side:.1}\">\n<rect class=\"fine\" width=\"{nodes}\" height=\"{nodes}\"/>\n",
        -margin, -margin
    );
    unplanned(out, grid, plane, on);
    for (shape, rows) in spots {
        let _ = write!(out, "<path class=\"{}\" d=\"", class(*shape));
        for (row, columns) in rows {
            for (start, length) in runs(columns) {
                let _ = write!(out, "M{start} {row}.5h{length}");
            }
        }
        out.push_str("\"/>\n");
    }
    axes(out, nodes, letter, spots);
    words(out, grid, on, spots);
    out.push_str("</svg></figure>\n");
}

/// Agents that are not part of the run, and the diagonal where an agent would probe itself.
fn unplanned(out: &mut String, grid: &Grid<'_>, plane: Plane, on: OnNode) {
    let nodes = grid.nodes.len();
    let mut path = String::new();
    let rows: BTreeSet<Row> = grid.rows.iter().copied().collect();
    for node in (0..nodes).filter(|node| !rows.contains(&Row { node: *node, plane })) {
        let _ = write!(path, "M0 {node}.5h{nodes}");
    }
    if on == OnNode::from(plane) {
        for node in 0..nodes {
            let _ = write!(path, "M{node} {node}.5h1");
        }
    }
    let _ = writeln!(out, "<path class=\"blank\" d=\"{path}\"/>");
}

/// Neighbours as one stroke: a picture of a network that is all down stays small.
fn runs(columns: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for column in columns {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == *column => *length += 1,
            _ => runs.push((*column, 1)),
        }
    }
    runs
}

/// Numbers along both sides: round ones, and those of nodes with the most trouble where they have room.
fn axes(out: &mut String, nodes: usize, letter: f64, spots: &Spots) {
    let step = [10, 20, 50, 100, 200, 500, 1000, 2000]
        .into_iter()
        .find(|step| nodes / step <= 12)
        .unwrap_or(5000);
    let mut of_rows: BTreeMap<usize, usize> = BTreeMap::new();
    let mut of_columns: BTreeMap<usize, usize> = BTreeMap::new();
    for (row, columns) in spots
        .iter()
        .filter(|(shape, _)| **shape >= Shape::Degraded)
        .flat_map(|(_, rows)| rows)
    {
        *of_rows.entry(*row).or_default() += columns.len();
        for column in columns {
            *of_columns.entry(*column).or_default() += 1;
        }
    }
    // A single pair is a dot in a large picture: a dash at the edge leads the eye to it.
    let dash = letter * 0.4;
    out.push_str("<path class=\"edge\" d=\"");
    for row in of_rows.keys() {
        let _ = write!(out, "M-{dash:.1} {row}.5h{dash:.1}");
    }
    for column in of_columns.keys() {
        let _ = write!(out, "M{column}.5 -{dash:.1}v{dash:.1}");
    }
    out.push_str("\"/>\n");
    let _ = write!(out, "<g font-size=\"{letter:.1}\">");
    for (node, is_bad) in ticks(nodes, step, letter, &of_rows) {
        let class = if is_bad { " class=\"named\"" } else { "" };
        let _ = write!(
            out,
            "<text{class} x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            -letter * 0.6,
            node as f64 + 0.5 + letter * 0.35,
            node + 1
        );
    }
    for (node, is_bad) in ticks(nodes, step, letter * 1.8, &of_columns) {
        let class = if is_bad { " class=\"named\"" } else { "" };
        let _ = write!(
            out,
            "<text{class} x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            node as f64 + 0.5,
            -letter * 0.6,
            node + 1
        );
    }
    out.push_str("</g>\n");
}

/// Which numbers to write: nodes with trouble in most of their pairs first, then round numbers, none too near another.
fn ticks(nodes: usize, step: usize, room: f64, trouble: &BTreeMap<usize, usize>) -> BTreeMap<usize, bool> {
    let bad = trouble
        .iter()
        .filter(|(_, number)| **number * 2 > nodes)
        .map(|(node, _)| (*node, true));
    let round = std::iter::once(0)
        .chain((step - 1..nodes).step_by(step))
        .map(|node| (node, false));
    let mut ticks: BTreeMap<usize, bool> = BTreeMap::new();
    for (node, is_bad) in bad.chain(round) {
        let is_near = |other: &usize| (other.abs_diff(node) as f64) < room;
        if !ticks.keys().any(is_near) {
            ticks.insert(node, is_bad);
        }
    }
    ticks
}
