//! Some of it comes through, some does not, or only late.

use mesh_proto::{Cause, Confidence, Observation, Where};

use super::Draft;
use super::evidence::evidence;
use super::place::{in_words, place};
use crate::localise::{Family, Hypothesis, Model, Pick};

/// Loss of a share, of certain flows, or resends.
pub(super) fn loss(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Draft {
    let mut place = place(model, hypothesis);
    let at = match service(model, hypothesis.family, &mut place) {
        Some(service) => format!("{service}, asked at {}", in_words(&place)),
        None => in_words(&place),
    };
    let seen: Vec<&Observation> = pick
        .explains
        .iter()
        .filter_map(|cell| model.matrix.observations()[cell.0].as_ref())
        .collect();
    let sent: u32 = seen.iter().map(|seen| seen.sent).sum();
    let lost: u32 = seen.iter().map(|seen| seen.sent - seen.received).sum();
    let (dead, ill) =
        seen.iter()
            .flat_map(|seen| &seen.incomplete_flows)
            .fold((0, 0), |(dead, ill), flow| {
                if flow.received == 0 && flow.sent >= 3 {
                    (dead + 1, ill)
                } else {
                    (dead, ill + 1)
                }
            });
    let (cause, confidence, summary, advice) = if lost == 0 {
        (
            Cause::Slow,
            Confidence::Likely,
            format!("Answers at {at} come late, or only after a SYN or query was sent again."),
            "Look for loss and load there: ip -s link; nstat -az TcpRetransSegs TcpExtListenDrops".to_owned(),
        )
    } else if dead > 0 && ill == 0 {
        (
            Cause::FlowLoss,
            Confidence::Likely,
            format!("Certain flows at {at} always fail and others never: one of several paths is bad."),
            "Look for a bad member of a bond or an ECMP path: cat /proc/net/bonding/*; ip route show"
                .to_owned(),
        )
    } else {
        place.loss = Some((f64::from(lost) / f64::from(sent.max(1)) * 1000.0).round() / 1000.0);
        (
            Cause::RandomLoss,
            Confidence::Likely,
            format!("A share of the packets is lost at {at}: {lost} of {sent} tries."),
            "Look for errors and drops: ip -s link; ethtool -S DEVICE | grep -iE 'err|drop'; tc -s qdisc"
                .to_owned(),
        )
    };
    Draft {
        cause,
        place,
        confidence,
        summary,
        evidence: evidence(model, &pick.explains),
        advice: vec![advice],
        explains: pick.explains.clone(),
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
