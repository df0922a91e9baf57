//! Places that could be at fault, and whether what was observed admits them.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{Plane, ProbeKind, Protocol};

use super::family::{Family, Filter, Init, Part, Scope};
use super::model::Model;
use super::symptom::{Symptom, protocol_of};
use crate::NodeIndex;
use crate::round::CellIndex;

/// A place that could be at fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Of the ill cells, those that it must hit.
    pub(crate) must: BTreeSet<CellIndex>,
    /// How many these were at first.
    pub(crate) certain: usize,
    /// Cells that it may hit and that are well: weak evidence against it.
    pub(crate) spared: usize,
}

/// The places that the given ill cells suggest.
pub(super) fn candidates(model: &Model<'_>, ill: &[CellIndex], symptom: Symptom) -> BTreeSet<Hypothesis> {
    let mut found = BTreeSet::new();
    for cell in ill {
        for (part, certain) in model.parts_of(*cell) {
            if *certain {
                for scope in scopes(*part) {
                    add_filters(&mut found, *part, &scope, model, *cell, symptom);
                }
            }
        }
    }
    for group in cut_off_groups(model) {
        let scope = Scope::Group(group);
        found.insert(Hypothesis {
            scope,
            family: Family::Wire,
            init: Init::Both,
            filter: Filter::ALL,
        });
    }
    found
}

fn scopes(part: Part) -> Vec<Scope> {
    let mut scopes = vec![Scope::Node(part.from), Scope::Cluster];
    if part.from != part.to {
        scopes.push(Scope::Node(part.to));
        // One name for a pair, whichever end the cell starts from; the direction is in `Init`.
        scopes.push(Scope::Pair(part.from.min(part.to), part.from.max(part.to)));
    }
    if matches!(part.family, Family::NodePort(_) | Family::AnyNodePort) {
        scopes.push(if part.from == part.to {
            Scope::OwnNode
        } else {
            Scope::OtherNodes
        });
    }
    scopes
}

fn add_filters(
    found: &mut BTreeSet<Hypothesis>,
    part: Part,
    scope: &Scope,
    model: &Model<'_>,
    cell: CellIndex,
    symptom: Symptom,
) {
    let protocol = Some(protocol_of(model.kind(cell)));
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
    let planes = if by_plane {
        vec![None, model.plane_from(cell)]
    } else {
        vec![None]
    };
    let protocols = if symptom == Symptom::Large {
        vec![None]
    } else {
        vec![None, protocol]
    };
    let inits: &[Init] = match scope {
        Scope::Node(_) | Scope::Pair(..) => &[Init::Both, Init::In, Init::Out],
        _ => &[Init::Both],
    };
    for init in inits {
        for from in &planes {
            for protocol in &protocols {
                let filter = Filter {
                    protocol: *protocol,
                    from: *from,
                };
                found.insert(Hypothesis {
                    scope: scope.clone(),
                    family: part.family,
                    init: *init,
                    filter,
                });
            }
        }
    }
}

/// Sets of nodes that nothing connects to the rest, two and more on each side.
fn cut_off_groups(model: &Model<'_>) -> Vec<Vec<NodeIndex>> {
    let nodes = model.matrix.round().roster().nodes.len();
    let mut group: Vec<usize> = (0..nodes).collect();
    let mut watched = vec![false; nodes];
    for number in 0..model.judged.len() {
        let cell = CellIndex(number);
        let (Some(from), Some(to)) = model.nodes(cell) else {
            continue;
        };
        if from == to || !model.observed(cell) {
            continue;
        }
        (watched[from.0], watched[to.0]) = (true, true);
        if model.judged(cell).came_through() {
            let (keep, join) = (group[from.0], group[to.0]);
            group
                .iter_mut()
                .filter(|of| **of == join)
                .for_each(|of| *of = keep);
        }
    }
    let mut groups: BTreeMap<usize, Vec<NodeIndex>> = BTreeMap::new();
    for node in (0..nodes).filter(|node| watched[*node]) {
        groups.entry(group[node]).or_default().push(NodeIndex(node));
    }
    let all: usize = groups.values().map(Vec::len).sum();
    groups
        .into_values()
        .filter(|group| group.len() >= 2 && group.len() * 2 <= all)
        .collect()
}

/// What the hypothesis explains, or `None` if an observed cell contradicts it.
pub(super) fn admit(model: &Model<'_>, hypothesis: &Hypothesis, symptom: Symptom) -> Option<Admitted> {
    let Hypothesis {
        scope,
        family,
        init,
        filter,
    } = hypothesis;
    let crossing = model.crossing(*family, scope, *init, *filter);
    let mut admitted = Admitted {
        hypothesis: hypothesis.clone(),
        explains: Vec::new(),
        taken: Vec::new(),
        perhaps: Vec::new(),
        must: BTreeSet::new(),
        certain: 0,
        spared: 0,
    };
    let mut contradicting = 0_usize;
    let mut may_hit = Vec::new();
    for (cell, certain) in &crossing {
        let (cell, certain) = (*cell, *certain);
        let certain = certain && must_show(model, cell, *family, symptom);
        let ill = model.symptom(cell);
        let fits = match symptom {
            Symptom::Dead => ill == Some(Symptom::Dead) || (!certain && ill.is_some()),
            Symptom::Large => ill == Some(Symptom::Large),
            Symptom::Partial => ill == Some(Symptom::Partial),
        };
        if fits {
            admitted.explains.push(cell);
            if certain {
                admitted.must.insert(cell);
            } else {
                may_hit.push(cell);
            }
        } else if !model.observed(cell) {
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
    if symptom == Symptom::Dead {
        if !may_hit.is_empty() {
            let doubtful = model.kin.doubtful(model, *family, &crossing, &may_hit);
            admitted.explains.retain(|cell| !doubtful.contains(cell));
            admitted.perhaps = doubtful.into_iter().collect();
        }
        also_what_rides_on_udp(model, &mut admitted);
    }
    Some(admitted)
}

/// Whether a cell that crosses the place must show the symptom.
fn must_show(model: &Model<'_>, cell: CellIndex, family: Family, symptom: Symptom) -> bool {
    match symptom {
        Symptom::Dead => true,
        // Only path-MTU probes are sure to send large packets; and a pod's MTU can leave room for the wire's limit.
        Symptom::Large => {
            model.kind(cell) == ProbeKind::PathMtu && (family != Family::Wire || model.host_to_host(cell))
        }
        // One TCP connection or TLS handshake may well slip through a lossy path.
        Symptom::Partial => matches!(model.kind(cell), ProbeKind::Icmp | ProbeKind::Udp),
    }
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
    for cell in model
        .crossing(Family::Overlay, scope, Init::Both, Filter::ALL)
        .into_keys()
    {
        if model.symptom(cell) == Some(Symptom::Dead) && !admitted.explains.contains(&cell) {
            admitted.explains.push(cell);
        }
    }
}

impl Hypothesis {
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
