//! Flags that say who is told of incidents and nodes. All are off unless asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use mesh_kube::Kube;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::serve::{
    EVENTS, Metrics, NodesSeen, Outlet, Standing, ToCluster, Told, Tries, WEBHOOK, Wanted, Webhook,
    WebhookUrl,
};

/// Who is told, besides the page and the metrics.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct TellArgs {
    /// POST a CloudEvent (JSON) there when an incident is opened, named or closed; tried for ten minutes
    #[arg(long, env = "MESH_WEBHOOK", value_name = "URL", hide_env_values = true)]
    webhook: Option<WebhookUrl>,

    /// For a webhook with https: the CAs to trust (PEM)
    #[arg(long, env = "MESH_WEBHOOK_CA", value_name = "FILE", requires = "webhook")]
    webhook_ca: Option<PathBuf>,

    /// Write an Event of the node, or of the cluster, when an incident is opened, named or closed
    #[arg(long, env = "MESH_EVENTS", conflicts_with = "inventory", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    events: bool,

    /// Write the condition mesh/NetworkReachable of each node: on a change, and every five minutes
    #[arg(long, env = "MESH_NODE_CONDITIONS", conflicts_with = "inventory", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    node_conditions: bool,

    /// Take the taint mesh/unreachable off a node once it is reachable; the kubelet of a new node puts it on, by
    /// --register-with-taints=mesh/unreachable=:NoSchedule
    #[arg(long, env = "MESH_STARTUP_TAINT", conflicts_with = "inventory", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    startup_taint: bool,

    /// Say what --events, --node-conditions and --startup-taint would write, and write nothing
    #[arg(long, env = "MESH_PRETEND", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pretend: bool,
}

/// The file of CAs cannot be used.
#[derive(Debug, thiserror::Error)]
enum BadCa {
    #[error("the CAs of the webhook, {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("the CAs of the webhook, {file}: no certificate that can be used is in it")]
    Empty { file: String },
}

impl TellArgs {
    /// The webhook, if one was asked for; its task goes to the others.
    pub(super) fn webhook(
        &self,
        source: String,
        metrics: &Arc<Metrics>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Option<Outlet>, Failure> {
        let Some(url) = self.webhook.clone() else {
            return Ok(None);
        };
        let tls = match &self.webhook_ca {
            Some(file) => Some(trust(file).map_err(Failure::usage)?),
            None if url.is_tls() => {
                return Err(Failure::usage(anyhow::anyhow!(
                    "a webhook with https needs --webhook-ca: whom to trust"
                )));
            }
            None => None,
        };
        let webhook = Webhook {
            url,
            tls,
            source,
            tries: Tries::default(),
        };
        let (outlet, notices) = Outlet::new(WEBHOOK);
        tasks.spawn(webhook.deliver_all(notices, Arc::clone(metrics)));
        Ok(Some(outlet))
    }

    /// What is written to the cluster while this server leads; the tasks go to the others.
    pub(super) fn to_cluster(
        &self,
        (kube, namespace): (Kube, String),
        instance: &str,
        standing: watch::Receiver<Standing>,
        metrics: &Arc<Metrics>,
        tasks: &mut JoinSet<()>,
    ) -> Told {
        let writes = ToCluster {
            kube,
            namespace,
            instance: instance.to_owned(),
            standing,
            wanted: Wanted {
                conditions: self.node_conditions,
                startup_taint: self.startup_taint,
                pretend: self.pretend,
            },
        };
        let mut told = Told::default();
        if self.events {
            let (outlet, notices) = Outlet::new(EVENTS);
            tasks.spawn(writes.clone().tell_all(notices, Arc::clone(metrics)));
            told.outlets.push(outlet);
        }
        if self.node_conditions || self.startup_taint {
            let (nodes, seen) = watch::channel(NodesSeen::default());
            tasks.spawn(writes.follow_nodes(seen));
            told.nodes = Some(nodes);
        }
        told
    }
}

fn trust(file: &Path) -> Result<Arc<rustls::ClientConfig>, BadCa> {
    let shown = || file.display().to_string();
    let pem = std::fs::read(file).map_err(|source| BadCa::Read {
        file: shown(),
        source,
    })?;
    let mut roots = rustls::RootCertStore::empty();
    let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    let (usable, _) = roots.add_parsable_certificates(found);
    if usable == 0 {
        return Err(BadCa::Empty { file: shown() });
    }
    // A second provider may have been installed by the same process; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}
