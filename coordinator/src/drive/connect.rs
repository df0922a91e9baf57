//! Opens all links and prepares their agents. A ground whose agents come up one by one may begin with the first.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Shared;
use futures_util::{FutureExt, StreamExt};
use mesh_core::Presence;
use mesh_proto::wire::{Prepare, Prepared};
use mesh_proto::{AgentIndex, AgentKey};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::cut::RunClock;
use super::{DriveOptions, Progress, RunSecret, numbered};
use crate::ground::{Access, RaisedAgent};
use crate::link::{DialError, Link, LinkMeans, LinkRoute, RpcError, dial};

/// More at once would only queue up on the coordinator's own CPU, and on the API server where links lead through it.
const AT_ONCE: usize = 64;

/// All agents, asked or not, in the order of the roster.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) presences: Vec<Presence>,
    pub(super) links: Vec<Option<Link>>,
}

/// Why an agent is absent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{}", why(.0))]
    DialledBeside(Arc<Result<Link, DialError>>),
    #[error("link {link}: it is still being dialled")]
    StillDialling { link: LinkRoute },
    #[error("link {link}: {source}")]
    Prepare { link: LinkRoute, source: RpcError },
    #[error("link {link}: {found} answers there, not {wanted}")]
    SomebodyElse {
        link: LinkRoute,
        found: Box<AgentKey>,
        wanted: Box<AgentKey>,
    },
    #[error("link {link}: it answers probes on port 0, which is no port")]
    NoResponder { link: LinkRoute },
}

fn why(dialled: &Result<Link, DialError>) -> String {
    dialled
        .as_ref()
        .err()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// What came of opening a link.
type Opened = Result<(Link, Prepared), Unfit>;

/// A link that is being opened, and where it leads.
#[derive(Debug, Clone)]
pub(crate) struct Opening(Shared<oneshot::Receiver<Arc<Opened>>>, LinkRoute);

impl Opening {
    /// Where it leads, for a run after this one.
    pub(crate) fn route(&self) -> &LinkRoute {
        &self.1
    }
}

/// Opens links of one run.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    secret: RunSecret,
    /// Who takes part: an agent's number is its place in here.
    everybody: Arc<[AgentKey]>,
    means: LinkMeans,
    patience: Duration,
}

impl Opener {
    pub(crate) fn new(everybody: Vec<AgentKey>, secret: &RunSecret, options: &DriveOptions) -> Self {
        Self {
            secret: secret.clone(),
            everybody: everybody.into(),
            means: options.means.clone(),
            patience: options.link_patience,
        }
    }

    /// Opens the link to an agent, and the run there.
    async fn open(&self, own: AgentIndex, wanted: &AgentKey, link: &LinkRoute) -> Opened {
        let prepare = Prepare {
            run_id: self.secret.id.clone(),
            key: self.secret.key.clone(),
            own,
            agents: self.everybody.to_vec(),
        };
        let open = self.link(link).await?;
        let mut prepared = open.prepare(&prepare, self.patience).await;
        if prepared.as_ref().is_err_and(RpcError::is_broken_link) {
            // It is opened anew; nothing of the run has begun.
            prepared = open.prepare(&prepare, self.patience).await;
        }
        let prepared = prepared.map_err(|source| {
            if let Some(kept) = &self.means.kept {
                kept.forget(link);
            }
            Unfit::Prepare {
                link: link.clone(),
                source,
            }
        })?;
        check(link, wanted, &prepared)?;
        Ok((open, prepared))
    }
}

impl Opener {
    /// A link that is open, kept from the run before or dialled.
    async fn link(&self, route: &LinkRoute) -> Result<Link, Unfit> {
        let Some(kept) = &self.means.kept else {
            let channel = Box::pin(dial(route, &self.means, self.patience)).await?;
            return Ok(Link::new(channel));
        };
        if let Some(open) = kept.open(route) {
            return Ok(open);
        }
        let Some(dialled) = kept.dialled(route, &self.means, self.patience).await else {
            return Err(Unfit::StillDialling { link: route.clone() });
        };
        match &*dialled {
            Ok(open) => Ok(open.clone()),
            Err(_) => Err(Unfit::DialledBeside(dialled)),
        }
    }
}

/// Links that are opened while others are still waited for. Dropping it ends those that are on their way.
#[derive(Debug)]
pub(crate) struct Openings {
    opener: Opener,
    tasks: JoinSet<()>,
    at_once: Arc<Semaphore>,
}

impl Openings {
    pub(crate) fn new(opener: Opener) -> Self {
        Self {
            opener,
            tasks: JoinSet::new(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Begins to open the link to an agent; nothing if it does not take part.
    pub(crate) fn begin(&mut self, wanted: &AgentKey, link: LinkRoute) -> Option<Opening> {
        let everybody = &self.opener.everybody;
        let place = everybody.iter().position(|key| key == wanted)?;
        let own = AgentIndex(u32::try_from(place).ok()?);
        let (tell, outcome) = oneshot::channel();
        let (opener, at_once, wanted) = (self.opener.clone(), Arc::clone(&self.at_once), wanted.clone());
        let route = link.clone();
        self.tasks.spawn(async move {
            // It is never closed.
            let _turn = at_once.acquire().await;
            // Nobody may want to know any more.
            let _ = tell.send(Arc::new(opener.open(own, &wanted, &link).await));
        });
        Some(Opening(outcome.shared(), route))
    }
}

/// Opens every link, as far as time allows.
pub(super) async fn connect_all(
    agents: &[RaisedAgent],
    secret: &RunSecret,
    options: &DriveOptions,
    clock: &mut RunClock,
    progress: &Progress,
) -> Connected {
    let everybody: Vec<AgentKey> = agents.iter().map(|agent| agent.key.clone()).collect();
    let opener = Opener::new(everybody, secret, options);
    let mut links = vec![None; agents.len()];
    let mut presences: Vec<Option<Presence>> =
        agents.iter().map(|agent| without_asking(&agent.access)).collect();
    let attempts = numbered(agents).filter_map(|(own, agent)| {
        let opener = opener.clone();
        Some(match &agent.access {
            Access::Link(link) => {
                let attempt = async move { (own, said(&opener.open(own, &agent.key, link).await)) };
                attempt.boxed()
            }
            Access::Opening(Opening(opening, _)) => {
                let attempt = opening.clone().map(move |outcome| {
                    let never = || Err("its link was not opened".to_owned());
                    (own, outcome.map_or_else(|_| never(), |outcome| said(&outcome)))
                });
                attempt.boxed()
            }
            Access::Absent(_) | Access::Skipped(_) => return None,
        })
    });
    let mut done = 0;
    let all = presences.iter().filter(|presence| presence.is_none()).count();
    progress.connecting(done, all);
    let mut attempts = std::pin::pin!(futures_util::stream::iter(attempts).buffer_unordered(AT_ONCE));
    loop {
        let (AgentIndex(index), outcome) = tokio::select! {
            biased;
            _ = clock.cut() => break,
            attempt = attempts.next() => match attempt {
                Some(attempt) => attempt,
                None => break,
            },
        };
        let Some(slot) = usize::try_from(index).ok().filter(|slot| *slot < agents.len()) else {
            continue;
        };
        presences[slot] = Some(match outcome {
            Ok((link, prepared)) => {
                links[slot] = Some(link);
                Presence::Present(prepared)
            }
            Err(why) => Presence::Absent { why },
        });
        done += 1;
        progress.connecting(done, all);
    }
    let why = clock.was_cut().map_or_else(String::new, super::Cut::words);
    let absent = || Presence::Absent { why: why.clone() };
    Connected {
        presences: presences
            .into_iter()
            .map(|presence| presence.unwrap_or_else(absent))
            .collect(),
        links,
    }
}

/// The outcome, with what went wrong in words.
fn said(opened: &Opened) -> Result<(Link, Prepared), String> {
    match opened {
        Ok(opened) => Ok(opened.clone()),
        Err(unfit) => Err(unfit.to_string()),
    }
}

fn without_asking(access: &Access) -> Option<Presence> {
    match access {
        Access::Link(_) | Access::Opening(_) => None,
        Access::Absent(why) => Some(Presence::Absent { why: why.clone() }),
        Access::Skipped(why) => Some(Presence::Skipped { why: why.clone() }),
    }
}

/// Whether the one who answers is the one who should.
fn check(link: &LinkRoute, wanted: &AgentKey, prepared: &Prepared) -> Result<(), Unfit> {
    let link = link.clone();
    if prepared.identity.key != *wanted {
        return Err(Unfit::SomebodyElse {
            link,
            found: Box::new(prepared.identity.key.clone()),
            wanted: Box::new(wanted.clone()),
        });
    }
    if prepared.responder_port.0 == 0 {
        return Err(Unfit::NoResponder { link });
    }
    Ok(())
}
