use mesh_proto::{Action, Backend, Base, Chain, Hook, Rule, Table, TableFamily};

use super::super::Stop;

fn rule(text: &str, handle: Option<u64>) -> Rule {
    Rule {
        text: text.to_owned(),
        tests: Vec::new(),
        action: Action::Drop,
        packets: None,
        handle,
    }
}

fn removal(
    backend: Backend,
    family: TableFamily,
    name: &str,
    rules: Vec<Rule>,
    place: Option<usize>,
) -> Option<String> {
    let base = Base {
        hook: Hook::Input,
        priority: 0,
        accepts: false,
        kind: "filter".to_owned(),
        links: Vec::new(),
    };
    let chain = Chain {
        name: "INPUT".to_owned(),
        base: Some(base),
        rules,
    };
    let table = Table {
        backend,
        family,
        name: name.to_owned(),
        chains: vec![chain],
    };
    let chain = &table.chains[0];
    let stop = Stop {
        table: &table,
        chain,
        rule: place.map(|place| (place, &chain.rules[place])),
        sure: true,
    };
    stop.removal()
}

#[test]
fn each_back_end_has_its_own_command() {
    use {Backend::Legacy, Backend::Nft, TableFamily::Inet, TableFamily::Ip, TableFamily::Ip6};
    let two = |text: &str, handle: Option<u64>| vec![rule("-j LOG", handle.map(|_| 3)), rule(text, handle)];
    let cases = [
        (
            Legacy,
            Ip,
            "filter",
            two("-s 10.0.0.1/32 -j DROP", None),
            "iptables-legacy -D INPUT 2",
        ),
        (
            Legacy,
            Ip6,
            "raw",
            two("-j DROP", None),
            "ip6tables-legacy -t raw -D INPUT 2",
        ),
        (
            Nft,
            Ip,
            "raw",
            two("-j DROP", Some(8)),
            "iptables -t raw -D INPUT 2  # or: nft delete rule ip raw INPUT handle 8",
        ),
        (Nft, Ip6, "filter", two("-j DROP", None), "ip6tables -D INPUT 2"),
        (
            Nft,
            Inet,
            "hardened",
            two("ip saddr 10.0.0.1 drop", Some(8)),
            "nft delete rule inet hardened INPUT handle 8",
        ),
    ];
    for (backend, family, name, rules, wanted) in cases {
        assert_eq!(
            removal(backend, family, name, rules, Some(1)).as_deref(),
            Some(wanted)
        );
    }
    let policies = [
        (Legacy, Ip, "filter", "iptables-legacy -P INPUT ACCEPT"),
        (
            Nft,
            Ip,
            "filter",
            "iptables -P INPUT ACCEPT  # or: nft 'chain ip filter INPUT { policy accept; }'",
        ),
        (
            Nft,
            Inet,
            "hardened",
            "nft 'chain inet hardened INPUT { policy accept; }'",
        ),
    ];
    for (backend, family, name, wanted) in policies {
        assert_eq!(
            removal(backend, family, name, Vec::new(), None).as_deref(),
            Some(wanted)
        );
    }
}

#[test]
fn alternatives_of_one_rule_count_once_and_what_is_not_told_leaves_no_number() {
    let rules = vec![
        rule("-j A", Some(4)),
        rule("-j A", Some(4)),
        rule("-j B", Some(6)),
        rule("-j B", Some(6)),
    ];
    let found = removal(Backend::Nft, TableFamily::Ip, "filter", rules, Some(3));
    assert_eq!(
        found.as_deref(),
        Some("iptables -D INPUT 2  # or: nft delete rule ip filter INPUT handle 6")
    );
    let mut rules = vec![rule("... 900 more, not told", None), rule("-j DROP", None)];
    rules[0].action = Action::Other("not told".to_owned());
    assert_eq!(
        removal(Backend::Legacy, TableFamily::Ip, "filter", rules, Some(1)),
        None
    );
}
