//! C8 for one group: its documents on their way to their paths.

use filepact_fs::{Fs, FsError, Time};
use filepact_journal::{Added, Base, Change, Was, Words};

use crate::group::StagedGroup;
use crate::pins::Pins;
use crate::publish::Swap;
use crate::{Rescued, Staged, Stamped, View, append, remove_document};

/// A group that is committed. What could not be published is [healed](crate::Writer) later, by
/// whoever commits next.
#[derive(Debug)]
pub(crate) struct Publication(Vec<Publish>);

/// One document on its way to its word.
#[derive(Debug)]
struct Publish {
    path: String,
    was: Option<Was>,
    txn: u64,
    time: Time,
    own: bool,
    step: Step,
}

/// What is to be done with it.
#[derive(Debug)]
enum Step {
    /// It goes to this name in `stage/`.
    Remove(String),
    /// This becomes the document; what it displaces lies in its place then.
    Swap(Staged),
    /// It gets longer.
    Append(Vec<Added>),
}

impl Publication {
    /// The documents of a group, each once, with its last word.
    pub(crate) fn new(words: &Words, group: &mut StagedGroup) -> Self {
        let (mut removes, mut swaps, mut appends) = (Vec::new(), Vec::new(), Vec::new());
        for (path, word) in words.iter() {
            let (queue, step) = match &word.said.base {
                // No group adds to what it makes. An outside edit is at its path already.
                _ if !word.said.appends.is_empty() => {
                    (&mut appends, Step::Append(word.said.appends.clone()))
                }
                None | Some(Base { outside: true, .. }) => continue,
                Some(Base { seq, change: Change::Remove(_), .. }) => {
                    let at = group.removals.remove(seq).expect("every removal has a name");
                    (&mut removes, Step::Remove(at))
                }
                Some(Base { seq, change: Change::Put(_), .. }) => {
                    let staged = group.staged.remove(seq).expect("every put is staged");
                    (&mut swaps, Step::Swap(staged))
                }
            };
            queue.push(Publish {
                path: path.to_owned(),
                was: word.was().cloned(),
                txn: word.txn,
                time: word.time,
                own: word.said.base.as_ref().is_some_and(|base| base.change.is_own()),
                step,
            });
        }
        // Removals first: a document may give way to a directory of the same name.
        removes.append(&mut swaps);
        removes.append(&mut appends);
        Self(removes)
    }

    /// Publishes all, each after it was kept for those who have a pin; shows each outside edit that was
    /// displaced, with the transaction that did it. The error names the document that could not be
    /// published.
    pub(crate) fn run(
        self,
        fs: &dyn Fs,
        view: &View,
        mut pins: Option<Pins>,
        mut displaced: impl FnMut(u64, Rescued),
    ) -> Result<(), (String, FsError)> {
        for publish in self.0 {
            let removes = matches!(publish.step, Step::Remove(_));
            let kept = match &mut pins {
                Some(pins) => pins.keep(fs, &publish.path, publish.txn, removes),
                None => Ok(()),
            };
            match kept.and_then(|()| publish.run(fs, view)) {
                Ok(edit) => edit.into_iter().for_each(|edit| displaced(publish.txn, edit)),
                Err(error) => return Err((publish.path, error)),
            }
        }
        Ok(())
    }
}

impl Publish {
    fn run(&self, fs: &dyn Fs, view: &View) -> Result<Option<Rescued>, FsError> {
        let Self { txn, time, own, .. } = *self;
        let swap = Swap { path: &self.path, was: self.was.as_ref(), txn, time, own };
        match &self.step {
            Step::Remove(at) => remove_document(fs, &self.path, at)?.settle(fs, at, swap, None),
            Step::Swap(staged) => {
                let displaced = swap.run(fs, staged)?;
                note_stamp(fs, view, &self.path, staged)?;
                displaced.settle(fs, &staged.at, swap, Some(staged))
            }
            Step::Append(appends) => {
                let taken = fs.now();
                let stat = append::add(fs, &self.path, appends, self.time)?;
                // It ends here where it holds what was committed and nothing of anybody else. A further
                // name, as that of an image that is kept for a pin, moves the ctime when it goes, which
                // would look like an edit: then the commit's time alone says what is ours.
                if append::end_of(appends) == Some(stat.stamp.size) && stat.nlink == 1 {
                    view.stamp(&self.path, Stamped { stamp: stat.stamp, taken });
                }
                Ok(None)
            }
        }
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
