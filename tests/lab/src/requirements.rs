//! What a lab of some shape needs of the kernel beyond what every lab needs: tried in a scratch namespace before anything
//! is raised, so that the one who asked hears what is missing and not which command failed.

use std::io::Write as _;
use std::process::{Command, Stdio};

use mesh_net::NetNamespace;

use crate::cidr::IpFamily;
use crate::error::LabError;
use crate::options::{Encapsulation, LabOptions, ServiceBackEnd};
use crate::space::was_interrupted;

/// Something that must work, and how to try it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Requirement {
    /// What asks for it.
    flag: &'static str,
    /// What is missing where it fails.
    what: &'static str,
    program: &'static str,
    arguments: &'static str,
    input: &'static str,
}

/// Tries all that a lab needs. Namespaces must be allowed, as for the lab itself.
pub(crate) fn check(options: &LabOptions) -> Result<(), LabError> {
    let requirements = requirements(options);
    if requirements.is_empty() {
        return Ok(());
    }
    let scratch = NetNamespace::create().map_err(LabError::Namespaces)?;
    let all = || requirements.iter().try_for_each(attempt);
    scratch.run(all).map_err(LabError::Namespaces)?
}

impl ServiceBackEnd {
    /// That of the `iptables` command of this machine: most have both back ends, and one of them is used by whoever does
    /// not choose. iptables-nft where there is no such command: then its own absence is told.
    pub fn of_this_machine() -> Self {
        let said = Command::new("iptables")
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        let words = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        // "iptables v1.8.9 (legacy)"; before 1.8 there was only that, and no word.
        match words {
            Ok(words) if !words.is_empty() && !words.contains("nf_tables") => Self::IptablesLegacy,
            _ => Self::IptablesNft,
        }
    }
}

fn requirements(options: &LabOptions) -> Vec<Requirement> {
    let has = |family| options.families().any(|networks| networks.family() == family);
    let mut all = Vec::new();
    if options.encapsulation == Encapsulation::Ipip {
        all.push(Requirement {
            flag: "--encapsulation ipip",
            what: "the kernel module ipip",
            program: "ip",
            arguments: "link add tunnel type ipip local 127.0.0.1",
            input: "",
        });
    }
    if has(IpFamily::V6) {
        all.push(Requirement {
            flag: "--ip-family",
            what: "IPv6 in the kernel",
            program: "ip",
            arguments: "address add fd00::1/128 dev lo",
            input: "",
        });
    }
    let nat = "*nat\n-A POSTROUTING -m mark --mark 1 -j MASQUERADE --random-fully\nCOMMIT\n";
    let rules = |what, program| Requirement {
        flag: "--services iptables-legacy",
        what,
        program,
        arguments: "-w --noflush",
        input: nat,
    };
    match options.services {
        // Every lab has had these so far, and a command that fails says so well enough.
        ServiceBackEnd::IptablesNft => {}
        ServiceBackEnd::IptablesLegacy => {
            if has(IpFamily::V4) {
                let what = "the kernel modules iptable_nat and iptable_filter";
                all.push(rules(what, "iptables-legacy-restore"));
            }
            if has(IpFamily::V6) {
                let what = "the kernel modules ip6table_nat and ip6table_filter";
                all.push(rules(what, "ip6tables-legacy-restore"));
            }
        }
        ServiceBackEnd::Nft => all.push(Requirement {
            flag: "--services nft",
            what: "NAT and maps of the kernel's nf_tables",
            program: "nft",
            arguments: "-f -",
            input: concat!(
                "table inet scratch {\n",
                "map m { type inet_proto . inet_service : verdict\nelements = { tcp . 1 : drop }\n}\n",
                "chain c { type nat hook postrouting priority srcnat\nfib saddr type local return\n",
                "meta l4proto . th dport vmap @m\nnumgen random mod 2 vmap { 0 : return, 1 : return }\n",
                "masquerade fully-random\n}\n}\n",
            ),
        }),
    }
    all
}

fn attempt(requirement: &Requirement) -> Result<(), LabError> {
    let program = requirement.program;
    let tool = |source| LabError::Tool { program, source };
    let mut child = Command::new(program)
        .args(requirement.arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A lock of nobody: the namespace is ours alone.
        .env("XTABLES_LOCKFILE", "/dev/null")
        .spawn()
        .map_err(tool)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that ends before it has read all says why on stderr.
        let _ = stdin.write_all(requirement.input.as_bytes());
    }
    let output = child.wait_with_output().map_err(tool)?;
    if output.status.success() {
        return Ok(());
    }
    if was_interrupted(output.status) {
        return Err(LabError::Interrupted);
    }
    Err(LabError::Missing {
        flag: requirement.flag,
        what: requirement.what,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unusual_is_tried() {
        let usual = LabOptions::of_size(3).unwrap();
        assert_eq!(requirements(&usual), []);
        let mut odd = usual.clone();
        odd.encapsulation = Encapsulation::Ipip;
        odd.services = ServiceBackEnd::IptablesLegacy;
        let programs: Vec<_> = requirements(&odd)
            .iter()
            .map(|one| (one.flag, one.program))
            .collect();
        assert_eq!(
            programs,
            [
                ("--encapsulation ipip", "ip"),
                ("--services iptables-legacy", "iptables-legacy-restore")
            ]
        );
    }

    #[test]
    fn what_the_kernel_has_not_is_named() {
        let scratch = NetNamespace::create().unwrap();
        let impossible = Requirement {
            flag: "--encapsulation none-such",
            what: "the kernel module none_such",
            program: "ip",
            arguments: "link add tunnel type none_such",
            input: "",
        };
        let error = scratch.run(|| attempt(&impossible)).unwrap().unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with(
                "--encapsulation none-such needs the kernel module none_such, which is missing here ("
            ),
            "{said}"
        );
    }
}
