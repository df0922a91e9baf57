//! `mesh serve`: the same looks as `mesh run`, without an end.

mod tell_args;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use jiff::Timestamp;
use mesh_core::{ElectionTiming, IncidentConfig, PulseConfig};
use mesh_kube::{Members, SeatLease};
use mesh_proto::NodeName;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::tell_args::TellArgs;
use super::run::{ClusterArgs, on_cluster};

use crate::cli::{self, EffortArgs, Span, TlsArgs};
use crate::drive::{DriveOptions, Interrupt, NoRandomness, Progress, RunSecret, Session};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::ground;
use crate::ground::kube::Ground;
use crate::history::{self, History, HistoryBounds, HistoryWriter};
use crate::inventory::Inventory;
use crate::link::LinkMeans;
use crate::serve::{
    Beside, Leadership, Looking, Metrics, Outlet, Published, Served, Standing, Told, Watcher, listen,
};

/// Flags of `mesh serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Use the agents that this file lists, which somebody else started; - is stdin
    #[arg(long, env = "MESH_INVENTORY", value_name = "FILE")]
    inventory: Option<PathBuf>,

    /// Where the page, the metrics and the JSON are. Whoever reaches it reads all of it: there is no password
    #[arg(
        long,
        env = "MESH_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9442"
    )]
    listen: SocketAddr,

    /// From one quick look to the next: a few probes for each pair, which tell whether something is wrong
    #[arg(long, env = "MESH_INTERVAL", value_name = "DURATION", default_value = "800ms")]
    interval: Span,

    /// From one whole look to the next, as `mesh run` looks; there is one at once where a quick look saw something
    #[arg(
        long,
        env = "MESH_FULL_INTERVAL",
        value_name = "DURATION",
        default_value = "1m"
    )]
    full_interval: Span,

    /// A node that comes is not blamed for so long, unless all was well with it once
    #[arg(long, env = "MESH_GRACE", value_name = "DURATION", default_value = "1m")]
    grace: Span,

    /// The file that keeps incidents, minutes and reports over restarts [default: none, they are kept in memory]
    #[arg(long, env = "MESH_HISTORY", value_name = "FILE")]
    history: Option<PathBuf>,

    /// How many days the history keeps
    #[arg(long, env = "MESH_HISTORY_DAYS", value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    history_days: u32,

    /// How many MiB it keeps; the file is up to twice as large
    #[arg(long, env = "MESH_HISTORY_MIB", value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    history_mib: u32,

    /// Share the cluster with other servers: one of them looks, by a Lease in --namespace, and the others stand by and pass on
    /// what it says
    #[arg(long, env = "MESH_LEADER_ELECT", requires = "namespace", conflicts_with = "inventory", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    leader_elect: bool,

    /// The name of that Lease
    #[arg(long, env = "MESH_LEASE", value_name = "NAME", default_value = "mesh-serve")]
    lease: String,

    /// Where the other servers reach this one: its pod's address. The port is that of --listen [default: they do not]
    #[arg(long, env = "MESH_ADVERTISE", value_name = "ADDRESS")]
    advertise: Option<IpAddr>,

    #[command(flatten)]
    tell: TellArgs,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    effort: EffortArgs,

    #[command(flatten)]
    tls: TlsArgs,
}

/// A whole look may take so long.
const LOOK_TIMEOUT: Duration = Duration::from_mins(2);
/// Beyond the time between two whole looks and that of one of them: then the watch counts as stuck.
const STUCK: Duration = Duration::from_mins(2);

/// Agents of a cluster end themselves after this, should nobody remove them. What is left of a server that was killed, the
/// next run or server removes, by its Lease.
const LIFE: Duration = Duration::from_hours(10 * 365 * 24);
/// An API server that takes longer to say who takes part is away: the looks go on with who was known.
const ROSTER_PATIENCE: Duration = Duration::from_secs(5);

/// Serves until a signal ends it.
pub(crate) fn serve(args: &ServeArgs) -> Result<ExitCode, Failure> {
    match &args.inventory {
        Some(file) => over_inventory(args, file)?,
        None => over_cluster(args)?,
    }
    Ok(ExitCode::Reachable)
}

fn over_inventory(args: &ServeArgs, file: &Path) -> Result<(), Failure> {
    let tls = args.tls.load().map_err(Failure::usage)?;
    let inventory = Inventory::load(file).map_err(Failure::usage)?;
    let raised = ground::inventory::raise(inventory, tls.is_some()).map_err(|error| {
        Failure::usage(anyhow::Error::new(error).context(format!("the inventory {}", file.display())))
    })?;
    let options = args.effort.drive_options(
        LOOK_TIMEOUT,
        LinkMeans {
            tls,
            ..LinkMeans::default()
        },
    );
    let history = open_history(args)?;
    let interrupt = super::listen_for_signals()?;
    super::runtime()?.block_on(async {
        let server = Server::start(args, history).await?;
        server
            .watch(args, Session::new(raised, None), None, options, interrupt)
            .await
    })
}

/// Raises agents as a run does, and keeps them; with others that would do the same, only while it leads.
fn over_cluster(args: &ServeArgs) -> Result<(), Failure> {
    let history = open_history(args)?;
    let mut interrupt = super::listen_for_signals()?;
    super::runtime()?.block_on(async {
        // Its probes of health begin at once.
        let server = Server::start(args, history).await?;
        if !args.leader_elect {
            return server.lead(args, interrupt).await;
        }
        let mut leadership = campaign(args, &server).await?;
        let mut led = Ok(());
        while led.is_ok() && leadership.wait_to_lead(&mut interrupt).await {
            let (until, _deposed) = leadership.until_deposed(&interrupt);
            led = server.lead(args, until).await;
            server.forget();
            if interrupt.came() {
                break;
            }
        }
        leadership.resign().await;
        led
    })
}

/// Runs for the Lease that the servers share.
async fn campaign(args: &ServeArgs, server: &Server) -> Result<Leadership, Failure> {
    let kube = args.cluster.connect().await?;
    let Some(namespace) = args.cluster.namespace() else {
        return Err(Failure::usage(anyhow::anyhow!(
            "--leader-elect needs the --namespace that the Lease stands in"
        )));
    };
    let timing = ElectionTiming::default();
    let address = args
        .advertise
        .map(|address| SocketAddr::new(address, server.address.port()));
    let lease = SeatLease::new(&kube, namespace, &args.lease, &server.me, address, timing.lease);
    Ok(Leadership::start(
        lease,
        server.me.clone(),
        timing,
        server.standing.clone(),
    ))
}

/// The name of this machine or pod, and what no other life of it has.
fn identity() -> Result<String, NoRandomness> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "mesh",
        host => host,
    };
    Ok(format!("{host}_{}", RunSecret::draw()?.id()))
}

fn open_history(args: &ServeArgs) -> Result<History, Failure> {
    let (history, said) = history::open(args.history.as_deref()).map_err(Failure::could_not_run)?;
    if let Some(said) = said {
        cli::tell(said);
    }
    Ok(history)
}

/// What answers while the looks go on.
struct Server {
    tell: watch::Sender<Option<Arc<Published>>>,
    standing: watch::Sender<Standing>,
    metrics: Arc<Metrics>,
    writer: Arc<HistoryWriter>,
    /// This server's name, for one life.
    me: String,
    webhook: Option<Outlet>,
    /// Ends with it.
    _answers: JoinSet<()>,
    address: SocketAddr,
}

impl Server {
    async fn start(args: &ServeArgs, history: History) -> Result<Self, Failure> {
        let listener = listen(args.listen).await.map_err(Failure::could_not_run)?;
        let address = listener.local_addr().unwrap_or(args.listen);
        let (tell, state) = watch::channel(None);
        let (standing, stands) = watch::channel(Standing::Alone);
        let metrics = Metrics::new(state.clone(), stands.clone());
        let bounds = HistoryBounds {
            age: Duration::from_hours(24) * args.history_days,
            bytes: u64::from(args.history_mib) << 20,
        };
        let writer =
            HistoryWriter::start(history.clone(), bounds, Arc::clone(&metrics)).map_err(|error| {
                Failure::could_not_run(anyhow::Error::new(error).context("cannot start a thread"))
            })?;
        let stuck_after = args.full_interval.0 + LOOK_TIMEOUT + STUCK;
        let served = Served::new(state, stands, Arc::clone(&metrics), history, stuck_after);
        let me = identity().map_err(Failure::could_not_run)?;
        let mut answers = JoinSet::new();
        let webhook = args
            .tell
            .webhook(format!("/mesh/serve/{me}"), &metrics, &mut answers)?;
        answers.spawn(served.serve(listener));
        Ok(Self {
            tell,
            standing,
            metrics,
            writer: Arc::new(writer),
            me,
            webhook,
            _answers: answers,
            address,
        })
    }

    /// Raises agents, looks until somebody interrupts, takes them away.
    async fn lead(&self, args: &ServeArgs, mut interrupt: Interrupt) -> Result<(), Failure> {
        let secret = RunSecret::draw().map_err(Failure::could_not_run)?;
        let (of_looks, progress) = (interrupt.clone(), Progress::silent());
        let options = args.effort.drive_options(LIFE, LinkMeans::default());
        let watching = on_cluster(
            &args.cluster,
            options,
            &secret,
            &mut interrupt,
            &progress,
            async |ground, raised, options| {
                let options = DriveOptions {
                    timeout: LOOK_TIMEOUT,
                    ..options
                };
                let session = Session::new(raised, Some(secret.clone()));
                self.watch(args, session, Some(ground), options, of_looks).await
            },
        );
        match watching.await? {
            Some((watched, in_passing)) => {
                in_passing.end().await;
                watched
            }
            None => Ok(()),
        }
    }

    /// Who is told of incidents and nodes.
    fn told(&self, args: &ServeArgs, ground: Option<&Ground>, tasks: &mut JoinSet<()>) -> Told {
        let mut told = ground.map_or_else(Told::default, |ground| {
            let place = (ground.kube().clone(), ground.namespace());
            let standing = self.standing.subscribe();
            args.tell
                .to_cluster(place, &self.me, standing, &self.metrics, tasks)
        });
        told.outlets.extend(self.webhook.clone());
        told
    }

    /// What was seen is told no more.
    fn forget(&self) {
        self.tell.send_replace(None);
    }

    /// Looks until somebody interrupts.
    async fn watch(
        &self,
        args: &ServeArgs,
        mut session: Session,
        mut ground: Option<&mut Ground>,
        options: DriveOptions,
        mut interrupt: Interrupt,
    ) -> Result<(), Failure> {
        let looking = Looking {
            pulse: PulseConfig {
                light: args.interval.0,
                full: args.full_interval.0,
                ..PulseConfig::default()
            },
            incidents: IncidentConfig {
                grace: args.grace.0,
                ..IncidentConfig::default()
            },
            options,
            first_incident: self.writer.begin_watch().await?,
        };
        // A line that a script may wait for, and a person likes to see.
        cli::tell(format_args!("ready: watching, http://{}", self.address));
        let (tell, metrics) = (self.tell.clone(), Arc::clone(&self.metrics));
        // They end with this watch.
        let mut tasks = JoinSet::new();
        let told = self.told(args, ground.as_deref(), &mut tasks);
        let mut watcher = Watcher::new(looking, tell, metrics, Arc::clone(&self.writer), told);
        let mut roster = Known::default();
        if let Some(ground) = ground.as_deref() {
            roster.tainted = ground.with_startup_taint();
        }
        let members = ground.as_deref().map(Ground::watch_members);
        while let Some(depth) = watcher.wait(&mut interrupt).await {
            let ago = roster.asked.map(|at| Timestamp::now().duration_since(at));
            let asked_ago = ago.and_then(|ago| ago.try_into().ok());
            let version = members.as_ref().map_or(0, Members::version);
            // Asked for once for each change, also where the answer fails: the next whole look asks again.
            let is_news = std::mem::replace(&mut roster.version, version) != version;
            let is_wanted = is_news || watcher.wants_roster(depth, asked_ago);
            if let Some(ground) = ground.as_deref_mut().filter(|_| is_wanted) {
                roster.ask(ground, &mut session).await;
            }
            let standing = self.standing.borrow().clone();
            let beside = Beside {
                excused: &roster.excused,
                roster: roster.stale.as_deref(),
                standing: &standing,
                tainted: &roster.tainted,
            };
            let looked = watcher.look(&mut session, depth, beside, &interrupt);
            looked.await.map_err(Failure::could_not_run)?;
        }
        Ok(())
    }
}

/// What the cluster said last of who takes part.
#[derive(Debug, Default)]
struct Known {
    excused: BTreeMap<NodeName, String>,
    tainted: BTreeSet<NodeName>,
    /// Of the members' watch, when they were asked for last.
    version: u64,
    asked: Option<Timestamp>,
    /// Why it cannot say it now, and how old what it said is.
    stale: Option<String>,
}

impl Known {
    async fn ask(&mut self, ground: &mut Ground, session: &mut Session) {
        let why = match tokio::time::timeout(ROSTER_PATIENCE, ground.stands_now()).await {
            Ok(Ok(raised)) => {
                session.update(raised);
                self.excused = ground.excused();
                self.tainted = ground.with_startup_taint();
                self.asked = Some(Timestamp::now());
                self.stale = None;
                return;
            }
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("no answer within {ROSTER_PATIENCE:?}"),
        };
        let since = self
            .asked
            .map_or_else(|| "the start".to_owned(), |at| format!("{at:.0}"));
        self.stale = Some(format!(
            "who takes part is known as of {since}: the API server does not tell: {why}"
        ));
    }
}
