//! The workers: started, killed, stopped and counted by their own process ids.
//!
//! A worker works until its standard input ends, so that none outlives its supervisor.

use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, panic, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::Outcome;

/// How long a worker may take to end once it was told to; the longest lock timeout is shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Processes of this program, each with a place of its own.
#[derive(Debug, Default)]
pub struct Crew {
    workers: Vec<Option<Child>>,
}

impl Crew {
    /// Starts a worker of the scenario in a place that is empty.
    pub fn start(&mut self, place: usize, scenario: &str, arguments: &[String]) -> Outcome {
        let child = Command::new(std::env::current_exe()?)
            .args(["worker", scenario])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if self.workers.len() <= place {
            self.workers.resize_with(place + 1, || None);
        }
        assert!(self.workers[place].is_none(), "the place is taken");
        self.workers[place] = Some(child);
        Ok(())
    }

    /// The process in a place.
    pub fn pid(&self, place: usize) -> Option<u32> {
        self.workers.get(place)?.as_ref().map(Child::id)
    }

    /// The place of a process.
    pub fn place_of(&self, pid: u32) -> Option<usize> {
        (0..self.workers.len()).find(|place| self.pid(*place) == Some(pid))
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self, place: usize) -> Outcome {
        if let Some(mut child) = self.workers[place].take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGKILL for all before any is waited for.
    pub fn kill_all(&mut self) -> Outcome {
        for child in self.workers.iter_mut().flatten() {
            child.kill()?;
        }
        (0..self.workers.len()).try_for_each(|place| self.kill(place))
    }

    /// SIGSTOP; returns once the process has stopped.
    pub fn stop(&self, place: usize) -> Outcome {
        self.signal(place, Signal::STOP)?;
        let pid = self.pid(place).ok_or("nobody is there to be stopped")?;
        // The signal is on its way when `kill` returns; the state is the word after the name.
        for _ in 0..10_000 {
            let stat = read_text(&format!("/proc/{pid}/stat"))?;
            if stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')) {
                return Ok(());
            }
            thread::sleep(Duration::from_micros(100));
        }
        Err(format!("process {pid} did not stop").into())
    }

    /// SIGCONT.
    pub fn resume(&self, place: usize) -> Outcome {
        self.signal(place, Signal::CONT)
    }

    fn signal(&self, place: usize, signal: Signal) -> Outcome {
        let pid = self.pid(place).and_then(|pid| Pid::from_raw(pid as i32));
        Ok(kill_process(pid.ok_or("nobody is there")?, signal)?)
    }

    /// An error if a worker has ended by itself: they never do.
    pub fn all_live(&mut self) -> Outcome {
        for child in self.workers.iter_mut().flatten() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("worker {} has ended by itself: {status}", child.id()).into());
            }
        }
        Ok(())
    }

    /// Writes a line to a worker.
    pub fn tell(&mut self, place: usize, line: &str) -> Outcome {
        let child = self.workers[place].as_mut().ok_or("nobody is there")?;
        let input = child.stdin.as_mut().ok_or("the worker does not listen")?;
        Ok(writeln!(input, "{line}")?)
    }

    /// What a worker writes, for once.
    pub fn output(&mut self, place: usize) -> Option<ChildStdout> {
        self.workers[place].as_mut()?.stdout.take()
    }

    /// Lets all end in their own time, and waits for them; an error if one ends with an error, or
    /// not at all.
    pub fn finish(&mut self) -> Outcome {
        for child in self.workers.iter_mut().flatten() {
            drop(child.stdin.take());
        }
        let began = Instant::now();
        for place in 0..self.workers.len() {
            let Some(child) = self.workers[place].as_mut() else { continue };
            let status = loop {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
                if began.elapsed() > PATIENCE {
                    return Err(format!("worker {} does not end", child.id()).into());
                }
                thread::sleep(Duration::from_millis(2));
            };
            if !status.success() {
                return Err(format!("worker {} ended with {status}", child.id()).into());
            }
            self.workers[place] = None;
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // What cannot be killed is gone already.
        let _ = self.kill_all();
    }
}

/// In a worker: runs `work` in this many threads until standard input ends or one of them fails.
pub fn until_told(threads: u32, work: impl Fn(u32, &AtomicBool) -> Outcome + Sync) -> Outcome {
    let stop: &'static AtomicBool = Box::leak(Box::default());
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop.store(true, Ordering::Relaxed);
    });
    let run = |thread| {
        // A panic has told its story on standard error already.
        let ended = panic::catch_unwind(panic::AssertUnwindSafe(|| work(thread, stop)));
        stop.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|_| Err("a thread panicked".into()))
    };
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("panics are caught"))
    })
}

#[allow(clippy::disallowed_types, reason = "a file of the system")]
pub(crate) fn read_text(path: &str) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}
