use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use clap::Parser;
use mesh_proto::Report;

use super::{OutputArgs, Outputs};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::render::Format;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    output: OutputArgs,
}

fn open(flags: &[&str]) -> Result<Outputs, Failure> {
    let flags = flags.iter().flat_map(|flag| ["-o", flag]);
    Flags::try_parse_from(std::iter::once("mesh").chain(flags))
        .unwrap()
        .output
        .open()
}

fn report() -> Report {
    serde_json::from_value(serde_json::json!({
        "schema": "mesh.report/v1", "verdict": "reachable", "nodes": [], "cells": [], "findings": [], "unexplained": 0,
        "run": {"id": "r1", "ground": "lab", "started": "", "finished": "", "version": "0"},
        "coverage": {"cells": 0, "observed": 0, "unknown": 0, "skipped": 0}
    }))
    .unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_table_goes_to_stdout_unless_another_format_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("json={}", folder.path().join("a").display());
    let cases: &[(&[&str], Format)] = &[
        (&[], Format::Table),
        (&[&file], Format::Table),
        (&["yaml", &file], Format::Yaml),
        (&["html=-"], Format::Html),
    ];
    for (flags, stdout) in cases {
        assert_eq!(open(flags).unwrap().stdout, *stdout, "{flags:?}");
    }
}

#[test]
fn files_are_whole_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("old"), "a report of before that is longer".repeat(1000)).unwrap();
    fs::set_permissions(at("old"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(at("real"), "").unwrap();
    symlink(at("real"), at("link")).unwrap();
    let flags = ["json=new", "yaml=old", "html=link", "table=t", "junit=/dev/null"];
    let flags = flags.map(|flag| {
        let (format, name) = flag.split_once('=').unwrap();
        format!("{format}={}", at(name).display())
    });
    let opened = open(&flags.each_ref().map(String::as_str)).unwrap();
    assert_eq!(
        names(folder.path()),
        ["link", "old", "real"],
        "a check leaves nothing"
    );
    for (format, file) in opened.files {
        file.write(|out| crate::render::render(&report(), format, 80, out))
            .unwrap();
    }
    assert_eq!(names(folder.path()), ["link", "new", "old", "real", "t"]);
    let read: Report = serde_json::from_slice(&fs::read(at("new")).unwrap()).unwrap();
    assert_eq!(read, report());
    assert!(fs::read_to_string(at("old")).unwrap().starts_with("schema: "));
    assert_eq!(
        fs::metadata(at("old")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
    assert!(
        fs::read_to_string(at("real"))
            .unwrap()
            .starts_with("<!doctype html>")
    );
    assert!(
        !fs::metadata("/dev/null").unwrap().is_file(),
        "a device stays one"
    );
}

#[test]
fn what_cannot_be_written_is_told_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().display().to_string();
    let file = format!("{directory}/file");
    fs::write(&file, "").unwrap();
    let cases: &[(&[&str], ExitCode, &[&str])] = &[
        (
            &[&format!("json={directory}/none/r.json")],
            ExitCode::CouldNotRun,
            &["/none/r.json", "No such file", "create the directory"],
        ),
        (
            &[&format!("json={directory}")],
            ExitCode::CouldNotRun,
            &["is a directory", "give a file in it"],
        ),
        (
            &[&format!("json={directory}/new/")],
            ExitCode::CouldNotRun,
            &["is a directory"],
        ),
        (
            &[&format!("json={file}/r.json")],
            ExitCode::CouldNotRun,
            &["Not a directory"],
        ),
        (
            &["json=/proc/r.json"],
            ExitCode::CouldNotRun,
            &["/proc/r.json: No such file or directory (os error 2); "],
        ),
        (
            &["json", "yaml"],
            ExitCode::Usage,
            &["two formats for stdout", "-o json -o yaml=FILE"],
        ),
        (
            &[&format!("json={file}"), &format!("html={directory}/./file")],
            ExitCode::Usage,
            &["two reports", "-o json and -o html"],
        ),
    ];
    for (flags, code, words) in cases {
        let failure = open(flags).unwrap_err();
        let text = failure.to_string();
        assert_eq!(failure.code, *code, "{text}");
        for word in *words {
            assert!(text.contains(word), "`{word}` is missing: {text}");
        }
    }
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_what_was_there() {
    let opened = open(&["json=/dev/full"]).unwrap();
    let (format, file) = opened.files.into_iter().next().unwrap();
    let error = file
        .write(|out| crate::render::render(&report(), format, 80, out))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("No space left") && error.contains("make room"),
        "{error}"
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    fs::write(&path, "before").unwrap();
    let opened = open(&[&format!("json={}", path.display())]).unwrap();
    let (_, file) = opened.files.into_iter().next().unwrap();
    let broken = file.write(|out| {
        out.write_all(b"half")?;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    assert!(broken.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(names(folder.path()), ["r"]);
}
