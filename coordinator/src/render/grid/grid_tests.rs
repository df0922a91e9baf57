use mesh_proto::{Plane, ProbeKind};

use super::{Blocks, Column, Grid, Mark, OnNode, Row};
use crate::render::samples::{Try, empty, healthy, mesh, motley, shortened};

fn row(node: usize, plane: Plane) -> Row {
    Row { node, plane }
}

fn titles(blocks: &Blocks<'_, '_>) -> Vec<String> {
    blocks.groups.iter().map(|group| group.title.clone()).collect()
}

#[test]
fn the_worst_probe_shows_and_one_kind_alone_by_its_letter() {
    type States = &'static [(&'static str, &'static str)];
    let cases: &[(States, Mark, char)] = &[
        (&[], Mark::Fine, '.'),
        (&[("udp", "degraded")], Mark::Degraded, '~'),
        (&[("udp", "degraded"), ("tcp", "unknown")], Mark::Unknown, '?'),
        (
            &[("udp", "failed"), ("tcp", "unknown")],
            Mark::FailedOne(ProbeKind::Udp),
            'U',
        ),
        (&[("icmp", "failed")], Mark::FailedOne(ProbeKind::Icmp), 'I'),
        (
            &[("path_mtu", "failed"), ("tcp", "degraded")],
            Mark::FailedOne(ProbeKind::PathMtu),
            'M',
        ),
        (&[("udp", "failed"), ("tcp", "failed")], Mark::Failed, 'X'),
        (&[("udp", "skipped")], Mark::Fine, '.'),
    ];
    for (states, mark, letter) in cases {
        let report = mesh(2, |on| match (on.from, on.plane, on.to, on.target) {
            (1, "pod", 2, "host") => states
                .iter()
                .find(|(probe, _)| *probe == on.probe)
                .map_or("reachable", |(_, state)| state),
            _ => "reachable",
        });
        for report in [report.clone(), shortened(report)] {
            let grid = Grid::new(&report);
            let seen = grid.mark(row(0, Plane::Pod), Column::Node(1, OnNode::Host));
            // What a short report lists as skipped alone is shown so: what else there was is not known.
            if *states != [("udp", "skipped")] || report.cells.len() > 1 {
                assert_eq!((seen, seen.letter()), (*mark, *letter), "{states:?}");
            }
        }
    }
}

#[test]
fn a_spot_of_which_all_failed_has_no_letter() {
    let report = mesh(2, |on| if on.to == 2 { "failed" } else { "reachable" });
    let grid = Grid::new(&report);
    assert_eq!(
        grid.mark(row(0, Plane::Pod), Column::Node(1, OnNode::Pod)),
        Mark::Failed
    );
}

#[test]
fn an_agent_does_not_probe_itself() {
    for report in [healthy(3), shortened(healthy(3))] {
        let grid = Grid::new(&report);
        assert_eq!(
            grid.mark(row(1, Plane::Pod), Column::Node(1, OnNode::Pod)),
            Mark::Blank
        );
        assert_eq!(
            grid.mark(row(1, Plane::Pod), Column::Node(1, OnNode::Host)),
            Mark::Fine
        );
        assert_eq!(grid.rows.len(), 6);
    }
}

#[test]
fn services_have_columns_of_their_own() {
    let report = motley();
    let grid = Grid::new(&report);
    assert_eq!(
        titles(&Blocks::new(&grid)),
        ["1", "2", "api", "dns", "svc", "ext", "lo"]
    );
    let marks = [
        (Column::Api(0), 'S'),
        (Column::Dns(0), 'U'),
        (Column::Application, '.'),
        (Column::DnsEndpoint(0), '~'),
        (Column::Node(1, OnNode::NodePort), '-'),
        (Column::Node(0, OnNode::Host), ' '),
    ];
    for (column, letter) in marks {
        assert_eq!(
            grid.mark(row(0, Plane::Pod), column).letter(),
            letter,
            "{column:?}"
        );
    }
}

#[test]
fn nothing_makes_an_empty_picture() {
    let report = empty();
    let grid = Grid::new(&report);
    let blocks = Blocks::new(&grid);
    assert!(blocks.lines.is_empty() && blocks.groups.is_empty());
}

#[test]
fn a_large_cluster_shows_trouble_only_and_alike_rows_as_one() {
    let down = |on: Try<'_>| match (on.from, on.to) {
        (7 | 8, _) => "unknown",
        (_, 7 | 8) => "failed",
        _ => "reachable",
    };
    for report in [mesh(31, down), shortened(mesh(31, down))] {
        let grid = Grid::new(&report);
        let blocks = Blocks::new(&grid);
        assert!(blocks.cut_down);
        let members: Vec<usize> = blocks.lines.iter().map(|line| line.nodes.len()).collect();
        assert_eq!(members, [29, 29, 2, 2]);
        assert_eq!(titles(&blocks), ["A", "B"]);
        let picture: Vec<String> = blocks
            .lines
            .iter()
            .map(|line| {
                let marks = blocks.groups.iter().flat_map(|group| {
                    group
                        .columns
                        .iter()
                        .map(|(_, column)| blocks.mark(line, group, *column).letter())
                });
                marks.collect()
            })
            .collect();
        assert_eq!(picture, ["..XX", "..XX", "????", "????"]);
    }
}

#[test]
fn a_large_healthy_cluster_has_nothing_to_show() {
    let report = shortened(healthy(40));
    let grid = Grid::new(&report);
    assert!(Blocks::new(&grid).lines.is_empty());
    assert_eq!(Blocks::whole(&grid).lines.len(), 80);
}
