//! fs-transaction 0.4: sets of changes to files, behind a journal of their own, on `StdFs`.
//!
//! A set of several files is all or nothing after a power cut, and durable when `apply` returns. A
//! set of one file is not journaled, and still durable. There is no lock: "Single writer. Concurrent
//! appliers against one root will race. Serialize them yourself." So a mutex serializes the threads
//! here, and several processes are left out. An update stages `expect`, which the crate checks; under
//! the mutex it never fails.
//!
//! Settings: there are none that make `apply` faster on Linux and durable. `barrier-fsync` is for
//! Apple's systems.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::fs_transaction::exec::block_on;
use ::fs_transaction::{ChangeSet, StdFs};

use super::files::{self, Folders};
use super::{Change, Client, Put, Reader, System};
use crate::Outcome;

pub(super) struct FsTransaction {
    root: PathBuf,
    turn: Arc<Mutex<()>>,
}

impl FsTransaction {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), turn: Arc::default() }
    }
}

impl System for FsTransaction {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        let (root, turn) = (self.root.clone(), self.turn.clone());
        Ok(Box::new(Applier { root, turn, folders: Folders::default() }))
    }
}

struct Applier {
    root: PathBuf,
    turn: Arc<Mutex<()>>,
    folders: Folders,
}

impl Client for Applier {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        let mut changes = ChangeSet::new();
        for Put { path, body } in puts {
            self.folders.make(&self.root.join(path))?;
            changes.write(path, body.as_slice());
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(block_on(changes.apply(&StdFs, &self.root))?)
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        files::read(&self.root, paths, each)
    }

    fn update(&mut self, paths: &[String], change: Change<'_>) -> Outcome {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = ChangeSet::new();
        for path in paths {
            let before = fs::read(self.root.join(path))?;
            changes.write(path, change(&before)?);
            changes.expect(path, before);
        }
        Ok(block_on(changes.apply(&StdFs, &self.root))?)
    }
}
