//! Flags that say what a lab should look like and what should be wrong with it.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};
use mesh_lab::{
    Cidr, Encapsulation, Fault, FaultSpec, IpFamily, LabError, LabOptions, Networks, Oddity, PodNetwork,
    ServiceBackEnd, Topology,
};
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

    /// What writes the rules of services; if left out, the iptables that the command `iptables` is here
    #[arg(long, env = "MESH_LAB_SERVICES", value_enum)]
    services: Option<Writer>,

    /// The addresses of nodes, pods and services. With dual stack agents use IPv4
    #[arg(long, env = "MESH_LAB_IP_FAMILY", value_enum, default_value_t = Families::Ipv4)]
    ip_family: Families,

    /// What is odd about the lab and does no harm
    #[arg(
        long,
        env = "MESH_LAB_ODD",
        value_name = "NAME,...",
        value_delimiter = ',',
        value_parser = oddities()
    )]
    odd: Vec<Oddity>,

    /// The node network; with dual stack one of each family [default: 172.18.0.0/16, fd00:172:18::/64]
    #[arg(
        long,
        env = "MESH_LAB_NODE_CIDR",
        value_name = "CIDR,...",
        value_delimiter = ','
    )]
    node_cidr: Vec<Cidr>,

    /// The pod network; each node gets a /24 of it, of IPv6 a /64 [default: 10.244.0.0/16, fd00:10:244::/48]
    #[arg(
        long,
        env = "MESH_LAB_POD_CIDR",
        value_name = "CIDR,...",
        value_delimiter = ','
    )]
    pod_cidr: Vec<Cidr>,

    /// The service network; the API is its first address, DNS its tenth [default: 10.96.0.0/12, fd00:10:96::/112]
    #[arg(
        long,
        env = "MESH_LAB_SERVICE_CIDR",
        value_name = "CIDR,...",
        value_delimiter = ','
    )]
    service_cidr: Vec<Cidr>,

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
    /// IP in IP; the kernel needs the module ipip
    Ipip,
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

/// `--services`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Writer {
    /// kube-proxy's iptables mode, by iptables-nft
    Iptables,
    /// kube-proxy's iptables mode, by iptables-legacy
    IptablesLegacy,
    /// kube-proxy's nftables mode
    Nft,
}

/// `--ip-family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Families {
    /// IPv4 alone
    Ipv4,
    /// IPv6 alone
    Ipv6,
    /// Both, IPv4 first
    Dual,
}

/// The names of `--odd`, as the lab has them.
fn oddities() -> impl TypedValueParser<Value = Oddity> {
    let names = Oddity::ALL.map(|(_, name, meaning)| PossibleValue::new(name).help(meaning));
    PossibleValuesParser::new(names).try_map(|text| {
        let found = Oddity::ALL.into_iter().find(|(_, name, _)| *name == text);
        found.map(|(oddity, ..)| oddity).ok_or("no such oddity")
    })
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
            Wrapping::Ipip => Encapsulation::Ipip,
            Wrapping::None => Encapsulation::None,
        };
        options.pod_network = match self.pod_network {
            Hanging::Routed => PodNetwork::Routed,
            Hanging::Bridge => PodNetwork::Bridge,
        };
        options.services = match self.services {
            Some(Writer::Iptables) => ServiceBackEnd::IptablesNft,
            Some(Writer::IptablesLegacy) => ServiceBackEnd::IptablesLegacy,
            Some(Writer::Nft) => ServiceBackEnd::Nft,
            None => ServiceBackEnd::of_this_machine(),
        };
        options.odd = self.odd.iter().copied().collect();
        let (first, second) = match self.ip_family {
            Families::Ipv4 => (IpFamily::V4, None),
            Families::Ipv6 => (IpFamily::V6, None),
            Families::Dual => (IpFamily::V4, Some(IpFamily::V6)),
        };
        options.networks = self.networks(first)?;
        options.second_networks = second.map(|family| self.networks(family)).transpose()?;
        options.mtu = self.mtu;
        options.responder_port = Port(self.responder_port);
        options.node_port = Port(self.node_port);
        options.api_port = Port(self.api_port);
        options.nat_outgoing = !self.no_nat_outgoing;
        options.check().map_err(usage)?;
        let topology = Topology::of(&options);
        let faults = FaultSpec::all_in_lab(&self.faults, &topology).map_err(super::bad_fault)?;
        Ok((options, faults))
    }

    /// The lab's networks of one family: those that were given, or the usual ones.
    fn networks(&self, family: IpFamily) -> Result<Networks, Failure> {
        let mut networks = Networks::usual(family);
        for (flag, given, network) in [
            ("node-cidr", &self.node_cidr, &mut networks.nodes),
            ("pod-cidr", &self.pod_cidr, &mut networks.pods),
            ("service-cidr", &self.service_cidr, &mut networks.services),
        ] {
            self.check_families(flag, given)?;
            if let Some(cidr) = given.iter().find(|cidr| cidr.family() == family) {
                *network = *cidr;
            }
        }
        Ok(networks)
    }

    /// Each network must be of a family that the lab has, and no two of one.
    fn check_families(&self, flag: &str, given: &[Cidr]) -> Result<(), Failure> {
        for (place, cidr) in given.iter().enumerate() {
            let family = cidr.family();
            let wanted = match family {
                IpFamily::V4 => self.ip_family != Families::Ipv6,
                IpFamily::V6 => self.ip_family != Families::Ipv4,
            };
            let twice = given[..place].iter().any(|other| other.family() == family);
            let why = match (wanted, twice) {
                (false, _) => format!("the lab has no {family}: see --ip-family"),
                (true, true) => format!("there is one of {family} already"),
                (true, false) => continue,
            };
            return Err(Failure::usage(anyhow::anyhow!(
                "--{flag} {cidr} cannot be used: {why}"
            )));
        }
        Ok(())
    }
}
