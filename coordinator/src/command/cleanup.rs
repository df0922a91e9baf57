//! `mesh cleanup`: removes what runs left whose coordinators were killed.

use clap::Args;
use mesh_kube::{Cleaned, RunId, clean_up};

use crate::cli::{self, KubeArgs};
use crate::drive::Progress;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Flags of `mesh cleanup`.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    #[command(flatten)]
    kube: KubeArgs,
}

/// Removes what is nobody's any more. A run that may live is looked at until that is known.
pub(crate) fn cleanup(args: &CleanupArgs) -> Result<ExitCode, Failure> {
    let mut interrupt = super::listen_for_signals()?;
    let progress = Progress::on_terminal();
    progress.phase("looking for what runs left, and whether they live");
    super::runtime()?.block_on(async {
        let kube = args.kube.connect().await?;
        let cleaned = tokio::select! {
            cleaned = clean_up(&kube, args.kube.namespace.as_deref()) => cleaned,
            () = interrupt.wait() => return Ok(ExitCode::Interrupted),
        };
        progress.finish();
        tell(
            &cleaned.map_err(Failure::could_not_run)?,
            args.kube.namespace.as_deref(),
        );
        Ok(ExitCode::Reachable)
    })
}

fn tell(cleaned: &Cleaned, namespace: Option<&str>) {
    let place = match namespace {
        Some(namespace) => format!("in {namespace}"),
        None => "in namespaces of runs' own (-n for another)".to_owned(),
    };
    let list = |runs: &[RunId]| runs.iter().map(RunId::to_string).collect::<Vec<_>>().join(", ");
    if cleaned.removed.is_empty() {
        cli::tell(format!("runs that were killed left nothing {place}"));
    } else {
        cli::tell(format!("removed what was left of {}", list(&cleaned.removed)));
    }
    if !cleaned.alive.is_empty() {
        cli::tell(format!(
            "left alone, since they are still running: {}",
            list(&cleaned.alive)
        ));
    }
}
