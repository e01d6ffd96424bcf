//! Reading committed documents, without waiting for anybody.
//!
//! Read `state`; open the live file; read `state` again. The last word on the document up to the
//! second *committed* is what counts. If the first *published* covers it, the file that was opened
//! is right: what is published later goes to another inode. Otherwise the word itself says the
//! content, from the journal or from the staged file that it names. A publisher that is stopped or
//! dead half way holds nobody up, and nobody sees the half.

use std::collections::BTreeSet;
use std::io;

use filepact_commit::{
    Observation, Opened, Seen, Steady, View, hash_file, list, open_document, read_steady,
    stage_body_path,
};
use filepact_fs::{Access, DocPath, File, Fs, FsError, Kind, read_to_end};
use filepact_journal::{Body, Change, Hash};

use crate::Error;

/// How often a reader begins again because what it was about to read has been published meanwhile.
const TRIES: usize = 10_000;

/// The bytes of a document, and what was observed; no bytes if it is absent.
pub(crate) fn bytes(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
) -> Result<(Option<Vec<u8>>, Observation), Error> {
    let from_file = |file: Box<dyn File>| {
        let read = read_steady(fs, &*file, read_to_end)?;
        let stamp = Some(read.stamped());
        let seen = Seen::Document { hash: Hash::of(&read.content), stamp };
        Ok((read.content, seen))
    };
    let from_word = |body: WordBody<'_>| match body {
        WordBody::Inline(bytes) => Ok(bytes.to_vec()),
        WordBody::Staged(file) => read_to_end(&*file),
    };
    observe(fs, view, path, from_word, from_file)
}

/// What is at a path, without its bytes.
pub(crate) fn seen(fs: &dyn Fs, view: &View, path: &DocPath) -> Result<Observation, Error> {
    let from_file = |file: Box<dyn File>| {
        let read = read_steady(fs, &*file, hash_file)?;
        Ok(((), Seen::Document { hash: read.content, stamp: Some(read.stamped()) }))
    };
    Ok(observe(fs, view, path, |_| Ok(()), from_file)?.1)
}

/// A document's content where it lies, for a body that need not fit in memory.
#[derive(Debug)]
pub(crate) enum Content {
    /// A small one, from the journal.
    Memory(Vec<u8>),
    /// A file that holds it.
    File(Box<dyn File>),
}

/// The content of a document, to be read later.
pub(crate) fn content(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
) -> Result<(Option<Content>, Observation), Error> {
    let from_file = |file: Box<dyn File>| {
        let Steady { content: hash, stat, taken } = read_steady(fs, &*file, hash_file)?;
        let stamp = Some(filepact_commit::Stamped { stamp: stat.stamp, taken });
        Ok((Content::File(file), Seen::Document { hash, stamp }))
    };
    let from_word = |body: WordBody<'_>| match body {
        WordBody::Inline(bytes) => Ok(Content::Memory(bytes.to_vec())),
        WordBody::Staged(file) => Ok(Content::File(file)),
    };
    observe(fs, view, path, from_word, from_file)
}

/// The body of a put that may not be at its path yet.
enum WordBody<'a> {
    Inline(&'a [u8]),
    Staged(Box<dyn File>),
}

fn observe<T>(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
    from_word: impl Fn(WordBody<'_>) -> Result<T, FsError>,
    from_file: impl Fn(Box<dyn File>) -> Result<(T, Seen), FsError>,
) -> Result<(Option<T>, Observation), Error> {
    for _ in 0..TRIES {
        let before = view.follow()?;
        let live = open_at(fs, path)?;
        view.follow()?;
        let found = view.find(path);
        let observed = |seen| Observation { at: found.at, seen };
        // An outside edit was at its path before it was written down.
        let outside = found.word.as_ref().is_some_and(|word| word.outside);
        if found.seq <= before.published || outside && found.seq <= before.committed {
            return Ok(match live {
                None => (None, observed(Seen::Absent)),
                Some(file) => {
                    let (content, seen) = from_file(file)?;
                    (Some(content), observed(seen))
                }
            });
        }
        let body = match found.word.as_ref().map(|word| &word.change) {
            Some(Change::Remove(_)) => return Ok((None, observed(Seen::Absent))),
            Some(Change::Put(put)) => put,
            // Published since the first look.
            None => continue,
        };
        let seen = Seen::Document { hash: body.hash, stamp: None };
        match &body.body {
            Body::Inline(bytes) => {
                return Ok((Some(from_word(WordBody::Inline(bytes))?), observed(seen)));
            }
            Body::Staged(name) => match fs.open(&stage_body_path(name), Access::Read) {
                Ok(file) => return Ok((Some(from_word(WordBody::Staged(file))?), observed(seen))),
                // Published, and covered by a checkpoint.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            },
            Body::InPlace => {}
        }
    }
    Err(restless(path.to_string()))
}

/// The document's file; a link, a directory or something else holds no document.
fn open_at(fs: &dyn Fs, path: &DocPath) -> Result<Option<Box<dyn File>>, FsError> {
    match open_document(fs, path) {
        Ok(Opened::Document(file)) => Ok((file.stat()?.kind == Kind::File).then_some(file)),
        Ok(Opened::Absent | Opened::Other(_)) => Ok(None),
        Err(error) if error.is_link() => Ok(None),
        Err(error) if error.source.kind() == io::ErrorKind::IsADirectory => Ok(None),
        Err(error) => Err(error),
    }
}

/// The documents below `dir`, as of one moment, and the names that are skipped.
pub(crate) fn names(
    fs: &dyn Fs,
    view: &View,
    dir: &str,
) -> Result<(Vec<DocPath>, Vec<String>), Error> {
    for _ in 0..TRIES {
        let before = view.follow()?;
        let listing = list(fs, dir)?;
        view.follow()?;
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
        return Ok((names.into_iter().collect(), listing.skipped));
    }
    Err(restless(format!("{dir}/")))
}

/// Whether the path lies below the directory; everything lies below `""`.
pub(crate) fn is_below(path: &str, dir: &str) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

fn restless(path: String) -> Error {
    Error::Conflict { paths: vec![path] }
}
