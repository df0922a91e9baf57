//! NodePort services before the pod-plane agents, with both traffic policies. The cluster chooses the ports.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mesh_proto::{Plane, TrafficPolicy};

use super::{Blueprint, PLANE, RUN};

pub(super) fn both(blueprint: &Blueprint) -> Vec<Service> {
    [TrafficPolicy::Cluster, TrafficPolicy::Local]
        .into_iter()
        .map(|policy| one(blueprint, policy))
        .collect()
}

fn one(blueprint: &Blueprint, policy: TrafficPolicy) -> Service {
    let port = |protocol: &str| ServicePort {
        name: Some(protocol.to_lowercase()),
        protocol: Some(protocol.to_owned()),
        port: blueprint.responder_port.0.into(),
        target_port: Some(IntOrString::Int(blueprint.responder_port.0.into())),
        ..ServicePort::default()
    };
    let name = format!(
        "{}-{}",
        blueprint.run.object_name(),
        policy.to_string().to_lowercase()
    );
    Service {
        metadata: blueprint.metadata(name, None),
        spec: Some(ServiceSpec {
            type_: Some("NodePort".to_owned()),
            external_traffic_policy: Some(policy.to_string()),
            selector: Some(BTreeMap::from([
                (RUN.to_owned(), blueprint.run.to_string()),
                (PLANE.to_owned(), Plane::Pod.to_string()),
            ])),
            ports: Some(vec![port("TCP"), port("UDP")]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
