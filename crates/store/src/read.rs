//! Reading committed documents, without waiting for anybody.
//!
//! Read `state`; open the live file; read `state` again. The last word on the document up to the
//! second *committed* is what counts. If the first *published* covers it, the file that was opened
//! is right: what is published later goes to another inode. Otherwise the word itself says the
//! content, from the journal or from the staged file that it names. A publisher that is stopped or
//! dead half way holds nobody up, and nobody sees the half. Most documents hold what the handle knows of
//! them, and are read [with less](as_known).

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use filepact_commit::{
    Listed, Lost, Observation, Opened, Seen, Stamped, View, list, open_document, stage_body_path,
};
use filepact_fs::{Access, DocPath, File, Fs, FsError, Kind, Stat, Time, read_full};
use filepact_journal::{Body, Change, Hash, Hasher, Word};

use crate::Error;
use crate::content::{Content, Part};
use crate::json::DocBytes;

/// How often a reader begins again because what it was about to read has been published meanwhile.
pub(crate) const TRIES: usize = 10_000;

/// How often a file may change under a reader before the last reading is taken: whoever writes a file
/// in place at this rate never has a settled content to offer.
pub(crate) const PATIENCE: usize = 16;

/// How long to wait before the next look at a file that somebody has for himself. It is that of a
/// publisher for microseconds; another program, such as a file server, gives it back when it is asked.
pub(crate) const LEASE_PAUSE: Duration = Duration::from_micros(100);

/// The bytes of a document, and what was observed; no bytes if it is absent.
pub(crate) fn bytes(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
) -> Result<(Option<DocBytes>, Observation), Error> {
    let (bytes, observation) = match as_known(fs, view, path)? {
        Some((bytes, observation)) => (Some(bytes), observation),
        None => {
            let mut bytes = Vec::new();
            let (content, observation) = observe(fs, view, path, Some(&mut bytes))?;
            (content.map(|_| bytes), observation)
        }
    };
    let hash = observation.seen.hash();
    Ok((bytes.map(|bytes| DocBytes { bytes, hash }), observation))
}

/// The bytes of a document that holds what the handle knows of it: then one look at `state` is enough, after
/// they were read. If the handle knows no later word by then, they are what counts at that moment, whatever
/// became of the file meanwhile. `None` says that more has to be looked at.
fn as_known(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
) -> Result<Option<(Vec<u8>, Observation)>, Error> {
    let Some(known) = view.whole(path) else { return Ok(None) };
    let Ok(len) = usize::try_from(known.len) else { return Ok(None) };
    let taken = fs.now();
    // What fails here says nothing yet: the document may be read from its word.
    let Ok((file, Stat { stamp, .. })) = fs.open_and_stat(path, Access::Read) else {
        return Ok(None);
    };
    // Probably an edit: it need not be read twice.
    if stamp.size != known.len || known.stamp.is_some_and(|known| known.stamp != stamp) {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    let read = read_full(&*file, &mut bytes, 0);
    if !read.is_ok_and(|read| read == len) || Hash::of(&bytes) != known.hash {
        return Ok(None);
    }
    view.follow()?;
    let now = view.whole(path).filter(|now| now.seq == known.seq);
    Ok(now.map(|now| {
        let (hash, stamp) = (known.hash, Some(Stamped { stamp, taken }));
        (bytes, Observation { at: now.at, seen: Seen::Document { hash, stamp } })
    }))
}

/// The content of a document where it lies, and what was observed; none if it is absent.
pub(crate) fn content(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
) -> Result<(Option<Content>, Observation), Error> {
    observe(fs, view, path, None)
}

/// What is at a path, without its bytes.
pub(crate) fn seen(fs: &dyn Fs, view: &View, path: &DocPath) -> Result<Observation, Error> {
    Ok(content(fs, view, path)?.1)
}

/// The live file, as long as it was when it was looked at.
pub(crate) struct LiveFile {
    pub(crate) file: Arc<dyn File>,
    pub(crate) stat: Stat,
    taken: Time,
}

fn observe(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
    mut keep: Option<&mut Vec<u8>>,
) -> Result<(Option<Content>, Observation), Error> {
    let mut restless = 0;
    for _ in 0..TRIES {
        let before = view.follow()?;
        // Its size before the second look at `state`: what is added later is not of this moment.
        let (live, is_leased) = match open_known(fs, view, path)? {
            Some(live) => (Some(live), false),
            None => open_unless_leased(fs, path)?,
        };
        view.follow()?;
        let found = view.find(path);
        // What has become of it since the first look may be forgotten with the journal.
        if before.published < found.reach {
            continue;
        }
        let observed = |seen| Observation { at: found.at, seen };
        // An outside edit was at its path before it was written down.
        let outside = found.word.as_ref().is_some_and(Word::is_outside);
        let is_of_word = found.word.as_ref().is_some_and(|word| word.said.base.is_some());
        if is_leased && (found.seq <= before.published || outside || !is_of_word) {
            thread::sleep(LEASE_PAUSE);
            continue;
        }
        let (content, from_live) =
            if found.seq <= before.published || outside && found.seq <= before.committed {
                match live {
                    None => {
                        // A snapshot that is taken later knows that it was absent by then.
                        view.miss(path, found.seq, fs.now());
                        return Ok((None, observed(Seen::Absent)));
                    }
                    Some(live) => {
                        (Content::of_file(Arc::clone(&live.file), live.stat.stamp.size), Some(live))
                    }
                }
            } else {
                if let Some(word) = found.word.as_ref().filter(|word| word.said.base.is_none()) {
                    // What is added stands behind what is published by now, and another version may have been
                    // since the file was opened.
                    if restless < PATIENCE && !is_still_at(fs, path, live.as_ref())? {
                        restless += 1;
                        continue;
                    }
                    if let Some(live) = &live
                        && view.is_lost_below(word, &*live.file, &live.stat)?
                    {
                        return Err(Error::Poisoned);
                    }
                }
                match from_word(fs, found.word.as_ref(), live, restless >= PATIENCE)? {
                    FromWord::Absent => return Ok((None, observed(Seen::Absent))),
                    FromWord::Content(content) => (content, None),
                    FromWord::Again => {
                        restless += 1;
                        continue;
                    }
                }
            };
        let mut hasher = Hasher::new();
        keep.iter_mut().for_each(|bytes| bytes.clear());
        content.read_pieces(|piece| {
            hasher.update(piece);
            keep.iter_mut().for_each(|bytes| bytes.extend_from_slice(piece));
        })?;
        let hash = hasher.finish();
        let Some(LiveFile { file, stat, taken }) = from_live else {
            return Ok((Some(content), observed(Seen::Document { hash, stamp: None })));
        };
        if file.stat()?.stamp.same_body(&stat.stamp) {
            match view.is_lost(path, found.seq, hash, &stat)? {
                Lost::Yes => return Err(Error::Poisoned),
                Lost::LookAgain if restless < PATIENCE => {
                    restless += 1;
                    continue;
                }
                Lost::LookAgain | Lost::No => {}
            }
            let stamp = Some(Stamped { stamp: stat.stamp, taken });
            return Ok((Some(content), observed(Seen::Document { hash, stamp })));
        }
        // Somebody saves it in place just now, or adds to it: what filepact adds leaves what was read
        // as it is.
        view.follow()?;
        restless += 1;
        if view.seq_of(path) > found.seq || restless >= PATIENCE {
            return Ok((Some(content), observed(Seen::Document { hash, stamp: None })));
        }
    }
    Err(restless_path(path.to_string()))
}

pub(crate) enum FromWord {
    Absent,
    Content(Content),
    /// It has been published since the first look.
    Again,
}

/// The content of a document that may not be at its path yet. `as_it_is` takes a live file that is too
/// short: somebody else has cut it.
pub(crate) fn from_word(
    fs: &dyn Fs,
    word: Option<&Word>,
    live: Option<LiveFile>,
    as_it_is: bool,
) -> Result<FromWord, Error> {
    let Some(Word { said, .. }) = word else { return Ok(FromWord::Again) };
    let appends = said.appends.iter().map(|added| &added.append);
    let mut parts = Vec::new();
    match (said.base.as_ref().map(|base| &base.change), live) {
        (Some(Change::Remove(_)), _) => return Ok(FromWord::Absent),
        (Some(Change::Put(put)), live) => match (&put.body, live) {
            (Body::InPlace, None) => return Ok(FromWord::Again),
            (Body::InPlace, Some(live)) => parts.push(Part::File { file: live.file, len: put.len }),
            (body, _) => match part(fs, body, put.len)? {
                Some(part) => parts.push(part),
                None => return Ok(FromWord::Again),
            },
        },
        (None, live) => {
            let size = live.as_ref().map_or(0, |live| live.stat.stamp.size);
            let offset = said.appends.first().map_or(0, |first| first.append.offset);
            if size < offset && !as_it_is {
                return Ok(FromWord::Again);
            }
            parts.extend(live.map(|live| Part::File { file: live.file, len: size.min(offset) }));
        }
    }
    for append in appends {
        match part(fs, &append.body, append.len)? {
            Some(part) => parts.push(part),
            None => return Ok(FromWord::Again),
        }
    }
    Ok(FromWord::Content(Content::of(parts)))
}

/// A body of the journal; `None` if it has been published, and covered by a checkpoint.
fn part(fs: &dyn Fs, body: &Body, len: u64) -> Result<Option<Part>, Error> {
    match body {
        Body::Inline(bytes) => Ok(Some(Part::Memory(Arc::clone(bytes)))),
        Body::Staged(name) => match fs.open(&stage_body_path(name), Access::Read) {
            Ok(file) => Ok(Some(Part::File { file: file.into(), len })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        },
        Body::InPlace => Ok(None),
    }
}

/// Whether the file that was opened is still the document.
fn is_still_at(fs: &dyn Fs, path: &DocPath, live: Option<&LiveFile>) -> Result<bool, FsError> {
    let now = match fs.stat(path) {
        Err(error) if error.is_link() => None,
        stat => stat?.filter(|stat| stat.kind == Kind::File),
    };
    let file = |stat: &Stat| (stat.stamp.dev, stat.stamp.ino);
    Ok(now.as_ref().map(file) == live.map(|live| file(&live.stat)))
}

/// The document's file, opened without a look at what it is, where a document is known: whatever cannot be
/// opened so is looked at.
fn open_known(fs: &dyn Fs, view: &View, path: &DocPath) -> Result<Option<LiveFile>, FsError> {
    if view.known(path).is_none_or(|known| known.content.is_none()) {
        return Ok(None);
    }
    let taken = fs.now();
    let Ok((file, stat)) = fs.open_and_stat(path, Access::Read) else { return Ok(None) };
    Ok(Some(LiveFile { file: file.into(), stat, taken }))
}

/// As [`open_at`]; `true` says that a publisher has just put another file there, and has not let it go yet.
///
/// It may have been stopped there: what it brings is read from its word.
pub(crate) fn open_unless_leased(
    fs: &dyn Fs,
    path: &DocPath,
) -> Result<(Option<LiveFile>, bool), FsError> {
    match open_at(fs, path) {
        Err(error) if error.is_leased() => Ok((None, true)),
        live => Ok((live?, false)),
    }
}

/// The document's file; a link, a directory or something else holds no document.
pub(crate) fn open_at(fs: &dyn Fs, path: &DocPath) -> Result<Option<LiveFile>, FsError> {
    let taken = fs.now();
    let file = match open_document(fs, path) {
        Ok(Opened::Document(file)) => file,
        Ok(Opened::Absent | Opened::Other(_)) => return Ok(None),
        Err(error) if error.is_link() => return Ok(None),
        Err(error) if error.source.kind() == io::ErrorKind::IsADirectory => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = file.stat()?;
    Ok((stat.kind == Kind::File).then_some(LiveFile { file: file.into(), stat, taken }))
}

/// The documents below `dir`, as of one moment, and the names that are skipped.
pub(crate) fn names(fs: &dyn Fs, view: &View, dir: &str) -> Result<(Listed, Vec<String>), Error> {
    for _ in 0..TRIES {
        let before = view.follow()?;
        let listing = list(fs, dir)?;
        let at = view.follow()?.committed;
        // What came and went since the first look is known by its words.
        let Some(changed) = view.changed_since(before.published) else { continue };
        let mut names: BTreeSet<DocPath> = listing.documents.into_iter().collect();
        for (path, known) in changed.iter().filter(|(path, _)| is_below(path, dir)) {
            if let Ok(path) = DocPath::new(&**path) {
                match known.content {
                    Some(_) => names.insert(path),
                    None => names.remove(&path),
                };
            }
        }
        return Ok((Listed { at, names: names.into_iter().collect() }, listing.skipped));
    }
    Err(restless_path(format!("{dir}/")))
}

/// Whether the path lies below the directory; everything lies below `""`.
pub(crate) fn is_below(path: &str, dir: &str) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

fn restless_path(path: String) -> Error {
    Error::Conflict { paths: vec![path] }
}
