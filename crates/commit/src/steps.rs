//! C4 to C8 for a group: validate, stage, append, sync, publish.

use std::collections::VecDeque;

use filepact_fs::{Fs, FsError};
use filepact_journal::{AppendError, Appended, RecordKind, Words};

use crate::durable::{sync_documents, sync_names};
use crate::group::StagedGroup;
use crate::pins::Pins;
use crate::publication::Publication;
use crate::publisher::Publisher;
use crate::queue::Ticket;
use crate::request::Answer;
use crate::touched::{How, Touched};
use crate::validate::{Adopted, Validation};
use crate::writer::{Inner, Member};
use crate::{Change, CommitError, Committed, Durability, Mark, PINS, Request, Rescued, Writer};

impl Writer {
    /// C4 to C8 for all members that leave each other alone, up to one that cannot be staged; the others
    /// are left in `waiting`.
    pub(crate) fn commit_group(
        &self,
        inner: &mut Inner,
        waiting: &mut VecDeque<Member>,
    ) -> Vec<(Ticket, Answer)> {
        let fs = &self.fs.for_together();
        let time = fs.now();
        let mut group = StagedGroup::new(inner.journal.next_seq(), time);
        let mut touched = Touched::default();
        let (mut answers, mut members, mut adopted) = (Vec::new(), Vec::new(), Vec::new());
        // C4, C5: whatever fails here has changed nothing, and fails for its own member alone.
        for (by, request) in std::mem::take(waiting) {
            if group.spoiled || touched.concerns(&request) {
                waiting.push_back((by, request));
                continue;
            }
            match self.add(fs, inner, &mut group, &mut touched, &mut adopted, request) {
                Ok(Some(txn)) => members.push((by, txn)),
                Ok(None) => {
                    let txn = self.view.committed();
                    answers.push((by, Ok(Committed { txn, rescued: Vec::new() })));
                }
                Err(error) => {
                    if let CommitError::Conflict { paths } = &error {
                        self.counters.conflict(paths);
                    }
                    answers.push((by, Err(error)));
                }
            }
        }
        let published = match group.records.is_empty() {
            true => Ok(Vec::new()),
            false => self.append_and_publish(fs, inner, &mut group, &adopted, members.len()),
        };
        inner.litter |= group.litter;
        match published {
            Ok(mut rescued) => answers.extend(members.into_iter().map(|(by, txn)| {
                let own = rescued.extract_if(.., |(of, _)| *of == txn).map(|(_, edit)| edit);
                (by, Ok(Committed { txn, rescued: own.collect() }))
            })),
            Err(error) => {
                answers.extend(members.into_iter().map(|(by, txn)| (by, Err(error.of(txn)))));
            }
        }
        answers
    }

    /// C4 and C5 for one member. `None` says that it asks for no change.
    fn add(
        &self,
        fs: &dyn Fs,
        inner: &mut Inner,
        group: &mut StagedGroup,
        touched: &mut Touched,
        adopted: &mut Vec<Adopted>,
        request: Request,
    ) -> Result<Option<u64>, CommitError> {
        let recycles_above = match group.recycles_above {
            Some(seq) => seq,
            None => *group.recycles_above.insert(self.recycles_above(inner)?),
        };
        let validated = Validation {
            fs,
            view: &self.view,
            request: &request,
            mount: self.mount,
            inline_max: self.limits.inline_max,
            synced: &group.synced,
            recycles_above,
            syncs_bodies_upto: match self.limits.durability {
                _ if !inner.spares.leases => 0,
                // What it puts itself lies in no spare; what others do is synced in the journal.
                Durability::Buffered => inner.state.synced,
                Durability::Journal | Durability::Files => u64::MAX,
            },
            spares: &inner.spares,
        }
        .run()?;
        if request.changes.is_empty() {
            return Ok(None);
        }
        let changed: Vec<_> =
            request.changes.iter().map(|(path, change)| (path.clone(), how(change))).collect();
        let Inner { names, spares, .. } = inner;
        let txn = group.add(fs, names, spares, request, &validated)?;
        for (path, how) in changed {
            // What is made by an append is a new document to everybody else.
            let exists = validated.targets[&path].exists;
            touched.add(&path, if exists { how } else { How::Changed });
        }
        validated.adopted.iter().for_each(|edit| touched.add(edit.path(), How::Changed));
        adopted.extend(validated.adopted);
        Ok(Some(txn))
    }

    /// C6 to C8 for a staged group. Returns the outside edits that it displaced, each with the
    /// transaction that did it.
    fn append_and_publish(
        &self,
        fs: &dyn Fs,
        inner: &mut Inner,
        group: &mut StagedGroup,
        adopted: &[Adopted],
        members: usize,
    ) -> Result<Vec<(u64, Rescued)>, CommitError> {
        // Before C6: a durable record must not name a body whose own name can still be lost; and with
        // `Files` no document may be swapped in whose body can still be lost.
        let durability = self.limits.durability;
        let bodies = match durability {
            Durability::Files => group.sync_bodies(fs),
            Durability::Journal | Durability::Buffered => Ok(()),
        };
        if let Err(error) = bodies.and_then(|()| group.secure_bodies(fs)) {
            group.unstage(fs);
            // A full disk does not stop the store; but earlier swaps are changes of `stage/` as well, and
            // what the failed sync has lost of them no later one brings back: all is written anew.
            if error.is_full() && Mark::Turn.set(fs).is_err() {
                self.fs.trip();
            }
            return Err(error.into());
        }
        // C6, C7: the commit point is the return of the journal's sync, or, with `Buffered`, that of
        // the write of `state` below. C8 may drop the only copy of an edit that is adopted, and with it the
        // body that earlier records name: what is said of it is durable before.
        let records = std::mem::take(&mut group.records);
        let appended = if durability == Durability::Buffered && adopted.is_empty() {
            inner.journal.append_unsynced(records, group.time())
        } else {
            inner.journal.append(records, group.time())
        };
        let appended = match appended {
            Ok(appended) => appended,
            Err(AppendError::Unchanged(error)) => {
                group.unstage(fs);
                self.stop_with_journal(inner);
                return Err(error.into());
            }
            Err(AppendError::Unknown(source)) => {
                self.fail(inner);
                return Err(CommitError::Unknown { source });
            }
        };
        // C8: nothing below takes anything back. `state` first: what a reader has seen must not
        // become void because we die.
        inner.unsettled = Some(appended.last);
        self.committed(inner, &appended)?;
        self.counters.group(members, appended.last);
        adopted.iter().for_each(|edit| self.counters.adopt(edit.path()));
        let mut words = Words::default();
        words.apply(&appended.group);
        let mut publication = Publication::new(&words, group);
        let mut rescued = Vec::new();
        // After *committed*: who pins later reads what is published here.
        let pins = Pins::look_again(fs, &mut inner.unpinned);
        let pins = pins.map_err(|error| (PINS.to_owned(), error));
        let published = pins.and_then(|pins| {
            let Inner { spares, names, .. } = &mut *inner;
            let publisher = Publisher::new(fs, &self.view, spares, names);
            let mut tell = |txn, edit| {
                self.counters.rescue(&edit);
                rescued.push((txn, edit));
            };
            publication.fill_spares(durability, &publisher, &mut tell)?;
            publication.run(pins, &publisher, &mut tell)
        });
        let published = published.and_then(|()| self.sync_published(&words));
        published.map_err(|(path, source)| CommitError::Unpublished {
            txn: appended.last,
            path,
            source,
        })?;
        inner.state.published = inner.state.committed.clone();
        self.write_state(inner).map_err(|source| CommitError::Unknown { source })?;
        self.view.publish();
        self.note_adopted(adopted);
        if let Some(edit) = inner.spares.let_one_go(fs, appended.last) {
            self.counters.rescue(&edit);
            rescued.push((appended.last, edit));
        }
        Ok(rescued)
    }

    /// With `Files` the names are durable before the commit is acknowledged, and what was added to
    /// documents in place. The bodies of all others are since C5, or since the spares were filled.
    fn sync_published(&self, words: &Words) -> Result<(), (String, FsError)> {
        if self.limits.durability != Durability::Files {
            return Ok(());
        }
        let fs = &*self.fs;
        let added = words.iter().filter(|(_, word)| !word.said.appends.is_empty());
        let sync = || {
            sync_documents(fs, added.map(|(path, _)| path))?;
            sync_names(fs, words.iter().map(|(path, _)| path))
        };
        // The documents and directories are everybody's: an error must not be lost with us.
        let path = || words.iter().next().map_or(String::new(), |(path, _)| path.to_owned());
        Mark::around(fs, sync).map_err(|error| (path(), error))
    }

    /// A group is committed: `state` says so, and from then on everybody reads it.
    pub(crate) fn committed(
        &self,
        inner: &mut Inner,
        appended: &Appended,
    ) -> Result<(), CommitError> {
        inner.state.synced = appended.synced;
        inner.state.committed = inner.journal.end().into();
        self.write_state(inner).map_err(|source| CommitError::Unknown { source })?;
        inner.journal.remove_elders();
        self.view.advance(&appended.group);
        Ok(())
    }

    /// The stamps of adopted edits that their own readers have not replaced.
    fn note_adopted(&self, adopted: &[Adopted]) {
        for edit in adopted {
            if let (RecordKind::Put(put), Some(stamp)) = (&edit.record, edit.stamp)
                && let Some(known) = self.view.known(&put.path)
                && known.stamp.is_none()
                && known.content.is_some_and(|holds| holds.hash() == Some(put.hash))
            {
                self.view.stamp(&put.path, stamp);
            }
        }
    }
}

fn how(change: &Change) -> How {
    match change {
        Change::Append { .. } => How::Added,
        Change::Put { .. } | Change::Remove => How::Changed,
    }
}
