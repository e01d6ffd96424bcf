//! The folder in which everything happens.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Outcome;

/// A temporary folder on the file system that is measured; removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    /// For `syncfs`.
    open: File,
}

impl Scratch {
    /// Makes one in this folder.
    pub(crate) fn new_in(parent: &Path) -> Outcome<Self> {
        let made = tempfile::Builder::new().prefix("filepact-bench-").tempdir_in(parent);
        let folder =
            made.map_err(|error| format!("cannot make a folder in {}: {error}", parent.display()))?;
        // Relative paths would follow a peer that changes the current folder.
        let open = File::open(folder.path())?;
        Ok(Self { folder, open })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder in it for one case, empty; the one of an earlier case of this name is removed.
    pub(crate) fn fresh(&self, name: &str) -> Outcome<PathBuf> {
        let folder = self.path().join(name);
        self.clear(name)?;
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Removes the folder of a case.
    pub(crate) fn clear(&self, name: &str) -> Outcome {
        let folder = self.path().join(name);
        match folder.exists() {
            true => Ok(fs::remove_dir_all(&folder)?),
            false => Ok(()),
        }
    }

    /// Whatever is still in memory alone goes to the disk.
    pub(crate) fn settle(&self) -> Outcome {
        Ok(rustix::fs::syncfs(&self.open)?)
    }
}
