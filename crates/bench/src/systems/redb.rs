//! redb 4.6: one table from path to body.
//!
//! Serializable transactions, one writer at a time, durable when `commit` returns.
//!
//! Settings: `Durability::Immediate`, the default and the only durable one; the default commit in one
//! phase, with checksums, which is faster than two phases; a cache of 256 MiB. With several processes
//! `ConcurrencyMode::MultiWriter`, which commits in two phases.

use std::path::Path;
use std::sync::Arc;

use ::redb::{
    Builder, ConcurrencyMode, Database, ReadableDatabase, ReadableTable, TableDefinition,
};

use super::{Change, Client, Put, Reader, Sharing, System};
use crate::Outcome;

const DOCUMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");

pub(super) struct Redb(Arc<Database>);

impl Redb {
    pub(super) fn open(folder: &Path, sharing: Sharing) -> Outcome<Self> {
        let mut builder = Builder::new();
        builder.set_cache_size(256 << 20);
        if sharing == Sharing::Shared {
            builder.set_concurrency_mode(ConcurrencyMode::MultiWriter);
        }
        Ok(Self(Arc::new(builder.create(folder.join("documents.redb"))?)))
    }
}

impl System for Redb {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        Ok(Box::new(Handle(self.0.clone())))
    }
}

struct Handle(Arc<Database>);

impl Client for Handle {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        let tx = self.0.begin_write()?;
        {
            let mut table = tx.open_table(DOCUMENTS)?;
            for put in puts {
                table.insert(put.path.as_str(), put.body.as_slice())?;
            }
        }
        Ok(tx.commit()?)
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        let table = self.0.begin_read()?.open_table(DOCUMENTS)?;
        for path in paths {
            let body = table.get(path.as_str())?.ok_or_else(|| format!("{path} is not there"))?;
            each(body.value())?;
        }
        Ok(())
    }

    fn update(&mut self, paths: &[String], change: Change<'_>) -> Outcome {
        let tx = self.0.begin_write()?;
        {
            let mut table = tx.open_table(DOCUMENTS)?;
            for path in paths {
                let body = table.get(path.as_str())?;
                let after = change(body.ok_or("a document is not there")?.value())?;
                table.insert(path.as_str(), after.as_slice())?;
            }
        }
        Ok(tx.commit()?)
    }
}
