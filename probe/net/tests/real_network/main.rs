//! The crate's sockets on real packets, in network namespaces that each test makes for itself. Needs root, or an
//! ordinary user's own user namespace, and the commands `ip`,
//! `nft` and `iptables-legacy`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod batch;
mod datagram;
mod echo;
mod namespace;
mod netlink;
mod path_mtu;
mod tcp;
mod topology;
