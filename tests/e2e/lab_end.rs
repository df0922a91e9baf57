//! However a lab ends, nothing of it is left; and where none can be raised, the words say what to do.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

const MESH: &str = env!("CARGO_BIN_EXE_mesh");

/// `mesh lab run` in the middle: agents are probing a node that answers nobody.
///
/// Everything that it starts inherits descriptor 9, the same pipe as stdout: its end comes when the last of them is gone.
fn in_the_middle() -> Child {
    let mut child = Command::new("sh")
        .args([
            "-c",
            "exec \"$@\" 9>&1",
            "sh",
            MESH,
            "-v",
            "lab",
            "run",
            "--fault",
            "node-down",
            "-o",
            "json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = stderr.lines();
    assert!(
        lines.any(|line| line.unwrap().contains("probing")),
        "it never probed"
    );
    // Whatever it says from here on has a reader.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// What came on stdout until everything that the run had started was gone.
fn until_all_is_gone(child: &mut Child) -> String {
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

fn signal(name: &str, child: &Child) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn nothing_outlives_a_kill() {
    let mut child = in_the_middle();
    signal("KILL", &child);
    assert_eq!(until_all_is_gone(&mut child), "");
    assert_eq!(child.wait().unwrap().code(), None);
}

#[test]
fn ctrl_c_reports_what_is_known_and_leaves_nothing() {
    let mut child = in_the_middle();
    signal("INT", &child);
    let said = until_all_is_gone(&mut child);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["interrupted"], true);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// A terminal's Ctrl-C goes to the whole process group. It may come at any moment while the lab is raised.
#[test]
fn ctrl_c_in_a_terminal_while_the_lab_is_raised_is_no_failure() {
    // `bridge` runs once for each node: it signals the group that `mesh` leads, and only then does its work.
    let folder = tempfile::tempdir().unwrap();
    let script =
        "#!/bin/sh\nkill -s INT -- \"-$GROUP\"\nPATH=/usr/sbin:/sbin:/usr/bin:/bin exec bridge \"$@\"\n";
    let tool = folder.path().join("bridge");
    std::fs::write(&tool, script).unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/sbin:/sbin:/usr/bin:/bin", folder.path().display());
    let output = Command::new("setsid")
        .args([
            "--wait",
            "sh",
            "-c",
            "export GROUP=$$; exec \"$0\" lab run --nodes 2",
            MESH,
        ])
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted while the lab was raised"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn the_log_level_does_not_change_the_verdict() {
    let output = Command::new(MESH)
        .args(["lab", "run", "--nodes", "2", "-o", "json"])
        .env("MESH_LOG", "trace")
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "reachable", "{report}");
    assert_eq!(output.status.code(), Some(0));
}

fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert_eq!(output.stdout, b"");
    said
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    let said = refused(
        Command::new(MESH)
            .args(["lab", "run"])
            .env("PATH", "/nonexistent"),
    );
    assert!(
        said.contains("cannot run ip") && said.contains("apt-get install iproute2"),
        "{said}"
    );
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}

#[test]
fn without_leave_to_make_namespaces_the_words_say_how_to_get_it() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-sys_admin -- \"$0\" lab run";
    let said = refused(Command::new("unshare").args(["--user", "--map-root-user", "sh", "-c", script, MESH]));
    assert!(said.contains("user.max_user_namespaces"), "{said}");
}

#[test]
fn a_lab_stays_until_it_is_taken_down() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = |arguments: &[&str]| {
        let output = Command::new(MESH)
            .args(arguments)
            .env("XDG_RUNTIME_DIR", folder.path())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let name = ["--name", "stays"];
    let with = |command: &str, rest: &[&str]| mesh(&[&["lab", command], &name[..], rest].concat());

    let (code, said, error) = with("up", &["--nodes", "2"]);
    assert_eq!(code, Some(0), "{error}");
    let inventory = folder.path().join("mesh-lab/stays/inventory.yaml");
    assert!(said.contains(inventory.to_str().unwrap()), "{said}");
    let inventory = inventory.to_str().unwrap();
    let run = || {
        mesh(&[
            "run",
            "--inventory",
            inventory,
            "-o",
            "json",
            "--probe-timeout",
            "1s",
        ])
    };
    assert_eq!(run().0, Some(0));

    assert_eq!(with("up", &[]).0, Some(4), "it stands already");
    let (code, said, error) = with("exec", &["node-2/pod", "--", "ip", "-brief", "address"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("10.244.2.10/32"), "{said}");
    assert_eq!(with("exec", &["node-2", "--", "sh", "-c", "exit 7"]).0, Some(7));
    assert_eq!(with("exec", &["node-3", "--", "true"]).0, Some(2), "no such node");
    assert_eq!(
        with("exec", &["node-1", "--", "iptables", "-P", "FORWARD", "DROP"]).0,
        Some(0)
    );
    assert_eq!(run().0, Some(1), "what was done to it shows");

    assert_eq!(with("down", &[]).0, Some(0));
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "no file is left"
    );
    let (code, _, error) = with("down", &[]);
    assert_eq!(code, Some(4));
    assert!(error.contains("mesh lab up --name stays"), "{error}");
}

#[test]
fn what_a_killed_lab_left_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = |command: &str, rest: &[&str]| {
        let output = Command::new(MESH)
            .args(["lab", command, "--name", "killed"])
            .args(rest)
            .env("XDG_RUNTIME_DIR", folder.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, _, error) = mesh("up", &["--nodes", "1"]);
    assert_eq!(code, Some(0), "{error}");
    let home = folder.path().join("mesh-lab/killed");
    let state = std::fs::read_to_string(home.join("lab.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let holder = state["pid"].as_u64().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "KILL", &holder])
            .status()
            .unwrap()
            .success()
    );
    // Its lock ends with it.
    std::fs::File::open(home.join("lock")).unwrap().lock().unwrap();

    let (code, said, error) = mesh("down", &[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("killed had left is removed"), "{said}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "no file is left"
    );
    assert_eq!(mesh("down", &[]).0, Some(4), "nothing is there any more");
}
