//! C3: finish what somebody left, who died or whose publish failed, while others live.
//!
//! Up to *published* nothing is to do. Up to *committed* every document goes to its word, as in C8.
//! Beyond is void: nobody was told of it, and nobody has read it. A healer that dies is healed.

use std::collections::HashMap;

use filepact_fs::{Access, Fs, FsError, Kind, Stat, Time};
use filepact_journal::{Base, Body, Change, Hash, Put, Word};

use crate::append::finish;
use crate::live::{Opened, hash_part, open_document, read_steady};
use crate::pins::Pins;
use crate::publisher::note_stamp;
use crate::stage::{Dress, owner, place, stage_again, stage_edited};
use crate::writer::Inner;
use crate::{
    CommitError, Durability, Holds, Mark, Rescued, STAGE, Swap, View, Writer, hash_file,
    is_before_own, is_plainly_was, remove_document, rescue, secure_rescued, settle_leftover,
    spare_name_path, stage_body_path as in_stage, stage_name_record, sync_documents,
};

impl Writer {
    /// Publishes what is committed and not yet published.
    pub(crate) fn heal(&self, inner: &mut Inner) -> Result<(), CommitError> {
        let fs = &*self.fs;
        if inner.state.published.seq >= inner.state.committed.seq {
            return Ok(());
        }
        let in_flight = self.view.in_flight();
        let words = &*in_flight;
        // Removals first, as in C8. An outside edit is at its path already.
        let words = words.iter().filter(|(_, word)| !word.is_outside());
        let (removes, others): (Vec<_>, Vec<_>) =
            words.partition(|(_, word)| word.said.is_removal());
        let words = || removes.iter().chain(&others).copied();
        let tell = |edit: Option<Rescued>| edit.iter().for_each(|edit| self.counters.rescue(edit));
        let mut pins = Pins::look(fs)?;
        for (path, word) in words() {
            if let Some(pins) = &mut pins {
                pins.keep(fs, path, word.txn, word.said.is_removal())?;
            }
            let base = word.said.base.as_ref().filter(|base| !base.outside);
            match base.map(|base| (base, Swap::of(path, word, base))) {
                None => finish(fs, path, &word.said.appends, word.time)?,
                Some((base, swap)) => {
                    let at = inner.names.swap(base.seq, base.time);
                    tell(bring(fs, &self.view, word, swap, at)?);
                }
            }
        }
        let by_record: HashMap<(u64, Time), (&str, &Word, &Base)> = words()
            .filter_map(|(path, word)| Some((path, word, word.said.base.as_ref()?)))
            .map(|(path, word, base)| ((base.seq, base.time), (path, word, base)))
            .collect();
        let by_hash: HashMap<String, (&str, &Word, &Base)> =
            by_record.values().map(|of| (Hash::of(of.0.as_bytes()).to_string(), *of)).collect();
        let names = names_in_stage(fs)?;
        for name in &names {
            if let Some((path, _, base)) = spare_name_path(name).and_then(|of| by_hash.get(of))
                && let Change::Put(put) = &base.change
                && is_displaced_by(fs, name, put)?
            {
                carry_over(fs, &in_stage(name), path, put, base.time)?;
            }
            let record = stage_name_record(name);
            let Some((path, word, base)) = record.and_then(|record| by_record.get(&record)) else {
                continue;
            };
            let at = in_stage(name);
            if let Change::Put(put) = &base.change {
                carry_over(fs, &at, path, put, base.time)?;
            }
            let own = word.said.put().map(|put| put.hash);
            tell(settle_leftover(fs, &at, Swap::of(path, word, base), own, |_, _| Ok(false))?);
        }
        // What it had displaced to spares, and those that it was overwriting.
        self.settle_spares(&names)?;
        secure_rescued(fs, inner.state.published.seq)?;
        if self.limits.durability == Durability::Files {
            // What stands there now was staged here, and nobody has synced it. The mark: an error
            // must not be lost with us.
            let healed = || sync_documents(fs, in_flight.iter().map(|(path, _)| path));
            Mark::around(fs, healed)?;
        }
        self.counters.heal(words().count(), inner.state.committed.seq);
        inner.unsettled = Some(inner.state.committed.seq);
        inner.state.published = inner.state.committed.clone();
        self.write_state(inner)?;
        self.view.publish();
        Ok(())
    }

    /// Unlinks what was staged for groups that do not count, before their numbers come again: its
    /// names would belong to other records then.
    ///
    /// Segments that were not born go with them, and what a rewrite has left is settled. Large bodies
    /// stay: until the segment that voids it is durable a group can come back, whole, with a power cut.
    pub(crate) fn sweep_void(&self, inner: &mut Inner) -> Result<(), FsError> {
        for name in names_in_stage(&*self.fs)? {
            match stage_name_record(&name) {
                Some((seq, _)) if seq > inner.state.committed.seq => {
                    self.fs.unlink(&in_stage(&name))?;
                }
                Some(record) if record.0 <= inner.state.published.seq => {
                    self.settle_rewritten(&name, record)?;
                }
                _ => {}
            }
        }
        inner.journal.sweep_unborn()?;
        inner.litter = false;
        Ok(())
    }

    /// What a checkpoint that writes all to new inodes has left, which died or failed between a swap and
    /// its end: every other swap up to *published* is settled. It is the document as it was, or our copy of
    /// it; or an edit that slipped in before the swap, which the next checkpoint would sweep.
    ///
    /// Now, while the record in its name is still the last word on the document.
    fn settle_rewritten(&self, name: &str, record: (u64, Time)) -> Result<(), FsError> {
        let (fs, at) = (&*self.fs, in_stage(name));
        let all = self.view.all_known();
        let Some((path, known)) = all.iter().find(|(_, of)| (of.seq, of.time) == record) else {
            return Ok(());
        };
        let (txn, time) = record;
        let swap = Swap { path, was: None, txn, time, replaces_ours: false, own: false };
        // Where only a part is known an edit may lie in the rest.
        let known = known.content.as_ref().and_then(Holds::hash);
        let is_known = |_: &Stat, found| Ok(known == Some(found));
        let rescued = settle_leftover(fs, &at, swap, None, is_known)?;
        rescued.iter().for_each(|edit| self.counters.rescue(edit));
        Ok(())
    }
}

/// Brings a document to its word, which replaces what it held before. It can be repeated at any point.
fn bring(
    fs: &dyn Fs,
    view: &View,
    word: &Word,
    swap: Swap<'_>,
    at: String,
) -> Result<Option<Rescued>, FsError> {
    let (path, appends) = (swap.path, &word.said.appends);
    let put = match word.said.put() {
        Some(put) if is_at_its_path(fs, path, put, word)? => {
            if !appends.is_empty() {
                finish(fs, path, appends, word.time)?;
            }
            return Ok(None);
        }
        Some(put) => put,
        None => return remove_document(fs, path, &at)?.settle(fs, &at, swap, None),
    };
    let (dir, attrs) = place(fs, path)?;
    // Of a put that has its own no record knows the extended attributes: those of what stands there are
    // somebody else's.
    let attrs = attrs.filter(|_| !put.own);
    let ids = Some((put.uid, put.gid));
    let dress = Dress { attrs: attrs.as_ref(), mode: Some(put.mode), ids, time: word.time };
    let edited = edited_body(fs, put)?.filter(|_| appends.is_empty());
    let staged = match edited {
        Some(name) => stage_edited(fs, name, &dir, at)?,
        None => stage_again(fs, &word.said, &dir, dress, at)?,
    };
    let displaced = swap.run(fs, &staged)?;
    if edited.is_none() {
        note_stamp(fs, view, path, &staged)?;
    }
    displaced.settle(fs, &staged.at, swap, Some(&staged))
}

/// Whether a spare is the very file that this put has displaced: it may also be an older version of the same
/// content, and have older attributes.
fn is_displaced_by(fs: &dyn Fs, name: &str, put: &Put) -> Result<bool, FsError> {
    let stat = fs.stat(&in_stage(name))?;
    Ok(stat
        .zip(put.was.as_ref())
        .is_some_and(|(stat, was)| (stat.stamp.ino, stat.stamp.mtime) == (was.ino, was.mtime)))
}

/// Somebody changed mode or owner of the document after they were copied, and then it was displaced:
/// what took its place gets them, unless they were changed there as well.
fn carry_over(fs: &dyn Fs, at: &str, path: &str, put: &Put, time: Time) -> Result<(), FsError> {
    let (Some(displaced), Some(document)) = (fs.stat(at)?, fs.stat(path)?) else { return Ok(()) };
    let copied = (put.mode, put.uid, put.gid);
    if put.own
        || owner(&displaced) == copied
        || owner(&document) != copied
        || document.kind != Kind::File
        || !is_plainly_was(fs, at, &displaced, put.was.as_ref(), time)?
    {
        return Ok(());
    }
    let attrs = fs.open(at, Access::Read)?.attrs()?;
    fs.open(path, Access::Read)?.set_attrs(&attrs)
}

/// The name of a large body that somebody has edited in place, by the path that its file had before a
/// rename: no power cut lies between, so that nothing else has changed it.
fn edited_body<'a>(fs: &dyn Fs, put: &'a Put) -> Result<Option<&'a str>, FsError> {
    let Body::Staged(name) = &put.body else { return Ok(None) };
    let file = fs.open(&in_stage(name), Access::Read)?;
    let is_whole = file.stat()?.stamp.size == put.len && hash_file(&*file)? == put.hash;
    Ok((!is_whole).then_some(name))
}

/// Whether the document begins with the body that its word says, or had it and was edited in place
/// since: a large body that shares its inode with its staged name.
fn is_at_its_path(fs: &dyn Fs, path: &str, put: &Put, word: &Word) -> Result<bool, FsError> {
    let Opened::Document(file) = open_document(fs, path)? else { return Ok(false) };
    let stamp = file.stat()?.stamp;
    let is_longer = stamp.size > put.len && !word.said.appends.is_empty();
    if (stamp.size == put.len || is_longer) && !is_before_own(put, &stamp, word.time) {
        let read = read_steady(fs, &*file, |file, _| hash_part(file, 0, put.len))?;
        if read.content == put.hash {
            return Ok(true);
        }
    }
    let Body::Staged(name) = &put.body else { return Ok(false) };
    let body = fs.stat(&in_stage(name))?;
    Ok(body.is_some_and(|body| (body.stamp.dev, body.stamp.ino) == (stamp.dev, stamp.ino)))
}

/// All names in `stage/`.
pub(crate) fn names_in_stage(fs: &dyn Fs) -> Result<Vec<String>, FsError> {
    let entries = fs.list(STAGE)?.into_iter();
    Ok(entries.filter_map(|entry| entry.name.into_string().ok()).collect())
}

/// Drops a name in `stage/` that nothing needs any more. Nothing of ours is a directory: one that a
/// swap displaced is the user's, and is rescued.
pub fn drop_staged(fs: &dyn Fs, name: &str) -> Result<Option<Rescued>, FsError> {
    let at = in_stage(name);
    match fs.stat(&at)? {
        Some(stat) if stat.kind == Kind::Dir => {
            let seq = stage_name_record(name).map_or(0, |(seq, _)| seq);
            rescue(fs, &at, name, seq).map(Some)
        }
        Some(_) => fs.unlink(&at).map(|()| None),
        None => Ok(None),
    }
}
