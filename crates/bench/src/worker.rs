//! Processes of this program that do one thing, a turn at a time, when they are told to.
//!
//! A worker says `ready` when it is, works for as many milliseconds as a line of its input says, and
//! answers with a [`Turn`] as JSON. It ends with its input.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use filepact::Store;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::benches::writer::{Documents, Writer};
use crate::measure::{Turn, once, repeat_beside, timed};
use crate::systems::{Kind, Sharing};

/// The first argument of a worker; the second is its task.
pub(crate) const WORD: &str = "worker";

/// What a worker does in each turn.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Commits documents, for as long as it is told to.
    Commit { system: Kind, sharing: Sharing, folder: PathBuf, documents: Documents },
    /// Adds one to each of these counters, so often.
    Count { system: Kind, folder: PathBuf, counters: Documents, times: u64 },
    /// Writes all of these documents anew, a few at a time, and makes no checkpoint.
    Journal { folder: PathBuf, documents: Documents, all: u64, number: u64 },
    /// Makes the content of one of these files, in turn, that of a document.
    Body { system: Kind, folder: PathBuf, sources: Vec<PathBuf> },
}

/// A worker's whole life.
pub(crate) fn work(task: &str) -> Outcome {
    match serde_json::from_str(task)? {
        Task::Commit { system, sharing, folder, documents } => {
            let system = system.open(&folder, sharing)?;
            let mut writer = Writer::new(system.client()?, documents);
            writer.write_missing()?;
            serve(|budget| repeat_beside(Instant::now(), budget, || writer.commit()))?;
            drop(writer);
            system.close()
        }
        Task::Count { system, folder, counters, times } => {
            let system = system.open(&folder, Sharing::Shared)?;
            let mut writer = Writer::new(system.client()?, counters);
            serve(|_| count(&mut writer, times))?;
            drop(writer);
            system.close()
        }
        Task::Journal { folder, documents, all, number } => {
            let options = Store::options().background_checkpoints(false);
            let store = options.journal_max(u64::MAX).open(&folder)?;
            serve(|_| once(|| timed(|| write_all(&store, documents, all, number))))
        }
        Task::Body { system, folder, sources } => {
            let mut sources = sources.iter().cycle();
            let mut next = move || sources.next().ok_or("no source");
            if system == Kind::Floor {
                let copy = folder.join("large.bin");
                return serve(|_| {
                    let source = next()?;
                    let turn = once(|| {
                        timed(|| {
                            fs::copy(source, &copy)?;
                            Ok(File::open(&copy)?.sync_all()?)
                        })
                    });
                    fs::remove_file(&copy)?;
                    turn
                });
            }
            let store = Store::open(&folder)?;
            serve(|_| {
                let source = next()?;
                once(|| {
                    timed(|| {
                        let mut tx = store.begin()?;
                        tx.write_from("large.bin", File::open(source)?)?;
                        Ok(tx.commit()?)
                    })
                })
            })?;
            Ok(store.close()?)
        }
    }
}

fn count(writer: &mut Writer, times: u64) -> Outcome<Turn> {
    let nanos = (0..times).map(|_| Ok(writer.update()?.as_nanos() as u64));
    Ok(Turn { nanos: nanos.collect::<Outcome<_>>()?, ended: times, ..Turn::default() })
}

/// Writes documents 0 to `all`, as many in a transaction as `documents` says.
pub(crate) fn write_all(store: &Store, documents: Documents, all: u64, number: u64) -> Outcome {
    let mut first = 0;
    while first < all {
        let docs = documents.docs.min(all - first);
        let mut tx = store.begin()?;
        for put in (Documents { first, docs, ..documents }).puts(number) {
            tx.write_bytes(put.path, put.body)?;
        }
        tx.commit()?;
        first += docs;
    }
    Ok(())
}

/// Answers each line of the input by one turn.
fn serve(mut turn: impl FnMut(Duration) -> Outcome<Turn>) -> Outcome {
    let mut out = io::stdout();
    writeln!(out, "ready")?;
    for line in io::stdin().lines() {
        let budget = Duration::from_micros(line?.parse()?);
        let turn = Turn { peak_kib: peak_kib(), ..turn(budget)? };
        writeln!(out, "{}", serde_json::to_string(&turn)?)?;
    }
    Ok(())
}

/// The most memory that this process ever had.
fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// A worker, seen from the process that started it; killed when dropped.
pub(crate) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one, and waits until it is ready.
    pub(crate) fn start(task: &Task) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([WORD, &serde_json::to_string(task)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("the worker is mute")?);
        let mut worker = Self { child, input, output };
        match worker.line()?.as_str() {
            "ready" => Ok(worker),
            other => Err(format!("the worker says {other:?}").into()),
        }
    }

    /// Lets it work for so long.
    pub(crate) fn begin(&mut self, budget: Duration) -> Outcome {
        let input = self.input.as_mut().ok_or("the worker does not listen")?;
        Ok(writeln!(input, "{}", budget.as_micros())?)
    }

    /// Waits until it has.
    pub(crate) fn end(&mut self) -> Outcome<Turn> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Lets it work for so long, and waits until it has.
    pub(crate) fn turn(&mut self, budget: Duration) -> Outcome<Turn> {
        self.begin(budget)?;
        self.end()
    }

    /// Lets it end in its own time; an error if it ends with one.
    pub(crate) fn finish(mut self) -> Outcome {
        drop(self.input.take());
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("a worker ended with {status}").into()),
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("a worker has ended before its time; it says why above".into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // What cannot be killed is gone already.
        let _ = self.kill();
    }
}

/// Lets all of them work at the same time for so long.
pub(crate) fn together(workers: &mut [Worker], budget: Duration) -> Outcome<Turn> {
    workers.iter_mut().try_for_each(|worker| worker.begin(budget))?;
    let turns: Outcome<Vec<Turn>> = workers.iter_mut().map(Worker::end).collect();
    Ok(Turn::together(turns?))
}
