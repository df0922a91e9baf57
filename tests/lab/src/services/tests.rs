use std::io::Write as _;
use std::process::{Command, Stdio};

use mesh_net::NetNamespace;

use super::*;
use crate::options::{LabOptions, Networks};

const BACK_ENDS: [ServiceBackEnd; 3] = [
    ServiceBackEnd::IptablesNft,
    ServiceBackEnd::IptablesLegacy,
    ServiceBackEnd::Nft,
];

fn lab(services: ServiceBackEnd, family: IpFamily) -> Topology {
    let mut options = LabOptions::of_size(3).unwrap();
    options.services = services;
    options.networks = Networks::usual(family);
    options.odd.insert(Oddity::ServiceMasquerade);
    Topology::of(&options)
}

/// The program and its input.
fn spelled(action: &Action) -> (&'static str, &[String], &str) {
    match action {
        Action::Run {
            program,
            arguments,
            input,
            ..
        } => (program, arguments, input),
        _ => panic!("rules are written by a tool: {action:?}"),
    }
}

fn written(services: ServiceBackEnd, family: IpFamily, index: usize) -> String {
    let topology = lab(services, family);
    spelled(&write(&topology, &topology.nodes[index])).2.to_owned()
}

fn changed(services: ServiceBackEnd, family: IpFamily, what: ServiceChange) -> String {
    let topology = lab(services, family);
    let actions = change(&topology, &topology.nodes[0], what);
    actions.iter().map(|action| spelled(action).2).collect()
}

/// All lines, in this order, perhaps with others between them.
fn has_lines(text: &str, lines: &[&str]) {
    let mut left = text.lines();
    for line in lines {
        assert!(
            left.any(|found| found == *line),
            "{line:?} is missing or out of order in\n{text}"
        );
    }
}

#[test]
fn one_description_says_who_is_behind_what() {
    let topology = lab(ServiceBackEnd::Nft, IpFamily::V4);
    let described = |index: usize| -> Vec<String> {
        let ports = ports(&topology, &topology.nodes[index]);
        let one = |port: &ServicePort| {
            let local: Vec<String> = port.local.iter().map(ToString::to_string).collect();
            format!("{port} {:?} {:?} here {local:?}", port.front, port.endpoints)
        };
        ports.iter().map(one).collect()
    };
    assert_eq!(
        described(0)[..3],
        [
            "api-tcp ClusterIp(10.96.0.1:443) [172.18.0.1:6443] here []",
            "dns-udp ClusterIp(10.96.0.10:53) [10.244.1.20:53, 10.244.3.20:53] here [\"10.244.1.20:53\"]",
            "dns-tcp ClusterIp(10.96.0.10:53) [10.244.1.20:53, 10.244.3.20:53] here [\"10.244.1.20:53\"]",
        ]
    );
    assert_eq!(
        described(1)[5],
        "echo-local-tcp NodePort(Port(30081), Local) [10.244.2.30:8080] here [\"10.244.2.30:8080\"]"
    );
}

#[test]
fn iptables_rules_are_those_of_kube_proxy() {
    let text = written(ServiceBackEnd::IptablesNft, IpFamily::V4, 0);
    has_lines(
        &text,
        &[
            "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
            "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
            "-A cali-nat-outgoing -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE --random-fully",
            "-A KUBE-SERVICES -d 10.96.0.10/32 -p udp --dport 53 -j KUBE-SVC-DNS-UDP",
            "-A KUBE-SVC-DNS-UDP ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p udp --dport 53 -j KUBE-MARK-MASQ",
            "-A KUBE-SVC-DNS-UDP -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-DNS-UDP-0",
            "-A KUBE-SVC-DNS-UDP -j KUBE-SEP-DNS-UDP-1",
            "-A KUBE-SEP-DNS-UDP-1 -p udp -j DNAT --to-destination 10.244.3.20:53",
            "-A KUBE-NODEPORTS -p tcp --dport 30080 -j KUBE-EXT-ECHO-TCP",
            "-A KUBE-EXT-ECHO-TCP -j KUBE-MARK-MASQ",
            "-A KUBE-EXT-ECHO-TCP -j KUBE-SVC-ECHO-TCP",
            "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
            "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
            "-A KUBE-EXTERNAL-SERVICES -m addrtype --dst-type LOCAL -p udp --dport 30081 -j DROP",
        ],
    );
    let home = written(ServiceBackEnd::IptablesNft, IpFamily::V4, 1);
    has_lines(
        &home,
        &["-A KUBE-SVL-ECHO-LOCAL-TCP -j KUBE-SEP-ECHO-LOCAL-TCP-0"],
    );
    assert!(
        !home.contains("-j DROP\n-A KUBE-EXTERNAL") && !home.contains("--dport 30081 -j DROP"),
        "{home}"
    );
}

#[test]
fn both_kinds_of_iptables_read_the_same_text() {
    for family in [IpFamily::V4, IpFamily::V6] {
        for index in 0..3 {
            let [nft, legacy] = [ServiceBackEnd::IptablesNft, ServiceBackEnd::IptablesLegacy]
                .map(|services| written(services, family, index));
            assert_eq!(nft, legacy);
        }
    }
    let programs = BACK_ENDS.map(|services| {
        [IpFamily::V4, IpFamily::V6].map(|family| {
            let topology = lab(services, family);
            spelled(&write(&topology, &topology.nodes[0])).0
        })
    });
    assert_eq!(
        programs,
        [
            ["iptables-nft-restore", "ip6tables-nft-restore"],
            ["iptables-legacy-restore", "ip6tables-legacy-restore"],
            ["nft", "nft"]
        ]
    );
}

#[test]
fn nft_rules_lead_by_verdict_maps() {
    let text = written(ServiceBackEnd::Nft, IpFamily::V6, 0);
    has_lines(
        &text,
        &[
            "table ip6 kube-proxy {",
            "map service-ips {",
            "type ipv6_addr . inet_proto . inet_service : verdict",
            "elements = { fd00:10:96::1 . tcp . 443 : goto service-api-tcp, fd00:10:96::a . udp . 53 : goto service-dns-udp, \
             fd00:10:96::a . tcp . 53 : goto service-dns-tcp }",
            "map no-endpoint-nodeports {",
            "elements = { tcp . 30081 : goto silent-echo-local-tcp, udp . 30081 : goto silent-echo-local-udp }",
            "chain endpoint-dns-udp-1 {",
            "ip6 saddr fd00:10:244:3::14 jump mark-for-masquerade",
            "meta l4proto udp dnat to [fd00:10:244:3::14]:53",
            "chain service-dns-udp {",
            "numgen random mod 2 vmap { 0 : goto endpoint-dns-udp-0, 1 : goto endpoint-dns-udp-1 }",
            "table ip6 calico {",
            "ip6 saddr fd00:10:244::/48 ip6 daddr != fd00:10:244::/48 masquerade fully-random",
        ],
    );
}

#[test]
fn changes_touch_what_they_are_about() {
    let stale = ServiceChange::StaleEndpoint {
        service: Service::NodePort,
        address: "10.244.2.99".parse().unwrap(),
    };
    let iptables = |what| changed(ServiceBackEnd::IptablesLegacy, IpFamily::V4, what);
    let nft = |what| changed(ServiceBackEnd::Nft, IpFamily::V4, what);
    has_lines(
        &iptables(ServiceChange::NoEndpoints(Service::Dns)),
        &[
            ":KUBE-SVC-DNS-UDP - [0:0]",
            "-I KUBE-SERVICES -d 10.96.0.10/32 -p udp --dport 53 -j REJECT",
        ],
    );
    has_lines(
        &iptables(stale),
        &[
            ":KUBE-SEP-ECHO-TCP-0 - [0:0]",
            "-A KUBE-SEP-ECHO-TCP-0 -p tcp -j DNAT --to-destination 10.244.2.99:8080",
        ],
    );
    assert_eq!(
        iptables(ServiceChange::NoMasquerade),
        "*nat\n:KUBE-POSTROUTING - [0:0]\nCOMMIT\n"
    );
    has_lines(
        &nft(ServiceChange::NoEndpoints(Service::Api)),
        &[
            "delete element ip kube-proxy service-ips { 10.96.0.1 . tcp . 443 }",
            "add element ip kube-proxy no-endpoint-services { 10.96.0.1 . tcp . 443 : goto reject-chain }",
        ],
    );
    has_lines(
        &nft(stale),
        &[
            "flush chain ip kube-proxy endpoint-echo-tcp-0",
            "add rule ip kube-proxy endpoint-echo-tcp-0 meta l4proto tcp dnat to 10.244.2.99:8080",
        ],
    );
    assert_eq!(nft(ServiceChange::Flush), "flush table ip kube-proxy\n");
}

#[test]
fn chains_have_names_that_iptables_takes() {
    let text = written(ServiceBackEnd::IptablesNft, IpFamily::V4, 1);
    for chain in text.lines().filter_map(|line| line.strip_prefix(':')) {
        let name = chain.split(' ').next().unwrap_or_default();
        assert!((1..=28).contains(&name.len()), "{name}");
    }
}

/// Both back ends and the kernel have the last word on what a rule may say.
#[test]
fn the_tools_take_the_rules_and_every_change_in_any_order_and_twice() {
    let stale = |service, family| ServiceChange::StaleEndpoint {
        service,
        address: match family {
            IpFamily::V4 => "10.244.9.9".parse().unwrap(),
            IpFamily::V6 => "fd00:10:244:9::9".parse().unwrap(),
        },
    };
    for services in BACK_ENDS {
        for family in [IpFamily::V4, IpFamily::V6] {
            let topology = lab(services, family);
            let mut changes = vec![ServiceChange::Flush, ServiceChange::NoMasquerade];
            for service in [Service::Api, Service::Dns, Service::NodePort] {
                changes.extend([ServiceChange::NoEndpoints(service), stale(service, family)]);
            }
            let backward: Vec<ServiceChange> = changes.iter().rev().copied().collect();
            for order in [changes, backward] {
                let node = &topology.nodes[2];
                let mut actions = vec![write(&topology, node)];
                for what in order.iter().chain(&order) {
                    actions.extend(change(&topology, node, *what));
                }
                let scratch = NetNamespace::create().unwrap();
                scratch.run(|| actions.iter().for_each(run_here)).unwrap();
            }
        }
    }
}

fn run_here(action: &Action) {
    let (program, arguments, input) = spelled(action);
    let mut child = Command::new(program)
        .args(arguments)
        .env("XTABLES_LOCKFILE", "/dev/null")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}\n{input}"
    );
}
