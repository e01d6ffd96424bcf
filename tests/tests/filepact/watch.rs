//! Whoever watches hears of every transaction whole, in order, once.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use filepact::{Error, LoggedKind, LoggedTransaction, Store, Version, Watch, Watched};
use filepact_simfs::SimFs;
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::INLINE_MAX;
use filepact_tests::steps::Steps;

use crate::support::{commit, dies_before, put, text};

/// Everything that is there to be told.
fn all(watch: &mut Watch) -> Vec<Watched> {
    let mut told = Vec::new();
    while let Some(next) = watch.wait(Duration::ZERO).expect("it can be read") {
        told.push(next);
    }
    told
}

/// The same, where nothing is missing.
fn transactions(watch: &mut Watch) -> Vec<LoggedTransaction> {
    let told = all(watch).into_iter().map(|told| match told {
        Watched::Transaction(logged) => logged,
        Watched::Gap { .. } => panic!("{told:?}"),
    });
    told.collect()
}

fn numbers(transactions: &[LoggedTransaction]) -> Vec<u64> {
    transactions.iter().map(|logged| logged.txn).collect()
}

/// Commits until the journal has lost what is older.
fn forget(store: &Store) {
    let first = store.log().expect("it can be read")[0].txn;
    let is_gone = || store.log().expect("it can be read").first().is_none_or(|now| now.txn > first);
    let tries = (0..20).take_while(|_| !is_gone());
    tries.for_each(|_| {
        put(store, "filler", &[b'x'; INLINE_MAX]);
        (0..40).for_each(|_| put(store, "filler", &[b'y'; INLINE_MAX - 1]));
        store.checkpoint().expect("nothing fails here");
    });
    assert!(is_gone(), "a checkpoint removes segments");
}

#[test]
fn every_transaction_of_every_process_is_told_once() {
    let sim = prepared();
    let (ours, theirs) = (open(&sim), open(&sim));
    put(&ours, "before", b"1");
    let mut watch = ours.watch().expect("it opens");
    assert_eq!(all(&mut watch), []);
    let mut expected = Vec::new();
    for round in 0..5 {
        let store = if round % 2 == 0 { &ours } else { &theirs };
        expected.push(commit(store, &[("a.json", "x"), ("new", "y")]).expect("it commits"));
        if round == 2 {
            store.checkpoint().expect("nothing fails here");
        }
        if round > 2 {
            assert_eq!(numbers(&transactions(&mut watch)), std::mem::take(&mut expected));
            assert_eq!(watch.told(), store.log().expect("it can be read").last().unwrap().txn);
        }
    }
    let mut tx = theirs.begin().expect("the store is open");
    tx.write_bytes("a.json", "who").expect("a valid path");
    tx.append("log", "what\n").expect("a valid path");
    tx.remove("new").expect("it is there");
    tx.note("why");
    tx.commit().expect("it commits");
    let told = transactions(&mut watch);
    let [logged] = &told[..] else { panic!("{told:?}") };
    assert_eq!((logged.note.as_deref(), logged.outside), (Some("why"), false));
    let changes: Vec<_> =
        logged.changes.iter().map(|change| (&*change.path, change.kind)).collect();
    let version = theirs.version("a.json").expect("it can be read").expect("it is there");
    let log = LoggedKind::Put { len: 5, version: Version::of(b"what\n") };
    let put = LoggedKind::Put { len: 3, version };
    assert_eq!(changes, [("a.json", put), ("log", log), ("new", LoggedKind::Remove)]);
    assert_eq!(all(&mut watch), []);
}

#[test]
fn who_was_away_goes_on_where_he_was() {
    let sim = prepared();
    let store = open(&sim);
    let txns: Vec<u64> =
        (0..6).map(|n| commit(&store, &[("a.json", &*n.to_string())]).unwrap()).collect();
    for (at, txn) in txns.iter().enumerate() {
        let mut watch = store.watch_since(*txn).expect("it opens");
        assert_eq!(numbers(&transactions(&mut watch)), txns[at + 1..]);
        assert_eq!(watch.told(), txns[5]);
    }
    let mut watch = store.watch_since(txns[1]).expect("it opens");
    watch.wait(Duration::ZERO).expect("it can be read").expect("it is there");
    let told = watch.told();
    assert_eq!(told, txns[2]);
    drop(watch);
    // Also where a checkpoint is all that has come since, and in another life of the store.
    store.close().expect("nothing fails here");
    let store = open(&sim);
    let mut watch = store.watch_since(told).expect("it opens");
    assert_eq!(numbers(&transactions(&mut watch)), txns[3..]);
    let mut watch = store.watch_since(txns[5]).expect("it opens");
    assert_eq!(all(&mut watch), []);
    let txn = commit(&store, &[("a.json", "new")]).expect("it commits");
    assert_eq!(numbers(&transactions(&mut watch)), [txn]);
}

#[test]
fn what_the_journal_has_lost_is_a_gap_and_who_kept_up_has_none() {
    let sim = prepared();
    let store = open(&sim);
    let first = commit(&store, &[("a.json", "1")]).expect("it commits");
    let slow = store.watch().expect("it opens");
    let quick = Mutex::new(store.watch().expect("it opens"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let (seen, tells) = (Arc::clone(&told), Arc::new(Mutex::new(false)));
    let hear = Arc::clone(&tells);
    // He looks at every commit, as one does who is woken.
    let busy = options().open_with(Steps::new(sim.actor(), move |_, op, on| {
        if (op, on) == ("write", ".filepact/state") && *hear.lock().expect("no thread panics") {
            let mut quick = quick.lock().expect("no thread panics");
            seen.lock().expect("no thread panics").extend(transactions(&mut quick));
        }
    }));
    let busy = busy.expect("it opens");
    *tells.lock().expect("no thread panics") = true;
    forget(&busy);
    let last = commit(&busy, &[("a.json", "2")]).expect("it commits");
    put(&busy, "a.json", b"3");
    let told = numbers(&told.lock().expect("no thread panics"));
    assert!(told.contains(&last) && told.is_sorted(), "{told:?}");

    for mut watch in [slow, store.watch_since(first).expect("it opens")] {
        let mut rest = all(&mut watch).into_iter();
        let Some(Watched::Gap { after, upto }) = rest.next() else { panic!("no gap") };
        assert_eq!(after, first);
        let held: Vec<u64> = rest
            .map(|told| match told {
                Watched::Transaction(logged) => logged.txn,
                Watched::Gap { .. } => panic!("a second gap"),
            })
            .collect();
        assert!(upto < held[0] && held.is_sorted(), "{upto} {held:?}");
        // All of what the journal holds.
        let log = numbers(&store.log().expect("it can be read"));
        assert_eq!(held, log);
    }
}

#[test]
fn a_number_that_the_store_has_not_reached_is_a_gap() {
    let sim = prepared();
    let store = open(&sim);
    let txn = commit(&store, &[("a.json", "1")]).expect("it commits");
    let mut watch = store.watch_since(txn + 1_000).expect("it opens");
    let gap = Watched::Gap { after: txn + 1_000, upto: txn };
    assert_eq!(all(&mut watch), [gap]);
    assert_eq!(watch.told(), txn);
    let next = commit(&store, &[("a.json", "2")]).expect("it commits");
    assert_eq!(numbers(&transactions(&mut watch)), [next]);
}

/// It is of another life of the store: of one that a power cut took, or before a backup.
#[test]
fn a_number_within_a_transaction_is_a_gap() {
    let sim = prepared();
    let store = open(&sim);
    let txn = commit(&store, &[("a.json", "1"), ("b.json", "1")]).expect("it commits");
    let next = commit(&store, &[("a.json", "2")]).expect("it commits");
    for within in [txn - 2, txn - 1] {
        let mut watch = store.watch_since(within).expect("it opens");
        let gap = watch.wait(Duration::ZERO).expect("it can be read");
        assert_eq!(gap, Some(Watched::Gap { after: within, upto: txn }));
        assert_eq!(watch.told(), txn);
        assert_eq!(numbers(&transactions(&mut watch)), [next]);
    }
}

#[test]
fn a_number_within_a_transaction_of_which_only_the_end_has_gone_is_a_gap() {
    let sim = prepared();
    let store = open(&sim);
    let put = |body| commit(&store, &[("filler", body)]).expect("it commits");
    let large = "x".repeat(INLINE_MAX - 1);
    let mut ends = Vec::new();
    let before = loop {
        ends.extend((0..40).map(|_| put(&*large)));
        store.checkpoint().expect("nothing fails here");
        put("small");
        let first = store.log().expect("it can be read")[0].txn;
        // Two records each: the last one that has gone is the end of a transaction, of no checkpoint.
        if ends.contains(&(first - 2)) && store.watch_since(first - 4).is_ok_and(|mut w| {
            matches!(w.wait(Duration::ZERO), Ok(Some(Watched::Gap { upto, .. })) if upto == first - 2)
        }) {
            break first - 2;
        }
        assert!(ends.len() < 1_000);
    };
    assert!(matches!(
        all(&mut store.watch_since(before).expect("it opens"))[0],
        Watched::Transaction(_)
    ));
    let mut watch = store.watch_since(before - 1).expect("it opens");
    assert_eq!(all(&mut watch)[0], Watched::Gap { after: before - 1, upto: before });
}

#[test]
fn an_edit_that_was_adopted_is_told_as_one() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"ours");
    let mut watch = store.watch().expect("it opens");
    sim.write("a.json", b"an edit");
    assert_eq!(all(&mut watch), [], "nobody has read it");
    let mut tx = store.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it is there");
    tx.write_bytes("b.json", "derived").expect("a valid path");
    tx.commit().expect("it commits");
    let told = transactions(&mut watch);
    let told: Vec<_> =
        told.iter().map(|logged| (&*logged.changes[0].path, logged.outside)).collect();
    assert_eq!(told, [("a.json", true), ("b.json", false)]);
}

/// Told is committed: at every call of a writer who is told of what can be read, and of all of it in the
/// end; and a group that does not count is told to nobody.
#[test]
fn what_is_told_can_be_read_at_every_call_of_a_commit() {
    let sim = prepared();
    let theirs = open(&sim);
    let watch = Mutex::new(theirs.watch().expect("it opens"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let reader = theirs.clone();
    let ours = options().open_with(Steps::new(sim.actor(), move |_, _, _| {
        for logged in transactions(&mut watch.lock().expect("no thread panics")) {
            for change in &logged.changes {
                let now = reader.version(&change.path).expect("it can be read");
                match change.kind {
                    LoggedKind::Put { version, .. } => assert_eq!(now, Some(version)),
                    LoggedKind::Append { .. } => assert!(now.is_some()),
                    LoggedKind::Remove => assert_eq!(now, None),
                }
            }
            seen.lock().expect("no thread panics").push(logged.txn);
        }
    }));
    let ours = ours.expect("it opens");
    let large = "l".repeat(3 * INLINE_MAX);
    let mut expected = vec![
        commit(&ours, &[("a.json", "1"), ("large", &large)]).expect("it commits"),
        ours.append("large", "more").expect("it commits").txn,
    ];
    ours.checkpoint().expect("nothing fails here");
    let mut tx = ours.begin().expect("the store is open");
    tx.rename("large", "dir/moved").expect("it is there");
    expected.push(tx.commit().expect("it commits").txn);
    ours.close().expect("nothing fails here");
    assert_eq!(*told.lock().expect("no thread panics"), expected);

    let mut watch = theirs.watch().expect("it opens");
    // Its first `state` says that it holds the lock, its second that the group is committed.
    let dead = dies_before(&sim, options(), "write", ".filepact/state", 2);
    commit(&dead, &[("a.json", "void")]).expect_err("it dies");
    assert_eq!(all(&mut watch), []);
    let txn = commit(&theirs, &[("a.json", "counts")]).expect("it commits");
    assert_eq!(numbers(&transactions(&mut watch)), [txn]);
    assert_eq!(text(&theirs, "a.json").as_deref(), Some("counts"));
}

#[test]
fn a_watch_is_refused_where_any_call_is() {
    let sim: SimFs = prepared();
    let store = open(&sim);
    let mut watch = store.watch().expect("it opens");
    let inside = store.transact(|_| watch.wait(Duration::ZERO).map(drop));
    assert!(matches!(inside, Err(Error::Nested)), "{inside:?}");
    store.clone().close().expect("nothing fails here");
    assert!(matches!(watch.wait(Duration::ZERO), Err(Error::Poisoned)));
    assert!(matches!(watch.next(), Some(Err(Error::Poisoned))));
    assert!(watch.next().is_none(), "who prints what fails is done some time");
}

/// Without an ear, on the simulated file system, and with one, on a real disk.
#[test]
fn who_waits_is_woken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sim = prepared();
    let real = || Store::open(folder.path()).expect("it opens");
    for [waits, commits] in [[real(), real()], [open(&sim), open(&sim)]] {
        let mut watch = waits.watch().expect("it opens");
        let began = Instant::now();
        assert_eq!(watch.wait(Duration::from_millis(30)).expect("it can be read"), None);
        assert!(began.elapsed() >= Duration::from_millis(30));
        thread::scope(|scope| {
            let waits = scope.spawn(move || watch.next());
            thread::sleep(Duration::from_millis(50));
            let txn = commit(&commits, &[("a.json", "1")]).expect("it commits");
            let told = waits.join().expect("no thread panics").expect("it is endless");
            assert!(matches!(told, Ok(Watched::Transaction(logged)) if logged.txn == txn));
        });
    }
}
