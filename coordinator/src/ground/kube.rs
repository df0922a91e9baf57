//! The kube ground: agents as pods of a cluster.
//!
//! Surveying asks only; raising makes objects, and from then on [`Ground::remove`] must be called, whatever happens.

mod roster;

use std::time::Duration;

use jiff::Timestamp;
use mesh_kube::discover::{Discovery, discover};
use mesh_kube::standing::AgentState;
use mesh_kube::{
    Alive, Blueprint, CleanupError, Kube, NodePorts, RaiseOptions, RunId, Toleration, check_rights, deploy,
    manifests, raise, remove,
};
use mesh_proto::{AgentKey, Ground as Kind, NodeName, Plane, Port};

use self::roster::{Place, places};
use super::{Access, Raised, RaisedAgent};
use crate::cli;
use crate::drive::{Interrupt, Progress};
use crate::failure::Failure;
use crate::link::{LinkTls, make_run_keys};

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The run's name.
    pub(crate) run: String,
    /// An existing namespace to use.
    pub(crate) namespace: Option<String>,
    /// These nodes only.
    pub(crate) selector: Option<String>,
    /// What agents run.
    pub(crate) image: String,
    /// Where agents stand.
    pub(crate) planes: Vec<Plane>,
    /// What is tolerated; else everything.
    pub(crate) tolerations: Option<Vec<Toleration>>,
    /// The agents' priority class.
    pub(crate) priority_class: Option<String>,
    /// Where agents answer probes.
    pub(crate) responder_port: Option<u16>,
    /// Make NodePort services.
    pub(crate) node_ports: bool,
    /// How long agents may take to come up.
    pub(crate) wait: Duration,
    /// How long the run may take at the most.
    pub(crate) longest: Duration,
}

/// A cluster, and what the run makes in it.
#[derive(Debug)]
pub(crate) struct Ground {
    kube: Kube,
    discovery: Discovery,
    blueprint: Blueprint,
    wait: Duration,
    alive: Option<Alive>,
    made: bool,
}

/// An agent of which nothing is heard for so long will hardly come up: its node may be gone, and Kubernetes takes 40 s to
/// notice.
const QUIET: Duration = Duration::from_secs(15);
/// Agents end themselves so long after the run should have ended, at the latest.
const AFTERWARDS: Duration = Duration::from_mins(5);
/// Below the usual NodePorts and ephemeral ports, and used by nothing well known. A run takes a pair at random, so that two at
/// once can share a node's network.
const PORTS: std::ops::Range<u16> = 19_440..19_840;

/// Before each further attempt to remove what was made.
const REMOVAL_WAITS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

impl Ground {
    /// Asks the cluster for rights and for what it is made of. Nothing is made.
    pub(crate) async fn survey(kube: Kube, wanted: Wanted) -> Result<Self, Failure> {
        let run =
            RunId::parse(&wanted.run).ok_or_else(|| failed(anyhow::anyhow!("the run has no usable name")))?;
        let namespace = wanted.namespace.clone().unwrap_or_else(|| format!("mesh-{run}"));
        let rights = check_rights(&kube, &namespace, wanted.namespace.is_none());
        let discovery = discover(kube.client(), wanted.selector.as_deref());
        let (rights, discovery) = tokio::join!(rights, discovery);
        let at = |error: anyhow::Error| failed(error.context(format!("the cluster at {}", kube.server())));
        rights.map_err(|error| at(error.into()))?;
        let discovery = discovery.map_err(|error| at(error.into()))?;
        tracing::info!(nodes = discovery.nodes.len(), "the cluster is known");
        for gap in &discovery.gaps {
            tracing::info!(gap, "discovery");
        }
        let (responder_port, link_port) = ports(wanted.responder_port)?;
        let chosen = |discovery: &Discovery| discovery.nodes.iter().map(|node| node.name.clone()).collect();
        let expires = Timestamp::now()
            .saturating_add(wanted.longest + AFTERWARDS)
            .map_err(failed)?;
        let blueprint = Blueprint {
            run,
            namespace: wanted.namespace,
            image: wanted.image,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            planes: wanted.planes,
            nodes: wanted.selector.is_some().then(|| chosen(&discovery)),
            tolerations: wanted.tolerations,
            priority_class: wanted.priority_class,
            link_port,
            responder_port,
            v6: first_family_is_v6(&discovery),
            node_ports: wanted.node_ports,
            expires,
        };
        Ok(Self {
            kube,
            discovery,
            blueprint,
            wait: wanted.wait,
            alive: None,
            made: false,
        })
    }

    pub(crate) fn kube(&self) -> &Kube {
        &self.kube
    }

    /// What the run would make, as YAML.
    pub(crate) fn manifests(&self) -> Result<String, Failure> {
        let documents: Result<Vec<String>, _> = manifests(&self.blueprint)
            .iter()
            .map(serde_saphyr::to_string)
            .collect();
        Ok(documents.map_err(failed)?.join("---\n"))
    }

    /// Makes the objects and waits for the agents. An interrupt ends the wait: who is not up by then is absent.
    pub(crate) async fn raise(
        &mut self,
        interrupt: &mut Interrupt,
        progress: &Progress,
    ) -> Result<(Raised, LinkTls), Failure> {
        let (keys, tls) = make_run_keys().map_err(failed)?;
        let places = places(&self.discovery, &self.blueprint);
        let expected: Vec<AgentKey> = places
            .iter()
            .filter(|place| place.skipped.is_none())
            .map(|place| place.key.clone())
            .collect();
        progress.phase(format!("making agents on {} nodes", self.discovery.nodes.len()));
        self.made = true;
        let deployed = deploy(&self.kube, &self.blueprint, &keys).await.map_err(failed)?;
        tracing::info!(
            namespace = self.blueprint.namespace(),
            "the run's objects are made"
        );
        self.alive = Some(deployed.alive);
        let not_ready: Vec<(NodeName, String)> = self
            .discovery
            .nodes
            .iter()
            .filter_map(|node| Some((node.name.clone(), node.not_ready.clone()?)))
            .collect();
        let options = RaiseOptions {
            quiet: QUIET.min(self.wait),
            longest: self.wait,
        };
        let coming = raise(
            &self.kube,
            &self.blueprint,
            &expected,
            &deployed.refused,
            &not_ready,
            options,
            |up, all| progress.phase(format!("waiting for agents: {up} of {all} are up")),
        );
        let states = tokio::select! {
            raised = coming => raised.map_err(failed)?.agents,
            () = interrupt.wait() => Vec::new(),
        };
        tracing::info!("agents are up, or will not be");
        if let Some(why) = no_image(&states) {
            return Err(failed(anyhow::anyhow!(
                "no agent came up, since none of the nodes has their image: {why}\n`mesh image -o mesh.tar` packs it, \
                 --image says its name, and `mesh image --help` how to bring it to the nodes"
            )));
        }
        if let NodePorts::Without(why) = &deployed.node_ports
            && self.blueprint.node_ports
        {
            cli::tell(format!("no NodePort is probed: {why}"));
        }
        let agents = places.iter().map(|place| self.agent(place, &states));
        let agents: Vec<RaisedAgent> = agents.collect();
        let raised = Raised {
            ground: Kind::Kube,
            nodes: roster::nodes(&self.discovery),
            cluster: roster::cluster(&self.discovery, &deployed.node_ports, &agents),
            agents,
        };
        Ok((raised, tls))
    }

    fn agent(&self, place: &Place, states: &[(AgentKey, AgentState)]) -> RaisedAgent {
        let state = states
            .iter()
            .find(|(key, _)| *key == place.key)
            .map(|(_, state)| state);
        let absent = |why: &str| (place.address, Access::Absent(why.to_owned()));
        let (address, access) = match (&place.skipped, state) {
            (Some(why), _) => (None, Access::Skipped(why.clone())),
            (None, None) => absent("the run was interrupted before it was up"),
            (None, Some(AgentState::Coming { what })) => absent(&format!("it was not up in time: {what}")),
            (None, Some(AgentState::Stuck { why, .. })) => absent(why),
            (None, Some(AgentState::Up { pod, address, .. })) => {
                let link = roster::link(&self.blueprint, pod, *address);
                (Some(*address), Access::Link(link))
            }
        };
        RaisedAgent {
            key: place.key.clone(),
            address,
            access,
        }
    }

    /// Removes whatever was made.
    pub(crate) async fn remove(&mut self) -> Result<(), CleanupError> {
        // Before its Lease, or it would be made anew.
        drop(self.alive.take());
        if !self.made {
            return Ok(());
        }
        let own = self.blueprint.namespace.is_none();
        let namespace = self.blueprint.namespace();
        let mut attempts = REMOVAL_WAITS.into_iter();
        loop {
            let removed = remove(&self.kube, &self.blueprint.run, &namespace, own).await;
            let (Err(error), Some(wait)) = (&removed, attempts.next()) else {
                return removed;
            };
            if !error.may_pass() {
                return removed;
            }
            // An API server that restarts is back in a while.
            tracing::info!(%error, "removing again");
            tokio::time::sleep(wait).await;
        }
    }
}

/// What the first agent lacks, where all lack their image.
fn no_image(states: &[(AgentKey, AgentState)]) -> Option<&str> {
    let lacking = |(_, state): &'_ (AgentKey, AgentState)| state.lacks_image();
    let all = !states.is_empty() && states.iter().all(lacking);
    states.iter().find_map(|(_, state)| match state {
        AgentState::Stuck { why, .. } if all => Some(why.as_str()),
        _ => None,
    })
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::could_not_run(error)
}

/// Where agents answer probes, and where they take orders.
fn ports(wanted: Option<u16>) -> Result<(Port, Port), Failure> {
    let responder = if let Some(port) = wanted {
        port
    } else {
        let mut random = [0; 2];
        getrandom::fill(&mut random)
            .map_err(|error| failed(anyhow::anyhow!("no random numbers: {error}")))?;
        let pairs = (PORTS.end - PORTS.start) / 2;
        PORTS.start + u16::from_be_bytes(random) % pairs * 2
    };
    Ok((Port(responder), Port(responder + 1)))
}

/// Agents listen to one family; clusters with two have a first one.
fn first_family_is_v6(discovery: &Discovery) -> bool {
    let first = discovery.nodes.iter().find_map(|node| node.addresses.first());
    first.is_some_and(std::net::IpAddr::is_ipv6)
}
