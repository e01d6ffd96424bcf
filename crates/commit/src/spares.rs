//! Spares: the inode that a document had before its last publish, kept in `stage/` for its next.
//!
//! To overwrite one in place costs much less than a new file. Nobody sees it half written: a lease keeps
//! everybody else from opening it until it is the document, and is only had while nobody has it
//! open, or a mapping of it. Who still reads the old version keeps it; then the body goes into a new file.
//! No other document gets it: who has looked the name up, and opens the file only now, would read that other one.
//!
//! A handle remembers its own spares, with the stamp that each had when it was displaced. One that has
//! another by then was saved late, by an editor that had kept the old version open: it goes to
//! `rescued/`.
//!
//! All versions that a spare has ever held are in the journal since the last checkpoint: it is an inode that
//! filepact has made since, for a body that the journal holds, and every checkpoint sweeps the spares; and the
//! one that it is about to hold is there before the first byte. So whatever a death or a power cut has left
//! of one shows whose it is ([`SpareWords`]); and so does the document that it has become.

mod words;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use filepact_fs::{
    Access, Attrs, File, Fs, FsError, Kind, Leasing, Stamp, Stat, SyncKind, Time, write_all,
};

pub use self::words::SpareWords;
use crate::stage::owner;
use crate::versions::SECTOR;
use crate::writer::Inner;
use crate::{
    CommitError, Durability, Rescued, STAGE, Staged, Stamped, Writer, rescue, spare_name_path,
    stage_body_path as in_stage,
};

/// How many spares a handle has at most, and how many bytes of blocks.
const MOST: usize = 1024;
const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// How many stay open at once, where all are synced before the first is the document.
const MOST_FILLED: usize = 64;
/// How many that somebody has open it keeps in mind.
const MOST_OPEN: usize = 64;

/// The spares of a handle.
#[derive(Debug)]
pub(crate) struct Spares {
    by_path: HashMap<String, Spare>,
    bytes: u64,
    /// The attributes of what was published last from a spare, with the stamp by which they are known to be
    /// the same still.
    published: HashMap<String, (Stamped, Attrs)>,
    /// Displaced versions that somebody had open when they were wanted, or let go; longest ago first.
    open: VecDeque<(String, Spare)>,
    /// Whether a lease keeps others out here; without it there are no spares.
    pub(crate) leases: bool,
    /// How many a group may use.
    pub(crate) at_once: usize,
}

/// A displaced version that nobody else knows.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) at: String,
    /// As it was displaced.
    pub(crate) stat: Stat,
    /// Its attributes, where they are known, all of which a body leaves as they are.
    pub(crate) attrs: Option<Attrs>,
}

/// A small body for C8, which goes into a spare, or into a new file where that cannot be had.
#[derive(Clone, Debug)]
pub(crate) struct Refill {
    pub(crate) bytes: Arc<[u8]>,
    /// The document's.
    pub(crate) attrs: Attrs,
    pub(crate) time: Time,
    /// For a new file: where it is made, and its name in `stage/`.
    pub(crate) dir: String,
    pub(crate) at: String,
}

/// A body that is ready to be swapped with its document.
#[derive(Debug)]
#[must_use]
pub(crate) struct Refilled {
    pub(crate) staged: Staged,
    /// The document's attributes that were copied, if they are known.
    pub(crate) attrs: Option<Attrs>,
    /// Of a spare: the file, which gives the lease back when it is dropped.
    pub(crate) leased: Option<Box<dyn File>>,
    /// The spare was somebody's edit.
    pub(crate) rescued: Option<Rescued>,
}

impl Refilled {
    /// A body that was made for C8.
    pub(crate) fn of(
        refill: Refill,
        staged: Staged,
        leased: Option<Box<dyn File>>,
        rescued: Option<Rescued>,
    ) -> Self {
        Self { staged, attrs: Some(refill.attrs), leased, rescued }
    }

    /// Makes it durable.
    pub(crate) fn sync(&self, fs: &dyn Fs) -> Result<(), FsError> {
        match &self.leased {
            // Nobody else may open it, and neither may we.
            Some(file) => file.sync(SyncKind::All),
            None => fs.open(&self.staged.at, Access::Read)?.sync(SyncKind::All),
        }
    }
}

/// What became of a spare that was wanted.
pub(crate) enum Taken {
    /// It is ours alone until the file is dropped.
    Leased(Box<dyn File>),
    /// Somebody has it open.
    Open,
    /// Somebody has saved it.
    Edited,
    /// It has another name, or none, or cannot be leased; as a spare it is of no use.
    Useless,
}

impl Spares {
    /// None yet; `leases` says whether there can be any.
    pub(crate) fn new(leases: bool, durability: Durability) -> Self {
        Self {
            by_path: HashMap::new(),
            bytes: 0,
            published: HashMap::new(),
            open: VecDeque::new(),
            leases,
            at_once: match durability {
                Durability::Files => MOST_FILLED,
                Durability::Journal | Durability::Buffered => usize::MAX,
            },
        }
    }

    /// All of them; from now on there are none.
    pub(crate) fn take_all(&mut self) -> Self {
        Self {
            by_path: std::mem::take(&mut self.by_path),
            bytes: std::mem::take(&mut self.bytes),
            published: std::mem::take(&mut self.published),
            open: std::mem::take(&mut self.open),
            ..*self
        }
    }

    /// Those that a checkpoint has not swept, to be let go one after the other: what is in them may be covered
    /// by the next one.
    pub(crate) fn take_back(&mut self, spares: Self) {
        self.open.extend(spares.by_path);
        self.open.extend(spares.open);
    }

    /// The attributes of a document that looks like this, if it was published from a spare and nobody has
    /// touched it since.
    pub(crate) fn attrs(&self, path: &str, stat: &Stat) -> Option<&Attrs> {
        let (stamped, attrs) = self.published.get(path)?;
        let same = stamped.stamp == stat.stamp;
        let proves = same && (stat.stamp.exact || stamped.proves(&stat.stamp));
        (proves && owner(stat) == (attrs.mode, attrs.uid, attrs.gid)).then_some(attrs)
    }

    /// A body was published from a spare, and looks like this.
    pub(crate) fn note(&mut self, path: &str, stamped: Stamped, attrs: Attrs) {
        if self.published.len() < MOST || self.published.contains_key(path) {
            self.published.insert(path.to_owned(), (stamped, attrs));
        }
    }

    /// Whether there is one that has blocks for a body of this length. Only then does C5 not have to ask
    /// for room.
    pub(crate) fn has_room_for(&self, path: &str, len: u64) -> bool {
        self.by_path.get(path).is_some_and(|spare| len <= spare.stat.room)
    }

    /// One of those that somebody had open goes, if nobody has it open any more; an edit is rescued. What
    /// cannot be let go now waits for the next time.
    pub(crate) fn let_one_go(&mut self, fs: &dyn Fs, txn: u64) -> Option<Rescued> {
        let (path, spare) = self.open.pop_front()?;
        let gone = match spare.take(fs) {
            Ok(Taken::Open) => None,
            Ok(Taken::Edited) => rescue(fs, &spare.at, &path, txn).ok().map(Some),
            Ok(Taken::Leased(_) | Taken::Useless) => spare.unlink(fs).ok().map(|()| None),
            Err(_) => None,
        };
        if gone.is_none() {
            self.open.push_back((path, spare));
        }
        gone.flatten()
    }

    /// Whether a version that is displaced may become the spare of its document.
    pub(crate) fn may_keep(&self, path: &str, stat: &Stat) -> bool {
        self.shows_edits(stat)
            // It is opened for writing.
            && stat.mode & 0o200 != 0
            // No holes: what C5 counts on is there.
            && stat.room >= stat.stamp.size
            && !self.by_path.contains_key(path)
            && self.by_path.len() < MOST
            && self.bytes + stat.room <= MOST_BYTES
    }

    /// Whether to ask who has such a version open, which is no spare.
    pub(crate) fn may_keep_in_mind(&self, stat: &Stat) -> bool {
        self.open.len() < MOST_OPEN && self.shows_edits(stat)
    }

    /// Keeps a version for the next time.
    pub(crate) fn keep(&mut self, path: &str, spare: Spare) {
        self.bytes += spare.stat.room;
        self.by_path.insert(path.to_owned(), spare);
    }

    /// Keeps a version in mind that somebody has open; gives it back if there are too many.
    pub(crate) fn keep_in_mind(&mut self, path: &str, spare: Spare) -> Option<Spare> {
        if self.open.len() >= MOST_OPEN {
            return Some(spare);
        }
        self.open.push_back((path.to_owned(), spare));
        None
    }

    /// Whether it is displaced for good, and whatever is saved in it later shows.
    fn shows_edits(&self, stat: &Stat) -> bool {
        self.leases
            && stat.kind == Kind::File
            && stat.nlink == 1
            // What is saved later, also within the tick of the swap, moves one of the two.
            && stat.stamp.mtime != stat.stamp.ctime
    }

    /// The spare of the document, to be used or let go.
    pub(crate) fn forget(&mut self, path: &str) -> Option<Spare> {
        let spare = self.by_path.remove(path)?;
        self.bytes -= spare.stat.room;
        Some(spare)
    }
}

impl Spare {
    /// Takes it for ourselves alone.
    pub(crate) fn take(&self, fs: &dyn Fs) -> Result<Taken, FsError> {
        let Leasing { file, leased, stat: now } = match fs.open_and_lease(&self.at) {
            // Somebody else's checkpoint has swept it.
            Err(error) if error.is_not_found() => return Ok(Taken::Useless),
            Err(error) if error.is_leased() => return Ok(Taken::Open),
            // A program that runs, or one that we may not write: as it looks.
            Err(_) => {
                let now = fs.stat(&self.at)?;
                return Ok(now.map_or(Taken::Useless, |now| self.without_lease(&now)));
            }
            Ok(leasing) => leasing,
        };
        // Under the lease, since it was looked at: nobody can save it any more.
        Ok(match leased {
            Ok(true) if now.stamp == self.stat.stamp && now.nlink == 1 => Taken::Leased(file),
            Ok(false) => match self.without_lease(&now) {
                Taken::Useless => Taken::Open,
                taken => taken,
            },
            _ => self.without_lease(&now),
        })
    }

    /// What it is, of no use as a spare. A further name that somebody gave it moves the ctime alone.
    fn without_lease(&self, now: &Stat) -> Taken {
        if now.stamp.same_body(&self.stat.stamp) { Taken::Useless } else { Taken::Edited }
    }

    /// The body, in place of what it holds. The file is leased.
    ///
    /// After the journal's sync (C8): who dies in the middle leaves the beginning of a body that the journal
    /// holds. The time comes after the bytes, which set another one.
    pub(crate) fn overwrite(&self, file: &dyn File, refill: &Refill) -> Result<Staged, FsError> {
        let (len, old) = (refill.bytes.len(), self.stat.stamp.size);
        if (len as u64) < old {
            // No sector is of two versions, not even before the rest is cut.
            let rest = usize::try_from(old).unwrap_or(len).min(len.next_multiple_of(SECTOR));
            let mut padded = Vec::with_capacity(rest);
            padded.extend_from_slice(&refill.bytes);
            padded.resize(rest, 0);
            write_all(file, &padded, 0)?;
            file.set_len(len as u64)?;
        } else {
            write_all(file, &refill.bytes, 0)?;
        }
        file.set_mtime(refill.time)?;
        if self.attrs.as_ref() != Some(&refill.attrs) {
            file.set_attrs(&refill.attrs)?;
        }
        let Attrs { mode, uid, gid, .. } = refill.attrs;
        let stamp = Stamp { size: len as u64, mtime: refill.time, ..self.stat.stamp };
        Ok(Staged { at: self.at.clone(), stamp, owner: (mode, uid, gid) })
    }

    pub(crate) fn unlink(&self, fs: &dyn Fs) -> Result<(), FsError> {
        match fs.unlink(&self.at) {
            Err(error) if error.is_not_found() => Ok(()),
            unlinked => unlinked,
        }
    }
}

/// Whether a spare that looks like this has these attributes, and has them until the next look under a lease:
/// who changes some of them moves its stamp, and a write leaves them as they are. A write takes away what would
/// let somebody else's bytes run with the owner's rights.
pub(crate) fn are_kept(attrs: &Attrs, stat: &Stat) -> bool {
    owner(stat) == (attrs.mode, attrs.uid, attrs.gid)
        && stat.stamp.exact
        && attrs.mode & 0o6000 == 0
        && attrs.xattrs.iter().all(|(name, _)| name != "security.capability")
}

/// Whether somebody has a version open that is displaced.
pub(crate) fn is_open(fs: &dyn Fs, at: &str) -> bool {
    match fs.open(at, Access::Write) {
        Ok(file) => matches!(file.lease(), Ok(false)),
        // Of a file that we may not write nothing is known.
        Err(error) => error.is_leased(),
    }
}

impl Writer {
    /// Bodies of which the last word is behind this are all in the journal when the next record of a
    /// checkpoint is; those of documents whose last word is not behind it must not become spares.
    pub(crate) fn recycles_above(&self, inner: &Inner) -> Result<u64, FsError> {
        // With `Buffered` a power cut may take the records that say what is in a spare.
        if self.limits.durability == Durability::Buffered || !inner.spares.leases {
            return Ok(u64::MAX);
        }
        match inner.covering {
            Some(upto) => Ok(upto),
            // Somebody else's checkpoint covers nobody knows how much.
            None if self.marks.is_any_set()? => Ok(u64::MAX),
            None => Ok(inner.journal.last_checkpoint()),
        }
    }

    /// Drops spares: these, and all others that there were when a checkpoint began, and which nobody uses
    /// any more. What somebody has saved is rescued.
    ///
    /// They stay gone, once the journal need not know any more what they held: a name that a power cut
    /// brings back would pass for somebody's edit.
    pub(crate) fn sweep_spares(
        &self,
        spares: &Spares,
        names: &[String],
    ) -> Result<(), CommitError> {
        let fs = &*self.fs;
        let txn = self.view.committed();
        let open = spares.open.iter().map(|(path, spare)| (path, spare));
        for (path, spare) in spares.by_path.iter().chain(open) {
            match spare.take(fs)? {
                Taken::Edited => self.counters.rescue(&rescue(fs, &spare.at, path, txn)?),
                Taken::Leased(_) | Taken::Open | Taken::Useless => spare.unlink(fs)?,
            }
        }
        self.settle_spares(names)?;
        Ok(fs.sync_dir(STAGE)?)
    }

    /// Drops or rescues the spares among these names, which no handle uses, by what the journal says.
    pub(crate) fn settle_spares(&self, names: &[String]) -> Result<(), CommitError> {
        let fs = &*self.fs;
        let mut words = None;
        for name in names.iter().filter(|name| spare_name_path(name).is_some()) {
            if fs.stat(&in_stage(name))?.is_none() {
                continue;
            }
            let words = match &mut words {
                Some(words) => words,
                None => {
                    let (scan, published) = self.view.scan_and_published()?;
                    words.insert(SpareWords::of(&scan, published))
                }
            };
            let rescued = words.settle(fs, name, false)?;
            rescued.iter().for_each(|edit| self.counters.rescue(edit));
        }
        Ok(())
    }
}
