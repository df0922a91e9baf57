//! `mesh lab run` from outside: healthy labs of many shapes are green, and each fault is red with the right place.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::io::Write;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use mesh_lab::{Encapsulation, Fault, FaultSpec, LabOptions, Topology};
use serde_json::{Value, json};

const MESH: &str = env!("CARGO_BIN_EXE_mesh");

/// A lab's shape: the flags for it, and the same as options.
struct Shape {
    flags: &'static str,
    options: LabOptions,
}

fn shape(flags: &'static str, names: &[&str], encapsulation: Option<Encapsulation>) -> Shape {
    let mut options = LabOptions::of_size(3).unwrap();
    if !names.is_empty() {
        options.nodes = names.iter().map(|name| name.parse().unwrap()).collect();
    }
    options.encapsulation = encapsulation.unwrap_or(options.encapsulation);
    Shape { flags, options }
}

fn usual() -> Shape {
    shape("", &[], None)
}

/// A lab loads every core for a moment: two at once would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn run(flags: &str, faults: &[String]) -> (Option<i32>, Value) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(MESH);
    command
        .args(["lab", "run", "-o", "json"])
        .args(flags.split_whitespace());
    for fault in faults {
        command.args(["--fault", fault]);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    let report: Value = report.unwrap_or_else(|error| panic!("{flags} {faults:?}: {error}: {said}"));
    fits_schema(&report);
    is_read_again(&output);
    (output.status.code(), report)
}

/// Every report is accepted by `mesh report`, which ends as the run did.
fn is_read_again(ended: &Output) {
    let mut saved = tempfile::NamedTempFile::new().unwrap();
    saved.write_all(&ended.stdout).unwrap();
    let again = Command::new(MESH)
        .arg("report")
        .arg(saved.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stderr), "");
    assert_eq!(again.status.code(), ended.status.code());
}

/// Every report is valid against the schema that is committed.
fn fits_schema(report: &Value) {
    let schema: Value = serde_json::from_str(include_str!("../../proto/report.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(report)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}

fn is_green(flags: &str) {
    let (code, report) = run(flags, &[]);
    assert_eq!(report["findings"], json!([]), "{flags}: {report:#}");
    assert_eq!(
        (code, &report["verdict"]),
        (Some(0), &json!("reachable")),
        "{flags}"
    );
    assert_eq!(
        report["coverage"]["observed"], report["coverage"]["cells"],
        "{flags}"
    );
}

/// The findings that make the verdict red, or, where none does, the warnings.
fn findings(report: &Value) -> Vec<Value> {
    let all = report["findings"].as_array().unwrap();
    let red = all
        .iter()
        .filter(|finding| finding["severity"] == "failure")
        .cloned();
    let red: Vec<Value> = red.collect();
    if red.is_empty() { all.clone() } else { red }
}

/// Whether a finding stands where a fault does, and does not blame a cause that is not the fault's.
fn tells(finding: &Value, fault: &Fault, topology: &Topology) -> bool {
    let expected = fault.place(topology);
    let place = &finding["where"];
    let turned: Vec<(&str, &str)> = expected
        .pairs
        .iter()
        .map(|(a, b)| (b.as_str(), a.as_str()))
        .collect();
    let pairs_fit = place["pairs"] == json!(expected.pairs) || place["pairs"] == json!(turned);
    let plane_fits = expected.plane.is_none_or(|plane| place["plane"] == json!(plane));
    let direction_fits = expected
        .direction
        .is_none_or(|direction| place["direction"] == json!(direction));
    let cause_fits = finding["cause"] == json!(fault.cause()) || finding["cause"] == "unknown";
    place["nodes"] == json!(expected.nodes) && pairs_fit && plane_fits && direction_fits && cause_fits
}

/// All these faults at once: one finding for each, and none besides.
fn are_found(shape: &Shape, specs: &[&str]) {
    let topology = Topology::of(&shape.options);
    let faults: Vec<Fault> = specs
        .iter()
        .map(|spec| spec.parse::<FaultSpec>().unwrap().in_lab(&topology).unwrap())
        .collect();
    let spelled: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let (code, report) = run(shape.flags, &spelled);
    let found = findings(&report);
    for fault in &faults {
        assert!(
            found.iter().any(|finding| tells(finding, fault, &topology)),
            "{} {fault} should be at {:?}: {found:#?}",
            shape.flags,
            fault.place(&topology)
        );
    }
    assert_eq!(
        found.len(),
        faults.len(),
        "{} {spelled:?}: one fault, one finding: {found:#?}",
        shape.flags
    );
    assert_eq!(report["unexplained"], 0);
    // ICMP alone is no outage.
    let only_icmp = specs.iter().all(|spec| spec.ends_with("protocol=icmp"));
    assert_eq!(code, Some(i32::from(!only_icmp)), "{spelled:?}");
}

fn is_found(shape: &Shape, spec: &str) {
    are_found(shape, &[spec]);
}

#[test]
fn healthy_labs_of_many_shapes_are_green() {
    for flags in [
        "--nodes 1",
        "--nodes 2",
        "--nodes 3",
        "--pod-network bridge",
        "--encapsulation none",
        "--encapsulation none --pod-network bridge",
        "--nodes 5 --overlay-port 8472 --mtu 9000 --node-port 32000 --responder-port 7 --api-port 443",
        "--node-cidr 100.64.0.0/10 --pod-cidr 192.168.0.0/16 --service-cidr 10.43.0.0/16",
        "--node-names rack-1.example.com,UPPER_case,x",
    ] {
        is_green(flags);
    }
}

#[test]
fn healthy_labs_of_every_back_end_and_family_are_green() {
    for flags in [
        "--services iptables --no-nat-outgoing",
        "--services iptables-legacy",
        "--services nft --encapsulation none",
        "--ip-family ipv6",
        "--ip-family ipv6 --services nft --pod-network bridge --encapsulation none --no-nat-outgoing",
        "--ip-family dual --services iptables-legacy --pod-network bridge",
    ] {
        is_green(flags);
    }
}

#[test]
fn what_is_odd_and_harmless_is_green() {
    for flags in [
        "--odd firewalld,leftovers,icmp-unlimited --services nft",
        "--odd ufw,strict-rp-filter,small-pod-mtu",
        "--odd firewalld,ufw,service-masquerade --ip-family dual",
    ] {
        is_green(flags);
    }
}

#[test]
fn what_the_kernel_has_not_is_named_before_anything_is_raised() {
    let output = Command::new(MESH)
        .args(["lab", "run", "--encapsulation", "ipip"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        // This kernel has it.
        Some(0) => assert!(said.is_empty(), "{said}"),
        code => {
            assert_eq!(code, Some(4), "{said}");
            assert!(
                said.contains("--encapsulation ipip needs the kernel module ipip, which is missing here"),
                "{said}"
            );
        }
    }
}

#[test]
fn faults_of_the_overlay_are_at_their_node() {
    let flannel = shape("--pod-network bridge --overlay-port 8472", &[], None);
    is_found(&usual(), "overlay-port-blocked:node=node-1");
    is_found(&flannel, "overlay-port-blocked:node=node-3,direction=egress");
    is_found(&usual(), "overlay-port-blocked:action=reject");
    is_found(&flannel, "overlay-port-blocked:direction=both,action=reject");
    is_found(&usual(), "overlay-device-down:node=node-3");
    is_found(&usual(), "overlay-port-mismatch:node=node-1,port=4790");
    is_found(&usual(), "overlay-peer-stale:node=node-3,peer=node-2");
}

#[test]
fn faults_of_forwarding_are_at_their_node() {
    let bridge = shape("--pod-network bridge", &[], None);
    let routed = shape("--encapsulation none", &[], Some(Encapsulation::None));
    is_found(&usual(), "ip-forward-off:node=node-1");
    is_found(&bridge, "ip-forward-off");
    is_found(&usual(), "forward-dropped:node=node-3");
    is_found(&routed, "forward-dropped");
    is_found(&bridge, "forward-rejected:node=node-1");
    is_found(&usual(), "forward-rejected:code=10");
    is_found(&routed, "pod-routes-missing");
    is_found(&usual(), "pod-routes-missing:node=node-2");
}

#[test]
fn faults_between_nodes_are_at_the_node_or_the_pair() {
    let names = shape(
        "--node-names alpha.example,b,Gamma_3",
        &["alpha.example", "b", "Gamma_3"],
        None,
    );
    is_found(&usual(), "node-down:node=node-3");
    is_found(&names, "node-down:node=b");
    is_found(&names, "node-partitioned:node=alpha.example");
    is_found(&usual(), "node-partitioned:node=node-2,peer=node-3");
    is_found(&usual(), "one-way-loss:from=node-3,to=node-1");
    is_found(&usual(), "mtu-blackhole:size=1300");
    is_found(&names, "mtu-blackhole:node=Gamma_3,size=1450");
}

#[test]
fn who_bans_another_node_is_named_with_the_rule_and_how_to_delete_it() {
    for (flags, spec, removal) in [
        (
            "--nodes 4",
            "one-way-loss:from=node-3,to=node-1,how=ban",
            "iptables -D INPUT 1",
        ),
        (
            "--nodes 3 --services iptables-legacy",
            "one-way-loss:how=ban,action=reject",
            "iptables-legacy -D INPUT 1",
        ),
        (
            "--nodes 3 --ip-family ipv6 --encapsulation none",
            "one-way-loss:how=ban",
            "ip6tables -D INPUT 3",
        ),
    ] {
        let (code, report) = run(flags, &[spec.to_owned()]);
        let found = findings(&report);
        assert_eq!((code, found.len()), (Some(1), 1), "{flags} {spec}: {found:#?}");
        let finding = &found[0];
        assert_eq!(
            (&finding["cause"], &finding["confidence"]),
            (&json!("one-way-loss"), &json!("certain")),
            "{finding:#}"
        );
        let to = if spec.contains("to=node-1") {
            "node-1"
        } else {
            "node-2"
        };
        assert_eq!(finding["where"]["nodes"], json!([to]), "{finding:#}");
        let advice = finding["advice"][0].as_str().unwrap();
        assert!(advice.contains(removal), "{advice}");
    }
}

#[test]
fn faults_of_protocols_and_services_have_their_names() {
    for spec in [
        "protocol-filtered",
        "protocol-filtered:node=node-1,protocol=tcp",
        "protocol-filtered:node=node-3,protocol=icmp",
        "dns-endpoint-down:node=node-1",
        "dns-endpoint-down:node=node-3,how=refused",
        "dns-down",
        "kube-proxy-missing:node=node-3",
        "service-no-endpoints:service=api",
        "loopback-down:node=node-2",
    ] {
        is_found(&usual(), spec);
    }
}

#[test]
fn two_faults_at_once_are_two_findings() {
    let five = Shape {
        flags: "--nodes 5",
        options: LabOptions::of_size(5).unwrap(),
    };
    are_found(
        &five,
        &["node-down:node=node-4", "kube-proxy-missing:node=node-2"],
    );
    are_found(
        &five,
        &[
            "ip-forward-off:node=node-3",
            "node-partitioned:node=node-1,peer=node-5",
        ],
    );
}

#[test]
fn loss_has_its_name_and_its_place_and_hides_no_other_fault() {
    let five = Shape {
        flags: "--nodes 5",
        options: LabOptions::of_size(5).unwrap(),
    };
    let routed = shape("--encapsulation none", &[], Some(Encapsulation::None));
    is_found(&routed, "random-loss:share=30,node=node-3");
    is_found(&usual(), "one-way-loss:from=node-3,to=node-1,share=60");
    is_found(&usual(), "flow-loss");
    are_found(
        &five,
        &["overlay-port-blocked", "random-loss:share=60,node=node-4"],
    );
}

#[test]
fn neither_of_two_faults_hides_the_other() {
    let five = Shape {
        flags: "--nodes 5",
        options: LabOptions::of_size(5).unwrap(),
    };
    are_found(&five, &["forward-rejected", "dns-down"]);
    are_found(&five, &["pod-routes-missing", "kube-proxy-missing:node=node-4"]);
}
