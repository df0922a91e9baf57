//! Advice as it is shown: what is to be typed stands on lines of its own, which nobody breaks, so that it is copied whole.

/// Programs that an advice has somebody type.
const PROGRAMS: &[&str] = &[
    "arping",
    "bridge",
    "calicoctl",
    "cilium",
    "conntrack",
    "crictl",
    "curl",
    "echo",
    "ethtool",
    "firewall-cmd",
    "for",
    "grep",
    "ip",
    "ip6tables",
    "ip6tables-legacy",
    "ip6tables-nft-save",
    "ip6tables-save",
    "ipset",
    "iptables",
    "iptables-legacy",
    "iptables-legacy-save",
    "iptables-nft-save",
    "iptables-save",
    "ipvsadm",
    "journalctl",
    "kubectl",
    "mesh",
    "modprobe",
    "nft",
    "nstat",
    "ping",
    "ss",
    "sysctl",
    "systemctl",
    "tc",
    "tcpdump",
    "tracepath",
    "traceroute",
    "ufw",
    "uptime",
];

/// One piece of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice<'a> {
    Sentence(&'a str),
    /// What to type, and where or what for: `On worker-2: ip route`.
    Command {
        lead: Option<&'a str>,
        command: &'a str,
    },
}

impl<'a> Advice<'a> {
    /// Tells what is to be typed from what is to be read: after a colon, or from the beginning, by the name of the program.
    pub(super) fn of(text: &'a str) -> Self {
        if is_command(text) {
            return Self::Command {
                lead: None,
                command: text,
            };
        }
        let mut colons = text.match_indices(": ");
        let found = colons.find(|(at, colon)| is_command(&text[at + colon.len()..]));
        match found {
            Some((at, colon)) => Self::Command {
                lead: Some(&text[..at]),
                command: &text[at + colon.len()..],
            },
            None => Self::Sentence(text),
        }
    }
}

fn is_command(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let mut rest = text.split_whitespace().skip(1).peekable();
    let is_sentence = text.ends_with('.') || rest.peek().is_none() && first == "ip";
    first.starts_with('/') || (PROGRAMS.contains(&first.trim_end_matches(';')) && !is_sentence)
}

#[cfg(test)]
mod tests {
    use super::{Advice, PROGRAMS};

    #[test]
    fn commands_are_told_from_sentences() {
        let command = |lead, command| Advice::Command { lead, command };
        let cases = [
            ("ip route", command(None, "ip route")),
            ("/sbin/ip route", command(None, "/sbin/ip route")),
            ("On the node: ip route", command(Some("On the node"), "ip route")),
            (
                "On a::1, where firewalld runs: firewall-cmd --reload",
                command(Some("On a::1, where firewalld runs"), "firewall-cmd --reload"),
            ),
            ("", Advice::Sentence("")),
            (
                "Restart the CNI's pod: it makes the device anew.",
                Advice::Sentence("Restart the CNI's pod: it makes the device anew."),
            ),
            (
                "Clouds drop what they do not know: ip spoofing checks, for one.",
                Advice::Sentence("Clouds drop what they do not know: ip spoofing checks, for one."),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Advice::of(text), expected, "{text}");
        }
    }

    #[test]
    fn programs_are_in_order_and_named_once() {
        assert!(PROGRAMS.is_sorted_by(|a, b| a < b));
    }
}
