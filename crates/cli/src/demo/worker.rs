//! The process that makes transfers until it is killed, and the hand that kills it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use filepact::Store;

use super::bank;
use super::random::Random;
use crate::args::WorkerArgs;
use crate::failure::{DONE, Failure};

/// Makes transfers, and says the number of each once its commit has returned.
pub(crate) fn work(store: &Store, args: &WorkerArgs) -> Result<u8, Failure> {
    let mut random = Random::new(args.seed);
    let mut out = io::stdout().lock();
    loop {
        let number = bank::transfer(store, &mut random)?;
        // One write below the size of a pipe's buffer: whole or not at all.
        if writeln!(out, "{number}").and_then(|()| out.flush()).is_err() {
            return Ok(DONE); // whoever was to kill us is gone
        }
    }
}

/// What a worker said before it died.
#[derive(Debug)]
pub(super) struct Acknowledged {
    pub(super) count: u64,
    pub(super) last: u64,
}

/// Starts a worker, waits for its first acknowledgement and then for `delay`, and kills it.
pub(super) fn run_and_kill(
    folder: &Path,
    seed: u64,
    delay: Duration,
) -> Result<Acknowledged, Failure> {
    let mut worker = Worker::start(folder, seed)?;
    let failed = |error: &io::Error| Failure::io("talk to the worker", error);
    let mut said = Vec::new();
    let first = worker.stdout.read_until(b'\n', &mut said).map_err(|error| failed(&error))?;
    if first == 0 {
        return Err(worker.ended_by_itself());
    }
    thread::sleep(delay);
    // SIGKILL: no handler, no destructor, no flush.
    worker.child.kill().map_err(|error| failed(&error))?;
    worker.stdout.read_to_end(&mut said).map_err(|error| failed(&error))?;
    let status = worker.child.wait().map_err(|error| failed(&error))?;
    if status.code().is_some() {
        return Err(worker.ended_by_itself());
    }
    let said = String::from_utf8_lossy(&said);
    let numbers = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let last = numbers.clone().next_back().and_then(|number| number.parse().ok());
    let last = last.ok_or_else(|| worker.ended_by_itself())?;
    Ok(Acknowledged { count: numbers.count() as u64, last })
}

/// Killed when it is dropped, so that no error leaves it running.
struct Worker {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    fn start(folder: &Path, seed: u64) -> Result<Self, Failure> {
        let start = |error: &io::Error| Failure::io("start the worker", error);
        let command = std::env::current_exe().map_err(|error| start(&error))?;
        let mut child = Command::new(command)
            .arg("-C")
            .arg(folder)
            .args(["demo-worker", "--seed", &seed.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| start(&error))?;
        let stdout = child.stdout.take().map(BufReader::new);
        let stdout = stdout.ok_or_else(|| start(&io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, stdout })
    }

    fn ended_by_itself(&mut self) -> Failure {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |s| s.to_string());
        Failure::new(
            "worker",
            crate::failure::FAILED,
            format!("the worker ended before it was killed: {status}; its message is above"),
        )
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
