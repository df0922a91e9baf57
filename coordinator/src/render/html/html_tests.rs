use crate::render::Format;
use crate::render::samples::{Try, healthy, large, motley, with_finding};
use crate::render::tests::{VOID, text, well_formed};

#[test]
fn the_page_needs_nothing_else() {
    let page = text(&motley(), Format::Html);
    for foreign in ["http://", "https://", "<script", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for needed in [
        "prefers-color-scheme: dark",
        "@media print",
        ":focus-visible",
        "<html lang=\"en\">",
        "tabindex=\"0\"",
        "href=\"#matrix\"",
        "id=\"matrix\"",
        "scope=\"row\"",
        "<caption>",
    ] {
        assert!(page.contains(needed), "{needed}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let down = |on: Try<'_>| if on.to == 7 { "failed" } else { "reachable" };
    for report in [motley(), healthy(3), large(40, down)] {
        let page = text(&report, Format::Html);
        for (_, after) in page
            .match_indices("href=\"#")
            .map(|(at, found)| page.split_at(at + found.len()))
        {
            let id = after.split('"').next().unwrap_or_default();
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
}

#[test]
fn it_tells_what_the_table_tells() {
    let page = text(&with_finding(motley(), "n2"), Format::Html);
    let said = well_formed(&page, VOID).unwrap().concat();
    for words in [
        "UNREACHABLE",
        "4 of 13 cells over 2 nodes failed",
        "n2, pod network, coming in",
        "forward-dropped",
        "overlay-port-blocked: the overlay answers",
        "absent; Pending: no room",
        "tcp 1.2 ms",
        "ICMP type 3 code 13 from 10.0.0.9",
        "1 failed cell under no finding",
        "12 of 13 cells observed",
        "1 cell skipped by design, not listed.",
    ] {
        assert!(said.contains(words), "{words}");
    }
}

#[test]
fn two_hundred_nodes_make_a_small_page_with_a_picture() {
    let down = |on: Try<'_>| match (on.from, on.to, on.target) {
        (_, 7, "pod") => "failed",
        (20, _, _) => "degraded",
        _ => "reachable",
    };
    let page = text(&large(200, down), Format::Html);
    assert!(page.len() < 1_000_000, "{}", page.len());
    well_formed(&page, VOID).unwrap();
    assert_eq!(page.matches("<svg ").count(), 4);
    assert!(page.contains("from pod to pod: 397 pairs with trouble"));
    // Row 20 is one stroke but for the hole on the diagonal and the column that failed.
    assert!(
        page.contains("M0 19.5h6M7 19.5h12M20 19.5h180"),
        "runs of neighbours"
    );
    assert!(
        page.contains("class=\"named\""),
        "the node at fault is on the axis"
    );
}

#[test]
fn a_small_cluster_has_a_table_and_no_picture() {
    let page = text(&healthy(3), Format::Html);
    assert_eq!(page.matches("<svg ").count(), 0);
    assert_eq!(page.matches("<td class=\"fine\">.</td>").count(), 6 * 6 - 6);
}

#[test]
fn trouble_in_a_picture_has_a_name() {
    let down = |on: Try<'_>| match (on.from, on.to, on.target, on.probe) {
        (_, 7, "pod", _) | (12, 30, "host", "icmp") => "failed",
        _ => "reachable",
    };
    let page = text(&large(200, down), Format::Html);
    for words in [
        "<title>from 12 n12 to 7 n7: failed</title>",
        "<title>from 12 n12 to 30 n30: only ICMP failed</title>",
        "Nodes with trouble, and in how many spots: <a href=\"#n7\">7 n7</a> (399), <a href=\"#n12\">12 n12</a>",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // All is down: the words end, the page stays small.
    let page = text(
        &large(200, |on| {
            if (on.from + on.to) % 2 == 0 {
                "failed"
            } else {
                "reachable"
            }
        }),
        Format::Html,
    );
    assert_eq!(page.matches("<title>from ").count(), 4 * 500);
    assert!(page.contains(" and 160 more</p>"));
}

#[test]
fn a_page_of_many_findings_ends_and_skipped_cells_are_only_counted() {
    let mut report = motley();
    for number in 0..150 {
        report = with_finding(report, &format!("n{number}"));
    }
    report.findings[0].evidence = (0..30).map(|number| format!("Cell {number}")).collect();
    let page = text(&report, Format::Html);
    assert_eq!(page.matches("<article ").count(), 100);
    assert!(page.contains("<p>And 51 more findings; the JSON form has all.</p>"));
    assert!(page.contains("<li>Cell 19</li><li>and 10 more; the JSON form has all</li>"));
    assert!(!page.contains("<td class=\"quiet\">skipped</td>"));
}

#[test]
fn only_commands_are_set_as_code() {
    let mut report = with_finding(healthy(2), "n1");
    report.findings[0].advice = vec!["ip -s link".to_owned(), "Allow UDP port 4789.".to_owned()];
    let page = text(&report, Format::Html);
    assert!(page.contains("<li><code>ip -s link</code></li><li>Allow UDP port 4789.</li>"));
}
