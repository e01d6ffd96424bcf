//! An append-only log with rotation: somebody else still has the old file open.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;

use filepact::Store;

use crate::{Case, Outcome, Pattern, Result, nobody};

pub(crate) const PATTERN: Pattern = Pattern {
    name: "append-log",
    cases: &[
        Case::Naive("rename, then pack the old log", naive_rename),
        Case::Naive("copy, then truncate", naive_truncate),
        Case::Filepact("append; rotate in a transaction", with_filepact),
        Case::Filepact("the same writer that has not noticed", beside_another_program),
    ],
    other: nobody,
};

const WRITERS: u32 = 4;
const LINES: u32 = 50;
/// Bytes after which the log is rotated.
const FULL: usize = 600;

fn naive_rename(folder: &Path) -> Result<Outcome> {
    let (log, old) = (folder.join("log"), folder.join("log.1"));
    let mut writer = File::options().create(true).append(true).open(&log)?;
    writer.write_all(b"one\n")?;

    fs::rename(&log, &old)?;
    let packed = fs::read(&old)?; // as gzip reads it
    writer.write_all(b"two\n")?; // a writer that has not noticed
    fs::write(folder.join("log.1.gz"), packed)?;
    fs::remove_file(&old)?;

    writer = File::options().create(true).append(true).open(&log)?; // now it has
    writer.write_all(b"three\n")?;
    judge(&[&folder.join("log.1.gz"), &log])
}

fn naive_truncate(folder: &Path) -> Result<Outcome> {
    let (log, old) = (folder.join("log"), folder.join("log.1"));
    let mut writer = File::options().create(true).append(true).open(&log)?;
    writer.write_all(b"one\n")?;

    fs::copy(&log, &old)?;
    writer.write_all(b"two\n")?;
    File::options().write(true).open(&log)?.set_len(0)?;

    writer.write_all(b"three\n")?;
    judge(&[&old, &log])
}

fn judge(logs: &[&Path]) -> Result<Outcome> {
    let all: String = logs.iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
    let lines: Vec<&str> = all.lines().collect();
    let words = format!("written: one, two, three; in the logs: {}", lines.join(", "));
    let held = lines == ["one", "two", "three"];
    Ok(if held { Outcome::Held(words) } else { Outcome::Lost(words) })
}

/// Adds a line, which never conflicts, and rotates if the log is full now.
fn log(store: &Store, line: &str) -> Result<(), filepact::Error> {
    store.append("log", line)?;
    store.transact(|tx| {
        let Some(bytes) = tx.read_bytes("log")? else { return Ok(()) };
        if bytes.len() < FULL {
            return Ok(());
        }
        let next = tx.list("old")?.len() + 1;
        tx.rename("log", format!("old/{next:04}"))?;
        tx.write("rotations.json", &next)
    })
}

fn with_filepact(folder: &Path) -> Result<Outcome> {
    let store = Store::open(folder)?;
    let write = |writer: u32| {
        (0..LINES).try_for_each(|line| log(&store, &format!("writer {writer}, line {line}\n")))
    };
    thread::scope(|scope| {
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("no writer panics"))
    })?;

    let old = store.list("old")?;
    let mut logs = old.clone();
    logs.extend(store.list("")?.into_iter().filter(|path| **path == *"log"));
    let (mut lines, mut once) = (0, BTreeSet::new());
    for path in &logs {
        let bytes = store.read_bytes(path)?.unwrap_or_default();
        for line in String::from_utf8(bytes)?.lines() {
            lines += 1;
            once.insert(line.to_owned());
        }
    }
    let rotations: usize = store.read("rotations.json")?;
    store.close()?;
    let words =
        format!("{} of {} lines, each once, in {} logs", once.len(), WRITERS * LINES, logs.len());
    let all = (WRITERS * LINES) as usize;
    let held = once.len() == all && lines == all && rotations == old.len() && rotations > 1;
    Ok(if held { Outcome::Held(words) } else { Outcome::Lost(words) })
}

/// A program that knows nothing of filepact still has the log open when it is rotated, as in the naive
/// case. A log over `inline_max` keeps its inode when it is renamed, so that the line goes along.
fn beside_another_program(folder: &Path) -> Result<Outcome> {
    let store = Store::options().inline_max(FULL).open(folder)?;
    let first = format!("{:FULL$}\n", "one");
    store.append("log", &first)?;
    let mut writer = File::options().append(true).open(folder.join("log"))?;

    store.rename("log", "old/0001")?;
    writer.write_all(b"two\n")?;
    store.append("log", "three\n")?;
    store.checkpoint()?;

    let [old, new] = ["old/0001", "log"].map(|path| store.read_bytes(path));
    let (old, new) = (old?.unwrap_or_default(), new?.unwrap_or_default());
    store.close()?;
    let old = String::from_utf8(old)?;
    let line = old.lines().nth(1).unwrap_or("nowhere");
    let words = format!("its line, in the old log, where everybody will look: {line}");
    let held = old == format!("{first}two\n") && new == b"three\n";
    Ok(if held { Outcome::Held(words) } else { Outcome::Lost(words) })
}
