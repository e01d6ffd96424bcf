//! From a folder to a recovered store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filepact_commit::{Limits, META, OPEN, OPENING, Writer, ensure_layout};
use filepact_fs::{Fs, Kind, Latched, Lock, LockKind};
use filepact_journal::StateFile;

use crate::shared::Shared;
use crate::{Error, Options, Report};

pub(crate) fn open(fs: Arc<dyn Fs>, options: Options) -> Result<Shared, Error> {
    let fs = Arc::new(Latched::new(fs));
    look(&*fs, &options)?;
    let wait = Wait::new(&*fs, options.lock_timeout);
    let opening = wait.lock(OPENING, LockKind::Exclusive)?;
    let opened = match fs.lock(OPEN, LockKind::Exclusive, Duration::ZERO)? {
        Some(_alone) => {
            let Options { create, inline_max, .. } = options;
            filepact_recovery::open(fs.clone(), create, inline_max, &*options.on_recovery.0)?
        }
        // Others have it open, and whoever has it open has recovered it: shared means recovered.
        None => {
            let open = wait.lock(OPEN, LockKind::Shared)?;
            let opened = filepact_recovery::join(fs.clone())?;
            return shared(opened, open, options);
        }
    };
    // Nobody can come between: whoever wants `open` takes `opening` first.
    let open = wait.lock(OPEN, LockKind::Shared)?;
    drop(opening);
    shared(opened, open, options)
}

fn shared(
    opened: filepact_recovery::Opened,
    open: Box<dyn Lock>,
    options: Options,
) -> Result<Shared, Error> {
    let Report { created, joined, trusted, failed, replayed, adopted, rescued, .. } =
        &opened.report;
    let (replayed, adopted, rescued) = (replayed.len(), adopted.len(), rescued.len());
    tracing::info!(
        target: "filepact",
        created, joined, trusted, failed, replayed, adopted, rescued,
        "opened"
    );
    let Options { durability, inline_max, journal_max, background, .. } = options;
    let limits = Limits { durability, inline_max, journal_max, background };
    let writer = Writer::new(opened.parts, limits)?;
    Ok(Shared::new(writer, open, opened.report, options))
}

/// What an opening of the store would find and do. Changes no document, and nothing of the journal.
pub(crate) fn examine(fs: Arc<dyn Fs>, options: Options) -> Result<Report, Error> {
    let fs = Latched::new(fs);
    look(&fs, &options.create(false))?;
    let wait = Wait::new(&fs, Duration::ZERO);
    let _opening = wait.lock(OPENING, LockKind::Exclusive)?;
    let _alone = wait.lock(OPEN, LockKind::Exclusive)?;
    Ok(filepact_recovery::examine(&fs)?)
}

/// Is there a store, or may one be made?
fn look(fs: &dyn Fs, options: &Options) -> Result<(), Error> {
    if let Some(kind) = fs.facts()?.network
        && !options.allow_network
    {
        return Err(Error::Network { kind });
    }
    let format = |reason: &str| Err(Error::Format { reason: reason.to_owned() });
    match fs.stat(META)?.map(|stat| stat.kind) {
        Some(Kind::Dir) => {}
        Some(Kind::File) => {
            return format(
                ".filepact is a file, which is reserved for a pointer to a store elsewhere",
            );
        }
        Some(_) => return format(".filepact is not a folder"),
        None if options.create => {}
        None => return Err(Error::NoStore { root: Default::default() }),
    }
    // A making that a crash cut short is taken up again; of a whole store nothing is missing.
    Ok(ensure_layout(fs)?)
}

/// Waiting for locks, all in one time limit.
struct Wait<'a> {
    fs: &'a dyn Fs,
    began: Instant,
    patience: Duration,
}

impl<'a> Wait<'a> {
    fn new(fs: &'a dyn Fs, patience: Duration) -> Self {
        Self { fs, began: Instant::now(), patience }
    }

    fn lock(&self, path: &str, kind: LockKind) -> Result<Box<dyn Lock>, Error> {
        let left = self.patience.saturating_sub(self.began.elapsed());
        self.fs.lock(path, kind, left)?.ok_or_else(|| {
            // The holder is for a person to look at; who cannot read it waited all the same.
            let state = StateFile::open(self.fs).ok().flatten();
            let reading = state.and_then(|file| file.read().ok().flatten());
            let holder = reading.and_then(|reading| reading.state.holder);
            Error::Locked { waited: self.began.elapsed(), holder }
        })
    }
}
