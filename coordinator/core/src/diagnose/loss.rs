//! Some of it comes through, some does not, or only late.

use std::collections::BTreeSet;

use mesh_proto::{Cause, Confidence, Direction, Observation, ProbeKind, Where};

use super::Draft;
use super::evidence::evidence;
use super::legs::{OneWay, legs};
use super::place::{in_words, place};
use crate::localise::{Family, Hypothesis, Losing, LossSite, Model, Pick};
use crate::round::CellIndex;

/// What becomes of a draft: cause, summary, advice.
type Named = (Cause, String, String);

/// Loss of a share, of certain flows, or resends.
pub(super) fn loss(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Draft {
    let mut place = place(model, hypothesis);
    let mut evidence = evidence(model, &pick.explains);
    let (cause, summary, advice) = match model.site(hypothesis) {
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
        advice: vec![advice],
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
        .filter_map(|cell| model.matrix.observations()[cell.0].as_ref());
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
    let at = match service(model, hypothesis.family, place) {
        Some(service) => format!("{service}, asked at {}", in_words(place)),
        None => in_words(place),
    };
    let seen: Vec<&Observation> = pick
        .explains
        .iter()
        .filter_map(|cell| model.matrix.observations()[cell.0].as_ref())
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
    if lost == 0 {
        return (
            Cause::Slow,
            format!("Answers at {at} come late, or only after a SYN or query was sent again."),
            "Look for loss and load there: ip -s link; nstat -az TcpRetransSegs TcpExtListenDrops".to_owned(),
        );
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

/// The service that is asked, where only what it answers is lost: then its rules or the server behind it lose it, and not
/// the way there.
fn service(model: &Model<'_>, family: Family, place: &mut Where) -> Option<String> {
    let cluster = &model.matrix.round().roster().cluster;
    match family {
        Family::NodePort(number) => {
            let offer = cluster.node_ports.get(number)?;
            (place.port, place.protocol) = (Some(offer.port), Some(offer.protocol));
            Some(format!("NodePort {}/{}", offer.port, offer.protocol))
        }
        Family::AnyNodePort => Some("NodePorts".to_owned()),
        Family::DnsAll | Family::DnsService => {
            place.service = cluster.dns.as_ref().map(|dns| dns.address);
            Some("DNS".to_owned())
        }
        Family::DnsEndpoint(number) => {
            let endpoint = cluster.dns.as_ref()?.endpoints.get(number)?;
            place.endpoint = Some(endpoint.address);
            Some(format!("the DNS endpoint {}", endpoint.address))
        }
        Family::ApiService => {
            place.service = cluster.api.as_ref().map(|api| api.address);
            Some("the API service".to_owned())
        }
        _ => None,
    }
}
