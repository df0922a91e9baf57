//! The answers, one function each.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Served;
use crate::history::{History, MOST_INCIDENTS, StoreError};
use crate::serve::{IncidentRecord, MinuteRow, Published, Standing, page};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Closed incidents that a page shows.
const SHOWN: usize = 100;

pub(super) async fn page(State(served): State<Served>) -> Response {
    match live(&served).await {
        Ok(live) => with_type(HTML, page::page(&live)),
        Err(refused) => refused,
    }
}

/// What a page shows; a script puts it in the place of what stood there.
pub(super) async fn fragment(State(served): State<Served>) -> Response {
    match live(&served).await {
        Ok(live) => {
            let mut response = with_type(HTML, page::fragment(&live));
            let fingerprint = live
                .published
                .as_ref()
                .map_or(0, |published| published.fingerprint);
            if let Ok(value) = HeaderValue::from_str(&fingerprint.to_string()) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static("mesh-fingerprint"), value);
            }
            response
        }
        Err(refused) => refused,
    }
}

pub(super) async fn script() -> Response {
    with_type(SCRIPT, page::SCRIPT)
}

async fn live(served: &Served) -> Result<page::Live, Response> {
    let now = Timestamp::now();
    let since = now.saturating_sub(page::TIME_LINE).unwrap_or(Timestamp::MIN);
    let incidents = read(served, move |history| history.incidents(since, SHOWN)).await?;
    Ok(page::Live {
        published: served.state.borrow().clone(),
        incidents,
        now,
    })
}

pub(super) async fn metrics(State(served): State<Served>) -> Response {
    match served.metrics.text() {
        Ok(text) => with_type(OPEN_METRICS, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Whether the looks go on. Kubernetes restarts what says no.
pub(super) async fn healthz(State(served): State<Served>) -> Response {
    let last = served
        .state
        .borrow()
        .as_ref()
        .map(|state| state.status.last_look.finished);
    let since = match &*served.standing.borrow() {
        Standing::Follows(_) => return "ok: it stands by\n".into_response(),
        Standing::Alone => served.began,
        Standing::Leads { since } | Standing::CutOff { since } => *since,
    };
    let age = Timestamp::now().duration_since(last.unwrap_or(since));
    let stuck_after = SignedDuration::try_from(served.stuck_after).unwrap_or(SignedDuration::MAX);
    if age > stuck_after {
        let words = format!("no look has ended for {} s\n", age.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    }
    "ok\n".into_response()
}

/// Whether there is something to tell. One that stands by passes on what the other tells.
pub(super) async fn readyz(State(served): State<Served>) -> Response {
    if served.state.borrow().is_some() || !served.standing.borrow().looks() {
        "ok\n".into_response()
    } else {
        no_look_yet()
    }
}

pub(super) async fn status(State(served): State<Served>) -> Response {
    match current(&served) {
        Some(state) => json(&state.status),
        None => no_look_yet(),
    }
}

/// Which report.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// The one that stood at this time; else the last.
    at: Option<String>,
}

pub(super) async fn report(State(served): State<Served>, Query(which): Query<Which>) -> Response {
    let Some(at) = which.at else {
        return match current(&served) {
            Some(state) => with_type(
                JSON,
                Body::from(axum::body::Bytes::from_owner(Shared(state.json()))),
            ),
            None => no_look_yet(),
        };
    };
    let Ok(at) = at.parse::<Timestamp>() else {
        let words = "at: no time as RFC 3339 has it, such as 2026-01-31T12:00:00Z\n";
        return (StatusCode::BAD_REQUEST, words).into_response();
    };
    match read(&served, move |history| history.report_at(at)).await {
        Ok(Some((_, report))) => json(&report),
        Ok(None) => (
            StatusCode::NOT_FOUND,
            "the history has no report of that time, or of before\n",
        )
            .into_response(),
        Err(refused) => refused,
    }
}

/// Bytes that many answers share.
struct Shared(Arc<[u8]>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Which incidents.
#[derive(Debug, Deserialize)]
pub(super) struct Since {
    /// Those that were there after this time; else of all times.
    since: Option<String>,
}

/// Incidents, the newest first.
#[derive(Debug, Serialize)]
struct IncidentsRecord {
    schema: &'static str,
    incidents: Vec<IncidentRecord>,
}

pub(super) async fn incidents(
    State(served): State<Served>,
    Query(Since { since }): Query<Since>,
) -> Response {
    let since = match since.map(|since| since.parse::<Timestamp>()) {
        None => Timestamp::MIN,
        Some(Ok(since)) => since,
        Some(Err(_)) => {
            let words = "since: no time as RFC 3339 has it, such as 2026-01-31T12:00:00Z\n";
            return (StatusCode::BAD_REQUEST, words).into_response();
        }
    };
    match read(&served, move |history| history.incidents(since, MOST_INCIDENTS)).await {
        Ok(incidents) => json(&IncidentsRecord {
            schema: "mesh.incidents/v1",
            incidents,
        }),
        Err(refused) => refused,
    }
}

/// Which minutes.
#[derive(Debug, Deserialize)]
pub(super) struct Span {
    from: String,
    to: String,
}

/// A node's minute, of one kind of probe.
#[derive(Debug, Serialize)]
struct MinuteRecord {
    at: Timestamp,
    node: String,
    probe: String,
    looks: u32,
    failed: u32,
    degraded: u32,
    unknown: u32,
    rtt_p50_us: u32,
    rtt_p99_us: u32,
}

/// Minutes, the oldest first.
#[derive(Debug, Serialize)]
struct MinutesRecord {
    schema: &'static str,
    minutes: Vec<MinuteRecord>,
    /// There are more: ask from the last one on.
    more: bool,
}

/// Rows of one answer.
const MOST_MINUTES: usize = 10_000;

pub(super) async fn minutes(State(served): State<Served>, Query(span): Query<Span>) -> Response {
    let minute = |text: &str| text.parse::<Timestamp>().map(|at| at.as_second().div_euclid(60));
    let (Ok(from), Ok(to)) = (minute(&span.from), minute(&span.to)) else {
        let words = "from, to: no time as RFC 3339 has it, such as 2026-01-31T12:00:00Z\n";
        return (StatusCode::BAD_REQUEST, words).into_response();
    };
    match read(&served, move |history| {
        history.minutes(from, to.max(from), MOST_MINUTES)
    })
    .await
    {
        Ok(rows) => {
            let record = |(minute, node, probe, row): (i64, String, String, MinuteRow)| {
                Some(MinuteRecord {
                    at: Timestamp::from_second(minute.checked_mul(60)?).ok()?,
                    node,
                    probe,
                    looks: row.looks,
                    failed: row.failed,
                    degraded: row.degraded,
                    unknown: row.unknown,
                    rtt_p50_us: row.rtt_p50,
                    rtt_p99_us: row.rtt_p99,
                })
            };
            json(&MinutesRecord {
                schema: "mesh.minutes/v1",
                more: rows.len() == MOST_MINUTES,
                minutes: rows.into_iter().filter_map(record).collect(),
            })
        }
        Err(refused) => refused,
    }
}

/// Reads the history beside the runtime's thread, a few at a time.
async fn read<T: Send + 'static>(
    served: &Served,
    work: impl FnOnce(&History) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Response> {
    // Never closed.
    let place = Arc::clone(&served.limits.readers).acquire_owned().await;
    let history = served.history.clone();
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work(&history)
    });
    match done.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()),
        Err(_) => Err((StatusCode::INTERNAL_SERVER_ERROR, "the history was not read\n").into_response()),
    }
}

fn current(served: &Served) -> Option<Arc<Published>> {
    served.state.borrow().clone()
}

fn no_look_yet() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "the first look has not ended yet\n",
    )
        .into_response()
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type(JSON, bytes),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn with_type(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, kind)], body.into()).into_response()
}
