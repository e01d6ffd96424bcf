//! `rescued`: edits by other programs that were displaced unseen.

use std::io;
use std::time::Duration;

use filepact::{DocPath, Error, Kind, Rescued, Store, Version};
use serde::Serialize;
use similar::TextDiff;

use super::Done;
use super::documents::pour;
use super::store::bytes;
use crate::args::{
    DiffArgs, DropArgs, Expectation, RescuedLsArgs, RescuedVerb, RestoreArgs, ShowArgs,
};
use crate::body::Document;
use crate::failure::{CONFLICT, DONE, Failure, NO, USAGE};
use crate::output::{Output, count};
use crate::utc;

/// Beyond this many bytes two contents are told apart, and not shown side by side.
const SHOWN_BYTES: u64 = 16 * 1024 * 1024;

/// A diff that takes longer becomes a coarser one.
const DIFF_TIME: Duration = Duration::from_secs(5);

pub(super) fn rescued(
    store: &Store,
    verb: Option<&RescuedVerb>,
    output: Output,
) -> Result<u8, Failure> {
    match verb {
        None => list(store, &RescuedLsArgs::default(), output),
        Some(RescuedVerb::Ls(args)) => list(store, args, output),
        Some(RescuedVerb::Show(args)) => show(store, args, output),
        Some(RescuedVerb::Diff(args)) => diff(store, args, output),
        Some(RescuedVerb::Restore(args)) => restore(store, args, output),
        Some(RescuedVerb::Drop(args)) => drop_edits(store, args, output),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    path: &'a str,
    at: &'a str,
    txn: Option<u64>,
    kind: &'static str,
    size: u64,
    /// When the edit was made.
    modified: String,
    /// To the second, for a person.
    #[serde(skip)]
    when: String,
}

impl<'a> From<&'a Rescued> for Listed<'a> {
    fn from(edit: &'a Rescued) -> Self {
        Self {
            id: edit.id(),
            path: &edit.path,
            at: &edit.at,
            txn: edit.txn,
            kind: word(edit.kind),
            size: edit.size,
            modified: utc::nanoseconds(edit.modified),
            when: utc::seconds(edit.modified),
        }
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Dir => "directory",
        Kind::Link => "link",
        Kind::Other => "other",
    }
}

fn in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Dir => "directory",
        Kind::Link => "symbolic link",
        Kind::Other => "device, pipe or socket",
    }
}

fn list(store: &Store, args: &RescuedLsArgs, output: Output) -> Result<u8, Failure> {
    let dir = args.path.strip_suffix('/').unwrap_or(&args.path);
    if !dir.is_empty() {
        DocPath::new(dir).map_err(Error::from)?;
    }
    let asked = |path: &str| match path.strip_prefix(dir) {
        Some(rest) => dir.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    };
    let edits = store.rescued()?;
    let edits: Vec<_> = edits.iter().filter(|edit| asked(&edit.path)).map(Listed::from).collect();
    let longest = edits.iter().map(|edit| edit.id.len()).max().unwrap_or_default();
    output.all(edits, |out, edit| {
        write!(out, "{:<longest$}  {}  {:>9}  {}", edit.id, edit.when, edit.size, edit.path)?;
        if edit.kind != word(Kind::File) {
            write!(out, "  ({})", edit.kind)?;
        }
        writeln!(out)
    })?;
    Ok(DONE)
}

fn show(store: &Store, args: &ShowArgs, output: Output) -> Result<u8, Failure> {
    let edit = one_file(store, &args.edit)?;
    if output.json {
        let bytes = store.read_rescued(&edit)?;
        output.data(&Document::new(edit.path, Some(bytes)), |_, _| Ok(()))?;
        return Ok(DONE);
    }
    pour(store.rescued_reader(&edit)?, &edit.at)
}

#[derive(Serialize)]
struct Difference<'a> {
    ok: bool,
    /// The document.
    path: &'a str,
    at: &'a str,
    same: bool,
    edit: Side,
    /// Null if it is absent.
    document: Option<Side>,
    /// What restoring the edit would change; left out where one of the two is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
struct Side {
    version: Version,
    size: u64,
}

fn diff(store: &Store, args: &DiffArgs, output: Output) -> Result<u8, Failure> {
    let edit = one_file(store, &args.edit)?;
    let path = args.to.as_ref().unwrap_or(&edit.path);
    let seen = store.compare_rescued(&edit, path)?;
    let document = match seen.document {
        Some(version) => Some(Side { version, size: size_of(store, path)? }),
        None => None,
    };
    let same = seen.is_same();
    let diff = match same {
        true => None,
        false => unified(store, &edit, path, document)?,
    };
    let edit_side = Side { version: seen.edit, size: edit.size };
    let found = Difference { ok: true, path, at: &edit.at, same, edit: edit_side, document, diff };
    output.data(&found, |out, found| {
        if found.same {
            return Ok(());
        }
        if let Some(diff) = &found.diff {
            return out.write_all(diff.as_bytes());
        }
        let side = |side: Side| format!("{}, {}", count(bytes(side.size), "byte"), side.version);
        let document = found.document.map_or_else(|| "absent".to_owned(), side);
        writeln!(out, "document  {document}  {}", found.path)?;
        writeln!(out, "edit      {}  {}", side(found.edit), found.at)
    })?;
    Ok(if same { DONE } else { NO })
}

/// The length of a document that may be too large for memory.
fn size_of(store: &Store, path: &str) -> Result<u64, Failure> {
    let Some(mut reader) = store.begin()?.reader(path)? else { return Ok(0) };
    io::copy(&mut reader, &mut io::sink())
        .map_err(|error| Failure::io(&format!("read `{path}`"), &error))
}

/// From the document to the edit, if both are text.
fn unified(
    store: &Store,
    edit: &Rescued,
    path: &str,
    document: Option<Side>,
) -> Result<Option<String>, Failure> {
    if edit.size.max(document.map_or(0, |side| side.size)) > SHOWN_BYTES {
        return Ok(None);
    }
    let before = store.read_bytes(path)?.map_or(Some(String::new()), text);
    let (Some(before), Some(after)) = (before, text(store.read_rescued(edit)?)) else {
        return Ok(None);
    };
    let from = if document.is_some() { path } else { "/dev/null" };
    let diff = TextDiff::configure().timeout(DIFF_TIME).diff_lines(&before, &after);
    Ok(Some(diff.unified_diff().context_radius(3).header(from, &edit.at).to_string()))
}

/// What a person can read as lines.
fn text(bytes: Vec<u8>) -> Option<String> {
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}

fn restore(store: &Store, args: &RestoreArgs, output: Output) -> Result<u8, Failure> {
    let edit = one_file(store, &args.edit)?;
    let to = args.to.as_ref().unwrap_or(&edit.path);
    let expected = match args.expect {
        Some(Expectation(version)) => version,
        None => unopposed(store, &edit, to)?,
    };
    let to = &DocPath::new(to).map_err(Error::from)?;
    let mut tx = store.begin()?;
    tx.restore_rescued(&edit, to, expected)?;
    if let Some(note) = &args.note.note {
        tx.note(note);
    }
    let version = tx.version(to)?;
    let committed = tx.commit()?;
    output.rescued(&committed);
    // The restore stands, whatever becomes of this look.
    if store.rescued().is_ok_and(|left| left.iter().any(|left| left.at == edit.at)) {
        output.warning(&format!(
            "`{to}` is restored, and the edit still lies at `{}`: `filepact rescued` shows it",
            edit.at
        ));
    }
    Done { ok: true, txn: Some(committed.txn), version }.say(output)
}

/// The version that is replaced without a word: none, or the edit's own content.
fn unopposed(store: &Store, edit: &Rescued, to: &str) -> Result<Option<Version>, Failure> {
    let seen = store.compare_rescued(edit, to)?;
    let Some(version) = seen.document.filter(|_| !seen.is_same()) else { return Ok(seen.document) };
    let id = edit.id();
    let mut failure = Failure::new(
        "conflict",
        CONFLICT,
        format!(
            "`{to}` holds something else: see `filepact rescued diff {id}`, then restore with \
             `--expect {version}` in its place, or with `--to` at another path"
        ),
    );
    failure.about.paths.push(to.to_owned());
    failure.note = Some("nothing has changed");
    Err(failure)
}

#[derive(Serialize)]
struct DroppedEdits<'a> {
    ok: bool,
    dropped: Vec<&'a str>,
}

fn drop_edits(store: &Store, args: &DropArgs, output: Output) -> Result<u8, Failure> {
    let edits = store.rescued()?;
    let mut chosen: Vec<&Rescued> = Vec::new();
    // All are known before the first goes.
    for name in &args.edits {
        let named = named(&edits, name)?;
        if named.len() > 1 && !args.all {
            return Err(ambiguous(name, &named, "; `--all` drops all of them"));
        }
        for edit in named {
            if edit.kind == Kind::Dir {
                return Err(no_file(edit));
            }
            if !chosen.contains(&edit) {
                chosen.push(edit);
            }
        }
    }
    let mut dropped: Vec<&str> = Vec::new();
    for edit in chosen {
        if let Err(error) = store.drop_rescued(edit) {
            let mut failure = Failure::from(error);
            if !dropped.is_empty() {
                failure.message += &format!("; dropped before it: {}", dropped.join(", "));
                failure.note = None;
            }
            return Err(failure);
        }
        dropped.push(&edit.at);
    }
    output.data(&DroppedEdits { ok: true, dropped }, |_, _| Ok(()))?;
    Ok(DONE)
}

/// The one edit of this name, which must be a file.
fn one_file(store: &Store, name: &str) -> Result<Rescued, Failure> {
    let edits = store.rescued()?;
    let named = named(&edits, name)?;
    let [edit] = named[..] else { return Err(ambiguous(name, &named, "")) };
    if edit.kind != Kind::File {
        return Err(no_file(edit));
    }
    Ok(edit.clone())
}

fn no_file(edit: &Rescued) -> Failure {
    let mut failure = Failure::new(
        "refused",
        USAGE,
        format!(
            "`{}` is a {}, and so no document: look at it, and move it where it belongs, with the \
             tools of the system",
            edit.at,
            in_words(edit.kind)
        ),
    );
    failure.about.paths.push(edit.at.clone());
    failure
}

/// The edits of this name: that of its folder, the path where they lie, or their document.
fn named<'a>(edits: &'a [Rescued], name: &str) -> Result<Vec<&'a Rescued>, Failure> {
    let all = |is_it: &dyn Fn(&Rescued) -> bool| edits.iter().filter(|edit| is_it(edit)).collect();
    let mut named: Vec<_> = all(&|edit| edit.at == name || edit.id() == name);
    if named.is_empty() {
        named = all(&|edit| edit.path == name);
    }
    if named.is_empty() {
        let mut failure = Failure::from(Error::NotFound { path: name.to_owned() });
        failure.message = format!("no rescued edit `{name}`; `filepact rescued` shows them all");
        return Err(failure);
    }
    Ok(named)
}

fn ambiguous(name: &str, named: &[&Rescued], advice: &str) -> Failure {
    let one = named.iter().all(|edit| edit.id() == named[0].id());
    let names: Vec<_> = named.iter().map(|edit| if one { &*edit.at } else { edit.id() }).collect();
    let mut failure = Failure::usage(format!(
        "`{name}` names {}: {}{advice}",
        count(named.len(), "edit"),
        names.join(", ")
    ));
    failure.about.paths = named.iter().map(|edit| edit.at.clone()).collect();
    failure
}
