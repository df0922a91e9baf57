//! `mesh run --inventory` over real agents in a network that none of mesh's own code built. Needs root.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Output};

use serde_json::{Value, json};

/// The network of `tests/e2e/foreign`, with an agent in each plane of its three nodes. Gone when dropped.
struct Foreign {
    folder: tempfile::TempDir,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/foreign/network.sh");
const MESH: &str = env!("CARGO_BIN_EXE_mesh");

impl Foreign {
    fn up() -> Self {
        let network = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        network.script("up", &[MESH]);
        network
    }

    fn script(&self, command: &str, arguments: &[&str]) {
        let output = Command::new(SCRIPT)
            .arg(command)
            .arg(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A coordinator over all agents.
    fn mesh_run(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MESH);
        command
            .args(["run", "-o", "json", "--inventory"])
            .arg(self.folder.path().join("inventory.yaml"))
            .args(arguments);
        command
    }

    /// Process ids of the agents, in the order of the inventory; they were started last.
    fn agents(&self) -> Vec<String> {
        let pids = std::fs::read_to_string(self.folder.path().join("pids")).unwrap();
        let pids: Vec<String> = pids.lines().map(str::to_owned).collect();
        pids[pids.len() - 6..].to_vec()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = Command::new(SCRIPT).arg("down").arg(self.folder.path()).output();
    }
}

fn signal(name: &str, pid: &str) {
    assert!(
        Command::new("kill")
            .args(["-s", name, pid])
            .status()
            .unwrap()
            .success()
    );
}

fn report(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

fn cells<'a>(report: &'a Value, wanted: impl Fn(&Value) -> bool + 'a) -> Vec<&'a Value> {
    report["cells"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|cell| wanted(cell))
        .collect()
}

#[test]
fn a_healthy_network_is_green() {
    let network = Foreign::up();
    let output = network.mesh_run(&[]).output().unwrap();
    let report = report(&output);
    let odd = cells(&report, |cell| {
        cell["state"] != "reachable" && cell["state"] != "skipped"
    });
    assert_eq!(odd, Vec::<&Value>::new());
    assert_eq!(
        (output.status.code(), &report["verdict"]),
        (Some(0), &json!("reachable")),
        "{report:#}"
    );
    assert_eq!(
        (&report["findings"], &report["coverage"]["unknown"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(report.get("notes"), None);
}

#[test]
fn a_node_that_does_not_forward_is_red_and_named() {
    let network = Foreign::up();
    network.script("exec", &["beta", "sysctl", "-qw", "net.ipv4.ip_forward=0"]);
    let output = network.mesh_run(&["--probe-timeout", "1s"]).output().unwrap();
    let report = report(&output);
    assert_eq!(
        (output.status.code(), &report["verdict"]),
        (Some(1), &json!("unreachable")),
        "{report:#}"
    );
    assert_eq!(
        report["findings"][0]["where"]["nodes"],
        json!(["BETA_2"]),
        "{:#}",
        report["findings"]
    );
    let beta_pod = |cell: &Value| cell["from"] == json!({"node": "BETA_2", "plane": "pod"});
    let off_node = |cell: &Value| {
        matches!(cell["to"]["kind"].as_str(), Some("pod" | "host")) && cell["to"]["node"] != "BETA_2"
    };
    let lost = cells(&report, |cell| beta_pod(cell) && off_node(cell));
    assert!(
        lost.len() == 16 && lost.iter().all(|cell| cell["state"] == "failed"),
        "{lost:#?}"
    );
}

#[test]
fn a_killed_agent_is_unknown() {
    let network = Foreign::up();
    signal("KILL", &network.agents()[5]);
    let output = network.mesh_run(&["--probe-timeout", "1s"]).output().unwrap();
    let report = report(&output);
    assert_eq!(
        (output.status.code(), &report["verdict"]),
        (Some(3), &json!("unknown")),
        "{report:#}"
    );
    let plane = &report["nodes"][2]["planes"]["pod"];
    assert_eq!(plane["state"], "absent");
    assert!(
        plane["why"].as_str().unwrap().contains("Connection refused"),
        "{plane}"
    );
}

#[test]
fn a_stopped_agent_does_not_hold_the_run() {
    let network = Foreign::up();
    let stopped = &network.agents()[5];
    signal("STOP", stopped);
    let output = network.mesh_run(&["--probe-timeout", "1s"]).output().unwrap();
    signal("CONT", stopped);
    let stopped = report(&output);
    assert_eq!(
        (output.status.code(), &stopped["verdict"]),
        (Some(3), &json!("unknown")),
        "{stopped:#}"
    );
    let why = stopped["nodes"][2]["planes"]["pod"]["why"].as_str().unwrap();
    assert!(why.contains("no answer"), "{why}");
    // It was asleep only, and the next run finds it well.
    assert_eq!(network.mesh_run(&[]).output().unwrap().status.code(), Some(0));
}

#[test]
fn agents_outlive_a_coordinator_that_was_killed() {
    let network = Foreign::up();
    let mut killed = network.mesh_run(&[]).spawn().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let output = network.mesh_run(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:#}", report(&output));
}
