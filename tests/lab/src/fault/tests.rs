use mesh_proto::Port;

use super::*;
use crate::options::{Encapsulation, LabOptions};

fn topology(nodes: usize) -> Topology {
    Topology::of(&LabOptions::of_size(nodes).unwrap())
}

#[test]
fn every_fault_of_the_table_does_something() {
    let overlay = topology(3);
    let mut options = LabOptions::of_size(3).unwrap();
    options.encapsulation = Encapsulation::None;
    let routed = Topology::of(&options);
    for kind in FAULTS {
        let spec: FaultSpec = kind.cause.to_string().parse().unwrap();
        let topology = if kind.cause == Cause::UnderlayDropsPods {
            &routed
        } else {
            &overlay
        };
        let fault = spec.in_lab(topology).unwrap();
        assert!(!fault.actions(topology, 0).is_empty(), "{fault}");
        let again: FaultSpec = fault.to_string().parse().unwrap();
        assert_eq!(
            again.in_lab(topology).unwrap(),
            fault,
            "it is spelled as it is read"
        );
    }
}

#[test]
fn what_is_left_out_is_filled_in() {
    let spec: FaultSpec = "overlay-port-blocked:action=reject".parse().unwrap();
    let fault = spec.in_lab(&topology(3)).unwrap();
    assert_eq!(
        fault.to_string(),
        "overlay-port-blocked:action=reject,direction=ingress,node=node-2"
    );
    let place = fault.place(&topology(3));
    assert_eq!(
        (place.nodes, place.direction),
        (vec!["node-2".to_owned()], Some(Direction::Ingress))
    );
}

#[test]
fn what_is_left_out_fits_any_lab() {
    let mut options = LabOptions::of_size(2).unwrap();
    options.mtu = 1_000;
    options.encapsulation = Encapsulation::Vxlan(Port(9440));
    let topology = Topology::of(&options);
    let filled = |text: &str| {
        let spec: FaultSpec = text.parse().unwrap();
        spec.in_lab(&topology).unwrap().to_string()
    };
    assert_eq!(filled("mtu-blackhole"), "mtu-blackhole:node=node-2,size=900");
    assert_eq!(
        filled("overlay-port-mismatch"),
        "overlay-port-mismatch:node=node-2,port=9442",
        "9441 is the responder's"
    );
    let one = self::topology(1);
    let spec: FaultSpec = "one-way-loss".parse().unwrap();
    assert_eq!(
        spec.in_lab(&one).unwrap_err().to_string(),
        "one-way-loss needs two nodes or more"
    );
}

#[test]
fn what_cannot_be_says_why() {
    let three = topology(3);
    let said = |text: &str| match text.parse::<FaultSpec>() {
        Ok(spec) => spec.in_lab(&three).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let table = [
        (
            "node-dwn",
            "no fault is called \"node-dwn\"; did you mean node-down?; `mesh lab faults` lists them",
        ),
        (
            "node-down:nod=x",
            "node-down takes no \"nod\"; it takes node, each once",
        ),
        ("node-down:node", "node-down: \"node\" is not key=value"),
        (
            "node-down:node=node-9",
            "node-down: node=node-9: expected one of node-1, node-2, node-3",
        ),
        ("node-down:node=node-1,node=node-2", "node-down takes no \"node\""),
        (
            "random-loss:share=101",
            "random-loss: share=101: expected 1 to 100 percent",
        ),
        (
            "one-way-loss:from=node-1,to=node-1",
            "one-way-loss: to=node-1: expected one of node-2, node-3",
        ),
        (
            "dns-endpoint-down:node=node-2",
            "dns-endpoint-down: node=node-2: expected one of node-1, node-3",
        ),
        (
            "overlay-port-mismatch:port=9441",
            "overlay-port-mismatch: port=9441: expected a port from 1 to 65535 that the lab does not use (it uses 4789, 6443,",
        ),
        (
            "overlay-port-mismatch:port=4789",
            "overlay-port-mismatch: port=4789: expected a port",
        ),
        (
            "mtu-blackhole:size=1500",
            "mtu-blackhole: size=1500: expected 576 to 1499 bytes",
        ),
        (
            "pod-routes-missing:node=x",
            "pod-routes-missing: node=x: expected one of all, node-1, node-2, node-3",
        ),
        (
            "api-server-down:how=gone",
            "api-server-down: how=gone: expected one of silent, refused",
        ),
        (
            "underlay-drops-pods",
            "underlay-drops-pods needs a lab without an overlay",
        ),
        ("unknown", "no fault is called"),
    ];
    for (text, expected) in table {
        let said = said(text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
}
