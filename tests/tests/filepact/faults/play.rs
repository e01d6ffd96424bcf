//! A run of calls under a fault: what each of them said, and what the documents may be by that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use filepact::{Error, Options, Store, Transaction};
use filepact_fs::Fs;
use filepact_simfs::SimFs;
use filepact_tests::crash::options;
use filepact_tests::crash::story::{Edit, Promise};
use filepact_tests::history::{self, Change, Op, Tree};
use filepact_tests::steps::{Call, Steps, Watch};

/// What a call has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    Done,
    /// `Io`: nothing has changed.
    Unchanged,
    /// `Poisoned`: it was not tried.
    Refused,
    /// `CommitUnknown`.
    Unknown,
    /// Committed, and not at its path.
    Unpublished,
}

impl Said {
    /// Of a fault nobody hears anything else: an error that tells of an edit, of damage or of a missing
    /// store would be a lie.
    fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Io { .. } => Some(Self::Unchanged),
            Error::Poisoned => Some(Self::Refused),
            Error::CommitUnknown { .. } => Some(Self::Unknown),
            Error::Unpublished { .. } => Some(Self::Unpublished),
            _ => None,
        }
    }
}

/// Sees which syncs of a process fail.
#[derive(Clone, Default)]
struct Syncs {
    failed: Arc<AtomicBool>,
    /// Of the journal.
    journal_failed: Arc<AtomicBool>,
    /// Of a directory of documents, in any process.
    names_failed: Arc<AtomicBool>,
}

impl Watch for Syncs {
    fn before(&self, _: &Call<'_>) {}

    fn after(&self, call: &Call<'_>, succeeded: bool) {
        if succeeded || !matches!(call.op, "sync" | "sync_dir" | "sync_everything") {
            return;
        }
        self.failed.store(true, Ordering::SeqCst);
        if call.path.starts_with(".filepact/journal") {
            self.journal_failed.store(true, Ordering::SeqCst);
        }
        if call.op != "sync" && !call.path.starts_with(".filepact") {
            self.names_failed.store(true, Ordering::SeqCst);
        }
    }
}

/// A process with the store open.
struct Process {
    store: Option<Store>,
    syncs: Syncs,
    /// It was told that an outcome is unknown.
    unknown: bool,
    /// What it acknowledges is durable.
    durable: bool,
}

/// A run: its processes, and what may be there by what they were told.
pub(crate) struct Play {
    pub(crate) sim: SimFs,
    /// A sync that fails leaves nothing known; with a full disk, or where it never began, it may.
    pub(crate) failed_syncs_stop: bool,
    /// The documents are one of these.
    pub(crate) trees: Vec<Tree>,
    /// All that they may have been, in order.
    pub(crate) history: Vec<Tree>,
    /// Nothing was left unpublished before the run.
    pub(crate) is_settled: bool,
    /// What was promised beyond that.
    pub(crate) promise: Promise,
    /// What another program has saved.
    pub(crate) edit: Option<Edit>,
    /// A transaction that has the writer's turn.
    pub(crate) turn: Option<Transaction>,
    /// What was said, in order, and by which call.
    pub(crate) said: Vec<(Said, String)>,
    processes: Vec<Process>,
    names_failed: Arc<AtomicBool>,
}

impl Play {
    pub(crate) fn new(sim: SimFs, tree: Tree) -> Self {
        Self {
            sim,
            failed_syncs_stop: false,
            trees: vec![tree.clone()],
            history: vec![tree],
            is_settled: false,
            promise: Promise::Journal,
            edit: None,
            turn: None,
            said: Vec::new(),
            processes: Vec::new(),
            names_failed: Arc::default(),
        }
    }

    /// Another process opens the store; its number.
    pub(crate) fn open(&mut self) -> Option<usize> {
        self.open_with(options())
    }

    pub(crate) fn open_with(&mut self, options: Options) -> Option<usize> {
        let actor = self.sim.actor();
        self.open_on(actor, options)
    }

    /// A process that sees the file system so.
    pub(crate) fn open_on(&mut self, fs: Arc<dyn Fs>, options: Options) -> Option<usize> {
        let syncs = Syncs { names_failed: Arc::clone(&self.names_failed), ..Syncs::default() };
        let steps = Steps::watched(fs, syncs.clone());
        let opened = options.open_with(steps);
        let store = Some(self.note("open", opened)?);
        let durable = self.promise != Promise::Buffered;
        self.processes.push(Process { store, syncs, unknown: false, durable });
        Some(self.processes.len() - 1)
    }

    /// A process that syncs what it commits, whatever the others do.
    pub(crate) fn open_durable(&mut self) -> Option<usize> {
        let promise = std::mem::replace(&mut self.promise, Promise::Journal);
        let who = self.open();
        self.promise = promise;
        who
    }

    pub(crate) fn processes(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|who| self.processes[*who].store.is_some()).collect()
    }

    pub(crate) fn store(&self, who: usize) -> Store {
        self.processes[who].store.clone().expect("it is open")
    }

    /// The documents as the last call wanted them.
    pub(crate) fn tree(&self) -> Tree {
        self.trees.last().expect("never empty").clone()
    }

    /// What this process acknowledges is durable, with all before it.
    pub(crate) fn is_durable(&self, who: usize) -> bool {
        self.processes[who].durable
    }

    /// Nothing may be acknowledged by this process any more.
    pub(crate) fn is_stopped(&self, who: usize) -> bool {
        let process = &self.processes[who];
        process.unknown || self.failed_syncs_stop && process.syncs.failed.load(Ordering::SeqCst)
    }

    /// The sync of a directory of documents has failed.
    pub(crate) fn may_have_lost_names(&self) -> bool {
        self.names_failed.load(Ordering::SeqCst)
    }

    /// The journal's own sync has failed in this process.
    pub(crate) fn has_lost_the_journal(&self, who: usize) -> bool {
        self.processes[who].syncs.journal_failed.load(Ordering::SeqCst)
    }

    /// What a call said that changes no document.
    pub(crate) fn note<T>(&mut self, what: &str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.said.push((Said::Done, what.to_owned()));
                Some(value)
            }
            Err(error) => {
                let said = Said::of(&error).unwrap_or_else(|| panic!("{what}: {error:?}"));
                self.said.push((said, format!("{what}: {error:?}")));
                None
            }
        }
    }

    /// A call that changes no document.
    pub(crate) fn call<T>(
        &mut self,
        who: usize,
        what: &str,
        call: impl FnOnce(&Store) -> Result<T, Error>,
    ) -> Option<T> {
        let result = call(&self.store(who));
        self.processes[who].unknown |= matches!(result, Err(Error::CommitUnknown { .. }));
        self.note(what, result)
    }

    /// A transaction: from what it says follows what the documents may be.
    pub(crate) fn change(
        &mut self,
        who: usize,
        changes: &[(String, Change)],
        commit: impl FnOnce(&Store) -> Result<(), Error>,
    ) -> Said {
        let stopped = self.is_stopped(who);
        let result = commit(&self.store(who));
        self.changed(who, changes, stopped, result)
    }

    /// The same, of what was said already; `stopped` is of the time before.
    pub(crate) fn changed(
        &mut self,
        who: usize,
        changes: &[(String, Change)],
        stopped: bool,
        result: Result<(), Error>,
    ) -> Said {
        let paths: Vec<&String> = changes.iter().map(|(path, _)| path).collect();
        let what = format!("process {who} changes {paths:?}");
        self.processes[who].unknown |= matches!(result, Err(Error::CommitUnknown { .. }));
        self.note(&what, result);
        let said = self.said.last().expect("noted above").0;
        assert!(said != Said::Done || !stopped, "{what}: acknowledged after a failed sync");
        self.apply(said, changes);
        said
    }

    /// What the documents may be after these changes, of which this was said.
    pub(crate) fn apply(&mut self, said: Said, changes: &[(String, Change)]) {
        let mut after = self.trees.clone();
        after.iter_mut().for_each(|tree| history::apply(changes, tree));
        match said {
            Said::Unchanged | Said::Refused => return,
            Said::Done | Said::Unpublished => self.trees.clone_from(&after),
            Said::Unknown => self.trees.extend(after.iter().cloned()),
        }
        self.history.extend(after);
    }

    /// A transaction of such operations.
    pub(crate) fn commit(&mut self, who: usize, ops: &[(&str, Op)], number: usize) -> Said {
        let changes = history::changes(ops, number, &self.tree());
        self.change(who, &changes, |store| store.transact(|tx| history::stage(tx, &changes)))
    }

    /// A transaction that puts these bodies.
    pub(crate) fn put(&mut self, who: usize, puts: &[(&str, &[u8])]) -> Said {
        let put = |(path, body): &(&str, &[u8])| ((*path).to_owned(), Change::Put(body.to_vec()));
        let changes: Vec<_> = puts.iter().map(put).collect();
        self.change(who, &changes, |store| store.transact(|tx| history::stage(tx, &changes)))
    }

    pub(crate) fn checkpoint(&mut self, who: usize) {
        self.call(who, "a checkpoint", Store::checkpoint);
    }

    pub(crate) fn close(&mut self, who: usize) {
        self.call(who, "a close", |store| store.clone().close());
        self.processes[who].store = None;
    }

    /// All processes end, without a close.
    pub(crate) fn end(&mut self) {
        self.turn = None;
        self.processes.clear();
    }
}
