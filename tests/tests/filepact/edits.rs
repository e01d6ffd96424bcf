//! Edits by other programs while a store is open: none goes unseen, none is lost, and what changes
//! no content disturbs nobody.
#![allow(clippy::disallowed_methods, reason = "edits documents from outside, as any program would")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use filepact::{Error, Store};
use filepact_fs::{Access, Fs, Time, write_all};
use filepact_simfs::SimFs;
use filepact_tests::crash::{open, prepared};

use crate::support::{mtime, put, read, set_mtime};

const PATH: &str = "a.json";

/// What somebody does to a document of six bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    /// In place, as nano and the shell's `>` do.
    InPlace,
    /// In place, the size and mtime of before.
    Forged,
    /// Another file under the same name, as vim and git do.
    Replaced,
    /// Another file, the size and mtime of before.
    ReplacedAndForged,
    /// Back and forth within a tick: first another content, then the one of before.
    BackAndForth,
    /// The time alone.
    Touched,
    /// The mode: ctime alone.
    Chmod,
    /// The same content, in a new file.
    SameContent,
}

const EDITS: [Edit; 8] = [
    Edit::InPlace,
    Edit::Forged,
    Edit::Replaced,
    Edit::ReplacedAndForged,
    Edit::BackAndForth,
    Edit::Touched,
    Edit::Chmod,
    Edit::SameContent,
];

impl Edit {
    fn make(self, sim: &SimFs) {
        let before = mtime(sim, PATH);
        match self {
            Self::InPlace => sim.write(PATH, b"edited"),
            Self::Forged => {
                sim.write(PATH, b"edited");
                set_mtime(sim, PATH, before);
            }
            Self::Replaced => sim.replace(PATH, b"edited"),
            Self::ReplacedAndForged => {
                sim.replace(PATH, b"edited");
                set_mtime(sim, PATH, before);
            }
            Self::BackAndForth => {
                sim.write(PATH, b"edited");
                sim.write(PATH, b"before");
            }
            Self::Touched => set_mtime(sim, PATH, Time(before.0 + 1)),
            Self::Chmod => sim.set_mode(PATH, 0o600),
            Self::SameContent => sim.replace(PATH, b"before"),
        }
    }

    fn changes_content(self) -> bool {
        matches!(self, Self::InPlace | Self::Forged | Self::Replaced | Self::ReplacedAndForged)
    }
}

/// Of a document that another process has put a reader knows what it holds, and not how it looked.
#[test]
fn what_a_program_adds_to_a_document_of_another_process_is_read() {
    let sim = prepared();
    let (writes, reads) = (open(&sim), open(&sim));
    put(&writes, PATH, b"before");
    let read = || reads.read_bytes(PATH).expect("it can be read").expect("it is there");
    assert_eq!(read(), b"before");
    sim.write(PATH, b"before, and behind it");
    assert_eq!(read(), b"before, and behind it");
    sim.write(PATH, b"bef");
    assert_eq!(read(), b"bef");
}

/// Every edit, on every clock, soon after the commit or long after it, of a document that this
/// process published or another one.
fn every_case(check: impl Fn(&SimFs, &Store, Edit, &str)) {
    for tick in [Duration::from_nanos(1), Duration::from_millis(4), Duration::from_secs(2)] {
        for late in [false, true] {
            for by_other in [false, true] {
                for edit in EDITS {
                    let sim = prepared();
                    sim.set_tick(tick);
                    let (store, other) = (open(&sim), open(&sim));
                    put(if by_other { &other } else { &store }, PATH, b"before");
                    if late {
                        sim.advance(Duration::from_secs(3_600));
                    } else {
                        // Everything from here on happens within one tick of the clock.
                        sim.set_step(Duration::ZERO);
                    }
                    let case = format!("{edit:?}, tick {tick:?}, late {late}, by other {by_other}");
                    check(&sim, &store, edit, &case);
                }
            }
        }
    }
}

#[test]
fn an_edit_of_what_was_read_is_a_conflict_and_anything_else_is_none() {
    every_case(|sim, store, edit, case| {
        let mut tx = store.begin().expect("the store is open");
        assert_eq!(tx.read_bytes(PATH).expect("it is there").as_deref(), Some(&b"before"[..]));
        edit.make(sim);
        tx.write_bytes("sum", "1").expect("a valid path");
        let outcome = tx.commit();
        match edit.changes_content() {
            true => assert!(matches!(outcome, Err(Error::Conflict { .. })), "{case}"),
            false => drop(outcome.unwrap_or_else(|error| panic!("{case}: {error:?}"))),
        }
        // And a reader who comes now sees what is there.
        let now = store.read_bytes(PATH).expect("it can be read");
        assert_eq!(now, sim.read(PATH), "{case}");
    });
}

#[test]
fn an_edit_that_a_put_replaces_unread_is_rescued_and_anything_else_is_not() {
    every_case(|sim, store, edit, case| {
        edit.make(sim);
        let mut tx = store.begin().expect("the store is open");
        tx.write_bytes(PATH, "after").expect("a valid path");
        let rescued = tx.commit().unwrap_or_else(|error| panic!("{case}: {error:?}")).rescued;
        assert_eq!(read(sim, PATH).as_deref(), Some("after"), "{case}");
        let kept: Vec<_> = rescued.iter().map(|edit| read(sim, &edit.at)).collect();
        let expected = edit.changes_content().then(|| Some("edited".to_owned()));
        assert_eq!(kept, Vec::from_iter(expected), "{case}");
        if edit == Edit::Chmod {
            assert_eq!(sim.stat(PATH).expect("it is there").mode, 0o600, "{case}");
        }
    });
}

#[test]
fn an_edit_that_was_read_is_recorded_and_anything_else_is_not() {
    every_case(|sim, store, edit, case| {
        edit.make(sim);
        let mut tx = store.begin().expect("the store is open");
        let seen = tx.read_bytes(PATH).expect("it is there");
        assert_eq!(seen, sim.read(PATH), "{case}");
        tx.write_bytes("sum", "1").expect("a valid path");
        assert!(tx.commit().expect("nobody was faster").rescued.is_empty(), "{case}");
        let outside = store.log().expect("it can be read").iter().filter(|txn| txn.outside).count();
        assert_eq!(outside, usize::from(edit.changes_content()), "{case}");
    });
}

/// How programs save a file: each leaves `text` in it.
type Save = fn(folder: &Path, file: &str, text: &str);

/// As each of them does it, and the programs themselves where they are installed.
fn programs() -> Vec<(&'static str, Save)> {
    let mut programs: Vec<(&str, Save)> = vec![
        ("as nano", |folder, file, text| {
            fs::write(folder.join(file), text).expect("it is written");
        }),
        ("as vim", |folder, file, text| {
            let (backup, path) = (folder.join(format!("{file}~")), folder.join(file));
            fs::rename(&path, &backup).expect("it is there");
            fs::write(&path, text).expect("it is written");
            fs::remove_file(backup).expect("it is there");
        }),
        ("as git", |folder, file, text| {
            fs::write(folder.join("tmp_obj"), text).expect("it is written");
            fs::rename(folder.join("tmp_obj"), folder.join(file)).expect("it is there");
        }),
        ("sh", |folder, file, text| {
            run(folder, "sh", &["-c", &format!("printf %s '{text}' > {file}")]);
        }),
    ];
    let installed = |program: &str| {
        let found = Command::new(program).arg("--version").output();
        found.is_ok_and(|output| output.status.success())
    };
    if installed("vim") {
        programs.push(("vim", |folder, file, text| {
            let change = format!("%d|call setline(1, '{text}')|set noeol nofixeol|wq");
            let options =
                ["-u", "NONE", "-n", "-es", "-c", "set backupcopy=no nobackup writebackup"];
            run(folder, "vim", &[&options[..], &["-c", &change, file]].concat());
        }));
    }
    if installed("ed") {
        programs.push(("ed", |folder, file, text| {
            run(folder, "sh", &["-c", &format!("printf '1c\\n{text}\\n.\\nwq\\n' | ed -s {file}")]);
        }));
    }
    if installed("git") {
        programs.push(("git checkout", |folder, file, text| {
            let git = |arguments: &[&str]| {
                let who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
                run(folder, "git", &[&who[..], arguments].concat());
            };
            let ours = fs::read(folder.join(file)).expect("it is there");
            git(&["init", "-q", "-b", "main"]);
            fs::write(folder.join(file), text).expect("it is written");
            git(&["add", file]);
            git(&["commit", "-q", "-m", "theirs"]);
            git(&["checkout", "-q", "-B", "ours"]);
            fs::write(folder.join(file), ours).expect("it is written");
            git(&["commit", "-q", "-a", "-m", "ours"]);
            git(&["checkout", "-q", "main"]);
        }));
    }
    programs
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let command = command.current_dir(folder).args(arguments).stdin(Stdio::null());
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

#[test]
fn editors_and_git_beside_a_running_store_lose_nothing() {
    for (program, save) in programs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("it opens");
        let commit = |path: &str, body: &str| {
            let mut tx = store.begin().expect("the store is open");
            tx.write_bytes(path, body).expect("a valid path");
            tx.commit().unwrap_or_else(|error| panic!("{program}: {error:?}"))
        };
        let text = |at: &str| {
            let text = fs::read_to_string(folder.path().join(at)).expect("it is there");
            text.trim_end().to_owned()
        };
        commit("doc.txt", "version 1");

        // Seen at the next read, and in conflict with one before.
        let mut tx = store.begin().expect("the store is open");
        tx.read_bytes("doc.txt").expect("it is there");
        save(folder.path(), "doc.txt", "theirs, A");
        let seen = store.read_bytes("doc.txt").expect("it can be read").expect("it is there");
        assert!(seen.starts_with(b"theirs, A"), "{program}");
        tx.write_bytes("sum.txt", "1").expect("a valid path");
        assert!(matches!(tx.commit(), Err(Error::Conflict { .. })), "{program}");

        // Adopted by whoever has read it.
        store
            .transact::<_, Error>(|tx| {
                let body = tx.read_bytes("doc.txt")?.unwrap_or_default();
                tx.write_bytes("copy.txt", body)
            })
            .unwrap_or_else(|error| panic!("{program}: {error:?}"));
        assert_eq!(text("copy.txt"), "theirs, A", "{program}");
        assert!(store.log().expect("it can be read").iter().any(|txn| txn.outside), "{program}");

        // Kept when a put replaces it unread.
        commit("doc.txt", "version 2");
        save(folder.path(), "doc.txt", "theirs, B");
        let rescued = commit("doc.txt", "version 3").rescued;
        assert_eq!(rescued.len(), 1, "{program}");
        assert_eq!(
            (text(&rescued[0].at), text("doc.txt")),
            ("theirs, B".into(), "version 3".into())
        );
        let check = store.check().expect("it can be checked");
        assert_eq!(check.problems, Vec::<String>::new(), "{program}");
    }
}

/// The limit that the README names: after the next checkpoint the file is nobody's document any more.
#[test]
fn what_is_written_after_a_checkpoint_to_a_file_that_was_replaced_goes_with_it() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, PATH, b"before");
    let theirs = sim.actor().open(PATH, Access::Write).expect("it is there");
    put(&store, PATH, b"after");
    store.checkpoint().expect("nothing fails here");
    write_all(&*theirs, b"theirs", 0).expect("nothing fails here");
    store.checkpoint().expect("nothing fails here");
    assert_eq!(read(&sim, PATH).as_deref(), Some("after"));
    assert_eq!(store.status().expect("it can be read").rescued, []);
}
