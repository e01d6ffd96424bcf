//! What does a snapshot cost that is held over many commits, and does it stay exact?
//!
//! Threads replace, remove and make documents, and add to a log; the snapshot is read whole, and the memory
//! of the process and what is kept for the snapshot are looked at, a hundred times on the way. What is kept
//! is each document once, however often it is changed, and all of it goes with the snapshot.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filepact::{DocPath, Durability, Snapshot, Store};

use super::crew::read_text;
use super::random::Random;
use super::scratch::Scratch;
use super::{Arguments, Outcome};

/// How often it is looked at.
const LOOKS: u64 = 100;
/// Bytes by which the process may grow once everything has been changed.
const GROWTH: u64 = 16 << 20;

fn document(number: u64) -> String {
    format!("documents/{}/{number}", number % 16)
}

/// `processes held`.
pub fn run(arguments: &[String]) -> Outcome {
    let arguments = Arguments::parse(arguments, &["commits", "documents", "threads"])?;
    let (commits, documents) =
        (arguments.or("commits", 1_000_000), arguments.or("documents", 1_000).max(1));
    let threads = arguments.or("threads", 8).max(1);
    let scratch = Scratch::new()?;
    let folder = scratch.store();
    // What is looked at is not whether commits are durable.
    let store = Store::options().durability(Durability::Buffered).open(&folder)?;
    store.transact::<_, filepact::Error>(|tx| {
        tx.write_bytes("log", "first\n")?;
        (0..documents).try_for_each(|number| tx.write_bytes(document(number), body(number, 0)))
    })?;
    store.checkpoint()?;
    let snapshot = store.snapshot()?;
    let first = seen(&snapshot)?;
    let whole: u64 = first.values().map(|body| body.len() as u64).sum();
    let (began, done, over) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
    println!("   commits     memory  kept for the snapshot");
    let looked: Outcome<Vec<Look>> = thread::scope(|scope| {
        let (store, done, over) = (&store, &done, &over);
        let writers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let written = write(store, documents, thread, commits, done, over);
                    over.fetch_or(written.is_err(), Ordering::Relaxed);
                    written
                })
            })
            .collect();
        let looked = look_on(&snapshot, &first, &folder, commits, done, over);
        over.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().expect("writers return errors")?;
        }
        looked
    });
    let looked = looked?;
    let took = began.elapsed().as_secs_f64();
    let last = Look::now(&folder)?;
    last.print(done.load(Ordering::Relaxed));
    judge(&looked, &last, documents, whole)?;
    let pins = store.status()?.pins;
    let [pin] = &pins[..] else { return Err(format!("one is held: {pins:?}").into()) };
    println!("`status` says that it costs {} bytes; the documents had {whole}", pin.bytes);
    // With what was added to each before it was replaced.
    if pin.bytes > whole + whole / 4 {
        return Err("that is more than the documents had".into());
    }
    drop(snapshot);
    store.checkpoint()?;
    let left = Look::now(&folder)?;
    if left.files > 0 || !store.status()?.pins.is_empty() {
        return Err(format!("{} files are left in kept/", left.files).into());
    }
    let rate = done.load(Ordering::Relaxed) as f64 / took;
    println!("let go: nothing is kept; {took:.0} s, {rate:.0} commits a second\nok");
    store.close()?;
    Ok(())
}

fn body(number: u64, commit: u64) -> Vec<u8> {
    let line = format!("document {number} as of {commit}\n");
    line.repeat(1 + (number % 32) as usize).into_bytes()
}

/// Commits until all together have made so many.
fn write(
    store: &Store,
    documents: u64,
    thread: u64,
    commits: u64,
    done: &AtomicU64,
    over: &AtomicBool,
) -> Outcome {
    let mut random = Random::new();
    while !over.load(Ordering::Relaxed) {
        let commit = done.fetch_add(1, Ordering::Relaxed);
        if commit >= commits {
            break;
        }
        let number = random.below(documents as usize) as u64;
        let path = document(number);
        store.transact::<_, filepact::Error>(|tx| match random.below(16) {
            0 if tx.exists(&path)? => tx.remove(&path),
            1 => tx.append("log", format!("{commit} by {thread}\n")),
            2 => tx.append(&path, "more\n"),
            _ => tx.write_bytes(&path, body(number, commit)),
        })?;
        // The log would be most of what is written.
        if commit % 10_000 == 9_999 {
            store.transact(|tx| tx.write_bytes("log", "anew\n"))?;
        }
    }
    Ok(())
}

/// Looks at equal distances until all is done; an error if the snapshot has changed.
fn look_on(
    snapshot: &Snapshot,
    first: &BTreeMap<DocPath, Vec<u8>>,
    folder: &Path,
    commits: u64,
    done: &AtomicU64,
    over: &AtomicBool,
) -> Outcome<Vec<Look>> {
    let mut looked = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let now = done.load(Ordering::Relaxed).min(commits);
        if now >= commits {
            break;
        }
        if now * LOOKS < looked.len() as u64 * commits {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        if seen(snapshot)? != *first {
            return Err(format!("after {now} commits the snapshot has changed").into());
        }
        let look = Look::now(folder)?;
        if looked.len().is_multiple_of(10) {
            look.print(now);
        }
        looked.push(look);
    }
    if seen(snapshot)? != *first {
        return Err("in the end the snapshot has changed".into());
    }
    Ok(looked)
}

fn seen(snapshot: &Snapshot) -> Outcome<BTreeMap<DocPath, Vec<u8>>> {
    let mut seen = BTreeMap::new();
    for path in snapshot.list("")? {
        let bytes = snapshot.read_bytes(&path)?.ok_or_else(|| format!("{path} is listed"))?;
        seen.insert(path, bytes);
    }
    Ok(seen)
}

/// What it costs at a time.
struct Look {
    /// Resident memory of this process, in bytes.
    memory: u64,
    /// Files in `kept/`.
    files: u64,
    /// And their bytes, those of the documents themselves among them.
    bytes: u64,
}

impl Look {
    #[allow(clippy::disallowed_methods, reason = "looks at the store's folder from outside")]
    fn now(folder: &Path) -> Outcome<Self> {
        let status = read_text("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|line| line.trim().strip_suffix(" kB"));
        let memory = resident.ok_or("no resident memory")?.parse::<u64>()? * 1024;
        let (mut files, mut bytes) = (0, 0);
        for entry in std::fs::read_dir(folder.join(".filepact/kept"))? {
            files += 1;
            // One may have gone since.
            bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(Self { memory, files, bytes })
    }

    fn print(&self, commits: u64) {
        let Self { memory, files, bytes } = self;
        println!("{commits:>10} {:>6} KiB  {files} files, {bytes} bytes", memory / 1024);
    }
}

/// Each document is kept once, with a path beside it if it was removed; and nothing grows from when all of
/// them were changed.
fn judge(looked: &[Look], last: &Look, documents: u64, whole: u64) -> Outcome {
    let most = 2 * (documents + 1);
    // Of what is added to a document since, the image's inode gets a part.
    for Look { files, .. } in looked.iter().chain([last]) {
        if *files > most {
            return Err(format!("{files} files are kept, of {documents} documents").into());
        }
    }
    let settled = looked.get(looked.len() / 5).map_or(last.memory, |look| look.memory);
    println!(
        "the documents had {whole} bytes; memory grew from {settled} to {} bytes",
        last.memory
    );
    if last.memory > settled + GROWTH {
        return Err("the memory is not flat".into());
    }
    Ok(())
}
