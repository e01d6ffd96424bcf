//! What programs do by hand: each document is written to a temporary file beside it, synced and
//! renamed over it; the directories are synced once, at the end.
//!
//! Each document alone is whole after a power cut, and durable on return. Several are not changed
//! together: a crash leaves some of them new and some old. No locks, no transactions.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::{self, Folders};
use super::{Client, Put, Reader, System};
use crate::Outcome;

pub(super) struct Naive {
    root: PathBuf,
    clients: AtomicU64,
}

impl Naive {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), clients: AtomicU64::new(0) }
    }
}

impl System for Naive {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        let suffix = format!(".{}.{number}.tmp", std::process::id());
        Ok(Box::new(Renamer { root: self.root.clone(), suffix, folders: Folders::default() }))
    }
}

struct Renamer {
    root: PathBuf,
    /// Of temporary names, for this client alone.
    suffix: String,
    folders: Folders,
}

impl Client for Renamer {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        let mut folders = BTreeSet::new();
        for Put { path, body } in puts {
            let path = self.root.join(path);
            self.folders.make(&path)?;
            let mut temporary = path.clone().into_os_string();
            temporary.push(&self.suffix);
            let mut file = File::create(&temporary)?;
            file.write_all(body)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| Ok(File::open(folder)?.sync_all()?))
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        files::read(&self.root, paths, each)
    }
}
