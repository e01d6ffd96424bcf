use std::process::{Command, Stdio};

use filepact_fs::{Access, OsFs};
use tempfile::TempDir;

use super::*;
use crate::arbitrary::transaction;
use crate::faulty::Faulty;
use crate::segment::SMALLEST_BYTES;
use crate::{ScanError, Words, load, scan, segment_name};

const STORE: &str = "5eed";

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

/// Found by the crash suite: a process died in the making of a store, the next one made it, and what
/// the first had begun stayed until somebody opened the store again.
#[test]
fn the_making_of_a_journal_removes_what_an_earlier_one_has_left() {
    let (_dir, fs) = Faulty::temp();
    drop(fs.create(&format!("{JOURNAL_DIR}/new.0")).unwrap());
    let _journal = Journal::create(fs.clone(), STORE).unwrap();
    let names: Vec<_> = fs.list(JOURNAL_DIR).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [segment_name(1).as_str()]);
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
    journal.remove_elders();
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

/// Found by a store of a million documents, which took 300 ms to open: its last segment had just begun.
#[test]
fn a_checkpoint_of_everything_leaves_no_long_journal_behind_in_elder_segments() {
    let (_dir, fs, mut journal) = store();
    let long = |fs: &Faulty| load(fs).unwrap().iter().map(|of| of.bytes.len() as u64).sum::<u64>();
    // A short one stays where it is.
    fill(&mut journal);
    let upto = journal.next_seq() - 1;
    let appended = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
    assert!(!appended.group.born && segments(&*fs).len() == 2);
    while long(&fs) < 2 * LONG_BYTES {
        fill(&mut journal);
    }
    assert!(journal.end().offset() < LONG_BYTES && segments(&*fs).len() > 2);
    // Another one has come meanwhile, which it does not cover.
    let upto = journal.next_seq() - 1;
    let _ = journal.append(transaction("a", b"1"), Time(0)).unwrap();
    let appended = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
    assert!(!appended.group.born);
    let upto = journal.next_seq() - 1;
    let appended = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
    assert!(appended.group.born);
    journal.remove_elders();
    assert_eq!((segments(&*fs).len(), long(&fs)), (1, SMALLEST_BYTES));
    assert_eq!(read(&*fs).end, *journal.end());
}

/// Appends until it is time for a blank, and returns its size.
fn fill_until_wanted(journal: &mut Journal) -> u64 {
    loop {
        let _ = journal.append(transaction("a", &[b'x'; 4000]), Time(0)).unwrap();
        if let Some(size) = journal.wants_blank() {
            return size;
        }
    }
}

#[test]
fn a_blank_is_wanted_once_when_as_much_again_would_fill_the_segment() {
    let (_dir, fs, mut journal) = store();
    let begin = journal.end().offset();
    assert_eq!(fill_until_wanted(&mut journal), 128 * 1024);
    let written = journal.end().offset() - begin;
    assert!(journal.end().offset() + written > SMALLEST_BYTES);
    assert!(written < SMALLEST_BYTES / 2 + 4500, "in time");
    let _ = journal.append(transaction("a", b"1"), Time(0)).unwrap();
    assert_eq!(journal.wants_blank(), None);
    // Who has only just come does not know how much it will write.
    let mut other = Journal::resume(fs.clone(), &read(&*fs), Resume::Tail).unwrap();
    assert_eq!(other.wants_blank(), None);
    let _ = other.append(transaction("a", b"1"), Time(0)).unwrap();
    assert_eq!(other.wants_blank(), None);
}

#[test]
fn a_segment_made_of_a_blank_is_synced_before_it_is_named() {
    let (_dir, fs, mut journal) = store();
    let size = fill_until_wanted(&mut journal);
    fs.take_log();
    journal.take_blank(Blank::make(&*fs, size).unwrap().unwrap());
    assert_eq!(
        log(&fs),
        [format!("create unnamed in {JOURNAL_DIR}"), "write unnamed".into(), "sync unnamed".into()]
    );
    assert_eq!(segments(&*fs), [1]);
    fill(&mut journal);
    let first = journal.end().segment();
    let calls = log(&fs);
    let new = ".filepact/journal/new";
    assert_eq!(
        calls[calls.len() - 5..],
        [
            format!("link to {new}"),
            "write unnamed".to_owned(),
            "sync unnamed".to_owned(),
            format!("rename to {}", segment_path(first)),
            format!("sync dir {JOURNAL_DIR}"),
        ]
    );
    let mode = fs.stat(&segment_path(first)).unwrap().unwrap().mode;
    assert_eq!(mode, 0o600);
    let scan = read(&*fs);
    assert_eq!((scan.end, scan.tail, scan.newest_bytes), (*journal.end(), Tail::Clean, size));
    // The next one is made ready as well, or made without.
    assert_eq!(fill_until_wanted(&mut journal), 2 * size);
    fill(&mut journal);
    assert_eq!((read(&*fs).end, journal.newest_bytes), (*journal.end(), 2 * size));
}

#[test]
fn a_blank_of_another_size_is_let_go_and_a_late_one_is_kept() {
    let (_dir, fs, mut journal) = store();
    let size = fill_until_wanted(&mut journal);
    journal.take_blank(Blank::make(&*fs, size).unwrap().unwrap());
    let _ = journal.append(transaction("a", &vec![b'x'; 300_000]), Time(0)).unwrap();
    assert_eq!(journal.newest_bytes, 320 * 1024);
    // Asked for before the segment that is the newest now.
    journal.take_blank(Blank::make(&*fs, size).unwrap().unwrap());
    journal.take_blank(Blank::make(&*fs, 640 * 1024).unwrap().unwrap());
    fs.take_log();
    let _ = journal.append(transaction("a", &vec![b'x'; 300_000]), Time(0)).unwrap();
    assert!(log(&fs).iter().any(|call| call.starts_with("link to")));
    assert_eq!((read(&*fs).end, journal.newest_bytes), (*journal.end(), 640 * 1024));
}

#[test]
fn a_blank_that_cannot_be_named_changes_nothing() {
    // Its write, its sync, its last name. Without its first one it is made from nothing.
    for nth in 1..4 {
        let (_dir, fs, mut journal) = store();
        let size = fill_until_wanted(&mut journal);
        journal.take_blank(Blank::make(&*fs, size).unwrap().unwrap());
        let end = *journal.end();
        fs.take_log();
        fs.fail_nth(nth, false);
        let large = transaction("a", &[b'x'; 60_000]);
        let failed = journal.append(large.clone(), Time(0));
        assert!(matches!(failed, Err(AppendError::Unchanged(_))), "{nth}: {failed:?}");
        assert_eq!((read(&*fs).end, *journal.end()), (end, end), "{nth}");
        let names = fs.list(JOURNAL_DIR).unwrap().len();
        assert_eq!(names, 1, "{nth}: nothing lies about");
        let _ = journal.append(large, Time(0)).unwrap();
        assert_eq!(read(&*fs).end, *journal.end(), "{nth}");
    }
    let (_dir, fs, mut journal) = store();
    let size = fill_until_wanted(&mut journal);
    journal.take_blank(Blank::make(&*fs, size).unwrap().unwrap());
    fs.take_log();
    fs.fail_nth(0, false);
    let appended = journal.append(transaction("a", &[b'x'; 60_000]), Time(0)).unwrap();
    assert!(appended.group.born);
    assert!(log(&fs).iter().any(|call| call.starts_with("create")));
    assert_eq!(read(&*fs).end, *journal.end());
}

#[test]
fn a_checkpoint_born_with_its_segment_lets_the_others_go() {
    let (_dir, fs, mut journal) = store();
    let _ = journal.append(transaction("a", b"1"), Time(0)).unwrap();
    let scan = read(&*fs);
    let mut journal = Journal::resume(fs.clone(), &scan, Resume::Fresh).unwrap();
    let _ = journal.append(vec![RecordKind::Checkpoint { upto: 3 }], Time(0)).unwrap();
    assert_eq!(segments(&*fs), [1, 4], "whoever goes by the `state` of before needs the first");
    journal.remove_elders();
    assert_eq!(segments(&*fs), [4]);
    assert_eq!(read(&*fs).checkpoint, 3);
}

#[test]
fn a_journal_rotates_through_many_segments() {
    let (_dir, fs, mut journal) = store();
    let mut words = Words::default();
    for round in 0..200_u32 {
        let body = vec![b'a' + (round % 26) as u8; 9000];
        let upto = journal.next_seq() - 1;
        words.apply(&journal.append(transaction("a", &body), Time(round.into())).unwrap().group);
        if round % 60 == 59 {
            let _ = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
        }
        journal.remove_elders();
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
    let _ = journal.append(transaction("b", b"more"), Time(0)).unwrap();
    let first = journal.next_seq();
    let _ = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
    journal.remove_elders();
    assert_eq!((segments(&*fs), journal.newest_bytes), (vec![2, first], SMALLEST_BYTES));
    assert_eq!(read_with(&*fs, Some(first)).unwrap().end, *journal.end());
}

#[test]
fn a_checkpoint_of_all_there_is_leaves_the_next_opening_little_to_read() {
    let (_dir, fs, mut journal) = store();
    let _ = journal.append(transaction("a", b"little"), Time(0)).unwrap();
    let upto = journal.next_seq() - 1;
    let _ = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
    assert_eq!(segments(&*fs), [1], "there is little anyway");
    for _ in 0..7 {
        let _ = journal.append(transaction("a", &vec![b'x'; 400_000]), Time(0)).unwrap();
    }
    let upto = journal.next_seq() - 1;
    let _ = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
    journal.remove_elders();
    assert_eq!((segments(&*fs), journal.newest_bytes), (vec![upto + 1], SMALLEST_BYTES));
    let scan = read_with(&*fs, Some(upto + 1)).unwrap();
    assert_eq!((scan.groups.len(), scan.end), (1, *journal.end()));
}

#[test]
fn a_segment_that_cannot_be_removed_is_removed_later() {
    let (_dir, fs, mut journal) = store();
    let _ = journal.append(vec![RecordKind::Checkpoint { upto: 1 }], Time(0)).unwrap();
    fs.take_log();
    fs.fail_nth(5, false);
    journal.tail = None;
    let _ = journal.append(transaction("a", b"1"), Time(0)).unwrap();
    journal.remove_elders();
    assert!(fs.take_log()[5].starts_with("unlink"));
    assert_eq!(segments(&*fs), [1, 3]);
    assert_eq!(read(&*fs).groups.len(), 1);
    journal.tail = None;
    let _ = journal.append(transaction("a", b"2"), Time(0)).unwrap();
    journal.remove_elders();
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
            let mut again = Journal::repeat(fs.clone(), &scan, Names::Believed).expect(what);
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
fn what_fell_short_is_not_written_over_by_whoever_goes_on() {
    let (_dir, fs, mut journal) = store();
    fs.cut_next_write(100);
    let outcome = journal.append(transaction("a", b"torn"), Time(0));
    assert!(matches!(outcome, Err(AppendError::Unchanged(_))), "{outcome:?}");
    let torn = load(&*fs).unwrap()[0].bytes.clone();
    // In the same turn, so that nobody has looked at the tail.
    let appended = journal.append(transaction("b", b"whole"), Time(0)).unwrap();
    assert!(appended.group.born);
    assert_eq!(load(&*fs).unwrap()[0].bytes, torn);
    assert_eq!(read(&*fs).groups.last().unwrap().records, appended.group.records);
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
    let mut journal = Journal::repeat(fs.clone(), &before, Names::Believed).unwrap();
    assert_eq!(segments(&*fs), [1, 4]);
    let after = read_with(&*fs, Some(5)).unwrap();
    assert_eq!(after.end, *journal.end());
    assert_eq!(after.groups.len(), before.groups.len());
    assert_eq!(after.groups[2].records, before.groups[2].records);
    assert!(after.groups[1].covered && after.groups[2].born);

    // A crash, and once more: the group lacks nothing but a sync of the directory.
    fs.take_log();
    let _ = Journal::repeat(fs.clone(), &after, Names::Believed).unwrap();
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
        let records: Vec<_> = records.map(|(seq, kind)| Record { seq, synced: 0, kind }).collect();
        let (bytes, after) = encode_group(&records, chain);
        write_all(&*file, &bytes, offset).unwrap();
        (offset, chain) = (offset + bytes.len() as u64, after);
    }
    let before = read(&*fs);
    let mut journal = Journal::repeat(fs.clone(), &before, Names::Believed).unwrap();
    let after = read_with(&*fs, Some(7)).unwrap();
    let mut records = after.groups.iter().flat_map(|group| &*group.records);
    assert!(records.all(|record| record.synced == 1));
    // The checkpoint that the first segment began with needs no journal any more.
    journal.remove_elders();
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
    let mut journal = Journal::repeat(fs.clone(), &read(&*fs), Names::Believed).unwrap();
    journal.remove_elders();
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
        let outcome = Journal::repeat(fs.clone(), &before, Names::Believed);
        fs.take_log();
        assert!(outcome.is_err(), "{nth}");
        let scan = read_with(&*fs, Some(3)).unwrap();
        let journal = Journal::repeat(fs.clone(), &scan, Names::Believed).unwrap();
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

#[test]
fn what_is_not_synced_is_said_of_nobody_until_the_next_sync() {
    let (_dir, fs, mut journal) = store();
    let synced_first = journal.append(transaction("a", b"1"), Time(0)).unwrap();
    log(&fs);
    let later = journal.append_unsynced(transaction("a", b"2"), Time(0)).unwrap();
    let last = journal.append_unsynced(transaction("a", b"3"), Time(0)).unwrap();
    assert_eq!((later.synced, last.synced), (synced_first.last, synced_first.last));
    assert!(log(&fs).iter().all(|call| call.starts_with("write")), "no sync");
    let scan = read(&*fs);
    assert!(scan.groups.last().unwrap().records.iter().all(|r| r.synced == synced_first.last));
    assert!(!scan.groups.iter().any(|group| group.covered && group.first > synced_first.last));

    let now = journal.append(transaction("a", b"4"), Time(0)).unwrap();
    assert_eq!(now.synced, now.last);
    let after = journal.append(transaction("a", b"5"), Time(0)).unwrap();
    assert_eq!(after.group.records[0].synced, now.last);
}

#[test]
fn attack_9_groups_that_were_not_synced_and_are_lost_in_any_order_raise_no_alarm() {
    let (_dir, fs, mut journal) = store();
    let durable = journal.append(transaction("a", b"0"), Time(0)).unwrap();
    let bodies: [&[u8]; 3] = [b"1", b"2", b"3"];
    let groups: Vec<_> = bodies
        .iter()
        .map(|body| journal.append_unsynced(transaction("a", body), Time(0)).unwrap().group)
        .collect();
    let whole = load(&*fs).unwrap();
    for lost in 1..8_usize {
        for filler in [PADDING, 0] {
            let mut bytes = whole[0].bytes.clone();
            for (_, group) in groups.iter().enumerate().filter(|(at, _)| lost >> at & 1 == 1) {
                let range = group.begins.offset() as usize..group.ends.offset() as usize;
                bytes[range].fill(filler);
            }
            let scan = scan(&[(whole[0].first, &bytes)], Some(durable.last)).unwrap();
            // Whole groups up to the first that is lost.
            let kept = (0..3)
                .take_while(|at| lost >> at & 1 == 0)
                .last()
                .map_or(durable.last, |at| groups[at].last);
            assert_eq!(scan.end.seq(), kept, "{lost:03b}");
        }
    }
}

#[test]
fn a_segment_is_synced_before_it_is_left() {
    let (_dir, fs, mut journal) = store();
    let first = journal.end().segment();
    let mut last = journal.end().seq();
    let born = loop {
        let appended = journal.append_unsynced(transaction("a", &[b'x'; 4000]), Time(0)).unwrap();
        if appended.group.born {
            break appended;
        }
        last = appended.last;
        log(&fs);
    };
    let calls = log(&fs);
    assert_eq!(calls[0], format!("sync {}", segment_path(first)));
    assert!(calls[1].starts_with("create"), "{calls:?}");
    assert_eq!((born.group.records[0].synced, born.synced), (last, born.last));
}
