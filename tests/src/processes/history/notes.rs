//! What threads note, one line each, with one write call each: whatever the kernel has taken
//! survives the process.
//!
//! ```text
//! begin OP TIME                   before the first call of an attempt that may write
//! saw OP SIGHTING.. CHANGE..      what it saw, demands and is about to commit
//! end OP TIME committed|nothing|unknown [TXN]
//! read OP FROM TO SIGHTING..      all of an attempt that only reads
//! past OP FROM TO TXN SIGHTING..  all that was read through a snapshot
//! watch FROM TO                   a watch was begun
//! told TXN OP                     it has told this transaction
//! gap                             some are missing
//! quiet TIME                      asked at this time, it had no more to tell
//! ```
#![allow(clippy::disallowed_types, reason = "the tests' own files, outside the store")]

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};

use super::record::{Attempt, End, Heard, Op, Path, Saw, Sighting, Told, Wrote};
use crate::processes::Outcome;

/// Nanoseconds of a clock that all processes share and nobody sets.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Where one thread notes.
#[derive(Debug)]
pub(super) struct Notes(File);

impl Notes {
    pub(super) fn create(folder: &FilePath, process: u32, thread: u32) -> Outcome<Self> {
        Ok(Self(File::create_new(folder.join(format!("{process}-{thread}")))?))
    }

    pub(super) fn begin(&mut self, op: Op) -> Outcome {
        let from = now();
        self.line(&format!("begin {op} {from}\n"))
    }

    pub(super) fn saw(
        &mut self,
        op: Op,
        saw: &[Sighting],
        expected: &[Sighting],
        wrote: &[Wrote],
    ) -> Outcome {
        let mut line = format!("saw {op}");
        push_sightings(&mut line, "", saw);
        push_sightings(&mut line, "expect:", expected);
        for Wrote { path, removed } in wrote {
            let what = if *removed { "remove" } else { "put" };
            let _ = write!(line, " {what}:{path}");
        }
        line.push('\n');
        self.line(&line)
    }

    pub(super) fn end(&mut self, op: Op, end: End) -> Outcome {
        let to = now();
        self.line(&match end {
            End::Committed(Some(txn)) => format!("end {op} {to} committed {txn}\n"),
            End::Committed(None) => format!("end {op} {to} committed\n"),
            End::Nothing => format!("end {op} {to} nothing\n"),
            End::Unknown => format!("end {op} {to} unknown\n"),
        })
    }

    pub(super) fn read(&mut self, op: Op, from: u64, saw: &[Sighting]) -> Outcome {
        let mut line = format!("read {op} {from} {}", now());
        push_sightings(&mut line, "", saw);
        line.push('\n');
        self.line(&line)
    }

    /// What was read through the snapshot of this number, taken from `from` to `to`.
    pub(super) fn past(
        &mut self,
        op: Op,
        (from, to): (u64, u64),
        txn: u64,
        saw: &[Sighting],
    ) -> Outcome {
        let mut line = format!("past {op} {from} {to} {txn}");
        push_sightings(&mut line, "", saw);
        line.push('\n');
        self.line(&line)
    }

    pub(super) fn watch(&mut self, (from, to): (u64, u64)) -> Outcome {
        self.line(&format!("watch {from} {to}\n"))
    }

    pub(super) fn told(&mut self, told: Told) -> Outcome {
        self.line(&match told {
            Told::Transaction { txn, op } => format!("told {txn} {op}\n"),
            Told::Gap => "gap\n".to_owned(),
        })
    }

    /// Asked at this time, the watch had no more to tell.
    pub(super) fn quiet(&mut self, time: u64) -> Outcome {
        self.line(&format!("quiet {time}\n"))
    }

    fn line(&mut self, line: &str) -> Outcome {
        Ok(self.0.write_all(line.as_bytes())?)
    }
}

fn push_sightings(line: &mut String, prefix: &str, sightings: &[Sighting]) {
    for Sighting { path, saw } in sightings {
        let _ = match saw {
            Saw::Value(op) => write!(line, " {prefix}{path}={op}"),
            Saw::Something => write!(line, " {prefix}{path}=some"),
            Saw::Nothing => write!(line, " {prefix}{path}=none"),
        };
    }
}

/// Reads the notes of all threads, while they are written.
#[derive(Debug, Default)]
pub(super) struct Reader {
    files: HashMap<PathBuf, (u64, Vec<u8>)>,
    paths: HashSet<Path>,
    begun: HashMap<Op, Attempt>,
    ended: Vec<Attempt>,
    heard: HashMap<PathBuf, Heard>,
}

impl Reader {
    /// Takes in what was noted since the last time.
    pub(super) fn follow(&mut self, folder: &FilePath) -> Outcome {
        #[allow(clippy::disallowed_methods, reason = "the tests' own files")]
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let (offset, mut rest) = self.files.remove(&path).unwrap_or_default();
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let read = file.read_to_end(&mut rest)? as u64;
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in std::str::from_utf8(&rest[..whole])?.lines() {
                self.take(&path, line)
                    .map_err(|error| format!("{}: {line}: {error}", path.display()))?;
            }
            rest.drain(..whole);
            self.files.insert(path, (offset + read, rest));
        }
        Ok(())
    }

    /// How many attempts have ended.
    pub(super) fn ended(&self) -> usize {
        self.ended.len()
    }

    /// All attempts, ended or not, and what the watches have told.
    pub(super) fn all(mut self) -> (Vec<Attempt>, Vec<Heard>) {
        self.ended.extend(self.begun.into_values());
        (self.ended, self.heard.into_values().collect())
    }

    fn take(&mut self, file: &FilePath, line: &str) -> Outcome {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "watch" | "told" | "gap" | "quiet" => {
                self.heard.entry(file.to_owned()).or_default().take(kind, rest)
            }
            _ => self.take_attempt(kind, rest),
        }
    }

    fn take_attempt(&mut self, kind: &str, rest: &str) -> Outcome {
        let mut words = rest.split(' ');
        let mut word = || words.next().ok_or("the line is too short");
        let op: Op = word()?.parse()?;
        let not_begun = || format!("{op} has not begun");
        match kind {
            "begin" => {
                let attempt = Attempt::new(op, word()?.parse()?);
                self.begun.insert(op, attempt);
            }
            "saw" => {
                let mut attempt = self.begun.remove(&op).ok_or_else(not_begun)?;
                words.try_for_each(|word| self.add(&mut attempt, word))?;
                self.begun.insert(op, attempt);
            }
            "end" => {
                let mut attempt = self.begun.remove(&op).ok_or_else(not_begun)?;
                attempt.to = Some(word()?.parse()?);
                attempt.end = match word()? {
                    "committed" => End::Committed(words.next().map(str::parse).transpose()?),
                    "nothing" => End::Nothing,
                    _ => End::Unknown,
                };
                self.ended.push(attempt);
            }
            "read" | "past" => {
                let mut attempt = Attempt::new(op, word()?.parse()?);
                attempt.to = Some(word()?.parse()?);
                attempt.end = End::Committed(None);
                if kind == "past" {
                    attempt.moment = Some(word()?.parse()?);
                }
                words.try_for_each(|word| self.add(&mut attempt, word))?;
                self.ended.push(attempt);
            }
            _ => return Err("no such line".into()),
        }
        Ok(())
    }

    fn add(&mut self, attempt: &mut Attempt, word: &str) -> Outcome {
        if let Some(path) = word.strip_prefix("put:") {
            attempt.wrote.push(Wrote { path: self.path(path), removed: false });
        } else if let Some(path) = word.strip_prefix("remove:") {
            attempt.wrote.push(Wrote { path: self.path(path), removed: true });
        } else if let Some(sighting) = word.strip_prefix("expect:") {
            attempt.expected.push(self.sighting(sighting)?);
        } else {
            attempt.saw.push(self.sighting(word)?);
        }
        Ok(())
    }

    fn sighting(&mut self, word: &str) -> Outcome<Sighting> {
        let (path, saw) = word.split_once('=').ok_or("not a sighting")?;
        let saw = match saw {
            "some" => Saw::Something,
            "none" => Saw::Nothing,
            op => Saw::Value(op.parse()?),
        };
        Ok(Sighting { path: self.path(path), saw })
    }

    /// The path, of which all sightings share one copy.
    fn path(&mut self, path: &str) -> Path {
        if let Some(known) = self.paths.get(path) {
            return Arc::clone(known);
        }
        let path: Path = path.into();
        self.paths.insert(Arc::clone(&path));
        path
    }
}

impl Heard {
    fn take(&mut self, kind: &str, rest: &str) -> Outcome {
        let mut words = rest.split(' ');
        let mut word = || words.next().ok_or("the line is too short");
        match kind {
            "watch" => self.begun = (word()?.parse()?, word()?.parse()?),
            "told" => {
                let (txn, op) = (word()?.parse()?, word()?.parse()?);
                self.told.push(Told::Transaction { txn, op });
            }
            "gap" => self.told.push(Told::Gap),
            _ => self.until = Some(word()?.parse()?),
        }
        Ok(())
    }
}
