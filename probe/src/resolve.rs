//! DNS as an application of this place has it: by resolv.conf, with its search list, name servers and retries.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::system_conf::parse_resolv_conf;
use mesh_proto::{Failure, Reason};
use tokio::time::{Instant, timeout_at};

use crate::attempt::{Answered, Attempt, Outcome};
use crate::dns::dns_error;
use crate::moment::Clock;

/// The name servers that applications of this place ask; none if the file cannot be read.
pub(crate) fn nameservers(resolv_conf: &Path) -> Vec<IpAddr> {
    read(resolv_conf)
        .map(|(config, _)| config.name_servers().iter().map(|server| server.ip).collect())
        .unwrap_or_default()
}

/// Resolves a name as an application would write it.
pub(crate) async fn attempt(
    resolv_conf: &Path,
    name: &str,
    timeout: Duration,
    clock: Clock,
    deadline: Instant,
) -> Attempt {
    let (config, mut options) = match read(resolv_conf) {
        Ok(read) => read,
        Err(error) => return Attempt::untried(format!("{}: {error}", resolv_conf.display())),
    };
    // Each probe asks anew; a try is as long as the plan allows, not as long as resolv.conf does.
    options.cache_size = 0;
    options.timeout = options.timeout.min(timeout);
    let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build();
    let resolver = match resolver {
        Ok(resolver) => resolver,
        Err(error) => return Attempt::untried(format!("{}: {error}", resolv_conf.display())),
    };
    let began = clock.now();
    let failure = match timeout_at(deadline, resolver.lookup_ip(name)).await {
        Ok(Ok(_)) => {
            let answered = Answered {
                rtt: clock.now().since(began),
                ..Answered::default()
            };
            return Attempt {
                source_port: 0,
                sent: 1,
                outcome: Outcome::Answered(answered),
            };
        }
        Ok(Err(error)) => failure(&error, name),
        Err(_) => Failure::new(Reason::Timeout),
    };
    Attempt::failed(0, 1, failure)
}

fn failure(error: &NetError, name: &str) -> Failure {
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => dns_error(*code, name),
        NetError::Dns(DnsError::NoRecordsFound(none)) => dns_error(none.response_code, name),
        NetError::Timeout => Failure::new(Reason::Timeout),
        NetError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Failure::new(Reason::Refused)
        }
        // The resolver keeps errors of sockets to itself and tries on; in the end nobody answered.
        other => Failure {
            detail: Some(other.to_string()),
            ..Failure::new(Reason::Timeout)
        },
    }
}

fn read(resolv_conf: &Path) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    parse_resolv_conf(fs::read(resolv_conf)?)
}

#[cfg(test)]
mod tests;
