//! C5: from requests to records and staged files.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use filepact_fs::{Access, DocPath, Fs, FsError, Stamp, SyncKind, Time};
use filepact_journal::{Append, Body, Commit, Put, RecordKind, Remove, Was};

use crate::spares::{Refill, Spares};
use crate::stage::{link_body, stage_bytes, stage_existing, stage_link};
use crate::target::Target;
use crate::validate::Validated;
use crate::{
    Attributes, Change, Content, Dress, Request, STAGE, StageNames, Staged, stage_body_path,
};

/// Beyond this many bodies one `syncfs` costs less than a sync of each (`--example durability`).
const FEW_BODIES: usize = 1;

/// The records of a group, and what C8 needs for them.
#[derive(Debug)]
pub(crate) struct StagedGroup {
    first: u64,
    time: Time,
    /// For C6, in order.
    pub(crate) records: Vec<RecordKind>,
    /// The body of each put, by seq.
    pub(crate) staged: HashMap<u64, Staged>,
    /// Those bodies that go into spares in C8, by seq.
    pub(crate) refills: HashMap<u64, Refill>,
    /// Documents whose last word is behind this may become spares, once it was asked.
    pub(crate) recycles_above: Option<u64>,
    /// The directories that take new names.
    asked: HashSet<String>,
    /// Those that replace what a put has published, by seq.
    pub(crate) replaces_ours: HashSet<u64>,
    /// Those that displace what may become a spare, by seq.
    pub(crate) recycles: HashSet<u64>,
    /// Where each removed document goes, by seq.
    pub(crate) removals: HashMap<u64, String>,
    /// The names of large bodies, with the seq of their records.
    bodies: Vec<(u64, String)>,
    /// What C4 has synced for its members, as it was before.
    pub(crate) synced: RefCell<HashMap<DocPath, Stamp>>,
    /// Something that was taken back still has a name in `stage/`.
    pub(crate) litter: bool,
    /// Something could not be staged: nothing more may be, under the time of this group.
    pub(crate) spoiled: bool,
}

impl StagedGroup {
    /// A group whose first record will be `first`.
    pub(crate) fn new(first: u64, time: Time) -> Self {
        Self {
            first,
            time,
            records: Vec::new(),
            staged: HashMap::new(),
            refills: HashMap::new(),
            recycles_above: None,
            asked: HashSet::new(),
            replaces_ours: HashSet::new(),
            recycles: HashSet::new(),
            removals: HashMap::new(),
            bodies: Vec::new(),
            synced: RefCell::default(),
            litter: false,
            spoiled: false,
        }
    }

    /// Stages a validated request behind the others, and returns its number. If it cannot be done,
    /// what was staged for it is taken back, and the group takes no more.
    pub(crate) fn add(
        &mut self,
        fs: &dyn Fs,
        names: &StageNames,
        spares: &Spares,
        request: Request,
        validated: &Validated,
    ) -> Result<u64, FsError> {
        let before = self.next();
        match self.fill(fs, names, spares, request, validated) {
            Ok(()) => Ok(self.next() - 1),
            Err(error) => {
                self.take_back(fs, before);
                // The next record would get the number, and with it what is left of this one: a name that
                // could not be looked at, or that a power cut brings back.
                (self.litter, self.spoiled) = (true, true);
                Err(error)
            }
        }
    }

    /// The time of all its commits.
    pub(crate) fn time(&self) -> Time {
        self.time
    }

    /// Makes the names of its large bodies durable.
    pub(crate) fn secure_bodies(&self, fs: &dyn Fs) -> Result<(), FsError> {
        if self.bodies.is_empty() { Ok(()) } else { fs.sync_dir(STAGE) }
    }

    /// Makes the bodies durable that the journal alone would hold.
    pub(crate) fn sync_bodies(&self, fs: &dyn Fs) -> Result<(), FsError> {
        if self.staged.len() > FEW_BODIES {
            return fs.sync_everything();
        }
        let mut each = self.staged.values();
        each.try_for_each(|staged| fs.open(&staged.at, Access::Read)?.sync(SyncKind::All))
    }

    /// Takes back everything that was staged.
    pub(crate) fn unstage(&mut self, fs: &dyn Fs) {
        self.take_back(fs, self.first);
    }

    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// Takes back what was staged for this record and all after it.
    fn take_back(&mut self, fs: &dyn Fs, from: u64) {
        let swaps = self.staged.extract_if(|seq, _| *seq >= from).map(|(_, staged)| staged.at);
        let bodies = self.bodies.extract_if(.., |(seq, _)| *seq >= from);
        for at in swaps.chain(bodies.map(|(_, body)| stage_body_path(&body))) {
            self.litter |= fs.unlink(&at).is_err();
        }
        self.removals.retain(|seq, _| *seq < from);
        self.refills.retain(|seq, _| *seq < from);
        self.replaces_ours.retain(|seq| *seq < from);
        self.recycles.retain(|seq| *seq < from);
        self.records.truncate(usize::try_from(from - self.first).expect("a count of records"));
    }

    fn fill(
        &mut self,
        fs: &dyn Fs,
        names: &StageNames,
        spares: &Spares,
        request: Request,
        validated: &Validated,
    ) -> Result<(), FsError> {
        let time = self.time;
        // What the transaction has read of others' edits is a transaction of its own, ahead of it.
        if !validated.adopted.is_empty() {
            self.records.extend(validated.adopted.iter().map(|adopted| adopted.record.clone()));
            self.records.push(RecordKind::Commit(Commit { time, note: None, outside: true }));
        }
        for (path, change) in request.changes {
            let seq = self.next();
            let Target { exists, is_ours, recycles, was, attrs, dir } = &validated.targets[&path];
            let at = names.swap(seq, time);
            let (path, was) = (path.to_string(), was.clone());
            if *recycles {
                self.recycles.insert(seq);
            }
            if *is_ours {
                self.replaces_ours.insert(seq);
            }
            let (content, attributes, was) = match change {
                Change::Put { content, attributes } => (content, attributes, was),
                Change::Append { content } => {
                    let was_gone = was.clone().map(|was| Was { hash: None, ..was });
                    match self.added_behind(&path).or(was.filter(|_| *exists).map(behind)) {
                        Some(behind) => {
                            self.add_to(names, path, content, behind)?;
                            continue;
                        }
                        // It makes the document, and replaces nothing: what stands there by then is
                        // somebody's, also the version that filepact knows, put back.
                        None => (content, Attributes::Kept, was_gone),
                    }
                }
                Change::Remove => {
                    self.removals.insert(seq, at);
                    self.records.push(RecordKind::Remove(Remove { path, was }));
                    continue;
                }
            };
            let (mode, own) = match attributes {
                Attributes::New { mode } => (Some(mode), false),
                Attributes::Own(_) => (None, true),
                Attributes::Kept | Attributes::Like(_) => (None, false),
            };
            let dress = Dress { attrs: attrs.as_ref(), mode, ids: None, time };
            let (hash, len) = (content.hash(), content.len());
            let has_spare = self.refills.len() < spares.at_once && spares.has_room_for(&path, len);
            let refills = *recycles && !own && has_spare;
            let ((mode, uid, gid), body) = match (content, attrs) {
                (Content::Inline { bytes, .. }, Some(attrs)) if refills => {
                    // What making a file there would say, before the commit point.
                    if self.asked.insert(dir.clone()) {
                        fs.check_dir(dir)?;
                    }
                    let (body, dir) = (Arc::clone(&bytes), dir.clone());
                    let refill = Refill { bytes: body, attrs: attrs.clone(), time, dir, at };
                    self.refills.insert(seq, refill);
                    ((attrs.mode, attrs.uid, attrs.gid), Body::Inline(bytes))
                }
                (Content::Inline { bytes, .. }, _) => {
                    let staged = stage_bytes(fs, dir, &bytes, dress, at)?;
                    (self.stage(seq, staged), Body::Inline(bytes))
                }
                (Content::Large { file, .. }, _) => {
                    let name = names.body();
                    self.bodies.push((seq, name.clone()));
                    let staged = stage_link(&*file, &name, dress, at)?;
                    (self.stage(seq, staged), Body::Staged(name))
                }
                (Content::Existing { file, .. }, _) => {
                    let name = names.body();
                    self.bodies.push((seq, name.clone()));
                    let staged = stage_existing(fs, dir, &*file, len, &name, dress, at)?;
                    (self.stage(seq, staged), Body::Staged(name))
                }
            };
            let put = Put { path, len, hash, mode, uid, gid, was, body, own };
            self.records.push(RecordKind::Put(put));
        }
        self.records.push(RecordKind::Commit(Commit { time, note: request.note, outside: false }));
        Ok(())
    }

    /// A staged body, for C8; its mode, owner and group.
    fn stage(&mut self, seq: u64, staged: Staged) -> (u32, u32, u32) {
        let owner = staged.owner;
        self.staged.insert(seq, staged);
        owner
    }

    /// The end of what earlier members of the group have added to the document, and the version that they
    /// have found.
    ///
    /// Who adds as well adds to that. What another program has added since stands before their bytes, and a
    /// record that has found it would say that theirs were there as well; and if it has removed the document,
    /// a put would replace what they make of it.
    fn added_behind(&self, path: &str) -> Option<(u64, Was)> {
        self.records.iter().rev().find_map(|record| match record {
            RecordKind::Append(append) if append.path == path => {
                Some((append.offset + append.len, append.was.clone()))
            }
            _ => None,
        })
    }

    /// The record of an append behind this offset; its bytes are added in C8, where the document ends.
    fn add_to(
        &mut self,
        names: &StageNames,
        path: String,
        content: Content,
        (offset, was): (u64, Was),
    ) -> Result<(), FsError> {
        let seq = self.next();
        let (len, hash) = (content.len(), content.hash());
        let body = match content {
            Content::Inline { bytes, .. } => Body::Inline(bytes),
            Content::Large { file, .. } | Content::Existing { file, .. } => {
                let name = names.body();
                // First, so that the name goes again if it cannot be made durable.
                self.bodies.push((seq, name.clone()));
                link_body(&*file, &name)?;
                Body::Staged(name)
            }
        };
        self.records.push(RecordKind::Append(Append { path, offset, len, hash, was, body }));
        Ok(())
    }
}

/// Behind this version.
fn behind(was: Was) -> (u64, Was) {
    (was.size, was)
}
