use std::net::IpAddr;

use mesh_proto::{Action, Cause, Confidence, Hook, Match, Port, PortRange, Prefix};

use crate::Target;
use crate::world::kernel::{kernels, rule};
use crate::world::{Fate, World};

/// The chain that translates what is for DNS, and leads here.
fn dns_leads_to(endpoint: IpAddr) -> mesh_proto::Chain {
    let service: IpAddr = "10.96.0.10".parse().unwrap();
    leads_to(Hook::Output, Prefix::host(service), Port(53), endpoint)
}

/// A chain that translates what is for a port of these addresses.
fn leads_to(hook: Hook, service: Prefix, port: Port, endpoint: IpAddr) -> mesh_proto::Chain {
    let ports = PortRange { from: port, to: port };
    let tests = |protocol| {
        [
            Match::Protocol(protocol),
            Match::Destination(vec![service]),
            Match::DestinationPort(vec![ports]),
        ]
    };
    let to = || Action::DestinationNat {
        address: Some(endpoint),
        port: Some(port),
    };
    mesh_proto::Chain {
        name: format!("{hook:?}").to_uppercase(),
        base: Some(mesh_proto::Base {
            hook,
            priority: -100,
            accepts: true,
            kind: "nat".to_owned(),
            links: Vec::new(),
        }),
        rules: [6, 17]
            .map(|protocol| rule(&tests(protocol), to(), "dnat"))
            .to_vec(),
    }
}

#[test]
fn rules_that_lead_astray_are_told_of_though_a_dead_node_hides_what_they_do() {
    for gone in [true, false] {
        let endpoint = if gone { "10.244.1.99" } else { "10.244.1.20" };
        let mut world = World::with(4, |trip| {
            if trip.forwarded_at(0) || trip.forwarded_at(3) {
                Fate::TimesOut
            } else {
                Fate::Passes
            }
        });
        let mut facts = kernels(4);
        for node in [0, 3] {
            facts[node]
                .sysctls
                .insert("net.ipv4.ip_forward".to_owned(), "0".to_owned());
        }
        for of in &mut facts {
            of.netfilter.tables.push(mesh_proto::Table {
                name: "nat".to_owned(),
                chains: vec![dns_leads_to(endpoint.parse().unwrap())],
                ..of.netfilter.tables[0].clone()
            });
        }
        world.facts = facts.into_iter().enumerate().collect();
        world.service = Box::new(|_, target| matches!(target, Target::Dns { .. }).then_some(Fate::TimesOut));
        let report = world.run();
        let stale: Vec<_> = report
            .findings
            .iter()
            .filter(|of| of.cause == Cause::EndpointStale)
            .map(|of| {
                (
                    of.confidence,
                    of.place.nodes.len(),
                    of.place.endpoint.map(|of| of.to_string()),
                )
            })
            .collect();
        let expected = [(Confidence::Certain, 0, Some(endpoint.to_owned()))];
        assert_eq!(stale, &expected[..usize::from(gone)], "{:#?}", report.findings);
    }
}

#[test]
fn an_endpoint_that_is_not_known_is_stale_only_behind_a_service_that_stood_before_the_run() {
    for fresh in [false, true] {
        let mut world = World::healthy(3);
        world.fresh = fresh;
        let mut facts = kernels(3);
        for (node, of) in (1..).zip(&mut facts) {
            let own: IpAddr = format!("10.0.3.{node}").parse().unwrap();
            let gone = "10.244.1.99".parse().unwrap();
            let chain = |hook| leads_to(hook, Prefix::host(own), Port(30_080), gone);
            of.netfilter.tables.push(mesh_proto::Table {
                name: "nat".to_owned(),
                chains: vec![chain(Hook::Output), chain(Hook::Prerouting)],
                ..of.netfilter.tables[0].clone()
            });
        }
        world.facts = facts.into_iter().enumerate().collect();
        world.service = Box::new(|_, target| {
            matches!(target, Target::NodePort { service: 0, .. }).then_some(Fate::TimesOut)
        });
        let report = world.run();
        let is_stale = report.findings.iter().any(|of| of.cause == Cause::EndpointStale);
        assert_eq!(is_stale, !fresh, "{:#?}", report.findings);
    }
}
