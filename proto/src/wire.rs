//! The wire: generated protobuf messages, and their one translation to and from the vocabulary. What came from the
//! other side is parsed here, once; a message that does not fit is a [`WireError`], never a panic.

mod answer;
mod facts;
mod inquiry;
mod observation;
mod plan;
mod session;
mod words;

/// The generated messages of `mesh/v1/agent.proto`.
#[allow(missing_docs, clippy::pedantic, reason = "generated code")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/mesh.v1.rs"));
}

pub use self::inquiry::Inquire;
pub use self::session::{Prepare, Prepared, RunKey};

/// A message of the other side that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {field}: {why}")]
pub struct WireError {
    field: &'static str,
    why: String,
}

impl WireError {
    pub(crate) fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self {
            field,
            why: why.into(),
        }
    }
}

/// 4 or 16 bytes.
pub(crate) fn parse_address(field: &'static str, bytes: &[u8]) -> Result<std::net::IpAddr, WireError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        return Ok(v6.into());
    }
    Err(WireError::new(
        field,
        format!("an address has 4 or 16 bytes, not {}", bytes.len()),
    ))
}

pub(crate) fn address_bytes(address: std::net::IpAddr) -> Vec<u8> {
    match address {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub(crate) fn parse_u8(field: &'static str, number: u32) -> Result<u8, WireError> {
    u8::try_from(number).map_err(|_| WireError::new(field, format!("{number} is above 255")))
}

pub(crate) fn parse_u16(field: &'static str, number: u32) -> Result<u16, WireError> {
    u16::try_from(number).map_err(|_| WireError::new(field, format!("{number} is above 65535")))
}

pub(crate) fn parse_boot_id(field: &'static str, bytes: &[u8]) -> Result<crate::BootId, WireError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| WireError::new(field, format!("16 bytes wanted, {} came", bytes.len())))?;
    Ok(crate::BootId(bytes))
}

pub(crate) fn parse_node(field: &'static str, text: &str) -> Result<crate::NodeName, WireError> {
    text.parse()
        .map_err(|error: crate::BadNodeName| WireError::new(field, error.to_string()))
}

#[cfg(test)]
mod tests;
