//! The image's only layer: a tar archive with the one file `/mesh`, gzipped.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};

use super::created::Created;

/// A layer in both of its forms: a manifest names it by the digest of one, a config by that of the other.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) plain: Vec<u8>,
    pub(super) gzipped: Vec<u8>,
}

impl Layer {
    pub(super) fn of(executable: &[u8], created: Created) -> Self {
        let plain = in_memory(archive(executable, created));
        let gzipped = in_memory(gzip(&plain));
        Self { plain, gzipped }
    }
}

fn archive(executable: &[u8], created: Created) -> io::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::with_capacity(executable.len() + 4096));
    append(&mut layer, "mesh", 0o755, created, executable)?;
    layer.into_inner()
}

/// Adds a file of root's.
pub(super) fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &str,
    mode: u32,
    created: Created,
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(created.seconds);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    // The builder's defaults put neither a time nor a name of a file into the header (RFC 1952, section 2.3).
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(plain)?;
    gzip.finish()
}

/// Writing to a vector fails in no way but for want of memory, which is no error but an end.
fn in_memory(written: io::Result<Vec<u8>>) -> Vec<u8> {
    written.expect("memory takes all that is written to it")
}
