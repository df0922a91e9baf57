//! The agent of mesh: it probes what a plan says, answers probes of its own run, and knows nothing of Kubernetes.

mod agent;
mod attempt;
mod config;
mod datagram;
mod dns;
mod echo;
mod echo_packet;
mod facts;
mod failure;
mod icmp_packet;
mod identity;
mod inquire;
mod moment;
mod pacer;
mod path_mtu;
mod plan_bounds;
mod resolve;
mod responder;
pub mod rpc;
mod rtt;
mod run_plan;
mod runs;
mod service;
mod starvation;
mod stream;
mod tcp;
#[cfg(test)]
mod test_place;
mod tls;
mod tls_files;
mod way;

pub use self::agent::{AgentError, run_agent};
pub use self::config::{AgentConfig, DEFAULT_RESPONDER_PORT, ListenAddress, Pem, TlsFiles};
pub use self::facts::host_facts;
pub use self::tls_files::{LoadedTls, TlsFileError};
