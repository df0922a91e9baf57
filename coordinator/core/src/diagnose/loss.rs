//! Some of it comes through, some does not, or only late.

use std::borrow::Cow;
use std::collections::BTreeSet;

use mesh_proto::{Cause, Confidence, Direction, FlowTally, Observation, ProbeKind, Where};

use super::Draft;
use super::asked::Asked;
use super::evidence::evidence;
use super::kernel::uplink;
use super::legs::{OneWay, legs};
use super::place::{in_words, place};
use crate::NodeIndex;
use crate::localise::{Family, Hypothesis, Losing, LossSite, Model, Pick, Scope};
use crate::round::CellIndex;

/// What becomes of a draft: cause, summary, advice.
type Named = (Cause, String, String);

/// Loss of a share, of certain flows, or resends.
pub(super) fn loss(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Draft {
    let mut place = place(model, hypothesis);
    let mut evidence = evidence(model, &pick.explains);
    let (cause, summary, advice) = match model.site(hypothesis) {
        _ if only_first_packets(model, pick) => slow(&in_words(&place)),
        Some(site) if site.losing == Losing::Flows => flows(&in_words(&place), Some(site.share)),
        Some(site) => packets(model, pick, site, &mut place, &mut evidence),
        None => elsewhere(model, pick, hypothesis, &mut place),
    };
    Draft {
        cause,
        place,
        confidence: Confidence::Likely,
        summary,
        evidence,
        advice: vec![with_device(model, hypothesis, &advice)],
        ruled_out: Vec::new(),
        shown: false,
        at_no_place: false,
        explains: pick.explains.clone(),
    }
}

/// A place that loses packets by chance: in one direction only, or both ways.
fn packets(
    model: &Model<'_>,
    pick: &Pick,
    site: &LossSite,
    place: &mut Where,
    evidence: &mut Vec<String>,
) -> Named {
    let explained: BTreeSet<CellIndex> = pick.explains.iter().copied().collect();
    // What died of something else says nothing of this loss.
    let is_hit = |cell: &CellIndex| explained.contains(cell) || model.judged(*cell).came_through();
    let cells: Vec<CellIndex> = site
        .cells
        .iter()
        .filter(|(cell, certain)| **certain && is_hit(cell))
        .map(|(cell, _)| *cell)
        .collect();
    let legs = legs(model, site, &cells);
    if let Some((way, share)) = legs.and_then(|legs| legs.one_way(model, &site.hypothesis.scope)) {
        place.loss = Some(rounded(share));
        let from = match way {
            OneWay::Pair(from, to) => {
                let words = format!("from {from} to {to}");
                place.pairs = vec![(from, to)];
                words
            }
            OneWay::Node(direction) => {
                place.direction = Some(direction);
                let way = if direction == Direction::Ingress {
                    "to"
                } else {
                    "from"
                };
                format!("{way} {}", in_words(place))
            }
        };
        evidence.push(
            "Receive counters of the agents: what goes the other way arrives, so the loss is in one direction."
                .to_owned(),
        );
        return (
            Cause::OneWayLoss,
            format!("Of the packets {from} {} are lost; those the other way arrive.", percent(share)),
            "Look for errors, drops and limits of that direction, at the sender's output and the receiver's input: ip -s link; tc -s qdisc; ethtool -S DEVICE | grep -iE 'err|drop'".to_owned(),
        );
    }
    let (sent, lost) = datagrams(model, &cells);
    let share = f64::from(lost) / f64::from(sent.max(1));
    place.loss = Some(rounded(share));
    let each_way = match legs {
        Some(legs) => (legs.there.share(), legs.back.share()),
        None => (1.0 - (1.0 - share).sqrt(), 1.0 - (1.0 - share).sqrt()),
    };
    let (least, most) = (each_way.0.min(each_way.1), each_way.0.max(each_way.1));
    let each_way = if percent(least) == percent(most) {
        percent(most)
    } else {
        format!("{} and {}", percent(least), percent(most))
    };
    (
        Cause::RandomLoss,
        format!(
            "A share of the packets is lost at {}: {} of the round trips ({lost} of {sent} datagrams), about {each_way} of the packets each way.",
            in_words(place),
            percent(share)
        ),
        ADVICE_LOSS.to_owned(),
    )
}

/// Datagrams sent and lost; streams hide their losses by sending again.
fn datagrams(model: &Model<'_>, cells: &[CellIndex]) -> (u32, u32) {
    let datagrams = cells
        .iter()
        .filter(|cell| matches!(model.kind(**cell), ProbeKind::Icmp | ProbeKind::Udp))
        .filter_map(|cell| model.observation(*cell));
    datagrams.fold((0, 0), |(sent, lost), seen| {
        (sent + seen.sent, lost + seen.sent.saturating_sub(seen.received))
    })
}

fn flows(at: &str, share: Option<f64>) -> Named {
    let how_many = share.map_or_else(String::new, |share| format!(" ({} of them)", percent(share)));
    (
        Cause::FlowLoss,
        format!("Certain flows at {at} always fail{how_many} and others never: one of several paths is bad."),
        "Look for a bad member of a bond or an ECMP path: cat /proc/net/bonding/*; ip route show".to_owned(),
    )
}

/// Not loss between agents that stands out: at a service, or too little to tell.
fn elsewhere(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis, place: &mut Where) -> Named {
    let cluster = &model.matrix.round().roster().cluster;
    // Where only what a service answers is lost, its rules or the server behind it lose it, and not the way there.
    let at = match Asked::of(hypothesis.family, cluster) {
        Some(asked) => {
            asked.put(cluster, place);
            format!("{}, asked at {}", asked.words(cluster), in_words(place))
        }
        None => in_words(place),
    };
    let seen: Vec<Cow<'_, Observation>> = pick
        .explains
        .iter()
        .filter_map(|cell| model.observation(*cell))
        .collect();
    let sent: u32 = seen.iter().map(|seen| seen.sent).sum();
    let lost: u32 = seen
        .iter()
        .map(|seen| seen.sent.saturating_sub(seen.received))
        .sum();
    let tries = seen.iter().flat_map(|seen| &seen.incomplete_flows);
    let (dead, ill) = tries.fold((0, 0), |(dead, ill), flow| {
        if flow.received == 0 && flow.sent >= 3 {
            (dead + 1, ill)
        } else {
            (dead, ill + 1)
        }
    });
    // Who asks often enough of something slow loses a try now and then.
    let late = seen.iter().filter(|seen| seen.received >= seen.sent).count();
    if late * 10 >= seen.len() * 9 {
        return slow(&at);
    }
    if dead > 0 && ill == 0 {
        return flows(&at, None);
    }
    place.loss = Some(rounded(f64::from(lost) / f64::from(sent.max(1))));
    (
        Cause::RandomLoss,
        format!("A share of the packets is lost at {at}: {lost} of {sent} tries."),
        ADVICE_LOSS.to_owned(),
    )
}

fn slow(at: &str) -> Named {
    (
        Cause::Slow,
        format!("Answers at {at} come late, or only after a SYN or query was sent again."),
        ADVICE_SLOW.to_owned(),
    )
}

/// Certain flows between two nodes that always fail, where datagrams told of no loss: streams alone are hit, and too few of them
/// for a place. And the cells that are left.
pub(super) fn flows_between_pairs(model: &Model<'_>, cells: &[CellIndex]) -> (Vec<Draft>, Vec<CellIndex>) {
    const LEAST: usize = 3;
    let of_flows = cells.iter().copied().filter(|cell| has_dead_flows(model, *cell));
    let mut by_pair = model.by_pair(of_flows);
    by_pair.retain(|_, cells| cells.len() >= LEAST);
    let mut left = cells.to_vec();
    let mut drafts = Vec::new();
    for ((a, b), cells) in by_pair {
        let hypothesis = Hypothesis::whole(Scope::Pair(a, b), Family::Wire);
        left.retain(|cell| !cells.contains(cell));
        let place = place(model, &hypothesis);
        let (cause, summary, advice) = flows(&in_words(&place), None);
        drafts.push(Draft {
            cause,
            place,
            confidence: Confidence::Likely,
            summary,
            evidence: evidence(model, &cells),
            advice: vec![advice],
            ruled_out: Vec::new(),
            shown: false,
            at_no_place: false,
            explains: cells,
        });
    }
    (drafts, left)
}

/// Streams of which some flows were tried again and again in vain, while others came through at once.
fn has_dead_flows(model: &Model<'_>, cell: CellIndex) -> bool {
    let seen = model.observation(cell);
    model.kind(cell) == ProbeKind::Tcp
        && seen.is_some_and(|seen| {
            let flows = &seen.incomplete_flows;
            seen.received > 0
                && !flows.is_empty()
                && flows.iter().all(|flow| flow.sent >= 3 && flow.received == 0)
        })
}

/// Whether each flow lost just one try, on all of several cells: that is its first, and no chance. Chance would spare some
/// flows and hit others twice.
fn only_first_packets(model: &Model<'_>, pick: &Pick) -> bool {
    let udp = pick
        .explains
        .iter()
        .filter(|cell| model.kind(**cell) == ProbeKind::Udp);
    let seen: Vec<Cow<'_, Observation>> = udp.filter_map(|cell| model.observation(*cell)).collect();
    let once = |seen: &Cow<'_, Observation>| {
        let lost = seen.sent.saturating_sub(seen.received) as usize;
        let flows = &seen.incomplete_flows;
        let one = |flow: &FlowTally| flow.sent >= 3 && flow.sent - flow.received.min(flow.sent) == 1;
        lost > 1 && lost == flows.len() && flows.iter().all(one)
    };
    let even = |a: &Observation, b: &Observation| a.incomplete_flows.len() == b.incomplete_flows.len();
    seen.len() >= 2 && seen.iter().all(once) && seen.windows(2).all(|pair| even(&pair[0], &pair[1]))
}

/// Advice that names the device by which the node sends to others, where its kernel tells.
fn with_device(model: &Model<'_>, hypothesis: &Hypothesis, advice: &str) -> String {
    let nodes: &[NodeIndex] = match &hypothesis.scope {
        Scope::Node(node) => &[*node],
        Scope::Pair(a, b) => &[*a, *b],
        _ => model.nodes_here(),
    };
    match nodes.iter().find_map(|node| uplink(model, *node)) {
        Some(device) => advice.replace("DEVICE", device),
        None => advice.to_owned(),
    }
}

/// Where to look when answers come late.
pub(super) const ADVICE_SLOW: &str = "Look for what makes the first packet of a connection wait or drops it (a connection tracking race, a full listen queue, a rate limit), and for load: nstat -az TcpRetransSegs TcpExtListenDrops; conntrack -S; ip -s link";

const ADVICE_LOSS: &str =
    "Look for errors and drops: ip -s link; ethtool -S DEVICE | grep -iE 'err|drop'; tc -s qdisc";

fn rounded(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

fn percent(share: f64) -> String {
    if share < 0.095 {
        format!("{:.1} %", share * 100.0)
    } else {
        format!("{:.0} %", share * 100.0)
    }
}
