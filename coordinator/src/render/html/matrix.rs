//! The matrix on a page: a table in a small cluster, one picture for each pair of planes in a large one.

use std::fmt::Write;

use super::panels::panels;
use crate::render::grid::{Blocks, Column, Grid, Group, Line, Mark, Shape};
use crate::render::markup::escape;
use crate::render::plain::count;

/// A table of more fields than these makes a browser slow; the pictures show the same.
const MOST_FIELDS: usize = 20_000;

pub(super) fn matrix(out: &mut String, grid: &Grid<'_>) {
    out.push_str(
        "<section id=\"matrix\" aria-labelledby=\"matrix-head\">\n<h2 id=\"matrix-head\">Matrix</h2>\n",
    );
    let blocks = Blocks::new(grid);
    if grid.rows.is_empty() {
        out.push_str("<p>No cells.</p>\n");
    }
    if blocks.cut_down {
        panels(out, grid);
    }
    let fields: usize = blocks
        .groups
        .iter()
        .map(|group| group.columns.len())
        .sum::<usize>()
        * blocks.lines.len();
    if fields > MOST_FIELDS {
        out.push_str("<p>Too much is wrong to be shown as a table.</p>\n");
    } else if fields > 0 {
        table(out, grid, &blocks);
    }
    out.push_str("</section>\n");
}

fn table(out: &mut String, grid: &Grid<'_>, blocks: &Blocks<'_, '_>) {
    let caption = if blocks.cut_down {
        "Rows and columns with trouble, alike ones as one. Rows are sources, columns targets; the worst probe shows."
    } else {
        "Rows are sources, columns targets; the worst probe shows."
    };
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"matrix-head\">\
         <table class=\"matrix\">\n<caption>{caption}</caption>\n<thead><tr><th rowspan=\"2\" scope=\"col\">from \\ to</th>"
    );
    for group in &blocks.groups {
        let _ = write!(
            out,
            "<th colspan=\"{}\" scope=\"colgroup\">{}</th>",
            group.columns.len(),
            title(grid, group)
        );
    }
    out.push_str("</tr>\n<tr>");
    for (letter, column) in blocks.groups.iter().flat_map(|group| &group.columns) {
        let _ = write!(
            out,
            "<th scope=\"col\"><abbr title=\"{}\">{letter}</abbr></th>",
            what(*column)
        );
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for line in &blocks.lines {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", source(grid, line));
        for group in &blocks.groups {
            for (_, column) in &group.columns {
                field(out, blocks.mark(line, group, *column));
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    legend(out);
}

fn field(out: &mut String, mark: Mark) {
    let class = class(mark.shape());
    let _ = match mark.shape() {
        Shape::Blank => write!(out, "<td></td>"),
        Shape::Fine | Shape::Skipped => write!(out, "<td class=\"{class}\">{}</td>", mark.letter()),
        _ => write!(
            out,
            "<td class=\"{class}\" title=\"{}\">{}</td>",
            mark.meaning(),
            mark.letter()
        ),
    };
}

/// The class of a shape, in tables and pictures alike.
pub(super) const fn class(shape: Shape) -> &'static str {
    match shape {
        Shape::Blank => "blank",
        Shape::Skipped => "quiet",
        Shape::Fine => "fine",
        Shape::Degraded | Shape::IcmpOnly => "warn",
        Shape::Unknown => "odd",
        Shape::Failed => "bad",
    }
}

/// The heading of a group, as HTML.
fn title(grid: &Grid<'_>, group: &Group) -> String {
    match group.nodes.as_slice() {
        [node] => {
            let name = escape(grid.nodes[*node].as_str());
            format!(
                "<a href=\"#n{}\" title=\"{name}\">{}</a>",
                node + 1,
                escape(&group.title)
            )
        }
        [] => escape(&group.title),
        nodes => format!(
            "<abbr title=\"{}\">{}</abbr>",
            escape(&names(grid, nodes)),
            escape(&group.title)
        ),
    }
}

/// The heading of a row, as HTML.
fn source(grid: &Grid<'_>, line: &Line) -> String {
    let planes: Vec<&str> = line.planes.iter().map(|plane| plane.name()).collect();
    let planes = planes.join(", ");
    match line.nodes.as_slice() {
        [node] => {
            let name = escape(grid.nodes[*node].as_str());
            format!("<a href=\"#n{0}\">{0} {name}</a> {planes}", node + 1)
        }
        nodes => format!(
            "<abbr title=\"{}\">{}</abbr> {planes}",
            escape(&names(grid, nodes)),
            count(nodes.len(), "node")
        ),
    }
}

fn names(grid: &Grid<'_>, nodes: &[usize]) -> String {
    const SHOWN: usize = 100;
    let listed = nodes
        .iter()
        .take(SHOWN)
        .map(|node| format!("{} {}", node + 1, grid.nodes[*node]));
    let mut names = listed.collect::<Vec<_>>().join(", ");
    if nodes.len() > SHOWN {
        let _ = write!(names, " and {} more", nodes.len() - SHOWN);
    }
    names
}

fn what(column: Column) -> &'static str {
    use crate::render::grid::OnNode;
    match column {
        Column::Node(_, OnNode::Pod) => "the node's pod network",
        Column::Node(_, OnNode::Host) => "the node's own network",
        Column::Node(_, OnNode::NodePort) => "the node's NodePorts",
        Column::Api(_) => "the API service",
        Column::Dns(_) => "the DNS service",
        Column::Application => "DNS as an application asks",
        Column::DnsEndpoint(_) => "an endpoint of DNS",
        Column::Service(_) => "a service",
        Column::External(_) => "an extra target",
        Column::Loopback => "the agent's own loopback",
    }
}

/// What the marks mean, with their colours.
pub(super) fn legend(out: &mut String) {
    use mesh_proto::ProbeKind;
    let marks = [
        Mark::Fine,
        Mark::Degraded,
        Mark::Unknown,
        Mark::Failed,
        Mark::FailedOne(ProbeKind::Icmp),
        Mark::FailedOne(ProbeKind::Tcp),
        Mark::FailedOne(ProbeKind::Udp),
        Mark::FailedOne(ProbeKind::PathMtu),
        Mark::FailedOne(ProbeKind::Tls),
        Mark::Skipped,
    ];
    out.push_str("<ul class=\"legend\" aria-label=\"Marks\">");
    for mark in marks {
        let _ = write!(
            out,
            "<li><span class=\"{}\">{}</span> {}</li>",
            class(mark.shape()),
            mark.letter(),
            mark.meaning()
        );
    }
    out.push_str("</ul>\n");
}
