//! One page that needs nothing else: no script, no network, light and dark, printable, usable by keyboard.

mod matrix;
mod panels;

use std::fmt::{Display, Write};

use mesh_proto::{Cell, CellState, Finding, Node, Plane, PlaneRecord, Report, Severity, Verdict};

use super::advice::Advice;
use super::grid::Grid;
use super::headline::Headline;
use super::markup::escape;
use super::place::{place, source, target, why};
use super::plain::count;
use super::reason::readable;
use super::sentence::{coverage_sentence, rtt, run_sentence, time_sentence};
use super::wide::is_not_well;

/// Allows the page its own style, and nothing else.
const HEAD: &str = include_str!("html/head.html");
pub(crate) const CSS: &str = include_str!("html/page.css");

/// Beyond these a table of cells is no reading any more; the JSON form has all.
const CELLS_SHOWN: usize = 1000;
/// Nobody works through more findings than these.
const FINDINGS_SHOWN: usize = 100;
/// Nor through more evidence of one.
const ITEMS_SHOWN: usize = 20;

/// The page.
pub(super) fn html(report: &Report) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "{HEAD}<title>{}: mesh run {}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#matrix\">Go to the matrix</a>\n",
        escape(&Headline::of(report).lead()),
        escape(&report.run.id)
    );
    html_body(&mut out, report, "");
    out.push_str("</body>\n</html>\n");
    out
}

/// What the page shows of a report: its header, the parts and the footer; other parts may stand before its own.
pub(crate) fn html_body(out: &mut String, report: &Report, first_parts: &str) {
    let grid = Grid::new(report);
    let headline = Headline::of(report);
    let word = headline.lead();
    let class = match report.verdict {
        Verdict::Reachable => "good",
        Verdict::Unreachable => "bad",
        Verdict::Unknown => "odd",
    };
    let _ = write!(
        out,
        "<header class=\"{class}\">\n<h1>{}</h1>\n<p>{}</p>\n",
        escape(&word),
        escape(&headline.sentence)
    );
    if let Some(starved) = &headline.starved {
        let _ = writeln!(out, "<p>{}</p>", escape(starved));
    }
    out.push_str("<nav aria-label=\"Parts of this page\">");
    let parts = [
        ("findings", "Findings"),
        ("matrix", "Matrix"),
        ("nodes", "Nodes"),
        ("cells", "Cells"),
    ];
    for (id, name) in parts {
        let _ = write!(out, "<a href=\"#{id}\">{name}</a> ");
    }
    out.push_str("</nav>\n</header>\n<main>\n");
    out.push_str(first_parts);
    findings(out, report);
    matrix::matrix(out, &grid);
    nodes(out, report);
    cells(out, report);
    let _ = write!(
        out,
        "</main>\n<footer><p>{}</p><p>{}; {}</p>",
        escape(&coverage_sentence(report)),
        escape(&time_sentence(report)),
        escape(&run_sentence(report))
    );
    for note in &report.notes {
        let _ = write!(out, "<p>Note: {}</p>", escape(note));
    }
    out.push_str("</footer>\n");
}

fn findings(out: &mut String, report: &Report) {
    out.push_str("<section id=\"findings\" aria-labelledby=\"findings-head\">\n<h2 id=\"findings-head\">Findings</h2>\n");
    if report.findings.is_empty() {
        out.push_str("<p>None.</p>\n");
    }
    for of in report.findings.iter().take(FINDINGS_SHOWN) {
        finding(out, of);
    }
    let more = report.findings.len().saturating_sub(FINDINGS_SHOWN);
    if more > 0 {
        let _ = writeln!(
            out,
            "<p>And {}; the JSON form has all.</p>",
            count(more, "more finding")
        );
    }
    if report.unexplained > 0 {
        let _ = writeln!(
            out,
            "<p>{} under no finding.</p>",
            count(report.unexplained as usize, "failed cell")
        );
    }
    out.push_str("</section>\n");
}

fn finding(out: &mut String, finding: &Finding) {
    let (class, word) = match finding.severity {
        Severity::Failure => ("bad", "Failure"),
        Severity::Warning => ("warn", "Warning"),
    };
    let _ = write!(
        out,
        "<article class=\"{class}\">\n<h3><span class=\"word\">{word}</span> {}</h3>\n<p class=\"summary\">{}</p>\n<dl>\n\
         <dt>Cause</dt><dd><code>{}</code> ({}), explains {}: {}</dd>\n",
        escape(&place(finding)),
        escape(&finding.summary),
        finding.cause,
        finding.confidence,
        count(finding.explains as usize, "cell"),
        escape(finding.cause.meaning())
    );
    list(out, "Evidence", &finding.evidence, escape);
    list(out, "To do", &finding.advice, to_do);
    list(out, "Not", &finding.ruled_out, escape);
    out.push_str("</dl>\n</article>\n");
}

/// What is to be typed stands out.
fn to_do(advice: &str) -> String {
    match Advice::of(advice) {
        Advice::Sentence(text) => escape(text),
        Advice::Command { lead: None, command } => format!("<code>{}</code>", escape(command)),
        Advice::Command {
            lead: Some(lead),
            command,
        } => format!("{}: <code>{}</code>", escape(lead), escape(command)),
    }
}

fn list(out: &mut String, name: &str, items: &[String], shown: impl Fn(&str) -> String) {
    if items.is_empty() {
        return;
    }
    let _ = write!(out, "<dt>{name}</dt><dd><ul>");
    for item in items.iter().take(ITEMS_SHOWN) {
        let _ = write!(out, "<li>{}</li>", shown(item));
    }
    let more = items.len().saturating_sub(ITEMS_SHOWN);
    if more > 0 {
        let _ = write!(out, "<li>and {more} more; the JSON form has all</li>");
    }
    out.push_str("</ul></dd>\n");
}

fn nodes(out: &mut String, report: &Report) {
    out.push_str(
        "<section id=\"nodes\" aria-labelledby=\"nodes-head\">\n<h2 id=\"nodes-head\">Nodes</h2>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"nodes-head\"><table>\n<thead><tr>\
         <th scope=\"col\">Number</th><th scope=\"col\">Name</th><th scope=\"col\">Zone</th>\
         <th scope=\"col\">Pod network</th><th scope=\"col\">Node network</th>\
         <th scope=\"col\">Median round trips</th></tr></thead>\n<tbody>\n",
    );
    for (index, node) in report.nodes.iter().enumerate() {
        let number = index + 1;
        let _ = writeln!(
            out,
            "<tr id=\"n{number}\"><td>{number}</td><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(node.name.as_str()),
            escape(node.zone.as_deref().unwrap_or_default()),
            plane(node.planes.get(Plane::Pod)),
            plane(node.planes.get(Plane::Host)),
            medians(node)
        );
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

/// What became of a plane, as HTML.
fn plane(record: Option<&PlaneRecord>) -> String {
    let Some(record) = record else {
        return "-".to_owned();
    };
    let mut parts = vec![record.state.to_string()];
    parts.extend(record.address.map(|address| address.to_string()));
    parts.extend(record.why.as_deref().map(|why| escape(&readable(why))));
    parts.extend(
        record
            .starved
            .as_deref()
            .map(|how| format!("starved: {}", escape(how))),
    );
    parts.join("; ")
}

fn medians(node: &Node) -> String {
    let planes = Plane::ALL
        .iter()
        .filter_map(|plane| Some((plane, node.planes.get(*plane)?)));
    let of = planes
        .filter(|(_, record)| !record.rtt.is_empty())
        .map(|(plane, record)| {
            let times = record
                .rtt
                .iter()
                .map(|of| format!("{} {}", of.probe, rtt(of.rtt_us.p50)));
            format!("{plane}: {}", times.collect::<Vec<_>>().join(", "))
        });
    of.collect::<Vec<_>>().join("<br>")
}

fn cells(out: &mut String, report: &Report) {
    out.push_str(
        "<section id=\"cells\" aria-labelledby=\"cells-head\">\n<h2 id=\"cells-head\">Cells that are not reachable, or not well</h2>\n",
    );
    let bad = |cell: &&Cell| is_not_well(cell.state);
    let all = report.cells.iter().filter(bad).count();
    if report.coverage.skipped > 0 {
        let _ = writeln!(
            out,
            "<p>{} skipped by design, not listed.</p>",
            count(report.coverage.skipped as usize, "cell")
        );
    }
    if all == 0 {
        out.push_str("<p>None.</p>\n</section>\n");
        return;
    }
    out.push_str(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"cells-head\"><table>\n<thead><tr>\
         <th scope=\"col\">From</th><th scope=\"col\">To</th><th scope=\"col\">Probe</th><th scope=\"col\">State</th>\
         <th scope=\"col\">Why</th><th scope=\"col\">Answered</th></tr></thead>\n<tbody>\n",
    );
    // The worst first, should not all have room.
    let rank = |cell: &&Cell| match cell.state {
        CellState::Failed => 0,
        CellState::Unknown => 1,
        CellState::Degraded => 2,
        CellState::Skipped | CellState::Reachable => 3,
    };
    let mut shown: Vec<&Cell> = report.cells.iter().filter(bad).collect();
    shown.sort_by_key(rank);
    for cell in shown.iter().take(CELLS_SHOWN) {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{}\">{}</td><td>{}</td><td>{}/{}</td></tr>",
            escape(&source(cell)),
            escape(&target(&cell.to)),
            cell.probe,
            state_class(cell.state),
            cell.state,
            escape(&why(cell)),
            cell.received,
            cell.sent
        );
    }
    out.push_str("</tbody></table></div>\n");
    let more = all.saturating_sub(CELLS_SHOWN);
    if more > 0 {
        let _ = writeln!(
            out,
            "<p>And {}; the JSON form has all.</p>",
            count(more, "more cell")
        );
    }
    out.push_str("</section>\n");
}

fn state_class(state: CellState) -> impl Display {
    match state {
        CellState::Reachable => "fine",
        CellState::Degraded => "warn",
        CellState::Failed => "bad",
        CellState::Unknown => "odd",
        CellState::Skipped => "quiet",
    }
}

#[cfg(test)]
#[path = "html/html_tests.rs"]
mod tests;
