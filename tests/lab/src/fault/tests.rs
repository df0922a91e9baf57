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
            "node-down: node=node-9: expected NAME of a node",
        ),
        ("node-down:node=node-1,node=node-2", "node-down takes no \"node\""),
        ("random-loss:share=101", "random-loss: share=101: expected"),
        ("one-way-loss:from=node-1,to=node-1", "one-way-loss: to=node-1"),
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
