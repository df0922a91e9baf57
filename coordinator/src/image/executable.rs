//! What an executable tells of itself: whether it needs anything besides the kernel, and the machine that it is for.
//! ELF: System V gABI, <https://gabi.xinuos.com/>.

use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

/// The machines that mesh is built for, under the names that images know them by (those of Go's GOARCH).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Why an executable makes no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPackable {
    /// It needs a loader and libraries, which an image from scratch does not have.
    #[error("it is not static but needs {0} and libraries, and the image has nothing but mesh in it")]
    Dynamic(String),
    /// Not an executable of 64 bits at all.
    #[error("it is no ELF executable of 64 bits: {0}")]
    NotElf(#[from] object::read::Error),
    /// By its number in the ELF header.
    #[error("it is for a machine that images have no name for here (ELF machine {0})")]
    Machine(u16),
}

/// The machine of an executable that needs nothing besides the kernel.
pub(super) fn architecture_of_static(executable: &[u8]) -> Result<Architecture, NotPackable> {
    let header = FileHeader64::<Endianness>::parse(executable)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, executable)? {
        // Not the dynamic section: a static executable that runs at any address (static-pie) has one as well.
        if let Some(loader) = segment.interpreter(endian, executable)? {
            return Err(NotPackable::Dynamic(String::from_utf8_lossy(loader).into_owned()));
        }
    }
    match header.e_machine(endian) {
        EM_X86_64 => Ok(Architecture::Amd64),
        EM_AARCH64 => Ok(Architecture::Arm64),
        other => Err(NotPackable::Machine(other)),
    }
}
