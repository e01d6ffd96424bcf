//! The reader's side: what documents held at the moment of a pin.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use filepact_fs::{Access, File, Fs, FsError, Time, read_to_end};
use filepact_journal::Hash;

use super::{Entry, Image, Kept, entry_path, name_path};
use crate::{CommitError, KEPT, STAGE, View, spare_name_path};

/// What a document was before a publish changed it.
#[derive(Debug)]
pub enum Before {
    /// There was none.
    Absent,
    /// A file, of which these many bytes are the document. It may be the document's own inode, and
    /// have grown since.
    Document {
        /// Open for reading.
        file: Box<dyn File>,
        /// Length in bytes.
        len: u64,
        /// The time of its last modification then.
        mtime: Time,
        /// And of the last change of its inode.
        ctime: Time,
    },
}

/// What lies in `kept/` for one pin.
#[derive(Debug)]
pub struct Images {
    pin: u64,
    /// The inodes that had names of ours when the pin was made.
    linked: BTreeSet<u64>,
    found: Mutex<Found>,
}

/// The inodes that have names in `kept/` and in `stage/` now. When these are swept the ctime moves, of what
/// may be a document as well.
pub(crate) fn linked_now(fs: &dyn Fs) -> Result<BTreeSet<u64>, FsError> {
    let mut inodes = BTreeSet::new();
    for dir in [KEPT, STAGE] {
        let names = fs.list(dir)?.into_iter().filter_map(|entry| entry.name.into_string().ok());
        for name in names.filter(|name| spare_name_path(name).is_none()) {
            inodes.extend(fs.stat(&format!("{dir}/{name}"))?.map(|stat| stat.stamp.ino));
        }
    }
    Ok(inodes)
}

#[derive(Debug)]
struct Found {
    /// What is kept for any transaction up to this seq is among it; `None` if that is not known.
    upto: Option<u64>,
    lowest: Arc<Lowest>,
}

/// The lowest image of each path above the pin, by the hash of the path.
#[derive(Debug, Default)]
struct Lowest(HashMap<String, Kind>);

#[derive(Debug)]
struct Kind {
    txn: u64,
    image: Image,
    /// The path of this hash is said.
    named: bool,
}

impl Images {
    pub(crate) fn above(pin: u64, linked: BTreeSet<u64>) -> Self {
        let found = Found { upto: Some(pin), lowest: Arc::default() };
        Self { pin, linked, found: Mutex::new(found) }
    }

    /// Whether the file had a name of ours when the pin was made.
    pub(crate) fn was_linked(&self, ino: u64) -> bool {
        self.linked.contains(&ino)
    }

    /// The image of a document; `None` says that the live file, opened **before** this call and cut to
    /// the size that it had then, is what the document held: nobody had begun to change it.
    pub fn find(
        &self,
        fs: &dyn Fs,
        view: &View,
        path: &str,
    ) -> Result<Option<Before>, CommitError> {
        let hash = Hash::of(path.as_bytes()).to_string();
        let lowest = self.lowest(fs, view)?;
        let Some(Kind { txn, image, .. }) = lowest.0.get(&hash) else { return Ok(None) };
        Ok(Some(match *image {
            Image::Absent => Before::Absent,
            Image::Document { len, mtime, ctime } => {
                let file = fs.open(&entry_path(&hash, *txn, image), Access::Read)?;
                Before::Document { file, len, mtime, ctime }
            }
        }))
    }

    /// What the moment says of names that were listed **before** this call.
    pub fn names(&self, fs: &dyn Fs, view: &View) -> Result<Names, CommitError> {
        let lowest = self.lowest(fs, view)?;
        let mut gone = Vec::new();
        for (hash, Kind { image, named, .. }) in &lowest.0 {
            if *named && *image != Image::Absent {
                let said = read_to_end(&*fs.open(&name_path(hash), Access::Read)?)?;
                // What is not what it is named by was not written here.
                if Hash::of(&said).to_string() == *hash {
                    gone.extend(String::from_utf8(said));
                }
            }
        }
        Ok(Names { lowest, gone })
    }

    /// All images, as far as anybody had begun to publish when this was called.
    fn lowest(&self, fs: &dyn Fs, view: &View) -> Result<Arc<Lowest>, CommitError> {
        // Nothing is kept for a transaction before `state` says that it is committed, and everything
        // is once it says that it is published.
        let state = view.read_state()?.state;
        let (committed, published) = (state.committed.seq, state.published.seq);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.upto == Some(committed) {
            return Ok(Arc::clone(&found.lowest));
        }
        let Kept { entries, named } = Kept::list(fs)?;
        let mut lowest = HashMap::<String, Kind>::new();
        for Entry { path, txn, image, .. } in entries.into_iter().filter(|e| e.txn > self.pin) {
            let kind = Kind { txn, image, named: named.contains(&path) };
            match lowest.entry(path) {
                Slot::Occupied(mut slot) if txn < slot.get().txn => drop(slot.insert(kind)),
                Slot::Occupied(_) => {}
                Slot::Vacant(slot) => drop(slot.insert(kind)),
            }
        }
        found.lowest = Arc::new(Lowest(lowest));
        found.upto = (published >= committed).then_some(committed);
        Ok(Arc::clone(&found.lowest))
    }
}

/// Which names there were.
#[derive(Debug)]
pub struct Names {
    lowest: Arc<Lowest>,
    /// Documents that were there and have been removed, and perhaps made again.
    pub gone: Vec<String>,
}

impl Names {
    /// Whether this document was there; `None` if nobody had begun to change it.
    pub fn was_there(&self, path: &str) -> Option<bool> {
        let kind = self.lowest.0.get(&Hash::of(path.as_bytes()).to_string())?;
        Some(kind.image != Image::Absent)
    }

    /// Whether a document was there, and was changed since, that has none of these names.
    pub fn has_others<'a>(&self, names: impl Iterator<Item = &'a str>) -> bool {
        let hashes: BTreeSet<_> = names.map(|name| Hash::of(name.as_bytes()).to_string()).collect();
        let mut were_there = self.lowest.0.iter().filter(|(_, kind)| kind.image != Image::Absent);
        were_there.any(|(hash, kind)| !kind.named && !hashes.contains(hash))
    }
}
