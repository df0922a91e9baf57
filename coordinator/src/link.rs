//! A link: the byte stream over which the coordinator talks to an agent. It may well cross the network under test, so
//! each way of failing has words of its own.

mod address;
mod dial;
mod kept;
mod rpc;
mod run_keys;
mod tls;

pub(crate) use self::address::{LinkAddress, LinkRoute, PodLink};
pub(crate) use self::dial::{DialError, LinkMeans, dial};
pub(crate) use self::kept::KeptLinks;
pub(crate) use self::rpc::{Link, Observations, RpcError, is_broken_link, printable, status_words};
pub(crate) use self::run_keys::make_run_keys;
pub(crate) use self::tls::LinkTls;

#[cfg(test)]
mod tests;
