//! How a segment comes into being: whole, synced, and only then named.
//!
//! Most of the time that takes goes into making its blocks. That can be done before: a [`Blank`].

use filepact_fs::{File, Fs, FsError, Rename, SyncKind, give_to_owner_of, write_all};

use crate::segment::{JOURNAL_DIR, PADDING, birth_size};
use crate::{AppendError, Header, segment_path};

/// How the name begins under which a segment lies before it has its own; no reader looks there.
///
/// No such name is used twice: a power cut can keep the rename of one birth and lose the names that
/// it rests on, and what an earlier birth left under the same name would become the segment.
const UNBORN: &str = "new.";

/// The newest segment, open for writing.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) file: Box<dyn File>,
    /// Its full size in bytes, which never changes.
    pub(crate) size: u64,
}

/// A segment to be: padding from end to end, without a name. Nothing is left of it if its holder dies.
#[derive(Debug)]
pub struct Blank {
    file: Box<dyn File>,
    size: u64,
}

impl Blank {
    /// Makes one of this size in bytes. Whoever may write to the journal may, whoever else has the turn. `None`
    /// where the file system has no files without a name: what stands in for one outlives its holder.
    ///
    /// # Errors
    /// What these calls answer; the journal does not need it.
    pub fn make(fs: &dyn Fs, size: u64) -> Result<Option<Self>, FsError> {
        let file = fs.create_unnamed(JOURNAL_DIR)?;
        if file.stat()?.nlink > 0 {
            return Ok(None);
        }
        file.set_mode(0o600)?;
        give_to_owner_of(fs, JOURNAL_DIR, &*file)?;
        write_all(&*file, &padded(Vec::new(), size), 0)?;
        // Only so that the birth need not write all that: it syncs again what has a name by then.
        file.sync(SyncKind::All)?;
        Ok(Some(Self { file, size }))
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// Makes the segment with this header and these groups durable, and names it. Without a blank of the right size
/// it is made from nothing.
///
/// After `Ok` it is the newest segment and all in it is durable. After
/// [`AppendError::Unchanged`] it has no name and never will; after [`AppendError::Unknown`] it may
/// be there or not after a power cut, whole in either case.
pub(crate) fn birth(
    fs: &dyn Fs,
    header: &Header,
    groups: &[u8],
    previous_size: u64,
    blank: Option<Blank>,
) -> Result<OpenSegment, AppendError> {
    let unborn = format!("{JOURNAL_DIR}/{UNBORN}{}", fs.unique());
    let mut bytes = header.encode();
    bytes.extend_from_slice(groups);
    let size = birth_size(previous_size, bytes.len() as u64);
    let blank = blank.filter(|blank| blank.size == size);
    let segment = write(fs, &unborn, bytes, size, blank).map_err(|error| {
        // It is in nobody's way: the next opening removes it if this cannot. On a full disk it is
        // room for others.
        let _ = fs.unlink(&unborn);
        AppendError::Unchanged(error)
    })?;
    let path = segment_path(header.first);
    // Replace: where a dead writer left a segment of this number, it is void.
    if let Err(error) = fs.rename(&unborn, &path, Rename::Replace) {
        // Where the name is not to be seen, or is still the dead writer's, nothing can make it ours.
        let ours = segment.file.stat().map(|stat| stat.stamp.ino);
        let named = fs.stat(&path).map(|stat| stat.map(|stat| stat.stamp.ino));
        if let (Ok(ours), Ok(named)) = (ours, named)
            && named != Some(ours)
        {
            let _ = fs.unlink(&unborn);
            return Err(AppendError::Unchanged(error));
        }
        return Err(AppendError::Unknown(error));
    }
    // The commit point of a segment's first group (C7): until this returns, the name can be lost.
    fs.sync_dir(JOURNAL_DIR).map_err(AppendError::Unknown)?;
    Ok(segment)
}

/// Removes what births that did not end have left.
pub(crate) fn sweep_unborn(fs: &dyn Fs) -> Result<(), FsError> {
    for entry in fs.list(JOURNAL_DIR)? {
        if let Some(name) = entry.name.to_str().filter(|name| name.starts_with(UNBORN)) {
            fs.unlink(&format!("{JOURNAL_DIR}/{name}"))?;
        }
    }
    Ok(())
}

fn write(
    fs: &dyn Fs,
    unborn: &str,
    bytes: Vec<u8>,
    size: u64,
    blank: Option<Blank>,
) -> Result<OpenSegment, FsError> {
    // Where it cannot be given this name, all is as if there were no blank.
    let named = blank.filter(|blank| blank.file.link(unborn).is_ok());
    let (file, bytes) = match named {
        Some(blank) => (blank.file, bytes),
        None => {
            let file = fs.create(unborn)?;
            // Before the sync, which covers it: whoever finds the name can open it.
            give_to_owner_of(fs, JOURNAL_DIR, &*file)?;
            (file, padded(bytes, size))
        }
    };
    // All of it, so that no later append needs new blocks: a full disk shows here, before anybody
    // counts on the segment.
    write_all(&*file, &bytes, 0)?;
    // Before the name: header, first group and padding are on the disk once anybody can find them.
    file.sync(SyncKind::All)?;
    Ok(OpenSegment { file, size })
}

fn padded(mut bytes: Vec<u8>, size: u64) -> Vec<u8> {
    bytes.resize(usize::try_from(size).expect("a segment fits into memory"), PADDING);
    bytes
}
