//! `mesh run` on a cluster: ask for rights, discover, raise agents, probe, report, take everything down.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use mesh_kube::{CleanupError, HostFacts, Kube, RunId, Toleration, clean_up_in_passing};
use mesh_proto::Plane;
use tokio::time::Instant;

use crate::cli::{self, KubeArgs, ProbeArgs, Span};
use crate::command;
use crate::drive::{DriveOptions, Interrupt, Progress, RunSecret, drive};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::ground::Raised;
use crate::ground::kube::{Ground, Wanted};
use crate::image::{BadReference, DEFAULT_IMAGE, Reference};
use crate::link::{LinkMeans, make_run_keys};
use crate::output::Outputs;

/// Flags of `mesh run` on a cluster.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    kube: KubeArgs,

    /// Only nodes with these labels, as kubectl -l takes them
    #[arg(short = 'l', long, env = "MESH_SELECTOR", value_name = "SELECTOR")]
    selector: Option<String>,

    /// The image that agents run: this program, see `mesh image`
    #[arg(long, env = "MESH_IMAGE", value_name = "IMAGE", default_value = DEFAULT_IMAGE, value_parser = image_name)]
    image: String,

    /// The networks to probe from and to: pod, host or both
    #[arg(
        long,
        env = "MESH_PLANES",
        value_name = "PLANES",
        value_delimiter = ',',
        default_value = "pod,host"
    )]
    planes: Vec<Plane>,

    /// Stand on tainted nodes only where this fits, as in KEY or KEY=VALUE:NoSchedule; may be repeated [default: tolerate everything]
    #[arg(
        long = "toleration",
        env = "MESH_TOLERATIONS",
        value_name = "TOLERATION",
        value_delimiter = ','
    )]
    tolerations: Vec<Toleration>,

    /// The priority class of the agents' pods
    #[arg(long, env = "MESH_PRIORITY_CLASS", value_name = "NAME")]
    priority_class: Option<String>,

    /// Where agents answer probes, the port above where they take orders [default: two of 19440 to 19839]
    #[arg(long, env = "MESH_RESPONDER_PORT", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..65_535))]
    responder_port: Option<u16>,

    /// Make no NodePort services, and probe none
    #[arg(long, env = "MESH_NO_NODE_PORTS", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    no_node_ports: bool,

    /// What agents on the nodes' own network may read there. full: firewall rules as well, for which they ask for CAP_NET_ADMIN
    /// (they only list; where admission says no, plain it is). plain: CAP_NET_RAW is enough
    #[arg(long, env = "MESH_HOST_FACTS", value_name = "WHICH", value_enum, default_value_t = HostFactsAsked::Full)]
    host_facts: HostFactsAsked,

    /// How long agents may take to come up; those that have not by then are unknown, with the reason
    #[arg(long, env = "MESH_WAIT", value_name = "DURATION", default_value = "1m")]
    wait: Span,

    /// Print the objects that a run would make (YAML), and make none
    #[arg(long, action = ArgAction::SetTrue)]
    dry_run: bool,
}

/// What agents on the nodes' own network may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HostFactsAsked {
    /// Firewall rules as well
    Full,
    /// What needs no CAP_NET_ADMIN
    Plain,
}

/// An image's name as it is, if it can be one; a digest is the registry's matter.
fn image_name(text: &str) -> Result<String, BadReference> {
    let named = text.split_once("@sha256:").map_or(text, |(name, _)| name);
    named.parse::<Reference>().map(|_| text.to_owned())
}

/// Runs once on the cluster.
pub(super) fn run(args: &ClusterArgs, probe: &ProbeArgs) -> Result<ExitCode, Failure> {
    let outputs = if args.dry_run {
        None
    } else {
        Some(probe.output.open()?)
    };
    let secret = RunSecret::draw().map_err(Failure::could_not_run)?;
    let interrupt = command::listen_for_signals()?;
    command::runtime()?.block_on(async {
        match outputs {
            Some(outputs) => over_cluster(args, probe, secret, interrupt, outputs).await,
            None => dry_run(args, &secret).await,
        }
    })
}

impl ClusterArgs {
    /// Finds the cluster; nothing is asked of it yet.
    pub(crate) async fn connect(&self) -> Result<Kube, Failure> {
        self.kube.connect().await
    }

    /// The namespace to work in, if one was named.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.kube.namespace.as_deref()
    }

    fn wanted(&self, secret: &RunSecret, timeout: Duration) -> Wanted {
        Wanted {
            run: secret.id().to_owned(),
            namespace: self.kube.namespace.clone(),
            selector: self.selector.clone(),
            image: self.image.clone(),
            planes: self.planes.clone(),
            tolerations: (!self.tolerations.is_empty()).then(|| self.tolerations.clone()),
            priority_class: self.priority_class.clone(),
            responder_port: self.responder_port,
            node_ports: !self.no_node_ports,
            host_facts: match self.host_facts {
                HostFactsAsked::Full => HostFacts::Full,
                HostFactsAsked::Plain => HostFacts::Plain,
            },
            wait: self.wait.0.min(timeout),
            longest: timeout + self.wait.0,
        }
    }
}

async fn dry_run(args: &ClusterArgs, secret: &RunSecret) -> Result<ExitCode, Failure> {
    let kube = args.kube.connect().await?;
    let ground = Ground::survey(kube, args.wanted(secret, Duration::ZERO)).await?;
    command::version::print(ground.manifests()?.as_bytes())
}

async fn over_cluster(
    args: &ClusterArgs,
    probe: &ProbeArgs,
    secret: RunSecret,
    mut interrupt: Interrupt,
    outputs: Outputs,
) -> Result<ExitCode, Failure> {
    let progress = Progress::on_terminal();
    let (options, of_run) = (probe.drive_options(LinkMeans::default()), interrupt.clone());
    let run = on_cluster(
        args,
        options,
        &secret,
        &mut interrupt,
        &progress,
        async |_, raised, options| drive(raised, secret.clone(), &options, of_run, &progress).await,
    );
    let Some((report, in_passing)) = run.await? else {
        return Ok(ExitCode::Interrupted);
    };
    outputs.write(&report)?;
    in_passing.end().await;
    Ok(ExitCode::of(&report))
}

/// Agents on the cluster, for as long as `work` takes; whatever happens, they are removed then. `None` if somebody interrupts
/// before any are made.
#[expect(
    clippy::disallowed_methods,
    reason = "what raising took is taken off the time that is left for the rest"
)]
pub(crate) async fn on_cluster<T>(
    args: &ClusterArgs,
    mut options: DriveOptions,
    secret: &RunSecret,
    interrupt: &mut Interrupt,
    progress: &Progress,
    work: impl AsyncFnOnce(&mut Ground, Raised, DriveOptions) -> T,
) -> Result<Option<(T, InPassing)>, Failure> {
    if args.dry_run {
        return Err(Failure::usage(anyhow::anyhow!(
            "--dry-run is for `mesh run`, which makes the same objects; this command would make them"
        )));
    }
    let began = Instant::now();
    progress.phase("asking the cluster what it is made of");
    let survey = async {
        let kube = args.kube.connect().await?;
        Ground::survey(kube, args.wanted(secret, options.timeout)).await
    };
    let mut ground = tokio::select! {
        ground = survey => ground?,
        () = interrupt.wait() => {
            progress.finish();
            return Ok(None);
        }
    };
    let in_passing = InPassing::begin(&ground);
    let (keys, tls) = make_run_keys().map_err(Failure::could_not_run)?;
    options.means = LinkMeans {
        tls: Some(tls),
        kube: Some(ground.kube().clone()),
        ..LinkMeans::default()
    };
    let raised = ground.raise(&keys, secret, &options, interrupt, progress).await;
    let done = match raised {
        Ok(raised) => {
            options.spent = began.elapsed();
            Ok(work(&mut ground, raised, options).await)
        }
        Err(failure) => Err(failure),
    };
    tracing::info!("probing is done");
    progress.phase("removing what the run made");
    let removed = ground.remove().await;
    progress.finish();
    if let Err(error) = removed {
        cli::tell(format!("{error}; `mesh cleanup` removes the rest"));
    }
    tracing::info!("what the run made is removed");
    tracing::info!(requests = ground.kube().requests(), "asked of the API server");
    Ok(Some((done?, in_passing)))
}

/// Removes what runs left that were killed, while this one goes on.
#[derive(Debug)]
pub(crate) struct InPassing(tokio::task::JoinHandle<Result<Vec<RunId>, CleanupError>>);

impl InPassing {
    fn begin(ground: &Ground) -> Self {
        let (kube, (own, namespace)) = (ground.kube().clone(), ground.run());
        Self(tokio::spawn(async move {
            clean_up_in_passing(&kube, namespace.as_deref(), &own).await
        }))
    }

    /// The verdict is out by now. What is not removed in a moment is left to the next run, or to `mesh cleanup`.
    pub(crate) async fn end(self) {
        const MOMENT: Duration = Duration::from_secs(2);
        match tokio::time::timeout(MOMENT, self.0).await {
            Ok(Ok(Ok(removed))) => {
                for run in removed {
                    cli::tell(format!(
                        "removed what was left of the run {run}, which was killed"
                    ));
                }
            }
            Ok(Ok(Err(error))) => tracing::info!(%error, "cleaning up in passing"),
            Ok(Err(_)) | Err(_) => {}
        }
    }
}
