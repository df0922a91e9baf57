//! Versions of the wire.

/// The wire's version. Raised when an older peer could misread a newer one; equal on both sides, or refused in words.
pub const PROTOCOL: u32 = 2;

/// The software's version, for words only.
pub const SOFTWARE: &str = env!("CARGO_PKG_VERSION");

/// Two ends that do not speak the same protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{who} speaks mesh protocol {theirs} (version {their_software}), this is protocol {PROTOCOL} (version {SOFTWARE}): use the same version of mesh on both sides"
)]
pub struct VersionMismatch {
    who: &'static str,
    theirs: u32,
    their_software: String,
}

/// Compares the other side's protocol with ours. `who` is `the agent` or `the coordinator`.
pub fn check_protocol(who: &'static str, theirs: u32, their_software: &str) -> Result<(), VersionMismatch> {
    if theirs == PROTOCOL {
        return Ok(());
    }
    Err(VersionMismatch {
        who,
        theirs,
        their_software: their_software.chars().take(40).collect(),
    })
}
