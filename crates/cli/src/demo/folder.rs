//! The folder that the demonstration plays in.
#![allow(clippy::disallowed_methods, reason = "looks at the plain files, as any program would")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::bank;
use crate::failure::Failure;

/// Where the bank is, and whether it goes at the end.
#[derive(Debug)]
pub(super) enum Folder {
    /// Ours: removed when it is dropped.
    Temporary(TempDir),
    /// The user's, or to be kept.
    Kept(PathBuf),
}

impl Folder {
    /// A temporary folder, or the one that was named, which must be empty or a bank from before.
    pub(super) fn find(named: Option<&PathBuf>) -> Result<Self, Failure> {
        let Some(path) = named else {
            let made = tempfile::Builder::new().prefix("filepact-demo-").tempdir();
            let made = made.map_err(|error| Failure::io("make a temporary folder", &error))?;
            return Ok(Self::Temporary(made));
        };
        let shown = path.display();
        fs::create_dir_all(path)
            .map_err(|error| Failure::io(&format!("make the folder `{shown}`"), &error))?;
        let mut entries = fs::read_dir(path)
            .map_err(|error| Failure::io(&format!("look into `{shown}`"), &error))?;
        if entries.next().is_some() && !has_bank(path) {
            return Err(Failure::usage(format!(
                "`{shown}` is neither empty nor the bank of an earlier demo; nothing was touched"
            )));
        }
        Ok(Self::Kept(path.clone()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(made) => made.path(),
            Self::Kept(path) => path,
        }
    }

    pub(super) fn keep(self) -> Self {
        match self {
            Self::Temporary(made) => Self::Kept(made.keep()),
            kept @ Self::Kept(_) => kept,
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

/// Whether a bank is there already; its plain file says so.
pub(super) fn has_bank(folder: &Path) -> bool {
    read(&folder.join(bank::LEDGER)).is_ok_and(|bytes| bank::is_ledger(&bytes))
}

/// A plain file, read as any program would.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}
