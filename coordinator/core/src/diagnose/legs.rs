//! What the far agents' counters say of loss: of each UDP cell how many requests arrived, so that what was lost there and
//! what was lost on the way back are told apart.

use mesh_proto::{Direction, NodeName, ProbeKind};

use super::place::node_name;
use crate::NodeIndex;
use crate::localise::{LossSite, Model, Scope};
use crate::round::{CellIndex, Target};

/// Datagrams that went one way, and how many of them were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Leg {
    sent: u64,
    lost: u64,
}

impl Leg {
    pub(super) fn share(self) -> f64 {
        ratio(self.lost, self.sent)
    }

    fn add(&mut self, sent: u64, lost: u64) {
        self.sent += sent;
        self.lost += lost;
    }

    /// Whether this way loses nothing while the other does: at the other's share it would have lost many.
    fn is_whole_beside(self, other: Self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "counts of datagrams, far below 2^52")]
        let (sent, lost) = (self.sent as f64, self.lost as f64);
        let expected = sent * other.share();
        expected >= 5.0 && lost <= expected * 0.1
    }
}

/// Both ways at a place that loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Legs {
    /// Towards the node, or from the pair's first to its second.
    pub(super) there: Leg,
    /// From the node, or from the pair's second to its first.
    pub(super) back: Leg,
}

/// Which way loses.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OneWay {
    /// Between two nodes: from, to.
    Pair(NodeName, NodeName),
    /// At a node.
    Node(Direction),
}

impl Legs {
    /// The way that loses and its share, where only one does.
    pub(super) fn one_way(self, model: &Model<'_>, scope: &Scope) -> Option<(OneWay, f64)> {
        let there = if self.back.is_whole_beside(self.there) {
            true
        } else if self.there.is_whole_beside(self.back) {
            false
        } else {
            return None;
        };
        let share = if there { self.there } else { self.back }.share();
        let way = match scope {
            Scope::Pair(a, b) => {
                let (a, b) = (node_name(model, *a), node_name(model, *b));
                if there {
                    OneWay::Pair(a, b)
                } else {
                    OneWay::Pair(b, a)
                }
            }
            Scope::Node(_) if there => OneWay::Node(Direction::Ingress),
            Scope::Node(_) => OneWay::Node(Direction::Egress),
            _ => return None,
        };
        Some((way, share))
    }
}

/// Adds up what the counters say of the cells that a place's loss hits; `None` where no agent could be asked.
pub(super) fn legs(model: &Model<'_>, site: &LossSite, cells: &[CellIndex]) -> Option<Legs> {
    let mut legs = Legs {
        there: Leg::default(),
        back: Leg::default(),
    };
    for cell in cells {
        let Some((from, to, sent, arrived, received)) = counts(model, *cell) else {
            continue;
        };
        let request_is_there = match &site.hypothesis.scope {
            Scope::Pair(a, b) if (from, to) == (*a, *b) => true,
            Scope::Pair(a, b) if (from, to) == (*b, *a) => false,
            Scope::Node(node) if to == *node && from != to => true,
            Scope::Node(node) if from == *node && from != to => false,
            _ => continue,
        };
        let (request, answer) = if request_is_there {
            (&mut legs.there, &mut legs.back)
        } else {
            (&mut legs.back, &mut legs.there)
        };
        request.add(sent, sent - arrived);
        answer.add(arrived, arrived - received);
    }
    (legs.there.sent > 0 && legs.back.sent > 0).then_some(legs)
}

/// From whom, to whom, how many were sent, arrived and came back.
fn counts(model: &Model<'_>, cell: CellIndex) -> Option<(NodeIndex, NodeIndex, u64, u64, u64)> {
    if model.kind(cell) != ProbeKind::Udp {
        return None;
    }
    let Target::Agent(to) = model.cell(cell).target else {
        return None;
    };
    let arrived = model.matrix.arrived(model.cell(cell).from, to, ProbeKind::Udp)?;
    let seen = model.observation(cell)?;
    let (sent, received) = (u64::from(seen.sent), u64::from(seen.received));
    let (Some(from), Some(to)) = model.nodes(cell) else {
        return None;
    };
    Some((
        from,
        to,
        sent,
        arrived.clamp(received.min(sent), sent),
        received.min(sent),
    ))
}

fn ratio(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of datagrams, far below 2^52")]
    let ratio = part as f64 / whole.max(1) as f64;
    ratio
}
