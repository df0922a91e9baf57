use mesh_proto::{Action, Backend, Base, Hook, Rule, TableFamily};

use super::{Tables, Told, size};

fn rule(action: Action) -> Rule {
    Rule {
        text: "-j SOMETHING".to_owned(),
        tests: Vec::new(),
        action,
        packets: None,
        handle: None,
    }
}

fn base() -> Base {
    Base {
        hook: Hook::Forward,
        priority: 0,
        accepts: true,
        kind: "filter".to_owned(),
        links: Vec::new(),
    }
}

/// A base chain with a jump, one with a rule that decides behind three that do not, one without any that does.
fn tables() -> Tables {
    let jump = || rule(Action::Jump("x".to_owned()));
    let mut tables = Tables::default();
    let table = tables.table(Backend::Nft, TableFamily::Ip, "filter");
    tables.chain(table, "FORWARD", Some(base()));
    tables.chain(table, "mixed", None);
    tables.chain(table, "leads", None);
    tables.rule(table, "FORWARD", jump());
    for rule in [jump(), jump(), rule(Action::Drop), jump()] {
        tables.rule(table, "mixed", rule);
    }
    tables.rule(table, "leads", jump());
    tables.rule(table, "unknown", jump());
    tables
}

fn names(room: usize) -> (Vec<(String, Vec<String>)>, Told) {
    let (tables, told) = tables().within(room);
    let chains = tables[0].chains.iter().map(|chain| {
        let rules = chain.rules.iter().map(|rule| match &rule.action {
            Action::Jump(_) => "jump".to_owned(),
            Action::Drop => "drop".to_owned(),
            _ => rule.text.clone(),
        });
        (chain.name.clone(), rules.collect())
    });
    (chains.collect(), told)
}

#[test]
fn what_decides_is_kept_before_what_leads_there() {
    let chains = |all: &[(&str, &[&str])]| -> Vec<(String, Vec<String>)> {
        let texts = |rules: &&[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
        all.iter()
            .map(|(name, rules)| ((*name).to_owned(), texts(rules)))
            .collect()
    };
    let (jump, drop) = (
        size(&rule(Action::Jump("x".to_owned()))),
        size(&rule(Action::Drop)),
    );
    let all = chains(&[
        ("FORWARD", &["jump"]),
        ("mixed", &["jump", "jump", "drop", "jump"]),
        ("leads", &["jump"]),
    ]);
    assert_eq!(names(9 * (jump + drop)), (all, Told { all: 6, left_out: 0 }));
    let (two, one) = ("... 2 more, not told", "... 1 more, not told");
    let some = chains(&[("FORWARD", &["jump"]), ("mixed", &["jump", one, "drop", one])]);
    assert_eq!(names(2 * jump + drop), (some, Told { all: 6, left_out: 3 }));
    let few = chains(&[("FORWARD", &["jump"]), ("mixed", &[two, "drop", one])]);
    assert_eq!(names(jump + drop), (few, Told { all: 6, left_out: 4 }));
}
