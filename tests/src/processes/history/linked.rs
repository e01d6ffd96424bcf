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
use filepact_journal::{Group, JOURNAL_DIR, load, parse_segment_name, scan, segment_name};
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
        for first in segments(folder)? {
            let name = segment_name(first);
            match fs::hard_link(folder.join(JOURNAL_DIR).join(&name), journal.join(&name)) {
                // An elder one, which no scan needs.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                made => made?,
            }
        }
        Ok(Self(linked))
    }

    /// What counts of what is written there by now: up to `committed`, and to where another segment goes on,
    /// which voids what a dead writer has left.
    pub(super) fn groups(&self, folder: &Path, committed: u64) -> Outcome<Vec<Group>> {
        let linked = load(&OsFs::open(self.0.path())?)?;
        let newest = linked.last().map_or(0, |segment| segment.first);
        let next = segments(folder)?.into_iter().filter(|first| *first > newest).min();
        let segments: Vec<_> = linked.iter().map(|s| (s.first, s.bytes.as_slice())).collect();
        let mut groups = scan(&segments, None)?.groups;
        groups.retain(|group| group.last <= committed && next.is_none_or(|next| group.last < next));
        Ok(groups)
    }
}

/// The first seqs of all segments.
fn segments(folder: &Path) -> Outcome<Vec<u64>> {
    let names = fs::read_dir(folder.join(JOURNAL_DIR))?;
    let names = names.map(|entry| Ok(entry?.file_name())).collect::<Outcome<Vec<_>>>()?;
    Ok(names.iter().filter_map(|name| parse_segment_name(name.to_str()?)).collect())
}
