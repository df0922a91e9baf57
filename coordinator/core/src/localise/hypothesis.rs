//! Places that could be at fault, and whether what was observed admits them.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{Plane, ProbeKind, Protocol, Reason};

use super::choice::choice;
use super::family::{Family, Filter, Init, Part, Scope};
use super::groups::cut_off_groups;
use super::model::Model;
use super::symptom::{Symptom, protocol_of};
use crate::NodeIndex;
use crate::mixing::QuickSet;
use crate::round::{CellIndex, Target};

/// A place that could be at fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hypothesis {
    pub(crate) scope: Scope,
    pub(crate) family: Family,
    pub(crate) init: Init,
    pub(crate) filter: Filter,
}

/// What a hypothesis would explain.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) hypothesis: Hypothesis,
    /// Ill cells that it explains, those that it must hit and those that it may.
    pub(crate) explains: Vec<CellIndex>,
    /// Those of them that another place explained before.
    pub(crate) taken: Vec<CellIndex>,
    /// Ill cells that it may hit, but that are no evidence for it: it explains them only if nothing else does.
    pub(crate) perhaps: Vec<CellIndex>,
    /// Of the ill cells, those that it must hit, in order.
    pub(crate) must: Vec<CellIndex>,
    /// How many these were at first.
    pub(crate) certain: usize,
    /// Cells that it may hit and that are well: weak evidence against it.
    pub(crate) spared: usize,
}

impl Admitted {
    /// Whether it must hit an ill cell.
    pub(crate) fn is_sure_of(&self, cell: CellIndex) -> bool {
        self.must.binary_search(&cell).is_ok()
    }
}

/// What the given ill cells suggest: each part that one of them must cross, once for each protocol and source plane.
#[derive(Debug, Default)]
pub(super) struct Suggested {
    parts: BTreeSet<(Part, Protocol, Option<Plane>)>,
    symptom: Option<Symptom>,
}

impl Suggested {
    pub(super) fn by(model: &Model<'_>, ill: &[CellIndex], symptom: Symptom) -> Self {
        let mut seen: QuickSet<_> = QuickSet::default();
        let mut parts = Vec::new();
        for cell in ill {
            let (protocol, plane) = (protocol_of(model.kind(*cell)), model.plane_from(*cell));
            model.find_parts(*cell, &mut parts);
            for (part, certain) in &parts {
                if *certain {
                    seen.insert((*part, protocol, plane));
                }
            }
        }
        Self {
            parts: seen.into_iter().collect(),
            symptom: Some(symptom),
        }
    }

    /// How many places there are to look at, about.
    pub(super) fn looks(&self) -> usize {
        self.parts.len()
    }

    /// Places larger than a node, those that pass.
    pub(super) fn wide(
        &self,
        model: &Model<'_>,
        passes: impl Fn(&Hypothesis) -> bool,
    ) -> BTreeSet<Hypothesis> {
        let mut found = BTreeSet::new();
        for (part, protocol, plane) in &self.parts {
            self.add(&mut found, *part, &Scope::Cluster, (*protocol, *plane), &passes);
            if matches!(part.family, Family::NodePort(_) | Family::AnyNodePort) {
                let own = part.from == part.to;
                let scope = if own { Scope::OwnNode } else { Scope::OtherNodes };
                self.add(&mut found, *part, &scope, (*protocol, *plane), &passes);
            }
        }
        for group in cut_off_groups(model) {
            found.insert(Hypothesis::whole(Scope::Group(group), Family::Wire));
        }
        found
    }

    /// Places at a node, those that pass.
    pub(super) fn nodes(&self, passes: impl Fn(&Hypothesis) -> bool) -> BTreeSet<Hypothesis> {
        let mut found = BTreeSet::new();
        for (part, protocol, plane) in &self.parts {
            for node in [part.from, part.to] {
                self.add(
                    &mut found,
                    *part,
                    &Scope::Node(node),
                    (*protocol, *plane),
                    &passes,
                );
            }
        }
        found
    }

    /// Places between two nodes, those that pass.
    pub(super) fn pairs(&self, passes: impl Fn(&Hypothesis) -> bool) -> BTreeSet<Hypothesis> {
        let mut found = BTreeSet::new();
        for (part, protocol, plane) in self.parts.iter().filter(|(part, ..)| part.from != part.to) {
            // One name for a pair, whichever end the cell starts from; the direction is in `Init`.
            let scope = Scope::Pair(part.from.min(part.to), part.from.max(part.to));
            self.add(&mut found, *part, &scope, (*protocol, *plane), &passes);
        }
        found
    }

    fn add(
        &self,
        found: &mut BTreeSet<Hypothesis>,
        part: Part,
        scope: &Scope,
        (protocol, source): (Protocol, Option<Plane>),
        passes: &impl Fn(&Hypothesis) -> bool,
    ) {
        // A service is asked from both planes; a fault of one plane only must be told apart.
        let by_plane = matches!(
            part.family,
            Family::Rules
                | Family::DnsService
                | Family::DnsAll
                | Family::DnsEndpoint(_)
                | Family::ApiService
                | Family::NodePort(_)
                | Family::AnyNodePort
                | Family::Loopback
        );
        let planes: &[Option<Plane>] = if by_plane { &[None, source] } else { &[None] };
        // Rules are there or they are not, for all protocols.
        let protocols: &[Option<Protocol>] =
            if self.symptom == Some(Symptom::Large) || part.family == Family::Rules {
                &[None]
            } else {
                &[None, Some(protocol)]
            };
        let inits: &[Init] = match scope {
            // Services and NodePorts have their rules from the same hand.
            _ if part.family == Family::Rules => &[Init::Both],
            Scope::Node(_) | Scope::Pair(..) => &[Init::Both, Init::In, Init::Out],
            Scope::Cluster if part.from == part.to && part.init != Init::Both => {
                &[Init::Both, Init::In, Init::Out]
            }
            _ => &[Init::Both],
        };
        for init in inits {
            for from in planes {
                for protocol in protocols {
                    let place = Hypothesis {
                        scope: scope.clone(),
                        family: part.family,
                        init: *init,
                        filter: Filter {
                            protocol: *protocol,
                            from: *from,
                        },
                    };
                    if passes(&place) {
                        found.insert(place);
                    }
                }
            }
        }
    }
}

/// What the hypothesis explains, or `None` if an observed cell contradicts it.
pub(super) fn admit(model: &Model<'_>, hypothesis: &Hypothesis, symptom: Symptom) -> Option<Admitted> {
    let family = &hypothesis.family;
    let mut crossing: Vec<(CellIndex, bool)> = Vec::new();
    model.each_crossing(hypothesis, |cell, certain| crossing.push((cell, certain)));
    crossing.sort_unstable();
    let mut admitted = Admitted {
        hypothesis: hypothesis.clone(),
        explains: Vec::new(),
        taken: Vec::new(),
        perhaps: Vec::new(),
        must: Vec::new(),
        certain: 0,
        spared: 0,
    };
    let mut contradicting = 0_usize;
    let mut may_hit = Vec::new();
    for (cell, certain) in &crossing {
        let (cell, certain) = (*cell, *certain);
        let planes = (
            model.plane_from(cell).unwrap_or(Plane::Host),
            model.plane_to(cell),
        );
        let certain = certain && must_show(model.kind(cell), planes, *family, symptom);
        let ill = model.symptom(cell);
        let fits = match symptom {
            Symptom::Dead => ill == Some(Symptom::Dead) || (!certain && ill.is_some()),
            Symptom::Large => ill == Some(Symptom::Large),
            Symptom::Partial => ill == Some(Symptom::Partial),
        };
        if fits {
            admitted.explains.push(cell);
            // A stalled stream shows it as well; one that is whole shows nothing, since a kernel can find the size by itself.
            if certain
                || symptom == Symptom::Large && sends_large(model, cell) && is_measured(planes, *family)
            {
                admitted.must.push(cell);
            } else {
                may_hit.push(cell);
            }
        } else if !model.observed(cell) || says_nothing(ill, symptom) {
        } else if certain {
            contradicting += 1;
            if symptom != Symptom::Partial {
                return None;
            }
        } else {
            admitted.spared += 1;
        }
    }
    admitted.certain = admitted.must.len();
    // What may hit all its cells and spares none of several is as good as one that must.
    let hits_all = symptom == Symptom::Partial && admitted.spared == 0 && admitted.explains.len() > 1;
    // A share of loss spares some cells by chance; more than a third of them is no chance.
    if (admitted.certain == 0 && !hits_all) || contradicting * 2 > admitted.certain {
        return None;
    }
    if *family == Family::AnyNodePort && looks_different(model, &admitted.explains) {
        return None;
    }
    if symptom == Symptom::Dead {
        if !may_hit.is_empty() {
            let mut doubtful = model.kin.doubtful(model, hypothesis, &crossing, &may_hit);
            // Dead by chance only: the place is in the way of some endpoints.
            doubtful.extend(may_hit.into_iter().filter(|cell| {
                model.symptom(*cell) == Some(Symptom::Dead) && choice(model, *cell, hypothesis).is_some()
            }));
            admitted.explains.retain(|cell| !doubtful.contains(cell));
            admitted.perhaps = doubtful.into_iter().collect();
        }
        also_what_rides_on_udp(model, &mut admitted);
    }
    Some(admitted)
}

/// Whether one service's port is refused and another's is silent: then each has a fault of its own.
fn looks_different(model: &Model<'_>, cells: &[CellIndex]) -> bool {
    let mut refused: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for cell in cells {
        if let Target::NodePort { service, .. } = model.target(*cell) {
            let (refused, all) = refused.entry(service).or_default();
            *refused += usize::from(model.judged(*cell).seen() == Some(Reason::Refused));
            *all += 1;
        }
    }
    let most = refused.values().any(|(refused, all)| refused * 2 > *all);
    let none = refused.values().any(|(refused, all)| *refused == 0 && *all > 1);
    most && none
}

/// Whether an ill cell says nothing of another symptom: of a cell that something else keeps dead there is no telling
/// whether large packets would pass, or how many would be lost.
pub(super) fn says_nothing(ill: Option<Symptom>, symptom: Symptom) -> bool {
    match symptom {
        Symptom::Dead => false,
        Symptom::Large => ill == Some(Symptom::Dead),
        Symptom::Partial => matches!(ill, Some(Symptom::Dead | Symptom::Large)),
    }
}

/// Whether a cell of this kind, from one plane to another, must show the symptom where it crosses a place.
pub(super) fn must_show(
    kind: ProbeKind,
    planes: (Plane, Option<Plane>),
    family: Family,
    symptom: Symptom,
) -> bool {
    match symptom {
        Symptom::Dead => true,
        // Only path-MTU probes are sure to send large packets.
        Symptom::Large => kind == ProbeKind::PathMtu && is_measured(planes, family),
        // One TCP connection or TLS handshake may well slip through a lossy path.
        Symptom::Partial => matches!(kind, ProbeKind::Icmp | ProbeKind::Udp),
    }
}

/// A pod's MTU can leave room for a wire's limit, so that pods say nothing of it.
fn is_measured(planes: (Plane, Option<Plane>), family: Family) -> bool {
    family != Family::Wire || planes == (Plane::Host, Some(Plane::Host))
}

/// A stream between agents: 8 KiB to and fro.
fn sends_large(model: &Model<'_>, cell: CellIndex) -> bool {
    model.kind(cell) == ProbeKind::Tcp && model.plane_to(cell).is_some()
}

/// Where UDP is dropped between nodes and pods' packets travel inside UDP, they are gone as well, of any protocol.
fn also_what_rides_on_udp(model: &Model<'_>, admitted: &mut Admitted) {
    let Hypothesis {
        scope,
        family,
        init,
        filter,
    } = &admitted.hypothesis;
    let udp = filter.protocol == Some(Protocol::Udp);
    if !udp
        || !matches!(family, Family::Wire | Family::Bare)
        || !model.overlay_rides_on_udp()
        || *init == Init::Out
    {
        return;
    }
    let overlay = Hypothesis::whole(scope.clone(), Family::Overlay);
    let known: BTreeSet<CellIndex> = admitted.explains.iter().copied().collect();
    let also = model.ill.iter().copied().filter(|cell| {
        model.symptom(*cell) == Some(Symptom::Dead)
            && !known.contains(cell)
            && model.crosses(*cell, &overlay).is_some()
    });
    let (also, perhaps): (Vec<_>, Vec<_>) = also.partition(|cell| model.plane_to(*cell).is_some());
    admitted.perhaps.extend(perhaps);
    admitted.explains.extend(also);
}

impl Hypothesis {
    /// A place that hits whatever crosses it.
    pub(crate) fn whole(scope: Scope, family: Family) -> Self {
        Self {
            scope,
            family,
            init: Init::Both,
            filter: Filter::ALL,
        }
    }

    /// What a node that is down keeps dead, its links first.
    pub(super) fn of_dead_node(node: NodeIndex) -> [Self; 4] {
        let families = [Family::Wire, Family::Forward, Family::Local, Family::AnyNodePort];
        families.map(|family| Self::whole(Scope::Node(node), family))
    }

    /// The plane at fault, where the place belongs to one.
    pub(crate) fn plane(&self) -> Option<Plane> {
        match self.family {
            Family::Bare => Some(Plane::Host),
            Family::Overlay | Family::Forward | Family::Routes | Family::Local => Some(Plane::Pod),
            Family::Agent(plane) => Some(plane),
            Family::Between(from, to) if from == to => Some(from),
            _ => self.filter.from,
        }
    }
}
