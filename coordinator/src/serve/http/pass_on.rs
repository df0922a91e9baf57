//! What a coordinator that stands by answers: what the one that leads does. Its own are only its health and its metrics.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Served;
use crate::serve::Standing;

/// Who was asked already does not ask on: two that take each other for the leader would go in circles.
const PASSED_ON: &str = "mesh-passed-on";
/// Of each coordinator by itself.
const OWN: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
/// One that is there answers at once; the longest report of all takes a few seconds to write.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Why the leader does not answer.
#[derive(Debug, thiserror::Error)]
enum Silent {
    #[error("it does not say where it is")]
    NoAddress,
    #[error("it stands by itself: who leads is being settled")]
    InCircles,
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    #[error("no answer from {0} in time")]
    Slow(SocketAddr),
    #[error("no answer from {0}: {1}")]
    Http(SocketAddr, hyper::Error),
}

pub(super) async fn pass_on(State(served): State<Served>, request: Request, next: Next) -> Response {
    let is_own = OWN.contains(&request.uri().path()) || request.method() != Method::GET;
    let Standing::Follows(leader) = served.standing.borrow().clone() else {
        return next.run(request).await;
    };
    if is_own {
        return next.run(request).await;
    }
    let Some(leader) = leader else {
        let words = "this coordinator stands by, and none leads yet\n";
        return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    };
    let is_passed_on = request.headers().contains_key(PASSED_ON);
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    let answer = match leader.address {
        _ if is_passed_on => Err(Silent::InCircles),
        None => Err(Silent::NoAddress),
        Some(address) => ask(address, &target).await,
    };
    match answer {
        Ok(answer) => answer,
        Err(why) => {
            let words = format!(
                "this coordinator stands by: {} leads, and is not heard: {why}\n",
                leader.name
            );
            (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
        }
    }
}

async fn ask(address: SocketAddr, target: &str) -> Result<Response, Silent> {
    let slow = |_| Silent::Slow(address);
    let stream = tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await;
    let stream = stream
        .map_err(slow)?
        .map_err(|error| Silent::Connect(address, error))?;
    let http = |error| Silent::Http(address, error);
    let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(http)?;
    // It ends with the answer's body, which its own client's connection bounds, or with the sender.
    tokio::spawn(connection);
    let asked = hyper::Request::get(target)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .header(PASSED_ON, "1")
        .body(Empty::<Bytes>::new());
    // A target that came in as one goes out as one.
    let asked = asked.unwrap_or_default();
    let answer = tokio::time::timeout(ANSWER_PATIENCE, sender.send_request(asked)).await;
    let answer = answer.map_err(slow)?.map_err(http)?;
    let mut response = Response::builder().status(answer.status());
    for name in [header::CONTENT_TYPE.as_str(), "mesh-fingerprint"] {
        if let Some(value) = answer.headers().get(name) {
            response = response.header(name, value);
        }
    }
    let body = Body::new(answer.into_body());
    Ok(response
        .body(body)
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response()))
}
