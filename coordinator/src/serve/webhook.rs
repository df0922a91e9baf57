//! Incidents as CloudEvents (version 1.0, structured JSON) to an address that somebody named: one at a time, in their order,
//! again and again until it takes them, for a while.
//!
//! The task lives in the server's `JoinSet` and ends with it; what is not delivered by then is lost, as the history has it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use super::notice::Notice;
use super::{IncidentRecord, Metrics};
use crate::cli;

mod post;
mod url;

pub(crate) use self::url::WebhookUrl;

/// The name that metrics give it.
pub(crate) const NAME: &str = "webhook";

/// How long it is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tries {
    /// After the first failure; twice as long after each further one.
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
    pub(crate) most: u32,
}

impl Default for Tries {
    /// Eleven tries over some ten minutes: a receiver may be restarted, and the network mended, in that time.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(2),
            most: 11,
        }
    }
}

impl Tries {
    /// The pause after so many tries that failed; `None`: that was the last one.
    fn pause(self, failed: u32) -> Option<Duration> {
        let doubled = self
            .first_pause
            .saturating_mul(1 << failed.saturating_sub(1).min(16));
        (failed < self.most).then(|| doubled.min(self.longest_pause))
    }
}

/// Where to, and who says so.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) url: WebhookUrl,
    /// For https: whom to trust.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// `source` of the events: which server of which cluster.
    pub(crate) source: String,
    pub(crate) tries: Tries,
}

/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>
#[derive(Debug, Serialize)]
struct CloudEvent<'n> {
    specversion: &'static str,
    /// The same at each try, so that a receiver may tell what it has already.
    id: String,
    source: &'n str,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    data: &'n IncidentRecord,
}

impl<'n> CloudEvent<'n> {
    fn of(notice: &'n Notice, source: &'n str) -> Self {
        let Notice { what, at, incident } = notice;
        Self {
            specversion: "1.0",
            id: format!("{}-{}-{}", incident.id, what.name(), at.as_millisecond()),
            source,
            kind: format!("mesh.incident.{}", what.name()),
            subject: crate::render::place(&incident.finding),
            time: *at,
            datacontenttype: "application/json",
            data: incident,
        }
    }
}

impl Webhook {
    /// Delivers until nobody puts anything in any more.
    pub(crate) async fn deliver_all(self, mut notices: mpsc::Receiver<Notice>, metrics: Arc<Metrics>) {
        let mut is_well = true;
        while let Some(notice) = notices.recv().await {
            let delivered = self.deliver(&notice, &mut is_well).await;
            metrics.notice(NAME, delivered);
        }
    }

    async fn deliver(&self, notice: &Notice, is_well: &mut bool) -> bool {
        let Ok(body) = serde_json::to_vec(&CloudEvent::of(notice, &self.source)) else {
            return false;
        };
        let mut failed = 0;
        loop {
            let error = match post::post(&self.url, self.tls.as_ref(), body.clone()).await {
                Ok(()) => {
                    *is_well = true;
                    return true;
                }
                Err(error) => error,
            };
            failed += 1;
            // What is away stays so for a while: it is said once.
            if std::mem::take(is_well) {
                cli::tell(format_args!("the webhook: {error}"));
            }
            let pause = self.tries.pause(failed).filter(|_| error.may_pass());
            let Some(pause) = pause else {
                cli::tell(format_args!(
                    "the webhook does not get that incident {} was {}: {error}",
                    notice.incident.id,
                    notice.what.name()
                ));
                return false;
            };
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests;
