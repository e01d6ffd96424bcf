//! fjall 3: one keyspace from path to body.
//!
//! Transactions of one writer at a time, durable when they return with the setting below. One
//! process.
//!
//! Settings: `PersistMode::SyncData`, so that each commit ends with `fdatasync`; a batch where nothing
//! is read, which spares the transaction's own bookkeeping; large values apart (`KvSeparation`), so
//! that compaction does not copy them; a cache of 256 MiB.

use std::path::Path;

use ::fjall::{
    KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable, SingleWriterTxDatabase,
    SingleWriterTxKeyspace,
};

use super::{Change, Client, Put, Reader, System};
use crate::Outcome;

#[derive(Clone)]
pub(super) struct Fjall {
    database: SingleWriterTxDatabase,
    documents: SingleWriterTxKeyspace,
}

impl Fjall {
    pub(super) fn open(folder: &Path) -> Outcome<Self> {
        let database = SingleWriterTxDatabase::builder(folder).cache_size(256 << 20).open()?;
        let options = || {
            let apart = KvSeparationOptions::default();
            KeyspaceCreateOptions::default().with_kv_separation(Some(apart))
        };
        let documents = database.keyspace("documents", options)?;
        Ok(Self { database, documents })
    }
}

impl System for Fjall {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        Ok(Box::new(self.clone()))
    }
}

impl Client for Fjall {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        let mut batch = self.database.inner().batch().durability(Some(PersistMode::SyncData));
        for Put { path, body } in puts {
            batch.insert(self.documents.inner(), path.as_str(), body.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        let moment = self.database.read_tx();
        for path in paths {
            let body = moment.get(&self.documents, path)?;
            each(&body.ok_or_else(|| format!("{path} is not there"))?)?;
        }
        Ok(())
    }

    fn update(&mut self, paths: &[String], change: Change<'_>) -> Outcome {
        let mut tx = self.database.write_tx().durability(Some(PersistMode::SyncData));
        for path in paths {
            let body = tx.get(&self.documents, path)?.ok_or("a document is not there")?;
            tx.insert(&self.documents, path.as_str(), change(&body)?);
        }
        Ok(tx.commit()?)
    }
}
