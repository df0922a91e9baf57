use mesh_proto::{AgentIndex, Plane, ProbeKind};
use proptest::prelude::*;

use super::{KINDS, Layout};
use crate::round::{CellIndex, Target};
use crate::world::World;
use crate::{NodeIndex, Presence, Roster};

/// All cells of a round one after the other, written down as the module's text says.
fn list(roster: &Roster) -> Vec<(AgentIndex, Target, ProbeKind)> {
    let mut cells = Vec::new();
    let takes_part = |agent: &crate::RosterAgent| !matches!(agent.presence, Presence::Skipped { .. });
    for (from, agent) in roster.indexed().filter(|(_, agent)| takes_part(agent)) {
        for (to, _) in roster
            .indexed()
            .filter(|(to, agent)| *to != from && takes_part(agent))
        {
            cells.extend(KINDS.map(|kind| (from, Target::Agent(to), kind)));
        }
        let mut ask = |target, kind| cells.push((from, target, kind));
        for kind in [ProbeKind::Icmp, ProbeKind::Tcp, ProbeKind::Udp] {
            ask(Target::Loopback, kind);
        }
        ask(Target::Api, ProbeKind::Tcp);
        ask(Target::Api, ProbeKind::Tls);
        let dns = roster.cluster.dns.as_ref().unwrap();
        for kind in [ProbeKind::DnsUdp, ProbeKind::DnsTcp] {
            let as_application = false;
            ask(Target::Dns { as_application }, kind);
            for number in 0..dns.endpoints.len() {
                ask(Target::DnsEndpoint(number), kind);
            }
        }
        if agent.prepared().is_some_and(|of| of.nameservers == [dns.address]) {
            ask(Target::Dns { as_application: true }, ProbeKind::DnsUdp);
        }
        for (service, kind) in [(0, ProbeKind::Tcp), (1, ProbeKind::Udp)] {
            for node in (0..roster.nodes.len()).map(NodeIndex) {
                ask(Target::NodePort { service, node }, kind);
            }
        }
    }
    cells
}

proptest! {
    #[test]
    fn each_number_is_the_cell_that_a_plain_list_has_there(
        size in 2_usize..6,
        skipped in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        asking in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        absent in prop::collection::vec(any::<prop::sample::Index>(), 0..2),
    ) {
        let mut roster = World::healthy(size).roster();
        let dns = roster.cluster.dns.as_ref().unwrap().address;
        for agent in asking {
            if let Presence::Present(prepared) = &mut roster.agents[agent.index(2 * size)].presence {
                prepared.nameservers = vec![dns];
            }
        }
        for agent in absent {
            roster.agents[agent.index(2 * size)].presence = Presence::Absent { why: "gone".to_owned() };
        }
        for agent in skipped {
            roster.agents[agent.index(2 * size)].presence = Presence::Skipped { why: "not asked for".to_owned() };
        }
        let layout = Layout::new(&roster);
        let cells = list(&roster);
        prop_assert_eq!(layout.cells(), cells.len());
        for (number, (from, target, kind)) in cells.into_iter().enumerate() {
            prop_assert_eq!(layout.what(CellIndex(number)), (from, target, kind));
            let source = layout.source(from).unwrap();
            prop_assert!(source.row.contains(&number));
            match target {
                Target::Agent(to) => {
                    prop_assert!(layout.between(from, to).contains(&number));
                    prop_assert!(!layout.services(source).contains(&number));
                }
                Target::NodePort { service, node } => {
                    prop_assert_eq!(layout.node_port(source, service, node), Some(CellIndex(number)));
                }
                _ => prop_assert!(
                    layout.services(source).contains(&number) && !layout.all_node_ports(source).contains(&number)
                ),
            }
        }
        for (agent, source) in layout.sources() {
            prop_assert_eq!(source.plane, roster.agent(agent).unwrap().key.plane);
            prop_assert!(source.plane == Plane::Pod || source.plane == Plane::Host);
        }
    }

    #[test]
    fn a_part_numbers_the_cells_between_its_nodes_and_knows_their_numbers_in_the_whole(
        size in 2_usize..7,
        nodes in prop::collection::btree_set(0_usize..7, 1..7),
    ) {
        let roster = World::healthy(size).roster();
        let is_here = |node: NodeIndex| nodes.contains(&node.0);
        let (whole, part) = (Layout::new(&roster), Layout::within(&roster, is_here));
        let stands_here = |agent: AgentIndex| is_here(whole.source(agent).unwrap().node);
        let here = list(&roster).into_iter().enumerate().filter(|(_, (from, target, _))| {
            stands_here(*from) && match target {
                Target::Agent(to) => stands_here(*to),
                Target::NodePort { node, .. } => is_here(*node),
                _ => true,
            }
        });
        let here: Vec<_> = here.collect();
        prop_assert_eq!(part.cells(), here.len());
        for (number, (in_whole, what)) in here.into_iter().enumerate() {
            prop_assert_eq!(part.what(CellIndex(number)), what);
            prop_assert_eq!(part.number_in(&whole, CellIndex(number)), Some(CellIndex(in_whole)));
            prop_assert_eq!(whole.number_in(&part, CellIndex(in_whole)), Some(CellIndex(number)));
        }
    }
}
