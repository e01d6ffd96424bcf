//! C8 for one group: its documents on their way to their paths.

use std::collections::VecDeque;

use filepact_fs::{Fs, FsError, Time};
use filepact_journal::{Change, Was, Words};

use crate::group::StagedGroup;
use crate::publish::Swap;
use crate::{Displaced, Rescued, Staged, Stamped, View, remove_document, settle};

/// A group that is committed, and how far it is published. It can be taken up again at any point.
#[derive(Debug)]
pub(crate) struct Publication {
    /// The last transaction of the group.
    pub(crate) txn: u64,
    /// Outside edits displaced so far.
    pub(crate) rescued: Vec<Rescued>,
    todo: VecDeque<Publish>,
}

/// One document on its way to its path, or out of it.
#[derive(Debug)]
struct Publish {
    path: String,
    was: Option<Was>,
    txn: u64,
    time: Time,
    /// What becomes the document; `None` removes it.
    staged: Option<Staged>,
    /// Where that lies in `stage/`, and then what it displaced.
    at: String,
    /// Whether the swap is done, and what it left. A swap that is done is never done again: a
    /// second exchange would bring the old body back.
    swapped: Option<Displaced>,
}

impl Publication {
    /// The documents of a group, each once, with its last word.
    pub(crate) fn new(words: &Words, mut group: StagedGroup, txn: u64) -> Self {
        let (mut removes, mut puts) = (VecDeque::new(), VecDeque::new());
        // An outside edit is at its path already.
        for (path, word) in words.iter().filter(|(_, word)| !word.outside) {
            let (staged, at) = match &word.change {
                Change::Remove(_) => {
                    let at = group.removals.remove(&word.seq).expect("every removal has a name");
                    (None, at)
                }
                Change::Put(_) => {
                    let staged = group.staged.remove(&word.seq).expect("every put is staged");
                    let at = staged.at.clone();
                    (Some(staged), at)
                }
            };
            let queue = if staged.is_some() { &mut puts } else { &mut removes };
            queue.push_back(Publish {
                path: path.to_owned(),
                was: word.change.was().cloned(),
                txn: word.txn,
                time: word.time,
                staged,
                at,
                swapped: None,
            });
        }
        // Removals first: a document may give way to a directory of the same name.
        removes.append(&mut puts);
        Self { txn, rescued: Vec::new(), todo: removes }
    }

    /// Publishes what is left; the error names the document that could not be.
    pub(crate) fn run(&mut self, fs: &dyn Fs, view: &View) -> Result<(), (String, FsError)> {
        while let Some(publish) = self.todo.front_mut() {
            match publish.run(fs, view) {
                Ok(rescued) => self.rescued.extend(rescued),
                Err(error) => return Err((publish.path.clone(), error)),
            }
            self.todo.pop_front();
        }
        Ok(())
    }
}

impl Publish {
    fn run(&mut self, fs: &dyn Fs, view: &View) -> Result<Option<Rescued>, FsError> {
        let swap =
            Swap { path: &self.path, was: self.was.as_ref(), txn: self.txn, time: self.time };
        let swapped = match (self.swapped.take(), &self.staged) {
            (Some(swapped), _) => swapped,
            (None, Some(staged)) => swap.run(fs, staged)?,
            (None, None) => remove_document(fs, &self.path, &self.at)?,
        };
        self.swapped = Some(swapped.clone());
        if let Some(staged) = &self.staged {
            note_stamp(fs, view, &self.path, staged)?;
        }
        match swapped {
            Displaced::Yes => settle(fs, &self.at, swap, self.staged.as_ref()),
            Displaced::No => Ok(None),
            Displaced::Rescued(rescued) => Ok(Some(rescued)),
        }
    }
}

/// Remembers how the document looks, to know an outside edit by. An edit that came between the swap
/// and this look differs from what was staged, and is not taken for ours.
fn note_stamp(fs: &dyn Fs, view: &View, path: &str, staged: &Staged) -> Result<(), FsError> {
    let taken = fs.now();
    if let Some(stat) = fs.stat(path)?
        && stat.stamp.same_body(&staged.stamp)
    {
        view.stamp(path, Stamped { stamp: stat.stamp, taken });
    }
    Ok(())
}
