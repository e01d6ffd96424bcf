//! Format 1 is published: stores of today are what they were, and stores of then open.
//!
//! `tests/fixtures/format-1/` holds whole stores, each made by a function of [`makers`] on the
//! simulated file system with a clock that stands still. If a change of the code makes them differ,
//! it has changed the format, or the order of calls that numbers inodes; whoever means to do so
//! writes them anew with `FILEPACT_WRITE_FIXTURES=1 cargo test -p filepact-tests --test filepact
//! format::stores`, and reads the difference.
#![allow(clippy::disallowed_methods, reason = "reads and writes fixtures, which are no store")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use filepact::{Error, LoggedKind, Store};
use filepact_simfs::SimFs;
use filepact_tests::crash::{documents, options};

use crate::support::STRICT;
use makers::{INLINE_MAX, Tree, framed, stores};

/// How the stores of the fixtures are made.
mod makers;
/// The example in `docs/reference/format.md`, and the table of `docs/reference/errors.md`.
mod pages;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/format-1").join(name)
}

fn load(name: &str) -> Tree {
    read(&folder(name))
}

/// All files beneath a folder.
fn read(root: &Path) -> Tree {
    let (mut tree, mut dirs) = (Tree::new(), vec![root.to_owned()]);
    while let Some(dir) = dirs.pop() {
        let entries =
            fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        for entry in entries {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(root).expect("beneath it").to_str().expect("UTF-8");
                tree.insert(name.to_owned(), fs::read(&path).expect("it can be read"));
            }
        }
    }
    tree
}

fn write(root: &Path, tree: &Tree) {
    for (path, bytes) in tree {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("beneath the root")).expect("it can be made");
        fs::write(path, bytes).expect("it can be written");
    }
}

/// `state` with the process that held the turn left out: its number is another in every run.
fn without_holder(state: &[u8]) -> Vec<u8> {
    let mut without = state.to_vec();
    for slot in without.chunks_mut(512) {
        let Some(end) = slot.iter().position(|byte| *byte == b'\n').filter(|end| *end > 0) else {
            continue;
        };
        let line = str::from_utf8(&slot[..end]).expect("a line is text");
        if !line.starts_with('{') {
            continue;
        }
        let rec = &line[r#"{"crc":"00000000","rec":"#.len()..line.len() - 1];
        assert_eq!(framed(rec), format!("{line}\n"), "a slot is framed like a line of the journal");
        assert!(slot[end..].iter().all(|byte| *byte == b'\n'), "newlines fill a slot");
        let (before, after) = rec.split_once("\"holder\":").expect("a state has a holder");
        let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let line = framed(&format!("{before}\"holder\":1{after}"));
        slot.fill(b'\n');
        slot[..line.len()].copy_from_slice(line.as_bytes());
    }
    without
}

#[test]
fn stores_of_today_are_byte_for_byte_those_of_format_1() {
    for (name, make) in stores() {
        let mut made = make();
        // Their names are new each time.
        made.retain(|path, _| !path.contains("/stage/spare-"));
        let state = made.get_mut(".filepact/state").expect("every store has one");
        *state = without_holder(state);
        if std::env::var_os("FILEPACT_WRITE_FIXTURES").is_some() {
            // What is not made any more does not stay.
            if folder(name).exists() {
                fs::remove_dir_all(folder(name)).expect("it can be removed");
            }
            write(&folder(name), &made);
        }
        let kept = load(name);
        let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&made), names(&kept), "the files of `{name}`");
        for (path, bytes) in &made {
            let differ = bytes.iter().zip(&kept[path]).position(|(one, other)| one != other);
            assert!(
                *bytes == kept[path],
                "`{name}`, `{path}`: {} bytes, {} in the fixture, first difference at {differ:?}; \
                 see the head of {}",
                bytes.len(),
                kept[path].len(),
                file!()
            );
        }
    }
}

/// A copy of a fixture, as it comes with an archive: other inodes, another boot.
fn copy(name: &str) -> SimFs {
    let (sim, mut dirs) = (SimFs::new(), BTreeSet::new());
    for (path, bytes) in load(name) {
        for (end, _) in path.match_indices('/') {
            if dirs.insert(path[..end].to_owned()) {
                sim.mkdir(&path[..end]);
            }
        }
        sim.write(&path, &bytes);
    }
    sim.write_back_all();
    sim.world().power_cut(&STRICT, 1, 0).worlds.remove(0)
}

/// What opening a copy finds and does, in a few words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Opened {
    documents: BTreeMap<&'static str, Vec<u8>>,
    /// The transactions that the journal still holds after the checkpoint of the opening.
    log: Vec<&'static str>,
    kept: Vec<u64>,
    replayed: Vec<u64>,
    torn: Option<(&'static str, &'static str)>,
    swept: u64,
}

fn assert_opens(name: &str, expected: &Opened) {
    let sim = copy(name);
    let store = match options().inline_max(INLINE_MAX).open_with(sim.actor()) {
        Ok(store) => store,
        Err(error) => panic!("`{name}` does not open: {error:?}\n{}", sim.dump()),
    };
    let expected_documents: Tree =
        expected.documents.iter().map(|(path, body)| ((*path).to_owned(), body.clone())).collect();
    assert_eq!(documents(&sim).into_iter().collect::<Tree>(), expected_documents, "`{name}`");
    assert_eq!(log(&store), expected.log, "`{name}`");
    let report = store.recovery_report();
    assert!(!report.trusted && !report.joined && !report.created, "`{name}`: {report:?}");
    assert!(report.left.is_empty() && !report.failed, "`{name}`: {report:?}");
    assert!(report.adopted.is_empty() && report.rescued.is_empty(), "`{name}`: {report:?}");
    let torn = report.torn.as_ref().map(|torn| (torn.segment.as_str(), torn.reason.as_str()));
    assert_eq!(
        (&report.kept, &report.replayed, torn, report.swept),
        (&expected.kept, &expected.replayed, expected.torn, expected.swept),
        "`{name}`: {report:#?}"
    );
    let check = store.check().expect("it can be checked");
    assert!(check.problems.is_empty() && check.outside_edits.is_empty(), "`{name}`: {check:?}");
    store.close().expect("it closes");
}

/// One line for each transaction: number, time, note, who, changes.
fn log(store: &Store) -> Vec<String> {
    let logged = store.log().expect("it can be read").into_iter().map(|txn| {
        let mut line = format!("{} at {}", txn.txn, txn.time);
        if let Some(note) = txn.note {
            line += &format!(" `{note}`");
        }
        if txn.outside {
            line += " outside";
        }
        for change in txn.changes {
            line += &match change.kind {
                LoggedKind::Put { len, .. } => format!(", put {} {len}", change.path),
                LoggedKind::Append { len } => format!(", append {} {len}", change.path),
                LoggedKind::Remove => format!(", remove {}", change.path),
            };
        }
        line
    });
    logged.collect()
}

fn bodies<const N: usize>(bodies: [(&'static str, &[u8]); N]) -> BTreeMap<&'static str, Vec<u8>> {
    bodies.into_iter().map(|(path, body)| (path, body.to_vec())).collect()
}

const FIRST: &str =
    "4 at 1800000001.000000000 `opened`, put accounts/ann.json 12, put accounts/bob.json 11";
const SECOND: &str =
    "7 at 1800000002.000000000, put accounts/ann.json 11, put accounts/bob.json 12";

fn first() -> BTreeMap<&'static str, Vec<u8>> {
    bodies([("accounts/ann.json", b"{\"cents\":10}"), ("accounts/bob.json", b"{\"cents\":5}")])
}

fn second() -> BTreeMap<&'static str, Vec<u8>> {
    bodies([("accounts/ann.json", b"{\"cents\":3}"), ("accounts/bob.json", b"{\"cents\":12}")])
}

#[test]
fn a_store_that_was_closed_opens_with_nothing_to_do() {
    let expected = Opened { documents: first(), ..Opened::default() };
    assert_opens("closed", &expected);
}

#[test]
fn a_journal_that_was_not_checkpointed_is_held_against_the_documents() {
    let log = vec![FIRST, SECOND];
    for name in ["journal", "buffered"] {
        let (documents, log) = (second(), log.clone());
        assert_opens(name, &Opened { documents, log, kept: vec![4, 7], ..Opened::default() });
    }
}

#[test]
fn a_torn_tail_does_not_count() {
    let torn = Some(("00000000000000000001.jsonl", "it is not a line of a journal"));
    let (documents, kept) = (first(), vec![4]);
    assert_opens("torn-tail", &Opened { documents, kept, torn, swept: 2, ..Opened::default() });
}

#[test]
fn a_void_group_does_not_count_where_the_next_segment_has_its_number() {
    let mut documents = first();
    documents.insert("after.txt", b"after".to_vec());
    let log = vec![FIRST, "6 at 1800000003.000000000, put after.txt 5"];
    assert_opens("void-group", &Opened { documents, log, kept: vec![4, 6], ..Opened::default() });
}

#[test]
fn every_kind_of_record_is_understood() {
    let documents = BTreeMap::from([
        ("bytes.bin", vec![0xff, 0, b'\n']),
        ("edited.txt", b"edited, and more\n".to_vec()),
        ("large.txt", vec![b'l'; 3 * INLINE_MAX]),
        ("log.txt", b"one\ntwo\n".to_vec()),
    ]);
    let log = vec![
        "6 at 1800000001.000000000, put bytes.bin 3, put edited.txt 7, put gone.txt 4, \
         put log.txt 4",
        "9 at 1800000002.000000000, remove gone.txt, append log.txt 4",
        "11 at 1800000003.000000000, put large.txt 300",
        "13 at 1800000005.000000000 outside, put edited.txt 6",
        "15 at 1800000005.000000000, put edited.txt 17",
    ];
    let (kept, swept) = (vec![6, 9, 11, 13, 15], 1);
    assert_opens("changes", &Opened { documents, log, kept, swept, ..Opened::default() });
}

#[test]
fn a_large_edit_is_known_by_its_hash_alone() {
    let large = [b' '; 3 * INLINE_MAX];
    let documents = bodies([("accounts/ann.json", &large), ("accounts/bob.json", b"{}")]);
    let log = vec![
        FIRST,
        "6 at 1800000003.000000000 outside, put accounts/ann.json 300",
        "8 at 1800000003.000000000, put accounts/bob.json 2",
    ];
    let kept = vec![4, 6, 8];
    assert_opens("large-edit", &Opened { documents, log, kept, ..Opened::default() });
}

#[test]
fn a_restored_edit_has_a_mode_of_its_own_and_another_is_still_listed() {
    let documents =
        bodies([("accounts/ann.json", b"the first edit"), ("accounts/bob.json", b"{\"cents\":5}")]);
    let log = vec![
        FIRST,
        "6 at 1800000003.000000000, put accounts/ann.json 11",
        "8 at 1800000005.000000000, put accounts/ann.json 11",
        "10 at 1800000006.000000000, put accounts/ann.json 14",
    ];
    let kept = vec![4, 6, 8, 10];
    assert_opens("rescued", &Opened { documents, log, kept, ..Opened::default() });

    let store = options().open_with(copy("rescued").actor()).expect("it opens");
    let edits = store.rescued().expect("it can be listed");
    let shown: Vec<_> = edits.iter().map(|edit| (edit.txn, &*edit.path, edit.size)).collect();
    assert_eq!(shown, [(Some(8), "accounts/ann.json", 15)]);
    assert_eq!(store.read_rescued(&edits[0]).expect("it is there"), b"the second edit");
    let tree = load("rescued");
    let journal = str::from_utf8(&tree[makers::SEGMENT]).expect("it is text").trim_end();
    let own: Vec<_> = journal.lines().filter(|line| line.contains("\"own\"")).collect();
    let [own] = own[..] else { panic!("one put says so: {journal}") };
    assert!(own.contains("\"seq\":9,") && own.contains("\"mode\":384,"), "{own}");
    assert!(own.ends_with(",\"own\":true}}"), "{own}");
}

#[test]
fn fixtures_open_on_a_real_disk_as_well() {
    for name in ["closed", "journal", "buffered", "torn-tail", "void-group", "changes", "rescued"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write(folder.path(), &load(name));
        let store = Store::open(folder.path()).expect("it opens");
        let check = store.check().expect("it can be checked");
        assert!(check.problems.is_empty() && check.outside_edits.is_empty(), "{name}: {check:?}");
        store.close().expect("it closes");
        let documents = |tree: Tree| -> Tree {
            tree.into_iter().filter(|(path, _)| !path.starts_with(".filepact/")).collect()
        };
        assert_eq!(documents(read(folder.path())), documents(load(name)), "{name}");
    }
}

fn refused(name: &str) -> Error {
    let sim = copy(name);
    let before = sim.tree();
    let error = options().open_with(sim.actor()).expect_err("it must not open");
    assert_eq!(sim.tree(), before, "`{name}`: nothing is changed");
    error
}

#[test]
fn a_damaged_journal_is_refused() {
    for (name, segment, reason) in [
        ("damaged-line", 1, "; a later line says that it had been synced"),
        ("damaged-end", 1, "the journal ends with record 4, and 7 had been synced"),
        ("damaged-segment", 5, "the segment with record 2 is missing"),
    ] {
        let Error::Corrupt { segment: found, reason: why, .. } = refused(name) else {
            panic!("`{name}` is damaged")
        };
        assert_eq!(found, format!(".filepact/journal/{segment:020}.jsonl"), "`{name}`: {why}");
        assert!(why.ends_with(reason), "`{name}`: {why}");
    }
}

#[test]
fn a_newer_journal_is_refused_and_is_not_damaged() {
    for (name, reason) in [
        ("newer-format", "the journal has format 2"),
        ("newer-feature", "the journal needs `history`"),
        ("newer-kind", "a record of kind `lease`"),
    ] {
        let Error::Format { reason: why } = refused(name) else { panic!("`{name}` is newer") };
        assert!(why.ends_with(reason), "`{name}`: {why}");
    }
}
