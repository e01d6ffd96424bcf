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
    Chain, Group, Header, Position, Record, RecordKind, Scan, Tail, encode_group, segment_path,
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

/// An append that failed, by what is true afterwards.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing has changed: the group does not count and never will. The next append may succeed.
    #[error(transparent)]
    Unchanged(FsError),
    /// The group counts, or it does not: only a new scan can tell. This journal takes no more.
    #[error("the journal's last group may be durable or not")]
    Unknown(#[source] FsError),
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
    pub fn repeat(fs: Arc<dyn Fs>, scan: &Scan) -> Result<Self, AppendError> {
        let doubtful = scan.groups.iter().rev().take_while(|group| !group.covered && !group.born);
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
mod tests {
    use std::process::{Command, Stdio};

    use filepact_fs::{Access, OsFs};
    use tempfile::TempDir;

    use super::*;
    use crate::faulty::Faulty;
    use crate::{Body, Commit, Hash, Put, ScanError, Words, load, scan, segment_name};

    const STORE: &str = "5eed";

    fn transaction(path: &str, body: &[u8]) -> Vec<RecordKind> {
        let put = Put {
            path: path.into(),
            len: body.len() as u64,
            hash: Hash::of(body),
            mode: 0o644,
            uid: 0,
            gid: 0,
            was: None,
            body: Body::Inline(body.into()),
        };
        vec![RecordKind::Put(put), RecordKind::Commit(Commit::default())]
    }

    fn store() -> (TempDir, Arc<Faulty>, Journal) {
        let (dir, fs) = Faulty::temp();
        let journal = Journal::create(fs.clone(), STORE).unwrap();
        (dir, fs, journal)
    }

    fn read_with(fs: &dyn Fs, synced: Option<u64>) -> Result<Scan, ScanError> {
        let segments = load(fs).unwrap();
        let segments: Vec<_> = segments.iter().map(|s| (s.first, &*s.bytes)).collect();
        scan(&segments, synced)
    }

    fn read(fs: &dyn Fs) -> Scan {
        read_with(fs, None).unwrap()
    }

    fn segments(fs: &dyn Fs) -> Vec<u64> {
        segments_in(fs).unwrap()
    }

    /// The calls since the last look, with the name of an unborn segment cut to `new`.
    fn log(fs: &Faulty) -> Vec<String> {
        let calls = fs.take_log().into_iter();
        calls
            .map(|call| call.split_once("new.").map_or(call.clone(), |(a, _)| format!("{a}new")))
            .collect()
    }

    /// Appends until a segment is born, and returns how many appends that took.
    fn fill(journal: &mut Journal) -> usize {
        let segment = journal.end().segment();
        for count in 1.. {
            let appended = journal.append(transaction("a", &[b'x'; 4000]), Time(0)).unwrap();
            assert_eq!(appended.group.born, journal.end().segment() != segment);
            if appended.group.born {
                return count;
            }
        }
        unreachable!()
    }

    #[test]
    fn a_new_journal_begins_with_a_checkpoint_of_nothing() {
        let (_dir, fs, journal) = store();
        let scan = read(&*fs);
        assert_eq!((journal.next_seq(), journal.store()), (2, STORE));
        assert_eq!((scan.end, &*scan.store), (*journal.end(), STORE));
        assert_eq!(scan.groups[0].records[0].kind, RecordKind::Checkpoint { upto: 0 });
        assert_eq!(segments(&*fs), [1]);
        let again = Journal::create(fs, STORE);
        let Err(AppendError::Unchanged(error)) = again else { panic!("{again:?}") };
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn an_append_is_one_write_and_one_sync() {
        let (_dir, fs, mut journal) = store();
        fs.take_log();
        let appended = journal.append(transaction("a", b"1"), Time(0)).unwrap();
        // The file was opened under the name that it was born with.
        let new = ".filepact/journal/new";
        assert_eq!(log(&fs), [format!("write {new}"), format!("sync {new}")]);
        assert_eq!((appended.first, appended.last), (2, 3));
        let scan = read(&*fs);
        assert_eq!(scan.groups[1], appended.group);
        assert_eq!((scan.end, scan.tail), (*journal.end(), Tail::Clean));
    }

    #[test]
    fn a_segment_is_synced_before_it_is_named_and_old_ones_go_last() {
        let (_dir, fs, mut journal) = store();
        fill(&mut journal);
        let upto = journal.next_seq() - 1;
        let _ = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
        assert_eq!((journal.last_checkpoint(), journal.bytes_since_checkpoint()), (upto + 1, 0));
        let (old, full) = (segments(&*fs), journal.newest_bytes);
        assert_eq!((old.len(), full), (2, 128 * 1024));
        fs.take_log();
        let body = vec![b'x'; 300_000];
        let appended = journal.append(transaction("a", &body), Time(0)).unwrap();
        assert!(appended.group.born);
        let new = ".filepact/journal/new";
        assert_eq!(
            log(&fs),
            [
                format!("create {new}"),
                format!("write {new}"),
                format!("sync {new}"),
                format!("rename to {}", segment_path(appended.first)),
                format!("sync dir {JOURNAL_DIR}"),
                format!("unlink {}", segment_path(old[0])),
                format!("unlink {}", segment_path(old[1])),
            ]
        );
        assert_eq!(segments(&*fs), [appended.first]);
        let scan = read(&*fs);
        assert_eq!((scan.checkpoint, scan.end), (upto + 1, *journal.end()));
        assert_eq!(scan.newest_bytes, 320 * 1024);
        assert!(journal.bytes_since_checkpoint() > 300_000);
    }

    #[test]
    fn a_checkpoint_born_with_its_segment_lets_the_others_go() {
        let (_dir, fs, mut journal) = store();
        let _ = journal.append(transaction("a", b"1"), Time(0)).unwrap();
        let scan = read(&*fs);
        let mut journal = Journal::resume(fs.clone(), &scan, Resume::Fresh).unwrap();
        let _ = journal.append(vec![RecordKind::Checkpoint { upto: 3 }], Time(0)).unwrap();
        assert_eq!(segments(&*fs), [4]);
        assert_eq!(read(&*fs).checkpoint, 3);
    }

    #[test]
    fn a_journal_rotates_through_many_segments() {
        let (_dir, fs, mut journal) = store();
        let mut words = Words::default();
        for round in 0..200_u32 {
            let body = vec![b'a' + (round % 26) as u8; 9000];
            words
                .apply(&journal.append(transaction("a", &body), Time(round.into())).unwrap().group);
            if round % 60 == 59 {
                let upto = journal.next_seq() - 1;
                let _ = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
            }
            let scan = read_with(&*fs, Some(journal.end().seq())).unwrap();
            assert_eq!(scan.end, *journal.end());
            let mut read = Words::default();
            scan.groups.iter().for_each(|group| read.apply(group));
            assert_eq!(read.get("a").map(|word| word.seq), words.get("a").map(|word| word.seq));
            if round % 7 == 0 {
                journal = Journal::resume(fs.clone(), &scan, Resume::Tail).unwrap();
            }
        }
        assert!(journal.end().segment() > 1 && segments(&*fs)[0] > 1);
    }

    #[test]
    fn a_checkpoint_leaves_a_segment_that_one_large_group_has_stretched() {
        let (_dir, fs, mut journal) = store();
        let _ = journal.append(transaction("a", &vec![b'x'; 5_000_000]), Time(0)).unwrap();
        assert!(journal.newest_bytes > LARGEST_BYTES);
        let upto = journal.next_seq() - 1;
        let _ = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
        assert_eq!((segments(&*fs), journal.newest_bytes), (vec![upto + 1], LARGEST_BYTES));
        assert_eq!(read_with(&*fs, Some(upto + 1)).unwrap().end, *journal.end());
    }

    #[test]
    fn a_segment_that_cannot_be_removed_is_removed_later() {
        let (_dir, fs, mut journal) = store();
        let _ = journal.append(vec![RecordKind::Checkpoint { upto: 1 }], Time(0)).unwrap();
        fs.take_log();
        fs.fail_nth(5, false);
        journal.tail = None;
        let _ = journal.append(transaction("a", b"1"), Time(0)).unwrap();
        assert!(fs.take_log()[5].starts_with("unlink"));
        assert_eq!(segments(&*fs), [1, 3]);
        assert_eq!(read(&*fs).groups.len(), 1);
        journal.tail = None;
        let _ = journal.append(transaction("a", b"2"), Time(0)).unwrap();
        assert_eq!(segments(&*fs), [3, 5]);
    }

    /// Runs an append with a fault, and holds the answer against a scan of what is there.
    fn check_fault(fs: &Arc<Faulty>, journal: &mut Journal, what: &str) {
        let before = *journal.end();
        let outcome = journal.append(transaction("b", &[b'y'; 2000]), Time(1));
        fs.take_log();
        let scan = read_with(&**fs, Some(before.seq())).expect(what);
        match outcome {
            Ok(appended) => {
                assert_eq!(scan.end, appended.group.ends, "{what}");
            }
            Err(AppendError::Unchanged(_)) => {
                assert_eq!((scan.end, *journal.end()), (before, before), "{what}");
                // The journal goes on, over nothing of what was left there.
                let appended = journal.append(transaction("c", b"z"), Time(2)).expect(what);
                let after = read_with(&**fs, Some(appended.last)).expect(what);
                assert_eq!(after.end, *journal.end(), "{what}");
                assert_eq!(after.groups.last().unwrap().records, appended.group.records, "{what}");
            }
            Err(AppendError::Unknown(_)) => {
                let refused = journal.append(transaction("c", b"z"), Time(2));
                assert!(
                    matches!(&refused, Err(AppendError::Unchanged(e)) if e.is_latched()),
                    "{what}: {refused:?}"
                );
                assert!(read(&**fs).end.seq() >= before.seq(), "{what}");
                // Opening again settles it.
                let mut again = Journal::repeat(fs.clone(), &scan).expect(what);
                assert_eq!(again.end().seq(), scan.end.seq(), "{what}");
                let appended = again.append(transaction("c", b"z"), Time(2)).expect(what);
                let after = read_with(&**fs, Some(appended.last)).expect(what);
                assert_eq!(after.end, *again.end(), "{what}");
            }
        }
    }

    #[test]
    fn whatever_call_fails_the_answer_is_true() {
        for fresh in [false, true] {
            for full in [false, true] {
                for nth in 0..8 {
                    let (_dir, fs, mut journal) = store();
                    let _ = journal.append(transaction("a", b"1"), Time(0)).unwrap();
                    if fresh {
                        journal.tail = None;
                    }
                    fs.fail_nth(nth, full);
                    check_fault(&fs, &mut journal, &format!("{nth}, fresh {fresh}, full {full}"));
                }
            }
        }
    }

    #[test]
    fn a_write_that_falls_short_at_any_byte_is_answered_truly() {
        let (_dir, _fs, journal) = store();
        let (synced, chain) = (journal.end().seq(), journal.end().chain());
        let records = (2..).zip(transaction("b", &[b'y'; 2000]));
        let records: Vec<_> = records.map(|(seq, kind)| Record { seq, synced, kind }).collect();
        let len = encode_group(&records, chain).0.len();
        for cut in (0..20).chain(len - 60..len) {
            for fresh in [false, true] {
                let (_dir, fs, mut journal) = store();
                if fresh {
                    journal.tail = None;
                }
                fs.cut_next_write(cut);
                check_fault(&fs, &mut journal, &format!("cut at {cut}, fresh {fresh}"));
                // Only the last newline can be missing without being missed.
                assert_eq!(journal.stopped, cut == len - 1 && !fresh, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_short_write_that_cannot_be_looked_at_is_unknown() {
        let (_dir, fs, mut journal) = store();
        fs.cut_next_write(10);
        fs.set_unreadable(true);
        let outcome = journal.append(transaction("a", b"1"), Time(0));
        assert!(matches!(outcome, Err(AppendError::Unknown(error)) if error.is_full()));
    }

    #[test]
    fn a_torn_tail_is_left_and_voided() {
        let (_dir, fs, mut journal) = store();
        let _ = journal.append(transaction("a", b"1"), Time(0)).unwrap();
        let file = fs.open(&segment_path(1), Access::Write).unwrap();
        write_all(&*file, b"{\"crc\":\"", journal.end().offset()).unwrap();
        let scan = read(&*fs);
        assert!(matches!(scan.tail, Tail::Torn { .. }));
        let mut journal = Journal::resume(fs.clone(), &scan, Resume::Tail).unwrap();
        let appended = journal.append(transaction("a", b"2"), Time(0)).unwrap();
        assert!(appended.group.born);
        assert_eq!(segments(&*fs), [1, 4]);
        assert_eq!(read_with(&*fs, Some(5)).unwrap().end, *journal.end());
    }

    #[test]
    fn what_nothing_confirms_is_repeated_once() {
        let (_dir, fs, mut journal) = store();
        let _ = journal.append(transaction("a", b"1"), Time(7)).unwrap();
        let _ = journal.append(transaction("b", b"2"), Time(8)).unwrap();
        let before = read(&*fs);
        let mut journal = Journal::repeat(fs.clone(), &before).unwrap();
        assert_eq!(segments(&*fs), [1, 4]);
        let after = read_with(&*fs, Some(5)).unwrap();
        assert_eq!(after.end, *journal.end());
        assert_eq!(after.groups.len(), before.groups.len());
        assert_eq!(after.groups[2].records, before.groups[2].records);
        assert!(after.groups[1].covered && after.groups[2].born);

        // A crash, and once more: the group lacks nothing but a sync of the directory.
        fs.take_log();
        let _ = Journal::repeat(fs.clone(), &after).unwrap();
        assert_eq!(fs.take_log(), [format!("sync dir {JOURNAL_DIR}")]);

        let _ = journal.append(transaction("c", b"3"), Time(9)).unwrap();
        assert_eq!(segments(&*fs), [1, 4]);
        assert_eq!(read_with(&*fs, Some(7)).unwrap().groups.len(), 4);
    }

    #[test]
    fn groups_that_were_never_synced_are_repeated_together() {
        let (_dir, fs, journal) = store();
        // As a writer leaves them who syncs nothing: `synced` stands still.
        let (mut offset, mut chain) = (journal.end().offset(), journal.end().chain());
        let file = fs.open(&segment_path(1), Access::Write).unwrap();
        for first in [2, 4, 6] {
            let records = (first..).zip(transaction("a", &[b'0' + first as u8]));
            let records: Vec<_> =
                records.map(|(seq, kind)| Record { seq, synced: 0, kind }).collect();
            let (bytes, after) = encode_group(&records, chain);
            write_all(&*file, &bytes, offset).unwrap();
            (offset, chain) = (offset + bytes.len() as u64, after);
        }
        let before = read(&*fs);
        let mut journal = Journal::repeat(fs.clone(), &before).unwrap();
        let after = read_with(&*fs, Some(7)).unwrap();
        let mut records = after.groups.iter().flat_map(|group| &*group.records);
        assert!(records.all(|record| record.synced == 1));
        // The checkpoint that the first segment began with needs no journal any more.
        assert_eq!((after.end, segments(&*fs)), (*journal.end(), vec![2]));
        let seqs: Vec<_> = after.groups.iter().map(|group| (group.first, group.born)).collect();
        assert_eq!(seqs, [(2, true), (4, false), (6, false)]);
        let _ = journal.append(transaction("b", b"x"), Time(0)).unwrap();
        assert!(read(&*fs).groups[..3].iter().all(|group| group.covered));
    }

    #[test]
    fn a_checkpoint_that_nothing_confirms_is_repeated() {
        let (_dir, fs, mut journal) = store();
        let _ = journal.append(transaction("a", b"1"), Time(7)).unwrap();
        let _ = journal.append(vec![RecordKind::Checkpoint { upto: 3 }], Time(0)).unwrap();
        let journal = Journal::repeat(fs.clone(), &read(&*fs)).unwrap();
        assert_eq!((journal.last_checkpoint(), segments(&*fs)), (4, vec![4]));
        let scan = read_with(&*fs, Some(4)).unwrap();
        assert_eq!((scan.checkpoint, scan.end), (3, *journal.end()));
    }

    #[test]
    fn a_repeat_that_fails_leaves_the_journal_as_it_was() {
        for nth in 0..5 {
            let (_dir, fs, mut journal) = store();
            let _ = journal.append(transaction("a", b"1"), Time(7)).unwrap();
            let before = read(&*fs);
            fs.fail_nth(nth, false);
            let outcome = Journal::repeat(fs.clone(), &before);
            fs.take_log();
            assert!(outcome.is_err(), "{nth}");
            let scan = read_with(&*fs, Some(3)).unwrap();
            let journal = Journal::repeat(fs.clone(), &scan).unwrap();
            assert_eq!((journal.next_seq(), read(&*fs).end.seq()), (4, 3), "{nth}");
        }
    }

    #[test]
    fn jq_reads_any_segment() {
        let (dir, fs, mut journal) = store();
        let _ = journal.append(transaction("a.json", b"{\"n\": 1}\n"), Time(0)).unwrap();
        let _ = journal.append(transaction("b", &[0xff, 0, b'\n']), Time(0)).unwrap();
        drop(fs);
        let path = dir.path().join(JOURNAL_DIR).join(segment_name(1));
        let jq = Command::new("jq")
            .args(["-c", ".rec | [.seq, .kind, .path]"])
            .arg(path)
            .stdin(Stdio::null())
            .output();
        let Ok(output) = jq else {
            println!("jq is not installed: not tried");
            return;
        };
        let expected = "[null,\"segment\",null]\n[1,\"checkpoint\",null]\n[2,\"put\",\"a.json\"]\n\
                        [3,\"commit\",null]\n[4,\"put\",\"b\"]\n[5,\"commit\",null]\n";
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn a_directory_without_a_journal_has_no_segments() {
        let dir = tempfile::tempdir().unwrap();
        let fs = OsFs::open(dir.path()).unwrap();
        assert_eq!(load(&fs).unwrap(), []);
    }
}
