//! Any bytes are scanned without a panic, and what a scan accepts stands: it verifies by a second
//! reading of the format, whatever lies behind it does not change it, and the journal can be gone on
//! with.
//!
//! The first byte says what the rest is. `r`, `c` and `h`: a journal as [text](super::forge), taken
//! as it is, with the CRC of each line put right, or with the chains as well; up to the first newline
//! stands the last synced seq that `state` would know, if any. `g`: groups read from the bytes, and
//! then damaged.

use std::fmt::Write as _;
use std::sync::Arc;

use arbitrary::{Arbitrary as _, Unstructured};
use filepact_fs::Fs;
use filepact_journal::arbitrary::{Groups, transaction};
use filepact_journal::{
    Chain, Group, Header, JOURNAL_DIR, Journal, Mark, Names, Record, Resume, Scan, ScanError, Tail,
    Words, encode_group, read_all, read_to, scan, segment_path,
};
use filepact_simfs::SimFs;

use super::Target;
use super::forge::{self, Repair, Segments};

/// See the module.
pub const TARGET: Target = Target { name: "journal_scan", run, explain, seeds };

/// What an input says.
struct Input {
    segments: Segments,
    synced: Option<u64>,
    /// Written by the rules and not damaged.
    groups: Option<Vec<Vec<Record>>>,
}

fn run(input: &[u8]) {
    let Some(Input { segments, synced, groups }) = read(input) else { return };
    let outcome = check(&segments, synced);
    if let Some(groups) = groups {
        let scan = outcome.expect("it was written by the rules");
        let found: Vec<_> = scan.groups.iter().map(|group| group.records.to_vec()).collect();
        assert_eq!(found, groups);
    }
}

fn read(input: &[u8]) -> Option<Input> {
    let (mode, rest) = input.split_first()?;
    let repair = match mode {
        b'g' => return generate(&mut Unstructured::new(rest)).ok(),
        b'c' => Repair::Lines,
        b'h' => Repair::Chains,
        _ => Repair::Nothing,
    };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let synced = str::from_utf8(&rest[..end]).ok().and_then(|digits| digits.parse().ok());
    let mut segments = forge::parse(rest.get(end + 1..).unwrap_or_default());
    forge::repair(&mut segments, repair);
    Some(Input { segments, synced, groups: None })
}

/// A journal by the rules, and then some damage.
fn generate(u: &mut Unstructured<'_>) -> arbitrary::Result<Input> {
    let mut segments = Segments::new();
    let mut groups = Vec::new();
    let (mut next, mut chain, mut current) = (1, Chain::ZERO, 1);
    for (at, kinds) in Groups::arbitrary(u)?.0.into_iter().enumerate() {
        if at == 0 || u.ratio(1, 4)? {
            let (first, store) = (next, "5eed".to_owned());
            let time = filepact_fs::Time(u.arbitrary()?);
            let header = Header { store, first, checkpoint: 0, chain, time };
            segments.insert(next, header.encode());
            current = next;
        }
        let records = kinds.number(next);
        let (bytes, after) = encode_group(&records, chain);
        next += records.len() as u64;
        chain = after;
        let segment = segments.get_mut(&current).expect("it was begun above");
        segment.extend_from_slice(&bytes);
        segment.extend_from_slice(&b"\n\n\n"[..u.int_in_range(0..=3)?]);
        groups.push(records);
    }
    let edits = u.int_in_range(0..=3)?;
    for _ in 0..edits {
        damage(u, &mut segments)?;
    }
    let repair = *u.choose(&[Repair::Nothing, Repair::Lines, Repair::Chains])?;
    forge::repair(&mut segments, if edits == 0 { Repair::Nothing } else { repair });
    let synced = if u.arbitrary()? { Some(next - 1) } else { None };
    Ok(Input { segments, synced, groups: (edits == 0).then_some(groups) })
}

fn damage(u: &mut Unstructured<'_>, segments: &mut Segments) -> arbitrary::Result<()> {
    let names: Vec<u64> = segments.keys().copied().collect();
    let name = *u.choose(&names)?;
    let bytes = segments.get_mut(&name).expect("one of them");
    let from = u.choose_index(bytes.len().max(1))?;
    let to = (from + u.int_in_range(0..=300)?).min(bytes.len());
    match u.int_in_range(0..=6)? {
        0 => bytes.truncate(from),
        1 => drop(bytes.drain(from..to)),
        2 => bytes[from..to].fill(u.arbitrary()?),
        3 => {
            let copy = bytes[from..to].to_vec();
            let at = u.choose_index(bytes.len() + 1)?;
            bytes.splice(at..at, copy);
        }
        4 => drop(bytes.splice(from..to, u.arbitrary::<Vec<u8>>()?)),
        5 if names.len() > 1 => drop(segments.remove(&name)),
        _ => {
            let bytes = segments.remove(&name).expect("one of them");
            segments.insert(u.int_in_range(1..=20)?, bytes);
        }
    }
    Ok(())
}

/// Scans, and holds the outcome to everything that a scan promises.
pub fn check(segments: &Segments, synced: Option<u64>) -> Result<Scan, ScanError> {
    let borrowed: Vec<(u64, &[u8])> =
        segments.iter().map(|(first, bytes)| (*first, &**bytes)).collect();
    let outcome = scan(&borrowed, synced);
    let backwards: Vec<_> = borrowed.iter().rev().copied().collect();
    let again = scan(&backwards, synced).map(|scan| scan.groups);
    assert_eq!(again, outcome.clone().map(|scan| scan.groups), "the order does not matter");
    let alone = scan(&borrowed, None);
    match (&outcome, &alone) {
        (Ok(scan), Ok(_)) => assert!(synced.is_none_or(|synced| synced <= scan.end.seq())),
        (Err(_), Ok(scan)) => assert!(synced.is_some_and(|synced| synced > scan.end.seq())),
        (Ok(_), Err(error)) => panic!("accepted for what `state` says alone: {error}"),
        (Err(_), Err(_)) => {}
    }
    match &outcome {
        Ok(scan) => accepted(segments, scan),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    outcome
}

fn accepted(segments: &Segments, scan: &Scan) {
    verifies(segments, scan);
    reads_back(scan);
    let mut words = Words::default();
    scan.groups.iter().for_each(|group| words.apply(group));
    words.clear_upto(scan.checkpoint);
    is_stable(segments, scan);
    goes_on(segments, scan);
}

/// By the second reading of the format.
fn verifies(segments: &Segments, scan: &Scan) {
    for group in &scan.groups {
        let bytes = &segments[&group.begins.segment()];
        let bytes = &bytes[group.begins.offset() as usize..group.ends.offset() as usize];
        let before = group.begins.chain().to_string();
        let verified = forge::verify_group(bytes, &before, group.first);
        assert_eq!(verified, Ok((group.last, group.ends.chain().to_string())));
    }
    for pair in scan.groups.windows(2) {
        assert_eq!(pair[0].last + 1, pair[1].first);
        assert_eq!(pair[0].ends.chain(), pair[1].begins.chain());
        assert!(pair[0].covered || !pair[1].covered, "what lies before a synced group is synced");
    }
    if let Some(last) = scan.groups.last() {
        assert_eq!(last.ends, scan.end);
        assert!(scan.groups[0].first <= scan.checkpoint + 1, "the journal has a beginning");
    }
}

/// What was read can be written, and is read as the same then.
fn reads_back(scan: &Scan) {
    let Some(Group { first, begins, .. }) = scan.groups.first() else { return };
    let (store, first, mut chain) = (scan.store.clone(), *first, begins.chain());
    let time = filepact_fs::Time(0);
    let mut bytes = Header { store, first, checkpoint: first - 1, chain, time }.encode();
    for group in &scan.groups {
        let (lines, after) = encode_group(&group.records, chain);
        bytes.extend_from_slice(&lines);
        chain = after;
    }
    let again = filepact_journal::scan(&[(first, &bytes)], Some(scan.end.seq()));
    let again = again.expect("it was written by the rules");
    assert_eq!(records(&again.groups), records(&scan.groups));
}

fn records(groups: &[Group]) -> Vec<&Record> {
    groups.iter().flat_map(|group| &*group.records).collect()
}

/// Nothing behind the last group changes what stands before it.
fn is_stable(segments: &Segments, scan: &Scan) {
    let (newest, bytes) = segments.last_key_value().expect("what was scanned has a segment");
    let end = scan.end.offset() as usize;
    let again = |tail: &[u8]| {
        let bytes = [&bytes[..end], tail].concat();
        let mut changed: Vec<(u64, &[u8])> =
            segments.iter().map(|(first, bytes)| (*first, &**bytes)).collect();
        changed.pop();
        changed.push((*newest, &bytes));
        filepact_journal::scan(&changed, None)
    };
    for (tail, is_clean) in [
        (&b""[..], true),
        (b"\n\n\n", true),
        (b"\0", false),
        (b"x\n", false),
        (b"\n\n{\"crc\":\"", false),
        (b"{\"crc\":\"00000000\",\"rec\":{}}\n", false),
        // A group that comes a second time: its numbers belong to the first.
        (scan.groups.last().map_or(&b"x"[..], |group| group_bytes(segments, group)), false),
    ] {
        let again = again(tail).unwrap_or_else(|error| panic!("{error}: behind it {tail:?}"));
        assert_eq!(records(&again.groups), records(&scan.groups), "{tail:?}");
        assert_eq!((again.end, again.checkpoint), (scan.end, scan.checkpoint), "{tail:?}");
        assert_eq!(matches!(again.tail, Tail::Clean), is_clean, "{tail:?}");
    }
}

fn group_bytes<'a>(segments: &'a Segments, group: &Group) -> &'a [u8] {
    let bytes = &segments[&group.begins.segment()];
    &bytes[group.begins.offset() as usize..group.ends.offset() as usize]
}

/// On a disk: who joins reads the same up to any group of the newest segment, and whoever opens it
/// goes on behind it, at the tail or in a new segment, with what was there before.
fn goes_on(segments: &Segments, scan: &Scan) {
    // No file system has a name for them.
    if segments.keys().any(|first| !(1..1 << 62).contains(first)) {
        return;
    }
    let sim = SimFs::new();
    sim.mkdir(".filepact");
    sim.mkdir(JOURNAL_DIR);
    for (first, bytes) in segments {
        sim.write(&segment_path(*first), bytes);
    }
    let fs: Arc<dyn Fs> = sim.actor();
    for group in &scan.groups {
        if group.begins.segment() == scan.end.segment() {
            let read = read_to(&*fs, &Mark::from(&group.ends)).expect("it verified before");
            let upto = records(&scan.groups);
            let upto: Vec<_> = upto.into_iter().filter(|record| record.seq <= group.last).collect();
            assert_eq!(records(&read.groups), upto);
        }
    }
    let clean = scan.tail == Tail::Clean;
    for (repeat, at_the_tail) in [(false, clean), (false, false), (true, false)] {
        let world = sim.fork();
        let fs: Arc<dyn Fs> = world.actor();
        let mut journal = if repeat {
            Journal::repeat(fs.clone(), scan, Names::Believed).expect("nothing fails here")
        } else {
            let from = if at_the_tail { Resume::Tail } else { Resume::Fresh };
            Journal::resume(fs.clone(), scan, from).expect("nothing fails here")
        };
        let next = journal.append(transaction("a", b"next"), fs.now()).expect("nothing fails here");
        journal.remove_elders();
        let after = read_all(&*fs, Some(next.last), &|_, _| ()).unwrap_or_else(|error| {
            panic!("{error}\nrepeated {repeat}, at the tail {at_the_tail}\n{}", world.dump())
        });
        // What is repeated says anew what had been synced.
        let plain = |groups: &[Group]| -> Vec<_> {
            records(groups).iter().map(|record| (record.seq, record.kind.clone())).collect()
        };
        let found = plain(&after.groups);
        let mut expected = plain(&scan.groups);
        expected.extend(plain(std::slice::from_ref(&next.group)));
        // What a checkpoint covers may have gone with its segment.
        expected.retain(|record| found.first().is_none_or(|first| record.0 >= first.0));
        assert_eq!(found, expected, "repeated {repeat}, at the tail {at_the_tail}");
    }
}

fn explain(input: &[u8]) -> String {
    let Some(Input { segments, synced, groups }) = read(input) else { return String::new() };
    let mut text = format!("synced {synced:?}, damaged {}\n", groups.is_none());
    text.push_str(&super::as_text(&forge::print(&segments)));
    let borrowed: Vec<(u64, &[u8])> =
        segments.iter().map(|(first, bytes)| (*first, &**bytes)).collect();
    let _ = match scan(&borrowed, synced) {
        Ok(scan) => write!(text, "{} groups, tail {:?}", scan.groups.len(), scan.tail),
        Err(error) => write!(text, "{error}"),
    };
    text
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, segments, synced) in journals() {
        let text = forge::print(&segments);
        for mode in ["r", "c", "h"] {
            let head = format!("{mode}{synced}\n");
            seeds.push((format!("{name}-{mode}"), [head.as_bytes(), &text].concat()));
        }
        // Another document under sound CRCs: the chain alone tells.
        let changed = super::as_text(&text).replace("a.json", "z.json");
        seeds.push((format!("{name}-changed"), format!("c{synced}\n{changed}").into_bytes()));
    }
    for seed in 0..4 {
        let bytes = super::noise(seed, 400 << (seed % 2));
        seeds.push((format!("generated-{seed}"), [&b"g"[..], &bytes].concat()));
    }
    seeds
}

/// Journals as a store leaves them.
fn journals() -> Vec<(&'static str, Segments, &'static str)> {
    let journal = |rest: &[u8]| {
        let mut segments = Segments::new();
        let (mut seq, mut chain) = (1, Chain::ZERO);
        for (at, kinds) in rest.iter().enumerate() {
            if at == 0 || *kinds == b'|' {
                let (store, time) =
                    ("5eed".to_owned(), filepact_fs::Time(1_790_000_000_000_000_000));
                let header = Header { store, first: seq, checkpoint: 0, chain, time };
                segments.insert(seq, header.encode());
            }
            let kinds = match kinds {
                b'p' => transaction("a.json", b"{}\n"),
                b'b' => transaction("b/c", b"\xff\0"),
                b'a' => {
                    let mut kinds = transaction("log", b"1\n");
                    kinds.insert(1, filepact_journal::arbitrary::append("log", 2, b"2\n"));
                    kinds
                }
                _ => vec![filepact_journal::RecordKind::Checkpoint { upto: seq - 1 }],
            };
            let records = filepact_journal::arbitrary::Kinds(kinds).number(seq);
            let (bytes, after) = encode_group(&records, chain);
            (seq, chain) = (seq + records.len() as u64, after);
            segments.last_entry().expect("begun").get_mut().extend_from_slice(&bytes);
        }
        segments
    };
    let mut torn = journal(b".pa");
    let bytes = torn.get_mut(&1).expect("one");
    bytes.truncate(bytes.len() - 40);
    vec![
        ("one-segment", journal(b".pba"), "8"),
        ("three-segments", journal(b".p|b|a"), ""),
        ("torn", torn, "3"),
    ]
}
