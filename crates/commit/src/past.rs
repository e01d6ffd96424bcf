//! An older moment, for as long as somebody reads it.
//!
//! A pin says which documents stay (`kept/`); what they hold, and by which hash that is told from
//! somebody's edit, is said here: by what the handle knew at the moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filepact_fs::{Fs, FsError, Stamp, Stat, Time, parent_of};
use filepact_journal::{RecordKind, Word, Words};

use crate::pins::{Pin, linked_now};
use crate::{CommitError, Holds, Images, Known, View, Writer, sweep_kept};

/// What a handle knew at a moment, while it goes on to learn more.
#[derive(Debug)]
pub(crate) struct Past {
    /// What may not have been at its path then.
    words: Arc<Words>,
    memory: Arc<Memory>,
}

/// What was known of documents up to a seq and has been replaced, or forgotten, since. It grows by what
/// changes.
#[derive(Debug)]
pub(crate) struct Memory {
    at: u64,
    kept: Mutex<HashMap<Arc<str>, Known>>,
    /// `None` once the handle is closed.
    pin: Mutex<Option<Pin>>,
}

impl Past {
    pub(crate) fn new(words: Arc<Words>, memory: Arc<Memory>) -> Self {
        Self { words, memory }
    }
}

impl Memory {
    pub(crate) fn of(at: u64, pin: Option<Pin>) -> Self {
        Self { at, kept: Mutex::default(), pin: Mutex::new(pin) }
    }

    fn say_pin(&self) -> Result<(), FsError> {
        self.pin().iter_mut().try_for_each(|pin| pin.say(self.at))
    }

    pub(crate) fn let_pin_go(&self) {
        drop(self.pin().take());
    }

    fn pin(&self) -> MutexGuard<'_, Option<Pin>> {
        self.pin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this was known then.
    pub(crate) fn spans(&self, known: &Known) -> bool {
        self.covers(known.seq)
    }

    /// Whether this record was there then.
    pub(crate) fn covers(&self, seq: u64) -> bool {
        seq <= self.at
    }

    /// Keeps what is replaced, if it was known then.
    pub(crate) fn keep(&self, path: &Arc<str>, known: &Known) {
        if self.spans(known) {
            self.lock().entry(Arc::clone(path)).or_insert_with(|| known.clone());
        }
    }

    pub(crate) fn recall(&self, path: &str) -> Option<Known> {
        self.lock().get(path).cloned()
    }

    pub(crate) fn recall_all(&self, all: &mut HashMap<Arc<str>, Known>, of: impl Fn(&str) -> bool) {
        let kept = self.lock();
        let kept = kept.iter().filter(|(path, _)| of(path));
        all.extend(kept.map(|(path, known)| (Arc::clone(path), known.clone())));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment that stays readable until this is dropped, or its process dies.
#[derive(Debug)]
pub struct Pinned {
    /// Everything up to this seq, and nothing after it.
    pub at: u64,
    /// What other programs changed after this is not of the moment.
    pub since: Time,
    /// What documents held before they were changed after it.
    pub images: Images,
    past: Past,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // At once: somebody who learns something may have the memory in hand.
        self.past.memory.let_pin_go();
    }
}

impl Writer {
    /// Pins what is committed now. Takes no lock that anybody waits for.
    ///
    /// # Errors
    /// [`CommitError::Io`], and nothing is pinned; [`CommitError::Poisoned`] if `state` cannot be made
    /// out.
    pub fn pin(&self) -> Result<Pinned, CommitError> {
        self.check_process()?;
        // The pin first: who publishes after the look at `state` finds it (attack 13).
        let pin = Pin::take(self.fs.clone())?;
        self.view.follow()?;
        let linked = linked_now(&*self.fs)?;
        let since = self.fs.now();
        self.view.look_for_missing();
        let past = self.view.remember(pin);
        let at = past.memory.at;
        let pinned = Pinned { at, since, images: Images::above(at, linked), past };
        pinned.past.memory.say_pin()?;
        Ok(pinned)
    }

    /// Lets all pins of this handle go, which is closed: else others would keep images for nobody.
    pub fn let_pins_go(&self) {
        self.view.let_pins_go();
    }

    /// After a pin was let go at whose moment everything up to `at` was committed: what was kept for it
    /// alone goes. What cannot be removed now goes with the next checkpoint.
    pub fn release(&self, at: u64) {
        let committed = self.view.read_state().map(|reading| reading.state.committed.seq);
        if committed.is_ok_and(|committed| committed > at) {
            let _ = sweep_kept(&*self.fs);
        }
    }
}

impl Pinned {
    /// The word to read, while the document is not at its path yet. To be asked **before** the live
    /// file is opened: what is published after that is not in it.
    pub fn word(&self, view: &View, path: &str) -> Result<Option<Word>, CommitError> {
        let Some(word) = self.past.words.get(path).filter(|word| !word.is_outside()) else {
            return Ok(None);
        };
        let published = view.read_state()?.state.published.seq;
        Ok((word.seq > published).then(|| word.clone()))
    }

    /// All words that are not at their paths yet; as [`word`](Self::word), before names are listed.
    pub fn words(&self, view: &View) -> Result<Words, CommitError> {
        if self.past.words.is_empty() {
            return Ok(Words::default());
        }
        let mut words = Words::clone(&self.past.words);
        words.clear_upto(view.read_state()?.state.published.seq);
        Ok(words)
    }

    /// What was known of a document at the moment.
    pub fn known(&self, view: &View, path: &str) -> Option<Known> {
        let mut known = view.known_then(&self.past.memory, path);
        known.iter_mut().for_each(|known| self.forget_missing(known));
        known
    }

    /// What was missing by then was not there, also if it is back.
    fn forget_missing(&self, known: &mut Known) {
        if known.missing.is_some_and(|missing| missing < self.since) {
            known.content = None;
        }
    }

    /// All that was known at the moment, of these paths.
    pub fn all_known(
        &self,
        view: &View,
        concerns: impl Fn(&str) -> bool,
    ) -> HashMap<Arc<str>, Known> {
        let mut all = view.all_known_then(&self.past.memory, concerns);
        all.values_mut().for_each(|known| self.forget_missing(known));
        all
    }

    /// Whether a document that is absent now, and that nobody has changed through filepact, was absent
    /// at the moment. An absence has no time of its own: it is known from before, or from a directory
    /// in which nothing has happened since, nor in the tick before.
    pub fn was_absent(&self, fs: &dyn Fs, view: &View, path: &str) -> Result<bool, CommitError> {
        let Some(known) = self.known(view, path) else { return Ok(true) };
        if known.content.is_none() {
            return Ok(true);
        }
        let mut dir = parent_of(path);
        let stat = loop {
            match fs.stat(dir) {
                Ok(None) => dir = parent_of(dir),
                Err(error) if error.is_link() => dir = parent_of(dir),
                stat => break stat?,
            }
        };
        if stat.is_some_and(|dir| dir.stamp.is_settled(self.since)) {
            return Ok(true);
        }
        view.miss(path, known.seq, fs.now());
        Ok(false)
    }
}

/// Whether what is known of a document is what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agrees {
    /// Every byte is known by its hash, and is as it was.
    Yes,
    /// What is known is as it was.
    Perhaps,
    /// Something else was known.
    No,
}

impl Pinned {
    /// Whether a file that looked like this holds what it held at the moment: by its hash; where nobody
    /// knows one, or the document had been edited before, by its times.
    ///
    /// The ctime is what nobody can set back, but links of ours move it as well. So where a word or a
    /// link of ours is known the mtime is believed, too, and the time of the word, which is that of a
    /// file that was published since the moment.
    pub fn is_as_it_was(
        &self,
        agrees: Agrees,
        known: Option<&Known>,
        then: &Stamp,
        is_linked: bool,
    ) -> bool {
        match agrees {
            Agrees::Yes => true,
            _ if then.ctime <= self.since => true,
            Agrees::Perhaps => {
                (then.mtime <= self.since && (is_linked || known.is_some()))
                    || known.is_some_and(|known| known.time == then.mtime)
            }
            Agrees::No => false,
        }
    }

    /// Whether filepact may have made a link to the live file since, or taken one away: one that is on its
    /// way to another name, or that was kept for an older moment.
    pub fn is_linked(&self, stat: &Stat) -> bool {
        stat.nlink > 1 || self.images.was_linked(stat.stamp.ino)
    }

    /// Whether nothing has happened in the directory of this name since: then the name was there.
    pub fn is_quiet(&self, fs: &dyn Fs, path: &str) -> Result<bool, CommitError> {
        let dir = fs.stat(parent_of(path))?;
        Ok(dir.is_some_and(|dir| dir.stamp.ctime <= self.since))
    }

    /// Whether a directory on the way to a document was moved since: its inode has changed, and its
    /// entries have not. What lies in it has its old times.
    pub fn was_moved(&self, fs: &dyn Fs, path: &str) -> Result<bool, CommitError> {
        let mut dir = parent_of(path);
        while !dir.is_empty() {
            let stamp = match fs.stat(dir) {
                Ok(Some(stat)) => stat.stamp,
                Ok(None) => return Ok(true),
                Err(error) if error.is_link() => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            if stamp.ctime > self.since && stamp.mtime <= self.since {
                return Ok(true);
            }
            dir = parent_of(dir);
        }
        Ok(false)
    }

    /// Whether filepact has added to this inode since, under whatever name, or the journal does not reach
    /// back to the moment.
    pub fn was_added_to(&self, view: &View, ino: u64) -> Result<bool, CommitError> {
        let scan = view.scan()?;
        let reaches = scan.groups.first().is_some_and(|group| group.first <= self.at + 1);
        let mut later =
            scan.groups.iter().flat_map(|group| &*group.records).filter(|r| r.seq > self.at);
        let adds = later.any(|r| matches!(&r.kind, RecordKind::Append(add) if add.was.ino == ino));
        Ok(adds || !reaches)
    }
}

impl Agrees {
    /// Whether the content, which `show` shows in pieces, is what is known.
    pub fn of<E>(
        known: Option<&Known>,
        show: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), E>,
    ) -> Result<Self, E> {
        let holds = known.map(|known| known.content.as_ref());
        let nothing = Holds::whole(0, None);
        let mut proof = match holds {
            Some(Some(holds)) => holds.proof(),
            _ => nothing.proof(),
        };
        show(&mut |piece| proof.take(piece))?;
        Ok(match holds {
            None => Self::Perhaps,
            // Nothing was there.
            Some(None) => Self::No,
            Some(Some(_)) => proof.finish(),
        })
    }
}
