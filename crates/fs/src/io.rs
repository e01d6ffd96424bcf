//! Whole transfers over [`File`], whose calls may be short or interrupted.

use std::io::ErrorKind;

use rustix::fs::ioctl_ficlone;

use crate::{Attrs, File, Fs, FsError, Result};

/// The unit of [`copy`], in bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// Gives a new file to whom its directory belongs: what root makes there others could not open.
///
/// # Errors
/// Those of the calls, but not that this is not allowed: then the file stays ours.
pub fn give_to_owner_of(fs: &dyn Fs, dir: &str, file: &dyn File) -> Result<()> {
    let Some(owner) = fs.stat(dir)? else { return Ok(()) };
    if file.stat()?.uid == owner.uid {
        return Ok(());
    }
    match file.set_attrs(&Attrs { uid: owner.uid, gid: owner.gid, ..file.attrs()? }) {
        Err(error) if error.source.kind() == ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

/// A write that did not reach its end.
///
/// The first `written` bytes are in the file, durable or not; of the rest nothing is known to be.
#[derive(Debug, thiserror::Error)]
#[error("stopped after {written} bytes")]
pub struct PartialWrite {
    /// How many bytes the system took before it failed.
    pub written: usize,
    /// Why it stopped.
    pub source: FsError,
}

impl From<PartialWrite> for FsError {
    fn from(stopped: PartialWrite) -> Self {
        stopped.source
    }
}

/// Reads from `offset` until the buffer is full or the file ends, and returns how much that was.
///
/// # Errors
/// What [`File::read_at`] answers; the buffer's content is then arbitrary.
pub fn read_full(file: &dyn File, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if is_interrupted(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads the whole file, also one that grows meanwhile.
///
/// # Errors
/// What [`File::stat`] and [`File::read_at`] answer.
pub fn read_to_end(file: &dyn File) -> Result<Vec<u8>> {
    read_all(file, file.stat()?.stamp.size)
}

/// As [`read_to_end`], of a file that had this size a moment ago.
///
/// # Errors
/// What [`File::read_at`] answers.
pub fn read_all(file: &dyn File, size: u64) -> Result<Vec<u8>> {
    // One byte more than the size, so that an unchanged file ends within the first round.
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut room = size.saturating_add(1);
    loop {
        let start = bytes.len();
        // The size may be a lie (a sparse file of 8 EiB): no more than a buffer at a time.
        bytes.resize(start + room.clamp(1, BUFFER_BYTES), 0);
        let count = read_full(file, &mut bytes[start..], start as u64)?;
        if start + count < bytes.len() {
            bytes.truncate(start + count);
            return Ok(bytes);
        }
        room = size.saturating_add(1).saturating_sub(bytes.len()).max(4096);
    }
}

/// Writes all bytes at `offset`.
///
/// # Errors
/// [`PartialWrite`] says how many bytes reached the file before the failure. A write of nothing is
/// a failure, never tried again.
pub fn write_all(
    file: &dyn File,
    bytes: &[u8],
    offset: u64,
) -> std::result::Result<(), PartialWrite> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => {
                let source = FsError::new("write", "an open file", ErrorKind::WriteZero);
                return Err(PartialWrite { written, source });
            }
            Ok(count) => written += count,
            Err(error) if is_interrupted(&error) => {}
            Err(source) => return Err(PartialWrite { written, source }),
        }
    }
    Ok(())
}

/// Copies the first `len` bytes of `from` to the start of `to`, and returns how many there were:
/// fewer if `from` is shorter. Attributes, and what `to` holds beyond, stay as they are.
///
/// # Errors
/// What reading or writing answers; `to` then holds a part.
pub fn copy(from: &dyn File, to: &dyn File, len: u64) -> Result<u64> {
    let unit = usize::try_from(len).unwrap_or(usize::MAX).min(BUFFER_BYTES);
    let mut buffer = vec![0; unit];
    let mut copied = 0;
    while copied < len {
        let rest = usize::try_from(len - copied).unwrap_or(usize::MAX);
        let part = &mut buffer[..rest.min(unit)];
        let count = read_full(from, part, copied)?;
        write_all(to, &part[..count], copied)?;
        copied += count as u64;
        if count < part.len() {
            break;
        }
    }
    Ok(copied)
}

/// Gives `to` the first `len` bytes of `from` without copying them, where both lie on a file system that
/// shares blocks between files (a reflink); each can be changed later without the other. `false` says
/// that this cannot be had; `to` is as it was then.
///
/// # Errors
/// The content is shared, and cannot be cut to its length.
pub fn share_content(from: &dyn File, to: &dyn File, len: u64) -> Result<bool> {
    let (Some(source), Some(target)) = (from.descriptor(), to.descriptor()) else {
        return Ok(false);
    };
    if ioctl_ficlone(target, source).is_err() {
        return Ok(false);
    }
    // It may have been added to since its length was taken.
    to.set_len(len)?;
    Ok(true)
}

fn is_interrupted(error: &FsError) -> bool {
    error.source.kind() == ErrorKind::Interrupted
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rustix::io::Errno;

    use super::*;
    use crate::{Attrs, Kind, Stamp, Stat, SyncKind, Time};

    /// Moves at most three bytes a call, is interrupted before every second one, and is full at
    /// `room` bytes.
    #[derive(Debug)]
    struct Stubborn {
        bytes: Mutex<Vec<u8>>,
        calls: Mutex<usize>,
        room: usize,
        full: Option<Errno>,
    }

    fn stubborn(bytes: &[u8]) -> Stubborn {
        Stubborn {
            bytes: Mutex::new(bytes.to_vec()),
            calls: Mutex::new(0),
            room: usize::MAX,
            full: None,
        }
    }

    impl Stubborn {
        fn interrupt(&self) -> Result<()> {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            if *calls % 2 == 1 { Err(FsError::new("read", "f", Errno::INTR)) } else { Ok(()) }
        }
    }

    impl File for Stubborn {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            self.interrupt()?;
            let bytes = self.bytes.lock().unwrap();
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len()).min(3);
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }

        fn write_at(&self, new: &[u8], offset: u64) -> Result<usize> {
            self.interrupt()?;
            let mut bytes = self.bytes.lock().unwrap();
            let offset = offset as usize;
            let count = new.len().min(3).min(self.room - offset);
            if let (0, Some(errno)) = (count, self.full) {
                return Err(FsError::new("write", "f", errno));
            }
            if bytes.len() < offset + count {
                bytes.resize(offset + count, 0);
            }
            bytes[offset..offset + count].copy_from_slice(&new[..count]);
            Ok(count)
        }

        fn stat(&self) -> Result<Stat> {
            let size = self.bytes.lock().unwrap().len() as u64 / 2; // it has grown since
            let stamp =
                Stamp { dev: 0, ino: 0, size, mtime: Time(0), ctime: Time(0), exact: false };
            Ok(Stat {
                kind: Kind::File,
                stamp,
                nlink: 1,
                mode: 0,
                uid: 0,
                gid: 0,
                room: 0,
                mount: 0,
                frozen: false,
            })
        }

        fn set_len(&self, _: u64) -> Result<()> {
            unreachable!()
        }
        fn sync(&self, _: SyncKind) -> Result<()> {
            unreachable!()
        }
        fn link(&self, _: &str) -> Result<()> {
            unreachable!()
        }
        fn attrs(&self) -> Result<Attrs> {
            unreachable!()
        }
        fn set_attrs(&self, _: &Attrs) -> Result<()> {
            unreachable!()
        }
        fn set_mode(&self, _: u32) -> Result<()> {
            unreachable!()
        }
        fn set_mtime(&self, _: Time) -> Result<()> {
            unreachable!()
        }
        fn lease(&self) -> Result<bool> {
            unreachable!()
        }
    }

    #[test]
    fn short_and_interrupted_reads_are_made_whole() {
        let file = stubborn(b"0123456789");
        let mut buffer = [0; 7];
        assert_eq!(read_full(&file, &mut buffer, 2).unwrap(), 7);
        assert_eq!(&buffer, b"2345678");
        assert_eq!(read_full(&file, &mut buffer, 8).unwrap(), 2);
        assert_eq!(read_full(&file, &mut buffer, 99).unwrap(), 0);
        assert_eq!(read_to_end(&file).unwrap(), b"0123456789");
        assert_eq!(read_to_end(&stubborn(b"")).unwrap(), b"");
        let long: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        assert_eq!(read_to_end(&stubborn(&long)).unwrap(), long);
    }

    #[test]
    fn short_and_interrupted_writes_are_made_whole() {
        let file = stubborn(b"0123456789");
        write_all(&file, b"abcdefg", 8).unwrap();
        assert_eq!(*file.bytes.lock().unwrap(), b"01234567abcdefg");
    }

    #[test]
    fn a_write_that_fails_says_how_far_it_came() {
        let full = Stubborn { room: 5, full: Some(Errno::NOSPC), ..stubborn(b"") };
        let stopped = write_all(&full, b"abcdefg", 0).unwrap_err();
        assert_eq!(stopped.written, 5);
        assert!(FsError::from(stopped).is_full());

        let silent = Stubborn { room: 5, ..stubborn(b"") };
        let stopped = write_all(&silent, b"abcdefg", 0).unwrap_err();
        assert_eq!(stopped.written, 5);
        assert_eq!(stopped.source.source.kind(), ErrorKind::WriteZero);
    }

    #[test]
    fn a_copy_ends_with_its_source_or_its_length() {
        for (len, expected) in [(0, ""), (4, "0123"), (10, "0123456789"), (99, "0123456789")] {
            let to = stubborn(b"");
            let copied = copy(&stubborn(b"0123456789"), &to, len).unwrap();
            assert_eq!(copied, expected.len() as u64);
            assert_eq!(*to.bytes.lock().unwrap(), expected.as_bytes());
        }
    }
}
