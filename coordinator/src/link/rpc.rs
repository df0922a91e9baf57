//! The calls over one link, in the vocabulary's types. What an agent answers is parsed here, and its words are made fit
//! for a terminal and a report.

use std::time::Duration;

use mesh_probe::rpc::agent_client::AgentClient;
use mesh_proto::wire::{Inquire, Prepare, Prepared, WireError, v1};
use mesh_proto::{HostFacts, Plan, Starvation, Tally, VersionMismatch, check_protocol};
use tonic::transport::Channel;

/// A link that is open.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    client: AgentClient<Channel>,
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RpcError {
    /// It took too long.
    #[error("no answer to {call} within {after:?}")]
    Silent { call: &'static str, after: Duration },
    /// The agent speaks another protocol.
    #[error(transparent)]
    Version(#[from] VersionMismatch),
    /// The answer does not fit.
    #[error("the agent's answer to {call} is garbage: {source}")]
    Garbage { call: &'static str, source: WireError },
    /// The agent, or HTTP/2 on the way, said no.
    #[error("{call} failed: {why}")]
    Refused {
        call: &'static str,
        why: String,
        /// It was the link.
        broken: bool,
    },
}

impl RpcError {
    /// Whether the link broke, which says nothing of the agent.
    pub(crate) fn is_broken_link(&self) -> bool {
        matches!(self, Self::Refused { broken: true, .. })
    }
}

/// Observations as they come.
pub(crate) type Observations = tonic::Streaming<v1::ProbeReply>;

/// Answers of a second look as they come.
pub(crate) type Answers = tonic::Streaming<v1::InquireReply>;

impl Link {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            client: AgentClient::new(channel),
        }
    }

    /// Opens a run.
    pub(crate) async fn prepare(&self, prepare: &Prepare, patience: Duration) -> Result<Prepared, RpcError> {
        const CALL: &str = "Prepare";
        let mut client = self.client.clone();
        let reply = call(CALL, patience, client.prepare(prepare.to_wire())).await?;
        check_protocol("the agent", reply.protocol, &printable(&reply.version))?;
        Prepared::from_wire(&reply).map_err(|source| RpcError::Garbage { call: CALL, source })
    }

    /// Starts a plan. `patience` bounds the start only; the stream has no end of its own.
    pub(crate) async fn probe(
        &self,
        plan: Plan,
        run_id: &str,
        patience: Duration,
    ) -> Result<Observations, RpcError> {
        let mut client = self.client.clone();
        let request = plan.to_wire(run_id);
        // It may be large, and the agent may take its time.
        drop(plan);
        call("Probe", patience, client.probe(request)).await
    }

    /// Asks what is wanted in a second look. `patience` bounds the start only; the agent ends the stream in time.
    pub(crate) async fn inquire(&self, inquire: &Inquire, patience: Duration) -> Result<Answers, RpcError> {
        let mut client = self.client.clone();
        call("Inquire", patience, client.inquire(inquire.to_wire())).await
    }

    /// What the kernel of the agent's place says of itself.
    pub(crate) async fn facts(&self, patience: Duration) -> Result<HostFacts, RpcError> {
        const CALL: &str = "Facts";
        let mut client = self.client.clone();
        let reply = call(CALL, patience, client.facts(v1::FactsRequest {})).await?;
        HostFacts::from_wire(&reply).map_err(|source| RpcError::Garbage { call: CALL, source })
    }

    /// Ends a run; what the agent received from whom.
    pub(crate) async fn stop(
        &self,
        run_id: &str,
        patience: Duration,
    ) -> Result<(Vec<Tally>, Starvation), RpcError> {
        const CALL: &str = "Stop";
        let mut client = self.client.clone();
        let request = v1::StopRequest {
            run_id: run_id.to_owned(),
        };
        let reply = call(CALL, patience, client.stop(request)).await?;
        let tallies = reply
            .received
            .iter()
            .map(Tally::from_wire)
            .collect::<Result<_, _>>();
        let starvation = reply
            .starvation
            .as_ref()
            .map(Starvation::from_wire)
            .unwrap_or_default();
        let tallies = tallies.map_err(|source| RpcError::Garbage { call: CALL, source })?;
        Ok((tallies, starvation))
    }
}

async fn call<T>(
    call: &'static str,
    patience: Duration,
    work: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, RpcError> {
    match tokio::time::timeout(patience, work).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(RpcError::Refused {
            call,
            why: status_words(&status),
            broken: is_broken_link(&status),
        }),
        Err(_) => Err(RpcError::Silent {
            call,
            after: patience,
        }),
    }
}

/// Whether the transport failed, not the agent.
pub(crate) fn is_broken_link(status: &tonic::Status) -> bool {
    // A status that was made on this side has the transport's error inside.
    std::error::Error::source(status).is_some()
}

/// What a status means on a link.
pub(crate) fn status_words(status: &tonic::Status) -> String {
    if status.code() == tonic::Code::Unimplemented {
        return "it answers gRPC, but is no mesh agent".to_owned();
    }
    // Of the transport's errors the innermost says most.
    let mut innermost = std::error::Error::source(status);
    while let Some(inner) = innermost.and_then(std::error::Error::source) {
        innermost = Some(inner);
    }
    match innermost {
        Some(cause) => {
            let cause = cause.to_string();
            // rustls points to its manual.
            let words = cause.split(": https://").next().unwrap_or_default();
            format!("the link broke: {}", printable(words))
        }
        None if status.message().is_empty() => format!("the agent answered {:?}", status.code()),
        None => printable(status.message()),
    }
}

/// An agent's words as they may stand on a terminal and in a report: no control characters, not endless.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 500;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut words: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().nth(LONGEST).is_some() {
        words.push_str("...");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{printable, status_words};

    #[test]
    fn an_agents_words_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc"), "a [2Jb  c");
        assert_eq!(printable(&"x".repeat(501)).len(), 503);
    }

    #[test]
    fn a_status_is_told_in_words() {
        let refused = tonic::Status::failed_precondition("the run is unknown");
        assert_eq!(status_words(&refused), "the run is unknown");
        let foreign = tonic::Status::unimplemented("");
        assert_eq!(status_words(&foreign), "it answers gRPC, but is no mesh agent");
        assert_eq!(
            status_words(&tonic::Status::unknown("")),
            "the agent answered Unknown"
        );
    }
}
