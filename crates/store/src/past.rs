//! Reading documents as of an older moment, which is pinned.
//!
//! In this order: is the document's word published by now? Open the live file and take its size; look
//! into `kept/`. What a publisher changes it has kept before: so an image that is found is what the
//! document held, and where there is none nobody had begun to change the file that was opened before
//! that look. As long as the word of the moment is not published, and nothing is kept, the word itself
//! says the content. And then all of it is held against what was known of it: what another program
//! has changed since is an error.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use filepact_commit::{Agrees, Before, Known, Names, Pinned, View, list};
use filepact_fs::{DocPath, File, Fs, Kind, Stamp};
use filepact_journal::{Hash, Hasher, Word};

use crate::Error;
use crate::content::Content;
use crate::read::{
    FromWord, LEASE_PAUSE, LiveFile, PATIENCE, TRIES, from_word, is_below, open_at,
    open_unless_leased,
};
use crate::shared::Shared;
use crate::snapshot::Seen;

/// A moment to read at.
pub(crate) struct Then<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) view: &'a View,
    pub(crate) pinned: &'a Pinned,
    pub(crate) seen: &'a Seen,
}

/// What the document held, as far as files and words say.
enum Found {
    Absent,
    /// And the file whose times tell whether it is as it was.
    Content(Content, Option<FromFile>),
    /// Something was published between two looks.
    Again,
}

struct FromFile {
    file: Arc<dyn File>,
    /// What the live file looked like before it was read, or the document when it was kept.
    then: Stamp,
    /// Its ctime may have moved since by links of ours.
    is_linked: bool,
    /// An image may be the document's own inode: what is added to that leaves it as it is.
    is_image: bool,
    /// Its word is not published yet: its publisher may be about to give it its time.
    is_in_flight: bool,
}

impl Then<'_> {
    /// The content of a document, and its hash; `None` if it was absent. `keep` gets the bytes.
    pub(crate) fn content(
        &self,
        path: &DocPath,
        mut keep: Option<&mut Vec<u8>>,
    ) -> Result<Option<(Content, Hash)>, Error> {
        let (mut tries, mut restless) = (0, 0);
        while tries < TRIES && restless < PATIENCE {
            tries += 1;
            let (content, file) = match self.find(path, tries)? {
                Found::Again => continue,
                Found::Absent if self.was_absent(path)? => return Ok(None),
                Found::Absent => return Err(edited(path)),
                Found::Content(content, file) => (content, file),
            };
            let known = self.pinned.known(self.view, path);
            let mut hasher = Hasher::new();
            keep.iter_mut().for_each(|bytes| bytes.clear());
            let agrees = Agrees::of(known.as_ref(), |take| {
                content.read_pieces(|piece| {
                    take(piece);
                    hasher.update(piece);
                    keep.iter_mut().for_each(|bytes| bytes.extend_from_slice(piece));
                })
            })?;
            let hash = hasher.finish();
            if agrees == Agrees::Yes {
                return Ok(Some((content, hash)));
            }
            let Some(file) = file else { return Err(edited(path)) };
            let now = file.file.stat()?.stamp;
            let grown = now.size > file.then.size && agrees == Agrees::Perhaps;
            if now.mtime != file.then.mtime && !(grown && self.may_grow(path, &file, &now)?) {
                if file.is_image {
                    return Err(edited(path));
                }
                // Somebody has just added to it, and kept it before; or another program saves it.
                restless += 1;
                continue;
            }
            match self.believe(path, &file, known.as_ref(), agrees, hash) {
                Ok(()) => return Ok(Some((content, hash))),
                Err(Error::Edited { .. }) if file.is_in_flight => restless += 1,
                Err(error) => return Err(error),
            }
        }
        Err(edited(path))
    }

    /// Where the document lies.
    fn find(&self, path: &DocPath, tries: usize) -> Result<Found, Error> {
        let word = self.pinned.word(self.view, path)?;
        // Its size before the look into `kept/`: what is added after that look is not of the moment.
        let (live, is_leased) = open_unless_leased(self.fs, path)?;
        let kept = self.pinned.images.find(self.fs, self.view, path)?;
        match kept {
            Some(Before::Absent) => return Ok(Found::Absent),
            Some(Before::Document { file, len, mtime, ctime }) => {
                let then = Stamp { size: len, mtime, ctime, ..file.stat()?.stamp };
                let file: Arc<dyn File> = file.into();
                let content = Content::of_file(Arc::clone(&file), len);
                let file =
                    FromFile { file, then, is_linked: true, is_image: true, is_in_flight: false };
                return Ok(Found::Content(content, Some(file)));
            }
            None => {}
        }
        if is_leased && word.as_ref().is_none_or(|word| word.said.base.is_none()) {
            thread::sleep(LEASE_PAUSE);
            return Ok(Found::Again);
        }
        Ok(match (word, live) {
            (Some(word), live) => return self.in_flight(&word, live, tries),
            (None, None) => Found::Absent,
            (None, Some(live)) => {
                let LiveFile { file, stat, .. } = &live;
                let content = Content::of_file(Arc::clone(file), stat.stamp.size);
                Found::Content(content, Some(self.live(&live)))
            }
        })
    }

    fn live(&self, live: &LiveFile) -> FromFile {
        let LiveFile { file, stat, .. } = live;
        let is_linked = self.pinned.is_linked(stat);
        let (file, then) = (Arc::clone(file), stat.stamp);
        FromFile { file, then, is_linked, is_image: false, is_in_flight: false }
    }

    fn in_flight(&self, word: &Word, live: Option<LiveFile>, tries: usize) -> Result<Found, Error> {
        let file = live.as_ref().map(|live| FromFile { is_in_flight: true, ..self.live(live) });
        Ok(match from_word(self.fs, Some(word), live, tries >= PATIENCE)? {
            FromWord::Again => Found::Again,
            FromWord::Absent => Found::Absent,
            FromWord::Content(content) => Found::Content(content, file),
        })
    }

    /// Whether what was added to an image may be ours: while it is the document itself, or after
    /// filepact has added to that. Else somebody has it open still.
    fn may_grow(&self, path: &DocPath, file: &FromFile, now: &Stamp) -> Result<bool, Error> {
        if !file.is_image {
            return Ok(false);
        }
        let is_document =
            open_at(self.fs, path)?.is_some_and(|live| live.stat.stamp.ino == now.ino);
        Ok(is_document || self.pinned.was_added_to(self.view, now.ino)?)
    }

    /// Whether a content that no hash proves is all the same what the document held.
    fn believe(
        &self,
        path: &DocPath,
        file: &FromFile,
        known: Option<&Known>,
        agrees: Agrees,
        hash: Hash,
    ) -> Result<(), Error> {
        let FromFile { then, is_linked, is_image, .. } = file;
        let is_ours = known.is_some_and(|known| known.time == then.mtime);
        if agrees == Agrees::No && is_ours && self.view.has_failed()? {
            return Err(Error::Poisoned);
        }
        let since = self.pinned.since;
        let is_as_it_was = self.pinned.is_as_it_was(agrees, known, then, *is_linked)
            && (*is_image || !self.pinned.was_moved(self.fs, path)?);
        // In the tick of the moment a file is changed without a later time.
        let is_plain = then.is_settled(since);
        match is_as_it_was && (is_plain || self.seen.is_first_or_same(path, hash)) {
            true => Ok(()),
            false => Err(edited(path)),
        }
    }

    fn was_absent(&self, path: &DocPath) -> Result<bool, Error> {
        Ok(self.pinned.was_absent(self.fs, self.view, path)? && !self.seen.was_read(path))
    }

    /// The documents below a directory, sorted.
    pub(crate) fn names(&self, dir: &str) -> Result<Vec<DocPath>, Error> {
        for _ in 0..TRIES {
            if let Some(names) = self.try_names(dir)? {
                return Ok(names);
            }
        }
        Err(Error::Edited { path: format!("{dir}/") })
    }

    /// `None` says to look again: somebody has changed a document between two looks.
    fn try_names(&self, dir: &str) -> Result<Option<Vec<DocPath>>, Error> {
        let words = self.pinned.words(self.view)?;
        let mut names = BTreeSet::from_iter(list(self.fs, dir)?.documents);
        // After the names: who takes one away, or makes one, has kept what was there before.
        let then = self.pinned.images.names(self.fs, self.view)?;
        let known = self.pinned.all_known(self.view, |path| is_below(path, dir));
        let below = |path: &str| is_below(path, dir).then(|| DocPath::new(path).ok()).flatten();
        let changed = self.changed_paths(&then, dir)?;
        let changed = changed.iter().filter(|path| then.was_there(path) == Some(true));
        names.extend(changed.filter_map(|path| below(path)));
        for name in names.iter().filter(|name| then.was_there(name).is_none()) {
            let known = known.get(&**name);
            let is_known = known.is_some_and(|known| known.content.is_some());
            if is_known || words.get(name).is_some() {
                continue;
            }
            match self.is_older(name, known)? {
                Some(true) => continue,
                Some(false) => {}
                None => return Ok(None),
            }
            return match self.pinned.images.names(self.fs, self.view)?.was_there(name) {
                None => Err(edited(name)),
                Some(_) => Ok(None),
            };
        }
        for (path, word) in words.iter() {
            match below(path) {
                Some(path) if word.said.is_removal() => drop(names.remove(&path)),
                Some(path) => drop(names.insert(path)),
                None => {}
            }
        }
        names.retain(|name| then.was_there(name) != Some(false));
        names.extend(then.gone.iter().filter_map(|path| below(path)));
        for (path, _) in known.iter().filter(|(_, known)| known.content.is_some()) {
            if let Some(path) = below(path)
                && !names.contains(&path)
                && !self.was_absent(&path)?
            {
                return Err(edited(&path));
            }
        }
        Ok(Some(names.into_iter().collect()))
    }

    /// What filepact has changed since, and perhaps more: what another program has then removed has its
    /// name in the journal alone.
    fn changed_paths(&self, then: &Names, dir: &str) -> Result<Vec<Arc<str>>, Error> {
        self.view.follow()?;
        let path = |(path, _)| path;
        if let Some(changed) = self.view.changed_since(self.pinned.at) {
            return Ok(changed.into_iter().map(path).collect());
        }
        // The journal has gone meanwhile. The words after the names, which say what has gone of them.
        let live = list(self.fs, "")?.documents;
        self.view.follow()?;
        let known: Vec<_> = self.view.all_known().into_iter().map(path).collect();
        let all = live.iter().map(|path| &**path).chain(known.iter().map(|path| &**path));
        match then.has_others(all) {
            true => Err(Error::Edited { path: format!("{dir}/") }),
            false => Ok(known),
        }
    }

    /// Whether a name of which nobody knows that it was there is older than the moment; `None` if it
    /// has gone since it was listed.
    fn is_older(&self, name: &DocPath, known: Option<&Known>) -> Result<Option<bool>, Error> {
        let agrees = if known.is_some() { Agrees::No } else { Agrees::Perhaps };
        let stat = self.fs.stat(name)?.filter(|stat| stat.kind == Kind::File);
        let Some(stat) = stat else { return Ok(None) };
        let is_linked = self.pinned.is_linked(&stat);
        let is_older = self.pinned.is_as_it_was(agrees, known, &stat.stamp, is_linked)
            || self.pinned.is_quiet(self.fs, name)?;
        Ok(Some(is_older && !self.pinned.was_moved(self.fs, name)?))
    }
}

/// Lets a moment go, and with it what was kept for it alone.
pub(crate) fn release(shared: &Shared, pinned: Pinned) {
    let at = pinned.at;
    drop(pinned);
    // A child of fork has only a copy; and a handle that is closed has nothing to do with the store.
    if shared.check_open().is_err() {
        return;
    }
    shared.writer.release(at);
}

fn edited(path: &DocPath) -> Error {
    Error::Edited { path: path.to_string() }
}
