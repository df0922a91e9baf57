//! The kube ground: agents as pods of a cluster.
//!
//! Surveying asks only; raising makes objects, and from then on [`Ground::remove`] must be called, whatever happens.

mod roster;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use mesh_kube::discover::{Discovery, discover};
use mesh_kube::standing::AgentState;
use mesh_kube::{
    Alive, Blueprint, CleanupError, HostFacts, Keys, Kube, Members, News, NodePorts, RaiseOptions, RunId,
    Toleration, check_rights, deploy, manifests, raise, remove, taken_ports,
};
use mesh_proto::{AgentKey, Ground as Kind, NodeName, Plane, Port};

use self::roster::{Place, places};
use super::{Access, Raised, RaisedAgent};
use crate::cli;
use crate::drive::{DriveOptions, Interrupt, Opener, Opening, Openings, Progress, RunSecret};
use crate::failure::Failure;

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
    /// What agents of the host plane may read of their node.
    pub(crate) host_facts: HostFacts,
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
    /// Links that are being opened. They end with the ground.
    openings: Option<Openings>,
    made: bool,
    /// What the cluster gave, once agents were raised.
    given: Option<Given>,
    selector: Option<String>,
}

/// What making the run's objects brought.
#[derive(Debug)]
struct Given {
    node_ports: NodePorts,
    /// Planes whose DaemonSet the API server did not take.
    refused: Vec<(Plane, String)>,
    without_net_admin: Option<String>,
}

/// An agent's link that is being opened, and the pod it leads to.
type Dialled = HashMap<AgentKey, (String, Opening)>;

/// An agent of which nothing is heard for so long will hardly come up: its node may be gone, and Kubernetes takes 40 s to
/// notice.
const QUIET: Duration = Duration::from_secs(15);
/// Between two looks nobody waits for who is not up: the next one is soon.
const MOMENT: Duration = Duration::from_secs(1);
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
        let expires = Timestamp::now()
            .saturating_add(wanted.longest + AFTERWARDS)
            .map_err(failed)?;
        let mut blueprint = Blueprint {
            run,
            namespace: wanted.namespace,
            image: wanted.image,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            planes: wanted.planes,
            nodes: None,
            tolerations: wanted.tolerations,
            priority_class: wanted.priority_class,
            link_port: Port(0),
            responder_port: Port(0),
            v6: false,
            node_ports: wanted.node_ports,
            host_facts: wanted.host_facts,
            expires,
        };
        let (namespace, own) = (blueprint.namespace(), blueprint.namespace.is_none());
        let rights = check_rights(&kube, &namespace, own);
        let discovery = discover(kube.client(), wanted.selector.as_deref());
        let taken = taken_ports(&kube, blueprint.namespace.as_deref());
        let (rights, discovery, taken) = tokio::join!(rights, discovery, taken);
        let at = |error: anyhow::Error| failed(error.context(format!("the cluster at {}", kube.server())));
        rights.map_err(|error| at(error.into()))?;
        let discovery = discovery.map_err(|error| at(error.into()))?;
        tracing::info!(nodes = discovery.nodes.len(), "the cluster is known");
        for gap in &discovery.gaps {
            tracing::info!(gap, "discovery");
        }
        if wanted.selector.is_some() {
            blueprint.nodes = Some(discovery.nodes.iter().map(|node| node.name.clone()).collect());
        }
        (blueprint.responder_port, blueprint.link_port) = ports(wanted.responder_port, &taken)?;
        blueprint.v6 = roster::first_family_is_v6(&discovery);
        Ok(Self {
            kube,
            discovery,
            blueprint,
            wait: wanted.wait,
            alive: None,
            openings: None,
            made: false,
            given: None,
            selector: wanted.selector,
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

    /// The run, and the namespace that it uses, if it does not make one.
    pub(crate) fn run(&self) -> (RunId, Option<String>) {
        (self.blueprint.run.clone(), self.blueprint.namespace.clone())
    }

    /// Makes the objects and waits for the agents; the link to each is opened as soon as it is up. An interrupt ends the wait:
    /// who is not up by then is absent.
    pub(crate) async fn raise(
        &mut self,
        keys: &Keys,
        secret: &RunSecret,
        options: &DriveOptions,
        interrupt: &mut Interrupt,
        progress: &Progress,
    ) -> Result<Raised, Failure> {
        let places = places(&self.discovery, &self.blueprint);
        progress.phase(format!("making agents on {} nodes", self.discovery.nodes.len()));
        self.made = true;
        let deployed = deploy(&self.kube, &self.blueprint, keys).await.map_err(failed)?;
        tracing::info!(
            namespace = self.blueprint.namespace(),
            "the run's objects are made"
        );
        self.alive = Some(deployed.alive);
        if deployed.without_net_admin.is_some() {
            self.blueprint.host_facts = HostFacts::Plain;
        }
        let everybody = places.iter().map(|place| place.key.clone()).collect();
        let openings = self
            .openings
            .insert(Openings::new(Opener::new(everybody, secret, options)));
        let expected = expected(&places, &deployed.refused);
        let (blueprint, mut dialled) = (&self.blueprint, Dialled::new());
        let hear = |news: News<'_>| match news {
            News::Summary(summary) => progress.phase(format!(
                "waiting for agents: {} of {} are up",
                summary.up, summary.all
            )),
            News::Up(key, AgentState::Up { pod, address, .. }) => {
                let link = roster::link(blueprint, pod, *address);
                let opening = openings.begin(key, link);
                dialled.extend(opening.map(|opening| (key.clone(), (pod.clone(), opening))));
            }
            News::Up(..) => {}
        };
        let not_ready = not_ready(&self.discovery);
        let patience = RaiseOptions {
            quiet: QUIET.min(self.wait),
            longest: self.wait,
        };
        let coming = raise(&self.kube, blueprint, &expected, &not_ready, patience, hear);
        let came = tokio::select! {
            raised = coming => Some(raised.map_err(failed)?),
            () = interrupt.wait() => None,
        };
        tracing::info!("agents are up, or will not be");
        let (mut states, refused) = came.map_or_else(Default::default, |raised| {
            (raised.agents, raised.without_net_admin)
        });
        states.extend(refused_agents(&places, &deployed.refused));
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
        let given = Given {
            node_ports: deployed.node_ports,
            refused: deployed.refused,
            without_net_admin: deployed.without_net_admin.or(refused),
        };
        let raised = self.raised(&places, &states, &dialled, &given);
        self.given = Some(given);
        Ok(raised)
    }

    /// Who stands by now: nodes and pods come and go, and this asks for all of them anew.
    pub(crate) async fn stands_now(&mut self) -> Result<Raised, Failure> {
        let discovery = discover(self.kube.client(), self.selector.as_deref()).await;
        self.discovery = discovery.map_err(failed)?;
        let Some(given) = &self.given else {
            return Err(failed(anyhow::anyhow!("no agents were raised")));
        };
        let places = places(&self.discovery, &self.blueprint);
        let expected = expected(&places, &given.refused);
        let patience = RaiseOptions {
            quiet: MOMENT,
            longest: MOMENT,
        };
        let not_ready = not_ready(&self.discovery);
        let came = raise(
            &self.kube,
            &self.blueprint,
            &expected,
            &not_ready,
            patience,
            |_| {},
        )
        .await;
        let mut states = came.map_err(failed)?.agents;
        states.extend(refused_agents(&places, &given.refused));
        Ok(self.raised(&places, &states, &Dialled::new(), given).again())
    }

    /// Nodes of which nobody expects that all is well with them, and why.
    pub(crate) fn excused(&self) -> BTreeMap<NodeName, String> {
        let why = |node: &mesh_kube::discover::FoundNode| {
            let cordoned = || {
                node.cordoned
                    .then(|| "it is cordoned: nothing new is scheduled there".to_owned())
            };
            let leaving = node.leaving.clone();
            let why = leaving.or_else(|| node.not_ready.clone()).or_else(cordoned)?;
            Some((node.name.clone(), why))
        };
        self.discovery.nodes.iter().filter_map(why).collect()
    }

    /// Nodes that have the taint which is taken off once they are reachable.
    pub(crate) fn with_startup_taint(&self) -> BTreeSet<NodeName> {
        let has = |node: &&mesh_kube::discover::FoundNode| {
            node.taints
                .iter()
                .any(|taint| taint.key == mesh_kube::STARTUP_TAINT)
        };
        let nodes = self.discovery.nodes.iter().filter(has);
        nodes.map(|node| node.name.clone()).collect()
    }

    /// Watches who takes part; needs agents that were raised.
    pub(crate) fn watch_members(&self) -> Members {
        Members::watch(&self.kube, &self.blueprint)
    }

    /// The namespace of the agents.
    pub(crate) fn namespace(&self) -> String {
        self.blueprint.namespace()
    }

    fn raised(
        &self,
        places: &[Place],
        states: &[(AgentKey, AgentState)],
        dialled: &Dialled,
        given: &Given,
    ) -> Raised {
        let agents = places.iter().map(|place| self.agent(place, states, dialled));
        let agents: Vec<RaisedAgent> = agents.collect();
        Raised {
            ground: Kind::Kube,
            nodes: roster::nodes(&self.discovery),
            cluster: roster::cluster(&self.discovery, &given.node_ports, &agents),
            agents,
            notes: roster::notes(&self.discovery, states, given.without_net_admin.as_deref()),
        }
    }

    fn agent(&self, place: &Place, states: &[(AgentKey, AgentState)], dialled: &Dialled) -> RaisedAgent {
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
                let access = match dialled.get(&place.key) {
                    Some((known, opening)) if known == pod => Access::Opening(opening.clone()),
                    // Another pod took its place meanwhile.
                    _ => Access::Link(roster::link(&self.blueprint, pod, *address)),
                };
                (Some(*address), access)
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

/// Agents that should stand.
fn expected(places: &[Place], refused: &[(Plane, String)]) -> Vec<AgentKey> {
    let is_refused = |key: &AgentKey| refused.iter().any(|(plane, _)| *plane == key.plane);
    let expected = places
        .iter()
        .filter(|place| place.skipped.is_none() && !is_refused(&place.key));
    expected.map(|place| place.key.clone()).collect()
}

/// Nodes of which nothing is to be expected, with Kubernetes' words.
fn not_ready(discovery: &Discovery) -> Vec<(NodeName, String)> {
    let of_node = |node: &mesh_kube::discover::FoundNode| Some((node.name.clone(), node.not_ready.clone()?));
    discovery.nodes.iter().filter_map(of_node).collect()
}

/// Agents of planes whose DaemonSet the API server did not take.
fn refused_agents<'a>(
    places: &'a [Place],
    refused: &'a [(Plane, String)],
) -> impl Iterator<Item = (AgentKey, AgentState)> {
    let of_refused = |place: &'a Place| {
        let (_, why) = refused.iter().find(|(plane, _)| *plane == place.key.plane)?;
        let state = AgentState::Stuck {
            why: why.clone(),
            log_of: None,
        };
        Some((place.key.clone(), state))
    };
    places
        .iter()
        .filter(|place| place.skipped.is_none())
        .filter_map(of_refused)
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

/// Where agents answer probes, and where they take orders: not where those of another run do.
fn ports(wanted: Option<u16>, taken: &BTreeSet<Port>) -> Result<(Port, Port), Failure> {
    let responder = if let Some(port) = wanted {
        port
    } else {
        let mut random = [0; 2];
        getrandom::fill(&mut random)
            .map_err(|error| failed(anyhow::anyhow!("no random numbers: {error}")))?;
        let free: Vec<u16> = PORTS
            .step_by(2)
            .filter(|port| !taken.contains(&Port(*port)))
            .collect();
        let index = usize::from(u16::from_be_bytes(random)) % free.len().max(1);
        // All are taken by hundreds of runs that were killed: then any will do, or none.
        free.get(index).copied().unwrap_or(PORTS.start)
    };
    Ok((Port(responder), Port(responder + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_other_runs_are_left_to_them() {
        let one = Port(PORTS.start + 20);
        let mut taken: BTreeSet<Port> = PORTS.step_by(2).map(Port).collect();
        taken.remove(&one);
        for _ in 0..20 {
            assert_eq!(ports(None, &taken).unwrap(), (one, Port(one.0 + 1)));
        }
        assert_eq!(ports(Some(700), &taken).unwrap(), (Port(700), Port(701)));
    }
}
