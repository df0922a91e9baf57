//! The agent of mesh: it probes what a plan says, answers probes of its own run, and knows nothing of Kubernetes.

mod datagram;
mod echo;
mod echo_packet;
mod failure;
mod icmp_packet;
mod moment;
mod pacer;
mod path_mtu;
mod rtt;
