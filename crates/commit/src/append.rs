//! C8 for appends: bytes go to the end of a document, where others may add to it as well.
//!
//! An append is not a swap: it changes the document's own inode. So it is written with `O_APPEND`,
//! and what a crash left of it is [finished](finish) without overwriting or cutting a byte that is
//! not ours.

use std::io;

use filepact_fs::{Access, File, Fs, FsError, Stat, Time, parent_of, read_full, write_all};
use filepact_journal::{Added, Append, Body, Change, Put, Said};

use crate::live::{Opened, hash_part, open_past_links};
use crate::outside::make_parents;
use crate::stage_body_path;

/// How often a document may come and go while it is to be added to.
const PATIENCE: usize = 16;

/// Bytes in memory at a time.
const PIECE: usize = 256 * 1024;

/// Adds the bytes at the end of the document, in order; makes it of them if somebody has removed it
/// since. Returns what `stat` says then.
pub(crate) fn add(fs: &dyn Fs, path: &str, appends: &[Added], time: Time) -> Result<Stat, FsError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let file = match fs.open(path, Access::Append) {
            Err(error) if error.is_not_found() => match make(fs, path, appends) {
                // Somebody was faster.
                Err(error) if error.is_exists() && tries < PATIENCE => continue,
                made => return made,
            },
            file => file?,
        };
        write_behind(fs, &*file, appends, 0)?;
        return stamp_time(&*file, appends, time);
    }
}

/// The commit's time is for a document that holds what was committed, and nothing of anybody else.
fn stamp_time(file: &dyn File, appends: &[Added], time: Time) -> Result<Stat, FsError> {
    let stat = file.stat()?;
    if end_of(appends) != Some(stat.stamp.size) || stat.stamp.mtime == time {
        return Ok(stat);
    }
    match file.set_mtime(time) {
        // Somebody else's document, which we may add to and not give a time: it is known by its content.
        Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {}
        set => set?,
    }
    file.stat()
}

/// Where a document ends that holds these as its last bytes.
pub(crate) fn end_of(appends: &[Added]) -> Option<u64> {
    appends.last().map(|Added { append, .. }| append.offset + append.len)
}

/// Finishes what may have been begun: afterwards the document holds the bytes of every append.
///
/// First, in order: where the document reaches the offset and each byte of the range is ours, zero or
/// past the end, the bytes are put there. Then the others, before which somebody else has added
/// something: where the bytes stand whole between their offset and the next append's, they are there;
/// where they fit just before the next one, over nothing but zeros, they are put there; else they are
/// added at the end. So a crash can leave a torn line of ours where somebody else has added something
/// at the same time, with the whole line behind it.
pub fn finish(fs: &dyn Fs, path: &str, appends: &[Added], time: Time) -> Result<(), FsError> {
    let Opened::Document(file) = open_past_links(fs, path)? else {
        return add(fs, path, appends, time).map(drop);
    };
    let mut others = Vec::new();
    for (at, Added { append, .. }) in appends.iter().enumerate() {
        match compare(fs, &*file, append)? {
            Range::Ours => {}
            Range::Torn { size } => put_in_place(fs, path, append, append.offset, size)?,
            Range::Foreign => others.push(at),
        }
    }
    for at in others {
        if is_there(fs, &*file, appends, at)? {
            continue;
        }
        let append = &appends[at].append;
        let size = file.stat()?.stamp.size;
        let place = window_end(appends, at, size).saturating_sub(append.len);
        if place > append.offset
            && Bytes::open(fs, append)?.may_stand_at(&*file, place, append.len)?
        {
            put_in_place(fs, path, append, place, size)?;
        } else {
            let end = fs.open(path, Access::Append)?;
            write_behind(fs, &*end, &appends[at..=at], 0)?;
        }
    }
    stamp_time(&*file, appends, time).map(drop)
}

/// Whether the bytes of every append are in the file, each behind its offset.
pub fn are_there(fs: &dyn Fs, file: &dyn File, appends: &[Added]) -> Result<bool, FsError> {
    for (at, Added { append, .. }) in appends.iter().enumerate() {
        let in_place = matches!(compare(fs, file, append)?, Range::Ours);
        if !in_place && !is_there(fs, file, appends, at)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds the bytes of these appends to a file that is on its way to being the document.
pub(crate) fn add_to_staged(
    fs: &dyn Fs,
    file: &dyn File,
    appends: &[Added],
) -> Result<(), FsError> {
    let end = file.stat()?.stamp.size;
    write_behind(fs, file, appends, end)
}

/// A document of these bytes alone, whole from its first moment.
fn make(fs: &dyn Fs, path: &str, appends: &[Added]) -> Result<Stat, FsError> {
    make_parents(fs, path, 0o777)?;
    let file = fs.create_unnamed(parent_of(path))?;
    write_behind(fs, &*file, appends, 0)?;
    file.link(path)?;
    file.stat()
}

/// Writes the bytes from `offset` on, which means nothing if the file was opened to append.
fn write_behind(
    fs: &dyn Fs,
    file: &dyn File,
    appends: &[Added],
    mut offset: u64,
) -> Result<(), FsError> {
    // Together, so that a plain reader finds all of a group or none of it, most of the time.
    let mut pending = Vec::new();
    for Added { append, .. } in appends {
        let bytes = Bytes::open(fs, append)?;
        for piece in bytes.pieces(append.len) {
            let piece = piece?;
            if pending.len() + piece.len() > PIECE {
                write_all(file, &pending, offset)?;
                offset += pending.len() as u64;
                pending.clear();
            }
            pending.extend_from_slice(&piece);
        }
    }
    Ok(write_all(file, &pending, offset)?)
}

/// Puts the bytes where they belong, in a file of `size` bytes: what lies within it is ours or zero;
/// what lies beyond is added at the end, wherever that is by then.
fn put_in_place(
    fs: &dyn Fs,
    path: &str,
    append: &Append,
    mut offset: u64,
    size: u64,
) -> Result<(), FsError> {
    let bytes = Bytes::open(fs, append)?;
    let (inside, end) = (fs.open(path, Access::Write)?, fs.open(path, Access::Append)?);
    for piece in bytes.pieces(append.len) {
        let piece = piece?;
        let within = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (within, beyond) = piece.split_at(within.min(piece.len()));
        write_all(&*inside, within, offset)?;
        write_all(&*end, beyond, 0)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// Whether the file can be what a power cut has left of one with the first `len` bytes of `copy`.
pub fn is_torn_from(file: &dyn File, copy: Box<dyn File>, len: u64) -> Result<bool, FsError> {
    Bytes::File(copy).may_stand_at(file, 0, len)
}

/// Whether the file can be what a power cut has left of a version of ours: each byte that was not
/// durable is ours, or zero, or not there.
pub fn is_torn(fs: &dyn Fs, file: &dyn File, said: &Said) -> Result<bool, FsError> {
    let size = file.stat()?.stamp.size;
    let durable = match said.base.as_ref().map(|base| &base.change) {
        Some(Change::Remove(_)) => return Ok(false),
        Some(Change::Put(Put { body: Body::Inline(bytes), .. })) => {
            if !Bytes::Memory(bytes).may_stand_at(file, 0, bytes.len() as u64)? {
                return Ok(false);
            }
            None
        }
        Some(Change::Put(put)) => Some((put.len, Some(put.hash))),
        None => said.appends.first().map(|first| (first.append.was.size, first.append.was.hash)),
    };
    if let Some((len, hash)) = durable
        && (size < len
            || hash.is_none_or(|hash| !hash_part(file, 0, len).is_ok_and(|now| now == hash)))
    {
        return Ok(false);
    }
    let mut end = said.put().map(|put| put.len).or(durable.map(|(len, _)| len)).unwrap_or_default();
    for Added { append, .. } in &said.appends {
        let bytes = Bytes::open(fs, append)?;
        if append.offset != end || !bytes.may_stand_at(file, end, append.len)? {
            return Ok(false);
        }
        end += append.len;
    }
    Ok(size <= end)
}

/// What stands where the bytes of an append belong.
enum Range {
    /// These bytes.
    Ours,
    /// Some of them, zeros and the end of the file, which has `size` bytes.
    Torn { size: u64 },
    /// Something else.
    Foreign,
}

fn compare(fs: &dyn Fs, file: &dyn File, append: &Append) -> Result<Range, FsError> {
    let size = file.stat()?.stamp.size;
    if size < append.offset {
        return Ok(Range::Foreign);
    }
    let bytes = Bytes::open(fs, append)?;
    Ok(if bytes.stand_at(file, append.offset, append.len)? {
        Range::Ours
    } else if bytes.may_stand_at(file, append.offset, append.len)? {
        Range::Torn { size }
    } else {
        Range::Foreign
    })
}

/// Whether the bytes stand whole behind their offset, before the next append's.
fn is_there(fs: &dyn Fs, file: &dyn File, appends: &[Added], at: usize) -> Result<bool, FsError> {
    let append = &appends[at].append;
    let end = window_end(appends, at, file.stat()?.stamp.size);
    let bytes = Bytes::open(fs, append)?;
    let head =
        bytes.pieces(append.len.min(PIECE as u64 / 2)).next().transpose()?.unwrap_or_default();
    let finder = memchr::memmem::Finder::new(&head);
    let rest = usize::try_from(end.saturating_sub(append.offset)).unwrap_or(PIECE);
    let mut window = vec![0; rest.min(PIECE)];
    let mut offset = append.offset;
    while offset + append.len <= end {
        let read = read_full(file, &mut window, offset)?;
        for found in finder.find_iter(&window[..read]) {
            let start = offset + found as u64;
            if start + append.len <= end && bytes.stand_at(file, start, append.len)? {
                return Ok(true);
            }
        }
        if read < window.len() {
            break;
        }
        // What begins within the last bytes of this window stands whole in the next.
        offset += (window.len() - head.len() + 1) as u64;
    }
    Ok(false)
}

/// Where the bytes of an append end at the latest: before the next one's, in a file of `size` bytes.
fn window_end(appends: &[Added], at: usize, size: u64) -> u64 {
    let offset = appends[at].append.offset;
    let next = appends.get(at + 1).map(|next| next.append.offset);
    next.filter(|next| *next > offset).map_or(size, |next| next.min(size))
}

/// The bytes of an append, wherever they are.
enum Bytes<'a> {
    Memory(&'a [u8]),
    File(Box<dyn File>),
}

impl<'a> Bytes<'a> {
    fn open(fs: &dyn Fs, append: &'a Append) -> Result<Self, FsError> {
        Ok(match &append.body {
            Body::Inline(bytes) => Self::Memory(bytes),
            Body::Staged(name) => Self::File(fs.open(&stage_body_path(name), Access::Read)?),
            Body::InPlace => unreachable!("no append is read without a body"),
        })
    }

    /// All of them, `len` in number, in pieces.
    fn pieces(&self, len: u64) -> impl Iterator<Item = Result<Vec<u8>, FsError>> + '_ {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let want = usize::try_from(len - offset).unwrap_or(usize::MAX).min(PIECE);
            if want == 0 {
                return None;
            }
            let piece = self.piece(offset, want);
            offset += want as u64;
            Some(piece)
        })
    }

    fn piece(&self, offset: u64, want: usize) -> Result<Vec<u8>, FsError> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).expect("within memory");
                Ok(bytes[start..start + want].to_vec())
            }
            Self::File(file) => {
                let mut piece = vec![0; want];
                if read_full(&**file, &mut piece, offset)? < want {
                    let source = io::ErrorKind::UnexpectedEof;
                    return Err(FsError::new("read", "the body of an append", source));
                }
                Ok(piece)
            }
        }
    }

    /// Whether these bytes stand there.
    fn stand_at(&self, file: &dyn File, offset: u64, len: u64) -> Result<bool, FsError> {
        self.agree(file, offset, len, |ours, found| ours == found)
    }

    /// Whether nothing else stands there: these bytes, zeros, or the end of the file.
    fn may_stand_at(&self, file: &dyn File, offset: u64, len: u64) -> Result<bool, FsError> {
        let agree = |ours: &[u8], found: &[u8]| {
            ours.iter().zip(found).all(|(ours, found)| *found == 0 || ours == found)
        };
        self.agree(file, offset, len, agree)
    }

    fn agree(
        &self,
        file: &dyn File,
        mut offset: u64,
        len: u64,
        agree: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Result<bool, FsError> {
        let mut found = Vec::new();
        for piece in self.pieces(len) {
            let piece = piece?;
            found.resize(piece.len(), 0);
            let read = read_full(file, &mut found, offset)?;
            if !agree(&piece, &found[..read]) {
                return Ok(false);
            }
            offset += piece.len() as u64;
        }
        Ok(true)
    }
}
