//! Where a webhook leads. Many have their secret in the path, so only host and port are ever shown.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// `http://HOST[:PORT]/PATH`, or with https.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WebhookUrl {
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// With the query.
    pub(super) path: String,
}

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected http://HOST[:PORT]/PATH, or https")]
pub(crate) struct BadWebhookUrl(&'static str);

impl FromStr for WebhookUrl {
    type Err = BadWebhookUrl;

    fn from_str(text: &str) -> Result<Self, BadWebhookUrl> {
        let uri: Uri = text.parse().map_err(|_| BadWebhookUrl("it is no URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(BadWebhookUrl("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or(BadWebhookUrl("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(BadWebhookUrl("a user or password in it is not sent"));
        }
        let host = authority.host();
        if host.is_empty() || authority.port_u16() == Some(0) {
            return Err(BadWebhookUrl("it has no usable host or port"));
        }
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

impl WebhookUrl {
    /// Whether it needs TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host as a resolver, or a certificate, has it.
    pub(super) fn bare_host(&self) -> &str {
        let inner = self
            .host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        inner.unwrap_or(&self.host)
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_path_is_never_shown() {
        for (text, shown, path) in [
            (
                "http://hook.example/a/secret?x=1",
                "hook.example:80",
                "/a/secret?x=1",
            ),
            ("https://hook.example", "hook.example:443", "/"),
            ("https://[fd00::1]:8443/p", "[fd00::1]:8443", "/p"),
        ] {
            let url: WebhookUrl = text.parse().unwrap();
            assert_eq!(
                (format!("{url}"), format!("{url:?}"), url.path.as_str()),
                (shown.into(), shown.into(), path)
            );
        }
        let v6: WebhookUrl = "http://[fd00::1]:1/".parse().unwrap();
        assert_eq!(v6.bare_host(), "fd00::1");
        for bad in [
            "",
            "hook.example/a",
            "ftp://hook.example",
            "http://",
            "http://u:p@hook.example/",
            "http://h:0/",
        ] {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }
}
