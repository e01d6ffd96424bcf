//! Reading past the page cache.
//!
//! After a failed sync the cache shows what the disk never got, so whoever must know what
//! is durable reads with `O_DIRECT`. Such reads want aligned memory and offsets; they go through a
//! buffer here, so that callers need not know.

use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Advice, AtFlags, OFlags, StatxFlags, fadvise, fstat, statx};
use rustix::io::{Errno, pread};

use crate::beneath::Root;
use crate::{Stat, open};

/// Serves every disk whose sectors are not larger, and where the kernel cannot say (before 6.1).
const ALIGN_BYTES: usize = 4096;

/// The most that one read moves, in bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// Opens a file for reading past the page cache, and says how it looks; the number is the alignment that it wants.
///
/// Where the file system cannot, the error is `EINVAL` or `EOPNOTSUPP`.
pub(crate) fn open(root: &Root, path: &str) -> io::Result<(OwnedFd, Stat, usize)> {
    let (file, stat) = open::ordinary(root, path, OFlags::RDONLY | OFlags::DIRECT)?;
    let asked = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
    let mut align = ALIGN_BYTES;
    if asked.stx_mask & StatxFlags::DIOALIGN.bits() != 0 {
        if asked.stx_dio_offset_align == 0 || asked.stx_dio_mem_align == 0 {
            // It takes the flag and reads from the cache all the same (ext4 with `data=journal`).
            return Err(Errno::OPNOTSUPP.into());
        }
        let (offset, memory) = (asked.stx_dio_offset_align, asked.stx_dio_mem_align);
        align = align.max(offset as usize).max(memory as usize);
    }
    // Some do so without saying (btrfs, for compressed and small files): leave nothing in the cache
    // that they could read. Dirty pages stay, but those nobody may call durable anyway.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    Ok((file, stat, align))
}

/// Reads at any offset into any buffer.
pub(crate) fn read_at(
    file: impl AsFd,
    align: usize,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let skip = usize::try_from(offset % align as u64).unwrap_or_default();
    let want = buffer.len().min(BUFFER_BYTES);
    let len = (skip + want).next_multiple_of(align);
    let mut room = vec![0; len + align];
    let start = room.as_ptr().align_offset(align);
    let aligned = &mut room[start..start + len];
    let base = offset - skip as u64;

    let count = pread(&file, &mut *aligned, base)?;
    if count > skip {
        let found = &aligned[skip..count.min(skip + want)];
        buffer[..found.len()].copy_from_slice(found);
        return Ok(found.len());
    }
    // So short that nothing of what was asked for came: the end, unless the file says otherwise.
    if fstat(&file)?.st_size as u64 > offset {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a direct read stopped short"));
    }
    Ok(0)
}
