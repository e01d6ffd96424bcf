//! C5: from a request to records and staged files.

use std::collections::HashMap;

use filepact_fs::{Fs, FsError, Time};
use filepact_journal::{Body, Commit, Put, RecordKind, Remove};

use crate::stage::stage_link;
use crate::validate::{Target, Validated};
use crate::{
    Change, Content, Dress, Request, STAGE, StageNames, Staged, stage_body_path, stage_bytes,
};

/// The records of a group, and what C8 needs for them.
#[derive(Debug, Default)]
pub(crate) struct StagedGroup {
    /// For C6, in order.
    pub(crate) records: Vec<RecordKind>,
    /// The body of each put, by seq.
    pub(crate) staged: HashMap<u64, Staged>,
    /// Where each removed document goes, by seq.
    pub(crate) removals: HashMap<u64, String>,
    /// The names of large bodies.
    pub(crate) bodies: Vec<String>,
}

impl StagedGroup {
    /// Stages a validated request whose first record will be `first`. If it cannot be done, what
    /// was staged is taken back and nothing has changed.
    pub(crate) fn stage(
        fs: &dyn Fs,
        names: &mut StageNames,
        request: Request,
        validated: &Validated,
        first: u64,
        time: Time,
    ) -> Result<Self, FsError> {
        let mut group = Self::default();
        match group.fill(fs, names, request, validated, first, time) {
            Ok(()) => Ok(group),
            Err(error) => {
                group.unstage(fs);
                Err(error)
            }
        }
    }

    /// Takes back what was staged. A name that cannot be removed now is swept by the next opening.
    pub(crate) fn unstage(&self, fs: &dyn Fs) {
        let swaps = self.staged.values().map(|staged| staged.at.clone());
        let bodies = self.bodies.iter().map(|body| stage_body_path(body));
        for at in swaps.chain(bodies) {
            let _ = fs.unlink(&at);
        }
    }

    fn fill(
        &mut self,
        fs: &dyn Fs,
        names: &mut StageNames,
        request: Request,
        validated: &Validated,
        first: u64,
        time: Time,
    ) -> Result<(), FsError> {
        // What the transaction has read of others' edits is a transaction of its own, ahead of it.
        if !validated.adopted.is_empty() {
            self.records.extend(validated.adopted.iter().map(|adopted| adopted.record.clone()));
            self.records.push(RecordKind::Commit(Commit { time, note: None, outside: true }));
        }
        for (path, change) in request.changes {
            let seq = first + self.records.len() as u64;
            let Target { was, attrs, dir } = &validated.targets[&path];
            let at = names.swap(seq);
            let (path, was) = (path.to_string(), was.clone());
            let (content, mode) = match change {
                Change::Put { content, mode } => (content, mode),
                Change::Remove => {
                    self.removals.insert(seq, at);
                    self.records.push(RecordKind::Remove(Remove { path, was }));
                    continue;
                }
            };
            let dress = Dress { attrs: attrs.as_ref(), mode, ids: None, time };
            let (hash, len) = (content.hash(), content.len());
            let (staged, body) = match content {
                Content::Inline { bytes, .. } => {
                    (stage_bytes(fs, dir, &bytes, dress, at)?, Body::Inline(bytes))
                }
                Content::Large { file, .. } => {
                    let name = names.body();
                    self.bodies.push(name.clone());
                    (stage_link(&*file, &name, dress, at)?, Body::Staged(name))
                }
            };
            let (mode, uid, gid) = staged.owner;
            self.staged.insert(seq, staged);
            self.records.push(RecordKind::Put(Put { path, len, hash, mode, uid, gid, was, body }));
        }
        self.records.push(RecordKind::Commit(Commit { time, note: request.note, outside: false }));
        if !self.bodies.is_empty() {
            // Before C6: a durable record must not name a body whose own name can still be lost.
            fs.sync_dir(STAGE)?;
        }
        Ok(())
    }
}
