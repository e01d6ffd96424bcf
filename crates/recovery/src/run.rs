//! Carries a plan out, by the swaps that commits use; every step can be repeated.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::io;

use filepact_commit::{
    Displaced, Dress, Holds, Known, Live, Rescued, Rewritten, STAGE, SpareWords, StageNames,
    Staged, Stamped, Swap, drop_staged, finish, hash_part, is_earlier, is_whole_version,
    look_past_links, place, remove_document, rescue, restage, rewrite, settle, settle_leftover,
    spare_name_path, stage_edited, stage_name_record, sync_documents, sync_names,
};
use filepact_fs::{Access, Attrs, Fs, FsError, Stat, with_each};
use filepact_journal::{Body, Change, Commit, Hash, Put, RecordKind, Remove, Was, Word, Words};

use crate::inspect::{Inspected, WORTH_A_THREAD, is_before_rewrite, is_old_name};
use crate::progress::{Counted, Tell};
use crate::{
    Action, BodyAt, Displace, Inspection, Planned, RecoveryError, RecoveryProgress, RecoveryStep,
    Report, Standing,
};

/// How a document looks, and the hash of its content; `None` if there is none.
type Seen = Option<(Stamped, Hash)>;

/// What running a plan works with.
pub(crate) struct Run<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) inspection: &'a Inspection,
    pub(crate) names: StageNames,
    pub(crate) inline_max: usize,
    pub(crate) tell: &'a Tell<'a>,
}

/// What became of one document.
#[derive(Default)]
struct Redone {
    /// The edit that its word displaced.
    rescued: Option<Rescued>,
    /// Its path, if it keeps what the journal knows nothing of.
    left: Option<String>,
}

impl Run<'_> {
    /// Brings every document to its word. Nothing is durable yet when this returns.
    pub(crate) fn redo(
        &self,
        planned: &[Planned],
        report: &mut Report,
    ) -> Result<(), RecoveryError> {
        let is_removed = |planned: &&Planned| planned.facts.body == BodyAt::Removed;
        let is_added_to =
            |planned: &&Planned| matches!(planned.row.action, Action::Extend | Action::Leave);
        let (removes, others): (Vec<_>, Vec<_>) = planned.iter().partition(is_removed);
        let (added_to, puts) = others.into_iter().partition(is_added_to);
        let published = Counted::begin(self.tell, RecoveryStep::Publish, planned.len());
        let redo = |planned: &Planned| {
            let redone = self.redo_one(planned)?;
            published.one();
            Ok::<_, RecoveryError>(redone)
        };
        // Removals first, as in C8: a document may give way to a directory of the same name. Last what is added
        // to: a power cut may have left it at a path that it had before as well, where it is known to be ours
        // as it was looked at.
        for documents in [removes, puts, added_to] {
            let redone = with_each(self.fs.threads(), WORTH_A_THREAD, documents, redo)?;
            for Redone { rescued, left } in redone {
                report.rescued.extend(rescued);
                report.left.extend(left);
            }
        }
        Ok(())
    }

    fn redo_one(&self, Planned { path, row, .. }: &Planned) -> Result<Redone, RecoveryError> {
        match row.action {
            Action::Redo(displace) => return Ok(self.publish(path, displace)?),
            Action::Verify => self.give_back(path)?,
            Action::Rewrite => {
                self.give_back(path)?;
                let rescued = self.rewrite(path, self.inspected(path))?;
                return Ok(Redone { rescued, left: None });
            }
            Action::Extend => {
                self.give_back(path)?;
                self.extend(path)?;
            }
            Action::Leave => {
                self.extend(path)?;
                return Ok(Redone { rescued: None, left: Some(path.clone()) });
            }
            Action::Keep | Action::Adopt | Action::Refuse => {}
        }
        Ok(Redone::default())
    }

    /// After a sync: what the device does not show is written to a new inode. Returns the documents of which
    /// that is so; they need a sync again.
    pub(crate) fn verify(
        &self,
        planned: &[Planned],
        report: &mut Report,
    ) -> Result<HashSet<String>, RecoveryError> {
        let verified = Counted::begin(self.tell, RecoveryStep::Verify, planned.len());
        let doubtful = with_each(
            self.fs.threads(),
            WORTH_A_THREAD,
            planned.iter().collect(),
            |planned: &Planned| {
                let doubtful = self.doubtful(planned);
                verified.one();
                doubtful
            },
        )?;
        let rewrite = |(path, seen): (String, Seen)| {
            let rescued = self.rewrite(&path, seen)?;
            Ok::<_, RecoveryError>((path, rescued))
        };
        let doubtful = doubtful.into_iter().flatten().collect();
        let rewritten = with_each(self.fs.threads(), WORTH_A_THREAD, doubtful, rewrite)?;
        let paths = rewritten.into_iter().map(|(path, rescued)| {
            report.rescued.extend(rescued);
            path
        });
        Ok(paths.collect())
    }

    /// The document, and what was seen of it, if the device does not show that.
    fn doubtful(
        &self,
        Planned { path, row, facts }: &Planned,
    ) -> Result<Option<(String, Seen)>, FsError> {
        let (seen, proves) = match (row.action, facts.standing) {
            (Action::Verify, _) => (self.inspected(path), true),
            // A failed sync leaves nothing that reading could prove.
            (Action::Extend, Standing::Failed) => (self.look_again(path)?, false),
            (Action::Extend, Standing::Untrusted) => (self.look_again(path)?, true),
            _ => return Ok(None),
        };
        let is_durable = proves && self.device_hash(path)? == seen.map(|(_, hash)| hash);
        Ok((!is_durable).then(|| (path.clone(), seen)))
    }

    /// The records of outside edits that were found.
    pub(crate) fn adopted(&self, planned: &[Planned]) -> Result<Vec<RecordKind>, RecoveryError> {
        let mut records = Vec::new();
        for Planned { path, .. } in planned.iter().filter(|p| p.row.action == Action::Adopt) {
            let word = self.word(path);
            let was = Holds::after(None, &word.said).map(|holds| Was {
                size: holds.len(),
                mtime: word.time,
                ino: 0,
                hash: holds.hash(),
            });
            let found = self.document(path);
            let (Some(hash), Some(stamp)) = (found.hash, found.stamp) else {
                records.push(RecordKind::Remove(Remove { path: path.clone(), was }));
                continue;
            };
            let file = self.fs.open(path, Access::Read)?;
            let Attrs { mode, uid, gid, .. } = file.attrs()?;
            let len = stamp.stamp.size;
            let body = if len <= self.inline_max as u64 {
                let bytes = filepact_fs::read_to_end(&*file)?;
                if Hash::of(&bytes) != hash {
                    return Err(being_edited(path));
                }
                Body::Inline(bytes.into())
            } else {
                Body::InPlace
            };
            let path = path.clone();
            let own = false;
            records.push(RecordKind::Put(Put { path, len, hash, mode, uid, gid, was, body, own }));
        }
        Ok(records)
    }

    /// Makes the names durable of all documents of the plan, and of what lies in `stage/`.
    pub(crate) fn sync_names(&self, planned: &[Planned]) -> Result<(), FsError> {
        // First the name by which a displaced edit lies there, then the one that it has lost.
        self.fs.sync_dir(STAGE)?;
        sync_names(self.fs, planned.iter().map(|planned| planned.path.as_str()))
    }

    /// Syncs all documents of the plan with their directories.
    pub(crate) fn sync(&self, planned: &[Planned]) -> Result<(), FsError> {
        (self.tell)(RecoveryProgress { step: RecoveryStep::Sync, done: 0, of: planned.len() });
        sync_documents(self.fs, planned.iter().map(|planned| planned.path.as_str()))
    }

    /// What this handle knows from now on: of the documents of the plan, how they look; of others
    /// that the journal still names, their last word, so that an edit made since then is not taken
    /// for ours.
    pub(crate) fn known(
        &self,
        planned: &[Planned],
        rewritten: &HashSet<String>,
        seq: u64,
    ) -> Result<HashMap<String, Known>, FsError> {
        let mut known: HashMap<String, Known> = HashMap::new();
        for group in &self.inspection.scan.groups {
            let mut words = Words::default();
            words.apply(group);
            for (path, word) in words.iter() {
                let before = known.remove(path);
                // Where its time alone says that it was edited before it was added to, it is taken as it is.
                let is_edited = before.as_ref().is_some_and(|known| {
                    known.unread || word.was().is_some_and(|was| known.is_not(was))
                });
                let after = Known::after(before, word);
                let after = Known { unread: after.unread && is_edited, ..after };
                known.insert(path.to_owned(), after);
            }
        }
        let looks = with_each(
            self.fs.threads(),
            WORTH_A_THREAD,
            planned.iter().collect(),
            |planned: &Planned| {
                match planned.row.action {
                    // What was only looked at is as it was, or somebody edits it.
                    Action::Keep | Action::Verify | Action::Adopt
                        if !rewritten.contains(&planned.path) =>
                    {
                        Ok(self.inspected(&planned.path))
                    }
                    _ => self.look_again(&planned.path),
                }
            },
        )?;
        for (Planned { path, .. }, look) in planned.iter().zip(looks) {
            let holds = |(stamped, hash): (Stamped, _)| {
                (Holds::whole(stamped.stamp.size, Some(hash)), stamped)
            };
            let (content, stamp) = look.map(holds).unzip();
            let Word { time, said, .. } = self.word(path);
            let (time, is_put) = (*time, said.hash().is_some());
            let now = Known { seq, time, content, is_put, stamp, unread: false, missing: None };
            known.insert(path.clone(), now);
        }
        Ok(known)
    }

    /// Swaps that a crash cut short left something in `stage/`: our own bodies are dropped, what
    /// is nobody's word goes to `rescued/`. This comes before the checkpoint: after it the journal
    /// need not know any more whose they were.
    pub(crate) fn sweep_swaps(&self, report: &mut Report) -> Result<(), RecoveryError> {
        let mut records = HashMap::new();
        for group in &self.inspection.scan.groups {
            for (changes, commit, txn) in group.transactions() {
                for record in changes {
                    records.insert(record.seq, (record, commit, txn));
                }
            }
        }
        let state = self.inspection.state.as_ref();
        let published = state.map_or(0, |reading| reading.state.published.seq);
        let spares = LazyCell::new(|| SpareWords::of(&self.inspection.scan, published));
        for entry in self.fs.list(STAGE)? {
            let Some(name) = entry.name.to_str() else { continue };
            let at = format!("{STAGE}/{name}");
            if spare_name_path(name).is_some() {
                match spares.settle(self.fs, name, !self.inspection.trusted)? {
                    None => report.swept += 1,
                    Some(rescued) => report.rescued.push(rescued),
                }
                continue;
            }
            let Some((seq, of)) = stage_name_record(name) else { continue };
            // A group that does not count never reached a swap: what is left of it is ours.
            let record = records.get(&seq).filter(|(_, commit, _)| commit.time == of);
            let Some(&(record, &Commit { time, outside, .. }, txn)) = record else {
                self.drop_staged(name, report)?;
                continue;
            };
            let (path, was, hash) = match &record.kind {
                RecordKind::Put(put) => (&put.path, put.was.as_ref(), Some(put.hash)),
                RecordKind::Remove(remove) => (&remove.path, remove.was.as_ref(), None),
                RecordKind::Append(append) => (&append.path, Some(&append.was), None),
                RecordKind::Commit(_) | RecordKind::Checkpoint { .. } => continue,
            };
            // What an outside edit has replaced was no document any more: who has undone the edit has put it there.
            let was = was.filter(|_| !outside);
            let word = self.inspection.words.get(path);
            let swap = Swap { path, was, txn, time, replaces_ours: false, own: false };
            // A power cut also leaves what was never whole.
            let is_ours = |stat: &Stat, found| {
                let is_earlier = match word {
                    Some(word) if outside && is_whole_version((stat, found), word) => false,
                    Some(word) => is_earlier(self.fs, &at, (stat, found), word)?,
                    None => false,
                };
                let words = &self.inspection.words;
                Ok(is_earlier
                    || is_old_name(self.fs, words, path, (&at, stat))?
                    || !self.inspection.trusted
                        && is_before_rewrite(self.fs, (path, time), (&at, stat))?)
            };
            match settle_leftover(self.fs, &at, swap, hash, is_ours)? {
                None => report.swept += 1,
                Some(rescued) => report.rescued.push(rescued),
            }
        }
        Ok(())
    }

    /// Large bodies that a checkpoint covers, or that no group that counts names. This comes after
    /// the checkpoint, whose segment also voids what was torn.
    pub(crate) fn sweep_bodies(&self, report: &mut Report) -> Result<(), RecoveryError> {
        for entry in self.fs.list(STAGE)? {
            let Some(name) = entry.name.to_str() else { continue };
            if stage_name_record(name).is_none() {
                self.drop_staged(name, report)?;
            }
        }
        Ok(())
    }

    fn drop_staged(&self, name: &str, report: &mut Report) -> Result<(), FsError> {
        match drop_staged(self.fs, name)? {
            None => report.swept += 1,
            Some(rescued) => report.rescued.push(rescued),
        }
        Ok(())
    }

    fn publish(&self, path: &str, displace: Displace) -> Result<Redone, FsError> {
        let word = self.word(path).clone();
        let base = word.said.base.as_ref().expect("what is redone has a body, or goes");
        let at = self.names.swap(base.seq, base.time);
        let swap = Swap::of(path, &word, base);
        let Change::Put(put) = &base.change else {
            let displaced = remove_document(self.fs, path, &at)?;
            let rescued = self.settle(swap, &at, displaced, displace, None)?;
            return Ok(Redone { rescued, left: None });
        };
        let (dir, attrs) = place(self.fs, path)?;
        // Of a put that has its own no record knows the extended attributes: those of what stands there
        // are somebody else's.
        let mut attrs = attrs.filter(|_| !put.own);
        let standing = self.document(path).facts.standing;
        if let Some(attrs) = &mut attrs
            && matches!(standing, Standing::Untrusted | Standing::Failed)
        {
            // What a power cut has left of mode and owner proves no more than the content does.
            (attrs.mode, attrs.uid, attrs.gid) = (put.mode, put.uid, put.gid);
        }
        let dress = Dress {
            attrs: attrs.as_ref(),
            mode: Some(put.mode),
            ids: Some((put.uid, put.gid)),
            time: word.time,
        };
        let edited = self.document(path).facts.body == BodyAt::Edited;
        let staged = match &put.body {
            Body::Staged(name) if edited => stage_edited(self.fs, name, &dir, at)?,
            _ => restage(self.fs, &word.said, &dir, dress, at)?,
        };
        let displaced = swap.run(self.fs, &staged)?;
        let rescued = self.settle(swap, &staged.at, displaced, displace, Some(&staged))?;
        if edited {
            // The edit goes where its document goes, as with any rename; and so does what was added.
            self.extend(path)?;
        }
        Ok(Redone { rescued, left: edited.then(|| path.to_owned()) })
    }

    /// Drops or rescues what was displaced.
    fn settle(
        &self,
        swap: Swap<'_>,
        at: &str,
        displaced: Displaced,
        displace: Displace,
        staged: Option<&Staged>,
    ) -> Result<Option<Rescued>, FsError> {
        match displaced {
            Displaced::No => return Ok(None),
            Displaced::Rescued(rescued) => return Ok(Some(rescued)),
            Displaced::Yes => {}
        }
        let inspected = self.document(swap.path).stamp;
        let stat = self.fs.stat(at)?;
        let as_inspected =
            inspected.zip(stat).is_some_and(|(then, now)| then.stamp.same_body(&now.stamp));
        if displace == Displace::Drop && as_inspected {
            self.fs.unlink(at)?;
            Ok(None)
        } else if displace == Displace::Rescue && as_inspected {
            rescue(self.fs, at, swap.path, swap.txn).map(Some)
        } else {
            settle(self.fs, at, swap, staged)
        }
    }

    /// Adds what was added to the document since its body was put there, where it is missing.
    fn extend(&self, path: &str) -> Result<(), FsError> {
        let word = self.word(path);
        match word.said.appends.is_empty() {
            true => Ok(()),
            false => finish(self.fs, path, &word.said.appends, word.time),
        }
    }

    /// The same content on a new inode, for a document that reads well and may not be on the disk.
    fn rewrite(&self, path: &str, seen: Seen) -> Result<Option<Rescued>, RecoveryError> {
        let Some(seen) = seen else { return Ok(None) };
        let Word { seq, txn, time, .. } = *self.word(path);
        let at = self.names.swap(seq, time);
        match rewrite(self.fs, path, seen, at, (txn, time))? {
            Rewritten::Done(rescued) => Ok(rescued),
            Rewritten::Edited => Err(being_edited(path)),
        }
    }

    /// The document as it was inspected.
    fn inspected(&self, path: &str) -> Seen {
        let Inspected { stamp, hash, .. } = *self.document(path);
        stamp.zip(hash)
    }

    /// The document as it is now.
    fn look_again(&self, path: &str) -> Result<Seen, FsError> {
        Ok(match look_past_links(self.fs, path)? {
            Live::Document { stat, taken, hash } => {
                Some((Stamped { stamp: stat.stamp, taken }, hash))
            }
            Live::Absent | Live::Other(_) => None,
        })
    }

    /// After a power cut a document can have its new content with the mode and owner of a new file:
    /// a secret that everybody reads. It gets those of its record.
    fn give_back(&self, path: &str) -> Result<(), FsError> {
        let Some(put) = self.word(path).said.put() else { return Ok(()) };
        if matches!(put.body, Body::InPlace) || self.document(path).stamp.is_none() {
            return Ok(());
        }
        let file = self.fs.open(path, Access::Read)?;
        let attrs = file.attrs()?;
        if (attrs.mode, attrs.uid, attrs.gid) == (put.mode, put.uid, put.gid) {
            return Ok(());
        }
        file.set_attrs(&Attrs { mode: put.mode, uid: put.uid, gid: put.gid, ..attrs })
    }

    fn device_hash(&self, path: &str) -> Result<Option<Hash>, FsError> {
        let read = self.fs.open(path, Access::ReadDevice).and_then(|file| {
            // All of it at once: each read past the cache waits for the device.
            let size = file.stat()?.stamp.size;
            hash_part(&*file, 0, size)
        });
        match read {
            Err(error) if error.is_unsupported() => Ok(None),
            hash => hash.map(Some),
        }
    }

    fn word(&self, path: &str) -> &Word {
        self.inspection.words.get(path).expect("planned from the words")
    }

    fn document(&self, path: &str) -> &Inspected {
        &self.inspection.documents[path]
    }
}

/// Somebody saves the document while it is being recovered.
fn being_edited(path: &str) -> RecoveryError {
    let busy = io::Error::new(io::ErrorKind::ResourceBusy, "it is being edited; try again");
    FsError::new("recover", path, busy).into()
}
