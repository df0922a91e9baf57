//! Host facts on the wire: one JSON document, the same that `mesh probe facts -o json` prints.

use super::{WireError, v1};
use crate::HostFacts;

impl HostFacts {
    /// The message for these facts.
    pub fn to_wire(&self) -> v1::FactsReply {
        // Maps with text for keys, and finite numbers: nothing in them can fail to be written.
        let document = serde_json::to_vec(self).unwrap_or_default();
        v1::FactsReply { document }
    }

    /// How long the document is, in bytes.
    pub fn document_len(&self) -> usize {
        let mut length = Length(0);
        // As above; and counting cannot fail.
        let _ = serde_json::to_writer(&mut length, self);
        length.0
    }

    /// Parses facts that an agent sent.
    pub fn from_wire(message: &v1::FactsReply) -> Result<Self, WireError> {
        let malformed = |error: serde_json::Error| WireError::new("facts.document", error.to_string());
        let mut document = serde_json::from_slice(&message.document).map_err(malformed)?;
        clean(&mut document);
        serde_json::from_value(document).map_err(malformed)
    }
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Names and remarks are quoted on terminals and in reports: control characters must not steer them.
pub(super) fn clean(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains(char::is_control) => {
            *text = text.replace(char::is_control, " ");
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(clean),
        serde_json::Value::Object(members) => members.values_mut().for_each(clean),
        _ => {}
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
