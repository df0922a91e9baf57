//! What went wrong between us and the API server, in the words of an operator.

use kube::client::UpgradeConnectionError;
use kube::core::Status;

/// A request that failed: what was tried, and why not, with what to do where that is known.
#[derive(Debug, thiserror::Error)]
// The words hold the cause already: it is no `source`, or it would be told twice.
#[error("cannot {what}: {}", why(cause))]
pub struct ApiError {
    /// What was tried: `list nodes`.
    what: String,
    /// The client's error.
    cause: kube::Error,
}

impl ApiError {
    /// For `map_err`.
    pub(crate) fn of(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |cause| Self { what, cause }
    }

    /// Whether it may be better in a while: nobody answered, or the API server was not itself.
    pub fn may_pass(&self) -> bool {
        status(&self.cause).is_none_or(|status| status.code >= 500 || status.code == 429)
    }
}

impl ApiError {
    /// Whether nobody answered, or an API server that is ending or beginning. One that begins knows nobody's rights yet.
    pub(crate) fn is_of_a_server_that_is_away(&self) -> bool {
        let code = match &self.cause {
            kube::Error::Api(status) => status.code,
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => code.as_u16(),
            kube::Error::Service(_) | kube::Error::HyperError(_) => return true,
            _ => return false,
        };
        matches!(code, 401 | 403 | 429 | 503)
    }
}

/// The API server's answer, where the error is one.
pub(crate) fn status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    status(error).is_some_and(|status| status.code == 404)
}

/// In one line: the innermost cause, and what to do.
fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => answer(status),
        kube::Error::Auth(error) => {
            format!(
                "the credentials of the kubeconfig cannot be used: {}",
                innermost(error)
            )
        }
        other => unreachable_words(&innermost(other)),
    }
}

fn answer(status: &Status) -> String {
    match status.code {
        401 => "the API server does not know you (401 Unauthorized): the credentials of the kubeconfig are wrong or have \
                expired"
            .to_owned(),
        403 => format!("forbidden: {}", status.message),
        _ => status.message.clone(),
    }
}

/// What came before the request reached anybody.
fn unreachable_words(cause: &str) -> String {
    let hint = if cause.contains("certificate") || cause.contains("UnknownIssuer") {
        " (the cluster's certificate authority in the kubeconfig may be of another cluster, or a certificate has expired)"
    } else if cause.contains("refused") || cause.contains("timed out") || cause.contains("unreachable") {
        " (is the address in the kubeconfig right, and does a VPN or a proxy stand between? `kubectl cluster-info` tells)"
    } else {
        ""
    };
    format!("the API server cannot be reached: {cause}{hint}")
}

/// Libraries wrap errors several times, and the outer words say less.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        innermost = error.to_string();
        next = error.source();
    }
    // rustls points to its manual.
    innermost
        .split(": https://docs.rs")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_status(code: u16, message: &str) -> String {
        let status = Status::failure(message, "reason").with_code(code);
        ApiError::of("list nodes")(kube::Error::Api(status.boxed())).to_string()
    }

    #[test]
    fn answers_of_the_api_server_say_what_to_do() {
        assert!(of_status(401, "Unauthorized").contains("credentials"));
        let forbidden = of_status(
            403,
            "nodes is forbidden: User \"x\" cannot list resource \"nodes\"",
        );
        assert!(
            forbidden.starts_with("cannot list nodes: forbidden: nodes is forbidden"),
            "{forbidden}"
        );
        assert_eq!(of_status(500, "etcd is away"), "cannot list nodes: etcd is away");
    }

    #[test]
    fn the_innermost_cause_is_told() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = kube::Error::Service(Box::new(refused));
        let words = ApiError::of("list nodes")(error).to_string();
        assert!(
            words.contains("connection refused") && words.contains("kubectl cluster-info"),
            "{words}"
        );
    }
}
