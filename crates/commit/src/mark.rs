//! The marks of syncs that are not done, two bytes in `checkpoint.lock` that outlive their process but
//! not the boot.
//!
//! The error of a failed sync is told to one process, and the next one's sync "succeeds". So
//! whoever syncs what is everybody's sets a mark first, and clears it when the sync has returned and
//! what rests on it is written. Who finds one set knows that somebody died with an error that nobody
//! else will be told of. A mark needs no sync itself: after a power cut the page cache is not trusted
//! anyway.

use filepact_fs::{Access, File, Fs, FsError, read_full, write_all};

use crate::MARK;

/// A mark, by who sets it: so that a checkpoint and a commit beside it leave each other's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Whoever holds `checkpoint.lock`; the first byte.
    Checkpoint,
    /// Whoever has the writer's turn; the second.
    Turn,
}

impl Mark {
    /// Whether any sync is unfinished, or, for who has neither both the lock and the turn nor the store alone,
    /// on its way. A file that cannot be read as a clear no is a yes.
    pub fn is_any_set(fs: &dyn Fs) -> Result<bool, FsError> {
        Ok(is_any(read(fs)?))
    }

    /// Nothing is unfinished, for who has both the lock and the turn, or the store alone.
    pub fn clear_all(fs: &dyn Fs) -> Result<(), FsError> {
        Ok(write_all(&*fs.open(MARK, Access::Write)?, b"00", 0)?)
    }

    /// Before the first sync.
    pub fn set(self, fs: &dyn Fs) -> Result<(), FsError> {
        self.write(fs, b"1")
    }

    /// When what rests on the syncs is durable.
    pub(crate) fn clear(self, fs: &dyn Fs) -> Result<(), FsError> {
        self.write(fs, b"0")
    }

    fn is_set(self, fs: &dyn Fs) -> Result<bool, FsError> {
        Ok(read(fs)?.is_none_or(|bytes| bytes[self.offset() as usize] != b'0'))
    }

    fn write(self, fs: &dyn Fs, byte: &[u8]) -> Result<(), FsError> {
        Ok(write_all(&*fs.open(MARK, Access::Write)?, byte, self.offset())?)
    }

    fn offset(self) -> u64 {
        match self {
            Self::Checkpoint => 0,
            Self::Turn => 1,
        }
    }

    /// Syncs documents outside of a checkpoint, in the writer's turn, so that an error that dies with
    /// us is not lost. The mark stays after a failure, and as it was.
    pub(crate) fn around(
        fs: &dyn Fs,
        sync: impl FnOnce() -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let before = Self::Turn.is_set(fs)?;
        Self::Turn.set(fs)?;
        let synced = sync();
        // A full disk can be the reason of a failed sync. After any other one the latch refuses to
        // clear the mark; an error of another call has synced too little, which is no harm.
        if before || synced.as_ref().is_err_and(FsError::is_full) {
            return synced;
        }
        let cleared = Self::Turn.clear(fs);
        synced.and(cleared)
    }
}

/// The marks, open to be looked at before every group: nothing of ours puts another file in their place while a
/// store is open, and a copy of an unlocked descriptor in a child of fork holds nobody up.
#[derive(Debug)]
pub(crate) struct Marks(Box<dyn File>);

impl Marks {
    /// Of a store that has its files.
    pub(crate) fn open(fs: &dyn Fs) -> Result<Self, FsError> {
        fs.open(MARK, Access::Read).map(Self)
    }

    /// As [`Mark::is_any_set`].
    pub(crate) fn is_any_set(&self) -> Result<bool, FsError> {
        Ok(is_any(self.read()?))
    }

    fn read(&self) -> Result<Option<[u8; 2]>, FsError> {
        let mut bytes = [0; 2];
        let len = read_full(&*self.0, &mut bytes, 0)?;
        Ok((len == bytes.len()).then_some(bytes))
    }
}

fn is_any(marks: Option<[u8; 2]>) -> bool {
    marks != Some(*b"00")
}

/// Both bytes; `None` if they are not there.
fn read(fs: &dyn Fs) -> Result<Option<[u8; 2]>, FsError> {
    match Marks::open(fs) {
        Err(error) if error.is_not_found() => Ok(None),
        marks => marks?.read(),
    }
}
