//! `snapshot`: a consistent copy, as a folder or as an archive.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "writes an archive outside the store"
)]

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use filepact::{Copied, Snapshot, Store};
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::SnapshotArgs;
use crate::failure::{DONE, Failure};
use crate::output::{Output, count};

#[derive(Serialize)]
struct Made<'a> {
    ok: bool,
    txn: u64,
    documents: usize,
    bytes: u64,
    at: &'a Path,
}

pub(super) fn snapshot(store: &Store, args: &SnapshotArgs, output: Output) -> Result<u8, Failure> {
    let out = &args.out;
    let snapshot = store.snapshot()?;
    let copied = match archive_name(out) {
        Some(name) => archive(&snapshot, out, name)?,
        None => copy(&snapshot, out)?,
    };
    let Copied { documents, bytes, .. } = copied;
    output.message(&format!(
        "{}, {}, as of record {}: `{}`",
        count(documents, "document"),
        HumanBytes(bytes),
        snapshot.txn(),
        out.display()
    ));
    output
        .data(&Made { ok: true, txn: snapshot.txn(), documents, bytes, at: out }, |_, _| Ok(()))?;
    Ok(DONE)
}

/// The name of the folder in an archive.
fn archive_name(out: &Path) -> Option<&str> {
    let name = out.file_name()?.to_str()?;
    let name = name.strip_suffix(".tar.gz").or_else(|| name.strip_suffix(".tgz"))?;
    (!name.is_empty()).then_some(name)
}

fn copy(snapshot: &Snapshot, to: &Path) -> Result<Copied, Failure> {
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} documents, {msg}, {eta} left");
    bar.set_style(style.expect("the template is sound"));
    let copied = snapshot.copy_to(to, |copied| {
        bar.set_length(copied.of as u64);
        bar.set_position(copied.documents as u64);
        bar.set_message(HumanBytes(copied.bytes).to_string());
    });
    bar.finish_and_clear();
    Ok(copied?)
}

/// By way of a folder beside it, which goes again. Nothing is replaced, and the archive has its name once
/// it is whole.
fn archive(snapshot: &Snapshot, out: &Path, name: &str) -> Result<Copied, Failure> {
    let failed = |error: io::Error| Failure::io(&format!("write `{}`", out.display()), &error);
    let beside = match out.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if out.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let temporary = tempfile::Builder::new().prefix(".filepact-").tempdir_in(&beside);
    let temporary = temporary.map_err(failed)?;
    let folder = temporary.path().join(name);
    let copied = copy(snapshot, &folder)?;
    let bar = ProgressBar::new_spinner().with_message("compressing");
    let packed = || {
        let mut file = tempfile::Builder::new().prefix(".filepact-").tempfile_in(&beside)?;
        let gzip = GzEncoder::new(
            Spinning { file: file.as_file_mut(), bar: &bar },
            Compression::default(),
        );
        let mut tar = tar::Builder::new(gzip);
        tar.follow_symlinks(false);
        tar.append_dir_all(name, &folder)?;
        tar.into_inner()?.finish()?;
        file.as_file().sync_all()?;
        file.persist_noclobber(out).map_err(|error| error.error)?;
        File::open(&beside)?.sync_all()
    };
    let packed: io::Result<()> = packed();
    bar.finish_and_clear();
    packed.map_err(failed)?;
    Ok(copied)
}

/// Shows that something goes on.
struct Spinning<'a> {
    file: &'a mut File,
    bar: &'a ProgressBar,
}

impl Write for Spinning<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bar.tick();
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
