//! Is it a version of ours, or what a power cut has made of some?

use filepact_fs::{Access, File, Fs, FsError, Stamp, Stat, read_to_end};
use filepact_journal::{Body, Hash, Hasher, Said, Was, Word};

use crate::is_torn;

/// The least part of a file that a disk writes whole, in bytes.
pub(crate) const SECTOR: usize = 512;

/// Whether the file at `at` is a version that the path had before, as far back as the last
/// checkpoint's, or what a power cut has made of one, or of the word itself.
pub fn is_earlier(
    fs: &dyn Fs,
    at: &str,
    found: (&Stat, Hash),
    word: &Word,
) -> Result<bool, FsError> {
    // Validation has found none of the versions there that are known: an edit, or one and what was added to
    // it, which the words before this one have taken for what was there.
    let is_edited = word.was().is_some_and(|was| was.hash.is_none() && was.ino == 0);
    match is_edited {
        true => is_one_of(fs, at, found, word, (&[], &[])),
        false => is_version(fs, at, found, word),
    }
}

/// Whether the file is one which the body of the word has displaced, though it begins with that body: it holds
/// neither the word nor what a power cut has left of it, and has the inode of a version before, and no later time.
/// No body goes to the inode of the version that it displaces; what is written later to one that has its number
/// again has a later time.
pub fn is_displaced(fs: &dyn Fs, at: &str, stat: &Stat, word: &Word) -> Result<bool, FsError> {
    Ok(word.said.put().is_some()
        && stat.stamp.mtime != word.time
        && word.seen().any(|was| was.ino == stat.stamp.ino && stat.stamp.mtime <= was.mtime)
        && !is_torn(fs, &*fs.open(at, Access::Read)?, &word.said)?)
}

/// As [`is_earlier`], also where the word has found an edit: of a file that was displaced before.
pub(crate) fn is_version(
    fs: &dyn Fs,
    at: &str,
    found: (&Stat, Hash),
    word: &Word,
) -> Result<bool, FsError> {
    let seen: Vec<_> = word.seen().collect();
    is_one_of(fs, at, found, word, (&seen, &word.earlier))
}

/// Whether this is a version that the path has had since the last checkpoint, or the one before, whole: where no
/// power was cut.
pub fn is_whole_version((stat, hash): (&Stat, Hash), word: &Word) -> bool {
    let said = word.earlier.iter().chain([&word.said]);
    word.seen().any(|was| is(was, stat, hash))
        || said.into_iter().any(|said| said.hash() == Some(hash))
}

/// Whether this is an earlier version, over which as much of the word's own body was written as a process got
/// done before it died.
///
/// Only where the word was on its way when somebody may have died, and not of what was plainly saved before its
/// commit: that may be an edit which puts a part of an older version back.
pub(crate) fn is_cut_short(
    fs: &dyn Fs,
    at: &str,
    stat: &Stat,
    word: &Word,
) -> Result<bool, FsError> {
    let saved = Stamp { ctime: stat.stamp.mtime, ..stat.stamp };
    let Some(body) = bytes_of(&word.said).filter(|_| !saved.is_settled(word.time)) else {
        return Ok(false);
    };
    let earlier: Vec<_> = word.earlier.iter().filter_map(bytes_of).collect();
    let longest = earlier.iter().map(Vec::len).max().unwrap_or_default().max(body.len());
    let file = fs.open(at, Access::Read)?;
    if file.stat()?.stamp.size > longest as u64 {
        return Ok(false);
    }
    let found = read_to_end(&*file)?;
    Ok(earlier.iter().any(|earlier| {
        // Over a longer one it is written to the end of a sector, before the rest is cut.
        let mut written = body.clone();
        written.resize(body.len().max(earlier.len().min(body.len().next_multiple_of(SECTOR))), 0);
        let done = written.iter().zip(&found).take_while(|(ours, found)| ours == found).count();
        found[done..] == earlier[done.min(earlier.len())..]
    }))
}

fn is(was: &Was, stat: &Stat, hash: Hash) -> bool {
    match was.hash {
        Some(known) => hash == known,
        None => {
            (stat.stamp.size, stat.stamp.mtime, stat.stamp.ino) == (was.size, was.mtime, was.ino)
        }
    }
}

fn is_one_of(
    fs: &dyn Fs,
    at: &str,
    (stat, hash): (&Stat, Hash),
    word: &Word,
    (seen, earlier): (&[&Was], &[Said]),
) -> Result<bool, FsError> {
    if seen.iter().any(|was| is(was, stat, hash))
        || earlier.iter().any(|said| said.hash() == Some(hash))
        || is_zeros(stat.stamp.size, hash)
    {
        return Ok(true);
    }
    let file = fs.open(at, Access::Read)?;
    let said = || earlier.iter().chain([&word.said]);
    for said in said() {
        if is_torn(fs, &*file, said)? {
            return Ok(true);
        }
    }
    is_mixed(&*file, said())
}

/// An empty file, or nothing but zeros: what a power cut makes of a file that was never synced.
fn is_zeros(size: u64, hash: Hash) -> bool {
    let zeros = [0; 64 * 1024];
    let mut hasher = Hasher::new();
    let mut left = size;
    while left > 0 {
        let piece = left.min(zeros.len() as u64);
        hasher.update(&zeros[..usize::try_from(piece).expect("at most 64 KiB")]);
        left -= piece;
    }
    hasher.finish() == hash
}

/// What a power cut makes of a spare that was overwritten: each sector is that of one of the versions that
/// it has held, or a part of it, or was not written yet.
fn is_mixed<'a>(
    file: &dyn File,
    versions: impl Iterator<Item = &'a Said>,
) -> Result<bool, FsError> {
    let versions: Vec<_> = versions.filter_map(bytes_of).collect();
    let longest = versions.iter().map(Vec::len).max().unwrap_or_default();
    if versions.len() < 2 || file.stat()?.stamp.size > longest as u64 {
        return Ok(false);
    }
    let found = read_to_end(file)?;
    let mut sectors = found.chunks(SECTOR).zip((0..).step_by(SECTOR));
    Ok(sectors.all(|(sector, at)| {
        versions.iter().any(|version| {
            let ours = version.get(at..).unwrap_or_default().iter().map(Some);
            let ours = ours.chain(std::iter::repeat(None));
            sector.iter().zip(ours).all(|(byte, ours)| *byte == 0 || Some(byte) == ours)
        })
    }))
}

/// The bytes of a version that lies in the journal whole: no other is ever written over another.
fn bytes_of(said: &Said) -> Option<Vec<u8>> {
    let inline = |body: &'_ Body| match body {
        Body::Inline(bytes) => Some(bytes.clone()),
        Body::Staged(_) | Body::InPlace => None,
    };
    let mut bytes = inline(&said.put()?.body)?.to_vec();
    for added in &said.appends {
        if added.append.offset != bytes.len() as u64 {
            return None;
        }
        bytes.extend_from_slice(&inline(&added.append.body)?);
    }
    Some(bytes)
}
