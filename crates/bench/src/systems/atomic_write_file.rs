//! atomic-write-file 0.3, with its defaults.
//!
//! Each document alone is whole after a power cut, and durable on return: its `commit` syncs the
//! file, renames it and syncs the directory. Several are not changed together. No locks.
//!
//! Settings: the feature `unnamed-tmpfile` is off. It makes temporary files that need no cleaning up,
//! at the price of a second `fdatasync` and a link in each commit.

use std::io::Write;
use std::path::{Path, PathBuf};

use ::atomic_write_file::AtomicWriteFile;

use super::files::{self, Folders};
use super::{Client, Put, Reader, System};
use crate::Outcome;

pub(super) struct AtomicWrite(PathBuf);

impl AtomicWrite {
    pub(super) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }
}

impl System for AtomicWrite {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        Ok(Box::new(Writer { root: self.0.clone(), folders: Folders::default() }))
    }
}

struct Writer {
    root: PathBuf,
    folders: Folders,
}

impl Client for Writer {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        for Put { path, body } in puts {
            let path = self.root.join(path);
            self.folders.make(&path)?;
            let mut file = AtomicWriteFile::open(path)?;
            file.write_all(body)?;
            file.commit()?;
        }
        Ok(())
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        files::read(&self.root, paths, each)
    }
}
