//! The live stream of a page (server-sent events): a line after each look. Who is slow gets the last one only.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use super::Served;
use crate::serve::{Metrics, Published};

/// What a page is told after a look. A number of 64 bits would not fit a script's, so the fingerprint is text.
#[derive(Debug, Serialize)]
struct Looked<'p> {
    fingerprint: String,
    looks: u64,
    depth: &'p str,
    finished: String,
    verdict: &'p str,
    open: usize,
}

/// Faster than this nobody reads, and many pages would cost more than the looks.
const NOT_FASTER_THAN: Duration = Duration::from_millis(500);

/// Counts the pages that follow.
struct Following(std::sync::Arc<Metrics>);

impl Following {
    fn begin(metrics: std::sync::Arc<Metrics>) -> Self {
        metrics.page(1);
        Self(metrics)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.page(-1);
    }
}

pub(super) async fn events(State(served): State<Served>) -> Response {
    let Ok(place) = std::sync::Arc::clone(&served.limits.pages).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages follow already\n").into_response();
    };
    let following = Following::begin(std::sync::Arc::clone(&served.metrics));
    let mut state = served.state.clone();
    state.mark_changed();
    let start = (state, place, following, Duration::ZERO);
    let events = stream::unfold(start, |(mut state, place, following, pause)| async move {
        tokio::time::sleep(pause).await;
        // The watch has ended, and the stream with it.
        state.changed().await.ok()?;
        let event = state.borrow_and_update().as_deref().map(event);
        let event = event.unwrap_or_else(|| Event::default().comment("no look yet"));
        Some((
            Ok::<_, Infallible>(event),
            (state, place, following, NOT_FASTER_THAN),
        ))
    });
    Sse::new(events).keep_alive(KeepAlive::new()).into_response()
}

fn event(published: &Published) -> Event {
    let status = &published.status;
    let looked = Looked {
        fingerprint: published.fingerprint.to_string(),
        looks: status.looks,
        depth: &status.last_look.depth,
        finished: status.last_look.finished.to_string(),
        verdict: status.verdict.name(),
        open: status.incidents.len(),
    };
    match serde_json::to_string(&looked) {
        Ok(json) => Event::default().event("look").data(json),
        Err(_) => Event::default().comment("no look"),
    }
}
