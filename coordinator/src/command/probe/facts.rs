//! `mesh probe facts`: what the kernel of this place says of its network.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use mesh_proto::{Fact, HostFacts};

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::render::plain;

/// Flags of `mesh probe facts`.
#[derive(Debug, Args)]
pub(super) struct FactsArgs {
    /// How to show them
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Grouped lines, for people; counters that are zero are left out
    Table,
    /// All facts, for programs
    Json,
}

/// Reads the facts and prints them. What may not be read is part of them, with the reason.
pub(super) fn facts(args: &FactsArgs) -> Result<ExitCode, Failure> {
    let facts = mesh_probe::host_facts();
    let text = match args.output {
        Format::Table => table(&facts),
        Format::Json => serde_json::to_string_pretty(&facts).map_err(Failure::could_not_run)? + "\n",
    };
    crate::output::print(crate::render::Format::Json, |_, out| {
        out.write_all(text.as_bytes())
    })
    .map_err(Failure::could_not_run)?;
    Ok(ExitCode::Reachable)
}

/// Columns of a name, beyond which its value stands where the name ends.
const WIDEST_NAME: usize = 48;

/// Writing to a string cannot fail.
fn table(facts: &HostFacts) -> String {
    let mut lines = facts.lines();
    lines.retain(|line| !(line.value == "0" && line.group.ends_with("counter")));
    let mut text = String::new();
    for group in lines.chunk_by(|a, b| heading(a) == heading(b)) {
        let between = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{between}{}", heading(&group[0]));
        if group[0].group == "chain" {
            rules(group, &mut text);
        } else {
            names_and_values(group, &mut text);
        }
    }
    text
}

/// What stands above a line. Chains and their rules stand together.
fn heading(line: &Fact) -> String {
    match line.group {
        "chain" | "rule" => "RULES".to_owned(),
        group => group.replace('-', " ").to_uppercase(),
    }
}

fn names_and_values(lines: &[Fact], text: &mut String) {
    let widest = lines
        .iter()
        .map(|line| line.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(WIDEST_NAME);
    for Fact { name, value, .. } in lines {
        text.push_str(format!("  {:<widest$}  {}", plain(name), plain(value)).trim_end());
        text.push('\n');
    }
}

/// A chain, then its rules by number.
fn rules(lines: &[Fact], text: &mut String) {
    for line in lines {
        let (name, value) = (plain(&line.name), plain(&line.value));
        let line = match (line.group, name.rsplit_once(' ')) {
            ("rule", Some((_, number))) => format!("  {number:>5}  {value}"),
            _ => format!("  {name}: {value}"),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_proto::{
        Action, Backend, Base, Chain, Hook, HostFacts, Missing, NFTABLES_RULES, Netfilter, Rule, Table,
        TableFamily,
    };

    use super::table;

    #[test]
    fn facts_are_grouped() {
        let rule = |text: &str| Rule {
            text: text.to_owned(),
            tests: vec![],
            action: Action::Drop,
            packets: None,
            handle: None,
        };
        let base = Base {
            hook: Hook::Input,
            priority: -5,
            accepts: true,
            kind: "filter".to_owned(),
            links: Vec::new(),
        };
        let chain = |name: &str, base| Chain {
            name: name.to_owned(),
            base,
            rules: vec![rule("drop"), rule("a\x1b[1m")],
        };
        let facts = HostFacts {
            kernel: "6.1.0".to_owned(),
            uptime_s: 5,
            sysctls: BTreeMap::from([("net.ipv4.ip_forward".to_owned(), "1".to_owned())]),
            netfilter: Netfilter {
                tables: vec![Table {
                    backend: Backend::Nft,
                    family: TableFamily::Inet,
                    name: "t".to_owned(),
                    chains: vec![chain("in", Some(base)), chain("other", None)],
                }],
            },
            counters: BTreeMap::from([("Ip.InReceives".to_owned(), 7), ("Ip.InDiscards".to_owned(), 0)]),
            missing: vec![Missing {
                what: NFTABLES_RULES.to_owned(),
                why: "no CAP_NET_ADMIN".to_owned(),
            }],
            ..HostFacts::default()
        };
        let expected = "KERNEL\n  release   6.1.0\n  uptime_s  5\n\nSYSCTL\n  net.ipv4.ip_forward  1\n\nRULES\n  nft inet t in: type \
                        filter hook input priority -5 policy accept\n      1  drop\n      2  a\u{fffd}[1m\n  nft inet t other: no \
                        hook\n      1  drop\n      2  a\u{fffd}[1m\n\nCOUNTER\n  Ip.InReceives  7\n\nMISSING\n  nftables rules  no \
                        CAP_NET_ADMIN\n";
        assert_eq!(table(&facts), expected);
    }
}
