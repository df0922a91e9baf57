//! Signals: the first ends the run in order, the second at once.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

/// A run over `agents` agents that all stand behind one silent socket each; it waits for them to answer.
struct Run {
    child: Child,
    _folder: tempfile::TempDir,
    /// Connections that are open, and nobody answers on them.
    _silent: Vec<std::os::unix::net::UnixStream>,
}

impl Run {
    /// Comes back when the run has opened its links: by then it listens for signals.
    fn start(agents: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut inventory = b"agents:\n".to_vec();
        let mut listeners = Vec::new();
        for number in 0..agents {
            let socket = folder.path().join(format!("{number}"));
            listeners.push(UnixListener::bind(&socket).expect("a socket"));
            let link = socket.display();
            writeln!(
                inventory,
                "- {{node: n{number}, plane: pod, address: '::1:{number}', link: 'unix:{link}'}}"
            )
            .expect("it fits");
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_mesh"))
            .args(["run", "--inventory", "-", "-o", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mesh starts");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(&inventory)
            .expect("mesh reads its inventory");
        let silent = listeners
            .iter()
            .map(|listener| listener.accept().expect("mesh dials").0)
            .collect();
        Self {
            child,
            _folder: folder,
            _silent: silent,
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let killed = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .expect("kill runs");
        assert!(killed.success());
    }
}

#[test]
fn one_signal_reports_what_is_known() {
    for signal in ["INT", "TERM", "HUP"] {
        let run = Run::start(2);
        run.signal(signal);
        let output = run.child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130), "{signal}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a whole report");
        assert_eq!(
            (&report["interrupted"], &report["verdict"]),
            (&true.into(), &"unknown".into())
        );
        assert_eq!(
            report["nodes"][0]["planes"]["pod"]["why"],
            "the run was interrupted"
        );
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // So many cells that the report fills the pipe, which nobody empties: the run hangs in its last write.
    let mut run = Run::start(40);
    run.signal("INT");
    let mut first = [0];
    run.child
        .stdout
        .as_mut()
        .expect("stdout")
        .read_exact(&mut first)
        .expect("the report begins");
    run.signal("INT");
    assert_eq!(run.child.wait().expect("it ends").code(), Some(130));
}
