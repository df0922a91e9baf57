//! Flags that say what a lab should look like and what should be wrong with it.

use clap::{ArgAction, Args, ValueEnum};
use mesh_lab::{Cidr, Encapsulation, Fault, FaultSpec, LabError, LabOptions, PodNetwork, Topology};
use mesh_proto::{NodeName, Port};

use crate::failure::Failure;

/// The shape of a lab.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The lab")]
pub(super) struct ShapeArgs {
    /// How many nodes
    #[arg(long, env = "MESH_LAB_NODES", value_name = "N", default_value_t = 3)]
    nodes: u16,

    /// The nodes' names, instead of node-1 and so on
    #[arg(
        long,
        env = "MESH_LAB_NODE_NAMES",
        value_name = "NAME,...",
        value_delimiter = ',',
        conflicts_with = "nodes"
    )]
    node_names: Vec<NodeName>,

    /// A fault, as `mesh lab faults` lists them; may be repeated
    #[arg(long = "fault", value_name = "NAME[:KEY=VALUE,...]")]
    faults: Vec<FaultSpec>,

    /// How pod packets cross the node network
    #[arg(long, env = "MESH_LAB_ENCAPSULATION", value_enum, default_value_t = Wrapping::Vxlan)]
    encapsulation: Wrapping,

    /// The UDP port of the overlay
    #[arg(
        long,
        env = "MESH_LAB_OVERLAY_PORT",
        value_name = "PORT",
        default_value_t = 4789
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    overlay_port: u16,

    /// How pods hang on their node: a /32 route each, as Calico does, or a bridge, as flannel does
    #[arg(long, env = "MESH_LAB_POD_NETWORK", value_enum, default_value_t = Hanging::Routed)]
    pod_network: Hanging,

    /// The node network
    #[arg(
        long,
        env = "MESH_LAB_NODE_CIDR",
        value_name = "CIDR",
        default_value = "172.18.0.0/16"
    )]
    node_cidr: Cidr,

    /// The pod network; each node gets a /24 of it
    #[arg(
        long,
        env = "MESH_LAB_POD_CIDR",
        value_name = "CIDR",
        default_value = "10.244.0.0/16"
    )]
    pod_cidr: Cidr,

    /// The service network; the API is its first address, DNS its tenth
    #[arg(
        long,
        env = "MESH_LAB_SERVICE_CIDR",
        value_name = "CIDR",
        default_value = "10.96.0.0/12"
    )]
    service_cidr: Cidr,

    /// The MTU of the node network, in bytes
    #[arg(long, env = "MESH_LAB_MTU", value_name = "BYTES", default_value_t = 1500)]
    mtu: u32,

    /// Where agents answer probes (TCP and UDP)
    #[arg(
        long,
        env = "MESH_LAB_RESPONDER_PORT",
        value_name = "PORT",
        default_value_t = 9441
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    responder_port: u16,

    /// A NodePort of policy Cluster; the port after it has policy Local
    #[arg(
        long,
        env = "MESH_LAB_NODE_PORT",
        value_name = "PORT",
        default_value_t = 30080
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(1..65535))]
    node_port: u16,

    /// Where the API server listens on the first node
    #[arg(long, env = "MESH_LAB_API_PORT", value_name = "PORT", default_value_t = 6443)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    api_port: u16,

    /// Leave pods their own address when they leave the pod network
    #[arg(long, env = "MESH_LAB_NO_NAT_OUTGOING", action = ArgAction::SetTrue)]
    no_nat_outgoing: bool,
}

/// `--encapsulation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wrapping {
    /// VXLAN
    Vxlan,
    /// Routed as they are
    None,
}

/// `--pod-network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hanging {
    /// A /32 route for each pod
    Routed,
    /// A bridge on each node
    Bridge,
}

impl ShapeArgs {
    /// The lab's options, and the faults that it can have.
    pub(super) fn options(&self) -> Result<(LabOptions, Vec<Fault>), Failure> {
        let usage = |error| super::failure(LabError::Options(error));
        let mut options = LabOptions::of_size(usize::from(self.nodes)).map_err(usage)?;
        if !self.node_names.is_empty() {
            options.nodes.clone_from(&self.node_names);
        }
        options.encapsulation = match self.encapsulation {
            Wrapping::Vxlan => Encapsulation::Vxlan(Port(self.overlay_port)),
            Wrapping::None => Encapsulation::None,
        };
        options.pod_network = match self.pod_network {
            Hanging::Routed => PodNetwork::Routed,
            Hanging::Bridge => PodNetwork::Bridge,
        };
        options.node_cidr = self.node_cidr;
        options.pod_cidr = self.pod_cidr;
        options.service_cidr = self.service_cidr;
        options.mtu = self.mtu;
        options.responder_port = Port(self.responder_port);
        options.node_port = Port(self.node_port);
        options.api_port = Port(self.api_port);
        options.nat_outgoing = !self.no_nat_outgoing;
        options.check().map_err(usage)?;
        let topology = Topology::of(&options);
        let faults = self
            .faults
            .iter()
            .map(|spec| spec.in_lab(&topology).map_err(super::bad_fault));
        Ok((options, faults.collect::<Result<_, _>>()?))
    }
}
