//! Several processes on a real disk, each scenario in brief: `processes --help` has them at length.

use std::process::Command;

#[track_caller]
fn is_ok(arguments: &str) {
    let run = Command::new(env!("CARGO_BIN_EXE_processes"))
        .args(arguments.split_whitespace())
        .output()
        .expect("it runs");
    let (told, wrong) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{told}");
    assert!(run.status.success() && told.ends_with("ok\n"), "{told}\n{wrong}");
}

#[test]
fn one_order_explains_everything_that_processes_read_and_write() {
    is_ok("history --seconds 4 --processes 3 --threads 2 --kills 10");
}

#[test]
fn a_plain_reader_finds_every_document_whole_and_none_older_than_before() {
    is_ok("plain-readers --reads 50000 --kills 6");
}

#[test]
fn a_storm_of_kills_and_stops_loses_nothing() {
    is_ok("storm --kills 12");
}

#[test]
fn every_snapshot_is_one_moment_and_every_watch_is_complete() {
    is_ok("sums --sums 100 --accounts 100 --kills 6");
}

#[test]
fn a_snapshot_that_is_held_costs_each_document_once() {
    is_ok("held --commits 3000 --documents 100 --threads 4");
}

#[test]
fn processes_with_documents_of_their_own_commit_together() {
    is_ok("four --turns 1 --millis 100");
}
