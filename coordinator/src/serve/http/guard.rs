//! What every answer has in common: nothing is kept by browsers, nothing is framed, and a server on loopback is not reached
//! through a name that somebody else's page made up.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The page's own style and script, and its stream.
const POLICY: &str = include_str!("policy.txt");

pub(super) async fn guard(State(is_local): State<bool>, request: Request, next: Next) -> Response {
    let mut response = if is_local && !is_ours(request.headers()) {
        (
            StatusCode::MISDIRECTED_REQUEST,
            "this server answers to localhost and to addresses only\n",
        )
            .into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// Whether the request names this machine, and not a name that resolves to it by somebody's wish (DNS rebinding).
fn is_ours(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        // HTTP/1.0; no browser speaks it.
        return true;
    };
    if host.parse::<std::net::SocketAddr>().is_ok() || host.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    if let Some(bare) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return bare.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use axum::http::header::HOST;

    use super::is_ours;

    #[test]
    fn only_this_machine_is_named() {
        let table = [
            ("localhost:9441", true),
            ("LocalHost", true),
            ("127.0.0.1:9441", true),
            ("[::1]:9441", true),
            ("[::1]", true),
            ("evil.example:9441", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.nip.io:9441", false),
            ("", false),
        ];
        for (host, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            assert_eq!(is_ours(&headers), expected, "{host}");
        }
    }
}
