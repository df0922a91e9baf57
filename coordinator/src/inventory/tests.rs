use mesh_proto::{OverlayKind, Plane, Port, Protocol, TrafficPolicy};

use super::{Inventory, Problem};

/// The contract's example.
const EXAMPLE: &str = r#"
agents:
  - {node: n1, plane: host, address: 172.18.0.2, link: "unix:/run/n1-host.sock"}
  - {node: n1, plane: pod, address: 10.244.1.10, link: "unix:/run/n1-pod.sock"}
  - {node: n2, plane: host, address: 172.18.0.3, link: "tcp:172.18.0.3:9440"}   # mutual TLS
cluster:
  api: {address: 10.96.0.1, port: 443, endpoints: ["172.18.0.2:6443"]}
  dns: {address: 10.96.0.10, name: kubernetes.default.svc.cluster.local,
        endpoints: [{address: 10.244.1.20, node: n1}, {address: 10.244.3.20, node: n3}]}
  node_ports:
    - {port: 30080, protocol: tcp, policy: Cluster, backends: [{address: 10.244.2.20, node: n2}]}
  overlay: {kind: vxlan, port: 4789}
"#;

#[test]
fn the_contracts_example_is_read() {
    let inventory = Inventory::parse(EXAMPLE).unwrap();
    let agents: Vec<String> = inventory
        .agents
        .iter()
        .map(|agent| agent.key.to_string())
        .collect();
    assert_eq!(agents, ["n1/host", "n1/pod", "n2/host"]);
    assert_eq!(inventory.agents[2].link.to_string(), "tcp:172.18.0.3:9440");
    assert_eq!(inventory.agents[2].link_field, "agents[2].link");
    let api = inventory.cluster.api.unwrap();
    assert_eq!(
        (api.address.to_string().as_str(), api.port),
        ("10.96.0.1", Port(443))
    );
    assert_eq!(api.endpoints, ["172.18.0.2:6443".parse().unwrap()]);
    let dns = inventory.cluster.dns.unwrap();
    assert_eq!(dns.endpoints[1].node.as_str(), "n3");
    let service = &inventory.cluster.node_ports[0];
    assert_eq!(
        (service.port, service.protocol, service.policy),
        (Port(30080), Protocol::Tcp, TrafficPolicy::Cluster)
    );
    let overlay = inventory.cluster.overlay.unwrap();
    assert_eq!(
        (overlay.kind, overlay.port),
        (OverlayKind::Vxlan, Some(Port(4789)))
    );
}

fn one_agent_and(cluster: &str) -> String {
    format!("agents:\n- {{node: a, plane: pod, address: '::a', link: 'unix:/a'}}\n{cluster}")
}

#[test]
fn what_is_left_out_is_not_probed_and_defaults_are_those_of_kubernetes() {
    let bare = Inventory::parse(&one_agent_and("cluster:\n")).unwrap().cluster;
    assert!(bare.api.is_none() && bare.dns.is_none() && bare.overlay.is_none() && bare.node_ports.is_empty());

    let cluster = "cluster: {api: {address: fd00::1}, dns: {address: fd00::a}, node_ports: [{port: 30000}]}";
    let cluster = Inventory::parse(&one_agent_and(cluster)).unwrap().cluster;
    assert_eq!(cluster.api.unwrap().port, Port(443));
    assert_eq!(cluster.dns.unwrap().name, "kubernetes.default.svc.cluster.local");
    assert_eq!(
        (cluster.node_ports[0].protocol, cluster.node_ports[0].policy),
        (Protocol::Tcp, TrafficPolicy::Cluster)
    );
}

#[test]
fn an_overlay_has_its_usual_port() {
    let usual = [
        ("vxlan", Some(4789)),
        ("geneve", Some(6081)),
        ("wireguard", Some(51820)),
        ("ipip", None),
        ("none", None),
    ];
    for (kind, port) in usual {
        let cluster = Inventory::parse(&one_agent_and(&format!("cluster: {{overlay: {{kind: {kind}}}}}")))
            .unwrap()
            .cluster;
        assert_eq!(cluster.overlay.unwrap().port, port.map(Port), "{kind}");
    }
}

#[test]
fn json_is_yaml_too() {
    let json =
        r#"{"agents": [{"node": "n1", "plane": "pod", "address": "fd00::7", "link": "tcp:[fd00::7]:9440"}]}"#;
    let inventory = Inventory::parse(json).unwrap();
    assert_eq!(
        inventory.agents[0].address,
        "fd00::7".parse::<std::net::IpAddr>().unwrap()
    );
}

#[test]
fn a_name_that_looks_like_a_number_is_taken_as_it_stands() {
    for name in [
        "1.10",
        "007",
        "1e3",
        "0x1f",
        "true",
        "no",
        ".inf",
        "-0",
        "12345678901234567890123456789012345678901234",
    ] {
        let text = format!("agents:\n- {{node: {name}, plane: pod, address: 10.0.0.1, link: 'unix:/a'}}\n");
        let inventory = Inventory::parse(&text).unwrap();
        assert_eq!(inventory.agents[0].key.node.as_str(), name);
        assert_eq!(inventory.agents[0].key.plane, Plane::Pod);
    }
}

fn problems(text: &str) -> Vec<String> {
    let problems = Inventory::parse(text).expect_err(text);
    let line = |problem: &Problem| format!("{}: {}: {}", problem.at, problem.field, problem.what);
    problems.iter().map(line).collect()
}

/// Bad input, the place, and what must be said of it.
const BAD: &[(&str, &[&str])] = &[
    ("", &["1:1: : found nothing, expected a mapping"]),
    ("[]", &["1:1: : found a list, expected a mapping"]),
    (
        "agents: []",
        &["1:9: agents: found none, expected at least one agent"],
    ),
    ("agents:\n", &["1:1: agents: missing, expected a list"]),
    ("cluster: {}\n", &["1:1: agents: missing"]),
    (
        "agents: 7",
        &[
            "1:9: agents: found a single value, expected a list",
            "1:9: agents: found none",
        ],
    ),
    (
        "agents:\n- n1",
        &["2:3: agents[0]: found a single value, expected a mapping with node, plane, address, link"],
    ),
    (
        "agents:\n- {node: a, plane: pod, address: 10.0.0, link: 'unix:/a'}",
        &["2:34: agents[0].address: found `10.0.0`, expected an IP address such as"],
    ),
    (
        "agents:\n- {node: a, plane: pod, address: 0.0.0.0, link: 'unix:/a'}",
        &["2:34: agents[0].address: found `0.0.0.0`, expected the address of one machine"],
    ),
    (
        "agents:\n- {node: a, plane: Pod, address: 10.0.0.1, link: 'unix:/a'}",
        &["2:20: agents[0].plane: found `Pod`, expected pod or host"],
    ),
    (
        "agents:\n- {node: 'a b', plane: pod, address: 10.0.0.1, link: 'unix:/a'}",
        &["2:10: agents[0].node: found `a b`, expected a node's name"],
    ),
    (
        "agents:\n- {node: a, plane: pod, address: 10.0.0.1, link: '/a'}",
        &["2:50: agents[0].link: found `/a`, expected unix:PATH or tcp:ADDRESS:PORT (it starts with neither"],
    ),
    (
        "agents:\n- {node: a, plane: pod, address: 10.0.0.1, link: 'tcp:10.0.0.1:0'}",
        &["agents[0].link: found `tcp:10.0.0.1:0`, expected unix:PATH or tcp:ADDRESS:PORT (port 0"],
    ),
    (
        "agents:\n- {node: a, plane: pod, adress: 10.0.0.1, link: 'unix:/a'}",
        &[
            "2:3: agents[0].address: missing, expected an IP address",
            "2:25: agents[0].adress: unknown field, expected one of node, plane, address, link",
        ],
    ),
    (
        "agents: [{node: [a], plane: pod, address: 10.0.0.1, link: 'unix:/a'}]",
        &["agents[0].node: found a list, expected a node's name"],
    ),
    (
        "agents: {a: 1}\nextra: 1",
        &[
            "agents: found a mapping, expected a list",
            "agents: found none",
            "2:1: extra: unknown field, expected one of agents, cluster",
        ],
    ),
    ("agents: [}", &["not YAML"]),
    ("agents: []\nagents: []", &["not YAML"]),
    ("a: 1\n---\nb: 2\n", &["not YAML"]),
];

#[test]
fn bad_input_is_told_with_its_place() {
    for (text, expected) in BAD {
        let found = problems(text);
        assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(
                found.contains(expected),
                "{text}\nfound:    {found}\nexpected: {expected}"
            );
        }
    }
}

/// The same of `cluster:`, behind a good agent.
const BAD_CLUSTER: &[(&str, &str)] = &[
    (
        "cluster: 5",
        "3:10: cluster: found a single value, expected a mapping with api, dns, node_ports, overlay",
    ),
    ("cluster: {apis: 1}", "3:11: cluster.apis: unknown field"),
    ("cluster: {api: {port: 443}}", "cluster.api.address: missing"),
    (
        "cluster: {api: {address: x}}",
        "cluster.api.address: found `x`, expected an IP address",
    ),
    (
        "cluster: {api: {address: '::1', port: 0}}",
        "cluster.api.port: found `0`, expected a port, 1 to 65535",
    ),
    (
        "cluster: {api: {address: '::1', port: 65536}}",
        "cluster.api.port: found `65536`",
    ),
    (
        "cluster: {api: {address: '::1', port: '443'}}",
        "cluster.api.port: found `443`, expected a port, 1 to 65535 (a number, without quotes)",
    ),
    (
        "cluster: {overlay: {kind: vxlan, port: \"4789\"}}",
        "cluster.overlay.port: found `4789`, expected a port",
    ),
    (
        "cluster: {api: {address: '::1', port: -1}}",
        "cluster.api.port: found `-1`",
    ),
    (
        "cluster: {api: {address: '::1', endpoints: ['10.0.0.1']}}",
        "cluster.api.endpoints[0]: found `10.0.0.1`, expected ADDRESS:PORT",
    ),
    (
        "cluster: {api: {address: '::1', endpoints: ['10.0.0.1:0']}}",
        "cluster.api.endpoints[0]: found `10.0.0.1:0`",
    ),
    (
        "cluster: {dns: {address: '::1', name: 'a..b'}}",
        "cluster.dns.name: found `a..b`, expected a domain name",
    ),
    (
        "cluster: {dns: {address: '::1', endpoints: [{address: '::2'}]}}",
        "cluster.dns.endpoints[0].node: missing",
    ),
    (
        "cluster: {dns: {address: '::1', endpoints: [{address: '::2', node: a}, {address: '::2', node: b}]}}",
        "cluster.dns.endpoints[1]: duplicate: cluster.dns.endpoints[0] has the same address",
    ),
    (
        "cluster: {node_ports: {port: 1}}",
        "cluster.node_ports: found a mapping, expected a list",
    ),
    (
        "cluster: {node_ports: [{protocol: tcp}]}",
        "cluster.node_ports[0].port: missing",
    ),
    (
        "cluster: {node_ports: [{port: 1, protocol: icmp}]}",
        "cluster.node_ports[0].protocol: found `icmp`, expected tcp or udp",
    ),
    (
        "cluster: {node_ports: [{port: 1, policy: local}]}",
        "cluster.node_ports[0].policy: found `local`, expected Cluster or Local",
    ),
    (
        "cluster: {node_ports: [{port: 1}, {port: 1, protocol: udp}, {port: 1}]}",
        "cluster.node_ports[2]: duplicate: cluster.node_ports[0] has the same port and protocol",
    ),
    (
        "cluster: {overlay: {kind: vxlang}}",
        "cluster.overlay.kind: found `vxlang`, expected one of vxlan, ipip, geneve",
    ),
    ("cluster: {overlay: {port: 1}}", "cluster.overlay.kind: missing"),
    (
        "cluster: {overlay: {kind: none, port: 1}}",
        "cluster.overlay.port: found a port, expected none: none has no port",
    ),
];

#[test]
fn a_bad_cluster_is_told_with_its_place() {
    for (cluster, expected) in BAD_CLUSTER {
        let found = problems(&one_agent_and(cluster));
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{cluster}\nfound: {found:#?}"
        );
    }
}

#[test]
fn what_stands_twice_is_told_once_each() {
    let twice = "agents:
- {node: a, plane: pod, address: 10.0.0.1, link: 'unix:/a'}
- {node: a, plane: host, address: 10.0.0.1, link: 'unix:/b'}
- {node: a, plane: pod, address: 10.0.0.2, link: 'unix:/c'}
- {node: b, plane: pod, address: 10.0.0.1, link: 'unix:/a'}
";
    assert_eq!(
        problems(twice),
        [
            "4:3: agents[2]: duplicate: agents[0] has the same agent",
            "5:34: agents[3].address: duplicate: agents[0].address has the same address in this plane",
            "5:50: agents[3].link: duplicate: agents[0].link has the same link",
        ]
    );
}
