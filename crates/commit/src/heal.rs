//! C3: finish what somebody left, who died or whose publish failed, while others live.
//!
//! Up to *published* nothing is to do. Up to *committed* every document goes to its word, as in C8.
//! Beyond is void: nobody was told of it, and nobody has read it. A healer that dies is healed.

use std::collections::HashMap;

use filepact_fs::{Access, Fs, FsError, Kind, Stat, Time};
use filepact_journal::{Body, Change, Put, Word};

use crate::publication::note_stamp;
use crate::stage::{Dress, owner, place, stage_again};
use crate::writer::Inner;
use crate::{
    CommitError, Live, Rescued, STAGE, Swap, View, Writer, is_plainly_was, look, remove_document,
    rescue, settle_leftover, stage_body_path as in_stage, stage_name_record,
};

impl Writer {
    /// Publishes what is committed and not yet published.
    pub(crate) fn heal(&self, inner: &mut Inner) -> Result<(), CommitError> {
        let fs = &*self.fs;
        if inner.state.published.seq >= inner.state.committed.seq {
            return Ok(());
        }
        let words = self.view.in_flight();
        // Removals first, as in C8. An outside edit is at its path already.
        let words = words.iter().filter(|(_, word)| !word.outside);
        let (removes, puts): (Vec<_>, Vec<_>) =
            words.partition(|(_, word)| matches!(word.change, Change::Remove(_)));
        let tell = |edit: Option<Rescued>| edit.iter().for_each(|edit| self.counters.rescue(edit));
        for (path, word) in removes.iter().chain(&puts) {
            let at = inner.names.swap(word.seq, word.time);
            tell(bring(fs, &self.view, path, word, at)?);
        }
        let by_record: HashMap<(u64, Time), (&str, &Word)> = removes
            .into_iter()
            .chain(puts)
            .map(|(path, word)| ((word.seq, word.time), (path, word)))
            .collect();
        for name in names_in_stage(fs)? {
            let record = stage_name_record(&name);
            let Some((path, word)) = record.and_then(|record| by_record.get(&record)) else {
                continue;
            };
            let own = match &word.change {
                Change::Put(put) => Some(put.hash),
                Change::Remove(_) => None,
            };
            let at = in_stage(&name);
            if let Change::Put(put) = &word.change {
                carry_over(fs, &at, path, word, put)?;
            }
            tell(settle_leftover(fs, &at, swap_of(path, word), own, |_, _| false)?);
        }
        self.counters.heal(by_record.len(), inner.state.committed.seq);
        inner.unsettled = true;
        inner.state.published = inner.state.committed.clone();
        self.write_state(inner)?;
        self.view.publish();
        Ok(())
    }

    /// Unlinks what was staged for groups that do not count, before their numbers come again: its
    /// names would belong to other records then.
    ///
    /// Segments that were not born go with them. Large bodies stay: until the segment that voids it
    /// is durable a group can come back, whole, with a power cut.
    pub(crate) fn sweep_void(&self, inner: &mut Inner) -> Result<(), FsError> {
        for name in names_in_stage(&*self.fs)? {
            if stage_name_record(&name).is_some_and(|(seq, _)| seq > inner.state.committed.seq) {
                self.fs.unlink(&in_stage(&name))?;
            }
        }
        inner.journal.sweep_unborn()?;
        inner.litter = false;
        Ok(())
    }
}

/// Brings a document to its word. It can be repeated at any point.
fn bring(
    fs: &dyn Fs,
    view: &View,
    path: &str,
    word: &Word,
    at: String,
) -> Result<Option<Rescued>, FsError> {
    let swap = swap_of(path, word);
    let put = match &word.change {
        Change::Put(put) if is_at_its_path(fs, path, put)? => return Ok(None),
        Change::Put(put) => put,
        Change::Remove(_) => {
            return remove_document(fs, path, &at)?.settle(fs, &at, swap, None);
        }
    };
    let (dir, attrs) = place(fs, path)?;
    let ids = Some((put.uid, put.gid));
    let dress = Dress { attrs: attrs.as_ref(), mode: Some(put.mode), ids, time: word.time };
    let staged = stage_again(fs, put, &dir, dress, at)?;
    let displaced = swap.run(fs, &staged)?;
    note_stamp(fs, view, path, &staged)?;
    displaced.settle(fs, &staged.at, swap, Some(&staged))
}

/// Somebody changed mode or owner of the document after they were copied, and then it was displaced:
/// what took its place gets them, unless they were changed there as well.
fn carry_over(fs: &dyn Fs, at: &str, path: &str, word: &Word, put: &Put) -> Result<(), FsError> {
    let (Some(displaced), Some(document)) = (fs.stat(at)?, fs.stat(path)?) else { return Ok(()) };
    let copied = (put.mode, put.uid, put.gid);
    if owner(&displaced) == copied
        || owner(&document) != copied
        || document.kind != Kind::File
        || !is_plainly_was(fs, at, &displaced, put.was.as_ref(), word.time)?
    {
        return Ok(());
    }
    let attrs = fs.open(at, Access::Read)?.attrs()?;
    fs.open(path, Access::Read)?.set_attrs(&attrs)
}

/// Whether the document has the body that its word says, or had it and was edited in place since: a
/// large body that shares its inode with its staged name.
fn is_at_its_path(fs: &dyn Fs, path: &str, put: &Put) -> Result<bool, FsError> {
    let Live::Document { stat, hash, .. } = look(fs, path)? else { return Ok(false) };
    let Body::Staged(name) = &put.body else { return Ok(hash == put.hash) };
    let body = fs.stat(&in_stage(name))?;
    let is_same = |body: Stat| (body.stamp.dev, body.stamp.ino) == (stat.stamp.dev, stat.stamp.ino);
    Ok(hash == put.hash || body.is_some_and(is_same))
}

fn swap_of<'a>(path: &'a str, word: &'a Word) -> Swap<'a> {
    Swap { path, was: word.change.was(), txn: word.txn, time: word.time }
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
