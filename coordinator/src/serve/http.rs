//! HTTP: the page, its live stream, metrics, health, and JSON. It only reads, nothing in here changes anything.
//!
//! Everything is bounded: connections, how long each may live and take to ask, pages that follow, and how many read the
//! history at once. What is asked often is written once and shared.

mod answers;
mod follow;
mod guard;
mod pass_on;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{Metrics, Published, Standing};
use crate::history::History;

/// What the handlers need.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) state: watch::Receiver<Option<Arc<Published>>>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) history: History,
    /// Whole looks are this far apart at the most: without any for much longer, the watch is stuck.
    pub(crate) stuck_after: Duration,
    pub(crate) began: jiff::Timestamp,
    limits: Limits,
}

/// Whoever comes beyond these is told to come again.
#[derive(Debug, Clone)]
struct Limits {
    pages: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// Connections at once. Each costs some KiB; those beyond wait in the listener's queue.
const CONNECTIONS: usize = 512;
/// A connection that lives longer is closed. Browsers open another by themselves.
const LONGEST_LIFE: Duration = Duration::from_mins(10);
/// How long a client may take to ask.
const LONGEST_ASKING: Duration = Duration::from_secs(10);
/// Pages that follow the looks.
const PAGES: usize = 256;
/// Requests that read the history, each in a thread.
const READERS: usize = 4;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub(crate) struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl Served {
    pub(crate) fn new(
        state: watch::Receiver<Option<Arc<Published>>>,
        standing: watch::Receiver<Standing>,
        metrics: Arc<Metrics>,
        history: History,
        stuck_after: Duration,
    ) -> Self {
        Self {
            state,
            standing,
            metrics,
            history,
            stuck_after,
            began: jiff::Timestamp::now(),
            limits: Limits {
                pages: Arc::new(Semaphore::new(PAGES)),
                readers: Arc::new(Semaphore::new(READERS)),
            },
        }
    }

    fn router(self, is_local: bool) -> Router {
        Router::new()
            .route("/", get(answers::page))
            .route("/fragment", get(answers::fragment))
            .route("/live.js", get(answers::script))
            .route("/events", get(follow::events))
            .route("/metrics", get(answers::metrics))
            .route("/healthz", get(answers::healthz))
            .route("/readyz", get(answers::readyz))
            .route("/api/v1/status", get(answers::status))
            .route("/api/v1/report", get(answers::report))
            .route("/api/v1/incidents", get(answers::incidents))
            .route("/api/v1/minutes", get(answers::minutes))
            .layer(axum::middleware::from_fn_with_state(
                self.clone(),
                pass_on::pass_on,
            ))
            .layer(axum::middleware::from_fn_with_state(is_local, guard::guard))
            .with_state(self)
    }
}

/// Binds, so that what is wrong with the address is said before anything else begins.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ListenError { address, source })
}

impl Served {
    /// Answers until it is dropped; that closes all connections.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let is_local = listener
            .local_addr()
            .is_ok_and(|address| address.ip().is_loopback());
        let router = self.router(is_local);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            // Never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, mostly; they come back as connections end.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let service = TowerToHyperService::new(router.clone());
            connections.spawn(async move {
                let _place = place;
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(LONGEST_ASKING)
                    .max_buf_size(64 << 10)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that breaks off is its own affair.
                let _ = tokio::time::timeout(LONGEST_LIFE, connection).await;
            });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
