//! Flags that every command shares which probes and reports: `mesh run`, `mesh lab run`.

use std::time::Duration;

use clap::builder::{BoolishValueParser, OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};
use mesh_core::{Peers, PlanOptions};
use mesh_probe::{Pem, TlsFileError, TlsFiles};
use mesh_proto::{Millis, Pacing};

use super::Span;
use crate::drive::{DriveOptions, LINK_PATIENCE};
use crate::link::{LinkMeans, LinkTls};
use crate::output::OutputArgs;

/// How to probe and what to do with the result.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProbeArgs {
    /// The whole run may take this long; what is not observed by then is unknown
    #[arg(long, env = "MESH_TIMEOUT", value_name = "DURATION", default_value = "5m")]
    pub(crate) timeout: Span,

    #[command(flatten)]
    pub(crate) effort: EffortArgs,

    /// Each node probes so many other nodes, and as many probe it, instead of all: for clusters where all would take too long. Who they
    /// are rotates; the report says when every pair has had its turn
    #[arg(long, env = "MESH_PEERS", value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST_PEERS..))]
    pub(crate) peers: Option<u32>,

    /// Where the rotation of --peers goes on: `coverage.rotation.next` in the report of the run before [default: 0]
    #[arg(long, env = "MESH_TURN", value_name = "N", requires = "peers")]
    pub(crate) turn: Option<u32>,

    /// Which cells the report lists
    #[arg(long, env = "MESH_CELLS", value_name = "WHICH", value_enum, default_value_t = CellsShown::Auto)]
    pub(crate) cells: CellsShown,

    /// Where the result goes and how it looks.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How hard each look tries, and what counts as failed.
#[derive(Debug, Clone, Args)]
pub(crate) struct EffortArgs {
    /// How long one try of a probe may take, 100ms to 1m [default: 3.5s]
    #[arg(long, env = "MESH_PROBE_TIMEOUT", value_name = "DURATION", value_parser = probe_timeout)]
    pub(crate) probe_timeout: Option<Millis>,

    /// Packets a second that each agent may send at the most [default: 4000]
    #[arg(long, env = "MESH_MAX_PPS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_pps: Option<u32>,

    /// Count degraded cells and lost ICMP as failures
    #[arg(long, env = "MESH_STRICT", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub(crate) strict: bool,
}

/// Fewer tell too little: what fails at a node must fail from several.
const LEAST_PEERS: i64 = 4;

/// Which cells a report lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CellsShown {
    /// All up to 64 nodes, above that those that are not reachable
    Auto,
    /// All, however many there are
    All,
}

impl ProbeArgs {
    /// What the driver needs to know.
    pub(crate) fn drive_options(&self, means: LinkMeans) -> DriveOptions {
        let mut options = self.effort.drive_options(self.timeout.0, means);
        options.all_cells = self.cells == CellsShown::All;
        options.plan.peers = self.peers.map(|peers| Peers {
            count: peers as usize,
            turn: self.turn.unwrap_or(0) as usize,
        });
        options
    }
}

impl EffortArgs {
    /// What the driver needs to know of one look, which may take so long.
    pub(crate) fn drive_options(&self, timeout: Duration, means: LinkMeans) -> DriveOptions {
        let usual = PlanOptions::default();
        let pacing = self.max_pps.map_or(usual.pacing, |packets_per_second| Pacing {
            packets_per_second,
            // Slower than a burst a second, the burst itself would be the rate.
            burst: usual.pacing.burst.min(packets_per_second),
            ..usual.pacing
        });
        DriveOptions {
            timeout,
            plan: PlanOptions {
                timeout: self.probe_timeout.unwrap_or(usual.timeout),
                pacing,
                ..usual
            },
            strict: self.strict,
            all_cells: false,
            means,
            link_patience: LINK_PATIENCE,
            spent: Duration::ZERO,
            look_closer: true,
        }
    }
}

/// Longer than that and a dead path would look like a hung agent.
const LONGEST_TRY: Duration = Duration::from_mins(1);

/// Shorter than that a busy machine alone looks like a broken network: packets wait for their turn.
const SHORTEST_TRY: Duration = Duration::from_millis(100);

fn probe_timeout(text: &str) -> Result<Millis, String> {
    let Span(span) = text.parse::<Span>().map_err(|error| error.to_string())?;
    if span > LONGEST_TRY {
        return Err("it is longer than a minute; expected 100ms to 1m".to_owned());
    }
    if span < SHORTEST_TRY {
        return Err("no healthy network answers that fast each time; expected 100ms to 1m".to_owned());
    }
    u32::try_from(span.as_millis())
        .map(Millis)
        .map_err(|error| error.to_string())
}

/// Mutual TLS of `tcp:` links: all three or none.
#[expect(clippy::struct_field_names, reason = "the flags are named so")]
#[derive(Debug, Clone, Args)]
pub(crate) struct TlsArgs {
    /// For tcp: links: the CA that signed the other side's certificate (PEM, a file or the text itself)
    #[arg(long, env = "MESH_TLS_CA", value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    #[arg(hide_env_values = true, value_parser = pem())]
    pub(crate) tls_ca: Option<Pem>,

    /// For tcp: links: our own certificate, with its chain (PEM)
    #[arg(long, env = "MESH_TLS_CERT", value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    #[arg(hide_env_values = true, value_parser = pem())]
    pub(crate) tls_cert: Option<Pem>,

    /// For tcp: links: the key of our certificate (PEM)
    #[arg(long, env = "MESH_TLS_KEY", value_name = "FILE", requires_all = ["tls_ca", "tls_cert"])]
    #[arg(hide_env_values = true, value_parser = pem())]
    pub(crate) tls_key: Option<Pem>,
}

impl TlsArgs {
    /// What was given, if it was.
    pub(crate) fn files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            ca: self.tls_ca.clone()?,
            cert: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
        })
    }

    /// Reads the files, if they were given.
    pub(crate) fn load(&self) -> Result<Option<LinkTls>, TlsFileError> {
        self.files().as_ref().map(LinkTls::load).transpose()
    }
}

fn pem() -> impl TypedValueParser<Value = Pem> {
    OsStringValueParser::new().map(Pem::from)
}
