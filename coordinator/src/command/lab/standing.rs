//! Labs that stand: where each keeps its files, and what other processes must know of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Which lab.
#[derive(Debug, Clone, Args)]
pub(super) struct NameArg {
    /// The lab's name
    #[arg(long, env = "MESH_LAB_NAME", value_name = "NAME", default_value = "lab", value_parser = name)]
    pub(super) name: String,
}

fn name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 40 || !text.chars().all(good) {
        return Err("expected 1 to 40 letters, digits, - and _".to_owned());
    }
    Ok(text.to_owned())
}

/// What other processes must know of a lab.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The process that holds it.
    pub(super) pid: u32,
    /// Places by name, each with a path to its network namespace.
    pub(super) namespaces: BTreeMap<String, PathBuf>,
    /// Faults that were done to it.
    pub(super) faults: Vec<String>,
}

/// The folder of a lab.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn of(name: &NameArg) -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_dir());
        // Others' labs of the same name must not meet.
        let base = runtime.map_or_else(
            || std::env::temp_dir().join(format!("mesh-lab-{}", mesh_net::user_id())),
            |path| path.join("mesh-lab"),
        );
        Self(base.join(&name.name))
    }

    /// The folder that `hold` was given.
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether there is one: of a lab that stands, or of one that was killed.
    pub(super) fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        // Where all may write, a folder or a link of somebody else's may lead anywhere.
        let is_ours = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == mesh_net::user_id())
        };
        self.0.parent().is_some_and(is_ours) && is_ours(&self.0)
    }

    /// For `mesh run --inventory`.
    pub(super) fn inventory(&self) -> PathBuf {
        self.0.join("inventory.yaml")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.0.join("lab.json")
    }

    /// Makes the folder, for this user alone.
    pub(super) fn make(&self) -> io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt};
        let base = self.0.parent().unwrap_or(Path::new("/"));
        let builder = |path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        builder(base)?;
        // Where all may write, somebody else may have made it first.
        if fs::symlink_metadata(base)?.uid() != mesh_net::user_id() {
            return Err(io::Error::other("it belongs to another user"));
        }
        builder(&self.0)
    }

    /// The lock that the holder of a lab has as long as it lives.
    pub(super) fn lock(&self) -> io::Result<File> {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.0.join("lock"))
    }

    /// What is known of the lab, if it stands.
    pub(super) fn standing(&self) -> Result<Option<Standing>, Failure> {
        let Ok(lock) = self.lock() else { return Ok(None) };
        if lock.try_lock().is_ok() {
            return Ok(None);
        }
        let text = fs::read_to_string(self.state()).map_err(|error| self.broken(error))?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| self.broken(error))
    }

    /// Takes away what is left of a lab.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The folder of all labs goes with the last one.
        if let Some(base) = self.0.parent() {
            let _ = fs::remove_dir(base);
        }
        Ok(())
    }

    fn broken(&self, error: impl Into<anyhow::Error>) -> Failure {
        let state = self.state();
        let words = format!(
            "cannot read {}: is the lab being raised or taken down?",
            state.display()
        );
        Failure::could_not_run(error.into().context(words))
    }
}

/// No such lab.
pub(super) fn not_standing(name: &NameArg) -> Failure {
    let name = &name.name;
    Failure::could_not_run(anyhow::anyhow!(
        "no lab {name:?} stands; raise it: mesh lab up --name {name}"
    ))
}
