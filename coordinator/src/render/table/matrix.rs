//! The matrix at a terminal: a row per source agent, a column per target, a letter each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use owo_colors::{OwoColorize, Style};

use crate::render::grid::{Blocks, Column, Grid, Group, Line, Mark, OnNode, Shape};
use crate::render::plain::{columns, count, padded, plain, shortened, some_of, wrap};

/// Longer names are cut in the middle; the numbers before them tell them apart.
const LONGEST_NAME: usize = 24;
/// A picture of more lines than these is none at a terminal: any two of 30 nodes have their place.
const MOST_LINES: usize = 60;
/// Where only trouble is shown, and alike rows as one, more lines than these have no pattern that an eye could see.
const MOST_LINES_OF_TROUBLE: usize = 30;
/// Nor has one that goes on below more often than this.
const MOST_BANDS: usize = 2;

/// Draws the matrix. Where it is wider than the terminal, the columns go on below.
pub(super) fn picture(out: &mut String, grid: &Grid<'_>, blocks: &Blocks<'_, '_>, width: usize) {
    let digits = grid.nodes.len().to_string().len();
    let labels: Vec<String> = labels(grid, blocks, digits);
    let margin = labels.iter().map(|label| columns(label)).max().unwrap_or(0);
    let bands = bands(&blocks.groups, width.saturating_sub(margin));
    let shown = if blocks.cut_down { MOST_BANDS } else { usize::MAX };
    let most_lines = most_lines(blocks);
    for band in bands.iter().copied().take(shown) {
        let mut titles = padded("from \\ to", margin);
        let mut letters = padded("", margin);
        for group in band {
            let wide = group_width(group);
            let below: String = group.columns.iter().map(|(letter, _)| *letter).collect();
            let _ = write!(titles, " {:>wide$}", group.title);
            let _ = write!(letters, " {below:>wide$}");
        }
        let _ = writeln!(out, "{}", titles.trim_end());
        let _ = writeln!(out, "{}", letters.trim_end().dimmed());
        for (line, label) in blocks.lines.iter().zip(&labels).take(most_lines) {
            out.push_str(&padded(label, margin));
            row(out, blocks, line, band);
        }
    }
    let rows = blocks.lines.len().saturating_sub(most_lines);
    let targets: usize = bands.iter().skip(shown).map(|band| band.len()).sum();
    let more = [(rows, "more row"), (targets, "more target")];
    let more = more.iter().filter(|(number, _)| *number > 0);
    let more: Vec<String> = more.map(|(number, what)| count(*number, what)).collect();
    if !more.is_empty() {
        let _ = writeln!(out, "and {}; -o html=FILE shows all", more.join(" and "));
    }
}

fn most_lines(blocks: &Blocks<'_, '_>) -> usize {
    if blocks.cut_down {
        MOST_LINES_OF_TROUBLE
    } else {
        MOST_LINES
    }
}

fn row(out: &mut String, blocks: &Blocks<'_, '_>, line: &Line, band: &[Group]) {
    let mut blank = 0;
    for group in band {
        blank += 1 + group_width(group) - group.columns.len();
        for (_, column) in &group.columns {
            let mark = blocks.mark(line, group, *column);
            if mark == Mark::Blank {
                blank += 1;
            } else {
                let _ = write!(out, "{:blank$}{}", "", mark.letter().style(style(mark)));
                blank = 0;
            }
        }
    }
    out.push('\n');
}

fn style(mark: Mark) -> Style {
    match mark.shape() {
        Shape::Blank => Style::new(),
        Shape::Skipped => Style::new().dimmed(),
        Shape::Fine => Style::new().green(),
        Shape::Degraded | Shape::IcmpOnly => Style::new().yellow().bold(),
        Shape::Unknown => Style::new().magenta().bold(),
        Shape::Failed => Style::new().red().bold(),
    }
}

fn group_width(group: &Group) -> usize {
    group.title.len().max(group.columns.len())
}

/// Cuts the groups into bands that fit.
fn bands(groups: &[Group], room: usize) -> Vec<&[Group]> {
    let mut bands = Vec::new();
    let mut start = 0;
    let mut used = 0;
    for (index, group) in groups.iter().enumerate() {
        let wide = 1 + group_width(group);
        if index > start && used + wide > room {
            bands.push(&groups[start..index]);
            (start, used) = (index, 0);
        }
        used += wide;
    }
    if start < groups.len() {
        bands.push(&groups[start..]);
    }
    bands
}

/// What stands before each row: number, name, plane. A node's name stands once.
fn labels(grid: &Grid<'_>, blocks: &Blocks<'_, '_>, digits: usize) -> Vec<String> {
    let mut before: Option<&Line> = None;
    let named = blocks.lines.iter().map(|line| {
        let repeats = before.is_some_and(|before| before.nodes == line.nodes);
        before = Some(line);
        match line.nodes.as_slice() {
            _ if repeats => (String::new(), String::new()),
            [node] => {
                let name = shortened(&plain(grid.nodes[*node].as_str()), LONGEST_NAME);
                ((node + 1).to_string(), name)
            }
            nodes => (
                String::new(),
                format!("{}: {}", count(nodes.len(), "node"), ranges(nodes, 2)),
            ),
        }
    });
    let named: Vec<(String, String)> = named.collect();
    let room = named.iter().map(|(_, name)| columns(name)).max().unwrap_or(0);
    let planes = blocks.lines.iter().map(|line| match line.planes.as_slice() {
        [plane] => plane.name(),
        _ => "both",
    });
    named
        .iter()
        .zip(planes)
        .map(|((number, name), plane)| format!("{number:>digits$} {} {plane:<4}", padded(name, room)))
        .collect()
}

/// Numbers as people write them: `1-6, 8-200`; at the most `shown` ranges.
fn ranges(nodes: &[usize], shown: usize) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for node in nodes.iter().map(|node| node + 1) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == node => *last = node,
            _ => ranges.push((node, node)),
        }
    }
    let all = ranges.len();
    let listed = ranges
        .into_iter()
        .take(shown)
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first}, {last}"),
            _ => format!("{first}-{last}"),
        });
    let listed: Vec<String> = listed.collect();
    let more = if all > shown { ", ..." } else { "" };
    listed.join(", ") + more
}

/// What the marks mean that are in the picture.
pub(super) fn marks_legend(out: &mut String, blocks: &Blocks<'_, '_>, width: usize) {
    let mut used: BTreeSet<Mark> = BTreeSet::new();
    for line in blocks.lines.iter().take(most_lines(blocks)) {
        for group in &blocks.groups {
            used.extend(
                group
                    .columns
                    .iter()
                    .map(|(_, column)| blocks.mark(line, group, *column)),
            );
        }
    }
    let mut meanings: BTreeMap<char, Mark> = BTreeMap::new();
    let mut order: Vec<char> = Vec::new();
    for mark in used.into_iter().filter(|mark| *mark != Mark::Blank) {
        if meanings.insert(mark.letter(), mark).is_none() {
            order.push(mark.letter());
        }
    }
    let entries = order
        .iter()
        .map(|letter| format!("{letter} {}", meanings[letter].meaning()));
    let entries: Vec<String> = entries.collect();
    let entries = format!(
        "{}; each stands for several cells, the worst counts",
        entries.join(", ")
    );
    wrap(out, "Marks     ", &entries, width);
}

/// What the letters below the titles are, in the one line that a healthy run has left for it.
pub(super) fn letters_legend(out: &mut String, blocks: &Blocks<'_, '_>, width: usize) {
    let mut entries: Vec<&str> = Vec::new();
    for (_, column) in blocks.groups.iter().flat_map(|group| &group.columns) {
        let entry = match column {
            Column::Node(_, OnNode::Pod) => "p pod",
            Column::Node(_, OnNode::Host) => "h host",
            Column::Node(_, OnNode::NodePort) => "n NodePorts",
            Column::Api(0) | Column::Dns(_) => "s service",
            Column::Application => "a resolv.conf",
            Column::DnsEndpoint(_) => "1.. endpoints",
            Column::Loopback => "o loopback",
            Column::Api(_) | Column::Service(_) | Column::External(_) => continue,
        };
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    if !entries.is_empty() {
        wrap(out, "", &entries.join(", "), width);
    }
}

/// So many endpoints are told by the nodes that they stand on.
const ENDPOINTS_TOLD: usize = 3;

/// Where the endpoints of DNS stand, if they are few.
fn dns_endpoints(grid: &Grid<'_>) -> String {
    let on = &grid.dns_endpoints;
    if !(1..=ENDPOINTS_TOLD).contains(&on.len()) {
        return "1.. its endpoints".to_owned();
    }
    let told = on
        .iter()
        .map(|(number, node)| format!("{} endpoint on {}", number + 1, plain(grid.nodes[*node].as_str())));
    told.collect::<Vec<_>>().join(", ")
}

/// What the columns are.
pub(super) fn columns_legend(out: &mut String, grid: &Grid<'_>, blocks: &Blocks<'_, '_>, width: usize) {
    let mut entries = Vec::new();
    if blocks.groups.iter().any(|group| !group.nodes.is_empty()) {
        entries.extend(grid.on_node.iter().map(|on| match on {
            OnNode::Pod => "p the node's pod network".to_owned(),
            OnNode::Host => "h its own network".to_owned(),
            OnNode::NodePort => match &grid.node_port_endpoints {
                on if (1..=ENDPOINTS_TOLD).contains(&on.len()) && on.len() < grid.nodes.len() => {
                    let names = on.iter().map(|node| plain(grid.nodes[*node].as_str()));
                    format!(
                        "n its NodePorts (endpoints on {})",
                        some_of(names, ENDPOINTS_TOLD)
                    )
                }
                _ => "n its NodePorts".to_owned(),
            },
        }));
    }
    let shown: BTreeSet<Column> = blocks
        .groups
        .iter()
        .flat_map(|group| group.columns.iter().map(|(_, column)| *column))
        .collect();
    let has = |wanted: fn(&Column) -> bool| shown.iter().any(wanted);
    let endpoints = dns_endpoints(grid);
    let dns = [
        (has(|column| matches!(column, Column::Dns(_))), "s the service"),
        (
            has(|column| matches!(column, Column::Application)),
            "a as an application asks",
        ),
        (
            has(|column| matches!(column, Column::DnsEndpoint(_))),
            endpoints.as_str(),
        ),
    ];
    let dns: Vec<&str> = dns
        .iter()
        .filter(|(there, _)| *there)
        .map(|(_, what)| *what)
        .collect();
    if !dns.is_empty() {
        entries.push(format!("dns ({})", dns.join(", ")));
    }
    if has(|column| matches!(column, Column::Api(_))) {
        entries.push("api the API service".to_owned());
    }
    if has(|column| matches!(column, Column::Service(_))) {
        entries.push("svc services".to_owned());
    }
    if has(|column| matches!(column, Column::External(_))) {
        entries.push("ext extra targets".to_owned());
    }
    if has(|column| matches!(column, Column::Loopback)) {
        entries.push("lo the agent's loopback".to_owned());
    }
    wrap(out, "Columns   ", &entries.join(", "), width);
    for group in blocks.groups.iter().filter(|group| group.nodes.len() > 1) {
        let nodes = format!(
            "{} {}",
            count(group.nodes.len(), "node"),
            ranges(&group.nodes, 12)
        );
        wrap(out, &format!("          {} = ", group.title), &nodes, width);
    }
    if blocks.cut_down {
        // Numbers alone name nobody: those that stand for one node are told here.
        let rows: BTreeSet<usize> = single(blocks.lines.iter().map(|line| line.nodes.as_slice()));
        let columns = single(blocks.groups.iter().map(|group| group.nodes.as_slice()));
        let names = columns
            .difference(&rows)
            .map(|node| format!("{} {}", node + 1, plain(grid.nodes[*node].as_str())));
        let names: Vec<String> = names.collect();
        if !names.is_empty() {
            wrap(out, "Nodes     ", &some_of(names.into_iter(), 20), width);
        }
        wrap(
            out,
            "",
            "Only rows and columns with trouble are shown, alike ones as one; -o html=FILE shows all.",
            width,
        );
    }
}

fn single<'a>(members: impl Iterator<Item = &'a [usize]>) -> BTreeSet<usize> {
    members
        .filter_map(|nodes| match nodes {
            [node] => Some(*node),
            _ => None,
        })
        .collect()
}
