//! The publisher's side: what is about to be changed stays.

use std::collections::{BTreeMap, BTreeSet};

use filepact_fs::{Fs, FsError, Stamp, copy, write_all};
use filepact_journal::Hash;

use super::{Entry, Image, Kept, entry_path, held, name_path};
use crate::live::{Opened, open_past_links};
use crate::{KEPT, PINS};

/// How often somebody else may replace a document under a publisher before that is an error.
const PATIENCE: usize = 16;

/// The pins that somebody holds, and what is kept for them.
#[derive(Debug)]
pub(crate) struct Pins {
    /// The seq of the newest pin; `None` if one does not say it yet, and may be newer than all.
    newest: Option<u64>,
    /// The last entry of each path, by the hash of the path.
    kept: BTreeMap<String, u64>,
    /// The hashes whose paths are said.
    named: BTreeSet<String>,
}

impl Pins {
    /// As [`look`](Self::look), for who has looked before: `none` is how the folder looked when there were no
    /// pins. Where time stamps are exact it has another one with every name that comes.
    pub(crate) fn look_again(
        fs: &dyn Fs,
        none: &mut Option<Stamp>,
    ) -> Result<Option<Self>, FsError> {
        // Before the names are read: what comes while they are is seen the next time.
        let now = fs.stat(PINS)?.map(|stat| stat.stamp).filter(|stamp| stamp.exact);
        if now.is_some() && *none == now {
            return Ok(None);
        }
        let pins = Self::look(fs)?;
        *none = now.filter(|_| pins.is_none());
        Ok(pins)
    }

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
        let Kept { entries, named } = Kept::list(fs)?;
        let mut kept = BTreeMap::new();
        for Entry { path, txn, .. } in entries {
            let last = kept.entry(path).or_insert(txn);
            *last = txn.max(*last);
        }
        Ok(Some(Self { newest, kept, named }))
    }

    /// Keeps the document as it is, before transaction `txn` changes it, or `removes` it.
    ///
    /// An entry of the same transaction stands: a healer finds the document half changed. So does one
    /// above the newest pin: it is what every pin reads.
    pub(crate) fn keep(
        &mut self,
        fs: &dyn Fs,
        path: &str,
        txn: u64,
        removes: bool,
    ) -> Result<(), FsError> {
        let hash = Hash::of(path.as_bytes()).to_string();
        let is_kept = |last: u64| last == txn || self.newest.is_some_and(|newest| newest < last);
        let is_kept = self.kept.get(&hash).is_some_and(|last| is_kept(*last));
        if removes {
            // Before its name goes from the directory, or a list of an older moment misses it.
            self.say_path(fs, path, &hash)?;
        }
        if is_kept {
            return Ok(());
        }
        self.kept.insert(hash.clone(), txn);
        let mut tries = 0;
        loop {
            tries += 1;
            let kept = match open_past_links(fs, path)? {
                Opened::Document(file) => {
                    // Before the link, which is a change of the inode itself.
                    let stamp = file.stat()?.stamp;
                    let (len, mtime, ctime) = (stamp.size, stamp.mtime, stamp.ctime);
                    let at = entry_path(&hash, txn, &Image::Document { len, mtime, ctime });
                    match file.link(&at) {
                        // Somebody else has replaced it since it was opened.
                        Err(error) if error.is_not_found() && tries < PATIENCE => continue,
                        // Somebody else's file, which the system does not let us link.
                        Err(error) if !error.is_exists() && !error.is_full() => {
                            let image = fs.create_unnamed(KEPT)?;
                            copy(&*file, &*image, len)?;
                            // Saved in place meanwhile: half of each.
                            if !file.stat()?.stamp.same_body(&stamp) && tries < PATIENCE {
                                continue;
                            }
                            image.set_mtime(mtime)?;
                            image.link(&at)
                        }
                        linked => linked,
                    }
                }
                Opened::Absent | Opened::Other(_) => {
                    fs.create(&entry_path(&hash, txn, &Image::Absent)).map(drop)
                }
            };
            return match kept {
                Err(error) if error.is_exists() => Ok(()),
                kept => kept,
            };
        }
    }

    /// Writes down the path of which this is the hash.
    fn say_path(&mut self, fs: &dyn Fs, path: &str, hash: &str) -> Result<(), FsError> {
        if !self.named.insert(hash.to_owned()) {
            return Ok(());
        }
        let name = fs.create_unnamed(KEPT)?;
        write_all(&*name, path.as_bytes(), 0)?;
        match name.link(&name_path(hash)) {
            Err(error) if error.is_exists() => Ok(()),
            linked => linked,
        }
    }
}
