//! How many whole cells must cross each place: where there is one, it contradicts that the place keeps cells dead.
//!
//! They are not counted one by one. Between agents, how many must cross a node follows from who takes part; what is ill or
//! not known is taken off. So the cost is that of the exceptions, and of the cells that ask services.

use mesh_proto::{Plane, ProbeKind};

use super::family::{Family, Filter, Init, Part, Scope};
use super::hypothesis::{Hypothesis, must_show, says_nothing};
use super::model::Model;
use super::path::parts_between;
use super::symptom::{Symptom, protocol_of};
use crate::NodeIndex;
use crate::mixing::QuickMap;
use crate::round::{CellIndex, KINDS};

/// A place that a census is taken at: a node, or the cluster as a whole, or all NodePorts of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Spot {
    Node(NodeIndex),
    OwnNode,
    OtherNodes,
    Cluster,
}

/// By protocol, and by the plane that cells come from; the last of each counts all.
type Counts = [[i64; 3]; 4];

/// Whole cells that contradict places which show one symptom.
#[derive(Debug)]
pub(super) struct Census<'m, 'a> {
    model: &'m Model<'a>,
    symptom: Symptom,
    contradicting: QuickMap<(Family, Spot, Init), Counts>,
}

/// Cells that are alike: how they are asked, from and to which plane, how many, and the places to count them at.
struct Alike<'s> {
    kinds: &'s [ProbeKind],
    from: Plane,
    to: Option<Plane>,
    count: i64,
    spots: &'s [Spot],
}

impl<'m, 'a> Census<'m, 'a> {
    pub(super) fn new(model: &'m Model<'a>, symptom: Symptom) -> Self {
        let mut census = Self {
            model,
            symptom,
            contradicting: QuickMap::default(),
        };
        census.between_agents();
        census.exceptions();
        census.services();
        census
    }

    /// Whether a whole cell contradicts a place; `false` too where that was not counted.
    pub(super) fn contradicts(&self, place: &Hypothesis) -> bool {
        let spot = match place.scope {
            Scope::Node(node) => Spot::Node(node),
            Scope::OwnNode => Spot::OwnNode,
            Scope::OtherNodes => Spot::OtherNodes,
            Scope::Cluster => Spot::Cluster,
            Scope::Pair(..) => return self.contradicts_pair(place),
            Scope::Group(_) => return false,
        };
        let Filter { protocol, from } = place.filter;
        let row = protocol.map_or(3, |protocol| protocol as usize);
        let column = from.map_or(2, |plane| plane as usize);
        let counts = self.contradicting.get(&(place.family, spot, place.init));
        counts.is_some_and(|counts| counts[row][column] != 0)
    }

    /// Cells that must cross what is between two nodes are few enough for a look at each.
    fn contradicts_pair(&self, place: &Hypothesis) -> bool {
        let model = self.model;
        let mut contradicted = false;
        model.each_sure_of_pair(place, |cell| {
            let planes = (
                model.plane_from(cell).unwrap_or(Plane::Host),
                model.plane_to(cell),
            );
            contradicted = contradicted
                || must_show(model.kind(cell), planes, place.family, self.symptom)
                    && self.counts_against(cell);
        });
        contradicted
    }

    /// As if all cells between agents were whole.
    fn between_agents(&mut self) {
        let model = self.model;
        let layout = &model.layout;
        let mut standing: Vec<[i64; 2]> = vec![[0; 2]; layout.nodes()];
        let mut all = [0; 2];
        for (_, source) in layout.sources() {
            standing[source.node.0][source.plane as usize] += 1;
            all[source.plane as usize] += 1;
        }
        let mut found = Vec::new();
        for here in layout.here().iter().copied() {
            for (plane, other) in [Plane::Pod, Plane::Host]
                .into_iter()
                .flat_map(|plane| [(plane, Plane::Pod), (plane, Plane::Host)])
            {
                let number = |node: NodeIndex, plane: Plane| standing[node.0][plane as usize];
                let inside = number(here, plane) * (number(here, other) - i64::from(plane == other));
                let elsewhere = number(here, plane) * (all[other as usize] - number(here, other));
                // Which node stands for the others makes no difference.
                let there = NodeIndex(usize::from(here.0 == 0));
                let at_node = [Spot::Node(here)];
                let with_cluster = [Spot::Node(here), Spot::Cluster];
                let alike = |from, to, count, spots| Alike {
                    kinds: &KINDS,
                    from,
                    to: Some(to),
                    count,
                    spots,
                };
                if inside > 0 {
                    found.clear();
                    parts_between(layout, (here, plane), (here, other), |part, certain| {
                        found.push((part, certain));
                    });
                    self.add(&found, &alike(plane, other, inside, &with_cluster));
                }
                if elsewhere > 0 {
                    found.clear();
                    parts_between(layout, (here, plane), (there, other), |part, certain| {
                        found.push((part, certain));
                    });
                    self.add(&found, &alike(plane, other, elsewhere, &with_cluster));
                    found.clear();
                    parts_between(layout, (there, other), (here, plane), |part, certain| {
                        found.push((part, certain));
                    });
                    self.add(&found, &alike(other, plane, elsewhere, &at_node));
                }
            }
        }
    }

    /// Takes off what is not whole, or not known.
    fn exceptions(&mut self) {
        let model = self.model;
        let mut found = Vec::new();
        for cell in model.ill.iter().chain(&model.unknown) {
            let (Some(from), Some(to)) = model.nodes(*cell) else {
                continue;
            };
            if self.counts_against(*cell) {
                continue;
            }
            model.find_parts(*cell, &mut found);
            let spots = [Spot::Cluster, Spot::Node(from), Spot::Node(to)];
            let alike = Alike {
                kinds: &[model.kind(*cell)],
                from: model.plane_from(*cell).unwrap_or(Plane::Host),
                to: model.plane_to(*cell),
                count: -1,
                spots: if from == to { &spots[..2] } else { &spots },
            };
            self.add(&found, &alike);
        }
    }

    /// Cells that ask services, one by one.
    fn services(&mut self) {
        let model = self.model;
        let mut found = Vec::new();
        let mut spots = Vec::new();
        for (_, source) in model.layout.sources() {
            for cell in model.layout.services(source).map(CellIndex) {
                if !self.counts_against(cell) {
                    continue;
                }
                model.find_parts(cell, &mut found);
                spots.clear();
                spots.extend([Spot::Cluster, Spot::OwnNode, Spot::OtherNodes]);
                for (part, _) in found.iter().filter(|(_, certain)| *certain) {
                    for spot in [Spot::Node(part.from), Spot::Node(part.to)] {
                        if !spots.contains(&spot) {
                            spots.push(spot);
                        }
                    }
                }
                let alike = Alike {
                    kinds: &[model.kind(cell)],
                    from: source.plane,
                    to: None,
                    count: 1,
                    spots: &spots,
                };
                self.add(&found, &alike);
            }
        }
    }

    /// Whether a cell contradicts places that it must cross: it is known, and shows something else.
    fn counts_against(&self, cell: CellIndex) -> bool {
        let ill = self.model.symptom(cell);
        self.model.observed(cell) && ill != Some(self.symptom) && !says_nothing(ill, self.symptom)
    }

    fn add(&mut self, parts: &[(Part, bool)], alike: &Alike<'_>) {
        let mut done: Vec<(Family, Spot, Init)> = Vec::with_capacity(16);
        for (part, _) in parts.iter().filter(|(_, certain)| *certain) {
            for spot in alike.spots {
                let scope = match spot {
                    Spot::Node(node) => Scope::Node(*node),
                    Spot::OwnNode => Scope::OwnNode,
                    Spot::OtherNodes => Scope::OtherNodes,
                    Spot::Cluster => Scope::Cluster,
                };
                for init in [Init::Both, Init::In, Init::Out] {
                    let key = (part.family, *spot, init);
                    if !part.is_in(&scope, init) || done.contains(&key) {
                        continue;
                    }
                    done.push(key);
                    let counts = self.contradicting.entry(key).or_default();
                    let shown = alike
                        .kinds
                        .iter()
                        .filter(|kind| must_show(**kind, (alike.from, alike.to), part.family, self.symptom));
                    for kind in shown {
                        for row in [protocol_of(*kind) as usize, 3] {
                            for column in [alike.from as usize, 2] {
                                counts[row][column] += alike.count;
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
