//! How many transfers a thread has begun, how many were acknowledged, and how often its process
//! died before it could acknowledge one that counts: three numbers in a file outside the store. What
//! the kernel has taken survives the process.
#![allow(clippy::disallowed_types, reason = "the tests' own files, outside the store")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::processes::Outcome;

#[derive(Debug)]
pub(super) struct Tally(File);

impl Tally {
    /// The tally of a thread, from 0 if it is new. It goes on when the thread's process is replaced.
    pub(super) fn open(folder: &Path, place: usize, thread: u32) -> Outcome<Self> {
        let path = folder.join(format!("{place}-{thread}"));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        Ok(Self(file?))
    }

    pub(super) fn begins(&self, transfer: u64) -> Outcome {
        self.write(0, transfer)
    }

    pub(super) fn is_acknowledged(&self, transfer: u64) -> Outcome {
        self.write(8, transfer)
    }

    pub(super) fn begun(&self) -> Outcome<u64> {
        self.read(0)
    }

    pub(super) fn acknowledged(&self) -> Outcome<u64> {
        self.read(8)
    }

    /// What the store counts when the thread begins anew: one more than was acknowledged, where its
    /// process died first. It counts as acknowledged from now on.
    pub(super) fn resumes_at(&self, counted: u64) -> Outcome {
        if counted > self.acknowledged()? {
            self.is_acknowledged(counted)?;
            self.write(16, self.unanswered()? + 1)?;
        }
        Ok(())
    }

    pub(super) fn unanswered(&self) -> Outcome<u64> {
        self.read(16)
    }

    fn write(&self, offset: u64, number: u64) -> Outcome {
        Ok(self.0.write_all_at(&number.to_le_bytes(), offset)?)
    }

    fn read(&self, offset: u64) -> Outcome<u64> {
        let mut bytes = [0; 8];
        let read = self.0.read_at(&mut bytes, offset)?;
        Ok(if read == 8 { u64::from_le_bytes(bytes) } else { 0 })
    }
}
