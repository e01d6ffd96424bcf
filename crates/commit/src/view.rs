//! What one handle knows of committed documents.
//!
//! Readers never wait for a commit: a document that is committed but not at its path yet is read
//! from its word, everything else from its file. What other processes commit is learned by
//! following `state` and the journal: [`View::follow`].

use std::collections::{BTreeSet, HashMap};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

use filepact_fs::{File, Fs, Stamp, Stat, Time};
use filepact_journal::{
    FollowError, Follower, Group, Hash, Progress, ReadError, Reading, Scan, State, StateFile, Was,
    Word, Words, read_to,
};

use crate::past::{Memory, Past};
use crate::pins::Pin;
use crate::{CommitError, Holds, Mark, Stamped, hash_part};

/// What this handle last knew of one document.
#[derive(Clone, Debug)]
pub struct Known {
    /// The record that made it so.
    pub seq: u64,
    /// The time of its commit, which the published file has as its mtime.
    pub time: Time,
    /// What it holds; `None` if removed.
    pub content: Option<Holds>,
    /// All of it is of one record, a put.
    pub is_put: bool,
    /// Its stamp, once this handle has seen it with this content; an outside edit shows as a
    /// difference.
    pub stamp: Option<Stamped>,
    /// What was added to it stands behind an edit that nobody has read.
    pub unread: bool,
    /// When this handle has first found that another program had removed it.
    pub missing: Option<Time>,
}

impl Known {
    /// What is known after the words of one group; `before` is what was known.
    pub fn after(before: Option<Self>, word: &Word) -> Self {
        let was_known = before.is_some();
        let was_unread = before.as_ref().is_some_and(|known| known.unread);
        // What an append adds to may be an edit that nobody has seen.
        let same = before.filter(|known| word.was().is_some_and(|was| known.is(was)));
        let unread = word.said.base.is_none() && (was_unread || was_known && same.is_none());
        let content = Holds::after(same.and_then(|known| known.content), &word.said);
        let is_put = word.said.hash().is_some();
        let (seq, time) = (word.seq, word.time);
        Self { seq, time, content, is_put, stamp: None, unread, missing: None }
    }

    /// Whether a record says for certain that it has found another version.
    pub fn is_not(&self, was: &Was) -> bool {
        let Some(holds) = &self.content else { return true };
        let differs = holds.hash().zip(was.hash).is_some_and(|(known, found)| known != found);
        holds.len() != was.size || differs
    }

    /// Whether this is the version that a record says it has found: by the content where both know
    /// it, else by the stamp.
    fn is(&self, was: &Was) -> bool {
        let Some(holds) = self.content.as_ref().filter(|holds| holds.len() == was.size) else {
            return false;
        };
        match (holds.hash(), was.hash, self.stamp) {
            (Some(hash), Some(found), _) => hash == found,
            // A checkpoint may have given it a new inode.
            (_, _, Some(Stamped { stamp, .. })) => {
                was.mtime == self.time || (stamp.ino, stamp.mtime) == (was.ino, was.mtime)
            }
            (_, _, None) => was.mtime == self.time,
        }
    }
}

/// Whether what was read is what a failed sync has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing says so.
    No,
    /// It is.
    Yes,
    /// The document has changed since it was read.
    LookAgain,
}

/// Where to read a document.
#[derive(Clone, Debug)]
pub struct Found {
    /// Everything up to this seq is committed, and taken into account here.
    pub at: u64,
    /// The handle remembers all changes after this seq, and perhaps none before.
    pub reach: u64,
    /// The last record on this path that the handle knows of; 0 if none.
    pub seq: u64,
    /// The word to read, while the document may not be at its path yet.
    pub word: Option<Word>,
}

/// What a document holds, where one hash says all of it.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// Everything up to this seq is committed, and taken into account here.
    pub at: u64,
    /// The record that made it so.
    pub seq: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Of all its bytes.
    pub hash: Hash,
    /// Its stamp, if this handle has seen it so.
    pub stamp: Option<Stamped>,
}

/// How far everybody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Up to this seq everything counts.
    pub committed: u64,
    /// Up to this seq every document is at its path.
    pub published: u64,
}

/// The committed state that all threads of a handle share.
#[derive(Debug)]
pub struct View {
    fs: Arc<dyn Fs>,
    state: StateFile,
    /// One thread at a time takes in what others have appended; it is locked before `inner`.
    follower: Mutex<Follower>,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    committed: u64,
    published: u64,
    known: HashMap<Arc<str>, Known>,
    /// The paths of `known`, by seq.
    order: BTreeSet<(u64, Arc<str>)>,
    /// Every word after this seq is among the known.
    reach: u64,
    /// Those that were found missing, and perhaps some that are known anew since.
    missed: BTreeSet<Arc<str>>,
    /// What holds no seams up to this seq.
    joined: u64,
    /// The words that may not be at their paths yet.
    in_flight: Arc<Words>,
    /// Who still wants to know what was known at an older moment.
    memories: Vec<Weak<Memory>>,
}

/// How many documents keep their stamps through a checkpoint. It bounds memory: beyond it, outside
/// edits made before a document's next read are taken as they are.
const KEPT_STAMPS: usize = 65_536;

impl View {
    /// The view of a handle that has just recovered: all of `progress` is published.
    pub fn recovered(
        fs: Arc<dyn Fs>,
        state: StateFile,
        progress: Progress,
        known: HashMap<String, Known>,
    ) -> Self {
        let end = progress.end().seq();
        let mut inner = Inner { committed: end, published: end, ..Inner::default() };
        for (path, known) in known {
            inner.learn(&path, known.seq, |_| known);
        }
        // Recovery knows every word since the last checkpoint; older ones it may have forgotten.
        inner.reach = progress.checkpoint().min(end);
        let follower = Mutex::new(Follower::new(fs.clone(), progress));
        Self { fs, state, follower, inner: RwLock::new(inner) }
    }

    /// The view of a handle that joins others: what they have committed, as `scan` says it.
    pub fn joined(fs: Arc<dyn Fs>, state: StateFile, scan: &Scan, published: u64) -> Self {
        let mut inner = Inner::default();
        inner.begin(scan, published);
        let follower = Mutex::new(Follower::new(fs.clone(), Progress::of(scan)));
        Self { fs, state, follower, inner: RwLock::new(inner) }
    }

    /// Takes in what others have committed since. Waits for no commit: at most for another thread of
    /// this process that does the same.
    ///
    /// # Errors
    /// [`CommitError::Poisoned`] if `state` cannot be made out; [`CommitError::Journal`] if the
    /// journal does not say what `state` says of it.
    pub fn follow(&self) -> Result<Moment, CommitError> {
        self.follow_to(&self.read_state()?.state)
    }

    /// The same, where `state` has just been read.
    pub(crate) fn follow_to(&self, state: &State) -> Result<Moment, CommitError> {
        let State { committed, published, .. } = state;
        let moment = self.moment();
        if committed.seq <= moment.committed && published.seq <= moment.published {
            return Ok(moment);
        }
        let mut follower = self.lock_follower();
        match follower.follow(committed) {
            Ok(groups) => self.write().take_in(&groups, follower.progress(), published.seq),
            Err(FollowError::Io(error)) => return Err(error.into()),
            // Segments have gone with a checkpoint since this handle last looked.
            Err(FollowError::Gone) => {
                let (scan, published) = self.scan_and_published()?;
                follower.restart(&scan);
                self.write().begin(&scan, published);
            }
        }
        Ok(self.moment())
    }

    /// Everything that the journal still says, up to what is committed now.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn scan(&self) -> Result<Scan, CommitError> {
        Ok(self.scan_and_published()?.0)
    }

    /// The same, and how much of it is published.
    pub(crate) fn scan_and_published(&self) -> Result<(Scan, u64), CommitError> {
        let mut last = None;
        loop {
            let State { committed, published, .. } = self.read_state()?.state;
            match read_to(&*self.fs, &committed) {
                Ok(scan) => return Ok((scan, published.seq)),
                Err(ReadError::Io(error)) => return Err(error.into()),
                // Twice the same: nobody has gone on meanwhile.
                Err(ReadError::Scan(error)) if last.as_ref() == Some(&committed) => {
                    return Err(error.into());
                }
                Err(ReadError::Scan(_)) => last = Some(committed),
            }
        }
    }

    pub(crate) fn fs(&self) -> Arc<dyn Fs> {
        Arc::clone(&self.fs)
    }

    /// What `state` says now.
    pub(crate) fn read_state(&self) -> Result<Reading, CommitError> {
        self.state.read()?.ok_or(CommitError::Poisoned)
    }

    /// Whether what was read of a document is what a failed sync has left of it: other content than is
    /// known, under the time of its commit, in a store that has failed. Where a sync is unfinished, and its
    /// error may have died with its process, or be on its way: other content under our own stamp.
    ///
    /// # Errors
    /// [`CommitError::Poisoned`] if `state` cannot be made out.
    pub fn is_lost(
        &self,
        path: &str,
        seq: u64,
        hash: Hash,
        stat: &Stat,
    ) -> Result<Lost, CommitError> {
        let (of, stamp) = match self.read().known.get(path) {
            Some(Known { seq, time, content: Some(holds), stamp, .. })
                if *time == stat.stamp.mtime && holds.hash() != Some(hash) =>
            {
                (*seq, *stamp)
            }
            _ => return Ok(Lost::No),
        };
        let is_ours = stamp.is_none_or(|stamped| stamped.stamp == stat.stamp);
        let may_be = self.has_failed()? || is_ours && Mark::is_any_set(&*self.fs)?;
        if !may_be {
            return Ok(Lost::No);
        }
        let known = self.known(path).filter(|known| known.seq == of);
        let Some(holds) = known.and_then(|known| known.content) else { return Ok(Lost::LookAgain) };
        let now = holds.is_at(&*self.fs, path)?;
        // Somebody may have published another version meanwhile, but not before `state` says that it is
        // committed; or another program has saved it.
        self.follow()?;
        Ok(match now {
            Some((true, _)) => Lost::No,
            Some((false, now))
                if now.stamp == stat.stamp && of == seq && self.seq_of(path) == seq =>
            {
                Lost::Yes
            }
            _ => Lost::LookAgain,
        })
    }

    /// Whether what stands below the bytes of a word that is only added to, and not published yet, is what a
    /// failed sync has left. Of a large document, which was not read for its record, nothing tells it.
    ///
    /// # Errors
    /// As [`is_lost`](Self::is_lost).
    pub fn is_lost_below(
        &self,
        word: &Word,
        file: &dyn File,
        stat: &Stat,
    ) -> Result<bool, CommitError> {
        let (None, Some(first)) = (&word.said.base, word.said.appends.first()) else {
            return Ok(false);
        };
        let was = &first.append.was;
        let (Some(hash), true) = (was.hash, [was.mtime, word.time].contains(&stat.stamp.mtime))
        else {
            return Ok(false);
        };
        Ok(self.has_failed()? && hash_part(file, 0, was.size)? != hash)
    }

    /// A sync has failed: what is read may be what it has left.
    ///
    /// # Errors
    /// [`CommitError::Poisoned`] if `state` cannot be made out.
    pub fn has_failed(&self) -> Result<bool, CommitError> {
        Ok(self.read_state()?.state.failed)
    }

    /// How far the journal is taken in.
    pub fn progress(&self) -> Progress {
        *self.lock_follower().progress()
    }

    /// How far everybody is, as far as this handle has looked.
    pub fn moment(&self) -> Moment {
        let inner = self.read();
        Moment { committed: inner.committed, published: inner.published }
    }

    /// The last seq that this handle knows to be committed.
    pub fn committed(&self) -> u64 {
        self.read().committed
    }

    /// Where to read `path`.
    pub fn find(&self, path: &str) -> Found {
        let inner = self.read();
        Found {
            at: inner.committed,
            reach: inner.reach,
            seq: inner.known.get(path).map_or(0, |known| known.seq),
            word: inner.in_flight.get(path).cloned(),
        }
    }

    /// What `path` is known to hold, as a whole.
    pub fn whole(&self, path: &str) -> Option<Whole> {
        let inner = self.read();
        let Known { seq, content, stamp, unread: false, .. } = inner.known.get(path)? else {
            return None;
        };
        let holds = content.as_ref()?;
        let (len, hash) = (holds.len(), holds.hash()?);
        Some(Whole { at: inner.committed, seq: *seq, len, hash, stamp: *stamp })
    }

    /// What is known of `path`.
    pub fn known(&self, path: &str) -> Option<Known> {
        self.read().known.get(path).cloned()
    }

    /// Whether the present stamp proves that a document's content is still the one that `stamped` was taken
    /// of. An exact one with the time of its last put does so however fresh it is: whoever writes gives the
    /// file another time before the first byte.
    pub(crate) fn proves(&self, path: &str, stamped: &Stamped, now: &Stamp) -> bool {
        let is_put = |known: &Known| {
            known.time == now.mtime
                && known.content.as_ref().is_some_and(|holds| holds.hash().is_some())
        };
        stamped.proves(now)
            || stamped.stamp == *now && now.exact && self.read().known.get(path).is_some_and(is_put)
    }

    /// Everything that is known now, for as long as it is wanted, and the pin of this moment.
    pub(crate) fn remember(&self, pin: Pin) -> Past {
        let mut inner = self.write();
        let memory = Arc::new(Memory::of(inner.committed, Some(pin)));
        inner.memories.retain(|memory| memory.strong_count() > 0);
        inner.memories.push(Arc::downgrade(&memory));
        Past::new(Arc::clone(&inner.in_flight), memory)
    }

    /// Lets the pins of all older moments go: nobody reads there any more.
    pub(crate) fn let_pins_go(&self) {
        let memories: Vec<_> = self.read().memories().collect();
        memories.iter().for_each(|memory| memory.let_pin_go());
    }

    /// What `memory` remembers of `path`, or is still known of it.
    pub(crate) fn known_then(&self, memory: &Memory, path: &str) -> Option<Known> {
        // While nobody learns anything.
        let inner = self.read();
        memory.recall(path).or_else(|| inner.known.get(path).filter(|k| memory.spans(k)).cloned())
    }

    /// As [`known_then`](Self::known_then), of all these paths.
    pub(crate) fn all_known_then(
        &self,
        memory: &Memory,
        concerns: impl Fn(&str) -> bool,
    ) -> HashMap<Arc<str>, Known> {
        let inner = self.read();
        let spanned = |(path, known): &(&Arc<str>, &Known)| memory.spans(known) && concerns(path);
        let spanned = inner.known.iter().filter(spanned);
        let mut all = spanned.map(|(path, known)| (Arc::clone(path), known.clone())).collect();
        memory.recall_all(&mut all, &concerns);
        all
    }

    /// Notes that a document was found absent at this time, of which the record with this seq says
    /// otherwise: another program has removed it.
    pub fn miss(&self, path: &str, seq: u64, time: Time) {
        let is_missed =
            |known: &Known| known.seq == seq && known.content.is_some() && known.missing.is_none();
        if !self.read().known.get(path).is_some_and(is_missed) {
            return;
        }
        let mut inner = self.write();
        let Some((path, _)) = inner.known.get_key_value(path).filter(|(_, k)| is_missed(k)) else {
            return;
        };
        let path = Arc::clone(path);
        inner.known.entry(Arc::clone(&path)).and_modify(|known| known.missing = Some(time));
        inner.missed.insert(path);
    }

    /// Looks again for what was found missing: another program may have brought it back.
    pub(crate) fn look_for_missing(&self) {
        let missed = self.write().still_missed();
        for path in missed {
            let is_absent = match self.fs.stat(&path) {
                Ok(found) => found.is_none(),
                // What cannot be looked at counts as there, of which less is believed.
                Err(error) => error.is_link(),
            };
            if !is_absent {
                self.write().find_again(&path);
            }
        }
    }

    /// The seq of the last record on `path` that the handle knows of; 0 if none.
    pub fn seq_of(&self, path: &str) -> u64 {
        self.read().known.get(path).map_or(0, |known| known.seq)
    }

    /// The words that may not be at their paths yet.
    pub fn in_flight(&self) -> Arc<Words> {
        Arc::clone(&self.read().in_flight)
    }

    /// Every document changed after `seq`, with what is known of it, in that order; `None` if the
    /// handle does not remember back to there.
    pub fn changed_since(&self, seq: u64) -> Option<Vec<(Arc<str>, Known)>> {
        let inner = self.read();
        if seq < inner.reach {
            return None;
        }
        let changed = inner.order.range((seq + 1, Arc::from(""))..);
        Some(changed.map(|(_, path)| (Arc::clone(path), inner.known[path].clone())).collect())
    }

    /// Everything that is known, changed since the last checkpoint or before.
    pub fn all_known(&self) -> Vec<(Arc<str>, Known)> {
        let inner = self.read();
        inner.known.iter().map(|(path, known)| (Arc::clone(path), known.clone())).collect()
    }

    /// Takes in a group of this process, which `state` says to be committed.
    pub(crate) fn advance(&self, group: &Group) {
        let mut follower = self.lock_follower();
        // A reader may have followed `state` to it already.
        if follower.advance(group) {
            let published = self.moment().published;
            self.write().take_in(std::slice::from_ref(group), follower.progress(), published);
        }
    }

    /// All documents up to the last commit are at their paths, as `state` says.
    pub(crate) fn publish(&self) {
        let mut inner = self.write();
        let committed = inner.committed;
        inner.publish(committed);
    }

    /// Notes the hash and the stamp of a document that holds what is known of it.
    pub(crate) fn recognise(&self, path: &str, hash: Hash, seen: Stamped) {
        let mut inner = self.write();
        inner.find_again(path);
        let Some((path, known)) = inner.known.get_key_value(path) else { return };
        // What is recognised now proves nothing of a moment before.
        inner.memories().for_each(|memory| memory.keep(path, known));
        let path = Arc::clone(path);
        if let Some(known) = inner.known.get_mut(&path) {
            known.content = Some(Holds::whole(seen.stamp.size, Some(hash)));
            known.stamp = Some(seen);
        }
    }

    /// Notes the stamp of a document that was seen with the content that is known.
    pub(crate) fn stamp(&self, path: &str, seen: Stamped) {
        let mut inner = self.write();
        inner.find_again(path);
        if let Some(known) = inner.known.get_mut(path) {
            known.stamp = Some(seen);
        }
    }

    fn lock_follower(&self) -> MutexGuard<'_, Follower> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes in what follows.
    fn take_in(&mut self, groups: &[Group], progress: &Progress, published: u64) {
        for group in groups {
            self.learn_words(group);
            Arc::make_mut(&mut self.in_flight).apply(group);
        }
        self.committed = progress.end().seq();
        self.publish(published);
        self.forget(progress.checkpoint());
    }

    /// Takes in a whole journal instead of what was known: stamps go with it.
    fn begin(&mut self, scan: &Scan, published: u64) {
        for (path, known) in &self.known {
            self.memories().for_each(|memory| memory.keep(path, known));
        }
        (self.known, self.order, self.joined) = Default::default();
        let mut in_flight = Words::default();
        for group in &scan.groups {
            self.learn_words(group);
            if group.last > published {
                in_flight.apply(group);
            }
        }
        self.in_flight = Arc::new(in_flight);
        self.committed = scan.end.seq();
        self.reach = scan.groups.first().map_or(self.committed, |group| group.first - 1);
        self.publish(published);
    }

    fn learn_words(&mut self, group: &Group) {
        let mut words = Words::default();
        words.apply(group);
        for (path, word) in words.iter() {
            self.learn(path, word.seq, |before| Known::after(before, word));
        }
    }

    /// Notes what is known of a document as of record `seq`, in the place of what was known.
    fn learn(&mut self, path: &str, seq: u64, known: impl FnOnce(Option<Known>) -> Known) {
        let (path, before) = match self.known.remove_entry(path) {
            Some((path, before)) => {
                // Where the journal is read anew, what replaces it may be of the moment itself.
                let later = self.memories().filter(|memory| !memory.covers(seq));
                later.for_each(|memory| memory.keep(&path, &before));
                self.missed.remove(&path);
                let entry = (before.seq, path);
                self.order.remove(&entry);
                (entry.1, Some(before))
            }
            None => (Arc::from(path), None),
        };
        self.order.insert((seq, Arc::clone(&path)));
        self.known.insert(path, known(before));
    }

    fn still_missed(&mut self) -> BTreeSet<Arc<str>> {
        let Self { missed, known, .. } = self;
        missed.retain(|path| known.get(path).is_some_and(|known| known.missing.is_some()));
        missed.clone()
    }

    /// What was missing is there again. An older moment knows that it was not.
    fn find_again(&mut self, path: &str) {
        if let Some(path) = self.missed.take(path)
            && let Some(known) = self.known.get(&path)
        {
            self.memories().for_each(|memory| memory.keep(&path, known));
            self.known.entry(path).and_modify(|known| known.missing = None);
        }
    }

    fn memories(&self) -> impl Iterator<Item = Arc<Memory>> + '_ {
        self.memories.iter().filter_map(Weak::upgrade)
    }

    fn publish(&mut self, published: u64) {
        self.published = self.published.max(published);
        if self.published >= self.committed {
            self.in_flight = Arc::default();
        } else if !self.in_flight.is_empty() {
            Arc::make_mut(&mut self.in_flight).clear_upto(self.published);
        }
    }

    /// What is covered by a checkpoint is known as a whole.
    fn join_pieces(&mut self, upto: u64) {
        if upto <= self.joined {
            return;
        }
        let memories: Vec<_> = self.memories().collect();
        for (_, path) in
            self.order.range((self.joined + 1, Arc::from(""))..(upto + 1, Arc::from("")))
        {
            let known = self.known.get_mut(path).expect("what is in order is known");
            if known.content.as_ref().is_some_and(Holds::has_seams) {
                memories.iter().for_each(|memory| memory.keep(path, known));
                known.content.as_mut().into_iter().for_each(Holds::join_pieces);
            }
        }
        self.joined = upto;
    }

    /// A checkpoint bounds what must be known. A list needs what is not published, even if it is only
    /// the checkpoint's own record.
    fn forget(&mut self, checkpoint: u64) {
        let upto = checkpoint.min(self.published);
        self.join_pieces(upto);
        if self.known.len() <= KEPT_STAMPS || upto <= self.reach {
            return;
        }
        let kept = self.order.split_off(&(upto + 1, Arc::from("")));
        for (_, path) in std::mem::replace(&mut self.order, kept) {
            self.missed.remove(&path);
            let known = self.known.remove(&path).expect("what is in order is known");
            self.memories().for_each(|memory| memory.keep(&path, &known));
        }
        self.reach = upto;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(seq: u64) -> Known {
        let (time, content) = (Time(0), None);
        Known { seq, time, content, is_put: true, stamp: None, unread: false, missing: None }
    }

    /// What other programs remove is put again, or forgotten: nobody else takes the path out.
    #[test]
    fn what_was_found_missing_is_not_kept_in_mind_for_ever() {
        let mut inner = Inner::default();
        inner.learn("a", 1, |_| known(1));
        inner.missed.insert(Arc::from("a"));
        inner.learn("a", 2, |_| known(2));
        assert!(inner.missed.is_empty());
    }

    /// The journal is read anew, and says two words of a document that the handle had forgotten.
    #[test]
    fn a_memory_takes_the_last_version_of_its_moment() {
        let mut inner = Inner::default();
        let memory = Arc::new(Memory::of(10, None));
        inner.memories.push(Arc::downgrade(&memory));
        for seq in [5, 8, 11, 13] {
            inner.learn("a", seq, |_| known(seq));
        }
        assert_eq!(memory.recall("a").map(|known| known.seq), Some(8));
    }
}
