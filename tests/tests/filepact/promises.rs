//! What the documentation promises, on a real file system, and what bad input gets.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests look at the files as any other program would"
)]

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use filepact::{Error, Options, Store, Version};
use serde_json::{Value, json};
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("it opens");
    (folder, store)
}

fn options() -> Options {
    Store::options().lock_timeout(Duration::from_millis(50))
}

#[test]
fn documents_are_ordinary_files_at_their_own_paths() {
    let (folder, store) = store();
    store.write("accounts/ann.json", &json!({"cents": 5, "name": "Ann"})).expect("it commits");
    let text = fs::read_to_string(folder.path().join("accounts/ann.json")).expect("it is there");
    assert_eq!(text, "{\n  \"cents\": 5,\n  \"name\": \"Ann\"\n}\n");
}

#[test]
fn a_path_that_can_be_no_document_is_refused_and_leaves_everything_as_it_was() {
    let (folder, store) = store();
    let long = "x".repeat(256);
    for bad in [
        "",
        "/etc/passwd",
        "..",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        "a\0b",
        &long,
        ".filepact",
        ".filepact/state",
        ".filepact/journal/00000000000000000001.jsonl",
    ] {
        let error = store.write(bad, &1).expect_err("no document has such a path");
        assert!(matches!(error, Error::InvalidPath(_)), "{bad:?}: {error:?}");
        assert!(error.to_string().len() > bad.len().min(20), "{error}");
    }
    assert_eq!(store.list("").expect("it can be listed"), []);
    assert_eq!(fs::read_dir(folder.path()).expect("it can be read").count(), 1);
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let (folder, store) = store();
    fs::create_dir(folder.path().join("dir")).expect("it can be made");
    fs::write(folder.path().join("file"), "x").expect("it can be written");
    symlink("/etc", folder.path().join("link")).expect("it can be made");
    symlink("file", folder.path().join("alias")).expect("it can be made");
    for (bad, what) in [
        ("dir", "directory"),
        ("file/below", "`file` is a file"),
        ("file/below/deeper", "`file` is a file"),
        ("link/passwd", "symbolic link"),
        ("alias", "symbolic link"),
    ] {
        let error = store.write(bad, &1).expect_err("it cannot be a document");
        assert!(matches!(&error, Error::Refused { path, .. } if path == bad), "{bad}: {error:?}");
        assert!(error.to_string().contains(what), "{error}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("file")).expect("it is there"), "x");
    assert_eq!(store.read_bytes("link/passwd").expect("no link is followed"), None);
}

#[test]
fn a_put_below_a_put_is_refused_and_a_removed_document_may_become_a_directory() {
    let (_folder, store) = store();
    let both = store.transact(|tx| {
        tx.write_bytes("a", "x")?;
        tx.write_bytes("a/b", "x")
    });
    assert!(matches!(both, Err(Error::Refused { .. })), "{both:?}");
    store.write("a", &1).expect("it commits");
    store
        .transact(|tx| {
            tx.remove("a")?;
            tx.write("a/b", &2)
        })
        .expect("removals are published first");
    assert_eq!(store.read::<i32>("a/b").expect("it is there"), 2);
}

#[test]
fn json_errors_name_line_and_column() {
    let (folder, store) = store();
    fs::write(folder.path().join("bad.json"), "{\n  \"a\": 1,\n}\n").expect("it can be written");
    fs::write(folder.path().join("twice.json"), "{\"a\": 1, \"a\": 2}").expect("it can be written");
    match store.read::<Value>("bad.json") {
        Err(Error::Json { line: 3, column: 1, path, .. }) => assert_eq!(path, "bad.json"),
        other => panic!("{other:?}"),
    }
    match store.read::<Value>("twice.json") {
        Err(error @ Error::Json { line: 1, .. }) => {
            let source = std::error::Error::source(&error).expect("the parser's").to_string();
            assert!(source.contains("duplicate key `a`"), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

/// What was found to have no key twice is not looked at again; what another program puts there is.
#[test]
fn a_duplicate_key_is_an_error_in_a_document_that_was_read_before() {
    let (folder, store) = store();
    let at = folder.path().join("a.json");
    fs::write(&at, "{\"a\": 1, \"b\": 2}").expect("it can be written");
    let snapshot = store.snapshot().expect("it can be taken");
    for _ in 0..2 {
        assert!(store.read::<Value>("a.json").is_ok() && snapshot.read::<Value>("a.json").is_ok());
    }
    let modified = fs::metadata(&at).and_then(|found| found.modified()).expect("it is there");
    fs::write(&at, "{\"a\": 1, \"a\": 2}").expect("it can be written");
    let file = fs::File::options().write(true).open(&at).expect("it is there");
    file.set_modified(modified).expect("it is ours");
    for _ in 0..2 {
        assert!(matches!(store.read::<Value>("a.json"), Err(Error::Json { .. })));
        assert!(matches!(snapshot.read::<Value>("a.json"), Err(Error::Edited { .. })));
        let mut tx = store.begin().expect("the store is open");
        assert!(matches!(tx.read::<Value>("a.json"), Err(Error::Json { .. })));
        tx.write_bytes("a.json", "{\"b\": 1, \"b\": 2}").expect("a valid path");
        assert!(matches!(tx.read::<Value>("a.json"), Err(Error::Json { .. })));
    }
}

#[test]
fn every_double_comes_back_as_it_was() {
    let (_folder, store) = store();
    let doubles = [0.1 + 0.2, 1e-308, f64::MAX, 5e-324, 1.0 / 3.0, 123_456_789.123_456_79];
    store.write("d.json", &doubles).expect("it commits");
    assert_eq!(store.read::<[f64; 6]>("d.json").expect("it is there"), doubles);
}

#[test]
fn a_closed_store_answers_no_more() {
    let (_folder, store) = store();
    let clone = store.clone();
    let tx = clone.begin().expect("the store is open");
    store.close().expect("it closes");
    assert!(matches!(clone.write("a.json", &1), Err(Error::Poisoned)));
    assert!(matches!(clone.read::<i32>("a.json"), Err(Error::Poisoned)));
    assert!(matches!(tx.commit(), Err(Error::Poisoned)));
}

#[test]
fn a_folder_without_a_store_is_not_made_one_unless_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = options().create(false).open(folder.path()).expect_err("it is none");
    assert!(matches!(&error, Error::NoStore { root } if root == folder.path()), "{error:?}");
    assert_eq!(fs::read_dir(folder.path()).expect("it can be read").count(), 0);
    let missing = folder.path().join("missing");
    assert!(matches!(Store::open(&missing), Err(Error::Io { .. })));
    fs::write(folder.path().join(".filepact"), "elsewhere").expect("it can be written");
    assert!(matches!(Store::open(folder.path()), Err(Error::Format { .. })));
}

#[test]
fn mode_and_extended_attributes_stay_with_the_document() {
    let (folder, store) = store();
    let path = folder.path().join("secret.json");
    store.transact(|tx| tx.write_with("secret.json", &1, 0o600)).expect("it commits");
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
    let has_attributes =
        rustix::fs::setxattr(&path, "user.origin", b"elsewhere", rustix::fs::XattrFlags::empty());
    let inode = fs::metadata(&path).expect("it is there").ino();
    store.write("secret.json", &2).expect("it commits");
    let after = fs::metadata(&path).expect("it is there");
    assert_ne!(after.ino(), inode, "a new inode, as with any rename");
    assert_eq!(after.permissions().mode() & 0o7777, 0o640);
    if has_attributes.is_ok() {
        let mut value = [0; 16];
        let len = rustix::fs::getxattr(&path, "user.origin", &mut value).expect("it is kept");
        assert_eq!(&value[..len], b"elsewhere");
    }
}

#[test]
fn a_large_body_streams_in_and_out() {
    let (folder, store) = store();
    let len = 5_000_000;
    store
        .transact(|tx| tx.write_from("large.bin", std::io::repeat(7).take(len)))
        .expect("it commits");
    assert_eq!(fs::metadata(folder.path().join("large.bin")).expect("it is there").len(), len);
    let mut tx = store.begin().expect("the store is open");
    let mut reader = tx.reader("large.bin").expect("it answers").expect("it is there");
    store.write("large.bin", &"small now").expect("it commits");
    let mut read = Vec::new();
    reader.read_to_end(&mut read).expect("it keeps what it opened");
    assert_eq!(read.len() as u64, len);
    assert!(read.iter().all(|byte| *byte == 7));
}

#[test]
fn a_transaction_that_read_what_another_has_changed_conflicts() {
    let (_folder, store) = store();
    store.write("n.json", &1).expect("it commits");
    let mut tx = store.begin().expect("the store is open");
    let n: i32 = tx.read("n.json").expect("it is there");
    tx.write("m.json", &(n + 1)).expect("a valid path");
    store.write("n.json", &5).expect("it commits");
    match tx.commit() {
        Err(Error::Conflict { paths }) => assert_eq!(paths, ["n.json"]),
        other => panic!("{other:?}"),
    }
    assert!(!store.exists("m.json").expect("it answers"));
}

#[test]
fn absence_and_lists_are_read_as_well() {
    let (_folder, store) = store();
    let mut absent = store.begin().expect("the store is open");
    assert!(!absent.exists("x.json").expect("it answers"));
    absent.write("y.json", &1).expect("a valid path");
    let mut listed = store.begin().expect("the store is open");
    assert_eq!(listed.list("dir").expect("it answers"), []);
    listed.write("z.json", &1).expect("a valid path");
    store.write("x.json", &1).expect("it commits");
    store.write("dir/new.json", &1).expect("it commits");
    assert!(matches!(absent.commit(), Err(Error::Conflict { .. })));
    assert!(matches!(listed.commit(), Err(Error::Conflict { .. })));
}

#[test]
fn reads_in_one_transaction_are_of_one_moment_or_say_conflict() {
    let (_folder, store) = store();
    store.write("a.json", &1).expect("it commits");
    store.write("b.json", &1).expect("it commits");
    let mut tx = store.begin().expect("the store is open");
    assert_eq!(tx.read::<i32>("a.json").expect("it is there"), 1);
    store
        .transact(|tx| {
            tx.write("a.json", &2)?;
            tx.write("b.json", &2)
        })
        .expect("it commits");
    assert!(matches!(tx.read::<i32>("b.json"), Err(Error::Conflict { .. })));
    let mut tx = store.begin().expect("the store is open");
    assert_eq!(tx.list("dir").expect("it can be listed"), []);
    store.write("dir/c.json", &3).expect("it commits");
    assert!(matches!(tx.read::<i32>("dir/c.json"), Err(Error::Conflict { .. })));
}

#[test]
fn an_edit_by_another_program_is_a_conflict_if_it_was_read_before() {
    let (folder, store) = store();
    store.write("a.json", &1).expect("it commits");
    let mut tx = store.begin().expect("the store is open");
    tx.update("a.json", |n: &mut i32| *n += 1).expect("it is there");
    fs::write(folder.path().join("a.json"), "10\n").expect("it can be written");
    assert!(matches!(tx.commit(), Err(Error::Conflict { .. })));
    store.update("a.json", |n: &mut i32| *n += 1).expect("the edit is adopted");
    assert_eq!(store.read::<i32>("a.json").expect("it is there"), 11);
    let log = store.log().expect("it answers");
    let outside: Vec<_> = log.iter().filter(|txn| txn.outside).collect();
    assert_eq!(outside.len(), 1);
    assert_eq!(outside[0].changes[0].path, "a.json");
}

#[test]
fn two_expectations_of_one_document_must_both_be_so() {
    let (_folder, store) = store();
    store.write("a.json", &1).expect("it commits");
    let there = store.version("a.json").expect("it can be read");
    for (first, second) in [(None, there), (there, None), (Some(Version::of(b"x")), there)] {
        let mut tx = store.begin().expect("it is open");
        tx.expect("a.json", first).expect("one alone may be so");
        let second = tx.expect("a.json", second).expect_err("both cannot be");
        assert!(matches!(second, Error::Conflict { .. }), "{second:?}");
        tx.write("a.json", &2).expect("a valid path");
        let error = tx.commit().expect_err("and stay so");
        assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
    }
    let mut tx = store.begin().expect("it is open");
    tx.expect("a.json", there).expect("one alone may be so");
    tx.expect("a.json", there).expect("the same once more");
    tx.write("a.json", &2).expect("a valid path");
    tx.commit().expect("it is so");
}

#[test]
fn a_file_that_somebody_has_put_among_the_rescued_is_passed_over() {
    let (folder, store) = store();
    fs::write(folder.path().join(".filepact/rescued/README"), "mine").expect("it is written");
    assert!(store.status().expect("it answers").rescued.is_empty());
}

#[test]
fn expect_judges_the_committed_state() {
    let (_folder, store) = store();
    store.write("a.json", &1).expect("it commits");
    let version = store.version("a.json").expect("it answers");
    let swap = |version: Option<Version>, to: i32| {
        store.transact(|tx| {
            tx.expect("a.json", version)?;
            tx.write("a.json", &to)
        })
    };
    swap(version, 2).expect("it is as expected");
    assert!(matches!(swap(version, 3), Err(Error::Conflict { .. })));
    assert_eq!(store.read::<i32>("a.json").expect("it is there"), 2);
    assert!(matches!(swap(None, 3), Err(Error::Conflict { .. })));
}

#[test]
fn create_update_and_remove_say_what_is_missing() {
    let (_folder, store) = store();
    store.create("a.json", &1).expect("it is absent");
    assert!(matches!(store.create("a.json", &2), Err(Error::Exists { .. })));
    assert!(matches!(store.update("b.json", |_: &mut i32| {}), Err(Error::NotFound { .. })));
    assert!(matches!(store.remove("b.json"), Err(Error::NotFound { .. })));
    store.remove("a.json").expect("it is there");
    assert!(matches!(store.read::<i32>("a.json"), Err(Error::NotFound { .. })));
}

#[test]
fn a_dropped_transaction_and_a_failed_closure_change_nothing() {
    let (folder, store) = store();
    let mut tx = store.begin().expect("the store is open");
    tx.write("a.json", &1).expect("a valid path");
    drop(tx);
    let failed: Result<(), Error> = store.transact(|tx| {
        tx.write("a.json", &1)?;
        Err(Error::NotFound { path: "something else".into() })
    });
    assert!(matches!(failed, Err(Error::NotFound { .. })));
    assert_eq!(fs::read_dir(folder.path()).expect("it can be read").count(), 1);
}

#[test]
fn a_call_on_the_store_inside_its_own_transaction_is_an_error() {
    let (_folder, store) = store();
    let other = self::store();
    let nested: Result<(), Error> = store.transact(|_| {
        other.1.write("fine.json", &1)?;
        store.write("a.json", &1).map(drop)
    });
    assert!(matches!(nested, Err(Error::Nested)), "{nested:?}");
    store.write("a.json", &1).expect("outside it is fine");
}

#[test]
fn threads_that_increment_one_counter_lose_nothing() {
    let (_folder, store) = store();
    store.write("n.json", &0).expect("it commits");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    loop {
                        match store.update("n.json", |n: &mut i32| *n += 1) {
                            Ok(()) => break,
                            Err(Error::Conflict { .. }) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.read::<i32>("n.json").expect("it is there"), 100);
}

#[test]
fn a_plain_reader_never_misses_a_document() {
    let (folder, store) = store();
    let path = folder.path().join("a.json");
    store.write("a.json", &0).expect("it commits");
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut reads, mut last) = (0, 0);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let text = fs::read_to_string(&path).expect("it is never absent");
                let n: i32 = text.trim().parse().expect("it is never torn");
                assert!(n >= last, "it is never older than before");
                (reads, last) = (reads + 1, n);
            }
            reads
        });
        for n in 1..=300 {
            store.write("a.json", &n).expect("it commits");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().expect("the reader found nothing wrong") > 100);
    });
}

#[test]
fn the_journal_is_bounded_and_its_log_is_plain_json() {
    bounded(true);
    bounded(false);
}

fn bounded(in_background: bool) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = options().journal_max(100_000).background_checkpoints(in_background);
    let store = options.open(folder.path()).expect("it opens");
    for n in 0..400 {
        store.write("a.json", &format!("{n}{}", "x".repeat(2_000))).expect("it commits");
    }
    // A checkpoint in the background may still be on its way.
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        let status = store.status().expect("it answers");
        if status.journal_bytes < 110_000 || !in_background || Instant::now() > deadline {
            break status;
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert!(status.journal_bytes < 110_000, "{status:?}");
    assert_eq!(status.deferred_checkpoint, None);
    let mut size = 0;
    for segment in fs::read_dir(folder.path().join(".filepact/journal")).expect("it can be read") {
        let lines = match fs::read_to_string(segment.expect("it can be read").path()) {
            // Its checkpoint removes what it covers, after its record.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            lines => lines.expect("it is text"),
        };
        size += lines.len();
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_str(line).expect("it is JSON");
            assert!(line["rec"].is_object());
        }
    }
    assert!(size < 1_500_000, "{size} bytes of journal for 800,000 bytes of changes");
}

/// Every version of a large document stays in `stage/` until a checkpoint; its records are short.
#[test]
fn large_bodies_that_were_replaced_do_not_fill_the_disk() {
    for in_background in [true, false] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = options().journal_max(10_000).background_checkpoints(in_background);
        let store = options.open(folder.path()).expect("it opens");
        for n in 0..20 {
            let put = store.transact(|tx| tx.write_bytes("large", vec![n; 100_000]));
            put.expect("it commits");
        }
        // A checkpoint in the background may still be on its way.
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut staged = in_stage(folder.path());
        while in_background && staged > 200_000 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
            staged = in_stage(folder.path());
        }
        assert!(staged <= 200_000, "{staged} bytes of bodies");
        let made = store.status().expect("it answers").counts.checkpoints;
        assert!(in_background || made == 10, "one for two bodies, not {made}");
    }
}

fn in_stage(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder.join(".filepact/stage")).expect("it can be read") {
        // What a checkpoint removes meanwhile is gone.
        bytes += entry.expect("it can be read").metadata().map_or(0, |metadata| metadata.len());
    }
    bytes
}

#[test]
fn names_that_are_not_utf8_links_and_nested_stores_are_not_listed() {
    use std::os::unix::ffi::OsStrExt;
    let (folder, store) = store();
    store.write("a/b.json", &1).expect("it commits");
    let odd = std::ffi::OsStr::from_bytes(b"odd-\xff");
    fs::write(folder.path().join(odd), "x").expect("it can be written");
    symlink("a", folder.path().join("link")).expect("it can be made");
    fs::create_dir(folder.path().join("nested")).expect("it can be made");
    let nested = Store::open(folder.path().join("nested")).expect("it opens");
    nested.write("c.json", &1).expect("it commits");
    let names: Vec<String> =
        store.list("").expect("it answers").iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a/b.json"]);
    assert_eq!(store.list("a/").expect("it answers").len(), 1);
}

/// It takes no lock, so that no writer waits for it, and it for none.
#[test]
fn what_only_reads_is_run_again_without_the_lock() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("it opens");
    let rival =
        Store::options().lock_timeout(Duration::ZERO).open(folder.path()).expect("it joins");
    let set = |value: u32| {
        let mut tx = rival.begin()?;
        tx.write("a.json", &value)?;
        tx.write("b.json", &value)?;
        tx.commit()
    };
    set(0).expect("nobody else writes");
    let mut tries = 0;
    let read = store.transact::<_, Error>(|tx| {
        tries += 1;
        let a: u32 = tx.read("a.json")?;
        if tries < 4 {
            set(tries).expect("nobody has the lock");
        }
        Ok((a, tx.read::<u32>("b.json")?))
    });
    assert_eq!((read.expect("in the end nobody is in the way"), tries), ((3, 3), 4));
}
