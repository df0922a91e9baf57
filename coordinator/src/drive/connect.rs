//! Opens all links and prepares their agents.

use futures_util::StreamExt;
use mesh_core::Presence;
use mesh_proto::wire::{Prepare, Prepared};
use mesh_proto::{AgentIndex, AgentKey};

use super::cut::RunClock;
use super::{DriveOptions, Progress, RunSecret, numbered};
use crate::ground::{Access, RaisedAgent};
use crate::link::{DialError, Link, LinkAddress, RpcError, dial};

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
enum Unfit {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("link {link}: {source}")]
    Prepare { link: LinkAddress, source: RpcError },
    #[error("link {link}: {found} answers there, not {wanted}")]
    SomebodyElse {
        link: LinkAddress,
        found: Box<AgentKey>,
        wanted: Box<AgentKey>,
    },
    #[error("link {link}: it answers probes on port 0, which is no port")]
    NoResponder { link: LinkAddress },
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
    let mut links = vec![None; agents.len()];
    let mut presences: Vec<Option<Presence>> =
        agents.iter().map(|agent| without_asking(&agent.access)).collect();
    let dialled = numbered(agents).filter_map(|(own, agent)| match &agent.access {
        Access::Link(link) => Some((own, agent, link)),
        Access::Absent(_) | Access::Skipped(_) => None,
    });
    let attempts = dialled.map(|(own, agent, link)| {
        let prepare = Prepare {
            run_id: secret.id.clone(),
            key: secret.key.clone(),
            own,
            agents: everybody.clone(),
        };
        Box::pin(async move { (own, open(link, &agent.key, prepare, options).await) })
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
            Err(unfit) => Presence::Absent {
                why: unfit.to_string(),
            },
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

fn without_asking(access: &Access) -> Option<Presence> {
    match access {
        Access::Link(_) => None,
        Access::Absent(why) => Some(Presence::Absent { why: why.clone() }),
        Access::Skipped(why) => Some(Presence::Skipped { why: why.clone() }),
    }
}

async fn open(
    link: &LinkAddress,
    wanted: &AgentKey,
    prepare: Prepare,
    options: &DriveOptions,
) -> Result<(Link, Prepared), Unfit> {
    let channel = Box::pin(dial(link, &options.means, options.link_patience)).await?;
    let open = Link::new(channel);
    let prepared = open.prepare(&prepare, options.link_patience).await;
    let prepared = prepared.map_err(|source| Unfit::Prepare {
        link: link.clone(),
        source,
    })?;
    check(link, wanted, &prepared)?;
    Ok((open, prepared))
}

/// Whether the one who answers is the one who should.
fn check(link: &LinkAddress, wanted: &AgentKey, prepared: &Prepared) -> Result<(), Unfit> {
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
