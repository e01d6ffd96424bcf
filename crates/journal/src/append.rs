//! Where groups are written: at the tail of the newest segment, or in a new one.
//!
//! **One rule for the tail:** an append needs room and padding there; otherwise it goes to a new
//! segment. A segment that is full, one whose tail a crash tore, one in which a write fell short:
//! all the same case, and bytes that were not synced are never written over. A new segment begins
//! where the whole groups of the last one end, so that all behind them is void once it is durable.
//! And no segment may bear the number of the next record: a dead writer's, which would void what is
//! written at the tail before it. The new segment replaces it.
//!
//! Several processes take turns as the writer. Before an append each takes in what the others have
//! appended: [`Journal::catch_up`].

use std::io;
use std::sync::Arc;

use filepact_fs::{
    Access, File, Fs, FsError, LatchTripped, PartialWrite, SyncKind, Time, read_full, write_all,
};

use crate::birth::{Blank, OpenSegment, birth, sweep_unborn};
use crate::follow::read_from;
use crate::load::segments_in;
use crate::scan::start_of;
use crate::segment::{JOURNAL_DIR, LARGEST_BYTES, LONG_BYTES, PADDING, birth_size};
use crate::{
    AppendError, Chain, Group, Header, Position, Progress, Record, RecordKind, Scan, Tail,
    encode_group, segment_path,
};

/// The writing end of a journal; one at a time is in its turn.
#[derive(Debug)]
pub struct Journal {
    fs: Arc<dyn Fs>,
    store: String,
    progress: Progress,
    /// Up to this seq every group is on the disk.
    synced: u64,
    /// Where the next group goes if it has room; `None` once the tail must not be written to.
    tail: Option<OpenSegment>,
    /// The full size of the newest segment, in bytes.
    newest_bytes: u64,
    /// How many bytes were written at the tail of it here.
    written: u64,
    /// What the next segment will be made of.
    next: Next,
    /// The checkpoint in the header of a segment that was born here, while elders may be there that
    /// it makes unnecessary.
    elders: Option<u64>,
    /// An append's outcome is unknown, or groups before it may be lost: nothing may follow.
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

/// What there is of the next segment.
#[derive(Debug)]
enum Next {
    Nothing,
    /// Somebody was told that it is time for a blank.
    Wanted,
    Ready(Blank),
}

/// When a group is to be durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Now,
    Later,
}

/// A group that is in the journal.
#[derive(Clone, Debug)]
#[must_use]
pub struct Appended {
    /// The seq of its first record.
    pub first: u64,
    /// The seq of its last record.
    pub last: u64,
    /// Up to this seq every group is durable: its own last, unless it was not to be synced.
    pub synced: u64,
    /// The group.
    pub group: Group,
}

impl Journal {
    /// Without a tail to write to.
    fn new(fs: Arc<dyn Fs>, store: &str, progress: Progress) -> Self {
        let synced = progress.end().seq();
        Self {
            fs,
            store: store.to_owned(),
            progress,
            synced,
            tail: None,
            newest_bytes: 0,
            written: 0,
            next: Next::Nothing,
            elders: None,
            stopped: false,
        }
    }

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
        // What a making that was cut short has left.
        sweep_unborn(&*fs).map_err(AppendError::Unchanged)?;
        let time = fs.now();
        let begin = Position::new(1, 0, 0, Chain::ZERO);
        let mut journal = Self::new(fs, store, Progress::begin(begin, 0));
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
        let newest_bytes = scan.newest_bytes;
        Ok(Self { tail, newest_bytes, ..Self::new(fs, &scan.store, Progress::of(scan)) })
    }

    /// Joins the journal of a store that others write, as it was [read](crate::read_to) up to what
    /// they have committed. Nothing is changed.
    ///
    /// # Errors
    /// What these calls answer.
    pub fn join(fs: Arc<dyn Fs>, scan: &Scan) -> Result<Self, FsError> {
        let mut journal = Self::new(fs, &scan.store, Progress::of(scan));
        journal.open_tail()?;
        Ok(journal)
    }

    /// Takes in how far the journal has come meanwhile, and is durable, in the turn of this writer, and
    /// asks whether the tail may still be written to.
    ///
    /// # Errors
    /// What these calls answer; then the next append goes to a new segment.
    pub fn catch_up(&mut self, progress: &Progress, synced: u64) -> Result<(), FsError> {
        self.synced = synced;
        let before = std::mem::replace(&mut self.progress, *progress);
        // Where the tail was clean to its end when it was opened, others have only appended since:
        // they ask the same before they write.
        let same_segment = before.end().segment() == progress.end().segment();
        if !same_segment || self.tail.is_none() && before.end() != progress.end() {
            self.open_tail()?;
        }
        let end = *self.end();
        let torn =
            |tail: &OpenSegment| end.offset() < tail.size && !is_padding(&*tail.file, end.offset());
        // A dead writer's group begins at the tail, or in a segment of its own.
        if self.tail.as_ref().is_some_and(torn)
            || self.fs.stat(&segment_path(self.next_seq()))?.is_some()
        {
            self.tail = None;
        }
        Ok(())
    }

    /// Opens the segment in which the journal ends. Its tail is written to only if there is nothing
    /// but padding to the end: what a torn write has left may begin anywhere.
    fn open_tail(&mut self) -> Result<(), FsError> {
        self.tail = None;
        let end = *self.end();
        let file = self.fs.open(&segment_path(end.segment()), Access::Write)?;
        let size = file.stat()?.stamp.size;
        (self.newest_bytes, self.written) = (size, 0);
        if read_from(&*file, end.offset())?.iter().all(|byte| *byte == PADDING) {
            self.tail = Some(OpenSegment { file, size });
        }
        Ok(())
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
        journal.progress.end = begin.begins;
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
        let begins =
            journal.give_birth(&bytes, journal.last_checkpoint(), time, journal.newest_bytes)?;
        journal.synced = last;
        journal.progress.end = begins.after(begins.offset() + bytes.len() as u64, last, chain);
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
        self.write(kinds, time, Sync::Now)
    }

    /// As [`append`](Self::append), without the sync where the group fits into the segment: it
    /// survives the process, and a power cut only with a later sync.
    ///
    /// # Errors
    /// # Panics
    /// As [`append`](Self::append).
    pub fn append_unsynced(
        &mut self,
        kinds: Vec<RecordKind>,
        time: Time,
    ) -> Result<Appended, AppendError> {
        self.write(kinds, time, Sync::Later)
    }

    fn write(
        &mut self,
        kinds: Vec<RecordKind>,
        time: Time,
        sync: Sync,
    ) -> Result<Appended, AppendError> {
        if self.stopped {
            let error = io::Error::other(LatchTripped);
            return Err(AppendError::Unchanged(FsError::new("append to", JOURNAL_DIR, error)));
        }
        let first = self.next_seq();
        let leave = match kinds[..] {
            [RecordKind::Checkpoint { upto }] => {
                self.is_left_by_checkpoint(upto).map_err(AppendError::Unchanged)?
            }
            _ => false,
        };
        let (mut records, (mut bytes, mut chain)) = self.encode(first, kinds);
        let mut has_room = !leave && self.fits(&bytes);
        let mut begins = *self.end();
        if !has_room {
            if self.synced < self.end().seq() {
                // Whatever follows in a new segment says that all before it is durable.
                self.sync_left_segment().map_err(AppendError::Unchanged)?;
                let kinds = records.iter().map(|record| record.kind.clone()).collect();
                (records, (bytes, chain)) = self.encode(first, kinds);
            }
            // The header repeats the newest checkpoint, also one that is born with it: it was true
            // before it was written down.
            let mut checkpoint = self.last_checkpoint();
            for record in &*records {
                if let RecordKind::Checkpoint { upto } = record.kind {
                    checkpoint = checkpoint.max(upto);
                }
            }
            let previous = if leave { 0 } else { self.newest_bytes };
            match self.give_birth(&bytes, checkpoint, time, previous) {
                Ok(begun) => begins = begun,
                // A segment that is only left for the next opening's sake stays where there is no room for
                // another one: a checkpoint makes room.
                Err(AppendError::Unchanged(error))
                    if leave && error.is_full() && self.fits(&bytes) =>
                {
                    has_room = true;
                }
                Err(error) => return Err(error),
            }
        }
        if has_room {
            self.write_at_tail(&bytes, sync)?;
            self.written += bytes.len() as u64;
        }
        let (last, born) = (first + records.len() as u64 - 1, !has_room);
        if born || sync == Sync::Now {
            self.synced = last;
        }
        let ends = begins.after(begins.offset() + bytes.len() as u64, last, chain);
        let group = Group { records, first, last, begins, ends, born, covered: false };
        self.progress.take(&group);
        Ok(Appended { first, last, synced: self.synced, group })
    }

    /// Whether there is room at the tail.
    fn fits(&self, bytes: &[u8]) -> bool {
        let end = self.end().offset() + bytes.len() as u64;
        self.tail.as_ref().is_some_and(|tail| end <= tail.size)
    }

    /// Whether a checkpoint up to there goes to a new segment, and with it goes what every later opening
    /// would have to read for nothing: all that is in this one and in its elders, if nothing else is needed; or the
    /// room beyond all other segments' that it has for one large group.
    fn is_left_by_checkpoint(&self, upto: u64) -> Result<bool, FsError> {
        if self.newest_bytes > LARGEST_BYTES {
            return Ok(true);
        }
        if upto + 1 != self.next_seq() {
            return Ok(false);
        }
        let (newest, mut long) = (self.end().segment(), self.end().offset());
        for elder in segments_in(&*self.fs)?.into_iter().filter(|first| *first < newest) {
            long += self.fs.stat(&segment_path(elder))?.map_or(0, |stat| stat.stamp.size);
        }
        Ok(long > LONG_BYTES)
    }

    /// The records of the next group, their bytes, and the chain after them.
    fn encode(&self, first: u64, kinds: Vec<RecordKind>) -> (Arc<[Record]>, (Vec<u8>, Chain)) {
        let synced = self.synced;
        let records = (first..).zip(kinds).map(|(seq, kind)| Record { seq, synced, kind });
        let records: Arc<[Record]> = records.collect();
        let encoded = encode_group(&records, self.end().chain());
        (records, encoded)
    }

    /// A segment is synced before it is left.
    fn sync_left_segment(&mut self) -> Result<(), FsError> {
        let path = segment_path(self.end().segment());
        let file = self.fs.open(&path, Access::Write)?;
        // Also on a full disk: a second sync would return success and prove nothing, and a
        // segment that follows says that this one is whole.
        file.sync(SyncKind::Data).inspect_err(|_| self.stopped = true)?;
        self.synced = self.end().seq();
        Ok(())
    }

    /// C6 and C7, over the padding of a segment that has room.
    fn write_at_tail(&mut self, bytes: &[u8], sync: Sync) -> Result<(), AppendError> {
        let tail = self.tail.as_ref().expect("there is room at the tail");
        let offset = self.end().offset();
        if let Err(PartialWrite { source, .. }) = write_all(&*tail.file, bytes, offset) {
            // Padding supplies a missing last newline, so what decides is the brace before it:
            // where that is still padding, the group is not whole and never will be. What there
            // is of it stays where it is; the next append goes to a new segment, which voids it.
            let brace = offset + bytes.len() as u64 - 2;
            let never_whole = is_padding(&*tail.file, brace);
            self.tail = None;
            return if never_whole {
                Err(AppendError::Unchanged(source))
            } else {
                self.stopped = true;
                Err(AppendError::Unknown(source))
            };
        }
        if sync == Sync::Later {
            return Ok(());
        }
        // The commit point. The size stands, so that this is one flush. After a failure
        // a second sync would return success and prove nothing.
        tail.file.sync(SyncKind::Data).map_err(|error| {
            self.stopped = true;
            AppendError::Unknown(error)
        })
    }

    /// Makes groups durable in a new segment that begins at the end of the journal. Returns where
    /// they begin.
    fn give_birth(
        &mut self,
        groups: &[u8],
        checkpoint: u64,
        time: Time,
        previous_bytes: u64,
    ) -> Result<Position, AppendError> {
        let (first, end) = (self.next_seq(), *self.end());
        let header = Header {
            store: self.store.clone(),
            first,
            checkpoint: checkpoint.min(first - 1),
            chain: end.chain(),
            time,
        };
        let blank = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Ready(blank) => Some(blank),
            Next::Nothing | Next::Wanted => None,
        };
        let born = birth(&*self.fs, &header, groups, previous_bytes, blank);
        let segment = born.inspect_err(|error| {
            self.stopped |= matches!(error, AppendError::Unknown(_));
        })?;
        (self.newest_bytes, self.written) = (segment.size, 0);
        self.tail = Some(segment);
        self.elders = Some(header.checkpoint);
        Ok(Position::new(first, header.encode().len() as u64, end.seq(), end.chain()))
    }

    /// Whether it is time to make the next segment's [blank](Blank::make), of this size in bytes: if as much is
    /// written here once more as was since the segment was opened here, it is full. Says so once.
    pub fn wants_blank(&mut self) -> Option<u64> {
        if matches!(&self.next, Next::Ready(blank) if blank.size() != birth_size(self.newest_bytes, 0))
        {
            // Another process has begun a segment since.
            self.next = Next::Nothing;
        }
        let tail = self.tail.as_ref()?;
        let is_time = self.end().offset() + self.written > tail.size;
        if !is_time || !matches!(self.next, Next::Nothing) {
            return None;
        }
        self.next = Next::Wanted;
        Some(birth_size(self.newest_bytes, 0))
    }

    /// Takes what was asked for, late perhaps: then the segment after the next one is made of it.
    pub fn take_blank(&mut self, blank: Blank) {
        if blank.size() == birth_size(self.newest_bytes, 0) {
            self.next = Next::Ready(blank);
        }
    }

    /// Unlinks the segments at which no scan starts any more, if a segment was born here since.
    ///
    /// Only after `state` names the new segment: whoever follows goes by what `state` has said
    /// last, and without these the journal up to there would lack its beginning.
    pub fn remove_elders(&mut self) {
        let Some(checkpoint) = self.elders.take() else { return };
        // One that cannot be listed or removed is ignored by every scan, and so is one that comes back
        // because nobody syncs the directory for its sake: the next birth tries again.
        let Ok(segments) = segments_in(&*self.fs) else { return };
        let start = start_of(segments.iter().copied(), checkpoint).unwrap_or(0);
        for first in &segments[..start] {
            let _ = self.fs.unlink(&segment_path(*first));
        }
    }

    /// Removes what births that did not end have left, in the turn of this writer.
    pub fn sweep_unborn(&self) -> Result<(), FsError> {
        sweep_unborn(&*self.fs)
    }

    /// The seq that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.end().seq() + 1
    }

    /// After the last group.
    pub fn end(&self) -> &Position {
        self.progress.end()
    }

    /// How far the journal has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The length of all groups after the last checkpoint record, in bytes.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.progress.bytes_since_checkpoint()
    }

    /// Everything up to this seq is durable without the journal. A checkpoint record that directly
    /// follows what it covers counts itself in.
    pub fn last_checkpoint(&self) -> u64 {
        self.progress.checkpoint()
    }

    /// A sync of the journal has failed, or an outcome is unknown: nothing may be appended any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped
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
