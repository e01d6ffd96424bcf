//! Reading committed documents, without waiting.
//!
//! A document that is committed and not at its path yet is read from its word; everything else from
//! its file. What was read from a file counts only if the view says the same afterwards: no commit
//! has touched the path in between.

use std::collections::BTreeSet;
use std::io;

use filepact_commit::{
    Found, Live, Observation, Seen, Stamped, View, list, look, read_live, stage_body_path,
};
use filepact_fs::{Access, DocPath, File, Fs, FsError, Kind, read_to_end};
use filepact_journal::{Body, Change, Hash};

use crate::Error;

/// How often a reader begins again because a commit has touched what it reads.
const TRIES: usize = 10_000;

/// The bytes of a document, and what was observed; no bytes if it is absent.
pub(crate) fn bytes(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
) -> Result<(Option<Vec<u8>>, Observation), Error> {
    observe(
        view,
        path,
        |put| match put {
            InFlight::Inline(bytes) => Ok(Some(bytes.to_vec())),
            InFlight::File(at) => {
                opened(fs.open(&at, Access::Read))?.map(|f| read_to_end(&*f)).transpose()
            }
        },
        || {
            Ok(match read_live(fs, path)? {
                None => (None, Seen::Absent),
                Some((bytes, stamp)) => {
                    let hash = Hash::of(&bytes);
                    (Some(bytes), Seen::Document { hash, stamp: Some(stamp) })
                }
            })
        },
    )
}

/// What is at a path, without its bytes.
pub(crate) fn seen(fs: &dyn Fs, view: &View, path: &DocPath) -> Result<Observation, Error> {
    let live = || {
        Ok(match look(fs, path)? {
            Live::Document { stat, taken, hash } => {
                let stamp = Some(Stamped { stamp: stat.stamp, taken });
                (Some(()), Seen::Document { hash, stamp })
            }
            Live::Absent | Live::Other(_) => (None, Seen::Absent),
        })
    };
    Ok(observe(view, path, |_| Ok(Some(())), live)?.1)
}

/// An open file with the document's content, for a body that need not fit in memory.
pub(crate) fn file(
    fs: &dyn Fs,
    view: &View,
    path: &DocPath,
) -> Result<(Option<Box<dyn File>>, Observation), Error> {
    let live = || {
        let Some(file) = opened(fs.open(path, Access::Read))? else {
            return Ok((None, Seen::Absent));
        };
        let taken = fs.now();
        let stat = file.stat()?;
        let hash = filepact_commit::hash_file(&*file)?;
        let stamp = Some(Stamped { stamp: stat.stamp, taken });
        Ok((Some(file), Seen::Document { hash, stamp }))
    };
    observe(
        view,
        path,
        |put| match put {
            InFlight::Inline(bytes) => {
                // Nothing to open yet: an unnamed file stands in, and goes with its handle.
                let file = fs.create_unnamed(filepact_commit::STAGE)?;
                filepact_fs::write_all(&*file, bytes, 0)?;
                Ok(Some(file))
            }
            InFlight::File(at) => opened(fs.open(&at, Access::Read)),
        },
        live,
    )
}

/// The body of a put that is not at its path yet.
enum InFlight<'a> {
    Inline(&'a [u8]),
    File(String),
}

fn observe<T>(
    view: &View,
    path: &DocPath,
    in_flight: impl Fn(InFlight<'_>) -> Result<Option<T>, FsError>,
    live: impl Fn() -> Result<(Option<T>, Seen), FsError>,
) -> Result<(Option<T>, Observation), Error> {
    for _ in 0..TRIES {
        let Found { at, seq, in_flight: word } = view.find(path);
        let observed = |seen| Observation { at, seen };
        match word.map(|word| word.change) {
            Some(Change::Remove(_)) => return Ok((None, observed(Seen::Absent))),
            Some(Change::Put(put)) => {
                let body = match &put.body {
                    Body::Inline(bytes) => in_flight(InFlight::Inline(bytes))?,
                    Body::Staged(name) => in_flight(InFlight::File(stage_body_path(name)))?,
                    Body::InPlace => in_flight(InFlight::File(path.to_string()))?,
                };
                // A staged body that is gone has been published and covered: look at the file.
                if let Some(content) = body {
                    let seen = Seen::Document { hash: put.hash, stamp: None };
                    return Ok((Some(content), observed(seen)));
                }
            }
            None => {
                let (content, seen) = live().or_else(|error| {
                    // A link on the way, or a directory at the end, holds no document.
                    if error.is_link() { Ok((None, Seen::Absent)) } else { Err(error) }
                })?;
                let after = view.find(path);
                if after.seq == seq && after.in_flight.is_none() {
                    return Ok((content, observed(seen)));
                }
            }
        }
    }
    Err(restless(path.to_string()))
}

/// The documents below `dir`, as of one moment; commits that touch it are read from their words.
pub(crate) fn names(
    fs: &dyn Fs,
    view: &View,
    dir: &str,
) -> Result<(Vec<DocPath>, Vec<String>), Error> {
    for _ in 0..TRIES {
        let (committed, in_flight) = (view.committed(), view.in_flight());
        let listing = list(fs, dir)?;
        if view.committed() != committed || view.in_flight().len() != in_flight.len() {
            continue;
        }
        let mut names: BTreeSet<DocPath> = listing.documents.into_iter().collect();
        for (path, word) in in_flight.iter() {
            let below =
                dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
            if let (true, Ok(path)) = (below, DocPath::new(path)) {
                match word.change {
                    Change::Put(_) => names.insert(path),
                    Change::Remove(_) => names.remove(&path),
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

/// A document that is not there is no error, and neither is a directory in its place.
fn opened(file: Result<Box<dyn File>, FsError>) -> Result<Option<Box<dyn File>>, FsError> {
    match file {
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) if error.source.kind() == io::ErrorKind::IsADirectory => Ok(None),
        file => {
            let file = file?;
            Ok((file.stat()?.kind == Kind::File).then_some(file))
        }
    }
}

fn restless(path: String) -> Error {
    Error::Conflict { paths: vec![path] }
}
