//! One file that a result goes to.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::fd::RawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that could be written when it was checked.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// As the user gave it, for messages.
    given: PathBuf,
    /// What goes there, for messages.
    what: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Written aside in the same directory, then renamed.
    Regular { path: PathBuf, permissions: Permissions },
    /// A pipe, a character device or an inherited descriptor: nothing to put aside, and a rename would take its place. It
    /// is held open from the check on, so that whoever reads it does not go away meanwhile.
    Special(File),
}

/// Why a result cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {what} to {}: {cause}; {}", file.display(), mend(cause))]
pub(crate) struct FileError {
    file: PathBuf,
    what: &'static str,
    cause: io::Error,
}

/// What the user can do about it.
fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create the directory first, or give another place",
        io::ErrorKind::IsADirectory => "give a file in it",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give a place where you may write"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room, or give another place",
        io::ErrorKind::FileTooLarge => "raise the limit (ulimit -f), or give another place",
        _ if error.raw_os_error() == Some(NOBODY_READS) => "start what reads it first, or give a file",
        _ => "give another place with -o",
    }
}

/// ENXIO: a named pipe that nobody has open to read.
const NOBODY_READS: i32 = 6;

/// The number in /dev/fd/3, /proc/self/fd/3, /dev/stderr: what the caller handed over, open already.
fn inherited(given: &Path) -> Option<RawFd> {
    match given.to_str()? {
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        path => {
            let number = path
                .strip_prefix("/dev/fd/")
                .or_else(|| path.strip_prefix("/proc/self/fd/"))?;
            number.parse().ok().filter(|number| *number >= 0)
        }
    }
}

/// Whether this is another name of stdout.
pub(super) fn is_stdout(given: &Path) -> bool {
    inherited(given) == Some(1)
}

impl OutputFile {
    /// Tries whether `what` (as in "the report") can be written there. Nothing is left behind: not even a kill in the
    /// midst of the run leaves an empty file.
    pub(crate) fn check(given: &Path, what: &'static str) -> Result<Self, FileError> {
        let failed = |cause| FileError {
            file: given.to_owned(),
            what,
            cause,
        };
        let kind = Self::kind_of(given).map_err(failed)?;
        let file = Self {
            given: given.to_owned(),
            what,
            kind,
        };
        if let Kind::Regular { path, permissions } = &file.kind {
            aside(path, permissions).map_err(failed)?;
        }
        Ok(file)
    }

    fn kind_of(given: &Path) -> io::Result<Kind> {
        if let Some(number) = inherited(given) {
            return mesh_net::duplicate_descriptor(number).map(Kind::Special);
        }
        let found = match fs::metadata(given) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if given.as_os_str().as_encoded_bytes().ends_with(b"/") {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                // The directory must be there; its real name tells two ways to one file.
                let directory = fs::canonicalize(directory_of(given))?;
                let name = given
                    .file_name()
                    .ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
                // What a new file gets: the umask takes its share.
                let permissions = Permissions::from_mode(0o666);
                return Ok(Kind::Regular {
                    path: directory.join(name),
                    permissions,
                });
            }
            Err(error) => return Err(error),
        };
        if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let kind = found.file_type();
        if kind.is_fifo() || kind.is_char_device() {
            return mesh_net::open_without_waiting(given).map(Kind::Special);
        }
        if !kind.is_file() {
            return Err(io::Error::other("it is neither a file nor a pipe"));
        }
        // A file that its owner protected is not replaced behind their back, though the directory would allow it.
        OpenOptions::new().append(true).open(given)?;
        Ok(Kind::Regular {
            // A link stays a link: what it leads to is replaced.
            path: fs::canonicalize(given)?,
            permissions: found.permissions(),
        })
    }

    /// Whether both are one file.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Regular { path, .. }, Kind::Regular { path: other, .. }) => path == other,
            (Kind::Special(_), Kind::Special(_)) => {
                self.given == other.given && self.given != Path::new("/dev/null")
            }
            _ => false,
        }
    }

    /// Writes it whole, or leaves what was there.
    pub(crate) fn write(
        self,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), FileError> {
        let written = match &self.kind {
            Kind::Regular { path, permissions } => replace(path, permissions, content),
            Kind::Special(file) => {
                let mut out = BufWriter::new(file);
                content(&mut out).and_then(|()| out.flush())
            }
        };
        written.map_err(|cause| FileError {
            file: self.given,
            what: self.what,
            cause,
        })
    }
}

fn replace(
    path: &Path,
    permissions: &Permissions,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let file = aside(path, permissions)?;
    let mut out = BufWriter::new(file.as_file());
    content(&mut out)?;
    out.flush()?;
    drop(out);
    // A disk that is full may say so only here.
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// A file beside `path`, gone when dropped.
fn aside(path: &Path, permissions: &Permissions) -> io::Result<NamedTempFile> {
    // Opened here: the crate's own errors would name the temporary file, which says nothing to anybody.
    tempfile::Builder::new()
        .prefix(".mesh-")
        .make_in(directory_of(path), |aside| {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(permissions.mode())
                .open(aside)
        })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
