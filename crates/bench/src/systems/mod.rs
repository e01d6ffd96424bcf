//! Who is measured: ways of keeping documents, behind one small trait.
//!
//! Each file says which settings were chosen, and why: the fastest with which a commit is durable
//! when it returns. What a system cannot do is an error here; [`Kind`] says who can do what, so that
//! a bench asks only those.

mod atomic_write_file;
mod filepact;
mod files;
mod fjall;
mod floor;
mod fs_transaction;
mod fstx;
mod lmdb;
mod naive;
mod redb;
mod sqlite;

use std::path::Path;

use ::filepact::{Durability, Store};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::document::Document;

/// A document that is written.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// Its path, relative to the root.
    pub(crate) path: String,
    /// All of its content.
    pub(crate) body: Vec<u8>,
}

/// What a client makes of the body that it reads, or why not.
pub(crate) type Reader<'a> = &'a mut dyn FnMut(&[u8]) -> Outcome;

/// The body that follows on this one.
pub(crate) type Change<'a> = &'a mut dyn FnMut(&[u8]) -> Outcome<Vec<u8>>;

/// A way of keeping documents, opened in a folder.
pub(crate) trait System: Sync {
    /// Someone who works with it: one for each thread.
    fn client(&self) -> Outcome<Box<dyn Client>>;

    /// Lets it go in an orderly way, when all clients are gone.
    fn close(self: Box<Self>) -> Outcome {
        Ok(())
    }
}

/// Works with a system, on one thread.
pub(crate) trait Client: Send {
    /// Writes documents, together where the system can; durable when it returns.
    fn commit(&mut self, puts: &[Put]) -> Outcome;

    /// Reads documents that are there, as of one moment where the system can.
    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome;

    /// Reads documents that are there and writes what follows on each of them, in one transaction
    /// that no other comes between.
    fn update(&mut self, _paths: &[String], _change: Change<'_>) -> Outcome {
        Err("it has no transactions that read".into())
    }

    /// Reads documents as a program would hold them.
    fn documents(&mut self, paths: &[String]) -> Outcome<Vec<Document>> {
        let mut documents = Vec::with_capacity(paths.len());
        self.read(paths, &mut |bytes| {
            documents.push(serde_json::from_slice(bytes)?);
            Ok(())
        })?;
        Ok(documents)
    }
}

/// Who may have the system open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sharing {
    /// This process alone.
    Alone,
    /// Others too.
    Shared,
}

/// The systems, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// One overwrite of blocks that were written before, and `fdatasync`
    Floor,
    /// filepact
    Filepact,
    /// filepact with `Durability::Files`
    FilepactFiles,
    /// SQLite, WAL, synchronous=FULL
    Sqlite,
    /// redb
    Redb,
    /// fjall
    Fjall,
    /// LMDB
    Lmdb,
    /// fs-transaction
    FsTransaction,
    /// fstx
    Fstx,
    /// atomic-write-file, one file after the other
    AtomicWriteFile,
    /// A temporary file, `fsync` and `rename` each, one sync of the directory
    Naive,
}

impl Kind {
    /// As on the command line and in the output.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Filepact => "filepact",
            Self::FilepactFiles => "filepact-files",
            Self::Sqlite => "sqlite",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
            Self::Lmdb => "lmdb",
            Self::FsTransaction => "fs-transaction",
            Self::Fstx => "fstx",
            Self::AtomicWriteFile => "atomic-write-file",
            Self::Naive => "naive",
        }
    }

    /// Opens it in a folder, which exists.
    pub(crate) fn open(self, folder: &Path, sharing: Sharing) -> Outcome<Box<dyn System>> {
        Ok(match self {
            Self::Floor => Box::new(floor::Floor::new(folder)),
            Self::Filepact => Box::new(filepact::Filepact::open(folder, Durability::Journal)?),
            Self::FilepactFiles => Box::new(filepact::Filepact::open(folder, Durability::Files)?),
            Self::Sqlite => Box::new(sqlite::Sqlite::open(folder)?),
            Self::Redb => Box::new(redb::Redb::open(folder, sharing)?),
            Self::Fjall => Box::new(fjall::Fjall::open(folder)?),
            Self::Lmdb => Box::new(lmdb::Lmdb::open(folder)?),
            Self::FsTransaction => Box::new(fs_transaction::FsTransaction::new(folder)),
            Self::Fstx => Box::new(fstx::Fstx::new(folder)),
            Self::AtomicWriteFile => Box::new(atomic_write_file::AtomicWrite::new(folder)),
            Self::Naive => Box::new(naive::Naive::new(folder)),
        })
    }

    /// A client of a filepact store that is open already.
    pub(crate) fn client_of(store: &Store) -> Box<dyn Client> {
        filepact::client(store)
    }

    /// Keeps documents, rather than only showing what a sync costs.
    pub(crate) fn keeps(self) -> bool {
        self != Self::Floor
    }

    /// Has a transaction that reads and writes several documents.
    pub(crate) fn updates(self) -> bool {
        !matches!(self, Self::Floor | Self::Naive | Self::AtomicWriteFile)
    }

    /// Several processes may write at once.
    pub(crate) fn shares(self) -> bool {
        // fs-transaction: "Single writer. No locking." fjall locks its folder.
        !matches!(self, Self::FsTransaction | Self::Fjall)
    }

    /// Has a state of its own to open and to read from, beyond a folder of files.
    pub(crate) fn is_store(self) -> bool {
        matches!(
            self,
            Self::Filepact
                | Self::FilepactFiles
                | Self::Sqlite
                | Self::Redb
                | Self::Fjall
                | Self::Lmdb
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Body, number_of, path};

    fn put(index: u64, number: u64) -> Put {
        let mut body = Body::new(1024);
        body.set(number);
        Put { path: path(index), body: body.bytes().to_vec() }
    }

    fn numbers(client: &mut dyn Client, paths: &[String]) -> Vec<u64> {
        let mut numbers = Vec::new();
        let read = client.read(paths, &mut |bytes| {
            numbers.push(number_of(bytes).ok_or("no document of ours")?);
            Ok(())
        });
        read.unwrap();
        numbers
    }

    #[test]
    fn names_are_those_of_the_command_line_and_of_json() {
        for kind in Kind::value_variants() {
            assert_eq!(kind.to_possible_value().unwrap().get_name(), kind.name());
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn every_system_reads_back_what_it_wrote_also_after_it_was_closed() {
        for kind in Kind::value_variants().iter().filter(|kind| kind.keeps()) {
            for sharing in [Sharing::Alone, Sharing::Shared] {
                let folder = tempfile::tempdir().unwrap();
                let system = kind.open(folder.path(), sharing).unwrap();
                let mut client = system.client().unwrap();
                let paths = [path(0), path(1), path(1001)];
                client.commit(&[put(0, 1), put(1, 2), put(1001, 3)]).unwrap();
                client.commit(&[put(1, 5)]).unwrap();
                assert_eq!(numbers(&mut *client, &paths), [1, 5, 3], "{}", kind.name());
                assert_eq!(client.documents(&paths).unwrap().len(), 3, "{}", kind.name());
                drop(client);
                system.close().unwrap();

                let system = kind.open(folder.path(), sharing).unwrap();
                let mut client = system.client().unwrap();
                assert_eq!(numbers(&mut *client, &paths), [1, 5, 3], "{}", kind.name());
                drop(client);
                system.close().unwrap();
            }
        }
    }

    #[test]
    fn updates_of_several_threads_are_not_lost() {
        for kind in Kind::value_variants().iter().filter(|kind| kind.updates()) {
            let folder = tempfile::tempdir().unwrap();
            let system = kind.open(folder.path(), Sharing::Alone).unwrap();
            let paths = [path(0), path(1)];
            system.client().unwrap().commit(&[put(0, 0), put(1, 0)]).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    let mut client = system.client().unwrap();
                    let paths = &paths;
                    scope.spawn(move || {
                        for _ in 0..5 {
                            let mut add = |bytes: &[u8]| {
                                Ok(put(0, number_of(bytes).ok_or("foreign")? + 1).body)
                            };
                            client.update(paths, &mut add).unwrap();
                        }
                    });
                }
            });
            let mut client = system.client().unwrap();
            assert_eq!(numbers(&mut *client, &paths), [10, 10], "{}", kind.name());
            drop(client);
            system.close().unwrap();
        }
    }
}
