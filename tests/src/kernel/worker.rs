//! Commits until the file system is gone, and then shows that every failure is an orderly one.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use filepact::{Error, Store};

use super::notes::Note;
use super::plan::{LAST, LOG, Tree, apply, carry_out, counted, counter, folder, line, ops};
use super::round::Order;
use crate::processes::{Outcome, crew};

/// Between checkpoints that the actor makes itself.
const COMMITS_TO_A_CHECKPOINT: u64 = 40;
/// Tried after the first failure.
const TRIES_AFTERWARDS: u64 = 3;

/// Runs a worker: `arguments` are those after the word `worker`.
pub fn work(arguments: &[String]) -> Outcome {
    let (kind, rest) = arguments.split_first().ok_or("a worker needs to know what to do")?;
    match kind.as_str() {
        "commit" => commit_until_cut(&Order::parse(rest)?),
        "open" => open(&Order::parse(rest)?),
        other => Err(format!("no worker does {other}").into()),
    }
}

fn commit_until_cut(order: &Order) -> Outcome {
    let store = order.options.clone().open(&order.folder)?;
    crew::until_told(order.actors.len() as u32, |thread, stop| {
        let actor = order.actors[thread as usize];
        Actor { actor, seed: order.seed, store: &store, own: Tree::new() }.work(stop)
    })?;
    // The file system is gone: only that this ends, and does not panic, counts.
    let _ = store.close();
    Ok(())
}

/// A recovery, to be cut off.
fn open(order: &Order) -> Outcome {
    match order.options.clone().open(&order.folder) {
        Ok(_) => note(0, &Note::Opened)?,
        Err(error) => note(0, &failure(&error))?,
    }
    note(0, &Note::Ends)
}

/// One write, so that lines of several threads and processes stay whole.
fn note(actor: u32, note: &Note) -> Outcome {
    Ok(std::io::stdout().lock().write_all(note.line(actor).as_bytes())?)
}

/// What a file system that is gone may be answered with; anything else would be a wrong answer.
fn failure(error: &Error) -> Note {
    let (kind, is_orderly) = match error {
        Error::Io { .. } => ("Io", true),
        Error::CommitUnknown { .. } => ("CommitUnknown", true),
        Error::Poisoned => ("Poisoned", true),
        Error::Unpublished { .. } => ("Unpublished", true),
        _ => ("Other", false),
    };
    match is_orderly {
        true => Note::Failed(format!("{kind}: {error}")),
        false => Note::Wrong(format!("{error}: {error:?}")),
    }
}

struct Actor<'a> {
    actor: u32,
    seed: u64,
    store: &'a Store,
    /// What its documents hold.
    own: Tree,
}

impl Actor<'_> {
    fn note(&self, note: &Note) -> Outcome {
        self::note(self.actor, note)
    }

    fn work(mut self, stop: &AtomicBool) -> Outcome {
        for path in self.store.list(folder(self.actor))? {
            let body = self.store.read_bytes(&path)?.ok_or("it was listed")?;
            self.own.insert(path.to_string(), body);
        }
        let mut number = counted(&self.own, self.actor).ok_or("the counter does not count")?;
        self.note(&Note::Opened)?;
        while !stop.load(Ordering::Relaxed) {
            if number.is_multiple_of(COMMITS_TO_A_CHECKPOINT) {
                match self.store.checkpoint() {
                    Ok(()) => self.note(&Note::Kept(number))?,
                    Err(Error::Locked { .. }) => {}
                    Err(error) => return self.fails(&error, number),
                }
            }
            self.note(&Note::Begins(number + 1))?;
            match self.commit(number + 1) {
                Ok(()) => {
                    number += 1;
                    self.note(&Note::Acknowledged(number))?;
                }
                Err(Error::Locked { .. }) => {}
                Err(error) => return self.fails(&error, number + 1),
            }
        }
        Ok(())
    }

    fn commit(&mut self, number: u64) -> Result<(), Error> {
        let ops = ops(self.seed, self.actor, number, &self.own);
        let line = line(self.actor, number);
        self.store.transact(|tx| {
            ops.iter().try_for_each(|op| carry_out(op, tx))?;
            tx.append(LOG, &line)?;
            tx.write_bytes(LAST, line.as_bytes())?;
            tx.note(line.trim_end());
            Ok::<_, Error>(())
        })?;
        ops.iter().for_each(|op| apply(op, &mut self.own));
        Ok(())
    }

    /// After the first failure nothing may be acknowledged, whatever is tried, and nothing panics.
    fn fails(self, error: &Error, number: u64) -> Outcome {
        if let Error::Unpublished { .. } = error {
            self.note(&Note::Unpublished(number))?;
        }
        self.note(&failure(error))?;
        for _ in 0..TRIES_AFTERWARDS {
            match commit_another(self.store, self.actor) {
                Ok(()) => self.note(&Note::Wrong("committed after a failure".to_owned()))?,
                Err(error @ Error::Unpublished { .. }) => {
                    self.note(&Note::Wrong(format!("committed after a failure: {error}")))?;
                }
                Err(error) => self.note(&failure(&error))?,
            }
        }
        // They may be answered from memory, or fail.
        let _ = self.store.read_bytes(counter(self.actor));
        let _ = self.store.list("");
        let _ = self.store.status();
        let _ = self.store.check();
        let _ = self.store.checkpoint();
        self.note(&Note::Ends)
    }
}

/// A transaction that no plan has.
fn commit_another(store: &Store, actor: u32) -> Result<(), Error> {
    let mut tx = store.begin()?;
    tx.write_bytes(format!("{}/afterwards", folder(actor)), b"never".to_vec())?;
    tx.commit().map(drop)
}
