use super::*;

fn lab(change: impl FnOnce(&mut LabOptions)) -> LabOptions {
    let mut options = LabOptions::of_size(2).unwrap();
    change(&mut options);
    options
}

#[test]
fn every_oddity_has_a_name_of_its_own() {
    let mut names: Vec<String> = Oddity::ALL
        .iter()
        .map(|(oddity, ..)| oddity.to_string())
        .collect();
    for (name, (_, expected, meaning)) in names.iter().zip(Oddity::ALL) {
        assert_eq!(name, expected);
        assert!(!meaning.is_empty());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), Oddity::ALL.len());
}

#[test]
fn packets_must_come_from_where_answers_go() {
    let strict = |options: &mut LabOptions| {
        options.odd.insert(Oddity::StrictRpFilter);
    };
    let asymmetric = lab(|options| {
        strict(options);
        options.nat_outgoing = false;
    });
    let said = asymmetric.check().unwrap_err().to_string();
    assert!(
        said.starts_with("--odd strict-rp-filter needs --encapsulation none or natOutgoing"),
        "{said}"
    );
    let routed = lab(|options| {
        strict(options);
        options.nat_outgoing = false;
        options.encapsulation = Encapsulation::None;
    });
    assert_eq!(routed.check(), Ok(()));
    assert_eq!(lab(strict).check(), Ok(()));
}

#[test]
fn firewalls_accept_the_networks_of_each_family_and_nothing_by_name() {
    let options = lab(|options| {
        options.odd = Oddity::ALL.iter().map(|(oddity, ..)| *oddity).collect();
        options.networks.nodes = "100.64.0.0/10".parse().unwrap();
        options.second_networks = Some(crate::options::Networks::usual(IpFamily::V6));
    });
    let views = Topology::of(&options).views();
    let firewalld = firewalld::text(&views[0]);
    assert!(
        firewalld.contains("ip saddr { 100.64.0.0/10, 10.244.0.0/16 } accept\n"),
        "{firewalld}"
    );
    assert!(
        firewalld.contains("ip6 daddr fd00:10:244::/48 accept\n"),
        "{firewalld}"
    );
    assert_eq!(
        firewalld::action(&views[1], &views[1].nodes[0]),
        None,
        "one table is for both"
    );
    let [four, six] = [ufw::text(&views[0]), ufw::text(&views[1])];
    assert!(
        four.contains("-A ufw-user-input -s 100.64.0.0/10 -j ACCEPT\n"),
        "{four}"
    );
    assert!(
        six.contains("-A ufw6-before-input -p ipv6-icmp -j ACCEPT\n"),
        "{six}"
    );
    assert!(
        six.contains("-A ufw6-user-forward -d fd00:10:244::/48 -j ACCEPT\n"),
        "{six}"
    );
}

#[test]
fn leftovers_stand_in_the_back_end_that_is_not_used() {
    for (services, program) in [
        (
            crate::options::ServiceBackEnd::IptablesNft,
            "iptables-legacy-restore",
        ),
        (crate::options::ServiceBackEnd::Nft, "iptables-legacy-restore"),
        (
            crate::options::ServiceBackEnd::IptablesLegacy,
            "iptables-nft-restore",
        ),
    ] {
        let topology = Topology::of(&lab(|options| options.services = services));
        let Action::Run { program: found, .. } = leftovers::action(&topology, &topology.nodes[0]) else {
            panic!("a tool is run");
        };
        assert_eq!(found, program, "{services:?}");
    }
}
