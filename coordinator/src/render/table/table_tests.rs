use mesh_proto::Report;

use super::table;
use crate::render::Format;
use crate::render::plain::columns;
use crate::render::samples::{Try, empty, healthy, large, mesh, motley, report, with_finding};
use crate::render::tests::{bare, text};

#[test]
fn a_healthy_run_takes_ten_lines_at_the_most() {
    for nodes in [1, 2, 3, 4, 5, 6, 30, 31] {
        let mut report = healthy(nodes);
        // A long note takes two lines, which then are not there for the matrix.
        for (notes, most) in [(0, 5), (1, 3), (20, 0)] {
            report.notes = vec!["A note that is long enough to take more than one line of the table, which is eighty columns wide.".to_owned(); notes];
            let shown = bare(&report, Format::Table);
            assert!(shown.lines().count() <= 10, "{shown}");
            assert!(shown.starts_with("REACHABLE: all "), "{shown}");
            assert_eq!(shown.contains("from \\ to"), nodes <= most, "{shown}");
        }
    }
}

#[test]
fn a_small_healthy_cluster_shows_every_agent_and_what_the_letters_are() {
    let expected = "\
REACHABLE: all 48 cells over 2 nodes are reachable.
from \\ to  1  2
          ph ph
1 n1 pod   . ..
     host .  ..
2 n2 pod  ..  .
     host .. .
p pod, h host
48 of 48 cells observed; 1.2 s, 2026-01-01 00:00:00 UTC
";
    let trimmed = |report: &Report| -> String {
        bare(report, Format::Table)
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect()
    };
    assert_eq!(trimmed(&healthy(2)), expected);
    // A third node has no room for both of its planes, which look the same.
    let shown = trimmed(&healthy(3));
    assert!(shown.contains("\n3 n3 both .. .. ..\np pod, h host\n"), "{shown}");
}

#[test]
fn every_letter_of_a_healthy_matrix_is_told_in_one_line() {
    let mut report = motley();
    report.verdict = mesh_proto::Verdict::Reachable;
    report.findings.clear();
    report.notes.clear();
    report.nodes.truncate(1);
    for cell in &mut report.cells {
        cell.state = mesh_proto::CellState::Reachable;
    }
    let shown = bare(&report, Format::Table);
    let legend = "p pod, h host, n NodePorts, s service, a resolv.conf, 1.. endpoints, o loopback\n";
    assert!(shown.contains(legend) && legend.len() <= 81, "{shown}");
    assert!(shown.lines().count() <= 10, "{shown}");
}

#[test]
fn trouble_comes_first_and_in_order() {
    let broken = |on: Try<'_>| {
        if on.to == 2 && on.target == "pod" {
            "failed"
        } else {
            "reachable"
        }
    };
    let shown = bare(&with_finding(mesh(3, broken), "n2"), Format::Table);
    let order = [
        "UNREACHABLE: 20 of 120 cells over 3 nodes failed.",
        "FAILURE  n2, pod network, coming in",
        "  n2 drops packets that it should forward.",
        "  Cause     forward-dropped (likely), explains 12 cells",
        "  Evidence  12 cells: no answer before the deadline",
        "            Counters of FORWARD grow on the node",
        "  To do     iptables -L FORWARD -v -n | head -n 3 # and so on, a command long enough not to fit into one line\n",
        "\nWhat it means and how to cure it: mesh lab explain forward-dropped\n",
        "from \\ to",
        "Marks     . reachable, X failed",
        "Columns   p the node's pod network, h its own network",
        "Coverage  120 of 120 cells observed",
        "Time      1.2 s, 2026-01-01 00:00:00 UTC",
    ];
    let mut rest = shown.as_str();
    for words in order {
        let at = rest.find(words);
        assert!(at.is_some(), "`{words}` is missing or too early in\n{shown}");
        rest = &rest[at.unwrap_or_default() + words.len()..];
    }
    assert!(
        !shown.contains("overlay-port-blocked"),
        "what was ruled out is for wide"
    );
}

#[test]
fn lines_fit_the_terminal_but_for_commands() {
    for report in [
        motley(),
        mesh(30, |on: Try<'_>| if on.to == 3 { "failed" } else { "reachable" }),
    ] {
        for width in [40, 60, 80, 200] {
            let shown = anstream::adapter::strip_str(&table(&report, width)).to_string();
            for line in shown.lines().filter(|line| !line.contains("iptables")) {
                assert!(columns(line) <= width, "{width}: {line}");
            }
        }
    }
}

#[test]
fn long_names_do_not_break_the_layout() {
    let long = format!("{}.example", "x".repeat(240));
    let mut of = mesh(2, |on: Try<'_>| if on.to == 2 { "failed" } else { "reachable" });
    let text = serde_json::to_string(&of).unwrap().replace("n1", &long);
    of = serde_json::from_str(&text).unwrap();
    let shown = bare(&of, Format::Table);
    let rows: Vec<&str> = shown.lines().filter(|line| line.starts_with("1 xxx")).collect();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].contains("…") && columns(rows[0]) < 60, "{shown}");
}

#[test]
fn colour_is_there_and_nothing_depends_on_it() {
    let broken = mesh(2, |on: Try<'_>| if on.to == 2 { "failed" } else { "reachable" });
    assert!(text(&broken, Format::Table).contains("\u{1b}["));
    assert!(bare(&broken, Format::Table).contains('X'));
}

#[test]
fn absent_agents_are_told_once_for_each_reason() {
    let plane = |why: &str| serde_json::json!({"state": "absent", "why": why});
    let node = |name: &str, why: &str| serde_json::json!({"name": name, "planes": {"pod": plane(why), "host": plane("the link is silent")}});
    let nodes = [node("a", "the link is silent"), node("b", "Pending")];
    let cells = [crate::render::samples::cell(
        ("a", "pod"),
        "pod b",
        "tcp",
        "unknown",
    )];
    let shown = bare(&report(&nodes, &cells), Format::Table);
    assert!(
        shown.starts_with("UNKNOWN: the one cell over 2 nodes could not be checked."),
        "{shown}"
    );
    let words = "\nAgents of which there is no result:\n  a (both planes), b/host: the link is silent\n  b/pod: Pending\n";
    assert!(shown.contains(words), "{shown}");
}

#[test]
fn wide_lists_what_the_table_leaves_out() {
    let shown = bare(&motley(), Format::Wide);
    for words in [
        "Not       overlay-port-blocked: the overlay answers",
        "n1/host was left out: --planes pod",
        "n1/pod was starved: 3 late wake-ups",
        "n2/host: Pending: no room",
        "timeout; ICMP type 3 code 13 from 10.0.0.9",
        "local_error; errno 1 of sendmsg",
        "1 failed cell is under no finding.\n",
        ", 1 more skipped by design",
        "Note      ICMP to services was not planned.",
    ] {
        assert!(shown.contains(words), "`{words}` is missing:\n{shown}");
    }
    let times: Vec<&str> = shown
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        times,
        [
            "n1/pod", "tcp", "3", "85", "us", "1.2", "ms", "3.0", "s", "3.0", "s"
        ]
    );
    let listed = shown
        .lines()
        .filter(|line| line.contains(" failed  ") || line.contains(" unknown  "))
        .count();
    assert_eq!(listed, 5, "{shown}");
    assert!(
        !shown.contains(" skipped  ") && !shown.contains("node_port"),
        "what is skipped is nobody's trouble: {shown}"
    );
    assert!(
        shown.contains(" degraded  slow  "),
        "nothing was lost there: {shown}"
    );
}

#[test]
fn a_large_cluster_fits_a_screen() {
    let down = |on: Try<'_>| if on.to == 7 { "failed" } else { "reachable" };
    let shown = bare(&large(40, down), Format::Table);
    assert!(shown.lines().count() < 20, "{shown}");
    assert!(shown.contains("40 nodes: 1-40 pod  XX"), "{shown}");
    assert!(shown.contains("Nodes     7 n7"), "{shown}");
    let empty: Report = empty();
    assert_eq!(bare(&empty, Format::Table).lines().count(), 2);
}

#[test]
fn trouble_everywhere_ends_somewhere() {
    let odd = |on: Try<'_>| {
        if (on.from * 7 + on.to * 3).is_multiple_of(5) {
            "failed"
        } else {
            "reachable"
        }
    };
    let odd = |on: Try<'_>| {
        if on.probe == "tcp" && (on.from * on.to) % 13 == 1 {
            "failed"
        } else {
            odd(on)
        }
    };
    let shown = bare(&large(70, odd), Format::Table);
    assert!(shown.lines().count() < 220, "{}", shown.lines().count());
    assert!(shown.contains(" more target"), "{shown}");
}

#[test]
fn a_large_report_stays_readable() {
    let odd = |on: Try<'_>| {
        if (on.from * 7 + on.to * 3).is_multiple_of(5) {
            "failed"
        } else {
            "reachable"
        }
    };
    let mut report = large(70, odd);
    for number in 0..50 {
        report = with_finding(report, &format!("n{number}"));
    }
    let pairs = (0..1691).map(|to| ("n1".parse().unwrap(), format!("n{to}").parse().unwrap()));
    let finding = &mut report.findings[0];
    finding.place.nodes.clear();
    finding.place.pairs = pairs.collect();
    finding.summary = "Packets are lost ".repeat(2000);
    finding.evidence = (0..1691).map(|pair| format!("Pair {pair} lost all")).collect();
    for node in &mut report.nodes {
        let pod = node.planes.pod.as_mut().unwrap();
        pod.state = mesh_proto::PlaneState::Absent;
        pod.why = Some(format!(
            "link tcp:10.0.0.{}:9440: cannot connect: Connection refused (os error 111)",
            node.name.as_str().trim_start_matches('n')
        ));
    }
    report.coverage.unknown = 1;
    let shown = bare(&report, Format::Table);
    for words in [
        "1691 pairs: n1 to n0, n1 to n1, n1 to n2 and 1688 more, pod",
        "\n            Pair 5 lost all\n            and 1685 more (-o json)\n",
        "And 40 more findings; -o wide shows all.",
        "n1/pod, n2/pod, n3/pod, n4/pod and 66 more: cannot connect: Connection refused\n",
    ] {
        assert!(shown.contains(words), "`{words}` is missing:\n{shown}");
    }
    assert!(shown.lines().count() < 230, "{}:\n{shown}", shown.lines().count());
}

#[test]
fn the_path_by_which_only_the_run_reaches_an_agent_is_not_shown() {
    let mut report = mesh(3, |on| if on.from == 2 { "unknown" } else { "reachable" });
    let why = |plane: &str| {
        format!(
            "link unix:/proc/self/fd/11/2-{plane}: cannot connect: Connection refused (os error 111): no agent listens there"
        )
    };
    let planes = &mut report.nodes[1].planes;
    for (record, plane) in [(&mut planes.pod, "pod"), (&mut planes.host, "host")] {
        let record = record.as_mut().unwrap();
        record.state = mesh_proto::PlaneState::Absent;
        record.why = Some(why(plane));
    }
    for cell in &mut report.cells {
        cell.reason = Some(mesh_proto::CellReason::Words(format!(
            "no agent to probe from: {}",
            why("pod")
        )));
    }
    for format in [Format::Table, Format::Wide, Format::Html] {
        let shown = bare(&report, format);
        assert!(!shown.contains("/proc/self"), "{shown}");
    }
    let shown = bare(&report, Format::Table);
    let words = "  n2 (both planes): cannot connect: Connection refused: no agent listens there\n";
    assert!(shown.contains(words), "{shown}");
}
