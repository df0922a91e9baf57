//! `mesh probe`: be an agent, or say what agents say of their place.

mod facts;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand};
use jiff::Timestamp;
use mesh_probe::{AgentConfig, AgentError, DEFAULT_RESPONDER_PORT, ListenAddress, run_agent};
use mesh_proto::{AgentKey, NodeName, Plane, Port};

use crate::cli::{self, TlsArgs};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::link::LinkAddress;

/// Flags of `mesh probe`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    command: Option<ProbeCommand>,

    /// The node that the agent stands on
    #[arg(long, env = "MESH_NODE", value_name = "NAME", required = true)]
    node: Option<NodeName>,

    /// The network that it stands in: pod or host
    #[arg(long, env = "MESH_PLANE", value_name = "PLANE", required = true)]
    plane: Option<Plane>,

    /// Where the coordinator finds it: unix:PATH, or tcp:ADDRESS:PORT with mutual TLS
    #[arg(long, env = "MESH_LISTEN", value_name = "LINK", required = true)]
    listen: Option<LinkAddress>,

    /// Where it answers probes (TCP and UDP); the coordinator learns it from the agent
    #[arg(
        long,
        env = "MESH_RESPONDER_PORT",
        value_name = "PORT",
        default_value_t = DEFAULT_RESPONDER_PORT.0
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    responder_port: u16,

    /// Answer probes on this address only [default: all]
    #[arg(long, env = "MESH_RESPONDER_ADDRESS", value_name = "ADDRESS")]
    responder_address: Option<IpAddr>,

    #[command(flatten)]
    tls: TlsArgs,

    /// The CA that must have signed the API service's certificate (PEM) [default: any will do]
    #[arg(long, env = "MESH_API_CA", value_name = "FILE")]
    api_ca: Option<PathBuf>,

    /// What to resolve names by, as applications of this place do
    #[arg(
        long,
        env = "MESH_RESOLV_CONF",
        value_name = "FILE",
        default_value = "/etc/resolv.conf"
    )]
    resolv_conf: PathBuf,

    /// End at this time (RFC 3339), if nobody did it before
    #[arg(long, env = "MESH_EXPIRES", value_name = "TIME")]
    expires: Option<Timestamp>,

    /// End when the process that started this one does
    #[arg(long, env = "MESH_DIE_WITH_PARENT", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    die_with_parent: bool,
}

/// What an agent can be asked without being one for long.
#[derive(Debug, Subcommand)]
enum ProbeCommand {
    /// Say what the kernel here says of its network: devices, routes, rules, sysctls, counters
    Facts(facts::FactsArgs),
}

/// Is an agent until told to end.
pub(crate) fn probe(args: AgentArgs) -> Result<ExitCode, Failure> {
    if let Some(ProbeCommand::Facts(args)) = args.command {
        return facts::facts(&args);
    }
    let (Some(node), Some(plane), Some(listen)) = (args.node, args.plane, args.listen) else {
        // Without them the command line was refused, unless a subcommand was given.
        return Err(Failure::usage(anyhow::anyhow!(
            "--node, --plane and --listen are needed"
        )));
    };
    if args.die_with_parent && !parent_is_there()? {
        return Ok(ExitCode::Interrupted);
    }
    let config = AgentConfig {
        key: AgentKey { node, plane },
        listen: match &listen {
            LinkAddress::Unix(path) => ListenAddress::Unix(path.clone()),
            LinkAddress::Tcp(address) => ListenAddress::Tcp(*address),
        },
        responder_port: Port(args.responder_port),
        responder_address: args.responder_address,
        tls: args.tls.files(),
        api_ca: args.api_ca,
        resolv_conf: args.resolv_conf,
    };
    // A line that a script may wait for, and a person likes to see.
    let line = format!(
        "ready: {} listens on {}, answers probes on port {}",
        config.key, listen, args.responder_port
    );
    let ready = || cli::tell(line);
    let mut told_to_end = super::listen_for_signals()?;
    let expiry = expiry(args.expires);
    let end = async move {
        tokio::select! {
            () = told_to_end.wait() => {}
            () = expiry => cli::tell("its time has expired: whoever started it is gone"),
        }
    };
    let agent = run_agent(config, ready, end);
    super::runtime()?.block_on(agent).map_err(failure)?;
    Ok(ExitCode::Reachable)
}

/// Waits until the given time; for ever, if there is none.
async fn expiry(at: Option<Timestamp>) {
    /// The clock may be set meanwhile.
    const LOOK_EVERY: Duration = Duration::from_secs(30);
    let Some(at) = at else {
        return std::future::pending().await;
    };
    while let Ok(left) = Duration::try_from(at.duration_since(Timestamp::now())) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}

/// Ties this process to its parent; false if that has ended already.
fn parent_is_there() -> Result<bool, Failure> {
    mesh_net::die_with_parent().map_err(|error| {
        Failure::could_not_run(anyhow::Error::new(error).context("cannot die with the parent"))
    })
}

fn failure(error: AgentError) -> Failure {
    match error {
        AgentError::NoTls | AgentError::TlsFile(_) => Failure::usage(error),
        AgentError::Listen { .. }
        | AgentError::InTheWay { .. }
        | AgentError::Responder { .. }
        | AgentError::Server(_)
        | AgentError::Random(_) => Failure::could_not_run(error),
    }
}
