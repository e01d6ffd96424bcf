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
    let (opening, open) = lock(&*fs, options.lock_timeout)?;
    let opened = filepact_recovery::open(fs.clone(), options.create, options.inline_max)?;
    // From here on others may look: whoever holds `open` has recovered.
    drop(opening);
    let limits = Limits { inline_max: options.inline_max, journal_max: options.journal_max };
    let writer = Writer::new(opened.parts, limits)?;
    Ok(Shared::new(writer, open, opened.report, options))
}

/// What an opening of the store would find and do. Changes nothing.
pub(crate) fn examine(fs: Arc<dyn Fs>, options: Options) -> Result<Report, Error> {
    let fs = Latched::new(fs);
    look(&fs, &options.create(false))?;
    let (_opening, _open) = lock(&fs, Duration::ZERO)?;
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

/// `opening` and `open`.
type Locks = (Box<dyn Lock>, Box<dyn Lock>);

/// One opener at a time, and then the store itself, for the life of the handle.
fn lock(fs: &dyn Fs, patience: Duration) -> Result<Locks, Error> {
    let began = Instant::now();
    let locked = || {
        // The holder is for a person to look at; who cannot read it waited all the same.
        let state = StateFile::open(fs).ok().flatten().and_then(|file| file.read().ok().flatten());
        let holder = state.and_then(|reading| reading.state.holder);
        Error::Locked { waited: began.elapsed(), holder }
    };
    let opening = fs.lock(OPENING, LockKind::Exclusive, patience)?.ok_or_else(locked)?;
    let left = patience.saturating_sub(began.elapsed());
    let open = fs.lock(OPEN, LockKind::Exclusive, left)?.ok_or_else(locked)?;
    Ok((opening, open))
}
