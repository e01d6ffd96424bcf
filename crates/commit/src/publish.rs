//! C8: swap staged files with their documents.
//!
//! The swap is an exchange, or a rename that replaces nothing, so that a plain reader finds the
//! whole old document or the whole new one, always. What it displaced lies in `stage/` afterwards
//! and is [settled](settle): dropped if it is what the record says it replaces, else rescued. Both
//! halves can be repeated: recovery and a second try use the same two functions.

use filepact_fs::{Access, Fs, FsError, Kind, Rename, Stat, Time};
use filepact_journal::{Base, Hash, Was, Word};

use crate::outside::make_parents;
use crate::stage::owner;
use crate::{Live, Rescued, Staged, hash_file, is_plainly_was, look_past_links, rescue};

/// One document on its way, with what its record says.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    /// The document.
    pub path: &'a str,
    /// What validation saw there.
    pub was: Option<&'a Was>,
    /// The transaction.
    pub txn: u64,
    /// The time of its commit.
    pub time: Time,
    /// Validation has found there what a put has published, by its stamp.
    pub replaces_ours: bool,
    /// Mode and owner are its own: those of what it displaces do not matter.
    pub own: bool,
}

/// Whether a swap left something in `stage/`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Displaced {
    /// What stood at the path now lies where the staged file was: [`settle`] it.
    Yes,
    /// Nothing stood there, or nothing is left of it to settle.
    No,
    /// Somebody's edit stood there, and was rescued before the swap.
    Rescued(Rescued),
}

/// What a swap has displaced, looked at.
#[derive(Debug)]
#[must_use]
pub(crate) enum Settled {
    /// The version that the record says it replaces: it still lies there.
    Ours(Stat),
    /// An edit, which is rescued.
    Rescued(Rescued),
    /// Nothing is left of it.
    Gone,
}

impl Displaced {
    /// As [`settle`](Self::settle), but leaves what is ours where it lies.
    pub(crate) fn look(
        self,
        fs: &dyn Fs,
        at: &str,
        swap: Swap<'_>,
        staged: Option<&Staged>,
    ) -> Result<Settled, FsError> {
        match self {
            Self::Yes => look_at(fs, at, swap, staged),
            Self::No => Ok(Settled::Gone),
            Self::Rescued(rescued) => Ok(Settled::Rescued(rescued)),
        }
    }

    /// [Settles](settle) what lies at `at`; returns the edit that is rescued, now or before.
    pub(crate) fn settle(
        self,
        fs: &dyn Fs,
        at: &str,
        swap: Swap<'_>,
        staged: Option<&Staged>,
    ) -> Result<Option<Rescued>, FsError> {
        match self {
            Self::Yes => settle(fs, at, swap, staged),
            Self::No => Ok(None),
            Self::Rescued(rescued) => Ok(Some(rescued)),
        }
    }
}

impl<'a> Swap<'a> {
    /// That of a word with a body, or of a removal.
    pub fn of(path: &'a str, word: &'a Word, base: &'a Base) -> Self {
        let (was, own) = (base.change.was(), base.change.is_own());
        Self { path, was, txn: word.txn, time: base.time, replaces_ours: false, own }
    }

    /// Whether this is what it replaces, still with the time that a commit gave it: whoever writes gives a file
    /// another one, before the first byte.
    fn finds_ours(&self, stat: &Stat) -> bool {
        let stamp = &stat.stamp;
        self.replaces_ours
            && stamp.exact
            && stat.kind == Kind::File
            && self.was.is_some_and(|was| {
                (was.ino, was.size, was.mtime) == (stamp.ino, stamp.size, stamp.mtime)
            })
    }

    /// Puts the staged file at the path, making missing directories.
    pub fn run(&self, fs: &dyn Fs, staged: &Staged) -> Result<Displaced, FsError> {
        // Which of the two is right can change under us as long as others touch the path.
        let mut exchange = self.was.is_some();
        let mut tries = 0;
        loop {
            let outcome = if exchange {
                self.exchange(fs, &staged.at)
            } else {
                self.place(fs, &staged.at).map(|()| Displaced::No)
            };
            tries += 1;
            match outcome {
                Err(error) if tries < 16 && exchange && error.is_not_found() => exchange = false,
                Err(error) if tries < 16 && !exchange && error.is_exists() => exchange = true,
                Err(error) if tries < 16 && !exchange && error.is_not_found() => {
                    // New directories: what makes them durable is the checkpoint, which syncs all
                    // ancestors, or recovery, which makes them again.
                    let made = make_parents(fs, self.path, 0o777)?;
                    if !made && fs.stat(&staged.at)?.is_none() {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn exchange(&self, fs: &dyn Fs, at: &str) -> Result<Displaced, FsError> {
        match fs.rename(at, self.path, Rename::Exchange) {
            Err(error) if error.is_unsupported() => self.replace(fs, at),
            outcome => outcome.map(|()| Displaced::Yes),
        }
    }

    /// Where there is no exchange: what is not ours is rescued first, then a plain rename. An
    /// outside edit between the look and the rename is lost; the documentation says so.
    fn replace(&self, fs: &dyn Fs, at: &str) -> Result<Displaced, FsError> {
        let mut displaced = Displaced::No;
        if let Some(stat) = fs.stat(self.path)?
            && !is_plainly_was(fs, self.path, &stat, self.was, self.time)?
        {
            displaced = Displaced::Rescued(rescue(fs, self.path, self.path, self.txn)?);
        }
        fs.rename(at, self.path, Rename::Replace)?;
        Ok(displaced)
    }

    /// A new document never replaces.
    fn place(&self, fs: &dyn Fs, at: &str) -> Result<(), FsError> {
        match fs.rename(at, self.path, Rename::NoReplace) {
            Err(error) if error.is_unsupported() => {
                fs.open(at, Access::Read)?.link(self.path)?;
                fs.unlink(at)
            }
            outcome => outcome,
        }
    }
}

/// Drops or rescues what a swap or a removal displaced to `at`.
///
/// `staged` is what took its place: if somebody changed mode or owner of the document after they
/// were copied, the document gets them now.
pub fn settle(
    fs: &dyn Fs,
    at: &str,
    swap: Swap<'_>,
    staged: Option<&Staged>,
) -> Result<Option<Rescued>, FsError> {
    match look_at(fs, at, swap, staged)? {
        Settled::Ours(_) => fs.unlink(at).map(|()| None),
        Settled::Rescued(rescued) => Ok(Some(rescued)),
        Settled::Gone => Ok(None),
    }
}

/// As [`settle`], but leaves what is ours where it lies.
fn look_at(
    fs: &dyn Fs,
    at: &str,
    swap: Swap<'_>,
    staged: Option<&Staged>,
) -> Result<Settled, FsError> {
    let Some(stat) = fs.stat(at)? else { return Ok(Settled::Gone) };
    if !swap.finds_ours(&stat) && !is_plainly_was(fs, at, &stat, swap.was, swap.time)? {
        return rescue(fs, at, swap.path, swap.txn).map(Settled::Rescued);
    }
    if let Some(staged) = staged
        && !swap.own
        && owner(&stat) != staged.owner
    {
        let attrs = fs.open(at, Access::Read)?.attrs()?;
        fs.open(swap.path, Access::Read)?.set_attrs(&attrs)?;
    }
    Ok(Settled::Ours(stat))
}

/// Drops or rescues what a swap that was cut short has left at `at`, where nobody knows any more how
/// far it had come: perhaps the staged file, whose content is `own`.
///
/// `is_ours` may know more that is ours, by its hash.
pub fn settle_leftover(
    fs: &dyn Fs,
    at: &str,
    swap: Swap<'_>,
    own: Option<Hash>,
    is_ours: impl FnOnce(&Stat, Hash) -> Result<bool, FsError>,
) -> Result<Option<Rescued>, FsError> {
    let Some(stat) = fs.stat(at)? else { return Ok(None) };
    let found = match stat.kind {
        Kind::File => Some(hash_file(&*fs.open(at, Access::Read)?)?),
        _ => None,
    };
    let ours = match found {
        Some(found) if own == Some(found) => true,
        _ if is_plainly_was(fs, at, &stat, swap.was, swap.time)? => true,
        Some(found) => is_document_as_well(fs, swap.path, &stat, found)? || is_ours(&stat, found)?,
        None => false,
    };
    if !ours {
        return rescue(fs, at, swap.path, swap.txn).map(Some);
    }
    fs.unlink(at)?;
    Ok(None)
}

/// Whether what lies in `stage/` can go without a loss: a further name of the document, which a swap
/// without a rename leaves between its two halves, so that in `rescued/` it would change with the
/// document; or a file of the same content.
fn is_document_as_well(fs: &dyn Fs, path: &str, stat: &Stat, found: Hash) -> Result<bool, FsError> {
    let Live::Document { stat: document, hash, .. } = look_past_links(fs, path)? else {
        return Ok(false);
    };
    let is_same_file = (document.stamp.dev, document.stamp.ino) == (stat.stamp.dev, stat.stamp.ino);
    Ok(is_same_file || hash == found)
}

/// Takes the document from its path to `at`; [`settle`] what lies there then.
pub fn remove_document(fs: &dyn Fs, path: &str, at: &str) -> Result<Displaced, FsError> {
    match fs.stat(path)? {
        // A directory is no document: somebody else's, and not ours to take away.
        None => return Ok(Displaced::No),
        Some(stat) if stat.kind == Kind::Dir => return Ok(Displaced::No),
        Some(_) => {}
    }
    let renamed = match fs.rename(path, at, Rename::NoReplace) {
        Err(error) if error.is_unsupported() => fs.rename(path, at, Rename::Replace),
        outcome => outcome,
    };
    match renamed {
        Err(error) if error.is_not_found() => Ok(Displaced::No),
        outcome => outcome.map(|()| Displaced::Yes),
    }
}
