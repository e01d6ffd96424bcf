use filepact_fs::{Time, write_all};
use tempfile::TempDir;

use super::*;
use crate::arbitrary::transaction;
use crate::faulty::Faulty;
use crate::{Journal, RecordKind, load, read_to, scan};

fn checkpoint(journal: &mut Journal) {
    let upto = journal.next_seq() - 1;
    let _ = journal.append(vec![RecordKind::Checkpoint { upto }], Time(0)).unwrap();
    journal.remove_elders();
}

fn append(journal: &mut Journal, len: usize) -> Group {
    let appended = journal.append(transaction("a", &vec![b'x'; len]), Time(0)).unwrap();
    journal.remove_elders();
    appended.group
}

/// A store with a writer, and somebody who has read it when it was new.
fn store() -> (TempDir, Arc<Faulty>, Journal, Follower) {
    let (dir, fs) = Faulty::temp();
    let journal = Journal::create(fs.clone(), "5eed").unwrap();
    let scan = read_to(&*fs, &Mark::from(journal.end())).unwrap();
    let follower = Follower::new(fs.clone(), Progress::of(&scan));
    (dir, fs, journal, follower)
}

fn committed(journal: &Journal) -> Mark {
    Mark::from(journal.end())
}

#[test]
fn what_others_append_is_taken_in_once_and_in_order() {
    let (_dir, _fs, mut journal, mut follower) = store();
    let mut expected = Vec::new();
    let mut found = Vec::new();
    for round in 0..60 {
        expected.push(append(&mut journal, 9000));
        if round % 7 == 3 {
            found.extend(follower.follow(&committed(&journal)).unwrap());
            assert_eq!(follower.progress(), journal.progress());
        }
        assert!(journal.end().segment() == 1 || round > 5);
    }
    found.extend(follower.follow(&committed(&journal)).unwrap());
    assert!(follower.follow(&committed(&journal)).unwrap().is_empty());
    assert_eq!(follower.progress(), journal.progress());
    let records = |groups: &[Group]| -> Vec<_> {
        groups.iter().flat_map(|group| group.records.iter().cloned()).collect()
    };
    assert_eq!(records(&found), records(&expected));
}

#[test]
fn what_is_not_committed_is_not_looked_at() {
    let (_dir, fs, mut journal, mut follower) = store();
    append(&mut journal, 10);
    let mark = committed(&journal);
    // In flight at the tail, then in a segment of its own.
    append(&mut journal, 10);
    append(&mut journal, 300_000);
    assert_eq!(follower.follow(&mark).unwrap().len(), 1);
    assert_eq!(Mark::from(follower.progress().end()), mark);
    let read = read_to(&*fs, &mark).unwrap();
    assert_eq!((read.groups.len(), Mark::from(&read.end)), (2, mark.clone()));
    // A reader who is behind asks for nothing.
    assert_eq!(follower.follow(&committed(&journal)).unwrap().len(), 2);
    assert!(follower.follow(&mark).unwrap().is_empty());
}

#[test]
fn who_has_fallen_behind_a_checkpoint_reads_anew() {
    let (_dir, fs, mut journal, mut follower) = store();
    append(&mut journal, 60_000);
    checkpoint(&mut journal);
    append(&mut journal, 300_000);
    let old = committed(&journal);
    checkpoint(&mut journal);
    append(&mut journal, 300_000);
    let mark = committed(&journal);
    assert!(matches!(follower.follow(&mark), Err(FollowError::Gone)));
    let read = read_to(&*fs, &mark).unwrap();
    follower.restart(&read);
    assert_eq!(Mark::from(follower.progress().end()), mark);
    append(&mut journal, 10);
    assert_eq!(follower.follow(&committed(&journal)).unwrap().len(), 1);
    // And `state` of before leads nowhere: to be read again.
    assert!(read_to(&*fs, &old).is_err());
}

#[test]
fn a_mark_that_is_not_where_a_group_ends_leads_nowhere() {
    let (_dir, fs, mut journal, mut follower) = store();
    append(&mut journal, 10);
    append(&mut journal, 10);
    let mark = committed(&journal);
    let wrong = [
        Mark { offset: mark.offset - 1, ..mark.clone() },
        Mark { offset: mark.offset + 1, ..mark.clone() },
        Mark { seq: mark.seq + 1, ..mark.clone() },
        Mark { seq: mark.seq - 1, ..mark.clone() },
        Mark { segment: mark.segment + 1, ..mark.clone() },
        Mark { chain: crate::Chain::ZERO, ..mark.clone() },
    ];
    for mark in wrong {
        assert!(matches!(follower.follow(&mark), Err(FollowError::Gone)), "{mark:?}");
        assert!(read_to(&*fs, &mark).is_err(), "{mark:?}");
    }
    assert_eq!(follower.follow(&mark).unwrap().len(), 2, "nothing was taken in before");
}

#[test]
fn own_groups_are_not_read_again() {
    let (_dir, fs, mut journal, mut follower) = store();
    let group = append(&mut journal, 10);
    fs.take_log();
    assert!(follower.advance(&group));
    assert!(!follower.advance(&group));
    assert_eq!(follower.progress(), journal.progress());
}

/// Two writers of one store take turns.
fn two_writers() -> (TempDir, Arc<Faulty>, Journal, Journal) {
    let (dir, fs, mut first, _) = store();
    append(&mut first, 10);
    let scan = read_to(&*fs, &committed(&first)).unwrap();
    let second = Journal::join(fs.clone(), &scan).unwrap();
    (dir, fs, first, second)
}

fn read_all(fs: &Faulty) -> Scan {
    let segments = load(fs).unwrap();
    let segments: Vec<_> = segments.iter().map(|s| (s.first, &*s.bytes)).collect();
    scan(&segments, None).unwrap()
}

#[test]
fn writers_take_turns_at_one_tail_and_through_segments() {
    let (_dir, fs, mut first, mut second) = two_writers();
    for _ in 0..20 {
        append(&mut second, 9000);
        first.catch_up(second.progress(), second.end().seq()).unwrap();
        // Its lines say what the other one has synced.
        let group = append(&mut first, 9000);
        assert!(group.records.iter().all(|record| record.synced == group.first - 1));
        append(&mut first, 9000);
        second.catch_up(first.progress(), first.end().seq()).unwrap();
    }
    assert_eq!(read_all(&fs).groups.len(), 2 + 60);
    assert_eq!(read_all(&fs).end, *second.end());
    // 9 KB each: had anybody left segments before they were full, there would be more.
    assert!(segments_in(&*fs).unwrap().len() <= 5);
}

#[test]
fn what_a_dead_writer_left_at_the_tail_is_voided_by_a_new_segment() {
    let (_dir, fs, first, mut second) = two_writers();
    // The group is whole, and nobody was told of it.
    let progress = *first.progress();
    let mut dead = first;
    append(&mut dead, 10);
    second.catch_up(&progress, progress.end().seq()).unwrap();
    let group = append(&mut second, 20);
    assert!(group.born);
    let scan = read_all(&fs);
    assert_eq!(scan.end, *second.end());
    assert_eq!(scan.groups.last().unwrap().records, group.records);
}

/// Attack 35.
#[test]
fn a_dead_writers_segment_is_replaced_although_there_is_room_at_the_tail_before_it() {
    let (_dir, fs, first, mut second) = two_writers();
    let progress = *first.progress();
    let mut dead = first;
    assert!(append(&mut dead, 300_000).born);
    second.catch_up(&progress, progress.end().seq()).unwrap();
    let group = append(&mut second, 20);
    assert!(group.born, "at the tail before it, the dead one's segment would have voided it");
    let scan = read_all(&fs);
    assert_eq!(scan.groups.last().unwrap().records, group.records);
}

#[test]
fn who_joins_does_not_write_over_what_a_power_cut_tore() {
    let (_dir, fs, first, _) = two_writers();
    // The first page of a group was lost, the second was not.
    let file = fs.open(&segment_path(1), Access::Write).unwrap();
    write_all(&*file, b"{\"crc\":", first.end().offset() + 8192).unwrap();
    let scan = read_to(&*fs, &committed(&first)).unwrap();
    let mut joined = Journal::join(fs.clone(), &scan).unwrap();
    joined.catch_up(first.progress(), first.end().seq()).unwrap();
    assert!(append(&mut joined, 10).born);
}
