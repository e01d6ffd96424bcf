//! The folder in which a scenario plays: beside the program, so that it is on a real disk.
#![allow(clippy::disallowed_methods, reason = "the tests' own files, outside the store")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::Outcome;

/// A folder for a store and one for what is noted outside of it; both go when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Outcome<Self> {
        let program = std::env::current_exe()?;
        let beside = program.parent().ok_or("the program lies in no folder")?;
        let folder = tempfile::Builder::new().prefix("processes-").tempdir_in(beside)?;
        let scratch = Self { folder };
        fs::create_dir(scratch.store())?;
        fs::create_dir(scratch.notes())?;
        Ok(scratch)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn notes(&self) -> PathBuf {
        self.folder.path().join("notes")
    }

    /// Leaves the folder for a person to look at; says where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}
