//! Finds the cluster as kubectl does, and counts what it is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use jiff::Timestamp;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use crate::api_error::innermost;

/// Which cluster, and as whom.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// The kubeconfig; else `$KUBECONFIG` (a list), `~/.kube/config`, or the service account of the pod that this runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The context of it; else the current one.
    pub context: Option<String>,
}

/// A cluster.
#[derive(Clone)]
pub struct Kube {
    /// The client, whose requests are counted.
    pub(crate) client: Client,
    /// Where the API server is.
    server: String,
    /// Whether this runs in a pod of the cluster.
    in_cluster: bool,
    requests: Requests,
}

/// How many requests the API server got from us so far, and whether it was there for all of them.
#[derive(Debug, Clone, Default)]
pub struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicU64,
    was_away: AtomicBool,
}

/// No cluster to talk to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No kubeconfig is there.
    #[error(
        "no cluster is configured: neither --kubeconfig nor KUBECONFIG nor ~/.kube/config is there, and this is no pod of \
         a cluster"
    )]
    NoKubeconfig,
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig{} cannot be used: {why}", shown(file.as_deref()))]
    Kubeconfig {
        /// Which file, where one was given.
        file: Option<PathBuf>,
        /// Why not.
        why: String,
    },
    /// There is no such context in it.
    #[error("the kubeconfig{} has no context {context:?}; it has {}", shown(file.as_deref()), named(known))]
    NoContext {
        /// Which file, where one was given.
        file: Option<PathBuf>,
        /// What was asked for.
        context: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// The client cannot be made of it.
    #[error("no client for {server}: {why}")]
    Client {
        /// The API server.
        server: String,
        /// Why not.
        why: String,
    },
}

fn shown(file: Option<&Path>) -> String {
    file.map(|file| format!(" {}", file.display()))
        .unwrap_or_default()
}

fn named(contexts: &[String]) -> String {
    if contexts.is_empty() {
        "none".to_owned()
    } else {
        contexts.join(", ")
    }
}

/// Longer than that, and the API server is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Kube {
    /// Reads the kubeconfig. Nothing is asked of the cluster yet.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, ConnectError> {
        let (mut config, in_cluster) = config(options).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let server = config.cluster_url.to_string();
        let requests = Requests::default();
        let builder =
            kube::client::ClientBuilder::try_from(config).map_err(|error| ConnectError::Client {
                server: server.clone(),
                why: innermost(&error),
            })?;
        let client = builder.with_layer(&requests).build();
        Ok(Self {
            client,
            server,
            in_cluster,
            requests,
        })
    }

    /// The client, for what only asks.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the API server is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether this runs in a pod of the cluster, so that pods may be dialled.
    pub fn is_in_cluster(&self) -> bool {
        self.in_cluster
    }

    /// What time it is by the API server's clock, as its answers say (`Date`, RFC 9110 section 6.6.1); `None` if it does not.
    pub async fn server_time(&self) -> Option<Timestamp> {
        let request = http::Request::get("/version").body(Body::empty()).ok()?;
        // Also an answer that refuses has a date.
        let answer = self.client.send(request).await.ok()?;
        let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(date)
            .ok()
    }

    /// How many requests the API server got from us so far.
    pub fn requests(&self) -> u64 {
        self.requests.0.all.load(Ordering::Relaxed)
    }

    /// Whether a request found no API server: it was restarted, as it seems, and what it tells others comes late.
    pub fn was_away(&self) -> bool {
        self.requests.0.was_away.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kube")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

async fn config(options: &ConnectOptions) -> Result<(Config, bool), ConnectError> {
    let file = options.kubeconfig.clone();
    let bad = |error: &KubeconfigError| ConnectError::Kubeconfig {
        file: file.clone(),
        why: without_content(&innermost(error)),
    };
    let kubeconfig = match &options.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(|error| bad(&error))?,
        None => match Kubeconfig::read() {
            Ok(kubeconfig) => kubeconfig,
            Err(error) if is_absent(&error) && options.context.is_none() => {
                let config = Config::incluster().map_err(|_| ConnectError::NoKubeconfig)?;
                return Ok((config, true));
            }
            Err(error) if is_absent(&error) => return Err(ConnectError::NoKubeconfig),
            Err(error) => return Err(bad(&error)),
        },
    };
    let known: Vec<String> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect();
    if let Some(context) = &options.context
        && !known.contains(context)
    {
        return Err(ConnectError::NoContext {
            file,
            context: context.clone(),
            known,
        });
    }
    let choice = KubeConfigOptions {
        context: options.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &choice).await;
    Ok((config.map_err(|error| bad(&error))?, false))
}

/// A parser shows the lines around what it does not understand, and here these hold secrets.
fn without_content(error: &str) -> String {
    error.lines().next().unwrap_or_default().to_owned()
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Counts requests on their way.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S> Layer<S> for Requests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            requests: self.clone(),
        }
    }
}

impl<S, R> Service<R> for Counted<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let counts = Arc::clone(&self.requests.0);
        counts.all.fetch_add(1, Ordering::Relaxed);
        let answer = self.inner.call(request);
        // An answer that refuses is none of these errors.
        let answer = answer.inspect_err(move |_| counts.was_away.store(true, Ordering::Relaxed));
        answer.boxed()
    }
}
