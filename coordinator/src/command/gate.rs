//! `mesh gate`: waits until a node, or all, is fully reachable, and says by its exit code whether it is.

mod record;
mod server;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use mesh_core::{Decision, Gate, GateConfig, GateScope, GateStep, Moment};
use mesh_proto::{NodeName, Report, Verdict};

use self::record::GateRecord;
use super::report::saved;
use super::run::{ClusterArgs, on_cluster};
use crate::cli::{self, EffortArgs, Span, TlsArgs};
use crate::drive::{Clock, DriveOptions, Interrupt, Progress, RunSecret, Session};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::ground;
use crate::inventory::Inventory;
use crate::link::LinkMeans;
use crate::output::print;
use crate::render::Format;
use crate::server_url::ServerUrl;

/// The exit codes of this command, for its help.
pub(crate) const EXIT_CODES: &str = "Exit codes:
    0  open: what was asked for was reachable for the time asked for
    1  closed: something is unreachable; the findings say what
    2  wrong usage: a flag, a value, a file that is missing or malformed
    3  closed: unknown, since not all of it could be checked, or not for long enough
    4  could not run: no permission, no image, no cluster, an output that cannot be written
  130  interrupted; cleaned up all the same";

/// Flags of `mesh gate`.
#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    /// The node that must be reachable, from and to every other [default: SYSTEM_UPGRADE_NODE_NAME, if that is set]
    #[arg(long, env = "MESH_NODE", value_name = "NAME", conflicts_with = "all")]
    node: Option<NodeName>,

    /// All nodes must be reachable
    #[arg(long, action = ArgAction::SetTrue)]
    all: bool,

    /// How long it must be so without a break; 0 takes the first good look
    #[arg(long = "for", env = "MESH_FOR", value_name = "DURATION", default_value = "30s", value_parser = steady)]
    steady: Steady,

    /// How long to wait for that
    #[arg(long, env = "MESH_TIMEOUT", value_name = "DURATION", default_value = "10m")]
    timeout: Span,

    /// From one look to the next
    #[arg(long, env = "MESH_INTERVAL", value_name = "DURATION", default_value = "5s")]
    interval: Span,

    /// Only what is worse than in this report blocks: what `mesh run -o json` wrote before the upgrade
    #[arg(long, env = "MESH_BASELINE", value_name = "REPORT")]
    baseline: Option<PathBuf>,

    /// Ask a running `mesh serve` instead of probing, as in http://127.0.0.1:9442
    #[arg(long, env = "MESH_SERVER", value_name = "URL", conflicts_with = "inventory")]
    server: Option<ServerUrl>,

    /// Use the agents that this file lists, which somebody else started; - is stdin
    #[arg(long, env = "MESH_INVENTORY", value_name = "FILE")]
    inventory: Option<PathBuf>,

    /// How to show the decision
    #[arg(short, long, env = "MESH_OUTPUT", value_name = "FORMAT", value_enum, default_value_t = GateFormat::Table)]
    output: GateFormat,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    effort: EffortArgs,

    #[command(flatten)]
    tls: TlsArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GateFormat {
    /// In words
    Table,
    /// For programs
    Json,
    /// The same as YAML
    Yaml,
}

/// How long it must be good; none at all is a time as well.
#[derive(Debug, Clone, Copy)]
struct Steady(Duration);

fn steady(text: &str) -> Result<Steady, String> {
    if matches!(text, "0" | "0s") {
        return Ok(Steady(Duration::ZERO));
    }
    let span = text.parse::<Span>().map_err(|error| error.to_string())?;
    Ok(Steady(span.0))
}

impl std::fmt::Display for Steady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Span(self.0).fmt(f)
    }
}

/// What system-upgrade-controller sets for the jobs of a Plan.
const UPGRADED_NODE: &str = "SYSTEM_UPGRADE_NODE_NAME";

/// Decides.
pub(crate) fn gate(args: &GateArgs) -> Result<ExitCode, Failure> {
    let config = args.config()?;
    let mut watch = Watch::start(config)?;
    match (&args.server, &args.inventory) {
        (Some(server), _) => server::watch(&mut watch, server)?,
        (None, Some(file)) => over_inventory(args, file, &mut watch)?,
        (None, None) => over_cluster(args, &mut watch)?,
    }
    watch.end(args.output)
}

impl GateArgs {
    fn config(&self) -> Result<GateConfig, Failure> {
        if self.steady.0 > self.timeout.0 {
            return Err(Failure::usage(anyhow::anyhow!(
                "--for {} is longer than --timeout {}: the gate could never open",
                self.steady,
                self.timeout
            )));
        }
        let baseline = self.baseline.as_deref().map(saved::load).transpose();
        Ok(GateConfig {
            scope: self.scope()?,
            steady: self.steady.0,
            timeout: self.timeout.0,
            interval: self.interval.0,
            baseline: baseline.map_err(Failure::usage)?,
            strict: self.effort.strict,
        })
    }

    fn scope(&self) -> Result<GateScope, Failure> {
        if self.all {
            return Ok(GateScope::All);
        }
        if let Some(node) = &self.node {
            return Ok(GateScope::Node(node.clone()));
        }
        match std::env::var(UPGRADED_NODE) {
            Ok(name) if !name.is_empty() => {
                let node = name.parse::<NodeName>();
                let wrong = |error| Failure::usage(anyhow::Error::new(error).context(UPGRADED_NODE));
                Ok(GateScope::Node(node.map_err(wrong)?))
            }
            _ => Err(Failure::usage(anyhow::anyhow!(
                "which node? Give --node NAME or --all, or set {UPGRADED_NODE}"
            ))),
        }
    }

    fn options(&self, means: LinkMeans) -> DriveOptions {
        self.effort.drive_options(self.timeout.0, means)
    }
}

/// The gate, its clock, and whoever may interrupt it.
#[derive(Debug)]
struct Watch {
    gate: Gate,
    clock: Clock,
    interrupt: Interrupt,
    interrupted: bool,
    /// What was said last.
    said: String,
}

impl Watch {
    fn start(config: GateConfig) -> Result<Self, Failure> {
        let clock = Clock::start();
        Ok(Self {
            gate: Gate::start(config, clock.now()),
            clock,
            interrupt: super::listen_for_signals()?,
            interrupted: false,
            said: String::new(),
        })
    }

    /// Looks until the gate decides. A look is told how much time is left, and fails with words.
    async fn decide(&mut self, mut look: impl AsyncFnMut(Duration) -> Result<Report, String>) {
        loop {
            let now = self.clock.now();
            match self.gate.step(now) {
                GateStep::Decided => return,
                GateStep::Wait(until) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(self.clock.instant(until)) => {}
                        () = self.interrupt.wait() => return self.give_up(),
                    }
                }
                GateStep::Look => {
                    let left = self.gate.deadline().since(now);
                    let looked = look(left).await;
                    if self.interrupt.came() {
                        return self.give_up();
                    }
                    self.take(looked, now);
                }
            }
        }
    }

    fn take(&mut self, looked: Result<Report, String>, began: Moment) {
        let now = self.clock.now();
        match looked {
            Ok(report) => self.gate.handle_report(&report, began, now),
            Err(why) => self.gate.handle_missed(why, now),
        }
        let waits_for = self.gate.waits_for(now);
        // The same words with another number are no news.
        let news: String = waits_for.chars().filter(|c| !c.is_ascii_digit()).collect();
        if self.gate.decision().is_none() && news != self.said {
            cli::tell(format_args!("waiting for {}", crate::render::plain(&waits_for)));
            self.said = news;
        }
    }

    fn give_up(&mut self) {
        self.interrupted = true;
        self.gate.interrupt(self.clock.now());
    }

    /// Shows the decision.
    fn end(mut self, format: GateFormat) -> Result<ExitCode, Failure> {
        let now = self.clock.now();
        // Whoever watched came back before there was a decision.
        self.gate.interrupt(now);
        let Some(decision) = self.gate.decision() else {
            return Ok(ExitCode::Unknown);
        };
        let shown = match format {
            GateFormat::Table => print(Format::Table, |width, out| {
                out.write_all(words::words(decision, width).as_bytes())
            }),
            GateFormat::Json => print(Format::Json, |_, out| {
                serde_json::to_writer_pretty(&mut *out, &GateRecord::of(decision))?;
                out.write_all(b"\n")
            }),
            GateFormat::Yaml => print(Format::Yaml, |_, out| {
                let text =
                    serde_saphyr::to_string(&GateRecord::of(decision)).map_err(std::io::Error::other)?;
                out.write_all(text.as_bytes())
            }),
        };
        shown.map_err(Failure::could_not_run)?;
        Ok(if self.interrupted {
            ExitCode::Interrupted
        } else {
            code(decision)
        })
    }
}

fn code(decision: &Decision) -> ExitCode {
    match decision.verdict {
        Verdict::Reachable => ExitCode::Reachable,
        Verdict::Unreachable => ExitCode::Unreachable,
        Verdict::Unknown => ExitCode::Unknown,
    }
}

fn over_inventory(args: &GateArgs, file: &Path, watch: &mut Watch) -> Result<(), Failure> {
    let tls = args.tls.load().map_err(Failure::usage)?;
    let inventory = Inventory::load(file).map_err(Failure::usage)?;
    let raised = ground::inventory::raise(inventory, tls.is_some()).map_err(|error| {
        Failure::usage(anyhow::Error::new(error).context(format!("the inventory {}", file.display())))
    })?;
    let options = args.options(LinkMeans {
        tls,
        ..LinkMeans::default()
    });
    let mut session = Session::new(raised, None);
    let (interrupt, progress) = (watch.interrupt.clone(), Progress::silent());
    let looks = watch.decide(async |left| {
        let options = DriveOptions {
            timeout: left,
            ..options.clone()
        };
        let looked = session.look(&options, interrupt.clone(), &progress).await;
        looked.map_err(|error| error.to_string())
    });
    super::runtime()?.block_on(looks);
    Ok(())
}

fn over_cluster(args: &GateArgs, watch: &mut Watch) -> Result<(), Failure> {
    let secret = RunSecret::draw().map_err(Failure::could_not_run)?;
    let (mut interrupt, progress) = (watch.interrupt.clone(), Progress::on_terminal());
    let options = args.options(LinkMeans::default());
    let of_looks = interrupt.clone();
    let work = on_cluster(
        &args.cluster,
        options,
        &secret,
        &mut interrupt,
        &progress,
        async |ground, raised, options| {
            let mut session = Session::new(raised, Some(secret.clone()));
            let mut is_first = true;
            let progress = Progress::silent();
            watch
                .decide(async |left| {
                    if !std::mem::take(&mut is_first) {
                        // Nodes are replaced, pods restart: that is what upgrades are.
                        let now = ground.stands_now().await.map_err(|error| error.to_string())?;
                        session.update(now);
                    }
                    let options = DriveOptions {
                        timeout: left,
                        ..options.clone()
                    };
                    let looked = session.look(&options, of_looks.clone(), &progress).await;
                    looked.map_err(|error| error.to_string())
                })
                .await;
        },
    );
    super::runtime()?.block_on(async {
        if let Some(((), in_passing)) = work.await? {
            in_passing.end().await;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
