//! `batch`: transactions for any language, as JSON lines on stdin and stdout.
//!
//! Every line is answered by one line, in order, flushed before the next is read. A failed line
//! aborts its transaction, and every later line is answered `aborted` until `rollback` or a new
//! `begin`, so that a caller who does not look at the answers never commits the half of it.

mod answer;
mod request;

use std::io::{BufRead, Write};
use std::time::Duration;

use filepact::{Store, Transaction, Watch};

use self::answer::Answer;
use self::request::Request;
use crate::args::NoteArgs;
use crate::body::Document;
use crate::failure::{CONFLICT, DONE, FAILED, Failure};
use crate::output::json_line;

/// Answers `input` line by line; the exit code is that of the first failure.
///
/// # Errors
/// The input cannot be read or nobody takes the answers: the transaction that is open is dropped.
pub(crate) fn run(
    store: &Store,
    mut input: impl BufRead,
    mut output: impl Write,
    args: &NoteArgs,
) -> Result<u8, Failure> {
    let mut batch = Batch {
        store,
        note: args.note.clone(),
        state: State::Idle,
        watch: None,
        explicit: false,
        line: 0,
    };
    let mut exit = DONE;
    let mut answered = |outcome: Result<Answer, Failure>, line: u64| {
        let written = match outcome {
            Ok(answer) => json_line(&mut output, &answer),
            Err(failure) => {
                if exit == DONE {
                    exit = failure.exit;
                }
                json_line(&mut output, &failure.at_line(line))
            }
        };
        written.and_then(|()| output.flush()).map_err(|error| {
            // A transaction that nobody hears the answer of is not done, unlike a listing.
            let mut failure = Failure::output(&error);
            failure.exit = FAILED;
            failure
        })
    };
    let mut line = Vec::new();
    let mut read = |line: &mut Vec<u8>| {
        line.clear();
        input.read_until(b'\n', line).map_err(|error| Failure::io("read stdin", &error))
    };
    while read(&mut line)? > 0 {
        batch.line += 1;
        let request = line.strip_suffix(b"\n").unwrap_or(&line);
        answered(batch.answer(request), batch.line)?;
    }
    if let Some(outcome) = batch.finish() {
        answered(outcome, batch.line + 1)?;
    }
    Ok(exit)
}

struct Batch<'a> {
    store: &'a Store,
    /// For every transaction that brings none of its own.
    note: Option<String>,
    state: State,
    /// Goes on from one `watch` to the next.
    watch: Option<Watch>,
    /// A `begin` was seen: from there on every transaction needs its own.
    explicit: bool,
    line: u64,
}

#[derive(Debug)]
enum State {
    /// No transaction is open.
    Idle,
    Open(Box<Open>),
    /// The line that failed.
    Aborted(u64),
}

#[derive(Debug)]
struct Open {
    tx: Transaction,
    changed: bool,
}

impl Batch<'_> {
    fn answer(&mut self, line: &[u8]) -> Result<Answer, Failure> {
        let outcome = Request::parse(line).and_then(|request| self.perform(request));
        match self.state {
            // Whatever is wrong with the lines that follow a failure, they were not done.
            State::Aborted(at) => outcome.map_err(|_| {
                let message =
                    format!("not done: the transaction was aborted by the failure of line {at}");
                Failure::new("aborted", CONFLICT, message)
            }),
            _ => outcome.inspect_err(|_| self.state = State::Aborted(self.line)),
        }
    }

    fn perform(&mut self, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Begin => self.begin(),
            Request::Rollback => self.rollback(),
            Request::Commit { note } => self.commit(note),
            Request::Watch { since, patience } => self.watch(since, patience),
            Request::Get { path } => {
                let bytes = self.open()?.tx.read_bytes(&path)?;
                Ok(Answer::Document(Document::new(path, bytes)))
            }
            Request::Expect { path, version } => {
                self.open()?.tx.expect(path, version)?;
                Ok(Answer::done())
            }
            Request::Put { path, bytes } => {
                let open = self.open()?;
                open.tx.write_bytes(path, bytes)?;
                open.changed = true;
                Ok(Answer::done())
            }
            Request::Append { path, bytes } => {
                let open = self.open()?;
                open.changed |= !bytes.is_empty();
                open.tx.append(path, bytes)?;
                Ok(Answer::done())
            }
            Request::Rename { path, to } => {
                let open = self.open()?;
                open.tx.rename(path, to)?;
                open.changed = true;
                Ok(Answer::done())
            }
            Request::Remove { path } => {
                let open = self.open()?;
                open.tx.remove(path)?;
                open.changed = true;
                Ok(Answer::done())
            }
        }
    }

    fn begin(&mut self) -> Result<Answer, Failure> {
        if matches!(self.state, State::Open(_)) {
            return Err(Failure::usage("a transaction is open already; `commit` or `rollback` it"));
        }
        self.explicit = true;
        self.state = State::Open(Box::new(Open { tx: self.store.begin()?, changed: false }));
        Ok(Answer::done())
    }

    /// Beside the transaction, if one is open.
    fn watch(&mut self, since: Option<u64>, patience: Duration) -> Result<Answer, Failure> {
        if matches!(self.state, State::Aborted(_)) {
            return Err(Failure::usage("the transaction was aborted"));
        }
        if let Some(txn) = since {
            self.watch = Some(self.store.watch_since(txn)?);
        }
        let watch = match &mut self.watch {
            Some(watch) => watch,
            none => none.insert(self.store.watch()?),
        };
        Ok(Answer::watched(watch.wait(patience)?))
    }

    fn rollback(&mut self) -> Result<Answer, Failure> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => Err(Failure::usage("no transaction is open")),
            State::Open(_) | State::Aborted(_) => Ok(Answer::done()),
        }
    }

    fn commit(&mut self, note: Option<String>) -> Result<Answer, Failure> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Open(open) if self.explicit => self.commit_open(*open, note),
            State::Aborted(at) => {
                self.state = State::Aborted(at);
                Err(Failure::usage("the transaction was aborted"))
            }
            State::Idle if self.explicit => Err(Failure::usage("no transaction is open")),
            State::Open(_) | State::Idle => Err(Failure::usage(
                "`commit` without `begin`: the whole input is one transaction, committed at its end",
            )),
        }
    }

    fn commit_open(&self, mut open: Open, note: Option<String>) -> Result<Answer, Failure> {
        if let Some(note) = note.or_else(|| self.note.clone()) {
            open.tx.note(note);
        }
        let committed = open.tx.commit()?;
        Ok(Answer::committed(committed, open.changed))
    }

    /// The transaction that the line belongs to; the first line begins one if it is no `begin`.
    fn open(&mut self) -> Result<&mut Open, Failure> {
        if matches!(self.state, State::Idle) {
            if self.explicit {
                return Err(Failure::usage("no transaction is open; `begin` one"));
            }
            self.state = State::Open(Box::new(Open { tx: self.store.begin()?, changed: false }));
        }
        match &mut self.state {
            State::Open(open) => Ok(open),
            State::Idle | State::Aborted(_) => Err(Failure::usage("the transaction was aborted")),
        }
    }

    /// The end of the input: an input without `begin` is committed, anything else dropped.
    fn finish(&mut self) -> Option<Result<Answer, Failure>> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Open(open) if !self.explicit => Some(self.commit_open(*open, None)),
            _ => None,
        }
    }
}
