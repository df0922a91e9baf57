//! An image's name, as in `registry.example:5000/net/mesh:0.1.0`. The grammar is that of
//! <https://github.com/distribution/reference>, which container runtimes use.

use std::fmt;
use std::str::FromStr;

/// Registry, path and tag, each there: what was left out is filled in as runtimes do, since containerd finds an image
/// for a pod by its full name only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    registry: String,
    path: String,
    tag: String,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadReference {
    #[error("the name of the image is missing")]
    NoPath,
    #[error("an image has its digest from its content: leave '@...' out, and give a tag instead")]
    Digest,
    #[error("no 'http://' or the like belongs before the registry")]
    Scheme,
    #[error("'{0}' is no registry: a host name or address is expected, and :PORT where it has one")]
    Registry(String),
    #[error(
        "'{0}' cannot be part of a name: it may have lower-case letters and digits, and between them one of '.', \
         '_', '__', or dashes"
    )]
    Path(String),
    #[error(
        "'{0}' is no tag: up to 128 letters, digits, '_', '.', '-' are expected, of which '.' and '-' not in front"
    )]
    Tag(String),
    #[error("it is {0} characters long, without the tag, and 255 is the most")]
    Long(usize),
}

/// Runtimes' own idea of where a name without a registry comes from.
const DOCKER_HUB: &str = "docker.io";

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        if text.contains("://") {
            return Err(BadReference::Scheme);
        }
        if text.contains('@') {
            return Err(BadReference::Digest);
        }
        // A colon before a slash belongs to a registry's port.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        if !is_tag(tag) {
            return Err(BadReference::Tag(shown(tag)));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if names_registry(first) => (first, rest.to_owned()),
            Some(_) => (DOCKER_HUB, name.to_owned()),
            None if name.is_empty() => return Err(BadReference::NoPath),
            None => (DOCKER_HUB, format!("library/{name}")),
        };
        if !is_registry(registry) {
            return Err(BadReference::Registry(shown(registry)));
        }
        if path.is_empty() {
            return Err(BadReference::NoPath);
        }
        if let Some(part) = path.split('/').find(|part| !is_path_part(part)) {
            return Err(BadReference::Path(shown(part)));
        }
        let length = registry.len() + 1 + path.len();
        if length > 255 {
            return Err(BadReference::Long(length));
        }
        Ok(Self {
            registry: registry.to_owned(),
            path,
            tag: tag.to_owned(),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.path, self.tag)
    }
}

/// Whether what stands before the first slash means a registry, not a folder on Docker Hub.
fn names_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.contains(|c: char| c.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_is_good = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_good = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    port_is_good && host_is_good
}

/// Between two dots of a host name.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Letters and digits, and between any two of them at most one separator.
fn is_path_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(plain)
        && part.ends_with(plain)
        && part.split(plain).all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// For messages: no control characters to the terminal.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
