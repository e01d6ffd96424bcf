//! What does a program find that opens the documents without filepact, while processes commit to
//! them and are killed?
//!
//! Each document says its version and its length at its beginning and its version again at its end,
//! and its bytes follow from both. A reader must never find one absent or torn, and never an older
//! one than before.
#![allow(clippy::disallowed_methods, reason = "reads as any program would")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use filepact::Store;

use super::crew::{self, Crew};
use super::random::{Random, mixed};
use super::scratch::Scratch;
use super::{Arguments, Outcome};

const WRITERS: usize = 2;
const THREADS_OF_A_WRITER: u32 = 2;

/// The first of them are small; the others are too large for the journal.
const DOCUMENTS: [&str; 6] =
    ["small/0", "small/1", "small/2", "small/deeper/3", "large/0", "large/1"];
const SMALL: usize = 4;

/// Of so many reads one is of a large document.
const LARGE_ONE_IN: usize = 16;

/// `processes plain-readers`.
pub fn run(arguments: &[String]) -> Outcome {
    let arguments = Arguments::parse(arguments, &["reads", "threads", "kills"])?;
    let (reads, kills) = (arguments.or("reads", 1_000_000), arguments.or("kills", 20));
    let threads = arguments.or("threads", 2);
    let scratch = Scratch::new()?;
    let folder = scratch.store();
    let store = Store::open(&folder)?;
    store.transact::<_, filepact::Error>(|tx| {
        (0..DOCUMENTS.len()).try_for_each(|at| tx.write_bytes(DOCUMENTS[at], body(at, 1)))
    })?;
    store.close()?;
    let mut crew = Crew::default();
    (0..WRITERS).try_for_each(|place| start(&mut crew, place, &folder))?;
    let began = Instant::now();
    let (done, running) = (AtomicU64::new(0), AtomicUsize::new(threads as usize));
    let (mut killed, mut random) = (0, Random::new());
    let found = thread::scope(|scope| {
        let read = || {
            let found = read(&folder, reads, &done);
            running.fetch_sub(1, Ordering::Relaxed);
            found
        };
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        let disturbed = disturb(&mut crew, &folder, &mut random, || {
            let done = done.load(Ordering::Relaxed).min(reads);
            let due = (done as u128 * u128::from(kills + 1) / u128::from(reads)) as u64;
            match running.load(Ordering::Relaxed) {
                0 => None,
                _ => Some(due.min(kills)),
            }
        });
        killed = match disturbed {
            Ok(killed) => killed,
            // Lets the readers end.
            Err(error) => {
                done.store(reads, Ordering::Relaxed);
                return Err(error);
            }
        };
        readers.into_iter().map(|reader| reader.join().expect("readers return errors")).collect()
    });
    let found: Outcome<Vec<Found>> = found;
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            drop(crew);
            let kept = scratch.keep();
            return Err(format!("{error}\nThe store is kept in {}", kept.display()).into());
        }
    };
    crew.finish()?;
    let took = began.elapsed().as_secs_f64();
    let sum = |count: fn(&Found) -> u64| found.iter().map(count).sum::<u64>();
    let (small, large) = (sum(|found| found.small), sum(|found| found.large));
    println!("{} reads: {small} of small documents, {large} of large ones", small + large);
    println!("{} of them found another version than the one before", sum(|found| found.newer));
    let versions = found.iter().map(|found| found.versions.iter().sum::<u64>()).max();
    println!("{} versions were written meanwhile", versions.unwrap_or(0) - DOCUMENTS.len() as u64);
    println!("{killed} writers killed; {took:.1} s\nok");
    Ok(())
}

fn start(crew: &mut Crew, place: usize, folder: &Path) -> Outcome {
    crew.start(place, "plain-readers", &[folder.display().to_string()])
}

/// Kills writers, as many as are due; sometimes all of them, so that the next one recovers.
fn disturb(
    crew: &mut Crew,
    folder: &Path,
    random: &mut Random,
    due: impl Fn() -> Option<u64>,
) -> Outcome<u64> {
    let mut killed = 0;
    while let Some(due) = due() {
        thread::sleep(random.time(Duration::from_millis(20)));
        crew.all_live()?;
        if killed >= due {
            continue;
        }
        let places = if random.one_in(4) { 0..WRITERS } else { 0..1 };
        for place in places.clone() {
            crew.kill(place)?;
            killed += 1;
        }
        for place in places {
            start(crew, place, folder)?;
        }
    }
    Ok(killed)
}

/// What one reader found.
#[derive(Debug, Default)]
struct Found {
    small: u64,
    large: u64,
    newer: u64,
    versions: [u64; DOCUMENTS.len()],
}

/// Reads until `reads` are done by all readers together.
fn read(folder: &Path, reads: u64, done: &AtomicU64) -> Outcome<Found> {
    let paths = DOCUMENTS.map(|path| folder.join(path));
    let (mut found, mut random) = (Found::default(), Random::new());
    while done.fetch_add(1, Ordering::Relaxed) < reads {
        let at = match random.one_in(LARGE_ONE_IN) {
            true => SMALL + random.below(DOCUMENTS.len() - SMALL),
            false => random.below(SMALL),
        };
        let name = DOCUMENTS[at];
        let bytes = fs::read(&paths[at]).map_err(|error| {
            done.store(reads, Ordering::Relaxed);
            format!("{name}: {error}")
        })?;
        let version = version_of(at, &bytes).inspect_err(|_| done.store(reads, Ordering::Relaxed));
        let version = version.map_err(|error| format!("{name}: {error}"))?;
        let before = &mut found.versions[at];
        if version < *before {
            done.store(reads, Ordering::Relaxed);
            return Err(format!("{name}: version {version} after {before}").into());
        }
        found.newer += u64::from(version > *before && *before > 0);
        *before = version;
        *(if at < SMALL { &mut found.small } else { &mut found.large }) += 1;
    }
    Ok(found)
}

pub(super) fn work(arguments: &[String]) -> Outcome {
    let [folder] = arguments else { return Err("a writer needs a folder".into()) };
    let store = Store::open(folder)?;
    crew::until_told(THREADS_OF_A_WRITER, |_, stop| {
        let mut random = Random::new();
        let all: Vec<usize> = (0..DOCUMENTS.len()).collect();
        while !stop.load(Ordering::Relaxed) {
            let how_many = 1 + random.below(3);
            let some = random.some(&all, how_many);
            let torn = store.transact::<_, filepact::Error>(|tx| {
                for at in &some {
                    let bytes = tx.read_bytes(DOCUMENTS[*at])?.unwrap_or_default();
                    match version_of(*at, &bytes) {
                        Ok(version) => tx.write_bytes(DOCUMENTS[*at], body(*at, version + 1))?,
                        Err(error) => return Ok(Some(format!("{}: {error}", DOCUMENTS[*at]))),
                    }
                }
                Ok(None)
            })?;
            if let Some(torn) = torn {
                return Err(format!("read through filepact: {torn}").into());
            }
        }
        Ok(())
    })
}

/// All of a document, which follows from its place and its version.
fn body(at: usize, version: u64) -> Vec<u8> {
    let seed = mixed(version << 8 | at as u64);
    let length = match at < SMALL {
        true => 100 + seed as usize % 4_000,
        false => 70_000 + seed as usize % 70_000,
    };
    let mut body = format!("version {version:20} length {length:20}\n").into_bytes();
    let end = format!("\nversion {version:20}\n");
    let words = (length - body.len() - end.len()).div_ceil(8) as u64;
    body.extend((0..words).flat_map(|word| (seed ^ mixed(word)).to_le_bytes()));
    body.truncate(length - end.len());
    body.extend(end.bytes());
    body
}

/// The version of a document; an error if it is not whole.
fn version_of(at: usize, bytes: &[u8]) -> Outcome<u64> {
    let length = bytes.len();
    let number = |word: Option<&[u8]>| -> Option<u64> {
        std::str::from_utf8(word?).ok()?.trim_start().parse().ok()
    };
    let version =
        number(bytes.get(8..28)).ok_or_else(|| format!("no version in {length} bytes"))?;
    if bytes != body(at, version) {
        let (says, last) = (number(bytes.get(36..56)), length.saturating_sub(21));
        let last = number(bytes.get(last..length.saturating_sub(1)));
        return Err(format!(
            "torn: version {version} of length {says:?}, and at the end {last:?}, in {length} bytes"
        )
        .into());
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_not_whole_is_refused() {
        for at in 0..DOCUMENTS.len() {
            let whole = body(at, 7);
            assert_eq!(version_of(at, &whole).unwrap(), 7);
            let cut = &whole[..whole.len() - 1];
            let mut mixed = body(at, 8);
            let half = mixed.len().min(whole.len()) / 2;
            mixed[..half].copy_from_slice(&whole[..half]);
            for torn in [cut, &mixed, b""] {
                assert!(version_of(at, torn).is_err());
            }
        }
    }
}
