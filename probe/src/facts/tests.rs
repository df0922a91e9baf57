//! Facts of real kernels' namespaces, each made for its test by the commands that operators use. Needs root, or an
//! ordinary user's own user namespace.

mod any_bytes;
mod iptables;
mod nftables;
mod privileges;
mod routing;
mod size;

use std::io::Write;
use std::process::{Command, Stdio};

use mesh_net::NetNamespace;
use mesh_proto::{
    Action, Backend, Chain, ConnectionStates, HostFacts, Match, MatchTest, Port, PortRange, Prefix, Rule,
    TableFamily,
};

use super::host_facts;

/// Runs commands in a namespace of their own, then reads its facts.
fn facts_after(commands: &[&str]) -> HostFacts {
    let namespace = NetNamespace::create().unwrap();
    namespace
        .run(|| {
            for line in commands {
                command(line, "");
            }
            host_facts()
        })
        .unwrap()
}

/// Runs a command where the calling thread stands, with text on its standard input.
fn command(line: &str, input: &str) {
    let mut words = line.split_whitespace();
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn ports(all: &[(u16, u16)]) -> Vec<PortRange> {
    all.iter()
        .map(|(from, to)| PortRange {
            from: Port(*from),
            to: Port(*to),
        })
        .collect()
}

fn chain<'a>(
    facts: &'a HostFacts,
    backend: Backend,
    family: TableFamily,
    table: &str,
    chain: &str,
) -> &'a Chain {
    let tables = &facts.netfilter.tables;
    let of = |found: &&mesh_proto::Table| {
        (found.backend, found.family, found.name.as_str()) == (backend, family, table)
    };
    let found = tables
        .iter()
        .find(of)
        .unwrap_or_else(|| panic!("no table {table} among {tables:#?}"));
    found
        .chains
        .iter()
        .find(|of| of.name == chain)
        .unwrap_or_else(|| panic!("no chain {chain} in {found:#?}"))
}

/// What a chain's rules test and do.
fn told(chain: &Chain) -> Vec<(Vec<MatchTest>, Action)> {
    chain
        .rules
        .iter()
        .map(|Rule { tests, action, .. }| (tests.clone(), action.clone()))
        .collect()
}

fn is(on: Match) -> MatchTest {
    MatchTest { not: false, on }
}

fn not(on: Match) -> MatchTest {
    MatchTest { not: true, on }
}

fn nets(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

const NEW: ConnectionStates = ConnectionStates {
    new: true,
    invalid: false,
    established: false,
    related: false,
    untracked: false,
};
const ESTABLISHED: ConnectionStates = ConnectionStates {
    established: true,
    related: true,
    new: false,
    invalid: false,
    untracked: false,
};
