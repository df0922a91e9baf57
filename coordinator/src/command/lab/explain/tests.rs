use std::collections::BTreeSet;
use std::path::Path;

use super::*;

#[test]
fn docs_have_a_file_for_each_cause_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/causes");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let causes: BTreeSet<String> = Cause::ALL.iter().map(|cause| format!("{cause}.md")).collect();
    assert_eq!(files, causes);
}

/// So that a reader finds the same things at the same place, and no text is another cause's.
#[test]
fn each_text_has_its_name_and_its_parts() {
    for cause in Cause::ALL {
        let text = text(*cause);
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {cause}");
        assert_eq!(
            headings,
            [
                &title,
                "## How it shows",
                "## What looks alike",
                "## Cure",
                "## Further reading"
            ],
            "{cause}"
        );
        let lines = text.lines().count();
        assert!((10..=40).contains(&lines), "{cause}: {lines} lines");
        assert!(text.ends_with('\n'), "{cause}");
    }
}

#[test]
fn the_list_has_a_line_for_each_cause() {
    let list = list();
    assert_eq!(list.lines().count(), Cause::ALL.len());
    for (line, cause) in list.lines().zip(Cause::ALL) {
        assert!(
            line.starts_with(cause.name()) && line.ends_with(cause.meaning()),
            "{line}"
        );
    }
}

#[test]
fn a_name_that_is_none_brings_those_that_are_near() {
    for (given, meant) in [
        ("forward-reject", "forward-rejected"),
        ("node-dwon", "node-down"),
        ("mtu_blackhole", "mtu-blackhole"),
        ("neighbor-stale", "neighbour-stale"),
    ] {
        let arguments = ["mesh", "lab", "explain", given];
        let error = crate::cli::command_line(None)
            .try_get_matches_from(arguments)
            .unwrap_err();
        assert_eq!(error.exit_code(), 2, "{given}");
        let said = error.to_string();
        let tip = said
            .lines()
            .find(|line| line.contains("similar"))
            .unwrap_or_default();
        assert!(tip.contains(&format!("'{meant}'")), "{said}");
    }
}
