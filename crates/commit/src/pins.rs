//! C8 for those who read an older moment: what a publish is about to change stays for them.
//!
//! A pin is a file in `pins/` that its owner holds locked; it contains the seq at which its owner
//! reads, once that is known. A reader **pins first, then** reads `state`; a publisher writes
//! *committed*, **then** looks for pins. So whoever reads before *committed* has a pin that the
//! publisher sees, and whoever pins later reads what is published.
//!
//! Before a publish changes a document, an image of it goes into `kept/`, named by the hash of the
//! path, the transaction and the length: a link to the inode, which costs nothing, or, where there was
//! no document, an empty marker. At its own moment a reader finds in the lowest entry above its pin, cut
//! to its length, what the document held; without an entry it is the live file. What is committed and
//! not yet published at its moment it takes from the journal, as every reader does, until it is
//! published: so a pin needs no segment and no staged file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use filepact_fs::{Access, Fs, FsError, LockKind, copy, read_to_end};
use filepact_journal::Hash;

use crate::live::{Opened, open_past_links};
use crate::{KEPT, PINS};

/// How often somebody else may replace a document under a publisher before that is an error.
const PATIENCE: usize = 16;
/// The length of a document that was absent.
const ABSENT: &str = "absent";

/// The pins that somebody holds, and what is kept for them.
#[derive(Debug)]
pub(crate) struct Pins {
    /// The seq of the newest pin; `None` if one does not say it yet, and may be newer than all.
    newest: Option<u64>,
    /// The last entry of each path, by the hash of the path.
    kept: BTreeMap<String, u64>,
}

impl Pins {
    /// Looks for pins, after `state` says *committed*; `None` if there are none.
    pub(crate) fn look(fs: &dyn Fs) -> Result<Option<Self>, FsError> {
        let held = held(fs)?;
        if held.is_empty() {
            return Ok(None);
        }
        let newest = held
            .into_iter()
            .collect::<Option<BTreeSet<u64>>>()
            .and_then(|seqs| seqs.last().copied());
        let mut kept = BTreeMap::new();
        for Entry { path, txn, .. } in entries(fs)? {
            let last = kept.entry(path).or_insert(txn);
            *last = txn.max(*last);
        }
        Ok(Some(Self { newest, kept }))
    }

    /// Keeps the document as it is, before transaction `txn` changes it.
    ///
    /// An entry of the same transaction stands: a healer finds the document half changed. So does one
    /// above the newest pin: it is what every pin reads.
    pub(crate) fn keep(&mut self, fs: &dyn Fs, path: &str, txn: u64) -> Result<(), FsError> {
        let hash = Hash::of(path.as_bytes()).to_string();
        let is_kept = |last: u64| last == txn || self.newest.is_some_and(|newest| newest < last);
        if self.kept.get(&hash).is_some_and(|last| is_kept(*last)) {
            return Ok(());
        }
        self.kept.insert(hash.clone(), txn);
        let entry = |len: &str| format!("{KEPT}/{hash}.{txn}.{len}");
        let mut tries = 0;
        loop {
            tries += 1;
            let kept = match open_past_links(fs, path)? {
                Opened::Document(file) => {
                    let len = file.stat()?.stamp.size;
                    let name = entry(&len.to_string());
                    match file.link(&name) {
                        // Somebody else has replaced it since it was opened.
                        Err(error) if error.is_not_found() && tries < PATIENCE => continue,
                        // Somebody else's file, which the system does not let us link.
                        Err(error) if !error.is_exists() && !error.is_full() => {
                            let image = fs.create_unnamed(KEPT)?;
                            copy(&*file, &*image, len)?;
                            image.link(&name)
                        }
                        linked => linked,
                    }
                }
                Opened::Absent | Opened::Other(_) => fs.create(&entry(ABSENT)).map(drop),
            };
            return match kept {
                Err(error) if error.is_exists() => Ok(()),
                kept => kept,
            };
        }
    }
}

/// Removes pins whose owners are gone, and images that no pin needs, under the writer lock.
pub fn sweep_kept(fs: &dyn Fs) -> Result<(), FsError> {
    let pins = held(fs)?;
    let mut entries = entries(fs)?;
    entries.sort_by(|a, b| (&a.path, a.txn).cmp(&(&b.path, b.txn)));
    // What a pin reads is the lowest entry above it.
    let mut below = BTreeMap::new();
    for entry in entries {
        let lower = below.insert(entry.path.clone(), entry.txn);
        // One that does not say what it reads may read any moment.
        let needed = |pin: &Option<u64>| {
            pin.is_none_or(|pin| pin < entry.txn && lower.is_none_or(|lower| lower <= pin))
        };
        if !pins.iter().any(needed) {
            fs.unlink(&format!("{KEPT}/{}", entry.name))?;
        }
    }
    Ok(())
}

/// The seq of each pin that somebody holds; `None` for one that does not say it yet. Pins without an
/// owner are removed.
fn held(fs: &dyn Fs) -> Result<Vec<Option<u64>>, FsError> {
    let mut held = Vec::new();
    for entry in fs.list(PINS)? {
        let Some(name) = entry.name.to_str() else { continue };
        let pin = format!("{PINS}/{name}");
        // A pin is locked before it has a name: one that can be locked has lost its owner.
        let dead = match fs.lock(&pin, LockKind::Exclusive, Duration::ZERO) {
            Err(error) if error.is_not_found() => continue,
            lock => lock?,
        };
        if dead.is_some() {
            fs.unlink(&pin)?;
            continue;
        }
        let seq = fs.open(&pin, Access::Read).and_then(|file| read_to_end(&*file));
        let seq = match seq {
            Err(error) if error.is_not_found() => continue,
            seq => seq?,
        };
        held.push(str::from_utf8(&seq).ok().and_then(|seq| seq.trim().parse().ok()));
    }
    Ok(held)
}

/// An image, or a marker.
struct Entry {
    name: String,
    /// The hash of its path.
    path: String,
    txn: u64,
}

fn entries(fs: &dyn Fs) -> Result<Vec<Entry>, FsError> {
    let names = fs.list(KEPT)?.into_iter().filter_map(|entry| entry.name.into_string().ok());
    Ok(names
        .filter_map(|name| {
            let mut parts = name.split('.');
            let (path, txn) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
            Some(Entry { name, path, txn })
        })
        .collect())
}
