//! C8 for those who read an older moment: what a publish is about to change stays for them.
//!
//! A pin is a file in `pins/` that its owner holds locked; it contains the seq at which its owner
//! reads, once that is known. A reader **pins first, then** reads `state`; a publisher writes
//! *committed*, **then** looks for pins. So whoever reads before *committed* has a pin that the
//! publisher sees, and whoever pins later reads what is published.
//!
//! Before a publish changes a document, an image of it goes into `kept/`, named by the hash of the
//! path, the transaction, and the size and times that the document had: a link to the inode, which
//! costs nothing, or, where there was no document, an empty marker. At its own moment a reader finds in
//! the lowest entry above its pin, cut to its length, what the document held; without an entry it is
//! the live file. What is committed and not yet published at its moment it takes from the journal, as
//! every reader does, until it is published: so a pin needs no segment and no staged file.
//!
//! ```text
//! pin      made by a reader, before it reads `state`
//! keep     by a publisher, before it changes a document
//! images   looked up by a reader, after it has opened the live file
//! sweep    what no pin needs any more
//! cost     what pins cost, for people
//! ```

mod cost;
mod images;
mod keep;
mod pin;
mod sweep;

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use filepact_fs::{Access, Fs, FsError, Lock, LockKind, Stat, Time, read_to_end};

use crate::{KEPT, PINS};

pub use cost::{HeldPin, held_pins};
pub(crate) use images::linked_now;
pub use images::{Before, Images, Names};
pub(crate) use keep::Pins;
pub(crate) use pin::Pin;
pub use sweep::{sweep_all_kept, sweep_kept, sweep_kept_alone};

/// The image of a document that was absent.
const ABSENT: &str = "absent";
/// The end of the name of the file that contains a path: a hash does not say what was removed.
const NAMED: &str = "path";

/// The seq of each pin that somebody holds; `None` for one that does not say it yet. Pins without an
/// owner are removed.
fn held(fs: &dyn Fs) -> Result<Vec<Option<u64>>, FsError> {
    let mut held = Vec::new();
    for at in names(fs)? {
        match look_at(fs, &at)? {
            Look::Gone => {}
            Look::Dead(_lock) => unlink_if_there(fs, &at)?,
            Look::Held { says, .. } => held.push(says),
        }
    }
    Ok(held)
}

fn names(fs: &dyn Fs) -> Result<impl Iterator<Item = String>, FsError> {
    let names = fs.list(PINS)?.into_iter().filter_map(|entry| entry.name.into_string().ok());
    Ok(names.map(|name| format!("{PINS}/{name}")))
}

/// What there is of a pin.
enum Look {
    Gone,
    /// Nobody has it. Who removes it does so with its lock: else somebody could have it by then.
    Dead(Box<dyn Lock>),
    Held {
        says: Option<u64>,
        since: Time,
    },
}

fn look_at(fs: &dyn Fs, at: &str) -> Result<Look, FsError> {
    // One that can be locked has no owner: its process is dead, or has not locked it yet, and makes
    // another one then.
    let lock = match fs.lock(at, LockKind::Exclusive, Duration::ZERO) {
        Err(error) if error.is_not_found() => return Ok(Look::Gone),
        // Another user's: whether somebody has it, and what it says, we may not know.
        Err(error) if is_denied(&error) => {
            let held = |stat: Stat| Look::Held { says: None, since: stat.stamp.mtime };
            return Ok(fs.stat(at)?.map_or(Look::Gone, held));
        }
        lock => lock?,
    };
    if let Some(lock) = lock {
        return Ok(Look::Dead(lock));
    }
    let file = match fs.open(at, Access::Read) {
        Err(error) if error.is_not_found() => return Ok(Look::Gone),
        file => file?,
    };
    let says = seq_in(&read_to_end(&*file)?);
    Ok(Look::Held { says, since: file.stat()?.stamp.mtime })
}

fn is_denied(error: &FsError) -> bool {
    error.source.kind() == io::ErrorKind::PermissionDenied
}

/// What a pin says: a number counts once its line has ended, since half of it is another number.
fn seq_in(said: &[u8]) -> Option<u64> {
    str::from_utf8(said).ok()?.strip_suffix('\n')?.parse().ok()
}

/// Others sweep as well.
fn unlink_if_there(fs: &dyn Fs, path: &str) -> Result<(), FsError> {
    match fs.unlink(path) {
        Err(error) if error.is_not_found() => Ok(()),
        unlinked => unlinked,
    }
}

/// What lies in `kept/`.
#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Entry>,
    /// The hashes whose paths are said.
    named: BTreeSet<String>,
}

/// An image, or a marker.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    /// The hash of its path.
    path: String,
    txn: u64,
    image: Image,
}

impl Kept {
    fn list(fs: &dyn Fs) -> Result<Self, FsError> {
        let mut kept = Self::default();
        for name in fs.list(KEPT)?.into_iter().filter_map(|entry| entry.name.into_string().ok()) {
            let Some((path, rest)) = name.split_once('.') else { continue };
            if rest == NAMED {
                kept.named.insert(path.to_owned());
            } else if let Some((txn, rest)) = rest.split_once('.')
                && let (Ok(txn), Some(image)) = (txn.parse(), parse(rest))
            {
                kept.entries.push(Entry { path: path.to_owned(), txn, image, name });
            }
        }
        Ok(kept)
    }
}

/// What a name in `kept/` says of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    Absent,
    Document { len: u64, mtime: Time, ctime: Time },
}

fn entry_path(path_hash: &str, txn: u64, image: &Image) -> String {
    match image {
        Image::Absent => format!("{KEPT}/{path_hash}.{txn}.{ABSENT}"),
        Image::Document { len, mtime, ctime } => {
            format!("{KEPT}/{path_hash}.{txn}.{len}.{}.{}", mtime.0, ctime.0)
        }
    }
}

/// What says the path of this hash.
fn name_path(path_hash: &str) -> String {
    format!("{KEPT}/{path_hash}.{NAMED}")
}

/// `absent`, or length, mtime and ctime.
fn parse(rest: &str) -> Option<Image> {
    if rest == ABSENT {
        return Some(Image::Absent);
    }
    let mut parts = rest.split('.');
    let len = parts.next()?.parse().ok()?;
    let mut time = || parts.next()?.parse().ok().map(Time);
    Some(Image::Document { len, mtime: time()?, ctime: time()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_says_nothing_until_its_line_has_ended() {
        assert_eq!(seq_in(b"17\n"), Some(17));
        for half in [&b""[..], b"1", b"17", b"\n", b"x\n", b"17\n1"] {
            assert_eq!(seq_in(half), None, "{half:?}");
        }
    }

    #[test]
    fn an_image_is_named_by_what_the_document_was() {
        let image =
            |len, mtime, ctime| Image::Document { len, mtime: Time(mtime), ctime: Time(ctime) };
        assert_eq!(parse("absent"), Some(Image::Absent));
        assert_eq!(parse("5.-7.9"), Some(image(5, -7, 9)));
        for other in ["", "5", "5.7", "path", "x.1.2", "-1.2.3"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
