//! Saved reports from outside: forms, files, exit codes, full disks and readers that went away.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A report with one cell in this state, in a file.
fn report(folder: &Path, name: &str, verdict: &str, state: &str) -> String {
    let report = json!({
        "schema": "mesh.report/v1", "verdict": verdict, "findings": [], "unexplained": 0,
        "nodes": [{"name": "a", "planes": {"pod": {"state": "probed"}}}],
        "cells": [{"from": {"node": "a", "plane": "pod"}, "to": {"kind": "api", "address": "10.96.0.1", "port": 443},
                   "probe": "tcp", "state": state, "reason": "timeout", "sent": 3, "received": 0,
                   "rtt_us": {"min": 0, "p50": 0, "p99": 0, "max": 0}}],
        "run": {"id": "r", "ground": "lab", "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01Z",
                "version": "0"},
        "coverage": {"cells": 1, "observed": u32::from(state != "unknown"), "unknown": u32::from(state == "unknown"),
                     "skipped": 0}
    });
    let file = folder.join(name);
    fs::write(&file, report.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

fn mesh(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    command.args(arguments).env_clear();
    command
}

fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_saved_report_ends_as_its_run_did() {
    let folder = tempfile::tempdir().unwrap();
    for (verdict, state, code) in [
        ("reachable", "reachable", 0),
        ("unreachable", "failed", 1),
        ("unknown", "unknown", 3),
    ] {
        let file = report(folder.path(), state, verdict, state);
        for format in ["table", "wide", "json", "yaml", "junit", "html"] {
            let (ended, stdout, stderr) = ended(mesh(&["report", &file, "-o", format]));
            assert_eq!(
                (ended, stderr.as_str()),
                (Some(code), ""),
                "{verdict} as {format}"
            );
            assert!(
                !stdout.is_empty() && !stdout.contains('\u{1b}'),
                "{format}: {stdout}"
            );
        }
    }
}

#[test]
fn several_files_and_the_table_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = report(folder.path(), "r", "reachable", "reachable");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut command = mesh(&["report", &file]);
    command.env(
        "MESH_OUTPUT",
        format!("yaml={},junit={}", at("r.yaml"), at("r.xml")),
    );
    let (code, stdout, stderr) = ended(command);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("REACHABLE: "), "{stdout}");
    assert!(fs::read_to_string(at("r.xml")).unwrap().starts_with("<?xml"));
    let (code, json, _) = ended(mesh(&["report", &at("r.yaml"), "-o", "json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["verdict"]), (Some(0), &json!("reachable")));
}

#[test]
fn what_is_wrong_has_its_code_and_words_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = report(folder.path(), "r", "reachable", "reachable");
    let none = format!("json={}/none/r", folder.path().display());
    let new = format!("json={}/new", folder.path().display());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["report"], 2, "<FILE>"),
        (&["report", &file, "-o", "jsno"], 2, "did you mean 'json'?"),
        (
            &["report", &file, "-o", "json", "-o", "yaml", "-o", &new],
            2,
            "two formats for stdout",
        ),
        (&["report", &file, "-o", &none], 4, "create the directory first"),
        (&["report", "/nonexistent/r"], 2, "/nonexistent/r"),
        (&["report", "/dev/null"], 2, "the file is empty"),
        (&["diff", &file], 2, "<B>"),
        (&["diff", &file, &file, "-o", "html"], 2, "table, json, yaml"),
        (&["diff", "-", "-"], 2, "stdin"),
    ];
    for (arguments, code, words) in cases {
        let (ended, stdout, stderr) = ended(mesh(arguments));
        assert_eq!((ended, stdout.as_str()), (Some(*code), ""), "{stderr}");
        assert!(stderr.contains(words), "`{words}` is missing: {stderr}");
    }
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["r"]);
}

#[test]
fn a_full_disk_is_told_and_a_reader_that_went_away_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = report(folder.path(), "r", "unreachable", "failed");
    for arguments in [
        &["report", &file][..],
        &["report", &file, "-o", "json"],
        &["diff", &file, &file],
    ] {
        let mut full = mesh(arguments);
        full.stdout(File::options().write(true).open("/dev/full").unwrap());
        let (code, _, stderr) = ended(full);
        assert_eq!(code, Some(4), "{stderr}");
        assert!(
            stderr.contains("No space left") && stderr.contains("-o"),
            "{stderr}"
        );

        let mut child = mesh(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let verdict = i32::from(arguments[0] == "report");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(verdict));
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_told_and_one_that_is_read_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = report(folder.path(), "r", "reachable", "reachable");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let to_pipe = format!("json={}", pipe.display());
    let (code, stdout, stderr) = ended(mesh(&["report", &file, "-o", &to_pipe]));
    assert_eq!((code, stdout.as_str()), (Some(4), ""));
    assert!(
        stderr.contains("pipe: No such device") && stderr.contains("start what reads it"),
        "{stderr}"
    );

    // A reader that is there before: opened for both, so that it waits for nobody.
    let both = File::options().read(true).write(true).open(&pipe).unwrap();
    let (code, _, stderr) = ended(mesh(&["report", &file, "-o", &to_pipe]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let mut begin = [0; 12];
    std::io::Read::read_exact(&mut &both, &mut begin).unwrap();
    assert_eq!(&begin, b"{\n  \"schema\"");
}

#[test]
fn descriptors_of_the_caller_are_written_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = report(folder.path(), "r", "reachable", "reachable");
    let script = |script: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_mesh"), &file])
            .env_clear()
            .current_dir(folder.path());
        ended(command)
    };
    // What stood in the file before, and what comes after, stays.
    let (code, stdout, stderr) =
        script("{ echo before >&7; \"$0\" report \"$1\" -o json=/dev/fd/7; echo after >&7; } 7>seven");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("REACHABLE: "), "{stdout}");
    let seven = fs::read_to_string(folder.path().join("seven")).unwrap();
    assert!(
        seven.starts_with("before\n{") && seven.ends_with("}\nafter\n"),
        "{seven}"
    );

    let (code, stdout, _) = script("\"$0\" report \"$1\" -o json=/dev/stdout");
    assert_eq!(code, Some(0));
    assert!(
        serde_json::from_str::<Value>(&stdout).is_ok(),
        "JSON alone: {stdout}"
    );
    let (code, _, stderr) = script("\"$0\" report \"$1\" -o json=/dev/fd/7");
    assert_eq!(code, Some(4));
    assert!(stderr.contains("/dev/fd/7: Bad file descriptor"), "{stderr}");
    let (code, ..) = script("\"$0\" report \"$1\" -o json=/dev/fd/7 7</dev/null");
    assert_eq!(code, Some(4), "it is open to read only");
}

#[test]
fn a_file_that_grows_beyond_the_limit_is_told_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = report(folder.path(), "r", "reachable", "reachable");
    let mut command = Command::new("sh");
    let script = "ulimit -f 1; exec \"$0\" report \"$1\" -o html=new.html";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_mesh"), &file])
        .current_dir(folder.path());
    let (code, _, stderr) = ended(command);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(
        stderr.contains("new.html: File too large") && stderr.contains("ulimit"),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_report_that_contradicts_itself_is_malformed() {
    let folder = tempfile::tempdir().unwrap();
    for (verdict, state) in [
        ("reachable", "failed"),
        ("reachable", "unknown"),
        ("unknown", "reachable"),
    ] {
        let file = report(folder.path(), "r", verdict, state);
        for arguments in [&["report", &file][..], &["diff", &file, &file]] {
            let (code, stdout, stderr) = ended(mesh(arguments));
            assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
            assert!(
                stderr.contains(&file) && stderr.contains("contradicts itself: verdict"),
                "{stderr}"
            );
        }
    }
}

#[test]
fn a_difference_is_1_only_where_something_became_worse() {
    let folder = tempfile::tempdir().unwrap();
    let good = report(folder.path(), "good", "reachable", "reachable");
    let bad = report(folder.path(), "bad", "unreachable", "failed");
    for (before, after, code, begins) in [
        (&good, &bad, 1, "WORSE: 1 cell became worse"),
        (&bad, &good, 0, "BETTER: "),
        (&bad, &bad, 0, "SAME: "),
    ] {
        let (ended, stdout, stderr) = ended(mesh(&["diff", before, after]));
        assert_eq!((ended, stderr.as_str()), (Some(code), ""));
        assert!(stdout.starts_with(begins), "{stdout}");
    }
    let (_, json, _) = ended(mesh(&["diff", &good, &bad, "-o", "json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["cells"]["worse"][0]["after"], "failed");
    let (_, help, _) = ended(mesh(&["diff", "--help"]));
    assert!(help.contains("1  something became worse"), "{help}");
}
