use std::ffi::OsStr;
use std::fs;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use filepact::Version;
use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox, feed};

const THEIRS: &str = "one\ntheirs\nthree\n";
const OURS: &str = "one\nours\nthree\n";

impl Sandbox {
    /// A put displaces this edit of `dir/x` unseen; the number of the edit.
    fn displace(&self, edit: impl AsRef<[u8]>) -> String {
        self.put("dir/x", "first\n").says("");
        fs::write(self.path("dir/x"), edit).unwrap();
        let ran = self.put("dir/x", OURS);
        assert_eq!((ran.code, ran.text()), (0, ""));
        let (_, at) = ran.err.split_once("that edit is kept at `.filepact/rescued/").unwrap();
        assert!(at.ends_with("/dir/x`: see `filepact rescued`\n"), "{}", ran.err);
        at.split_once('/').unwrap().0.to_owned()
    }

    /// Something that a person has put there, or that lay in a displaced directory.
    fn lay(&self, at: &str, bytes: &str) {
        let path = self.path(".filepact/rescued").join(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn rescued(&self, args: &[&str]) -> Ran {
        self.run(&[&["rescued"], args].concat())
    }

    fn rescued_json(&self, args: &[&str]) -> Ran {
        self.run(&[&["--json", "rescued"], args].concat())
    }

    /// What the list shows, for machines.
    fn listed(&self) -> Vec<Value> {
        let list = self.rescued_json(&[]);
        assert_eq!((list.code, &*list.err), (0, ""));
        list.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What a failure says to machines.
#[track_caller]
fn failure(ran: &Ran, code: i32) -> Value {
    assert_eq!((ran.code, ran.text()), (code, ""), "{}", ran.err);
    serde_json::from_str(&ran.err).unwrap()
}

fn at(id: &str) -> String {
    format!(".filepact/rescued/{id}/dir/x")
}

fn version(content: &str) -> String {
    Version::of(content.as_bytes()).to_string()
}

#[test]
fn edits_are_listed_the_oldest_first_with_number_time_size_and_document() {
    let sandbox = Sandbox::new();
    sandbox.rescued(&[]).says("");
    assert!(!sandbox.run(&["status"]).text().contains("filepact rescued"));
    let (first, second) = (sandbox.displace(THEIRS), sandbox.displace("later"));

    let list = sandbox.rescued(&[]);
    let lines: Vec<Vec<&str>> =
        list.text().lines().map(|line| line.split_whitespace().collect()).collect();
    let [one, two] = &lines[..] else { panic!("{}", list.text()) };
    assert_eq!(
        (one[0], &one[2..], two[0], &two[2..]),
        (&*first, &["17", "dir/x"][..], &*second, &["5", "dir/x"][..],)
    );
    assert!(one[1].ends_with('Z') && one[1] <= two[1], "{}", list.text());
    for same in [&["ls"][..], &["ls", "dir"], &["ls", "dir/"], &["ls", "dir/x"]] {
        sandbox.rescued(same).says(list.text());
    }
    for other in ["di", "dir/xy", "nothing"] {
        sandbox.rescued(&["ls", other]).says("");
    }
    sandbox.rescued(&["ls", "../dir"]).fails(2, "`..`");

    let listed = sandbox.listed();
    assert_eq!(listed.len(), 2);
    let txn: u64 = first.split_once('.').unwrap().0.parse().unwrap();
    let modified = listed[0]["modified"].as_str().unwrap();
    assert_eq!(modified[..19], one[1][..19], "the same time, to the nanosecond");
    assert_eq!(
        listed[0],
        json!({
            "id": first, "path": "dir/x", "at": at(&first), "txn": txn, "kind": "file", "size": 17,
            "modified": modified,
        })
    );

    let status = sandbox.run(&["status"]);
    assert!(
        status.text().contains(&format!(
            "rescued     2 edits\n            dir/x is kept at {}\n            dir/x is kept at {}\n\
             \x20           `filepact rescued` compares, restores and drops them\n",
            at(&first),
            at(&second)
        )),
        "{}",
        status.text()
    );
}

#[test]
fn an_edit_is_known_by_its_number_its_place_or_its_document_if_that_has_one_only() {
    let sandbox = Sandbox::new();
    let first = sandbox.displace(THEIRS);
    for name in [&*first, "dir/x", &at(&first)] {
        sandbox.rescued(&["show", name]).says(THEIRS);
    }
    let shown = sandbox.rescued_json(&["show", &first]).json();
    assert_eq!(
        shown,
        json!({ "ok": true, "path": "dir/x", "version": version(THEIRS), "text": THEIRS })
    );

    let second = sandbox.displace(b"\xff\0");
    let shown = sandbox.rescued(&["show", &second]);
    assert_eq!((shown.code, &*shown.out), (0, &b"\xff\0"[..]));
    assert_eq!(sandbox.rescued_json(&["show", &second]).json()["base64"], "/wA=");
    let both = format!("`dir/x` names 2 edits: {first}, {second}");
    for verb in ["show", "diff", "restore", "drop"] {
        sandbox.rescued(&[verb, "dir/x"]).fails(2, &both);
    }
    let ambiguous = failure(&sandbox.rescued_json(&["show", "dir/x"]), 2);
    assert_eq!(ambiguous["error"], "usage");
    assert_eq!(ambiguous["paths"], json!([at(&first), at(&second)]));

    for verb in ["show", "diff", "restore", "drop"] {
        sandbox.rescued(&[verb, "nothing"]).fails(1, "no rescued edit `nothing`");
        let absent = failure(&sandbox.rescued_json(&[verb, "nothing"]), 1);
        assert_eq!(
            (&absent["error"], &absent["paths"]),
            (&json!("not_found"), &json!(["nothing"]))
        );
        sandbox.rescued(&[verb]).fails(2, "<EDIT>");
    }
    assert_eq!(sandbox.listed().len(), 2);
    sandbox.run(&["get", "dir/x"]).says(OURS);
}

#[test]
fn a_diff_shows_what_restoring_would_change() {
    let sandbox = Sandbox::new();
    let id = sandbox.displace(THEIRS);
    let diff = |args: &[&str]| sandbox.rescued(&[&["diff", &id], args].concat());
    let text =
        format!("--- dir/x\n+++ {}\n@@ -1,3 +1,3 @@\n one\n-ours\n+theirs\n three\n", at(&id));
    let seen = diff(&[]);
    assert_eq!((seen.code, seen.text(), &*seen.err), (1, &*text, ""));
    let seen = sandbox.rescued_json(&["diff", &id]);
    assert_eq!((seen.code, &*seen.err), (1, ""));
    assert_eq!(
        serde_json::from_str::<Value>(seen.text()).unwrap(),
        json!({
            "ok": true, "path": "dir/x", "at": at(&id), "same": false,
            "edit": { "version": version(THEIRS), "size": 17 },
            "document": { "version": version(OURS), "size": 15 },
            "diff": text,
        })
    );

    let absent = diff(&["--to", "new"]);
    let (names, lines) = absent.text().split_once("@@").unwrap();
    assert_eq!((absent.code, names), (1, &*format!("--- /dev/null\n+++ {}\n", at(&id))));
    assert!(lines.ends_with("@@\n+one\n+theirs\n+three\n"), "{lines}");
    sandbox.put("copy", THEIRS).says("");
    diff(&["--to", "copy"]).says("");
    let same = sandbox.rescued_json(&["diff", &id, "--to", "copy"]).json();
    assert_eq!((&same["same"], same.get("diff")), (&json!(true), None));

    // Where one of the two is no text, they are told apart.
    sandbox.feed(&["put", "bytes"], b"\xff").says("");
    let seen = diff(&["--to", "bytes"]);
    assert_eq!(seen.code, 1);
    let bytes = Version::of(b"\xff");
    assert_eq!(
        seen.text(),
        format!(
            "document  1 byte, {bytes}  bytes\nedit      17 bytes, {}  {}\n",
            version(THEIRS),
            at(&id)
        )
    );
    diff(&["--to", "../x"]).fails(2, "`..`");
}

#[test]
fn a_restore_replaces_only_what_was_named() {
    let sandbox = Sandbox::new();
    let id = sandbox.displace(THEIRS);
    let mode = |path: &str| fs::metadata(sandbox.path(path)).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(sandbox.path(&at(&id)), Permissions::from_mode(0o640)).unwrap();
    let before = sandbox.documents();

    let refused = sandbox.rescued(&["restore", &id]);
    refused.fails(3, &format!("`--expect {}`", version(OURS)));
    assert!(refused.err.ends_with("\n  nothing has changed\n"), "{}", refused.err);
    let refused = failure(&sandbox.rescued_json(&["restore", &id]), 3);
    assert_eq!((&refused["error"], &refused["paths"]), (&json!("conflict"), &json!(["dir/x"])));
    sandbox.rescued(&["restore", &id, "--expect", &version("else")]).fails(3, "changed since");
    sandbox.rescued(&["restore", &id, "--expect", "absent"]).fails(3, "changed since");
    sandbox.rescued(&["restore", &id, "--expect", "h1:short"]).fails(2, "not a version");
    sandbox.rescued(&["restore", &id, "--to", "dir"]).fails(2, "it is a directory");
    sandbox.rescued(&["restore", &id, "--to", "dir/x/y"]).fails(2, "`dir/x` is a file");
    sandbox.rescued(&["restore", &id, "--to", ".filepact/x"]).fails(2, "own folder");
    assert_eq!((sandbox.documents(), sandbox.listed().len()), (before, 1));

    let named = ["restore", &id, "--expect", &version(OURS), "--note", "mine after all"];
    sandbox.rescued(&named).says("");
    sandbox.run(&["get", "dir/x"]).says(THEIRS);
    assert_eq!(mode("dir/x"), 0o640);
    assert!(sandbox.run(&["log"]).text().contains("mine after all"));
    assert_eq!(fs::read_dir(sandbox.path(".filepact/rescued")).unwrap().count(), 0);
    sandbox.rescued(&["restore", &id]).fails(1, "no rescued edit");
    assert!(sandbox.run(&["check"]).text().ends_with("clean\n"));

    // Nothing is in the way elsewhere, nor in a document that says the same.
    for to in ["new/folder/x", "dir/x"] {
        sandbox.put("dir/x", THEIRS).says("");
        let id = sandbox.displace(THEIRS);
        if to == "dir/x" {
            sandbox.put("dir/x", THEIRS).says("");
        }
        let done = sandbox.rescued_json(&["restore", &id, "--to", to]).json();
        assert_eq!((&done["ok"], &done["version"]), (&json!(true), &json!(version(THEIRS))));
        assert!(done["txn"].is_u64(), "{done}");
        sandbox.run(&["get", to]).says(THEIRS);
        assert_eq!(sandbox.listed(), Vec::<Value>::new());
    }
}

#[test]
fn an_edit_that_was_saved_again_where_it_lies_is_shown_and_restored_as_it_is_now() {
    let sandbox = Sandbox::new();
    let id = sandbox.displace(THEIRS);
    fs::write(sandbox.path(&at(&id)), "saved again").unwrap();
    assert_eq!(sandbox.listed()[0]["size"], 11);
    sandbox.rescued(&["show", &id]).says("saved again");
    sandbox.rescued(&["restore", &id, "--to", "x"]).says("");
    sandbox.run(&["get", "x"]).says("saved again");
    assert_eq!(sandbox.listed(), Vec::<Value>::new());
}

#[test]
fn a_drop_takes_all_that_were_named_or_none() {
    let sandbox = Sandbox::new();
    let ids: Vec<String> = (0..4).map(|n| sandbox.displace(format!("{n}"))).collect();
    let documents = sandbox.documents();
    sandbox.rescued(&["drop", &ids[0], "nothing"]).fails(1, "no rescued edit `nothing`");
    sandbox.rescued(&["drop", &ids[0], "dir/x"]).fails(2, "`--all` drops all of them");
    assert_eq!(sandbox.listed().len(), 4);
    sandbox.rescued(&["drop", &ids[0], &ids[0]]).says("");
    let dropped = sandbox.rescued_json(&["drop", &at(&ids[1])]).json();
    assert_eq!(dropped, json!({ "ok": true, "dropped": [at(&ids[1])] }));
    assert_eq!(sandbox.listed().len(), 2);
    let dropped = sandbox.rescued_json(&["drop", "dir/x", "--all"]).json();
    assert_eq!(dropped["dropped"], json!([at(&ids[2]), at(&ids[3])]));
    sandbox.rescued(&[]).says("");
    assert_eq!(fs::read_dir(sandbox.path(".filepact/rescued")).unwrap().count(), 0);
    assert_eq!(sandbox.documents(), documents);
}

#[test]
fn what_is_no_file_is_listed_and_neither_shown_nor_restored() {
    let sandbox = Sandbox::with_documents();
    sandbox.lay("7.0123abcd/was-a-dir/one", "1");
    sandbox.lay("7.0123abcd/was-a-dir/two", "2");
    let odd = sandbox.path(".filepact/rescued/7.0123abcd/was-a-dir");
    fs::write(odd.join(OsStr::from_bytes(b"odd-\xff")), "odd").unwrap();
    fs::create_dir(sandbox.path(".filepact/rescued/8.0123abcd")).unwrap();
    symlink("/etc/passwd", sandbox.path(".filepact/rescued/8.0123abcd/link")).unwrap();
    let kinds: Vec<(String, String)> = sandbox
        .listed()
        .iter()
        .map(|edit| ["path", "kind"].map(|field| edit[field].as_str().unwrap().to_owned()).into())
        .collect();
    let of = |path: &str, kind: &str| (path.to_owned(), kind.to_owned());
    assert_eq!(
        kinds,
        [
            of("was-a-dir", "directory"),
            of("was-a-dir/one", "file"),
            of("was-a-dir/two", "file"),
            of("link", "link"),
        ]
    );
    let list = sandbox.rescued(&["ls"]);
    assert!(list.text().contains("  was-a-dir  (directory)\n"), "{}", list.text());
    assert!(list.text().ends_with("  link  (link)\n"), "{}", list.text());

    let documents = sandbox.documents();
    for verb in ["show", "diff", "restore"] {
        sandbox.rescued(&[verb, "was-a-dir"]).fails(2, "is a directory, and so no document");
        sandbox.rescued(&[verb, "link"]).fails(2, "is a symbolic link, and so no document");
    }
    let refused = failure(&sandbox.rescued_json(&["restore", "link"]), 2);
    assert_eq!(refused["error"], "refused");
    assert_eq!(refused["paths"], json!([".filepact/rescued/8.0123abcd/link"]));
    sandbox.rescued(&["show", "7.0123abcd"]).fails(2, "names 3 edits: .filepact/rescued/7.0123");
    // None of them, since the directory holds what nobody has seen.
    let all = ["drop", "link", "7.0123abcd", "--all"];
    sandbox.rescued(&all).fails(2, "was-a-dir` is a directory");
    assert_eq!((sandbox.documents(), sandbox.listed().len()), (documents, 4));

    sandbox.rescued(&["drop", "link", "was-a-dir/two"]).says("");
    sandbox.rescued(&["restore", "was-a-dir/one"]).says("");
    sandbox.run(&["get", "was-a-dir/one"]).says("1");
    let left: Vec<_> =
        fs::read_dir(&odd).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [OsStr::from_bytes(b"odd-\xff")]);
    assert_eq!(sandbox.listed().len(), 1);
}

#[test]
fn an_edit_larger_than_the_memory_is_compared_shown_and_restored() {
    let sandbox = Sandbox::new();
    let id = sandbox.displace(THEIRS);
    let edit = fs::OpenOptions::new().write(true).open(sandbox.path(&at(&id))).unwrap();
    edit.set_len(160 * 1024 * 1024).unwrap();
    // Half of it would not fit into the address space.
    let limited = |args: &[&str]| {
        let mut command = sandbox.limited("-v 65536", &[&["rescued"], args].concat());
        command.stdout(Stdio::piped());
        command
    };
    let seen = feed(limited(&["diff", &id]), b"");
    assert_eq!(seen.code, 1, "{}", seen.err);
    assert!(seen.text().contains("edit      167772160 bytes, h1:"), "{}", seen.text());
    let mut child = limited(&["show", &id]).spawn().unwrap();
    let read = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(read, 160 * 1024 * 1024);
    let done = feed(limited(&["restore", &id, "--to", "new/large"]), b"");
    assert_eq!((done.code, done.text(), &*done.err), (0, "", ""));
    assert_eq!(fs::metadata(sandbox.path("new/large")).unwrap().len(), 160 * 1024 * 1024);
    sandbox.rescued(&[]).says("");
}
