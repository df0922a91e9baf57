//! Flags of every command that talks to a cluster, as kubectl has them.

use std::path::PathBuf;

use clap::Args;
use mesh_kube::{ConnectError, ConnectOptions, Kube};

use crate::failure::Failure;

/// Which cluster, and where in it.
#[derive(Debug, Clone, Args)]
pub(crate) struct KubeArgs {
    /// The kubeconfig to use [default: KUBECONFIG, ~/.kube/config, or the service account of this pod]
    #[arg(long, env = "MESH_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use [default: the current one]
    #[arg(long, env = "MESH_CONTEXT", value_name = "NAME")]
    context: Option<String>,

    /// An existing namespace to work in [default: namespaces of runs' own, which they make and remove]
    #[arg(short, long, env = "MESH_NAMESPACE", value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

impl KubeArgs {
    /// Finds the cluster; nothing is asked of it yet.
    pub(crate) async fn connect(&self) -> Result<Kube, Failure> {
        // A second provider may have been installed by the same process; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = ConnectOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        };
        Kube::connect(&options).await.map_err(|error| match error {
            // A file that was named on the command line.
            ConnectError::Kubeconfig { file: Some(_), .. } => Failure::usage(error),
            error => Failure::could_not_run(error),
        })
    }
}
