//! The reader's side: a pin of this process.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use filepact_fs::{File, Fs, FsError, Lock, LockKind, give_to_owner_of, write_all};

use crate::PINS;

/// How often others may take a pin away that is not locked yet before that is an error.
const PATIENCE: usize = 16;

/// A pin. Dropping it lets what was kept for it go; so does the death of its process.
pub(crate) struct Pin {
    fs: Arc<dyn Fs>,
    at: String,
    /// To say in it what is read, until that is known.
    file: Option<Box<dyn File>>,
    /// Closed by a child of fork, let go by its maker alone.
    _lock: Box<dyn Lock>,
    pid: u32,
}

impl Pin {
    /// Makes a pin that does not say yet what it reads, so that everything stays. **Before** `state`
    /// is read: whoever publishes after what is read there finds it.
    ///
    /// The name comes before the lock, and who looks for pins in that instant takes it away. But no
    /// lock is given on a file that has lost its name, so that who has it has a pin.
    pub(crate) fn take(fs: Arc<dyn Fs>) -> Result<Self, FsError> {
        let pid = std::process::id();
        let mut tries = 0;
        loop {
            let at = format!("{PINS}/{pid}-{}", fs.unique());
            let file = fs.create(&at)?;
            // Who may not look at it takes it for held until somebody opens the store alone.
            give_to_owner_of(&*fs, PINS, &*file)?;
            tries += 1;
            match fs.lock(&at, LockKind::Exclusive, Duration::ZERO) {
                Ok(Some(lock)) => return Ok(Self { fs, at, file: Some(file), _lock: lock, pid }),
                Ok(None) if tries < PATIENCE => {}
                Err(error) if error.is_not_found() && tries < PATIENCE => {}
                refused => {
                    // It pins nothing, and the next publisher would remove it.
                    let _ = fs.unlink(&at);
                    let busy = |_| FsError::new("lock", &at, io::ErrorKind::WouldBlock);
                    return Err(refused.map_or_else(|error| error, busy));
                }
            }
        }
    }

    /// What is read: everything up to this seq. Until then the pin keeps more than it needs.
    pub(crate) fn say(&mut self, seq: u64) -> Result<(), FsError> {
        if let Some(file) = self.file.take() {
            write_all(&*file, format!("{seq}\n").as_bytes(), 0)?;
        }
        Ok(())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // A child of fork has a copy, and the pin is its parent's.
        if self.pid == std::process::id() {
            // What stays here is removed by the next publisher: nobody has it locked.
            let _ = self.fs.unlink(&self.at);
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").field("at", &self.at).finish_non_exhaustive()
    }
}
