//! The command as a user meets it: what it prints, what it changes, and its exit code.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "looks at the folder from outside, as any program would"
)]

use std::fs;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use sandbox::{Sandbox, Talk, feed};

/// `rescued`, and what is said of rescued edits elsewhere.
mod rescued;
/// The command, run in a folder of its own.
mod sandbox;
/// `snapshot`: copies of one moment.
mod snapshot;
/// `watch`, as a verb and in `batch`.
mod watch;

#[test]
fn init_makes_a_store_once_and_says_so_afterwards() {
    let sandbox = Sandbox::bare();
    let made = sandbox.run(&["init"]);
    assert!((made.code, made.text()) == (0, "") && made.err.contains("is a store now"));
    let again = sandbox.run(&["init"]);
    assert!((again.code, again.text()) == (0, "") && again.err.contains("is a store already"));
    assert_eq!(sandbox.run(&["--json", "init"]).json()["created"], false);
}

#[test]
fn files_that_were_there_before_are_documents() {
    let sandbox = Sandbox::bare();
    fs::write(sandbox.path("old.txt"), "old").unwrap();
    assert_eq!(sandbox.run(&["init"]).code, 0);
    sandbox.run(&["get", "old.txt"]).says("old");
    sandbox.run(&["ls"]).says("old.txt\n");
}

#[test]
fn a_document_comes_back_byte_by_byte() {
    let sandbox = Sandbox::new();
    let large: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    for (path, content) in [
        ("empty", &b""[..]),
        ("bytes", b"\xff\x00\r\n"),
        ("numbers.json", b" {\"z\":1.10, \"a\":1E+2}"),
        ("dir/large", &large),
    ] {
        sandbox.feed(&["put", path], content).says("");
        let got = sandbox.run(&["get", path]);
        assert!(got.code == 0 && got.out == content, "{path}: {}", got.err);
        assert_eq!(fs::read(sandbox.path(path)).unwrap(), content);
    }
}

#[test]
fn put_takes_a_file_and_for_a_dash_stdin() {
    let sandbox = Sandbox::new();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "from a file").unwrap();
    sandbox.run(&["put", "x", outside.path().to_str().unwrap()]).says("");
    sandbox.run(&["get", "x"]).says("from a file");
    sandbox.feed(&["put", "x", "-"], "from stdin").says("");
    sandbox.run(&["get", "x"]).says("from stdin");
    sandbox.run(&["put", "x", "/nowhere"]).fails(7, "cannot open `/nowhere`: No such file");
}

#[test]
fn put_with_an_expectation_swaps_or_changes_nothing() {
    let sandbox = Sandbox::new();
    let put = |expect: &str, content: &str| {
        sandbox.feed(&["--json", "put", "x", "--expect", expect], content)
    };
    let version = put("absent", "1").json()["version"].as_str().unwrap().to_owned();
    assert_eq!(put("absent", "2").code, 3);
    assert_eq!(put(&version, "3").code, 0);
    let late = put(&version, "4");
    assert_eq!((late.code, late.text()), (3, ""));
    let failure: Value = serde_json::from_str(&late.err).unwrap();
    assert_eq!(failure["ok"], false);
    assert_eq!(failure["error"], "conflict");
    assert_eq!(failure["paths"], serde_json::json!(["x"]));
    sandbox.run(&["get", "x"]).says("3");
    put("h1:short", "5").fails(2, "not a version");
}

#[test]
fn get_for_machines_shows_json_text_or_base64() {
    let sandbox = Sandbox::with_documents();
    let get = |path: &str| sandbox.run(&["--json", "get", path]);
    assert_eq!(get("a.json").json()["json"], serde_json::json!({"n": 1}));
    assert_eq!(get("dir/b.txt").json()["text"], "hello\n");
    sandbox.feed(&["put", "c"], b"\xff").says("");
    assert_eq!(get("c").json()["base64"], "/w==");
    let absent = get("d");
    assert_eq!((absent.code, absent.text()), (1, ""));
    assert_eq!(serde_json::from_str::<Value>(&absent.err).unwrap()["error"], "not_found");
}

#[test]
fn rm_removes_all_or_nothing() {
    let sandbox = Sandbox::with_documents();
    sandbox.run(&["rm", "a.json", "nothing"]).fails(1, "`nothing` does not exist");
    sandbox.run(&["get", "a.json"]).says("{\"n\": 1}\n");
    sandbox.run(&["rm", "a.json", "dir/b.txt", "--note", "both"]).says("");
    sandbox.run(&["get", "a.json"]).fails(1, "`a.json` does not exist");
    sandbox.run(&["ls"]).says("");
}

#[test]
fn ls_lists_documents_and_nothing_else() {
    let sandbox = Sandbox::with_documents();
    symlink("a.json", sandbox.path("link")).unwrap();
    sandbox.run(&["ls"]).says("a.json\ndir/b.txt\n");
    sandbox.run(&["ls", "dir"]).says("dir/b.txt\n");
    sandbox.run(&["ls", "--json", "dir/"]).says("{\"path\":\"dir/b.txt\"}\n");
    sandbox.run(&["ls", "../dir"]).fails(2, "`..`");
}

#[test]
fn log_shows_who_changed_what_and_when() {
    let sandbox = Sandbox::new();
    sandbox.feed(&["put", "a", "--note", "why\nnot"], "123").says("");
    sandbox.run(&["rm", "a"]).says("");
    let log = sandbox.run(&["log"]);
    let lines: Vec<&str> = log.text().lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].ends_with("Z  why\\nnot"), "{lines:?}");
    assert_eq!(lines[1].trim(), "put     a  3");
    assert_eq!(lines[3].trim(), "remove  a");
    let log = sandbox.run(&["--json", "log"]);
    let entries: Vec<Value> =
        log.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries[0]["note"], "why\nnot");
    let version = "h1:b3d4f8803f7e24b8f389b072e75477cd";
    let put = serde_json::json!({"op": "put", "path": "a", "len": 3, "version": version});
    assert_eq!(entries[0]["changes"], serde_json::json!([put]));
    assert_eq!(entries[1]["changes"], serde_json::json!([{"op": "remove", "path": "a"}]));
    assert!(entries[1]["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn status_check_and_checkpoint_look_and_change_no_document() {
    let sandbox = Sandbox::with_documents();
    let before = sandbox.documents();
    let status = sandbox.run(&["--json", "status"]).json();
    assert_eq!(status["failed"], false);
    assert_eq!(status["rescued"], serde_json::json!([]));
    assert!(sandbox.run(&["status"]).text().contains("journal     0 bytes since then"));
    assert_eq!(sandbox.run(&["--json", "check"]).json()["clean"], true);
    assert!(sandbox.run(&["check"]).text().ends_with("clean\n"));
    sandbox.run(&["checkpoint"]).says("");
    sandbox.run(&["--json", "checkpoint"]).says("{\"ok\":true}\n");
    assert_eq!(sandbox.documents(), before);
}

#[test]
fn recover_adopts_an_edit_made_after_a_kill_and_a_dry_run_only_says_so() {
    let sandbox = Sandbox::with_documents();
    sandbox
        .run(&["recover"])
        .says("nothing to do: whoever had the store open last has closed it\n");
    sandbox.commit_and_kill(&[r#"{"op":"put","path":"x","text":"ours"}"#]);
    fs::write(sandbox.path("x"), "theirs").unwrap();

    let before = sandbox.everything();
    let would = sandbox.run(&["recover", "--dry-run"]);
    assert_eq!((would.code, &*would.err), (0, ""));
    assert!(would.text().contains("adopted   x, edited by another program"), "{}", would.text());
    assert!(would.text().ends_with("nothing was changed\n"));
    assert_eq!(sandbox.everything(), before);

    let done = sandbox.run(&["--json", "recover"]).json();
    assert_eq!(done["adopted"], serde_json::json!(["x"]));
    assert_eq!(done["kept"].as_array().unwrap().len(), 1);
    sandbox.run(&["get", "x"]).says("theirs");
    assert!(sandbox.run(&["log"]).text().contains("(an edit by another program)"));
}

#[test]
fn an_input_without_begin_is_one_transaction() {
    let sandbox = Sandbox::new();
    let batch = sandbox.feed(
        &["batch", "--note", "import"],
        r#"{"op":"put","path":"a.json","json":{"z":1.10,"a":[1,{}],"big":100000000000000000001}}
{"op":"put","path":"b.txt","text":"hello\n"}
{"op":"get","path":"b.txt"}
"#,
    );
    batch.says(concat!(
        "{\"ok\":true}\n",
        "{\"ok\":true}\n",
        "{\"ok\":true,\"path\":\"b.txt\",\"version\":\"h1:8e4c7c1b99dbfd50e7a95185fead5ee1\",",
        "\"text\":\"hello\\n\"}\n",
        "{\"ok\":true,\"txn\":4}\n",
    ));
    sandbox.run(&["get", "a.json"]).says(
        "{\n  \"z\": 1.10,\n  \"a\": [\n    1,\n    {}\n  ],\n  \"big\": 100000000000000000001\n}\n",
    );
    assert!(sandbox.run(&["log"]).text().contains("import"));
}

#[test]
fn a_failed_line_aborts_its_transaction_until_rollback_or_begin() {
    let sandbox = Sandbox::new();
    let batch = sandbox.feed(
        &["batch"],
        r#"{"op":"begin"}
{"op":"put","path":"a","text":"1"}
{"op":"remove","path":"b"}
{"op":"commit"}
{"op":"rollback"}
{"op":"begin"}
{"op":"expect","path":"a","version":null}
{"op":"put","path":"a","text":"2"}
{"op":"commit","note":"why"}
{"op":"begin"}
{"op":"expect","path":"a","version":null}
{"op":"put","path":"a","text":"3"}
{"op":"commit"}
{"op":"begin"}
{"op":"put","path":"a","text":"4"}
"#,
    );
    assert_eq!(
        batch.text(),
        r#"{"ok":true}
{"ok":true}
{"ok":false,"error":"not_found","line":3,"paths":["b"],"message":"`b` does not exist"}
{"ok":false,"error":"aborted","line":4,"message":"not done: the transaction was aborted by the failure of line 3"}
{"ok":true}
{"ok":true}
{"ok":true}
{"ok":true}
{"ok":true,"txn":3}
{"ok":true}
{"ok":true}
{"ok":true}
{"ok":false,"error":"conflict","line":13,"paths":["a"],"message":"changed since the transaction saw it: a"}
{"ok":true}
{"ok":true}
"#
    );
    // The first failure was the absent document; the transaction that stayed open is dropped.
    assert_eq!(batch.code, 1);
    sandbox.run(&["get", "a"]).says("2");
}

#[test]
fn a_mistake_in_an_input_without_begin_commits_nothing_of_it() {
    let good = r#"{"op":"put","path":"a","text":"1"}"#;
    for (bad, error, code) in [
        ("", "usage", 2),
        ("{\"op\":", "json", 7),
        (r#"{"op":"put","path":"b","json":{"k":1,"k":2}}"#, "json", 7),
        (r#"{"op":"merge","path":"b","json":{}}"#, "usage", 2),
        (r#"{"op":"commit"}"#, "usage", 2),
        (r#"{"op":"begin"}"#, "usage", 2),
        (r#"{"op":"put","path":"../b","text":"x"}"#, "invalid_path", 2),
        (r#"{"op":"remove","path":"b"}"#, "not_found", 1),
    ] {
        let sandbox = Sandbox::new();
        let batch = sandbox.feed(&["batch"], format!("{good}\n{bad}\n{good}\n"));
        let answers: Vec<Value> =
            batch.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), 3, "{bad}");
        assert_eq!(answers[1]["error"], error, "{bad}");
        assert_eq!(answers[1]["line"], 2, "{bad}");
        assert_eq!(answers[2]["error"], "aborted", "{bad}");
        assert_eq!(batch.code, code, "{bad}");
        sandbox.run(&["ls"]).says("");
    }
}

#[test]
fn a_batch_of_nothing_commits_nothing() {
    let sandbox = Sandbox::with_documents();
    sandbox.feed(&["batch"], "").says("");
    let read = sandbox.feed(&["batch"], "{\"op\":\"get\",\"path\":\"c\"}\n");
    read.says("{\"ok\":true,\"path\":\"c\",\"version\":null}\n{\"ok\":true,\"txn\":null}\n");
}

#[test]
fn every_line_of_a_batch_is_answered_before_the_next_is_read() {
    let sandbox = Sandbox::with_documents();
    let mut batch = Talk::start(&sandbox);
    assert_eq!(batch.say(r#"{"op":"begin"}"#)["ok"], true);
    let seen = batch.say(r#"{"op":"get","path":"a.json"}"#);
    let version = seen["version"].as_str().unwrap();
    let expect = format!(r#"{{"op":"expect","path":"a.json","version":"{version}"}}"#);
    assert_eq!(batch.say(&expect)["ok"], true);
    assert_eq!(batch.say(r#"{"op":"put","path":"a.json","json":{"n":2}}"#)["ok"], true);
    assert!(batch.say(r#"{"op":"commit"}"#)["txn"].is_u64());
    // Durable and in place while the store is still open.
    assert_eq!(fs::read_to_string(sandbox.path("a.json")).unwrap(), "{\n  \"n\": 2\n}\n");
}

#[test]
fn a_transaction_whose_answers_nobody_reads_is_not_done() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["batch"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(b"{\"op\":\"put\",\"path\":\"a\",\"text\":\"1\"}\n");
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(7));
    sandbox.run(&["ls"]).says("");
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    let sandbox = Sandbox::new();
    sandbox.feed(&["put", "large"], vec![b'x'; 4 << 20]).says("");
    let mut command = sandbox.command(&["get", "large"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*err), (Some(0), ""));
}

#[test]
fn commands_share_a_store() {
    let sandbox = Sandbox::with_documents();
    let mut batch = Talk::start(&sandbox);
    batch.say(r#"{"op":"begin"}"#);
    assert_eq!(batch.say(r#"{"op":"get","path":"a.json"}"#)["json"]["n"], 1);
    sandbox.run(&["ls"]).says("a.json\ndir/b.txt\n");
    sandbox.put("new", "1").says("");
    assert_eq!(batch.say(r#"{"op":"get","path":"new"}"#)["json"], 1);
    sandbox.put("a.json", "{\"n\": 2}").says("");
    // What the batch has read is no longer so.
    batch.say(r#"{"op":"put","path":"sum","text":"2"}"#);
    assert_eq!(batch.say(r#"{"op":"commit"}"#)["error"], "conflict");
    sandbox.run(&["get", "a.json"]).says("{\"n\": 2}");
    let status = sandbox.run(&["--json", "status"]).json();
    assert_eq!(status["counts"]["commits"], 4, "{status}");
}

#[test]
fn a_held_writer_lock_is_exit_code_4_after_the_timeout_and_no_matter_to_readers() {
    let sandbox = Sandbox::with_documents();
    let store = filepact::Store::open(sandbox.0.path()).unwrap();
    let held = store.begin_exclusive(std::time::Duration::ZERO).unwrap();
    let locked = sandbox.feed(&["--timeout", "0.1", "put", "x"], "1");
    locked.fails(4, &format!("in use by process {}", std::process::id()));
    sandbox.run(&["--timeout", "0", "ls"]).says("a.json\ndir/b.txt\n");
    sandbox.run(&["--timeout", "0", "get", "dir/b.txt"]).says("hello\n");
    drop(held);
    sandbox.put("x", "1").says("");
}

#[test]
fn mv_moves_a_document_with_its_mode_to_where_there_is_none() {
    let sandbox = Sandbox::with_documents();
    let mode = |path| fs::metadata(sandbox.path(path)).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(sandbox.path("a.json"), Permissions::from_mode(0o640)).unwrap();
    sandbox.run(&["mv", "a.json", "dir/b.txt"]).fails(3, "`dir/b.txt` exists already");
    sandbox.run(&["mv", "a.json", "a.json"]).fails(3, "`a.json` exists already");
    sandbox.run(&["mv", "nothing", "x"]).fails(1, "`nothing` does not exist");
    sandbox.run(&["mv", "dir", "x"]).fails(1, "it is a directory");
    sandbox.run(&["ls"]).says("a.json\ndir/b.txt\n");
    sandbox.run(&["mv", "a.json", "new/dir/c.json", "--note", "sorted"]).says("");
    sandbox.run(&["ls"]).says("dir/b.txt\nnew/dir/c.json\n");
    sandbox.run(&["get", "new/dir/c.json"]).says("{\"n\": 1}\n");
    assert_eq!(mode("new/dir/c.json"), 0o640);

    sandbox.feed(&["put", "large"], vec![b'x'; 1 << 20]).says("");
    let inode = |path| fs::metadata(sandbox.path(path)).unwrap().ino();
    let (before, time) =
        (inode("large"), fs::metadata(sandbox.path("large")).unwrap().mtime_nsec());
    sandbox.run(&["mv", "large", "dir/large"]).says("");
    assert_eq!(inode("dir/large"), before, "it is linked, not copied");
    assert_eq!(fs::metadata(sandbox.path("dir/large")).unwrap().mtime_nsec(), time);
    assert_eq!(fs::metadata(sandbox.path("dir/large")).unwrap().nlink(), 1);
    assert!(sandbox.run(&["check"]).text().ends_with("clean\n"));
}

#[test]
fn an_edit_that_a_commit_displaced_unseen_is_shown_and_kept() {
    let sandbox = Sandbox::new();
    let mut batch = Talk::start(&sandbox);
    let put = r#"{"op":"put","path":"dir/x","text":"ours"}"#;
    for line in [r#"{"op":"begin"}"#, put, r#"{"op":"commit"}"#, r#"{"op":"begin"}"#, put] {
        assert_eq!(batch.say(line)["ok"], true);
    }
    fs::write(sandbox.path("dir/x"), "theirs").unwrap();
    let rescued = batch.say(r#"{"op":"commit"}"#)["rescued"][0].clone();
    assert_eq!(rescued["path"], "dir/x");
    let at = rescued["at"].as_str().unwrap();
    assert_eq!(fs::read_to_string(sandbox.path(at)).unwrap(), "theirs");
    drop(batch);
    sandbox.run(&["get", "dir/x"]).says("ours");
    assert!(sandbox.run(&["status"]).text().contains(&format!("dir/x is kept at {at}\n")));
}

/// The issue's list of bad input: each has its message and its exit code, and leaves everything as
/// it was.
#[test]
fn a_path_that_cannot_name_a_document_is_refused_by_every_verb() {
    let sandbox = Sandbox::with_documents();
    let long = "x".repeat(256);
    let before = sandbox.documents();
    for (path, why) in [
        ("/etc/passwd", "absolute"),
        ("", "empty"),
        ("dir/../a.json", "`..`"),
        ("..", "`..`"),
        ("dir//b.txt", "slash"),
        (&*long, "255 bytes"),
        (".filepact/lock", "own folder"),
        ("dir/.filepact/lock", "nested store"),
    ] {
        sandbox.run(&["get", path]).fails(2, why);
        sandbox.put(path, "x").fails(2, why);
        sandbox.run(&["rm", path]).fails(2, why);
    }
    let nul = sandbox.feed(&["batch"], r#"{"op":"put","path":"a\u0000b","text":"x"}"#);
    assert!(nul.code == 2 && nul.text().contains("NUL"), "{nul:?}");
    assert_eq!(sandbox.documents(), before);
}

#[test]
fn what_stands_in_the_way_of_a_document_is_named() {
    let sandbox = Sandbox::with_documents();
    symlink("dir", sandbox.path("to-dir")).unwrap();
    symlink("a.json", sandbox.path("to-file.json")).unwrap();
    let before = sandbox.documents();

    sandbox.put("dir", "x").fails(2, "`dir` cannot be changed: it is a directory");
    sandbox.put("a.json/x", "x").fails(2, "`a.json` is a file, so nothing can lie below it");
    sandbox.put("to-dir/x", "x").fails(2, "a symbolic link");
    sandbox.put("to-file.json", "{}").fails(2, "a symbolic link");

    sandbox.run(&["get", "dir"]).fails(1, "it is a directory");
    sandbox.run(&["rm", "dir"]).fails(1, "it is a directory");
    sandbox.run(&["get", "a.json/x"]).fails(1, "`a.json/x` does not exist");
    sandbox.run(&["get", "to-dir/b.txt"]).fails(1, "`to-dir` is a symbolic link");
    sandbox.run(&["rm", "to-file.json"]).fails(1, "`to-file.json` is a symbolic link");
    assert_eq!(sandbox.documents(), before);
}

#[test]
fn invalid_json_is_refused_with_line_and_column() {
    let sandbox = Sandbox::with_documents();
    let before = sandbox.documents();
    for (content, why) in [
        ("{\n  \"a\": 1,\n  \"b\": }\n", "`a.json` line 3, column 8: expected value\n"),
        ("{\n  \"a\": 1,\n  \"a\": 2\n}\n", "`a.json` line 3, column 5: duplicate key `a`\n"),
        ("", "line 1, column 0: EOF"),
        ("{} {}", "line 1, column 4: trailing characters"),
    ] {
        sandbox.put("a.json", content).fails(7, why);
    }
    assert_eq!(sandbox.documents(), before);
    // Only a name that promises JSON is held to it.
    sandbox.put("a.txt", "{").says("");
}

#[test]
fn a_folder_that_is_no_store_is_left_as_it_is() {
    let sandbox = Sandbox::bare();
    fs::write(sandbox.path("x"), "x").unwrap();
    for verb in [
        &["ls"][..],
        &["get", "x"],
        &["put", "y"],
        &["rm", "x"],
        &["batch"],
        &["log"],
        &["status"],
        &["rescued"],
        &["check"],
        &["recover"],
        &["recover", "--dry-run"],
        &["checkpoint"],
    ] {
        sandbox.run(verb).fails(7, "is not a store");
    }
    assert_eq!(sandbox.everything().len(), 1);
    let nowhere = Sandbox::bare();
    fs::remove_dir(nowhere.0.path()).unwrap();
    nowhere.run(&["ls"]).fails(7, "No such file");
    nowhere.run(&["init"]).fails(7, "No such file");
}

#[test]
fn a_file_called_filepact_is_refused() {
    let sandbox = Sandbox::bare();
    fs::write(sandbox.path(".filepact"), "elsewhere").unwrap();
    sandbox.run(&["ls"]).fails(7, "reserved");
    sandbox.run(&["init"]).fails(7, "reserved");
    assert_eq!(fs::read_to_string(sandbox.path(".filepact")).unwrap(), "elsewhere");
}

/// The only segment of a store.
#[test]
fn attack_30_a_transaction_of_many_documents_needs_few_descriptors() {
    let sandbox = Sandbox::new();
    for round in 0..2 {
        let put =
            |n| format!("{{\"op\":\"put\",\"path\":\"{}/{n}.json\",\"json\":{round}}}\n", n % 7);
        let input: String = (0..2_000).map(put).collect();
        let ran = feed(sandbox.limited("-n 32", &["batch"]), input.as_bytes());
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(ran.text().lines().count(), 2_001);
    }
    assert_eq!(sandbox.run(&["ls"]).text().lines().count(), 2_000);
}

#[test]
fn a_body_larger_than_the_memory_streams_in_and_out() {
    let sandbox = Sandbox::new();
    let source = tempfile::NamedTempFile::new().unwrap();
    source.as_file().set_len(160 * 1024 * 1024).unwrap();
    let path = source.path().to_str().unwrap();
    // Half of the body would not fit into the address space.
    let ran = feed(sandbox.limited("-v 65536", &["put", "large.bin", path]), b"");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut get = sandbox.limited("-v 65536", &["get", "large.bin"]);
    let mut child = get.stdout(Stdio::piped()).spawn().unwrap();
    let read = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(read, 160 * 1024 * 1024);
}

fn segment(sandbox: &Sandbox) -> PathBuf {
    let mut segments = fs::read_dir(sandbox.path(".filepact/journal")).unwrap();
    segments.next().unwrap().unwrap().path()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_flipped_bit_in_the_journal_is_damage_and_changes_nothing() {
    let sandbox = Sandbox::with_documents();
    sandbox.commit_and_kill(&[r#"{"op":"put","path":"x","text":"needle"}"#]);
    let segment = segment(&sandbox);
    let bytes = fs::read(&segment).unwrap();
    let needle = bytes.windows(6).position(|window| window == b"needle").unwrap();
    flip(&segment, needle);

    let before = sandbox.everything();
    for verb in [&["ls"][..], &["recover"], &["recover", "--dry-run"], &["check"], &["init"]] {
        sandbox.run(verb).fails(5, "the journal is damaged");
    }
    let machine = sandbox.run(&["--json", "status"]);
    assert_eq!((machine.code, machine.text()), (5, ""));
    let failure: Value = serde_json::from_str(&machine.err).unwrap();
    assert_eq!(failure["error"], "corrupt");
    assert_eq!(sandbox.path(failure["segment"].as_str().unwrap()), segment);
    assert!(failure["offset"].is_u64() && failure["reason"].is_string(), "{failure}");
    assert_eq!(sandbox.everything(), before);

    flip(&segment, needle);
    sandbox.run(&["get", "x"]).says("needle");
}

#[test]
fn a_journal_of_a_newer_format_is_refused() {
    let sandbox = Sandbox::with_documents();
    // A header with another `needs`, whose CRC is right, is what a newer filepact would leave.
    let segment = segment(&sandbox);
    let text = fs::read_to_string(&segment).unwrap();
    let (header, rest) = text.split_once('\n').unwrap();
    let rec = header.split_once("\"rec\":").unwrap().1.strip_suffix('}').unwrap();
    let newer = rec.replacen("\"format\":1", "\"format\":9", 1);
    assert_ne!(newer, rec);
    let crc = crc32(newer.as_bytes());
    fs::write(&segment, format!("{{\"crc\":\"{crc:08x}\",\"rec\":{newer}}}\n{rest}")).unwrap();
    let before = sandbox.everything();
    sandbox.run(&["ls"]).fails(7, "newer format");
    assert_eq!(sandbox.everything(), before);
}

/// CRC-32 as in zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[test]
fn the_folder_comes_from_the_environment_too() {
    let sandbox = Sandbox::with_documents();
    let mut command = Command::new(env!("CARGO_BIN_EXE_filepact"));
    command.env("FILEPACT_DIR", sandbox.0.path()).arg("ls").current_dir("/");
    feed(command, b"").says("a.json\ndir/b.txt\n");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let sandbox = Sandbox::new();
    sandbox.run(&["fly"]).fails(2, "unrecognized subcommand 'fly'");
    sandbox.run(&["get"]).fails(2, "<PATH>");
    sandbox.run(&["rm"]).fails(2, "<PATH>");
    sandbox.run(&["--timeout", "soon", "ls"]).fails(2, "not a number of seconds");
    let machine = sandbox.run(&["--json", "fly"]);
    machine.fails(2, "\"error\":\"usage\"");
    assert_eq!(machine.err.lines().count(), 1);
}

#[test]
fn every_verb_has_help_with_examples() {
    let sandbox = Sandbox::bare();
    let verbs = "init get put append rm mv ls batch log watch snapshot status rescued check recover checkpoint demo";
    for verb in verbs.split(' ') {
        let help = sandbox.run(&[verb, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.text().contains("Examples:\n  "), "{verb}");
        assert!(help.text().contains(&format!("filepact {verb}")), "{verb}");
    }
}

#[test]
fn the_demonstration_kills_itself_and_loses_nothing() {
    let sandbox = Sandbox::bare();
    let demo = sandbox.run(&["demo", "--kills", "3"]);
    assert_eq!(demo.code, 0, "{}", demo.err);
    assert!(demo.text().contains("all 8 accounts sum to 8,000.00"), "{}", demo.text());
    assert_eq!(demo.err.matches("all adds up").count(), 3, "{}", demo.err);

    // The folder that was named stays, and is played in again; another folder is not.
    let again = sandbox.run(&["--json", "demo", "--kills", "1", "--seed", "9"]).json();
    assert_eq!((&again["ok"], &again["kills"]), (&Value::Bool(true), &Value::from(1)));
    let other = Sandbox::with_documents();
    let before = other.everything();
    other.run(&["demo"]).fails(2, "nothing was touched");
    assert_eq!(other.everything(), before);
}

#[test]
fn a_demonstration_in_a_temporary_folder_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filepact"));
        command.arg("demo").args(["--kills", "1"]).args(args).env("TMPDIR", temporary.path());
        // A folder in the environment is for work, not for play.
        command.env("FILEPACT_DIR", "/nowhere");
        feed(command, b"")
    };
    assert_eq!(demo(&[]).code, 0);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    let kept = demo(&["--keep"]);
    assert!(kept.code == 0 && kept.text().contains("cat "), "{kept:?}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
}
