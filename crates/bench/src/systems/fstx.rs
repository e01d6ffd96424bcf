//! fstx 0.1: transactions of files below a root, behind a journal of their own.
//!
//! All or nothing after a power cut, and durable when `commit` returns. `begin` takes the lock of the
//! root, and waits for it without a limit: one transaction at a time, of all threads and processes.
//! A document is renamed away before the new one is renamed in: a plain reader may find it missing.
//!
//! Settings: there are none but `allow_untested_fs`, which only lets it run on more file systems.

use std::path::{Path, PathBuf};

use ::fstx::{Options, Transaction};

use super::files::{self, Folders};
use super::{Change, Client, Put, Reader, System};
use crate::Outcome;

pub(super) struct Fstx(PathBuf);

impl Fstx {
    pub(super) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }
}

impl System for Fstx {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        Ok(Box::new(Holder { root: self.0.clone(), folders: Folders::default() }))
    }
}

struct Holder {
    root: PathBuf,
    folders: Folders,
}

impl Holder {
    fn begin(&self) -> Outcome<Transaction> {
        let options = Options::new().allow_untested_fs(true);
        Ok(Transaction::begin_with(&self.root, &options)?)
    }
}

impl Client for Holder {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        for put in puts {
            self.folders.make(&self.root.join(&put.path))?;
        }
        let mut tx = self.begin()?;
        puts.iter().try_for_each(|put| tx.write(&put.path, &put.body))?;
        Ok(tx.commit()?)
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        files::read(&self.root, paths, each)
    }

    fn update(&mut self, paths: &[String], change: Change<'_>) -> Outcome {
        let mut tx = self.begin()?;
        for path in paths {
            let after = change(&tx.read(path)?)?;
            tx.write(path, after)?;
        }
        Ok(tx.commit()?)
    }
}
