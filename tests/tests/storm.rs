//! The storm and the plain readers, briefly; `docs/testing.md` has the long ones.

use std::process::Command;

fn run(arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_storm"));
    let output = command.args(arguments).current_dir(folder.path()).output().expect("it starts");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn processes_that_are_killed_and_stopped_lose_nothing() {
    run(&["kills", "40"]);
}

#[test]
fn readers_without_filepact_find_every_file_whole_and_never_older() {
    run(&["readers", "100000"]);
}
