//! The command, as a user starts it: every bench once, with tiny sizes. No times are judged.
#![allow(clippy::disallowed_methods, reason = "looks whether anything was left behind")]

use std::process::{Command, Output};

use serde_json::Value;

/// In memory where there is a place for it: what is looked at is no time, and syncs cost nothing there.
fn scratch() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

fn bench(arguments: &[&str]) -> Output {
    let folder = scratch();
    let mut command = Command::new(env!("CARGO_BIN_EXE_filepact-bench"));
    command.args(arguments).current_dir(folder.path());
    let output = command.output().expect("the command runs");
    let left = std::fs::read_dir(folder.path()).expect("the folder is there").count();
    assert_eq!(left, 0, "something was left behind");
    output
}

fn rows(arguments: &[&str]) -> Vec<Value> {
    let Output { status, stdout, stderr } = bench(arguments);
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn every_bench_runs_and_answers_in_json_lines() {
    let rows = rows(&["all", "--quick", "--json"]);
    assert_eq!(rows[0]["bench"], "machine");
    for name in [
        "commit",
        "threads",
        "processes",
        "read",
        "counter",
        "checkpoint",
        "recover",
        "open",
        "scale",
    ] {
        let of_bench: Vec<_> = rows.iter().filter(|row| row["bench"] == name).collect();
        assert!(of_bench.iter().any(|row| row["system"] == "filepact"), "{name}");
        for row in of_bench {
            for field in ["docs", "bytes", "threads", "median_us", "p99_us"] {
                assert!(row[field].is_number(), "{name}: no {field} in {row}");
            }
        }
    }
    let commit = rows.iter().filter(|row| row["bench"] == "commit" && row["docs"] == 3);
    let systems: Vec<_> = commit.map(|row| row["system"].as_str().unwrap_or_default()).collect();
    let expected = [
        "floor",
        "filepact",
        "filepact-files",
        "sqlite",
        "redb",
        "fjall",
        "lmdb",
        "fs-transaction",
        "fstx",
        "atomic-write-file",
        "naive",
    ];
    assert_eq!(systems, expected);
}

#[test]
fn a_table_begins_with_the_machine() {
    let output = bench(&["commit", "--quick", "--systems", "floor,filepact"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("Linux "), "{text}");
    assert!(text.contains("| filepact |"), "{text}");
}

#[test]
fn plots_are_written_where_they_were_asked_for() {
    let folder = scratch();
    let plots = folder.path().join("plots");
    let path = plots.to_str().expect("it is UTF-8");
    rows(&["commit", "--quick", "--json", "--systems", "floor,filepact", "--plot", path]);
    let names = std::fs::read_dir(plots).expect("the folder was made").count();
    assert_eq!(names, 3, "one for each case");
}

#[test]
fn mistakes_are_told_without_a_panic() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 2, "Usage"),
        (&["speed"], 2, "speed"),
        (&["commit", "--systems", "mysql"], 2, "mysql"),
        (&["commit", "--rounds", "0"], 2, "--rounds"),
        (&["commit", "--seconds", "0"], 2, "seconds"),
        (&["commit", "--dir", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (&["read", "--plot", "plots"], 1, "--plot"),
        (&["commit", "--plot", "plots", "--systems", "sqlite"], 1, "floor"),
        (&["commit", "--quick", "--plot", "/proc/plots"], 1, "/proc/plots"),
        (&["counter", "--quick", "--systems", "naive"], 1, "counter"),
        (&["worker", "{}"], 1, "filepact-bench:"),
    ];
    for (arguments, code, word) in cases {
        let Output { status, stderr, .. } = bench(arguments);
        let message = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(*code), "{arguments:?}: {message}");
        assert!(message.contains(word), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    }
}
