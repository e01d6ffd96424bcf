//! Where groups are written: at the tail of the newest segment, or in a new one.
//!
//! **One rule for the tail:** an append needs room and padding there; otherwise it goes to a new
//! segment. A segment that is full, one whose tail a crash tore, one in which a write fell short:
//! all the same case, and bytes that were not synced are never written over. A new segment begins
//! where the whole groups of the last one end, so that all behind them is void once it is durable.
//!
//! (A segment that bears the number of the next record would void an append at the tail. While one
//! process at a time has a store open, there is none: a dead writer's segment is part of the scan.)

use std::io;
use std::sync::Arc;

use filepact_fs::{
    Access, File, Fs, FsError, LatchTripped, PartialWrite, SyncKind, Time, read_full, write_all,
};

use crate::birth::{OpenSegment, birth, sweep_unborn};
use crate::group::raise_checkpoint;
use crate::load::segments_in;
use crate::scan::start_of;
use crate::segment::{JOURNAL_DIR, LARGEST_BYTES, PADDING};
use crate::{
    AppendError, Chain, Group, Header, Position, Record, RecordKind, Scan, Tail, encode_group,
    segment_path,
};

/// The writing end of a journal; there is one at a time.
#[derive(Debug)]
pub struct Journal {
    fs: Arc<dyn Fs>,
    store: String,
    end: Position,
    /// Where the next group goes if it has room; `None` once the tail must not be written to.
    tail: Option<OpenSegment>,
    /// The full size of the newest segment, in bytes.
    newest_bytes: u64,
    /// Every segment that may be there, by first seq, in order.
    segments: Vec<u64>,
    checkpoint: u64,
    bytes_since_checkpoint: u64,
    /// An append's outcome is unknown: nothing may follow it.
    stopped: bool,
}

/// Where to go on after a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// At the tail, where it is clean: for who knows that every group of the scan is durable.
    Tail,
    /// In a new segment, whatever the tail looks like. It, too, takes every group of the scan for
    /// durable; for who does not know that, there is [`Journal::repeat`].
    Fresh,
}

/// Whether one more sync of the directory makes the name of a segment durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// It does.
    Believed,
    /// A sync has failed: that the next one succeeds proves nothing, so that the first group of a
    /// segment is repeated as all others are.
    Doubted,
}

/// A group that is durable.
#[derive(Clone, Debug)]
#[must_use]
pub struct Appended {
    /// The seq of its first record.
    pub first: u64,
    /// The seq of its last record.
    pub last: u64,
    /// The group.
    pub group: Group,
}

impl Journal {
    /// Begins the journal of a new store, whose id is `store`, with a checkpoint of nothing.
    ///
    /// [`JOURNAL_DIR`] is there, under a durable name.
    ///
    /// # Errors
    /// [`AppendError::Unchanged`] also if there is a segment already; after
    /// [`AppendError::Unknown`] the journal may be there, whole.
    pub fn create(fs: Arc<dyn Fs>, store: &str) -> Result<Self, AppendError> {
        let segments = segments_in(&*fs).map_err(AppendError::Unchanged)?;
        if let Some(first) = segments.first() {
            let error = io::ErrorKind::AlreadyExists;
            let error = FsError::new("create a journal beside", segment_path(*first), error);
            return Err(AppendError::Unchanged(error));
        }
        let time = fs.now();
        let mut journal = Self {
            fs,
            store: store.to_owned(),
            end: Position::new(1, 0, 0, Chain::ZERO),
            tail: None,
            newest_bytes: 0,
            segments,
            checkpoint: 0,
            bytes_since_checkpoint: 0,
            stopped: false,
        };
        let _ = journal.append(vec![RecordKind::Checkpoint { upto: 0 }], time)?;
        Ok(journal)
    }

    /// Goes on where a scan ended, taking every group of it for durable. No record is
    /// written yet; what births that did not end have left is removed.
    ///
    /// # Errors
    /// What these calls answer.
    pub fn resume(fs: Arc<dyn Fs>, scan: &Scan, from: Resume) -> Result<Self, FsError> {
        sweep_unborn(&*fs)?;
        let tail = match (from, &scan.tail) {
            (Resume::Tail, Tail::Clean) => {
                let file = fs.open(&segment_path(scan.end.segment()), Access::Write)?;
                Some(OpenSegment { file, size: scan.newest_bytes })
            }
            (Resume::Tail, Tail::Torn { .. }) | (Resume::Fresh, _) => None,
        };
        let mut journal = Self {
            fs,
            store: scan.store.clone(),
            end: scan.end,
            tail,
            newest_bytes: scan.newest_bytes,
            segments: scan.segments.clone(),
            checkpoint: scan.checkpoint,
            bytes_since_checkpoint: 0,
            stopped: false,
        };
        for group in &scan.groups {
            journal.count(&group.records, group.len_bytes());
        }
        Ok(journal)
    }

    /// Goes on where a scan ended, without believing that its last groups are durable: what reads
    /// well may exist in memory only.
    ///
    /// After `Ok` every group of the scan is durable. Those of which nothing says so are repeated,
    /// under their numbers, in a new segment; the first group of a segment lacks no more than a
    /// sync of the directory. Calling it again after a crash does no harm.
    ///
    /// # Errors
    /// After either error the groups are no less durable than before, and the scan stands.
    pub fn repeat(fs: Arc<dyn Fs>, scan: &Scan, names: Names) -> Result<Self, AppendError> {
        let doubtful = scan
            .groups
            .iter()
            .rev()
            .take_while(|group| !group.covered && (names == Names::Doubted || !group.born));
        let doubtful = &scan.groups[scan.groups.len() - doubtful.count()..];
        let Some(begin) = doubtful.first() else {
            fs.sync_dir(JOURNAL_DIR).map_err(AppendError::Unknown)?;
            return Self::resume(fs, scan, Resume::Tail).map_err(AppendError::Unchanged);
        };
        let time = fs.now();
        let mut journal = Self::resume(fs, scan, Resume::Fresh).map_err(AppendError::Unchanged)?;
        journal.end = begin.begins;
        let synced = begin.first - 1;
        let (mut bytes, mut chain, mut last) = (Vec::new(), begin.begins.chain(), synced);
        for group in doubtful {
            // When these lines get their name, nothing after `synced` is known to be on the disk
            // elsewhere.
            let records = group.records.iter();
            let records: Vec<_> = records.map(|r| Record { synced, ..r.clone() }).collect();
            let (lines, after) = encode_group(&records, chain);
            bytes.extend_from_slice(&lines);
            (chain, last) = (after, group.last);
        }
        journal.give_birth(&bytes, last, chain, journal.checkpoint, time)?;
        Ok(journal)
    }

    /// Makes a group durable: whole transactions, or a checkpoint, in one write and one sync.
    ///
    /// # Errors
    /// What is true after each stands at [`AppendError`].
    ///
    /// # Panics
    /// If `kinds` are not whole transactions and checkpoints.
    pub fn append(&mut self, kinds: Vec<RecordKind>, time: Time) -> Result<Appended, AppendError> {
        if self.stopped {
            let error = io::Error::other(LatchTripped);
            return Err(AppendError::Unchanged(FsError::new("append to", JOURNAL_DIR, error)));
        }
        let first = self.next_seq();
        // One group is in flight at a time: the sync of everything before has returned.
        let synced = self.end.seq();
        let records = (first..).zip(kinds).map(|(seq, kind)| Record { seq, synced, kind });
        let records: Arc<[Record]> = records.collect();
        let (bytes, chain) = encode_group(&records, self.end.chain());
        let last = synced + records.len() as u64;
        let len = bytes.len() as u64;
        // A checkpoint leaves a segment that grew beyond all others for one large group: with it
        // goes what every later opening would have to read for nothing.
        let leave = self.newest_bytes > LARGEST_BYTES
            && matches!(records[..], [Record { kind: RecordKind::Checkpoint { .. }, .. }]);
        let fits = |tail: &OpenSegment| self.end.offset() + len <= tail.size;
        let has_room = !leave && self.tail.as_ref().is_some_and(fits);
        let begins = if has_room {
            self.write_at_tail(&bytes)?;
            let begins = self.end;
            self.end = begins.after(begins.offset() + len, last, chain);
            begins
        } else {
            // The header repeats the newest checkpoint, also one that is born with it: it was true
            // before it was written down.
            let mut checkpoint = self.checkpoint;
            for record in &*records {
                if let RecordKind::Checkpoint { upto } = record.kind {
                    checkpoint = checkpoint.max(upto);
                }
            }
            self.give_birth(&bytes, last, chain, checkpoint, time)?
        };
        self.count(&records, len);
        let (ends, born) = (self.end, !has_room);
        let group = Group { records, first, last, begins, ends, born, covered: false };
        Ok(Appended { first, last, group })
    }

    /// C6 and C7, over the padding of a segment that has room.
    fn write_at_tail(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let tail = self.tail.as_ref().expect("there is room at the tail");
        if let Err(PartialWrite { source, .. }) = write_all(&*tail.file, bytes, self.end.offset()) {
            // Padding supplies a missing last newline, so what decides is the brace before it:
            // where that is still padding, the group is not whole and never will be. What there
            // is of it stays where it is; the next append goes to a new segment, which voids it.
            let brace = self.end.offset() + bytes.len() as u64 - 2;
            let never_whole = is_padding(&*tail.file, brace);
            self.tail = None;
            return if never_whole {
                Err(AppendError::Unchanged(source))
            } else {
                self.stopped = true;
                Err(AppendError::Unknown(source))
            };
        }
        // The commit point. The size stands, so that this is one flush (FACTS 2). After a failure
        // a second sync would return success and prove nothing (FACTS 5).
        tail.file.sync(SyncKind::Data).map_err(|error| {
            self.stopped = true;
            AppendError::Unknown(error)
        })
    }

    /// Makes groups durable in a new segment that begins at the end of the journal; they reach to
    /// `last` and `chain`. Returns where they begin.
    fn give_birth(
        &mut self,
        groups: &[u8],
        last: u64,
        chain: Chain,
        checkpoint: u64,
        time: Time,
    ) -> Result<Position, AppendError> {
        let first = self.next_seq();
        let header = Header {
            store: self.store.clone(),
            first,
            checkpoint: checkpoint.min(first - 1),
            chain: self.end.chain(),
            time,
        };
        let segment =
            birth(&*self.fs, &header, groups, self.newest_bytes).inspect_err(|error| {
                self.stopped |= matches!(error, AppendError::Unknown(_));
            })?;
        let begins = header.encode().len() as u64;
        let begins = Position::new(first, begins, self.end.seq(), self.end.chain());
        self.end = begins.after(begins.offset() + groups.len() as u64, last, chain);
        self.newest_bytes = segment.size;
        self.tail = Some(segment);
        self.segments.retain(|segment| *segment < first);
        self.segments.push(first);
        self.remove_old(header.checkpoint);
        Ok(begins)
    }

    /// Unlinks the segments that no scan starts at any more. Only after the new segment is durable:
    /// before, its header is not what a scan goes by, and without its name the journal would lack
    /// its beginning.
    fn remove_old(&mut self, checkpoint: u64) {
        let start = start_of(self.segments.iter().copied(), checkpoint).unwrap_or(0);
        let old: Vec<u64> = self.segments.drain(..start).collect();
        // One that cannot be removed is ignored by every scan, and so is one that comes back
        // because nobody syncs the directory for its sake: the next birth tries again.
        let kept = old.into_iter().filter(|first| {
            let outcome = self.fs.unlink(&segment_path(*first));
            outcome.is_err_and(|error| !error.is_not_found())
        });
        let kept: Vec<u64> = kept.collect();
        self.segments.splice(..0, kept);
    }

    /// Takes in a durable group.
    fn count(&mut self, records: &[Record], len: u64) {
        self.bytes_since_checkpoint += len;
        for record in records {
            if let RecordKind::Checkpoint { upto } = record.kind {
                self.checkpoint = raise_checkpoint(self.checkpoint, record.seq, upto);
                self.bytes_since_checkpoint = 0;
            }
        }
    }

    /// The seq that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.end.seq() + 1
    }

    /// After the last durable group.
    pub fn end(&self) -> &Position {
        &self.end
    }

    /// The length of all groups after the last checkpoint record, in bytes.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.bytes_since_checkpoint
    }

    /// Everything up to this seq is durable without the journal. A checkpoint record that directly
    /// follows what it covers counts itself in.
    pub fn last_checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// The store's id.
    pub fn store(&self) -> &str {
        &self.store
    }
}

/// Whether the file certainly has padding at `offset`.
fn is_padding(file: &dyn File, offset: u64) -> bool {
    let mut byte = [0];
    matches!(read_full(file, &mut byte, offset), Ok(1)) && byte[0] == PADDING
}

#[cfg(test)]
mod tests;
