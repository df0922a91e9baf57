//! What holds for every form: it renders whatever a report has, and no text from outside breaks out of it.

use clap::ValueEnum;
use mesh_proto::Report;
use proptest::prelude::*;

use super::samples::{Try, empty, healthy, large, mesh, motley, with_finding};
use super::{Format, render};

pub(super) fn text(report: &Report, format: Format) -> String {
    let mut out = Vec::new();
    render(report, format, 80, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Without colours.
pub(super) fn bare(report: &Report, format: Format) -> String {
    anstream::adapter::strip_str(&text(report, format)).to_string()
}

/// Markup that is well-formed: every element that opens closes, in order; attributes are quoted; no `<`, `&` or control
/// character stands where none may. Returns the texts between.
pub(super) fn well_formed(markup: &str, void: &[&str]) -> Result<Vec<String>, String> {
    let mut open: Vec<&str> = Vec::new();
    let mut texts = Vec::new();
    let mut rest = markup;
    while let Some(at) = rest.find('<') {
        texts.push(content(&rest[..at])?);
        rest = &rest[at + 1..];
        // Quotes may hold `>`; ours never do, since it is escaped everywhere.
        let end = rest.find('>').ok_or("a tag has no end")?;
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("</{name}> closes {last:?}"));
            }
            continue;
        }
        let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        let closed = tag.ends_with('/') || void.contains(&name.trim_end_matches('/'));
        attributes_of(attributes.trim_end_matches('/').trim())?;
        if !closed {
            open.push(name);
            if name == "style" {
                rest = &rest[rest.find("</style>").ok_or("<style> has no end")?..];
            }
        }
    }
    texts.push(content(rest)?);
    match open.as_slice() {
        [] => Ok(texts),
        open => Err(format!("{open:?} never close")),
    }
}

fn attributes_of(mut rest: &str) -> Result<(), String> {
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once("=\"")
            .ok_or_else(|| format!("no value: {rest}"))?;
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-:".contains(c))
        {
            return Err(format!("no name of an attribute: {name}"));
        }
        let (value, after) = after.split_once('"').ok_or_else(|| format!("no end: {after}"))?;
        content(value)?;
        rest = match after.strip_prefix(' ') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return Err(format!("no space before {after}")),
        };
    }
    Ok(())
}

/// Text that has no other `&` than those of the five entities, and nothing that XML 1.0 forbids; unescaped.
fn content(text: &str) -> Result<String, String> {
    let forbidden = |c: char| (c.is_control() && c != '\n') || matches!(c, '<' | '\u{fffe}' | '\u{ffff}');
    if let Some(c) = text.chars().find(|c| forbidden(*c)) {
        return Err(format!("{c:?} in {text:?}"));
    }
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let end = rest[at..]
            .find(';')
            .ok_or_else(|| format!("a bare & in {text:?}"))?;
        plain.push(match &rest[at..=at + end] {
            "&amp;" => '&',
            "&lt;" => '<',
            "&gt;" => '>',
            "&quot;" => '"',
            "&#39;" => '\'',
            other => return Err(format!("{other} is no entity")),
        });
        rest = &rest[at + end + 1..];
    }
    Ok(plain + rest)
}

/// HTML elements that have no end.
pub(super) const VOID: &[&str] = &["meta", "br", "rect"];

fn samples() -> Vec<Report> {
    let broken = |on: Try<'_>| {
        if on.from == 2 || on.to == 2 {
            "failed"
        } else {
            "reachable"
        }
    };
    let unknown = |on: Try<'_>| if on.from == 1 { "unknown" } else { "reachable" };
    let mut odd = motley();
    odd.run.started = "yesterday".to_owned();
    odd.nodes.clear();
    odd.interrupted = true;
    vec![
        empty(),
        motley(),
        odd,
        healthy(1),
        healthy(3),
        with_finding(mesh(3, broken), "n2"),
        mesh(4, unknown),
        large(33, broken),
        large(33, |_| "reachable"),
    ]
}

#[test]
fn every_form_takes_every_report() {
    for report in samples() {
        for format in Format::value_variants() {
            let text = text(&report, *format);
            assert!(text.ends_with('\n'), "{format:?}");
            match format {
                Format::Html => _ = well_formed(&text, VOID).unwrap(),
                Format::Junit => _ = well_formed(&text, &[]).unwrap(),
                Format::Json => assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report),
                Format::Yaml => assert_eq!(serde_saphyr::from_str::<Report>(&text).unwrap(), report),
                Format::Table | Format::Wide => {}
            }
        }
    }
}

#[test]
fn names_of_formats_are_those_that_the_flag_takes() {
    for format in Format::value_variants() {
        assert_eq!(format.to_possible_value().unwrap().get_name(), format.name());
    }
}

/// What hurts in one language or another, among what does not.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "]]>",
        "\"",
        "'",
        "&",
        "&amp;",
        "<",
        ">",
        "-->",
        "<!--",
        "\u{0}",
        "\u{1b}[31m",
        "\u{7}",
        "\u{9b}2J",
        "\u{202e}",
        "\u{fffe}",
        "\u{ffff}",
        "\r",
        "\n",
        "\t",
        "</style>",
        "</svg>",
        "n1",
        "節点",
        "{{",
        ": ",
        "- ",
        "#",
        "\u{85}",
        "\u{2028}",
    ]);
    prop::collection::vec(pieces, 1..6).prop_map(|pieces| pieces.concat())
}

fn hostile_report(text: &str) -> Report {
    let mut report = motley();
    let name: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control())
        .collect();
    if let Ok(name) = name.parse::<mesh_proto::NodeName>() {
        report.nodes[0].name = name.clone();
        for cell in &mut report.cells {
            cell.from.node = name.clone();
            cell.to.node = cell.to.node.as_ref().map(|_| name.clone());
        }
        report.findings[0].place.pairs = vec![(name.clone(), name)];
    }
    let text = text.to_owned();
    report.nodes[0].zone = Some(text.clone());
    if let Some(pod) = &mut report.nodes[0].planes.pod {
        pod.why = Some(text.clone());
        pod.starved = Some(text.clone());
        pod.state = mesh_proto::PlaneState::Absent;
    }
    for cell in &mut report.cells {
        cell.detail = Some(text.clone());
        cell.reason = Some(mesh_proto::CellReason::Words(text.clone()));
    }
    if let Some(error) = &mut report.cells[2].local_error {
        error.call = text.clone();
    }
    let finding = &mut report.findings[0];
    finding.summary = text.clone();
    finding.evidence = vec![text.clone()];
    finding.advice = vec![text.clone()];
    finding.ruled_out = vec![text.clone()];
    report.notes = vec![text.clone()];
    report.run.id = text.clone();
    report.run.version = text.clone();
    report.run.started = text.clone();
    report.run.finished = text;
    report
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_from_outside_breaks_a_form(text_from_outside in hostile()) {
        let report = hostile_report(&text_from_outside);
        let page = text(&report, Format::Html);
        well_formed(&page, VOID).map_err(TestCaseError::fail)?;
        prop_assert!(!page.contains("<script"));
        well_formed(&text(&report, Format::Junit), &[]).map_err(TestCaseError::fail)?;
        for format in [Format::Table, Format::Wide] {
            let shown = bare(&report, format);
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            let turns = shown.contains('\u{202e}');
            prop_assert!(!turns);
        }
        prop_assert_eq!(&serde_json::from_str::<Report>(&text(&report, Format::Json)).unwrap(), &report);
        let yaml = text(&report, Format::Yaml);
        let read = serde_saphyr::from_str::<Report>(&yaml);
        prop_assert_eq!(read.map_err(|error| format!("{error}\n{yaml}")), Ok(report));
    }
}

#[test]
fn the_checker_of_markup_finds_what_is_wrong() {
    for wrong in [
        "<a>",
        "<a></b>",
        "<a x=1></a>",
        "<a x=\"1\"y=\"2\"></a>",
        "a & b",
        "&nope;",
        "<a>\u{1}</a>",
        "<p",
    ] {
        assert!(well_formed(wrong, &[]).is_err(), "{wrong}");
    }
    assert_eq!(
        well_formed("<a x=\"1\">b&lt;<c/></a>", &[]).unwrap().concat(),
        "b<"
    );
}
