//! C8 for one group: its documents on their way to their paths.

use filepact_fs::{Fs, FsError, Time};
use filepact_journal::{Change, Was, Words};

use crate::group::StagedGroup;
use crate::publish::Swap;
use crate::{Rescued, Staged, Stamped, View, remove_document};

/// A group that is committed. What could not be published is [healed](crate::Writer) later, by
/// whoever commits next.
#[derive(Debug)]
pub(crate) struct Publication(Vec<Publish>);

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
}

impl Publication {
    /// The documents of a group, each once, with its last word.
    pub(crate) fn new(words: &Words, group: &mut StagedGroup) -> Self {
        let (mut removes, mut puts) = (Vec::new(), Vec::new());
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
            queue.push(Publish {
                path: path.to_owned(),
                was: word.change.was().cloned(),
                txn: word.txn,
                time: word.time,
                staged,
                at,
            });
        }
        // Removals first: a document may give way to a directory of the same name.
        removes.append(&mut puts);
        Self(removes)
    }

    /// Publishes all; shows each outside edit that was displaced, with the transaction that did it.
    /// The error names the document that could not be published.
    pub(crate) fn run(
        self,
        fs: &dyn Fs,
        view: &View,
        mut displaced: impl FnMut(u64, Rescued),
    ) -> Result<(), (String, FsError)> {
        for publish in self.0 {
            match publish.run(fs, view) {
                Ok(edit) => edit.into_iter().for_each(|edit| displaced(publish.txn, edit)),
                Err(error) => return Err((publish.path, error)),
            }
        }
        Ok(())
    }
}

impl Publish {
    fn run(&self, fs: &dyn Fs, view: &View) -> Result<Option<Rescued>, FsError> {
        let swap =
            Swap { path: &self.path, was: self.was.as_ref(), txn: self.txn, time: self.time };
        let displaced = match &self.staged {
            Some(staged) => swap.run(fs, staged)?,
            None => remove_document(fs, &self.path, &self.at)?,
        };
        if let Some(staged) = &self.staged {
            note_stamp(fs, view, &self.path, staged)?;
        }
        displaced.settle(fs, &self.at, swap, self.staged.as_ref())
    }
}

/// Remembers how the document looks, to know an outside edit by. An edit that came between the swap
/// and this look differs from what was staged, and is not taken for ours.
pub(crate) fn note_stamp(
    fs: &dyn Fs,
    view: &View,
    path: &str,
    staged: &Staged,
) -> Result<(), FsError> {
    let taken = fs.now();
    if let Some(stat) = fs.stat(path)?
        && stat.stamp.same_body(&staged.stamp)
    {
        view.stamp(path, Stamped { stamp: stat.stamp, taken });
    }
    Ok(())
}
