//! `snapshot`: copies of one moment.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, feed};

fn run_in(folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filepact"));
    command.env_remove("FILEPACT_DIR").arg("-C").arg(folder).args(args);
    feed(command, b"")
}

/// What lies in a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_snapshot_is_a_store_of_its_own_and_clean() {
    let (sandbox, out) = (Sandbox::with_documents(), Sandbox::bare());
    sandbox.put("large.bin", &"l".repeat(300_000)).says("");
    sandbox.run(&["append", "log"]);
    fs::set_permissions(sandbox.path("a.json"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(sandbox.path("dir"), Permissions::from_mode(0o750)).unwrap();
    let to = out.path("monday");
    let made = sandbox.run(&["--json", "snapshot", to.to_str().unwrap()]).json();
    assert_eq!((&made["documents"], &made["bytes"]), (&Value::from(3), &Value::from(300_015)));
    assert_eq!(names(out.0.path()), ["monday"], "nothing is left beside it");
    for path in ["a.json", "dir/b.txt", "large.bin"] {
        let (was, is) = (sandbox.path(path), to.join(path));
        assert_eq!(fs::read(&was).unwrap(), fs::read(&is).unwrap(), "{path}");
        let stat = |path: &Path| {
            let stat = fs::metadata(path).unwrap();
            (stat.mode(), stat.uid(), stat.mtime_nsec())
        };
        assert_eq!(stat(&was), stat(&is), "{path}");
    }
    assert_eq!(fs::metadata(to.join("dir")).unwrap().mode() & 0o777, 0o750);
    let copy = |args: &[&str]| run_in(&to, args);
    assert!(copy(&["recover", "--dry-run"]).text().contains("nothing"), "it is clean");
    assert!(copy(&["check"]).text().ends_with("clean\n"));
    assert_eq!(copy(&["rm", "a.json"]).code, 0);
    assert_eq!(sandbox.run(&["get", "a.json"]).code, 0, "they are two");
    // Nothing is kept for it any more.
    assert_eq!(names(&sandbox.path(".filepact/pins")), Vec::<String>::new());
    assert_eq!(names(&sandbox.path(".filepact/kept")), Vec::<String>::new());
}

#[test]
fn a_snapshot_replaces_nothing_and_does_not_go_into_the_store() {
    let (sandbox, out) = (Sandbox::with_documents(), Sandbox::bare());
    fs::create_dir(out.path("there")).unwrap();
    fs::write(out.path("there.tar.gz"), "somebody's").unwrap();
    for (to, why) in [
        (out.path("there"), "exists"),
        (out.path("there.tar.gz"), "exists"),
        (out.path("no/such/folder"), "No such file"),
        (sandbox.path("copy"), "in the store itself"),
        (sandbox.path("dir/copy.tgz"), "in the store itself"),
    ] {
        sandbox.run(&["snapshot", to.to_str().unwrap()]).fails(7, why);
    }
    assert_eq!(fs::read(out.path("there.tar.gz")).unwrap(), b"somebody's");
    assert_eq!(names(out.0.path()).len(), 2);
    let ls = sandbox.run(&["ls"]);
    assert_eq!(ls.text(), "a.json\ndir/b.txt\n");
    assert!(names(sandbox.0.path()).iter().all(|name| !name.starts_with(".copy")));
}

#[test]
fn an_archive_holds_the_same_store() {
    let (sandbox, out) = (Sandbox::with_documents(), Sandbox::bare());
    let to = out.path("monday.tar.gz");
    let ran = sandbox.run(&["snapshot", to.to_str().unwrap()]);
    assert_eq!((ran.code, ran.text()), (0, ""), "{}", ran.err);
    assert_eq!(names(out.0.path()), ["monday.tar.gz"]);
    let unpack = Command::new("tar").arg("-C").arg(out.0.path()).arg("-xzf").arg(&to).status();
    assert!(unpack.unwrap().success());
    let folder = out.path("monday");
    let copy = |verb: &str| run_in(&folder, &[verb]);
    assert_eq!(copy("ls").text(), "a.json\ndir/b.txt\n");
    assert!(copy("check").text().ends_with("clean\n"));
    assert_eq!(fs::read(folder.join("a.json")).unwrap(), fs::read(sandbox.path("a.json")).unwrap());
}

#[test]
fn every_snapshot_is_of_one_moment_while_others_write() {
    let (sandbox, out) = (Sandbox::new(), Sandbox::bare());
    let transfer = |n: u32| {
        let line =
            |path: &str, n: u32| format!("{{\"op\":\"put\",\"path\":\"{path}\",\"json\":{n}}}\n");
        let input = line("a", n) + &line("b", 1_000 - n);
        feed(sandbox.command(&["batch"]), input.as_bytes())
    };
    assert_eq!(transfer(0).code, 0);
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..1_000).take_while(|_| !ends.load(Ordering::Relaxed)) {
                assert_eq!(transfer(n).code, 0);
            }
        });
        for n in 0..20 {
            let to = out.path(&n.to_string());
            let ran = sandbox.run(&["snapshot", to.to_str().unwrap()]);
            assert_eq!(ran.code, 0, "{}", ran.err);
            let number = |path: &str| -> u32 {
                fs::read_to_string(to.join(path)).unwrap().trim().parse().unwrap()
            };
            assert_eq!(number("a") + number("b"), 1_000);
        }
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn status_shows_who_holds_a_snapshot_and_what_it_costs() {
    let sandbox = Sandbox::with_documents();
    let before = sandbox.run(&["status"]).text().to_owned();
    assert!(!before.contains("snapshots"), "{before}");
    let store = filepact::Store::open(sandbox.0.path()).unwrap();
    let snapshot = store.snapshot().unwrap();
    sandbox.put("a.json", "9876543210").says("");
    let pins = sandbox.run(&["--json", "status"]).json()["pins"].take();
    assert_eq!(pins.as_array().unwrap().len(), 1, "{pins}");
    let was = snapshot.read_bytes("a.json").unwrap().unwrap().len();
    assert_eq!(pins[0]["bytes"], was, "the version that was replaced");
    assert_eq!(pins[0]["txn"], snapshot.txn());
    assert_eq!(pins[0]["process"], std::process::id());
    assert!(pins[0]["since"].as_str().unwrap().contains('.'), "{pins}");
    let told = sandbox.run(&["status"]).text().to_owned();
    assert!(told.contains("snapshots   1 pin\n"), "{told}");
    let held = format!("of process {}: {was} bytes kept\n", std::process::id());
    assert!(told.contains(&held), "{told}");
    drop(snapshot);
    let after = sandbox.run(&["status"]).text().to_owned();
    assert!(!after.contains("snapshots"), "{after}");
}
