//! filepact, through its public face alone.
//!
//! Settings: its defaults; only the durability differs between the two systems. Documents that
//! travel in the journal are handed over as bytes, larger ones through `write_from`, which copies
//! nothing.

use std::path::Path;
use std::time::Duration;

use ::filepact::{Durability, Store};

use super::{Change, Client, Put, Reader, System};
use crate::Outcome;
use crate::document::Document;

/// `Options::inline_max`, by default.
const INLINE_MAX: usize = 64 * 1024;

pub(super) struct Filepact(Store);

impl Filepact {
    pub(super) fn open(folder: &Path, durability: Durability) -> Outcome<Self> {
        // As patient as SQLite's `busy_timeout` here.
        let options = Store::options().durability(durability).lock_timeout(Duration::from_secs(60));
        Ok(Self(options.open(folder)?))
    }
}

impl System for Filepact {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        Ok(client(&self.0))
    }

    fn close(self: Box<Self>) -> Outcome {
        Ok(self.0.close()?)
    }
}

pub(super) fn client(store: &Store) -> Box<dyn Client> {
    Box::new(Handle(store.clone()))
}

struct Handle(Store);

impl Client for Handle {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        let mut tx = self.0.begin()?;
        for Put { path, body } in puts {
            if body.len() <= INLINE_MAX {
                tx.write_bytes(path, body.as_slice())?;
            } else {
                tx.write_from(path, body.as_slice())?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        if let [path] = paths {
            let body = self.0.read_bytes(path)?;
            return each(&body.ok_or_else(|| format!("{path} is not there"))?);
        }
        let mut tx = self.0.begin()?;
        for path in paths {
            let body = tx.read_bytes(path)?;
            each(&body.ok_or_else(|| format!("{path} is not there"))?)?;
        }
        Ok(())
    }

    fn update(&mut self, paths: &[String], change: Change<'_>) -> Outcome {
        self.0.transact(|tx| {
            for path in paths {
                let body = tx.read_bytes(path)?.ok_or("a document is not there")?;
                tx.write_bytes(path, change(&body)?)?;
            }
            Ok(())
        })
    }

    fn documents(&mut self, paths: &[String]) -> Outcome<Vec<Document>> {
        if let [path] = paths {
            return Ok(vec![self.0.read(path)?]);
        }
        let mut tx = self.0.begin()?;
        paths.iter().map(|path| Ok(tx.read(path)?)).collect()
    }
}
