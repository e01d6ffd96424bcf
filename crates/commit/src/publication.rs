//! C8 for one group: its documents on their way to their paths.

use std::sync::{Mutex, MutexGuard, PoisonError};

use filepact_fs::{FsError, Time, with_each};
use filepact_journal::{Added, Base, Change, Was, Words};

use crate::group::StagedGroup;
use crate::pins::Pins;
use crate::publish::Swap;
use crate::publisher::{Gone, Publisher};
use crate::spares::{Refill, Refilled};
use crate::{Durability, Mark, Rescued, Staged, Stamped, append, remove_document};

/// A group that is committed. What could not be published is [healed](crate::Writer) later, by
/// whoever commits next.
#[derive(Debug)]
pub(crate) struct Publication {
    removes: Vec<Publish>,
    others: Vec<Publish>,
}

/// How many documents to publish for each thread.
const WORTH_A_THREAD: usize = 8;

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
    /// This has gone into it.
    Refilled(Refilled),
    /// It gets longer.
    Append(Vec<Added>),
}

impl Publication {
    /// The documents of a group, each once, with its last word.
    pub(crate) fn new(words: &Words, group: &mut StagedGroup) -> Self {
        let (mut removes, mut others) = (Vec::new(), Vec::new());
        for (path, word) in words.iter() {
            let seq = word.said.base.as_ref().map(|base| base.seq);
            let (queue, step) = match &word.said.base {
                // No group adds to what it makes. An outside edit is at its path already.
                _ if !word.said.appends.is_empty() => {
                    (&mut others, Step::Append(word.said.appends.clone()))
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
                    (&mut others, step)
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
        Self { removes, others }
    }

    /// With `Files` those bodies that go into spares are written and synced before the first of them is the
    /// document: so a plain reader finds none that can still be lost.
    ///
    /// After C7, or a power cut would leave a body there that no record names. Each spare stays leased until it
    /// is the document.
    pub(crate) fn fill_spares(
        &mut self,
        durability: Durability,
        publisher: &Publisher<'_>,
        mut displaced: impl FnMut(u64, Rescued),
    ) -> Result<(), (String, FsError)> {
        if durability != Durability::Files {
            return Ok(());
        }
        let mut last = None;
        for publish in &mut self.others {
            if let Step::Refill(refill) = &publish.step {
                let refilled = publisher.refill(&publish.path, publish.txn, refill.clone());
                let mut refilled = refilled.map_err(|error| (publish.path.clone(), error))?;
                refilled.rescued.take().into_iter().for_each(|edit| displaced(publish.txn, edit));
                publish.step = Step::Refilled(refilled);
                last = Some(publish.path.clone());
            }
        }
        let Some(last) = last else { return Ok(()) };
        let fs = publisher.fs;
        let filled: Vec<_> = self.others.iter().filter_map(Publish::filled).collect();
        let sync = || match &*filled {
            [one] => one.sync(fs),
            // It costs less than a sync of each.
            _ => fs.sync_everything(),
        };
        // What others have written is synced as well: an error must not be lost with us.
        Mark::around(fs, sync).map_err(|error| (last, error))
    }

    /// Publishes all, each after it was kept for those who have a pin; shows each outside edit that was
    /// displaced, with the transaction that did it. The error names the document that could not be
    /// published.
    pub(crate) fn run(
        self,
        pins: Option<Pins>,
        publisher: &Publisher<'_>,
        displaced: impl FnMut(u64, Rescued) + Send,
    ) -> Result<(), (String, FsError)> {
        let (pins, displaced) = (pins.map(Mutex::new), Mutex::new(displaced));
        let publish = |publish: Publish| {
            let (path, txn) = (publish.path.clone(), publish.txn);
            let removes = matches!(publish.step, Step::Remove(_));
            let imaged = match &pins {
                Some(pins) => lock(pins).keep(publisher.fs, &path, txn, removes),
                None => Ok(()),
            };
            let mut tell = |edit| lock(&displaced)(txn, edit);
            let published = imaged.and_then(|()| publish.run(publisher, &mut tell));
            published.map_err(|error| (path, error))
        };
        // Hardly anything here waits for the disk: more threads than processors would be in each other's way.
        let threads = publisher.fs.threads().div_ceil(2);
        // Removals first: a document may give way to a directory of the same name.
        self.removes.into_iter().try_for_each(publish)?;
        with_each(threads, WORTH_A_THREAD, self.others, publish).map(drop)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publish {
    fn filled(&self) -> Option<&Refilled> {
        match &self.step {
            Step::Refilled(refilled) => Some(refilled),
            _ => None,
        }
    }

    /// `tell` hears of each outside edit that it displaces, or finds in a spare.
    fn run(self, publisher: &Publisher<'_>, tell: &mut dyn FnMut(Rescued)) -> Result<(), FsError> {
        let (fs, view) = (publisher.fs, publisher.view);
        let Self { path, was, txn, time, own, replaces_ours, recycles, step } = self;
        let swap = Swap { path: &path, was: was.as_ref(), txn, time, own, replaces_ours };
        match step {
            Step::Remove(at) => {
                let displaced = remove_document(fs, &path, &at)?;
                let gone = Gone { at: &at, by: None, recycles: false, attrs: None };
                publisher.settle(swap, displaced, gone, tell)
            }
            Step::Swap(staged) => {
                let staged = Refilled { staged, attrs: None, leased: None, rescued: None };
                publisher.swap(swap, staged, recycles, tell)
            }
            Step::Refill(refill) => {
                let staged = publisher.refill(&path, txn, refill)?;
                publisher.swap(swap, staged, recycles, tell)
            }
            Step::Refilled(staged) => publisher.swap(swap, staged, recycles, tell),
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
