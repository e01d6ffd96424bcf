//! LMDB 0.9 with heed: one database from path to body.
//!
//! Serializable transactions, one writer at a time, durable when `commit` returns, several processes.
//!
//! Settings: none of the flags. NOSYNC, NOMETASYNC and MAPASYNC give up durability; WRITEMAP does not,
//! but setting a flag is unsafe code in heed, as is opening an environment in its later versions, and
//! a benchmark here has none. heed 0.11 is the last version without; a later LMDB was not measured. A
//! commit is one sync of the pages and one of the meta page. A map of 16 GiB, so that it never has to
//! grow.

use std::path::Path;

use ::heed::types::{ByteSlice, Str};
use ::heed::{Database, Env, EnvOpenOptions};

use super::{Change, Client, Put, Reader, System};
use crate::Outcome;

#[derive(Clone)]
pub(super) struct Lmdb {
    environment: Env,
    documents: Database<Str, ByteSlice>,
}

impl Lmdb {
    pub(super) fn open(folder: &Path) -> Outcome<Self> {
        let environment =
            EnvOpenOptions::new().map_size(16 << 30).max_readers(256).open(folder).map_err(text)?;
        let documents = environment.create_database(None).map_err(text)?;
        Ok(Self { environment, documents })
    }
}

impl System for Lmdb {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        Ok(Box::new(self.clone()))
    }

    fn close(self: Box<Self>) -> Outcome {
        // heed keeps it open for the process until it is told not to.
        self.environment.prepare_for_closing().wait();
        Ok(())
    }
}

impl Client for Lmdb {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        let mut tx = self.environment.write_txn().map_err(text)?;
        for Put { path, body } in puts {
            self.documents.put(&mut tx, path, body).map_err(text)?;
        }
        Ok(tx.commit().map_err(text)?)
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        let tx = self.environment.read_txn().map_err(text)?;
        for path in paths {
            let body = self.documents.get(&tx, path).map_err(text)?;
            each(body.ok_or_else(|| format!("{path} is not there"))?)?;
        }
        Ok(())
    }

    fn update(&mut self, paths: &[String], change: Change<'_>) -> Outcome {
        let mut tx = self.environment.write_txn().map_err(text)?;
        for path in paths {
            let body = self.documents.get(&tx, path).map_err(text)?;
            let after = change(body.ok_or("a document is not there")?)?;
            self.documents.put(&mut tx, path, &after).map_err(text)?;
        }
        Ok(tx.commit().map_err(text)?)
    }
}

/// Its errors cannot be sent to another thread.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn text(error: ::heed::Error) -> String {
    error.to_string()
}
