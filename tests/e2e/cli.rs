//! The binary from outside: exit codes and words for bad input.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod facts;
mod interrupt;

use std::io::Write;
use std::process::{Command, Stdio};

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `mesh` with nothing of the caller's environment but the PATH.
fn mesh(arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mesh"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The child may end without reading.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

const GOOD_INVENTORY: &str =
    "agents: [{node: a, plane: pod, address: 127.0.0.1, link: 'unix:/nonexistent/a.sock'}]";
const TCP_INVENTORY: &str = "agents: [{node: a, plane: pod, address: 127.0.0.1, link: 'tcp:127.0.0.1:9'}]";

struct Bad {
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    stdin: &'static str,
    code: i32,
    /// Each must stand on stderr.
    says: &'static [&'static str],
}

const fn bad(arguments: &'static [&'static str], code: i32, says: &'static [&'static str]) -> Bad {
    Bad {
        arguments,
        environment: &[],
        stdin: "",
        code,
        says,
    }
}

const BAD: &[Bad] = &[
    bad(&[], 2, &["Usage: mesh"]),
    bad(&["rum"], 2, &["unrecognized subcommand 'rum'", "'run'"]),
    bad(&["run", "--inventroy", "x"], 2, &["--inventroy", "--inventory"]),
    bad(
        &["run", "--kubeconfig", "/nonexistent/config"],
        2,
        &[
            "the kubeconfig /nonexistent/config cannot be used",
            "No such file",
        ],
    ),
    bad(&["run"], 4, &["no cluster is configured", "--kubeconfig"]),
    bad(
        &["run", "--timeout", "0"],
        2,
        &["--timeout", "longer than 0", "30s, 2m"],
    ),
    bad(
        &["run", "--timeout", "soon"],
        2,
        &["--timeout", "'soon'", "30s, 2m"],
    ),
    bad(&["run", "--timeout", "30"], 2, &["the unit is missing"]),
    bad(&["run", "--probe-timeout", "2h"], 2, &["longer than a minute"]),
    bad(&["run", "--max-pps", "0"], 2, &["--max-pps"]),
    bad(&["run", "--peers", "3"], 2, &["--peers", "4"]),
    bad(&["run", "--turn", "3"], 2, &["--peers"]),
    bad(&["run", "--cells", "some"], 2, &["--cells", "auto, all"]),
    bad(&["run", "--tls-ca", "x"], 2, &["--tls-cert", "--tls-key"]),
    bad(
        &["run", "--inventory", "/nonexistent/inventory"],
        2,
        &["/nonexistent/inventory", "No such file"],
    ),
    bad(&["run", "--inventory", "/"], 2, &["Is a directory"]),
    Bad {
        environment: &[("MESH_TIMEOUT", "later")],
        ..bad(&["run"], 2, &["'later'", "--timeout"])
    },
    Bad {
        environment: &[("MESH_STRICT", "perhaps")],
        ..bad(&["run"], 2, &["'perhaps'", "--strict"])
    },
    Bad {
        stdin: "agents:\n- {node: n1, plane: pod, address: nowhere, link: 'unix:/a'}\n",
        ..bad(
            &["run", "--inventory", "-"],
            2,
            &["stdin:2:35: agents[0].address: found `nowhere`, expected an IP address"],
        )
    },
    Bad {
        stdin: "agents: [",
        ..bad(&["run", "--inventory", "-"], 2, &["stdin:1:", "not YAML"])
    },
    Bad {
        stdin: TCP_INVENTORY,
        ..bad(
            &["run", "--inventory", "-"],
            2,
            &["agents[0].link", "--tls-ca, --tls-cert and --tls-key"],
        )
    },
    Bad {
        stdin: TCP_INVENTORY,
        ..bad(
            &[
                "run",
                "--inventory",
                "-",
                "--tls-ca",
                "/nonexistent/ca",
                "--tls-cert",
                "c",
                "--tls-key",
                "k",
            ],
            2,
            &["--tls-ca", "/nonexistent/ca", "No such file"],
        )
    },
    bad(
        &["run", "--probe-timeout", "1ms"],
        2,
        &["--probe-timeout", "expected 100ms to 1m"],
    ),
    bad(&["run", "--probe-timeout", "99ms"], 2, &["expected 100ms to 1m"]),
    bad(
        &["run", "--inventory", "/dev/zero"],
        2,
        &["/dev/zero", "larger than 16 MiB"],
    ),
    Bad {
        environment: &[("MESH_LOG", "[[[")],
        ..bad(
            &["version"],
            2,
            &["MESH_LOG: `[[[` is no filter", "info,mesh_probe=debug"],
        )
    },
    Bad {
        environment: &[("MESH_LOG", "mesh=loud")],
        ..bad(&["version"], 2, &["MESH_LOG: `mesh=loud` is no filter"])
    },
    Bad {
        stdin: "agents: [{node: a, plane: pod, address: '::1', link: 'unix:/a'}]\ncluster: {api: {address: '::1', port: \"443\"}}",
        ..bad(
            &["run", "--inventory", "-"],
            2,
            &["cluster.api.port: found `443`, expected a port, 1 to 65535 (a number, without quotes)"],
        )
    },
    Bad {
        stdin: "agents: [{node: a/pod, plane: pod, address: '::1', link: 'unix:/a'}]",
        ..bad(
            &["run", "--inventory", "-"],
            2,
            &["agents[0].node: found `a/pod`"],
        )
    },
    bad(
        &["lab", "run", "--node-cidr", "127.0.0.0/8"],
        2,
        &["--node-cidr 127.0.0.0/8 cannot be used", "loopback"],
    ),
    bad(
        &["lab", "run", "--pod-cidr", "224.0.0.0/8"],
        2,
        &["--pod-cidr 224.0.0.0/8", "multicast"],
    ),
    bad(
        &["lab", "run", "--service-cidr", "169.254.0.0/16"],
        2,
        &["--service-cidr", "link-local"],
    ),
    bad(
        &["lab", "run", "--services", "ipvs"],
        2,
        &["invalid value 'ipvs'", "iptables, iptables-legacy, nft"],
    ),
    bad(
        &["lab", "run", "--ip-family", "v6"],
        2,
        &["invalid value 'v6'", "ipv4, ipv6, dual"],
    ),
    bad(
        &["lab", "run", "--odd", "ufw,nothing"],
        2,
        &["invalid value 'nothing'", "firewalld, ufw"],
    ),
    bad(
        &["lab", "run", "--odd", "strict-rp-filter", "--no-nat-outgoing"],
        2,
        &["--odd strict-rp-filter needs --encapsulation none or natOutgoing"],
    ),
    bad(
        &["lab", "run", "--pod-cidr", "fd00:1::/48"],
        2,
        &["--pod-cidr fd00:1::/48 cannot be used: the lab has no IPv6: see --ip-family"],
    ),
    bad(
        &[
            "lab",
            "run",
            "--ip-family",
            "dual",
            "--node-cidr",
            "fd00:1::/64,fd00:2::/64",
        ],
        2,
        &["--node-cidr fd00:2::/64 cannot be used: there is one of IPv6 already"],
    ),
    bad(
        &["lab", "run", "--ip-family", "ipv6", "--encapsulation", "ipip"],
        2,
        &["--encapsulation ipip works with --ip-family ipv4 only"],
    ),
    bad(
        &["lab", "run", "--fault", "overlay-port-mismatch:port=9441"],
        2,
        &["port=9441: expected a port from 1 to 65535 that the lab does not use"],
    ),
    bad(
        &["lab", "run", "--fault", "overlay-port-mismatch:port=4789"],
        2,
        &["port=4789: expected a port"],
    ),
    bad(
        &["lab", "run", "--fault", "random-loss:share=101"],
        2,
        &["share=101: expected 1 to 100 percent"],
    ),
    bad(
        &["lab", "run", "--fault", "dns-endpoint-down:node=node-2"],
        2,
        &["node=node-2: expected one of node-1, node-3"],
    ),
    bad(
        &["lab", "run", "--node-names", "fabric,b"],
        2,
        &["cannot be called fabric"],
    ),
    bad(
        &["lab", "run", "--node-names", "a,.."],
        2,
        &["cannot be called .."],
    ),
    bad(
        &["lab", "run", "--node-names", "../a"],
        2,
        &["--node-names", "it has a slash"],
    ),
    bad(
        &["lab", "run", "--node-names", "a\u{202e}b"],
        2,
        &["turns the writing direction"],
    ),
    bad(
        &[
            "probe",
            "--node",
            "a",
            "--plane",
            "pod",
            "--listen",
            "tcp:127.0.0.1:9",
            "--tls-ca",
            "/dev/null",
            "--tls-cert",
            "c",
            "--tls-key",
            "k",
        ],
        2,
        &["--tls-cert c: No such file"],
    ),
    bad(&["image"], 2, &["--output"]),
    bad(
        &["image", "-o", "/nonexistent/x.tar"],
        4,
        &["cannot write the image", "create the directory"],
    ),
    bad(&["image", "-o", "-"], 4, &["not static", "make static"]),
    bad(
        &["image", "-o", "x", "--image", "localhost/Mesh"],
        2,
        &["'Mesh' cannot be part of a name"],
    ),
    bad(&["completion", "klingon"], 2, &["klingon", "bash", "zsh", "fish"]),
    bad(&["version", "-o", "xml"], 2, &["xml", "json, yaml"]),
];

#[test]
fn bad_input_gets_its_exit_code_and_words_on_stderr_only() {
    for case in BAD {
        let ended = mesh(case.arguments, case.environment, case.stdin);
        let context = format!(
            "mesh {:?} {:?}\n{}",
            case.arguments, case.environment, ended.stderr
        );
        assert_eq!(ended.code, Some(case.code), "{context}");
        assert_eq!(ended.stdout, "", "{context}");
        for words in case.says {
            assert!(ended.stderr.contains(words), "`{words}` is missing:\n{context}");
        }
    }
}

#[test]
fn a_flag_beats_the_environment() {
    let ended = mesh(
        &["run", "--timeout", "1s", "--inventory", "-"],
        &[("MESH_TIMEOUT", "later")],
        "agents: []",
    );
    assert!(ended.stderr.contains("agents: found none"), "{}", ended.stderr);
}

#[test]
fn help_tells_the_exit_codes() {
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let ended = mesh(arguments, &[], "");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(
            ended
                .stdout
                .contains("Exit codes:\n    0  everything asked for is reachable"),
            "{}",
            ended.stdout
        );
    }
}

#[test]
fn version_is_told_to_people_and_machines() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        mesh(&["version"], &[], "")
            .stdout
            .starts_with(&format!("mesh {version} (protocol "))
    );
    assert!(mesh(&["--version"], &[], "").stdout.contains(version));
    let json: serde_json::Value =
        serde_json::from_str(&mesh(&["version", "-o", "json"], &[], "").stdout).unwrap();
    assert_eq!(json["version"], version);
    assert!(json["protocol"].is_u64());
    assert!(
        mesh(&["version", "-o", "yaml"], &[], "")
            .stdout
            .contains("version: ")
    );
}

#[test]
fn every_shell_has_its_completion() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = mesh(&["completion", shell], &[], "");
        assert_eq!(ended.code, Some(0), "{shell}: {}", ended.stderr);
        assert!(ended.stdout.contains("inventory"), "{shell}");
    }
}

#[test]
fn when_no_agent_is_reachable_all_is_unknown_and_each_says_why() {
    let ended = mesh(&["run", "--inventory", "-", "-o", "json"], &[], GOOD_INVENTORY);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["verdict"], "unknown");
    let pod = &report["nodes"][0]["planes"]["pod"];
    assert_eq!(pod["state"], "absent");
    let why = pod["why"].as_str().unwrap();
    assert!(
        why.contains("unix:/nonexistent/a.sock") && why.contains("No such file"),
        "{why}"
    );
    let cells = report["cells"].as_array().unwrap();
    assert!(
        !cells.is_empty()
            && cells
                .iter()
                .all(|cell| cell["state"] == "unknown" && cell["reason"].is_string())
    );
}

#[test]
fn as_a_plugin_of_kubectl_it_is_named_so() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-mesh");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mesh"), &plugin).unwrap();
    let help = Command::new(&plugin).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("Usage: kubectl mesh run"), "{help}");
}

#[test]
fn a_log_that_cannot_be_written_costs_nothing() {
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    for stderr in [full(), Stdio::piped()] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mesh"))
            .args(["-vv", "run", "--inventory", "-", "-o", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        child
            .stdin
            .take()
            .unwrap()
            .write_all(GOOD_INVENTORY.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["verdict"], "unknown");
    }
}

#[test]
fn help_that_cannot_be_written_is_told() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["--version"],
        &["completion", "bash"],
        &["version"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mesh"))
            .args(arguments)
            .stdout(std::fs::File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {said}");
        assert_eq!(said.matches("No space left").count(), 1, "{arguments:?}: {said}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = [
        "probe",
        "--node",
        "a",
        "--plane",
        "pod",
        "--listen",
        "unix:/nonexistent/a",
    ];
    let responder = ["--responder-address", "127.0.0.1", "--responder-port", &port];
    let ended = mesh(&[&arguments[..], &responder].concat(), &[], "");
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("in use").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_reader_that_went_away_is_no_panic() {
    for arguments in [&["--help"][..], &["completion", "bash"], &["version"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mesh"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}
