use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit_code::ExitCode;

fn config(arguments: &[&str]) -> Result<mesh_core::GateConfig, ExitCode> {
    let all = ["mesh", "gate"].iter().chain(arguments);
    let cli = Cli::try_parse_from(all).map_err(|_| ExitCode::Usage)?;
    let Command::Gate(args) = cli.command else {
        panic!("no gate")
    };
    args.config().map_err(|failure| failure.code)
}

#[test]
fn the_gate_is_asked_for_one_node_or_for_all() {
    use mesh_core::GateScope::{All, Node};
    assert_eq!(config(&["--all"]).unwrap().scope, All);
    assert_eq!(
        config(&["--node", "a"]).unwrap().scope,
        Node("a".parse().unwrap())
    );
    assert_eq!(config(&["--node", "a", "--all"]).unwrap_err(), ExitCode::Usage);
    assert_eq!(config(&["--node", "a/b"]).unwrap_err(), ExitCode::Usage);
}

#[test]
fn a_gate_that_could_never_open_is_wrong_usage() {
    assert_eq!(config(&["--all", "--for", "11m"]).unwrap_err(), ExitCode::Usage);
    assert_eq!(
        config(&["--all", "--for", "11m", "--timeout", "12m"])
            .unwrap()
            .steady
            .as_secs(),
        660
    );
    assert_eq!(config(&["--all", "--for", "0"]).unwrap().steady.as_secs(), 0);
    assert_eq!(config(&["--all", "--for", "soon"]).unwrap_err(), ExitCode::Usage);
    assert_eq!(
        config(&["--all", "--baseline", "/nowhere.json"]).unwrap_err(),
        ExitCode::Usage
    );
}
