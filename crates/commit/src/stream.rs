//! C1 for a large body: it is written, hashed, and brought to the disk, all three at a time.
//!
//! Whoever has the body writes it, piece by piece; one helper hashes what is written, another syncs it. What
//! the helpers miss is made up for at the end: the sync that counts is the caller's.

use std::io::Read;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use filepact_fs::{File, FsError, SyncKind, write_all};
use filepact_journal::{Hash, Hasher};

use crate::PrepareError;

/// Bytes of a piece.
const PIECE: usize = 1024 * 1024;
/// How many pieces may wait for their hash.
const AHEAD: usize = 2;
/// After how many pieces the disk is given work: each time may cost the file system a commit of its own.
const SYNC_EVERY: usize = 8;

/// Writes a body, which begins with `first`, to an empty file, in constant memory; returns its length and
/// hash. It is not yet durable. `helped` says whether there may be helpers.
pub(crate) fn stream(
    file: &dyn File,
    helped: bool,
    first: Vec<u8>,
    source: &mut dyn Read,
) -> Result<(u64, Hash), PrepareError> {
    let first = fill(first, source)?;
    // What fits into one piece is hashed before a thread has begun.
    let helps = helped && first.len() >= PIECE;
    thread::scope(|scope| {
        let helpers = if helps { Helpers::start(scope, file) } else { None };
        let Some(mut helpers) = helpers else {
            let mut hasher = Hasher::new();
            let len = write_pieces(file, first, source, |piece| {
                hasher.update(&piece);
                piece
            })?;
            return Ok((len, hasher.finish()));
        };
        let written = write_pieces(file, first, source, |piece| helpers.take(piece));
        // First of all the failed sync: it lets nothing be written after it.
        let hash = helpers.finish()?;
        Ok((written?, hash))
    })
}

/// Writes this piece and all that follow; `take` has each of them then, and gives one back to be filled.
fn write_pieces(
    file: &dyn File,
    mut piece: Vec<u8>,
    source: &mut dyn Read,
    mut take: impl FnMut(Vec<u8>) -> Vec<u8>,
) -> Result<u64, PrepareError> {
    let mut len = 0;
    while !piece.is_empty() {
        write_all(file, &piece, len).map_err(FsError::from)?;
        len += piece.len() as u64;
        piece = take(piece);
        piece.clear();
        piece = fill(piece, source)?;
    }
    Ok(len)
}

/// Reads on until the piece is full or the body ends.
fn fill(mut piece: Vec<u8>, source: &mut dyn Read) -> Result<Vec<u8>, PrepareError> {
    let room = PIECE.saturating_sub(piece.len()) as u64;
    source.take(room).read_to_end(&mut piece).map_err(PrepareError::Source)?;
    Ok(piece)
}

/// Who hashes, and who syncs.
struct Helpers<'scope> {
    to_hash: SyncSender<Vec<u8>>,
    hashed: Receiver<Vec<u8>>,
    hasher: ScopedJoinHandle<'scope, Hash>,
    to_sync: SyncSender<()>,
    syncer: ScopedJoinHandle<'scope, Result<(), FsError>>,
    taken: usize,
}

impl<'scope> Helpers<'scope> {
    /// `None` if there are no threads to be had.
    fn start<'env>(scope: &'scope Scope<'scope, 'env>, file: &'env dyn File) -> Option<Self> {
        let (to_hash, pieces) = sync_channel::<Vec<u8>>(AHEAD);
        let (back, hashed) = channel();
        let hash = move || {
            let mut hasher = Hasher::new();
            for piece in pieces {
                hasher.update(&piece);
                // Nobody wants the last ones back.
                let _ = back.send(piece);
            }
            hasher.finish()
        };
        let (to_sync, wishes) = sync_channel(1);
        let sync = move || wishes.iter().try_for_each(|()| file.sync(SyncKind::Data));
        let builder = || thread::Builder::new().name("filepact-help".into());
        Some(Self {
            to_hash,
            hashed,
            hasher: builder().spawn_scoped(scope, hash).ok()?,
            to_sync,
            syncer: builder().spawn_scoped(scope, sync).ok()?,
            taken: 0,
        })
    }

    /// Has a piece hashed that is written, and gives back one that is.
    fn take(&mut self, piece: Vec<u8>) -> Vec<u8> {
        self.taken += 1;
        if self.taken.is_multiple_of(SYNC_EVERY) {
            // Whoever still syncs what was there before is asked again later; who has failed says so in the end.
            let _ = self.to_sync.try_send(());
        }
        match self.to_hash.send(piece) {
            Ok(()) => self.hashed.try_recv().unwrap_or_default(),
            // It has panicked, which `finish` finds.
            Err(unsent) => unsent.0,
        }
    }

    /// The hash of all pieces; the error of any sync.
    fn finish(self) -> Result<Hash, FsError> {
        let Self { to_hash, hasher, to_sync, syncer, .. } = self;
        drop((to_hash, to_sync));
        let hash = hasher.join().unwrap_or_else(|panic| resume_unwind(panic));
        syncer.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use filepact_fs::{Attrs, Result, Stat, Time};

    use super::*;

    /// A file in memory, of which a sync may find the disk full.
    #[derive(Debug, Default)]
    struct Fake {
        bytes: Mutex<Vec<u8>>,
        syncs: AtomicUsize,
        full: bool,
    }

    impl File for Fake {
        fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
            let mut all = self.bytes.lock().unwrap();
            assert_eq!(all.len() as u64, offset);
            all.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn sync(&self, _: SyncKind) -> Result<()> {
            self.syncs.fetch_add(1, Ordering::SeqCst);
            let full = io::Error::from_raw_os_error(28); // ENOSPC
            if self.full { Err(FsError::new("sync", "f", full)) } else { Ok(()) }
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize> {
            unreachable!()
        }

        fn set_len(&self, _: u64) -> Result<()> {
            unreachable!()
        }

        fn stat(&self) -> Result<Stat> {
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

    /// Bytes that differ from piece to piece.
    fn body(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at ^ (at >> 13)) as u8).collect()
    }

    /// Gives a few bytes at a time, then fails.
    struct Breaks<'a>(&'a [u8]);

    impl Read for Breaks<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let given = self.0.read(buffer)?;
            if given == 0 { Err(io::Error::other("no more")) } else { Ok(given) }
        }
    }

    #[test]
    fn a_body_of_any_length_is_written_whole_and_hashed_with_helpers_and_without() {
        let all = body(PIECE * (SYNC_EVERY + 3));
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7, all.len()] {
            for helped in [false, true] {
                let (file, body) = (Fake::default(), &all[..len]);
                let (first, mut rest) = body.split_at(len.min(1000));
                let streamed = stream(&file, helped, first.to_vec(), &mut rest).unwrap();
                assert_eq!(streamed, (len as u64, Hash::of(body)), "{len}, helped: {helped}");
                assert!(*file.bytes.lock().unwrap() == body, "{len}, helped: {helped}");
                let syncs = file.syncs.into_inner();
                assert_eq!(syncs > 0, helped && len == all.len(), "{len}: {syncs}");
            }
        }
    }

    #[test]
    fn a_source_that_breaks_is_told() {
        for len in [10, 3 * PIECE] {
            for helped in [false, true] {
                let (file, body) = (Fake::default(), body(len));
                let broken = stream(&file, helped, Vec::new(), &mut Breaks(&body));
                assert!(matches!(broken, Err(PrepareError::Source(_))), "{broken:?}");
            }
        }
    }

    /// Also one of a helper, after which the caller's own succeeds.
    #[test]
    fn a_sync_that_fails_is_told_although_all_is_written() {
        let file = Fake { full: true, ..Fake::default() };
        let body = body(PIECE * (SYNC_EVERY + 1));
        let failed = stream(&file, true, Vec::new(), &mut body.as_slice());
        assert!(
            matches!(failed, Err(PrepareError::Io(ref error)) if error.is_full()),
            "{failed:?}"
        );
    }
}
