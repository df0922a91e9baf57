//! The file: opened, checked, and set aside where it is corrupt.

use std::io;
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, DatabaseError, StorageError};

use super::store::{History, StoreError};

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// Another process has it.
    #[error("the history {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    /// The file can be neither read nor written.
    #[error("cannot open the history {}", path.display())]
    Open { path: PathBuf, source: DatabaseError },
    /// It is corrupt, and stays in the way.
    #[error("the history {} is corrupt and cannot be set aside", path.display())]
    SetAside { path: PathBuf, source: io::Error },
    /// It was made, but takes nothing.
    #[error("the history {} takes nothing", path.display())]
    Store { path: PathBuf, source: StoreError },
}

/// Pages that stay in memory: nobody reads much of a history.
const CACHE: usize = 4 << 20;

/// Opens it; `None` is one in memory. What had to be set aside is told in words.
pub(crate) fn open(path: Option<&Path>) -> Result<(History, Option<String>), HistoryError> {
    let Some(path) = path else {
        let in_memory = Builder::new().create_with_backend(InMemoryBackend::new());
        let path = || PathBuf::from("in memory");
        let database = in_memory.map_err(|source| HistoryError::Open { path: path(), source })?;
        let store = History::over(database).map_err(|source| HistoryError::Store { path: path(), source })?;
        return Ok((store, None));
    };
    match checked(path) {
        Ok(store) => Ok((store, None)),
        Err(Bad::Corrupt(why)) => {
            let aside = aside(path);
            std::fs::rename(path, &aside).map_err(|source| HistoryError::SetAside {
                path: path.to_owned(),
                source,
            })?;
            let store = checked(path).map_err(|bad| bad.at(path))?;
            let words = format!(
                "the history {} was corrupt ({why}); it is set aside as {}, and a new one is begun",
                path.display(),
                aside.display()
            );
            Ok((store, Some(words)))
        }
        Err(bad) => Err(bad.at(path)),
    }
}

/// One is kept; an older one that was set aside makes room.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".corrupt");
    name.into()
}

/// Why a file is no history.
enum Bad {
    Corrupt(String),
    Open(DatabaseError),
    Store(StoreError),
}

impl Bad {
    fn at(self, path: &Path) -> HistoryError {
        let path = path.to_owned();
        match self {
            Self::Open(DatabaseError::DatabaseAlreadyOpen) => HistoryError::InUse { path },
            Self::Open(source) => HistoryError::Open { path, source },
            Self::Store(source) => HistoryError::Store { path, source },
            Self::Corrupt(why) => HistoryError::Open {
                path,
                source: DatabaseError::Storage(StorageError::Corrupted(why)),
            },
        }
    }
}

fn checked(path: &Path) -> Result<History, Bad> {
    let bad = |error| match error {
        DatabaseError::Storage(StorageError::Corrupted(why)) => Bad::Corrupt(why),
        // Its first bytes are not those of such a file.
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Bad::Corrupt(error.to_string())
        }
        DatabaseError::UpgradeRequired(version) => Bad::Corrupt(format!("its format {version} is too old")),
        error => Bad::Open(error),
    };
    let mut builder = Builder::new();
    // All checksums: what is read later is then what was written.
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    let database: Database = builder.create(path).map_err(bad)?;
    History::over(database).map_err(|error| match error {
        error if error.is_corruption() => Bad::Corrupt(error.to_string()),
        error => Bad::Store(error),
    })
}
