use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filepact::{Durability, Options, Store};
use filepact_fs::Time;
use filepact_simfs::SimFs;
use filepact_tests::crash::options;

use crate::support::{commit, dies};

/// Every file of a store, by its path.
pub(super) type Tree = BTreeMap<String, Vec<u8>>;

/// Bodies above this are staged.
pub(super) const INLINE_MAX: usize = 100;

pub(super) const SEGMENT: &str = ".filepact/journal/00000000000000000001.jsonl";

/// The name of a fixture, and how it is made.
type Maker = (&'static str, fn() -> Tree);

/// All fixtures.
pub(super) fn stores() -> [Maker; 14] {
    [
        ("closed", closed),
        ("journal", || journal(Durability::Journal)),
        ("buffered", || journal(Durability::Buffered)),
        ("torn-tail", torn_tail),
        ("void-group", void_group),
        ("changes", changes),
        ("large-edit", large_edit),
        ("rescued", rescued),
        ("damaged-line", damaged_line),
        ("damaged-end", damaged_end),
        ("damaged-segment", damaged_segment),
        ("newer-format", || header("\"format\":1", "\"format\":2")),
        ("newer-feature", || header("\"needs\":[]", "\"needs\":[\"history\"]")),
        ("newer-kind", newer_kind),
    ]
}

/// A line around this record.
pub(super) fn framed(rec: &str) -> String {
    format!("{{\"crc\":\"{:08x}\",\"rec\":{rec}}}\n", crc32fast::hash(rec.as_bytes()))
}

/// A world whose clock stands still, but for [`tick`].
fn world() -> SimFs {
    let sim = SimFs::new();
    sim.set_step(Duration::ZERO);
    sim.set_clock(Time(1_800_000_000_000_000_000));
    sim
}

fn tick(sim: &SimFs) {
    sim.advance(Duration::from_secs(1));
}

fn of(durability: Durability) -> Options {
    options().inline_max(INLINE_MAX).durability(durability)
}

fn tree(sim: &SimFs) -> Tree {
    sim.tree().into_iter().collect()
}

/// Transaction 4 of every store but one.
fn opened(sim: &SimFs, durability: Durability) -> Store {
    let store = of(durability).open_with(sim.actor()).expect("it opens");
    tick(sim);
    let mut tx = store.begin().expect("it is open");
    tx.note("opened");
    tx.write_bytes("accounts/ann.json", "{\"cents\":10}").expect("a path");
    tx.write_bytes("accounts/bob.json", "{\"cents\":5}").expect("a path");
    assert_eq!(tx.commit().expect("nothing fails here").txn, 4);
    store
}

fn closed() -> Tree {
    let sim = world();
    opened(&sim, Durability::Journal).close().expect("nothing fails here");
    tree(&sim)
}

fn journal(durability: Durability) -> Tree {
    let sim = world();
    let store = opened(&sim, durability);
    tick(&sim);
    let moved = [("accounts/ann.json", "{\"cents\":3}"), ("accounts/bob.json", "{\"cents\":12}")];
    assert_eq!(commit(&store, &moved).expect("nothing fails here"), 7);
    drop(store);
    tree(&sim)
}

/// Transaction 4, and a process that dies in C7 of the next, its group whole in the file.
fn died(sim: &SimFs) -> Store {
    let store = opened(sim, Durability::Journal);
    let armed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&armed);
    let victim = dies(sim, of(Durability::Journal), move |op, on| {
        now.load(Ordering::SeqCst) && op.starts_with("sync") && on.contains("/journal/")
    });
    tick(sim);
    armed.store(true, Ordering::SeqCst);
    let moved = [("accounts/ann.json", "{\"cents\":3}"), ("accounts/bob.json", "{\"cents\":12}")];
    commit(&victim, &moved).expect_err("it dies");
    store
}

/// Of the last line only the first half has come to the disk.
fn torn_tail() -> Tree {
    let sim = world();
    drop(died(&sim));
    let mut tree = tree(&sim);
    let segment = tree.get_mut(SEGMENT).expect("there is one");
    let end = segment.iter().rposition(|byte| *byte != b'\n').expect("it has lines");
    let begin = segment[..end].iter().rposition(|byte| *byte == b'\n').expect("it has two");
    segment[begin.midpoint(end)..].fill(b'\n');
    tree
}

/// The next process to commit voids what the dead one left.
fn void_group() -> Tree {
    let sim = world();
    let store = died(&sim);
    tick(&sim);
    assert_eq!(commit(&store, &[("after.txt", "after")]).expect("nothing fails here"), 6);
    drop(store);
    tree(&sim)
}

fn changes() -> Tree {
    let sim = world();
    let store = of(Durability::Journal).open_with(sim.actor()).expect("it opens");
    let commit = |changes: &dyn Fn(&mut filepact::Transaction)| {
        tick(&sim);
        let mut tx = store.begin().expect("it is open");
        changes(&mut tx);
        tx.commit().expect("nothing fails here");
    };
    commit(&|tx| {
        tx.write_bytes("bytes.bin", [0xff, 0, b'\n']).expect("a path");
        tx.write_bytes("edited.txt", "written").expect("a path");
        tx.write_bytes("gone.txt", "gone").expect("a path");
        tx.write_bytes("log.txt", "one\n").expect("a path");
    });
    commit(&|tx| {
        tx.append("log.txt", "two\n").expect("a path");
        tx.remove("gone.txt").expect("it is there");
    });
    commit(&|tx| tx.write_bytes("large.txt", vec![b'l'; 3 * INLINE_MAX]).expect("a path"));
    tick(&sim);
    sim.write("edited.txt", b"edited");
    // Read and then replaced: adopted, in a transaction of its own.
    commit(&|tx| {
        let edited = tx.read_bytes("edited.txt").expect("it can be read").expect("it is there");
        tx.write_bytes("edited.txt", [&edited[..], b", and more\n"].concat()).expect("a path");
    });
    drop(store);
    tree(&sim)
}

/// A large edit that was read is adopted by its hash alone: the put has no body.
fn large_edit() -> Tree {
    let sim = world();
    let store = opened(&sim, Durability::Journal);
    tick(&sim);
    sim.write("accounts/ann.json", &[b' '; 3 * INLINE_MAX]);
    tick(&sim);
    let mut tx = store.begin().expect("it is open");
    tx.read_bytes("accounts/ann.json").expect("it can be read").expect("it is there");
    tx.write_bytes("accounts/bob.json", "{}").expect("a path");
    assert_eq!(tx.commit().expect("nothing fails here").txn, 8);
    drop(store);
    tree(&sim)
}

/// Of two edits that were displaced unseen one is restored, by a put whose mode is its own; the other
/// lies in `rescued/`.
fn rescued() -> Tree {
    let sim = world();
    let store = opened(&sim, Durability::Journal);
    for (edit, cents) in [("the first edit", 1), ("the second edit", 2)] {
        tick(&sim);
        sim.write("accounts/ann.json", edit.as_bytes());
        sim.set_mode("accounts/ann.json", 0o600);
        tick(&sim);
        commit(&store, &[("accounts/ann.json", &*format!("{{\"cents\":{cents}}}"))])
            .expect("nothing fails here");
        sim.set_mode("accounts/ann.json", 0o644);
    }
    tick(&sim);
    let first = store.rescued().expect("it can be listed").remove(0);
    let seen = store.compare_rescued(&first, "accounts/ann.json").expect("it can be read");
    store
        .restore_rescued(&first, "accounts/ann.json", seen.document)
        .expect("nothing stands in the way");
    drop(store);
    tree(&sim)
}

/// One bit of the first put, with lines behind it that say that it had been synced.
fn damaged_line() -> Tree {
    let mut tree = journal(Durability::Journal);
    let segment = tree.get_mut(SEGMENT).expect("there is one");
    let at =
        segment.windows(11).position(|bytes| bytes == b"\\\"cents\\\":1").expect("it is there");
    segment[at + 10] ^= 1;
    tree
}

/// The last group is gone, and `state` knows of it.
fn damaged_end() -> Tree {
    let mut tree = journal(Durability::Journal);
    let segment = tree.get_mut(SEGMENT).expect("there is one");
    let at = segment.windows(8).position(|bytes| bytes == b"\"seq\":5,").expect("it is there");
    let begin = segment[..at].iter().rposition(|byte| *byte == b'\n').expect("not the first");
    segment[begin + 1..].fill(b'\n');
    tree
}

/// The first of two segments is gone.
fn damaged_segment() -> Tree {
    let mut tree = void_group();
    tree.remove(SEGMENT).expect("there is one");
    tree
}

/// A header that says something else, and is sound.
fn header(from: &str, to: &str) -> Tree {
    let mut tree = closed();
    let segment = tree.get_mut(SEGMENT).expect("there is one");
    let end = segment.iter().position(|byte| *byte == b'\n').expect("it has lines");
    let line = String::from_utf8(segment[..end].to_vec()).expect("a line is text");
    let rec = &line[r#"{"crc":"00000000","rec":"#.len()..line.len() - 1];
    assert!(rec.contains(from), "{rec}");
    let size = segment.len();
    segment.splice(..=end, framed(&rec.replace(from, to)).into_bytes());
    segment.resize(size, b'\n');
    tree
}

/// The next record is of a kind that is not known yet.
fn newer_kind() -> Tree {
    let mut tree = closed();
    let segment = tree.get_mut(SEGMENT).expect("there is one");
    let end = segment.iter().rposition(|byte| *byte != b'\n').expect("it has lines") + 2;
    let line = framed("{\"seq\":6,\"synced\":5,\"kind\":\"lease\",\"path\":\"a\"}");
    segment[end..end + line.len()].copy_from_slice(line.as_bytes());
    tree
}
