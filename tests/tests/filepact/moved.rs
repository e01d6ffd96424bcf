//! Directories of documents that other programs move, remove or replace in the middle of a commit.
#![allow(
    clippy::disallowed_methods,
    reason = "does to directories from outside what any program would"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use filepact::{Error, Store};
use filepact_fs::OsFs;
use filepact_tests::steps::Steps;
use tempfile::TempDir;

/// What is done to a directory when the journal is synced.
type Move = fn(&Path);

/// Commits a put, an append and a removal in a directory; in the middle of the commit that is moved, removed or
/// replaced.
fn moved_in_c7(moves: Move) -> (TempDir, Result<u64, Error>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().to_owned();
    let before = Store::open(&root).expect("it opens");
    for path in ["logs/put", "logs/added to", "logs/removed", "kept"] {
        let mut tx = before.begin().expect("the store is open");
        tx.write_bytes(path, "one\n").expect("a valid path");
        tx.commit().expect("nothing stands in the way");
    }
    before.close().expect("nothing fails here");
    let armed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&armed);
    let fs = Arc::new(OsFs::open(&root).expect("it is a folder"));
    let steps = Steps::new(fs, move |_, op, on| {
        let is_c7 = op == "sync" && on.starts_with(".filepact/journal/");
        if is_c7 && now.swap(false, Ordering::SeqCst) {
            moves(&root);
        }
    });
    let store = Store::options().open_with(steps).expect("it opens");
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("logs/put", "two\n").expect("a valid path");
    tx.append("logs/added to", "two\n").expect("a valid path");
    tx.remove("logs/removed").expect("it is there");
    tx.write_bytes("kept", "two\n").expect("a valid path");
    armed.store(true, Ordering::SeqCst);
    let committed = tx.commit().map(|committed| committed.txn);
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
    assert_eq!(text(&folder, "kept").as_deref(), Some("two\n"));
    // Everybody goes on.
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("later", "three\n").expect("a valid path");
    tx.commit().expect("nothing stands in the way any more");
    store.close().expect("nothing fails here");
    (folder, committed)
}

fn text(folder: &TempDir, path: &str) -> Option<String> {
    std::fs::read_to_string(folder.path().join(path)).ok()
}

#[test]
fn a_directory_that_is_moved_during_a_commit_was_moved_after_it() {
    let moves: [Move; 2] = [
        |root| std::fs::rename(root.join("logs"), root.join("old")).expect("it can be moved"),
        |root| {
            std::fs::rename(root.join("logs"), root.join("old")).expect("it can be moved");
            std::fs::create_dir(root.join("logs")).expect("it can be made");
        },
    ];
    for moves in moves {
        let (folder, committed) = moved_in_c7(moves);
        committed.expect("it is published where the directory is");
        assert_eq!(text(&folder, "old/put").as_deref(), Some("two\n"));
        assert_eq!(text(&folder, "old/added to").as_deref(), Some("one\ntwo\n"));
        assert_eq!(text(&folder, "old/removed"), None);
        assert_eq!(text(&folder, "logs/put"), None);
    }
}

#[test]
fn a_directory_that_is_removed_during_a_commit_is_made_again() {
    let moves: [Move; 2] = [
        |root| std::fs::remove_dir_all(root.join("logs")).expect("it can be removed"),
        |root| {
            std::fs::remove_dir_all(root.join("logs")).expect("it can be removed");
            std::fs::create_dir(root.join("logs")).expect("it can be made");
        },
    ];
    for moves in moves {
        let (folder, committed) = moved_in_c7(moves);
        committed.expect("it is published");
        assert_eq!(text(&folder, "logs/put").as_deref(), Some("two\n"));
        assert!(text(&folder, "logs/added to").is_some_and(|log| log.ends_with("two\n")));
        assert_eq!(text(&folder, "logs/removed"), None);
    }
}
