//! How hard a round tries.

use mesh_proto::{Micros, Millis, Pacing};

use crate::Peers;

/// Numbers of a round. The defaults fit a one-shot run: every path is tried often enough to tell loss from a dead flow,
/// and a whole round of a healthy small cluster takes well under a second.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// How long one try may take. The default is 3.5 s: the kernel gives up a neighbour after 3 s and then says
    /// host unreachable (Linux `net/ipv4/neigh`: three probes, a second each), and a SYN is sent again after 1 and 3 s.
    pub timeout: Millis,
    /// Bounds on each agent's sending.
    pub pacing: Pacing,
    /// ICMP echo requests to a target.
    pub icmp_tries: u16,
    /// UDP source ports to a target: paths are chosen by a hash of addresses and ports.
    pub udp_flows: u16,
    /// Datagrams on each of them: three, since a flow counts as dead only when three tries were lost.
    pub udp_tries: u16,
    /// TCP connections to a target.
    pub tcp_flows: u16,
    /// TLS handshakes with the API service.
    pub tls_flows: u16,
    /// DNS queries, each from a fresh port: with six, a dead endpoint of two is missed once in 64 runs.
    pub dns_flows: u16,
    /// DNS queries to a single endpoint.
    pub dns_endpoint_flows: u16,
    /// Copies of each size that a path-MTU probe sends.
    pub path_mtu_tries: u16,
    /// Between two tries of one flow.
    pub interval: Micros,
    /// How many other nodes each node probes; `None` for all of them.
    pub peers: Option<Peers>,
}

impl PlanOptions {
    /// A quick look: whether something is wrong, not what. Each way is tried once or twice, with little patience, and the probes
    /// begin at once: a hard failure is to be seen within a second.
    #[must_use]
    pub fn light(&self) -> Self {
        Self {
            timeout: Millis(self.timeout.0.min(450)),
            pacing: Pacing {
                spread: Millis(self.pacing.spread.0.min(50)),
                ..self.pacing
            },
            icmp_tries: 2,
            udp_flows: 2,
            udp_tries: 1,
            tcp_flows: 1,
            tls_flows: 1,
            dns_flows: 2,
            dns_endpoint_flows: 1,
            path_mtu_tries: 1,
            interval: Micros(self.interval.0.min(10_000)),
            peers: self.peers,
        }
    }
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            timeout: Millis(3_500),
            pacing: Pacing {
                packets_per_second: 4_000,
                burst: 32,
                spread: Millis(150),
            },
            icmp_tries: 5,
            udp_flows: 4,
            udp_tries: 3,
            tcp_flows: 3,
            tls_flows: 2,
            dns_flows: 6,
            dns_endpoint_flows: 3,
            path_mtu_tries: 2,
            interval: Micros(40_000),
            peers: None,
        }
    }
}
