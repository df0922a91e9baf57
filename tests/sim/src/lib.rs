//! A simulated cluster network, to measure how well the core finds what is broken.
//!
//! Packets are forwarded hook by hook as Linux, a CNI and kube-proxy do it (`packet`), requests and answers each on their own
//! way. Faults (`fault`) are rules at hooks (`rule`): they know nothing of the core's model of paths or of its
//! hypotheses, so what the core says of them is a check that stands by itself. Planner, matrix, judge, localiser and
//! diagnosis are the real ones.
//!
//! Simpler than the world: time does not pass (nothing is late, only lost); of ICMP errors a fixed share comes through
//! instead of so many a second; a backend answers a TCP client with one segment; a duplicate address, a routing loop and what
//! depends on the age of a pod are not there.

mod agent;
mod case;
mod cluster;
mod fault;
mod network;
mod packet;
mod rule;
mod score;
mod truth;

pub use self::case::{Case, Draw, Seeing};
pub use self::cluster::{NodePortSite, Site};
pub use self::fault::{Fault, Service};
pub use self::score::{Found, Score};

#[cfg(test)]
mod tests;
