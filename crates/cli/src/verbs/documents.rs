//! `get`, `put`, `append`, `rm`, `mv`, `ls`.
#![allow(clippy::disallowed_types, reason = "`put` reads a file of the user's, outside the store")]

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use filepact::{DocPath, Error, Reader, Store, Transaction, check_json};
use serde::Serialize;

use super::Done;
use super::absent::absent;
use crate::args::{
    AppendArgs, Cli, Expectation, GetArgs, LsArgs, MvArgs, NoteArgs, PutArgs, RmArgs,
};
use crate::body::Document;
use crate::failure::{DONE, Failure};
use crate::output::Output;

pub(super) fn get(cli: &Cli, store: &Store, args: &GetArgs, output: Output) -> Result<u8, Failure> {
    let path = &args.path;
    if output.json {
        let bytes = store.read_bytes(path)?.ok_or_else(|| absent(&cli.folder, path))?;
        output.data(&Document::new(path.clone(), Some(bytes)), |_, _| Ok(()))?;
        return Ok(DONE);
    }
    let mut tx = store.begin()?;
    pour(tx.reader(path)?.ok_or_else(|| absent(&cli.folder, path))?, path)
}

/// Writes what lies at `path` to stdout, piece by piece.
pub(super) fn pour(mut reader: Reader, path: &str) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        // Read and write apart: a closed pipe is no failure of the store.
        let read = reader
            .read(&mut buffer)
            .map_err(|error| Failure::io(&format!("read `{path}`"), &error))?;
        if read == 0 {
            break;
        }
        io::Write::write_all(&mut out, &buffer[..read]).map_err(|e| Failure::output(&e))?;
    }
    io::Write::flush(&mut out).map_err(|error| Failure::output(&error))?;
    Ok(DONE)
}

pub(super) fn put(store: &Store, args: &PutArgs, output: Output) -> Result<u8, Failure> {
    // Before stdin is read, which may take a while and be no JSON.
    let path = &DocPath::new(&args.path).map_err(Error::from)?;
    let mut tx = store.begin()?;
    if let Some(Expectation(version)) = args.expect {
        tx.expect(path, version)?;
    }
    let mut source = source(&args.file)?;
    if Path::new(path.as_str())
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
    {
        // Checked whole before anything is written; everything else passes through in pieces.
        let mut bytes = Vec::new();
        let read = source.read_to_end(&mut bytes);
        read.map_err(|error| Failure::io(&format!("read `{}`", shown(&args.file)), &error))?;
        check_json(path, &bytes)?;
        tx.write_bytes(path, bytes)?;
    } else {
        tx.write_from(path, source)?;
    }
    if let Some(note) = &args.note.note {
        tx.note(note);
    }
    let version = tx.version(path)?;
    let committed = tx.commit()?;
    output.rescued(&committed);
    Done { ok: true, txn: Some(committed.txn), version }.say(output)
}

pub(super) fn append(store: &Store, args: &AppendArgs, output: Output) -> Result<u8, Failure> {
    // Before stdin is read, which may take a while.
    let path = &DocPath::new(&args.path).map_err(Error::from)?;
    let mut bytes = Vec::new();
    let read = source(&args.file)?.read_to_end(&mut bytes);
    read.map_err(|error| Failure::io(&format!("read `{}`", shown(&args.file)), &error))?;
    let mut tx = store.begin()?;
    tx.append(path, bytes)?;
    commit(tx, &args.note, output)
}

/// The bytes to put: a file, or stdin for `-`.
fn source(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file);
    let opened = opened.map_err(|error| Failure::io(&format!("open `{}`", shown(file)), &error))?;
    Ok(Box::new(opened))
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() }
}

pub(super) fn remove(
    cli: &Cli,
    store: &Store,
    args: &RmArgs,
    output: Output,
) -> Result<u8, Failure> {
    let mut tx = store.begin()?;
    for path in &args.paths {
        tx.remove(path).map_err(|error| match error {
            Error::NotFound { path } => absent(&cli.folder, &path),
            error => error.into(),
        })?;
    }
    commit(tx, &args.note, output)
}

fn commit(mut tx: Transaction, note: &NoteArgs, output: Output) -> Result<u8, Failure> {
    if let Some(note) = &note.note {
        tx.note(note);
    }
    let committed = tx.commit()?;
    output.rescued(&committed);
    Done { txn: Some(committed.txn), ..Done::new() }.say(output)
}

pub(super) fn rename(
    cli: &Cli,
    store: &Store,
    args: &MvArgs,
    output: Output,
) -> Result<u8, Failure> {
    let mut tx = store.begin()?;
    tx.rename(&args.from, &args.to).map_err(|error| match error {
        Error::NotFound { path } => absent(&cli.folder, &path),
        error => error.into(),
    })?;
    commit(tx, &args.note, output)
}

#[derive(Serialize)]
struct Listed<'a> {
    path: &'a str,
}

pub(super) fn list(store: &Store, args: &LsArgs, output: Output) -> Result<u8, Failure> {
    let paths = store.list(&args.dir)?;
    let listed = paths.iter().map(|path| Listed { path });
    output.all(listed, |out, listed| writeln!(out, "{}", listed.path))?;
    Ok(DONE)
}
