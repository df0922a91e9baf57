use super::*;

#[test]
fn the_usual_lab_fits_at_any_size() {
    for nodes in [1, 2, 3, 30, MOST_NODES] {
        assert_eq!(LabOptions::of_size(nodes).unwrap().check(), Ok(()), "{nodes}");
    }
    assert_eq!(LabOptions::of_size(251), Err(OptionsError::NodeCount(251)));
    assert_eq!(
        LabOptions::of_size(0).unwrap().check(),
        Err(OptionsError::NodeCount(0))
    );
}

#[test]
fn what_does_not_fit_is_told() {
    let usual = LabOptions::of_size(3).unwrap();
    let with = |change: fn(&mut LabOptions)| {
        let mut options = usual.clone();
        change(&mut options);
        options.check().unwrap_err().to_string()
    };
    let cases = [
        (
            with(|lab| lab.nodes[0] = lab.nodes[1].clone()),
            "two nodes are called node-2",
        ),
        (
            with(|lab| lab.networks.pods = "10.244.0.0/24".parse().unwrap()),
            "--pod-cidr 10.244.0.0/24 is too small",
        ),
        (
            with(|lab| lab.networks.services = "10.244.0.0/20".parse().unwrap()),
            "--pod-cidr and --service-cidr overlap",
        ),
        (with(|lab| lab.mtu = 9_001), "--mtu 9001"),
        (with(|lab| lab.api_port = Port(30081)), "port 30081 is used twice"),
        (
            with(|lab| lab.nodes[1] = "fabric".parse().unwrap()),
            "a node of a lab cannot be called fabric: that is the place between the nodes",
        ),
        (
            with(|lab| lab.nodes[1] = "all".parse().unwrap()),
            "cannot be called all",
        ),
        (
            with(|lab| lab.nodes[1] = "..".parse().unwrap()),
            "cannot be called ..",
        ),
        (
            with(|lab| lab.nodes[1] = "-v".parse().unwrap()),
            "it looks like a flag",
        ),
        (with(|lab| lab.node_port = Port(65_535)), "port 0"),
    ];
    for (said, expected) in cases {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn machines_have_no_special_addresses() {
    for special in [
        "0.0.0.0/8",
        "0.0.0.0/1",
        "127.0.0.0/8",
        "127.8.0.0/16",
        "169.254.0.0/16",
        "224.0.0.0/8",
        "240.0.0.0/8",
        "192.0.0.0/2",
    ] {
        let cidr: Cidr = special.parse().unwrap();
        for flag in ["node-cidr", "pod-cidr", "service-cidr"] {
            let mut lab = LabOptions::of_size(3).unwrap();
            *match flag {
                "node-cidr" => &mut lab.networks.nodes,
                "pod-cidr" => &mut lab.networks.pods,
                _ => &mut lab.networks.services,
            } = cidr;
            let said = lab.check().map_err(|error| error.to_string());
            let expected = format!("--{flag} {special} cannot be used: ");
            assert!(
                matches!(&said, Err(said) if said.starts_with(&expected)),
                "{said:?}"
            );
        }
    }
}

type Change<'a> = &'a dyn Fn(&mut LabOptions);

#[test]
fn families_that_do_not_fit_are_told() {
    let usual = LabOptions::of_size(3).unwrap();
    let six = Networks::usual(IpFamily::V6);
    let with = |change: Change<'_>| {
        let mut options = usual.clone();
        options.networks = six;
        change(&mut options);
        options.check().map_err(|error| error.to_string())
    };
    assert_eq!(with(&|_| ()), Ok(()));
    assert_eq!(
        with(&|lab| lab.second_networks = Some(Networks::usual(IpFamily::V4))),
        Ok(())
    );
    let cases: [(Change<'_>, &str); 6] = [
        (
            &|lab| lab.networks.services = Networks::usual(IpFamily::V4).services,
            "--service-cidr 10.96.0.0/12 is not IPv6, as --ip-family says",
        ),
        (
            &|lab| lab.second_networks = Some(six),
            "dual stack needs networks of both families, and these are IPv6 twice",
        ),
        (
            &|lab| lab.networks.pods = "fd00:10:244::/63".parse().unwrap(),
            "--pod-cidr fd00:10:244::/63 is too small for 3 nodes: a /62 or wider is needed",
        ),
        (
            &|lab| lab.encapsulation = Encapsulation::Ipip,
            "--encapsulation ipip works with --ip-family ipv4 only",
        ),
        (
            &|lab| lab.mtu = 1_300,
            "--mtu 1300 is too small: IPv6 needs 1280 bytes in pods, so 1350 here",
        ),
        (
            &|lab| lab.networks.nodes = "fd00:10::/32".parse().unwrap(),
            "--node-cidr and --pod-cidr overlap",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(with(change), Err(expected.to_owned()));
    }
}

#[test]
fn a_mtu_too_small_for_ipv6_will_do_without_an_overlay() {
    let mut lab = LabOptions::of_size(3).unwrap();
    lab.networks = Networks::usual(IpFamily::V6);
    lab.encapsulation = Encapsulation::None;
    lab.mtu = 1_280;
    assert_eq!(lab.check(), Ok(()));
    lab.odd.insert(Oddity::SmallPodMtu);
    assert!(lab.check().is_err());
}
