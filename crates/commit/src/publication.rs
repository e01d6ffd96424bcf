//! C8 for one group: its documents on their way to their paths.

use filepact_fs::{Fs, FsError, Time};
use filepact_journal::{Added, Base, Change, Was, Words};

use crate::group::StagedGroup;
use crate::pins::Pins;
use crate::publish::{Displaced, Settled, Swap};
use crate::spares::{Refill, Refilled, Spares};
use crate::{Rescued, StageNames, Staged, Stamped, View, append, remove_document};

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
    /// What it replaces is as a put has published it.
    replaces_ours: bool,
    /// What it displaces may become its spare.
    recycles: bool,
    step: Step,
}

/// What is to be done with it.
#[derive(Debug)]
enum Step {
    /// It goes to this name in `stage/`.
    Remove(String),
    /// This becomes the document; what it displaces lies in its place then.
    Swap(Staged),
    /// This goes into the document's spare, which becomes the document.
    Refill(Refill),
    /// It gets longer.
    Append(Vec<Added>),
}

impl Publication {
    /// The documents of a group, each once, with its last word.
    pub(crate) fn new(words: &Words, group: &mut StagedGroup) -> Self {
        let (mut removes, mut swaps, mut appends) = (Vec::new(), Vec::new(), Vec::new());
        for (path, word) in words.iter() {
            let seq = word.said.base.as_ref().map(|base| base.seq);
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
                    let step = match group.refills.remove(seq) {
                        Some(refill) => Step::Refill(refill),
                        None => {
                            Step::Swap(group.staged.remove(seq).expect("every other put is staged"))
                        }
                    };
                    (&mut swaps, step)
                }
            };
            queue.push(Publish {
                path: path.to_owned(),
                was: word.was().cloned(),
                txn: word.txn,
                time: word.time,
                own: word.said.base.as_ref().is_some_and(|base| base.change.is_own()),
                replaces_ours: seq.is_some_and(|seq| group.replaces_ours.contains(&seq)),
                recycles: seq.is_some_and(|seq| group.recycles.contains(&seq)),
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
        mut pins: Option<Pins>,
        mut publisher: Publisher<'_>,
        mut displaced: impl FnMut(u64, Rescued),
    ) -> Result<(), (String, FsError)> {
        for publish in self.0 {
            let (path, txn) = (publish.path.clone(), publish.txn);
            let removes = matches!(publish.step, Step::Remove(_));
            let imaged = match &mut pins {
                Some(pins) => pins.keep(publisher.fs, &path, txn, removes),
                None => Ok(()),
            };
            let mut tell = |edit| displaced(txn, edit);
            let published = imaged.and_then(|()| publish.run(&mut publisher, &mut tell));
            published.map_err(|error| (path, error))?;
        }
        Ok(())
    }
}

impl Publish {
    /// `tell` hears of each outside edit that it displaces, or finds in a spare.
    fn run(
        self,
        publisher: &mut Publisher<'_>,
        tell: &mut dyn FnMut(Rescued),
    ) -> Result<(), FsError> {
        let (fs, view) = (publisher.fs, publisher.view);
        let Self { path, was, txn, time, own, replaces_ours, recycles, step } = self;
        let swap = Swap { path: &path, was: was.as_ref(), txn, time, own, replaces_ours };
        match step {
            Step::Remove(at) => {
                let displaced = remove_document(fs, &path, &at)?;
                let gone = Gone { at: &at, by: None, recycles: false };
                publisher.settle(swap, displaced, gone, tell)
            }
            Step::Swap(staged) => {
                let staged = Refilled { staged, leased: None, rescued: None };
                publisher.swap(swap, staged, recycles, tell)
            }
            Step::Refill(refill) => {
                let staged = publisher.spares.refill(fs, &path, txn, refill)?;
                publisher.swap(swap, staged, recycles, tell)
            }
            Step::Append(appends) => {
                let taken = fs.now();
                let stat = append::add(fs, &path, &appends, time)?;
                // It ends here where it holds what was committed and nothing of anybody else. A further
                // name, as that of an image that is kept for a pin, moves the ctime when it goes, which
                // would look like an edit: then the commit's time alone says what is ours.
                if append::end_of(&appends) == Some(stat.stamp.size) && stat.nlink == 1 {
                    view.stamp(&path, Stamped { stamp: stat.stamp, taken });
                }
                Ok(())
            }
        }
    }
}

/// What publishing works with.
pub(crate) struct Publisher<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) view: &'a View,
    pub(crate) spares: &'a mut Spares,
    pub(crate) names: &'a mut StageNames,
}

impl Publisher<'_> {
    fn swap(
        &mut self,
        swap: Swap<'_>,
        Refilled { staged, leased, rescued }: Refilled,
        recycles: bool,
        tell: &mut dyn FnMut(Rescued),
    ) -> Result<(), FsError> {
        let (fs, view) = (self.fs, self.view);
        rescued.into_iter().for_each(&mut *tell);
        let displaced = swap.run(fs, &staged)?;
        let mut published = None;
        match leased {
            Some(file) => {
                // Under the lease nobody can have written it; its attributes anybody can have set.
                let taken = fs.now();
                let stamped = Stamped { stamp: file.stat()?.stamp, taken };
                let attrs = file.attrs()?;
                // Whoever wants to read it may, from here on.
                drop(file);
                if stamped.stamp.same_body(&staged.stamp) {
                    view.stamp(swap.path, stamped);
                    published = Some((stamped, attrs));
                }
            }
            None => note_stamp(fs, view, swap.path, &staged)?,
        }
        let gone = Gone { at: &staged.at, by: Some(&staged), recycles };
        self.settle(swap, displaced, gone, tell)?;
        if let Some((stamped, attrs)) = published {
            self.spares.note(swap.path, stamped, attrs);
        }
        Ok(())
    }

    /// What was displaced is kept, dropped or rescued.
    fn settle(
        &mut self,
        swap: Swap<'_>,
        displaced: Displaced,
        gone: Gone<'_>,
        tell: &mut dyn FnMut(Rescued),
    ) -> Result<(), FsError> {
        let Gone { at, by, recycles } = gone;
        match displaced.look(self.fs, at, swap, by)? {
            Settled::Ours(stat) => {
                let path = (swap.path, swap.txn);
                let gone = (at.to_owned(), stat);
                let edit = self.spares.keep(self.fs, self.names, path, gone, recycles)?;
                edit.into_iter().for_each(tell);
            }
            Settled::Rescued(edit) => tell(edit),
            Settled::Gone => {}
        }
        Ok(())
    }
}

/// A version that was displaced.
#[derive(Clone, Copy)]
struct Gone<'a> {
    /// Where it lies.
    at: &'a str,
    /// What took its place.
    by: Option<&'a Staged>,
    /// It may become a spare.
    recycles: bool,
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
