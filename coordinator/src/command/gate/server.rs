//! The gate over a `mesh serve` that runs: its looks instead of ours.

use std::time::Duration;

use mesh_proto::Report;

use super::Watch;
use crate::failure::Failure;
use crate::serve::StatusRecord;
use crate::server_url::{ServerError, ServerUrl};

/// Between two times that the server is asked whether it has looked again.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// A look of a large cluster with many dead paths takes as long.
const LOOK_PATIENCE: Duration = Duration::from_mins(2);

/// Decides by the server's looks.
pub(super) fn watch(watch: &mut Watch, server: &ServerUrl) -> Result<(), Failure> {
    let mut last = Last::default();
    let mut interrupt = watch.interrupt.clone();
    let looks = watch.decide(async |left| {
        let next = next_look(server, &mut last);
        tokio::select! {
            looked = tokio::time::timeout(left.min(LOOK_PATIENCE), next) => {
                let looked = looked.unwrap_or(Err(ServerError::NoNewLook));
                looked.map_err(|error| error.to_string())
            }
            () = interrupt.wait() => Err("interrupted".to_owned()),
        }
    });
    super::super::runtime()?.block_on(looks);
    Ok(())
}

/// The look that was heard of last.
#[derive(Debug, Default)]
struct Last {
    looks: Option<u64>,
}

impl Last {
    /// Whether a look is news, and began after this gate: the one that stands when we come is older, and the one after it may
    /// have been under way. (A server that was started anew begins to count anew.)
    fn is_news(&mut self, looks: u64) -> bool {
        match self.looks {
            Some(known) if looks > known => {
                self.looks = Some(looks);
                true
            }
            Some(known) if looks < known => {
                self.looks = Some(looks + 1);
                false
            }
            Some(_) => false,
            None => {
                self.looks = Some(looks + 1);
                false
            }
        }
    }
}

/// Waits for the server's next look. Why it does not trust what it sees is no look.
async fn next_look(server: &ServerUrl, last: &mut Last) -> Result<Report, ServerError> {
    loop {
        let status: StatusRecord = server.get("/api/v1/status").await?;
        if last.is_news(status.looks) {
            return match status.doubt {
                Some(why) => Err(ServerError::Doubts { why }),
                None => server.report().await,
            };
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Last;

    #[test]
    fn looks_that_began_before_the_gate_are_not_its_looks() {
        let mut last = Last::default();
        // The fourth look stands, the fifth may be under way; then the server starts anew.
        let news: Vec<bool> = [4, 4, 5, 6, 6, 9, 1, 2, 3]
            .into_iter()
            .map(|looks| last.is_news(looks))
            .collect();
        assert_eq!(news, [false, false, false, true, false, true, false, false, true]);
    }
}
