//! `mesh gate` and `mesh serve` over a lab that stands, with a fault that comes and goes. Needs root, or user namespaces.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const MESH: &str = env!("CARGO_BIN_EXE_mesh");

/// A lab of three nodes. Gone when dropped.
struct Lab {
    name: String,
    inventory: PathBuf,
}

impl Lab {
    fn up(of: &str) -> Self {
        let name = format!("{of}-{}", std::process::id());
        let said = run(&["lab", "up", "--name", &name, "--nodes", "3"]);
        let said = String::from_utf8(said.stdout).unwrap();
        let inventory = said
            .lines()
            .find_map(|line| line.split_once("--inventory "))
            .unwrap()
            .1;
        Self {
            name,
            inventory: inventory.into(),
        }
    }

    fn forwarding(&self, on: bool) {
        let value = format!("net.ipv4.ip_forward={}", u8::from(on));
        let done = run(&[
            "lab", "exec", "--name", &self.name, "node-2", "--", "sysctl", "-qw", &value,
        ]);
        assert!(done.status.success());
    }

    fn gate(&self, arguments: &[&str]) -> (i32, Value) {
        let inventory = self.inventory.to_str().unwrap();
        let mut all = vec![
            "gate",
            "--inventory",
            inventory,
            "--interval",
            "500ms",
            "-o",
            "json",
        ];
        all.extend(arguments);
        let output = run(&all);
        let said = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), said)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new(MESH)
            .args(["lab", "down", "--name", &self.name])
            .output();
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(MESH).args(arguments).output().unwrap()
}

#[test]
fn a_gate_is_closed_while_a_node_is_broken_and_opens_when_it_is_mended() {
    let lab = Lab::up("gate");
    let (code, said) = lab.gate(&["--all", "--for", "1s"]);
    assert_eq!((code, &said["open"]), (0, &true.into()), "{said}");

    lab.forwarding(false);
    let (code, said) = lab.gate(&["--node", "node-2", "--for", "0", "--timeout", "25s"]);
    assert_eq!((code, &said["verdict"]), (1, &"unreachable".into()), "{said}");
    assert_eq!(said["findings"][0]["cause"], "ip-forward-off", "{said}");
    assert_eq!(
        said["findings"][0]["where"]["nodes"],
        serde_json::json!(["node-2"]),
        "{said}"
    );
    // What was broken before the upgrade does not block it.
    let before = lab.inventory.with_file_name("before.json");
    let inventory = lab.inventory.to_str().unwrap();
    let saved = format!("json={}", before.display());
    assert_eq!(
        run(&["run", "--inventory", inventory, "-o", &saved])
            .status
            .code(),
        Some(1)
    );
    let (code, said) = lab.gate(&[
        "--node",
        "node-2",
        "--for",
        "0",
        "--baseline",
        before.to_str().unwrap(),
    ]);
    assert_eq!(code, 0, "{said}");

    lab.forwarding(true);
    let (code, said) = lab.gate(&["--node", "node-2", "--for", "0"]);
    assert_eq!(code, 0, "{said}");
    // A node that nobody knows is no pass.
    let (code, said) = lab.gate(&["--node", "node-9", "--for", "0", "--timeout", "3s"]);
    assert_eq!((code, &said["verdict"]), (3, &"unknown".into()), "{said}");
}

/// A server; killed when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(inventory: &Path, history: &Path) -> Self {
        let mut process = Command::new(MESH)
            .args(["serve", "--listen", "127.0.0.1:0", "--inventory"])
            .arg(inventory)
            .arg("--history")
            .arg(history)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = lines.next().unwrap().unwrap();
        let address = ready
            .split_once("http://")
            .unwrap_or_else(|| panic!("{ready}"))
            .1
            .to_owned();
        // Nobody else reads it, and a full pipe would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    fn connect(&self, path: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        BufReader::new(stream)
    }

    fn get(&self, path: &str) -> Value {
        let mut answer = String::new();
        self.connect(path).read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Follows the looks until so many incidents are open.
    fn wait_for_open(&self, wanted: u64) {
        let looks = self.connect("/events").lines().map_while(Result::ok);
        let looks = looks.filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
        let mut last = None;
        for look in looks {
            if look["open"] == wanted {
                return;
            }
            last = Some(look);
        }
        panic!("the stream has ended: {last:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_server_opens_names_and_closes_an_incident_and_remembers_it_after_kill_dash_nine() {
    let lab = Lab::up("serve");
    let history = lab.inventory.with_file_name("history");
    let server = Server::start(&lab.inventory, &history);
    server.wait_for_open(0);
    lab.forwarding(false);
    server.wait_for_open(1);
    let url = format!("http://{}", server.address);
    assert_eq!(run(&["status", "--server", &url]).status.code(), Some(1));
    let (code, said) = {
        let output = run(&[
            "gate",
            "--server",
            &url,
            "--node",
            "node-2",
            "--for",
            "0",
            "--timeout",
            "20s",
            "-o",
            "json",
        ]);
        (
            output.status.code().unwrap(),
            serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        )
    };
    assert_eq!((code, &said["open"]), (1, &false.into()), "{said}");
    lab.forwarding(true);
    server.wait_for_open(0);
    // The history is written beside the looks: a look or two later it has what was told.
    let looks = server.connect("/events").lines().map_while(Result::ok);
    let incidents = looks.filter(|line| line.starts_with("data:")).map(|_| {
        let told = server.get("/api/v1/incidents");
        let told: [Value; 1] = told["incidents"].as_array().unwrap().clone().try_into().unwrap();
        let [incident] = told;
        incident
    });
    let mut incidents = incidents.filter(|incident| incident["state"] == "closed");
    let incident = incidents.next().unwrap();
    drop(incidents);
    assert_eq!(
        incident["finding"]["where"]["nodes"],
        serde_json::json!(["node-2"]),
        "{incident}"
    );
    assert_eq!(
        (&incident["state"], &incident["count"]),
        (&"closed".into(), &1.into()),
        "{incident}"
    );
    // SIGKILL.
    drop(server);

    let server = Server::start(&lab.inventory, &history);
    server.wait_for_open(0);
    assert_eq!(server.get("/api/v1/incidents")["incidents"][0], incident);
    let url = format!("http://{}", server.address);
    let told = run(&["history", "--server", &url]);
    assert!(String::from_utf8_lossy(&told.stdout).starts_with("1 incident, 0 open."));
    let at = run(&["report", "--at", "1ms", "--server", &url, "-o", "json"]);
    assert_eq!(
        serde_json::from_slice::<Value>(&at.stdout).unwrap()["schema"],
        "mesh.report/v1"
    );
}

#[test]
fn flags_that_contradict_each_other_are_refused_before_anything_is_done() {
    let local = ["serve", "--listen", "127.0.0.1:0"];
    let table: &[(&[&str], &str)] = &[
        (&["--dry-run"], "--dry-run is for `mesh run`"),
        (&["--leader-elect"], "--namespace"),
        (
            &["--inventory", "x", "--namespace", "n", "--leader-elect"],
            "--leader-elect",
        ),
        (&["--inventory", "x", "--node-conditions"], "--node-conditions"),
        (&["--webhook", "ftp://x/secret"], "neither http:// nor https://"),
        (&["--webhook", "https://x/"], "--webhook-ca"),
        (
            &["--webhook", "https://x/", "--webhook-ca", "/dev/null"],
            "no certificate",
        ),
    ];
    for (flags, words) in table {
        let refused = run(&[&local, *flags].concat());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(words), "{flags:?}: {said}");
    }
}
