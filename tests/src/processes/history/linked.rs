//! The segments under second names, beside a call that may take the journal away.
//!
//! A checkpoint of everything that leaves a long journal behind takes its segments with it, and so does a
//! recovery: also what was committed since somebody has looked. Who has the segments open goes on writing
//! to them, under whatever name.
#![allow(
    clippy::disallowed_methods,
    reason = "links the store's own files, which nobody else does"
)]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use filepact_fs::OsFs;
use filepact_journal::{Group, JOURNAL_DIR, load, parse_segment_name, scan};
use tempfile::TempDir;

use crate::processes::Outcome;

/// Goes when it is dropped, and the segments with it that have no other name.
#[derive(Debug)]
pub(super) struct Linked(TempDir);

impl Linked {
    /// All segments of the store in `folder`.
    pub(super) fn of(folder: &Path) -> Outcome<Self> {
        let beside = folder.parent().ok_or("the store lies in no folder")?;
        let linked = tempfile::Builder::new().prefix("linked-").tempdir_in(beside)?;
        let journal = linked.path().join(JOURNAL_DIR);
        fs::create_dir_all(&journal)?;
        for entry in fs::read_dir(folder.join(JOURNAL_DIR))? {
            let name = entry?.file_name();
            if name.to_str().and_then(parse_segment_name).is_none() {
                continue;
            }
            match fs::hard_link(folder.join(JOURNAL_DIR).join(&name), journal.join(&name)) {
                // An elder one, which no scan needs.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                made => made?,
            }
        }
        Ok(Self(linked))
    }

    /// What counts of what is written there by now.
    pub(super) fn groups(&self) -> Outcome<Vec<Group>> {
        let segments = load(&OsFs::open(self.0.path())?)?;
        let segments: Vec<_> = segments.iter().map(|s| (s.first, s.bytes.as_slice())).collect();
        Ok(scan(&segments, None)?.groups)
    }
}
