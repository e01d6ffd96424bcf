//! Work that one call divides among threads: on the real file system, since the simulated one has but one.
#![allow(
    clippy::disallowed_methods,
    reason = "writes and copies from outside, as any program would"
)]

use std::fs;
use std::path::Path;

use filepact::Store;

const DOCUMENTS: usize = 200;

/// In seven directories.
fn path(n: usize) -> String {
    format!("{}/{n}.json", n % 7)
}

/// Beyond a few documents several threads publish them.
#[test]
fn many_documents_of_a_commit_come_to_their_paths_and_others_edits_to_rescued() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("it opens");
    for round in 0..6 {
        let edited = folder.path().join(path(round));
        if round > 0 {
            fs::write(&edited, format!("edit {round}")).expect("it can be written");
        }
        let mut tx = store.begin().expect("the store is open");
        for n in 0..DOCUMENTS {
            match n % 5 {
                0 if round == 3 => tx.remove(path(n)).expect("it is there"),
                1 => tx.append(path(n), format!("{round}\n")).expect("a valid path"),
                _ => tx.write_bytes(path(n), format!("{n} {round}")).expect("a valid path"),
            }
        }
        let committed = tx.commit().expect("nothing stands in the way");
        let rescued: Vec<_> = committed.rescued.iter().map(|edit| edit.path.clone()).collect();
        let is_added_to = round % 5 == 1;
        let expected = if round == 0 || is_added_to { Vec::new() } else { vec![path(round)] };
        assert_eq!(rescued, expected, "round {round}");
        for n in 0..DOCUMENTS {
            let found = fs::read_to_string(folder.path().join(path(n))).ok();
            match n % 5 {
                0 if round == 3 => assert_eq!(found, None, "{n}"),
                1 => assert!(found.is_some_and(|lines| lines.ends_with(&format!("{round}\n")))),
                _ => assert_eq!(found, Some(format!("{n} {round}")), "{n}"),
            }
        }
    }
    store.close().expect("nothing fails here");
    let left = fs::read_dir(folder.path().join(".filepact/stage")).expect("it is there");
    assert_eq!(left.count(), 0);
}

/// A copy is made of a store that is open, and something happens to every document in it: what the copy's own
/// journal says is put back, and others' edits are kept.
#[test]
fn many_documents_that_are_lost_are_recovered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
    fs::create_dir(&original).expect("it can be made");
    let store = Store::options().background_checkpoints(false).open(&original).expect("it opens");
    for round in 0..2 {
        let mut tx = store.begin().expect("the store is open");
        for n in 0..DOCUMENTS {
            match n % 5 {
                0 if round == 1 => tx.remove(path(n)).expect("it is there"),
                _ => tx.write_bytes(path(n), format!("{n} {round}")).expect("a valid path"),
            }
        }
        tx.commit().expect("nothing stands in the way");
    }
    copy_tree(&original, &copy);
    for n in 0..DOCUMENTS {
        let document = copy.join(path(n));
        match n % 5 {
            0 => fs::write(document, format!("{n} 0")).expect("it can be written"),
            1 => fs::remove_file(document).expect("it is there"),
            2 => fs::write(document, "").expect("it can be written"),
            3 => fs::write(document, format!("edit {n}")).expect("it can be written"),
            _ => {}
        }
    }

    let opened = Store::open(&copy).expect("it is recovered");
    let report = opened.recovery_report();
    assert_eq!((report.trusted, report.documents.len()), (false, DOCUMENTS));
    let rescued: Vec<_> = report.rescued.iter().map(|edit| edit.path.clone()).collect();
    let edited: Vec<_> = report
        .documents
        .iter()
        .map(|planned| &planned.path)
        .filter(|path| is_edited(path))
        .collect();
    assert_eq!(rescued.iter().collect::<Vec<_>>(), edited, "in the order of the plan");
    for n in 0..DOCUMENTS {
        let found = fs::read_to_string(copy.join(path(n))).ok();
        assert_eq!(found, (n % 5 > 0).then(|| format!("{n} 1")), "{n}");
    }
    opened.close().expect("nothing fails here");
    store.close().expect("nothing fails here");
    let left = fs::read_dir(copy.join(".filepact/stage")).expect("it is there");
    assert_eq!(left.count(), 0);
}

fn is_edited(path: &str) -> bool {
    let number = path.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
    number.and_then(|number| number.parse::<usize>().ok()).is_some_and(|n| n % 5 == 3)
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).expect("it can be made");
    for entry in fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("it is there").is_dir() {
            true => copy_tree(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("it can be copied")),
        }
    }
}
