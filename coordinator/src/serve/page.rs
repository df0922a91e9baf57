//! The page: the report's own, with what is live above it. It is whole without its script, which only keeps it fresh.

use std::fmt::Write;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mesh_proto::Verdict;

use super::{IncidentRecord, IncidentStateRecord, Published, StatusRecord, timeline};
use crate::render::{PAGE_STYLE, count, escape, html_body, place};

/// Follows the looks, and puts what is new in place.
pub(super) const SCRIPT: &str = include_str!("page/live.js");
const STYLE: &str = include_str!("page/live.css");

/// How far back the page looks.
pub(super) const TIME_LINE: SignedDuration = SignedDuration::from_hours(24);

/// What the page shows.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) published: Option<Arc<Published>>,
    /// Those of the time line's span, the newest first.
    pub(super) incidents: Vec<IncidentRecord>,
    pub(super) now: Timestamp,
}

/// The whole page.
pub(super) fn page(live: &Live) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}: mesh</title>\n\
         <style>\n{PAGE_STYLE}{STYLE}</style>\n<script src=\"live.js\" defer></script>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#matrix\">Go to the matrix</a>\n\
         <p id=\"pulse\" role=\"status\">{}</p>\n<div id=\"live\" data-fingerprint=\"{}\">\n",
        word(live.published.as_deref()),
        pulse(live.published.as_deref()),
        live.published
            .as_ref()
            .map_or(0, |published| published.fingerprint)
    );
    out.push_str(&fragment(live));
    out.push_str("</div>\n</body>\n</html>\n");
    out
}

fn word(published: Option<&Published>) -> &'static str {
    match published.map(|published| published.status.verdict) {
        None => "STARTING",
        Some(Verdict::Reachable) => "REACHABLE",
        Some(Verdict::Unreachable) => "UNREACHABLE",
        Some(Verdict::Unknown) => "UNKNOWN",
    }
}

fn pulse(published: Option<&Published>) -> String {
    published.map_or_else(
        || "The first look has not ended yet.".to_owned(),
        |published| {
            let look = &published.status.last_look;
            format!("Last look ({}) at {:.0}.", look.depth, look.finished)
        },
    )
}

/// What changes with the looks.
pub(super) fn fragment(live: &Live) -> String {
    let mut out = String::new();
    let Some(published) = &live.published else {
        return out;
    };
    let status = &published.status;
    doubts(&mut out, status);
    let mut over_time = String::new();
    incidents(&mut over_time, status);
    timeline::time_line(&mut over_time, &live.incidents, live.now, TIME_LINE);
    past(&mut over_time, &live.incidents, live.now);
    html_body(&mut out, &published.report, &over_time);
    out
}

fn doubts(out: &mut String, status: &StatusRecord) {
    for words in [&status.doubt, &status.roster, &status.lead]
        .into_iter()
        .flatten()
    {
        let _ = writeln!(out, "<p class=\"doubt\">{}</p>", escape(words));
    }
    if status.excused.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<details id=\"excused\"><summary>{} not expected to be whole now</summary><ul>",
        count(status.excused.len(), "node")
    );
    for note in &status.excused {
        let _ = write!(
            out,
            "<li>{}: {}</li>",
            escape(note.node.as_str()),
            escape(&note.why)
        );
    }
    out.push_str("</ul></details>\n");
}

fn incidents(out: &mut String, status: &StatusRecord) {
    out.push_str("<section id=\"incidents\" aria-labelledby=\"incidents-head\">\n<h2 id=\"incidents-head\">Open incidents</h2>\n");
    if status.incidents.is_empty() {
        out.push_str("<p>None.</p>\n");
    } else {
        table(out, status.incidents.iter(), false);
    }
    if status.suspected > 0 {
        let _ = writeln!(
            out,
            "<p>{} seen once, waiting for a second look.</p>",
            count(status.suspected, "fault")
        );
    }
    out.push_str("</section>\n");
}

fn past(out: &mut String, incidents: &[IncidentRecord], now: Timestamp) {
    let closed: Vec<_> = incidents
        .iter()
        .filter(|one| one.state == IncidentStateRecord::Closed)
        .filter(|one| one.closed.is_some_and(|closed| closed <= now))
        .collect();
    if closed.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<details id=\"past\"><summary>{} closed in the last 24 hours</summary>",
        count(closed.len(), "incident")
    );
    table(out, closed.into_iter(), true);
    out.push_str("</details>\n");
}

fn table<'i>(out: &mut String, incidents: impl Iterator<Item = &'i IncidentRecord>, closed: bool) {
    let last = if closed { "Until" } else { "Times" };
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Incidents\"><table class=\"incidents\">\n<thead><tr>\
         <th scope=\"col\">Number</th><th scope=\"col\">Since</th><th scope=\"col\">{last}</th><th scope=\"col\">Place</th>\
         <th scope=\"col\">Cause</th><th scope=\"col\">What</th></tr></thead>\n<tbody>\n"
    );
    for one in incidents {
        let times = match one.closed.filter(|_| closed) {
            Some(closed) => format!("{closed:.0}"),
            None if one.flapping => format!("{}, flapping", one.count),
            None => one.count.to_string(),
        };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{:.0}</td><td>{times}</td><td>{}</td><td><code>{}</code> ({})</td><td>{}</td></tr>",
            one.id,
            one.since,
            escape(&place(&one.finding)),
            one.finding.cause,
            one.finding.confidence,
            escape(&one.finding.summary)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

#[cfg(test)]
mod tests;
