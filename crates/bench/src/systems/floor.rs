//! The floor: one overwrite of blocks that were written before, and one `fdatasync`, of the bytes of
//! all documents together. What is durable by itself on this disk cannot take less.
//!
//! It keeps no documents. Each client has a file of its own, so that threads do not wait for each
//! other; a store whose transactions share a sync can be faster than this.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Client, Put, Reader, System};
use crate::Outcome;

pub(super) struct Floor {
    folder: PathBuf,
    clients: AtomicU64,
}

impl Floor {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), clients: AtomicU64::new(0) }
    }
}

impl System for Floor {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        let name = format!("floor.{}.{number}", std::process::id());
        let path = self.folder.join(name);
        let file = OpenOptions::new().create_new(true).write(true).open(path)?;
        Ok(Box::new(Overwriter { file, written: 0, bytes: Vec::new() }))
    }
}

struct Overwriter {
    file: File,
    /// So much of the file has blocks on the disk.
    written: usize,
    bytes: Vec<u8>,
}

impl Client for Overwriter {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        let bytes = match puts {
            [put] => &put.body,
            puts => {
                self.bytes.clear();
                puts.iter().for_each(|put| self.bytes.extend(&put.body));
                &self.bytes
            }
        };
        if self.written < bytes.len() {
            self.file.write_all_at(bytes, 0)?;
            self.file.sync_all()?;
            self.written = bytes.len();
        }
        self.file.write_all_at(bytes, 0)?;
        Ok(self.file.sync_data()?)
    }

    fn read(&mut self, _paths: &[String], _each: Reader<'_>) -> Outcome {
        Err("it keeps no documents".into())
    }
}
