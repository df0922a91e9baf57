//! What does not fit into one message is left out, and it is said what.

use mesh_proto::{HostFacts, Missing, NFTABLES_RULES, NeighbourState};

use super::reader::too_many;
use super::routes::is_notable;
use super::tables::Tables;

/// A message of the link takes 4 MiB (gRPC's usual limit, which tonic has too); the document is to leave some of it.
pub(super) const LARGEST: usize = 3 << 20;
/// All but rules: beyond that lists are cut.
const WITHOUT_RULES: usize = 3 << 19;

/// What is said of the rules that are left out takes some room as well.
const SAYING_SO: usize = 1 << 12;

/// Puts the tables in, and cuts the longest lists and then rules until the whole document fits.
pub(super) fn fit(facts: &mut HostFacts, tables: Tables) {
    let mut most = 1 << 13;
    while facts.document_len() > WITHOUT_RULES && most > 64 {
        cut(facts, most);
        most /= 2;
    }
    let (tables, told) = tables.within(LARGEST.saturating_sub(facts.document_len() + SAYING_SO));
    facts.netfilter.tables = tables;
    if told.left_out > 0 {
        facts
            .missing
            .push(too_many(NFTABLES_RULES, told.left_out, told.all));
    }
}

/// Leaves so many of each list.
fn cut(facts: &mut HostFacts, most: usize) {
    let mut missing = std::mem::take(&mut facts.missing);
    facts.routes.sort_by_key(|route| !is_notable(route));
    facts
        .neighbours
        .sort_by_key(|neighbour| neighbour.state == NeighbourState::Stale);
    shorten("links", &mut facts.links, most, &mut missing);
    shorten("addresses", &mut facts.addresses, most, &mut missing);
    shorten("routes", &mut facts.routes, most, &mut missing);
    shorten("routing rules", &mut facts.routing_rules, most, &mut missing);
    shorten("neighbours", &mut facts.neighbours, most, &mut missing);
    shorten(
        "forwarding entries",
        &mut facts.forwarding_entries,
        most,
        &mut missing,
    );
    shorten("listening sockets", &mut facts.listening, most, &mut missing);
    let mut sysctls: Vec<_> = std::mem::take(&mut facts.sysctls).into_iter().collect();
    // Those of the whole place before those of single devices.
    let of_device =
        |name: &str| name.contains(".conf.") && !name.contains(".all.") && !name.contains(".default.");
    sysctls.sort_by_key(|(name, _)| of_device(name));
    shorten("sysctls", &mut sysctls, most, &mut missing);
    facts.sysctls = sysctls.into_iter().collect();
    facts.missing = missing;
}

fn shorten<T>(what: &str, list: &mut Vec<T>, most: usize, missing: &mut Vec<Missing>) {
    let left_out = list.len().saturating_sub(most);
    if left_out == 0 {
        return;
    }
    list.truncate(most);
    // It may have been cut before: then that is said already, with the number of all.
    let said = format!("some {what}");
    match missing.iter_mut().find(|of| of.what == said) {
        Some(before) => before.why = format!("all but {most} are left out: too many to tell"),
        None => missing.push(too_many(what, left_out, most + left_out)),
    }
}
