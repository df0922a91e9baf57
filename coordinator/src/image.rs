//! mesh's own binary as a container image: an OCI image layout in a tar archive, made from scratch, with nothing in it
//! but `/mesh`. Pure: bytes in, bytes out, and the same input gives the same bytes.

mod created;
mod executable;
mod layer;
mod layout;
mod reference;

use std::io::{self, Write};

pub(crate) use self::created::Created;
use self::executable::Architecture;
pub(crate) use self::executable::NotPackable;
use self::layer::Layer;
use self::layout::Layout;
pub(crate) use self::reference::{BadReference, Reference};

/// What pods run unless told otherwise. `localhost` is no registry that anybody could push to, so that a node on which
/// the image was never loaded says so, instead of running what a stranger published under that name.
pub(crate) const DEFAULT_IMAGE: &str = concat!("localhost/mesh:", env!("CARGO_PKG_VERSION"));

/// An image, packed and not yet written.
#[derive(Debug)]
pub(crate) struct Image {
    architecture: Architecture,
    compressed: usize,
    layout: Layout,
}

impl Image {
    /// Packs a static executable.
    pub(crate) fn pack(executable: &[u8], name: &Reference, created: Created) -> Result<Self, NotPackable> {
        let architecture = executable::architecture_of_static(executable)?;
        let layer = Layer::of(executable, created);
        Ok(Self {
            architecture,
            compressed: layer.gzipped.len(),
            layout: Layout::of(layer, architecture, name, created),
        })
    }

    /// Writes the archive.
    pub(crate) fn write(&self, out: impl Write) -> io::Result<()> {
        self.layout.write(out)
    }

    /// What it runs on, as in `linux/amd64`.
    pub(crate) fn platform(&self) -> String {
        format!("linux/{}", self.architecture.name())
    }

    /// Bytes that a node pulls: the layer, compressed.
    pub(crate) fn compressed(&self) -> usize {
        self.compressed
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
