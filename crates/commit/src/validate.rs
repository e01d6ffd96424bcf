//! C4: is everything as the transaction saw it, and can every target be published?
//!
//! A failure here costs nothing: nothing has been written. What passes is a [`Target`] for each
//! change, and the outside edits that the transaction has read, to be adopted ahead of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use filepact_fs::{Access, DocPath, Fs, FsError, Stamp, Stat, SyncKind, Time};
use filepact_journal::{Body, Hash, Put, RecordKind, Remove, Was};

use crate::spares::Spares;
use crate::target::Target;
use crate::view::Known;
use crate::{
    Change, CommitError, Holds, Live, Mark, Observation, Refusal, Request, Seen, Stamped, View,
    list, look, read_live, sync_documents,
};

/// An outside edit that the transaction has read.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) record: RecordKind,
    pub(crate) stamp: Option<Stamped>,
}

impl Adopted {
    /// The document.
    pub(crate) fn path(&self) -> &str {
        self.record.path().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Validated {
    pub(crate) adopted: Vec<Adopted>,
    pub(crate) targets: BTreeMap<DocPath, Target>,
}

/// What C4 works with.
pub(crate) struct Validation<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) view: &'a View,
    pub(crate) request: &'a Request,
    /// The mount of the root.
    pub(crate) mount: u64,
    pub(crate) inline_max: usize,
    /// What was synced for earlier members of its group, as it was before.
    pub(crate) synced: &'a RefCell<HashMap<DocPath, Stamp>>,
    /// Documents whose last word is behind this may become spares.
    pub(crate) recycles_above: u64,
    /// What is added to a body that a put up to here has brought must be behind it on the disk: the body may lie
    /// in a spare.
    pub(crate) syncs_bodies_upto: u64,
    /// What is known of documents that were spares.
    pub(crate) spares: &'a Spares,
}

impl Validation<'_> {
    pub(crate) fn run(&self) -> Result<Validated, CommitError> {
        let mut validated = Validated::default();
        let seen = self.check_reads()?;
        for (path, seen) in &seen {
            self.adopt_or_sync(path, seen, &mut validated)?;
        }
        let mut directories = HashMap::new();
        let mut asked = HashSet::new();
        for (path, change) in &self.request.changes {
            let target = self.target(path, change, seen.get(path), &mut directories)?;
            // Whoever may create a file in a directory may also rename there. For a put C5 asks
            // that before the commit point, when a no costs nothing; for a removal it is asked
            // here.
            if matches!(change, Change::Remove) && asked.insert(target.dir.clone()) {
                drop(self.fs.create_unnamed(&target.dir)?);
            }
            validated.targets.insert(path.clone(), target);
        }
        Ok(validated)
    }

    /// Every document and directory that the transaction saw, or expects, is as it was.
    fn check_reads(&self) -> Result<BTreeMap<DocPath, Seen>, CommitError> {
        let reads = &self.request.reads;
        let mut seen = BTreeMap::new();
        let mut changed = Vec::new();
        for (path, observation) in &reads.documents {
            match self.still(path, observation)? {
                Some(now) => drop(seen.insert(path.clone(), now)),
                None => changed.push(path.to_string()),
            }
        }
        for (path, expected) in &reads.expected {
            let now = self.see(path)?;
            if now.hash() == *expected {
                seen.insert(path.clone(), now);
            } else {
                changed.push(path.to_string());
            }
        }
        for (dir, listed) in &reads.lists {
            if list(self.fs, dir)?.documents != listed.names {
                changed.push(format!("{dir}/"));
            }
        }
        if changed.is_empty() { Ok(seen) } else { Err(CommitError::Conflict { paths: changed }) }
    }

    /// What the transaction saw, with a present stamp; `None` if it is no longer so.
    ///
    /// A change through filepact shows in the words, exactly; an outside edit in the stamp, or,
    /// where that proves nothing, in the content.
    fn still(&self, path: &DocPath, was: &Observation) -> Result<Option<Seen>, CommitError> {
        if self.view.seq_of(path) > was.at {
            return Ok(None);
        }
        if let Seen::Document { stamp: Some(stamp), .. } = was.seen
            && self.stat(path)?.is_some_and(|now| self.view.proves(path, &stamp, &now.stamp))
        {
            return Ok(Some(was.seen));
        }
        let now = self.see(path)?;
        Ok((now.hash() == was.seen.hash()).then_some(now))
    }

    fn see(&self, path: &DocPath) -> Result<Seen, CommitError> {
        Ok(match self.look(path)? {
            Live::Absent | Live::Other(_) => Seen::Absent,
            Live::Document { stat, taken, hash } => {
                Seen::Document { hash, stamp: Some(Stamped { stamp: stat.stamp, taken }) }
            }
        })
    }

    /// Nothing durable may derive from what a power cut can still take.
    fn adopt_or_sync(
        &self,
        path: &DocPath,
        seen: &Seen,
        validated: &mut Validated,
    ) -> Result<(), CommitError> {
        match (self.view.known(path), seen) {
            (Some(known), seen) if !self.is_known(path, &known, seen)? => {
                validated.adopted.push(self.adopt(path, &known, seen)?);
            }
            // Another process published it, so that this handle had no stamp to know an edit by.
            (Some(Known { stamp: None, .. }), Seen::Document { stamp: Some(stamped), .. }) => {
                self.view.stamp(path, *stamped);
            }
            (None, Seen::Document { stamp: Some(Stamped { stamp, taken }), .. })
                if changed_lately(stamp, *taken) =>
            {
                self.sync_once(path, stamp)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether what was seen is what filepact knows.
    fn is_known(&self, path: &DocPath, known: &Known, seen: &Seen) -> Result<bool, CommitError> {
        let (holds, hash, stamp) = match (&known.content, seen) {
            (_, Seen::Document { .. }) if known.unread => return Ok(false),
            (Some(holds), Seen::Document { hash, stamp }) => (holds, *hash, *stamp),
            (content, seen) => return Ok(content.is_none() && seen.hash().is_none()),
        };
        if let Some(known) = holds.hash() {
            return Ok(known == hash);
        }
        // An append says the hash of its own bytes alone.
        if let (Some(known), Some(now)) = (known.stamp, stamp)
            && self.view.proves(path, &known, &now.stamp)
        {
            return Ok(true);
        }
        let is_known = matches!(holds.is_at(self.fs, path)?, Some((true, _)));
        if let (true, Some(stamp)) = (is_known, stamp) {
            self.view.recognise(path, hash, stamp);
        }
        Ok(is_known)
    }

    /// The record of an outside edit that the transaction has read.
    fn adopt(&self, path: &DocPath, known: &Known, seen: &Seen) -> Result<Adopted, CommitError> {
        let path_text = path.to_string();
        let was = was_known(known);
        let Seen::Document { hash, .. } = seen else {
            let record = RecordKind::Remove(Remove { path: path_text, was });
            return Ok(Adopted { record, stamp: None });
        };
        let conflict = || CommitError::Conflict { paths: vec![path.to_string()] };
        let stat = self.stat(path)?.ok_or_else(conflict)?;
        let (body, stamp) = if stat.stamp.size <= self.inline_max as u64 {
            let (bytes, stamp) = read_live(self.fs, path)?.ok_or_else(conflict)?;
            if Hash::of(&bytes) != *hash {
                return Err(conflict());
            }
            (Body::Inline(bytes.into()), stamp)
        } else {
            // A large edit is recorded by its hash alone, so its file must be durable before the
            // record is.
            self.sync(path)?;
            match self.see(path)? {
                Seen::Document { hash: now, stamp: Some(stamp) } if now == *hash => {
                    (Body::InPlace, stamp)
                }
                _ => return Err(conflict()),
            }
        };
        let record = RecordKind::Put(Put {
            path: path_text,
            len: stamp.stamp.size,
            hash: *hash,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            was,
            body,
            own: false,
        });
        Ok(Adopted { record, stamp: Some(stamp) })
    }

    /// Once for all members of a group that find the document as it was before the sync: who finds it
    /// changed adds to what came after.
    pub(crate) fn sync_once(&self, path: &DocPath, found: &Stamp) -> Result<(), FsError> {
        self.once(path, found, || self.sync(path))
    }

    /// The same of the content alone.
    pub(crate) fn sync_body(&self, path: &DocPath, found: &Stamp) -> Result<(), FsError> {
        let sync = || self.fs.open(path, Access::Read)?.sync(SyncKind::All);
        self.once(path, found, || Mark::around(self.fs, sync))
    }

    fn once(
        &self,
        path: &DocPath,
        found: &Stamp,
        sync: impl FnOnce() -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        if self.synced.borrow().get(path) != Some(found) {
            sync()?;
            self.synced.borrow_mut().insert(path.clone(), *found);
        }
        Ok(())
    }

    fn sync(&self, path: &DocPath) -> Result<(), FsError> {
        Mark::around(self.fs, || sync_documents(self.fs, std::iter::once(path.as_str())))
    }

    pub(crate) fn stat(&self, path: &DocPath) -> Result<Option<Stat>, CommitError> {
        self.fs.stat(path).map_err(|error| refuse_link(path, error))
    }

    pub(crate) fn look(&self, path: &DocPath) -> Result<Live, CommitError> {
        look(self.fs, path).map_err(|error| refuse_link(path, error))
    }
}

fn refuse_link(path: &DocPath, error: FsError) -> CommitError {
    if error.is_link() {
        CommitError::Refused { path: path.to_string(), refusal: Refusal::Link }
    } else {
        error.into()
    }
}

/// A change this recent may be in memory only; a minute is longer than any write-back.
pub(crate) fn changed_lately(stamp: &Stamp, now: Time) -> bool {
    stamp.ctime.0.saturating_add(60_000_000_000) > now.0
}

/// The version that filepact knows; without a stamp the content alone tells it.
fn was_known(known: &Known) -> Option<Was> {
    let holds = known.content.as_ref()?;
    Some(match known.stamp {
        Some(Stamped { stamp, .. }) => {
            Was { size: holds.len(), mtime: stamp.mtime, ino: stamp.ino, hash: holds.hash() }
        }
        None => by_content(holds),
    })
}

pub(crate) fn by_content(holds: &Holds) -> Was {
    Was { size: holds.len(), mtime: Time::default(), ino: 0, hash: holds.hash() }
}
