//! Links that stay open from one run to the next. One that is not open yet is being dialled meanwhile, so that nobody who is
//! in a hurry waits for an agent that is not there.
//!
//! Tasks: one for each link that is being dialled, owned by the shared set, so that the last clone of it ends them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{DialError, Link, LinkMeans, LinkRoute, dial};

/// What came of dialling.
type Dialled = Arc<Result<Link, DialError>>;

/// Shared by all runs of one coordinator.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptLinks(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    open: HashMap<LinkRoute, Link>,
    dialling: HashMap<LinkRoute, Shared<oneshot::Receiver<Dialled>>>,
    tasks: JoinSet<()>,
}

/// How patient those are who dial beside the runs.
const PATIENCE: Duration = Duration::from_secs(5);

impl KeptLinks {
    /// The link that is open, if one is.
    pub(crate) fn open(&self, route: &LinkRoute) -> Option<Link> {
        self.with(|kept| kept.open.get(route).cloned())
    }

    /// A link did not do: the next one who wants it has it dialled.
    pub(crate) fn forget(&self, route: &LinkRoute) {
        self.with(|kept| kept.open.remove(route));
    }

    /// Only these are wanted from now on.
    pub(crate) fn keep_only(&self, routes: &HashSet<LinkRoute>) {
        self.with(|kept| {
            kept.open.retain(|route, _| routes.contains(route));
        });
    }

    /// Waits so long for a link that is dialled, or begins to dial it; `None` if it takes longer: it goes on beside.
    pub(crate) async fn dialled(
        &self,
        route: &LinkRoute,
        means: &LinkMeans,
        patience: Duration,
    ) -> Option<Dialled> {
        let dialling = self.dialling(route, means);
        tokio::time::timeout(patience, dialling).await.ok()?.ok()
    }

    fn dialling(&self, route: &LinkRoute, means: &LinkMeans) -> Shared<oneshot::Receiver<Dialled>> {
        self.with(|kept| {
            // Reaps those that are done.
            while kept.tasks.try_join_next().is_some() {}
            if let Some(dialling) = kept.dialling.get(route) {
                return dialling.clone();
            }
            let (tell, outcome) = oneshot::channel();
            let outcome = outcome.shared();
            kept.dialling.insert(route.clone(), outcome.clone());
            // What the task holds must not hold the task.
            let (shared, route) = (Arc::downgrade(&self.0), route.clone());
            let means = LinkMeans {
                kept: None,
                ..means.clone()
            };
            kept.tasks.spawn(async move {
                let dialled = Box::pin(dial(&route, &means, PATIENCE)).await.map(Link::new);
                if let Some(shared) = shared.upgrade() {
                    let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.dialling.remove(&route);
                    if let Ok(link) = &dialled {
                        kept.open.insert(route, link.clone());
                    }
                }
                let _ = tell.send(Arc::new(dialled));
            });
            outcome
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        // Nothing in here panics half-way.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
