use std::ops::Range;

use filepact_fs::Time;
use quickcheck::{TestResult, quickcheck};

use super::*;
use crate::arbitrary::{Groups, Kinds};
use crate::line::{ChainHasher, parse_line};
use crate::segment::PADDING;
use crate::{Commit, Hash, Put, Record, RecordKind, encode_group};

/// A journal in memory, written by the rules.
struct Journal {
    segments: Vec<(u64, Vec<u8>)>,
    /// Where each group of the newest segment lies.
    groups: Vec<Range<usize>>,
    seq: u64,
    chain: Chain,
}

impl Journal {
    fn new() -> Self {
        Self { segments: vec![], groups: vec![], seq: 0, chain: Chain::ZERO }
    }

    /// A new segment; the next group is born with it.
    fn segment(&mut self, checkpoint: u64) {
        self.segment_of("5eed", checkpoint);
    }

    fn segment_of(&mut self, store: &str, checkpoint: u64) {
        let first = self.seq + 1;
        let store = store.to_owned();
        let header = Header { store, first, checkpoint, chain: self.chain, time: Time(0) };
        self.segments.push((first, header.encode()));
        self.groups.clear();
    }

    fn group(&mut self, kinds: Vec<RecordKind>) {
        self.records(&Kinds(kinds).number(self.seq + 1));
    }

    fn records(&mut self, records: &[Record]) {
        let (bytes, chain) = encode_group(records, self.chain);
        let segment = &mut self.segments.last_mut().unwrap().1;
        self.groups.push(segment.len()..segment.len() + bytes.len());
        segment.extend_from_slice(&bytes);
        self.seq += records.len() as u64;
        self.chain = chain;
    }

    fn transaction(&mut self, body: &str) {
        self.group(vec![put(body), RecordKind::Commit(Commit::default())]);
    }

    fn pad(&mut self) {
        for (_, bytes) in &mut self.segments {
            bytes.resize(bytes.len().next_multiple_of(64) + 64, PADDING);
        }
    }

    fn newest(&mut self) -> &mut Vec<u8> {
        &mut self.segments.last_mut().unwrap().1
    }

    fn scan(&self) -> Result<Scan, ScanError> {
        self.scan_with(None)
    }

    fn scan_with(&self, synced: Option<u64>) -> Result<Scan, ScanError> {
        let segments: Vec<_> = self.segments.iter().map(|(f, b)| (*f, &**b)).collect();
        scan(&segments, synced)
    }
}

fn put(body: &str) -> RecordKind {
    RecordKind::Put(Put {
        path: "a.json".into(),
        len: body.len() as u64,
        hash: Hash::of(body.as_bytes()),
        mode: 0o644,
        uid: 0,
        gid: 0,
        was: None,
        body: crate::Body::Inline(body.as_bytes().into()),
        own: false,
    })
}

fn checkpoint() -> RecordKind {
    RecordKind::Checkpoint { upto: 0 }
}

/// One segment: a checkpoint (1) and three transactions (2-3, 4-5, 6-7).
fn one_segment() -> Journal {
    let mut journal = Journal::new();
    journal.segment(0);
    journal.group(vec![checkpoint()]);
    ["{}", "{\"n\": 1}", "text\nin lines\n"].iter().for_each(|body| journal.transaction(body));
    journal.pad();
    journal
}

/// Three segments (1-3, 4-7, 8-9); nothing needs the first.
fn three_segments() -> Journal {
    let mut journal = Journal::new();
    journal.segment(0);
    journal.group(vec![checkpoint()]);
    journal.transaction("1");
    journal.segment(0);
    journal.group(vec![checkpoint()]);
    journal.transaction("2");
    journal.group(vec![checkpoint()]);
    journal.segment(4);
    journal.transaction("3");
    journal.pad();
    journal
}

fn reason(outcome: Result<Scan, ScanError>) -> String {
    match outcome.unwrap_err() {
        ScanError::Damaged(damage) => damage.reason,
        newer @ ScanError::Newer { .. } => panic!("{newer}"),
    }
}

fn lasts(scan: &Scan) -> Vec<u64> {
    scan.groups.iter().map(|group| group.last).collect()
}

quickcheck! {
    fn any_journal_reads_back_as_it_was_written(groups: Groups) -> bool {
        let mut journal = Journal::new();
        journal.segment(0);
        let written: Vec<_> = groups.0.clone().into_iter().map(|kinds| {
            let records = kinds.clone().number(journal.seq + 1);
            journal.group(kinds.0);
            records
        }).collect();
        journal.pad();
        let scan = journal.scan_with(Some(journal.seq)).unwrap();
        let read: Vec<_> = scan.groups.iter().map(|group| group.records.to_vec()).collect();
        scan.tail == Tail::Clean
            && (scan.end.seq(), scan.end.chain()) == (journal.seq, journal.chain)
            && read == written
    }

    fn any_bytes_are_scanned_without_a_panic(segments: Vec<(u64, Vec<u8>)>) -> bool {
        let segments: Vec<_> = segments.iter().map(|(f, b)| (*f, &**b)).collect();
        scan(&segments, None).is_err()
    }

    fn a_journal_that_was_tampered_with_is_scanned_without_a_panic(
        names: Vec<u64>, edits: Vec<(u8, u16, u8, u8)>, synced: Option<u64>
    ) -> TestResult {
        let mut journal = three_segments();
        for (segment, at, len, byte) in edits {
            let bytes = &mut journal.segments[usize::from(segment) % 3].1;
            if bytes.is_empty() { continue; }
            let at = usize::from(at) % bytes.len();
            let end = (at + usize::from(len)).min(bytes.len());
            match byte % 4 {
                0 => bytes[at..end].fill(byte),
                1 => bytes.truncate(at),
                2 => bytes.copy_within(at..end, 0),
                _ => drop(bytes.drain(at..end)),
            }
        }
        for ((first, _), name) in journal.segments.iter_mut().zip(names) {
            *first = name;
        }
        let _ = journal.scan_with(synced);
        TestResult::passed()
    }

    fn any_position_of_a_scan_is_where_a_group_begins_or_ends(groups: Groups) -> bool {
        let (encoded, _) = groups.clone().encode(1, Chain::ZERO);
        let mut journal = Journal::new();
        journal.segment(0);
        let mut offset = journal.newest().len() as u64;
        groups.0.into_iter().for_each(|kinds| journal.group(kinds.0));
        let scan = journal.scan().unwrap();
        scan.groups.iter().zip(encoded).all(|(group, bytes)| {
            let begins = group.begins.offset() == offset;
            offset += bytes.len() as u64;
            begins && group.ends.offset() == offset && group.begins.segment() == 1
        })
    }
}

#[test]
fn a_flipped_bit_is_damage_wherever_a_later_line_was_synced_after_it() {
    let journal = one_segment();
    let sound = journal.scan().unwrap();
    let last = journal.groups.last().unwrap().clone();
    for at in 0..journal.segments[0].1.len() {
        for bit in 0..8 {
            let mut flipped = one_segment();
            flipped.newest()[at] ^= 1 << bit;
            match flipped.scan() {
                Err(ScanError::Damaged(_)) => assert!(at < last.start, "byte {at}"),
                Err(newer) => panic!("byte {at}: {newer}"),
                // In the last group: torn, as far as the journal alone can tell.
                Ok(scan) if at < last.end => {
                    assert!(at >= last.start, "byte {at}");
                    assert_eq!(lasts(&scan), [1, 3, 5], "byte {at}");
                    assert!(matches!(scan.tail, Tail::Torn { .. }), "byte {at}");
                    assert!(flipped.scan_with(Some(7)).is_err(), "byte {at}");
                }
                // In the padding: nothing is lost, and nothing is written over it.
                Ok(scan) => {
                    assert_eq!(scan.groups.len(), sound.groups.len(), "byte {at}");
                    assert!(matches!(scan.tail, Tail::Torn { .. }), "byte {at}");
                }
            }
        }
    }
}

#[test]
fn a_sector_that_is_lost_before_a_synced_group_is_damage() {
    let journal = one_segment();
    let (begin, last) = (journal.groups[1].start, journal.groups[3].clone());
    for from in begin..last.start {
        for len in [1, 7, 100, last.start - from] {
            for byte in [0, PADDING, b'x'] {
                let mut hurt = one_segment();
                let to = (from + len).min(last.start);
                hurt.newest()[from..to].fill(byte);
                if hurt.segments != journal.segments {
                    assert!(hurt.scan().is_err(), "{from}..{to} = {byte}");
                }
            }
        }
    }
}

#[test]
fn attack_9_groups_between_syncs_persist_in_any_order_without_a_false_alarm() {
    let mut journal = Journal::new();
    journal.segment(0);
    journal.group(vec![checkpoint()]);
    // No sync returns between these, so `synced` stands still.
    for body in ["1", "2", "3"] {
        let kinds = Kinds(vec![put(body), RecordKind::Commit(Commit::default())]);
        let mut records = kinds.number(journal.seq + 1);
        records.iter_mut().for_each(|record| record.synced = 1);
        journal.records(&records);
    }
    journal.pad();
    for lost in 1..4 {
        let mut cut = Journal { segments: journal.segments.clone(), ..Journal::new() };
        let range = journal.groups[lost].clone();
        cut.newest()[range].fill(0);
        let scan = cut.scan_with(Some(1)).expect("nothing that was synced is lost");
        assert!(matches!(scan.tail, Tail::Torn { .. }));
        assert_eq!(scan.groups.len(), lost, "what stands behind the gap is void");
    }
}

#[test]
fn a_group_cut_short_at_any_byte_is_a_torn_tail() {
    let journal = one_segment();
    let last = journal.groups.last().unwrap().clone();
    for cut in last.clone() {
        for byte in [PADDING, 0, 0xff] {
            let mut torn = one_segment();
            torn.newest()[cut..last.end].fill(byte);
            let scan = torn.scan().unwrap();
            if byte == PADDING && cut == last.end - 1 {
                // Padding supplies the last newline.
                assert_eq!((lasts(&scan), scan.tail), (vec![1, 3, 5, 7], Tail::Clean));
                continue;
            }
            assert_eq!(lasts(&scan), [1, 3, 5], "cut at {cut}");
            assert_eq!(scan.end.offset() as usize, last.start);
            assert_eq!(scan.tail == Tail::Clean, byte == PADDING && cut == last.start);
            // The lines of the torn group say that the one before was synced; without one of
            // them nothing does.
            let line = last.start
                + journal.segments[0].1[last.start..].split(|b| *b == b'\n').next().unwrap().len();
            let witness = cut > line || (cut == line && byte == PADDING);
            assert_eq!(scan.groups[2].covered, witness, "cut at {cut} = {byte}");
            assert!(scan.groups[..2].iter().all(|group| group.covered));
            // With a `state` that says more, it is damage.
            assert!(torn.scan_with(Some(5)).is_ok());
            assert!(torn.scan_with(Some(6)).is_err());
        }
    }
}

#[test]
fn a_segment_cut_off_at_any_byte_loses_no_more_than_its_last_group_unseen() {
    let journal = one_segment();
    for len in 0..journal.segments[0].1.len() {
        let mut cut = one_segment();
        cut.newest().truncate(len);
        match cut.scan() {
            // Whatever is cut off on a group's border cannot be told from padding never
            // written: `state` tells.
            Ok(scan) => {
                assert!(len >= journal.groups[0].end);
                assert_eq!(cut.scan_with(Some(7)).is_ok(), scan.end.seq() == 7);
            }
            Err(_) => assert!(len < journal.groups[0].end),
        }
    }
}

#[test]
fn only_the_first_group_is_born_and_only_the_last_is_uncovered() {
    let scan = one_segment().scan().unwrap();
    let flags: Vec<_> = scan.groups.iter().map(|group| (group.born, group.covered)).collect();
    assert_eq!(flags, [(true, true), (false, true), (false, true), (false, false)]);
    let scan = three_segments().scan().unwrap();
    let flags: Vec<_> = scan.groups.iter().map(|group| (group.born, group.covered)).collect();
    assert_eq!(flags, [(true, true), (false, true), (false, true), (true, false)]);
}

#[test]
fn segments_follow_each_other_and_the_checkpoint_says_where_to_start() {
    let journal = three_segments();
    let scan = journal.scan_with(Some(9)).unwrap();
    assert_eq!(lasts(&scan), [4, 6, 7, 9]);
    assert_eq!((scan.checkpoint, scan.end.segment(), scan.end.seq()), (6, 8, 9));
    assert_eq!((&*scan.store, scan.end.segment()), ("5eed", 8));
}

#[test]
fn removed_segments_come_back_in_any_subset_unheard() {
    for kept in 0..8_u8 {
        let mut journal = three_segments();
        let mut at = 0;
        journal.segments.retain(|_| {
            at += 1;
            kept & 1 << (at - 1) != 0
        });
        match journal.scan_with(Some(9)) {
            Ok(scan) => {
                assert_eq!(kept & 0b110, 0b110, "{kept:b}");
                assert_eq!(lasts(&scan), [4, 6, 7, 9]);
            }
            Err(_) => assert_ne!(kept & 0b110, 0b110, "{kept:b}"),
        }
    }
}

#[test]
fn the_second_of_three_is_gone_and_the_first_is_back_with_a_void_tail() {
    let mut journal = three_segments();
    // A checkpoint that covers all but the last segment.
    journal.segments.pop();
    (journal.seq, journal.chain) = (7, journal.chain);
    let mut whole = three_segments();
    whole.segments.truncate(2);
    let end = whole.scan().unwrap().end;
    journal.chain = end.chain();
    journal.segment(7);
    journal.transaction("3");
    journal.pad();
    journal.segments.remove(1);
    journal.segments[0].1.extend_from_slice(b"what never counted\n");
    assert_eq!(lasts(&journal.scan_with(Some(9)).unwrap()), [9]);
}

#[test]
fn what_stands_behind_the_first_seq_of_the_next_segment_is_void() {
    let mut journal = Journal::new();
    journal.segment(0);
    journal.group(vec![checkpoint()]);
    let (seq, chain) = (journal.seq, journal.chain);
    journal.transaction("void");
    let mut torn = b"{\"crc\":\"".to_vec();
    journal.newest().append(&mut torn);
    (journal.seq, journal.chain) = (seq, chain);
    journal.segment(0);
    journal.transaction("counts");
    journal.pad();
    let scan = journal.scan().unwrap();
    assert_eq!(lasts(&scan), [1, 3]);
    let RecordKind::Put(put) = &scan.groups[1].records[0].kind else { panic!() };
    assert_eq!(put.hash, Hash::of(b"counts"));
}

#[test]
fn a_flipped_bit_in_an_older_segment_is_damage_unless_it_is_padding() {
    let journal = three_segments();
    let (begin, bytes) = (journal.segments[1].1.clone(), &journal.segments[1].1);
    let end = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == PADDING).count() + 1;
    for at in 0..begin.len() {
        let mut flipped = three_segments();
        flipped.segments[1].1[at] ^= 4;
        assert_eq!(flipped.scan().is_err(), at < end, "byte {at}");
    }
}

#[test]
fn a_segment_that_does_not_follow_is_damage() {
    let mut journal = three_segments();
    journal.segments[2].0 = 9;
    assert!(reason(journal.scan()).contains("begins with record 8"));

    let mut journal = one_segment();
    journal.segment_of("another", 0);
    journal.transaction("x");
    assert!(reason(journal.scan()).contains("another store"));

    let mut journal = one_segment();
    journal.chain = Chain([1; 16]);
    journal.segment(0);
    journal.transaction("x");
    assert!(reason(journal.scan()).contains("does not follow"));

    let mut journal = one_segment();
    journal.seq = 5;
    journal.segment(0);
    journal.transaction("x");
    assert!(reason(journal.scan()).contains("does not follow"));

    let mut journal = one_segment();
    journal.seq = 4;
    journal.segment(0);
    journal.transaction("x");
    assert!(reason(journal.scan()).contains("runs past"));

    let mut journal = one_segment();
    journal.seq = 9;
    journal.segment(0);
    journal.transaction("x");
    assert!(reason(journal.scan()).contains("missing"));

    let mut journal = one_segment();
    journal.segment(0);
    journal.pad();
    assert!(reason(journal.scan()).contains("no group"));

    let mut journal = Journal::new();
    journal.seq = 4;
    journal.segment(2);
    journal.transaction("x");
    assert!(reason(journal.scan()).contains("record 3 is missing"));

    let mut journal = Journal::new();
    journal.chain = Chain([1; 16]);
    journal.segment(0);
    journal.transaction("x");
    assert!(reason(journal.scan()).contains("does not follow"));

    assert!(reason(scan(&[], None)).contains("no segment"));
}

#[test]
fn a_newer_journal_is_refused_as_newer() {
    let mut journal = one_segment();
    let end = journal.groups.last().unwrap().end;
    let mut line = Vec::new();
    crate::line::push_line(&mut line, b"{\"seq\":8,\"synced\":7,\"kind\":\"merge\"}");
    journal.newest()[end..].fill(PADDING);
    journal.newest().truncate(end);
    journal.newest().append(&mut line);
    let newer = journal.scan().unwrap_err();
    assert!(matches!(newer, ScanError::Newer { offset, .. } if offset == end as u64), "{newer}");
}

#[test]
fn lines_that_are_sound_but_not_those_written_here_do_not_count() {
    // The last group comes from another history, as a stale sector would bring it.
    let mut journal = one_segment();
    let last = journal.groups.last().unwrap().clone();
    let kinds = vec![put("another"), RecordKind::Commit(Commit::default())];
    let (mut other, _) = encode_group(&Kinds(kinds.clone()).number(6), Chain([1; 16]));
    journal.newest().truncate(last.start);
    journal.newest().append(&mut other);
    let scan = journal.scan().unwrap();
    assert_eq!(lasts(&scan), [1, 3, 5]);
    assert!(matches!(scan.tail, Tail::Torn { .. }));
    assert!(scan.groups[2].covered);

    // One line of a group before it is exchanged for a sound one with its number.
    let mut journal = one_segment();
    let begin = journal.groups[1].start;
    let end = begin + journal.newest()[begin..].iter().position(|b| *b == PADDING).unwrap();
    let (other, _) = encode_group(&Kinds(kinds).number(2), Chain::ZERO);
    let line = other.split(|byte| *byte == PADDING).next().unwrap().to_vec();
    journal.newest().splice(begin..end, line);
    assert!(reason(journal.scan()).contains("does not follow"));
}

#[test]
fn a_group_that_calls_itself_synced_does_not_count() {
    let mut journal = one_segment();
    let last = journal.groups.last().unwrap().clone();
    let mut records = Kinds(vec![put("x"), RecordKind::Commit(Commit::default())]).number(6);
    let chain = journal.scan().unwrap().groups[3].begins.chain();
    records[1].synced = 5;
    let (sound, _) = encode_group(&records, chain);
    let text = String::from_utf8(sound).unwrap();
    let (put, commit) = text.split_once('\n').unwrap();
    let rec = commit.split_once("\"rec\":").unwrap().1.strip_suffix("}\n").unwrap();
    // Its chain is wrong now as well, which would be found later.
    let mut line = Vec::new();
    let rec = rec.replace("\"synced\":5", "\"synced\":6");
    crate::line::push_line(&mut line, rec.as_bytes());
    journal.newest().truncate(last.start);
    journal.newest().extend_from_slice(put.as_bytes());
    journal.newest().push(PADDING);
    journal.newest().append(&mut line);
    let Tail::Torn { reason, .. } = journal.scan().unwrap().tail else { panic!() };
    assert!(reason.contains("its own group"), "{reason}");
}

#[test]
fn a_checkpoint_stands_between_transactions_and_covers_what_is_before_it() {
    // CRC and chain are right: such a group can only come from a writer that breaks the rules.
    let sound = one_segment();
    let (end, seq) = (sound.groups.last().unwrap().end, sound.seq + 1);
    let checkpoint = |seq: u64, upto: u64| {
        format!("{{\"seq\":{seq},\"synced\":7,\"kind\":\"checkpoint\",\"upto\":{upto}}}")
    };
    let remove = "{\"seq\":8,\"synced\":7,\"kind\":\"remove\",\"path\":\"a\",\"was\":null}";
    assert_eq!(seq, 8);
    for records in [vec![checkpoint(8, 8)], vec![remove.to_owned(), checkpoint(9, 7)]] {
        let mut journal = one_segment();
        journal.newest().truncate(end);
        let mut hasher = ChainHasher::new(sound.chain);
        let mut chain = sound.chain;
        for (seq, rec) in (8..).zip(&records) {
            let mut line = Vec::new();
            crate::line::push_line(&mut line, rec.as_bytes());
            chain = hasher.follow(&parse_line(&line[..line.len() - 1], seq).unwrap());
        }
        let (last, others) = records.split_last().unwrap();
        let last = format!("{},\"chain\":\"{chain}\"}}", last.strip_suffix('}').unwrap());
        for rec in others.iter().chain([&last]) {
            crate::line::push_line(journal.newest(), rec.as_bytes());
        }
        let scan = journal.scan().unwrap();
        let Tail::Torn { reason, .. } = &scan.tail else { panic!("{scan:?}") };
        assert!(reason.contains("cannot stand here"), "{reason}");
        assert_eq!(scan.end.seq(), 7);
    }
}
