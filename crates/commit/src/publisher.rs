//! C8 for one document: its spare or a new file, the swap, and what becomes of what was displaced.

use std::sync::{Mutex, MutexGuard, PoisonError};

use filepact_fs::{Attrs, Fs, FsError, Rename};

use crate::publish::{Displaced, Settled, Swap};
use crate::spares::{Refill, Refilled, Spare, Spares, Taken, are_kept, is_open};
use crate::stage::stage_bytes;
use crate::{Dress, Rescued, StageNames, Staged, Stamped, View, rescue, spare_name_path};

/// What publishing works with. Several threads may, each at documents of its own.
pub(crate) struct Publisher<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) view: &'a View,
    names: &'a StageNames,
    /// For a moment at a time.
    spares: Mutex<&'a mut Spares>,
}

/// A version that was displaced.
#[derive(Clone, Copy)]
pub(crate) struct Gone<'a> {
    /// Where it lies.
    pub(crate) at: &'a str,
    /// What took its place.
    pub(crate) by: Option<&'a Staged>,
    /// It may become a spare.
    pub(crate) recycles: bool,
    /// The attributes that the document had when it was validated, if they are known.
    pub(crate) attrs: Option<&'a Attrs>,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(
        fs: &'a dyn Fs,
        view: &'a View,
        spares: &'a mut Spares,
        names: &'a StageNames,
    ) -> Self {
        Self { fs, view, names, spares: Mutex::new(spares) }
    }

    fn spares(&self) -> MutexGuard<'_, &'a mut Spares> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a body into the spare of its document, or into a new file.
    pub(crate) fn refill(&self, path: &str, txn: u64, refill: Refill) -> Result<Refilled, FsError> {
        let fs = self.fs;
        let mut rescued = None;
        let spare = self.spares().forget(path);
        if let Some(spare) = spare {
            let of_no_use = match spare.take(fs)? {
                Taken::Leased(file) => {
                    let staged = spare.overwrite(&*file, &refill)?;
                    return Ok(Refilled::of(refill, staged, Some(file), rescued));
                }
                Taken::Open => self.spares().keep_in_mind(path, spare),
                Taken::Edited => {
                    rescued = Some(rescue(fs, &spare.at, path, txn)?);
                    None
                }
                Taken::Useless => Some(spare),
            };
            of_no_use.map_or(Ok(()), |spare| spare.unlink(fs))?;
        }
        let Refill { bytes, attrs, time, dir, at } = &refill;
        let dress = Dress { attrs: Some(attrs), mode: None, ids: None, time: *time };
        let staged = stage_bytes(fs, dir, bytes, dress, at.clone())?;
        Ok(Refilled::of(refill, staged, None, rescued))
    }

    /// Makes the body the document; `tell` hears of each outside edit that it displaces.
    pub(crate) fn swap(
        &self,
        swap: Swap<'_>,
        Refilled { staged, attrs: copied, leased, rescued }: Refilled,
        recycles: bool,
        tell: &mut dyn FnMut(Rescued),
    ) -> Result<(), FsError> {
        let (fs, view) = (self.fs, self.view);
        rescued.into_iter().for_each(&mut *tell);
        let displaced = swap.run(fs, &staged)?;
        let mut published = None;
        match leased {
            Some(file) => {
                // Under the lease nobody can have written it; its attributes anybody can have set.
                let taken = fs.now();
                let stat = file.stat()?;
                let stamped = Stamped { stamp: stat.stamp, taken };
                let attrs = file.attrs_beside(&stat)?;
                // Whoever wants to read it may, from here on.
                drop(file);
                if stamped.stamp.same_body(&staged.stamp) {
                    view.stamp(swap.path, stamped);
                    published = Some((stamped, attrs));
                }
            }
            None => note_stamp(fs, view, swap.path, &staged)?,
        }
        let gone = Gone { at: &staged.at, by: Some(&staged), recycles, attrs: copied.as_ref() };
        self.settle(swap, displaced, gone, tell)?;
        if let Some((stamped, attrs)) = published {
            self.spares().note(swap.path, stamped, attrs);
        }
        Ok(())
    }

    /// What was displaced is kept, dropped or rescued.
    pub(crate) fn settle(
        &self,
        swap: Swap<'_>,
        displaced: Displaced,
        gone: Gone<'_>,
        tell: &mut dyn FnMut(Rescued),
    ) -> Result<(), FsError> {
        let Gone { at, by, recycles, attrs } = gone;
        match displaced.look(self.fs, at, swap, by)? {
            Settled::Ours(stat) => {
                // Another inode may hold the same, and has nothing else of the document that was validated.
                let is_it = swap.was.is_some_and(|was| was.ino == stat.stamp.ino);
                let (recycles, attrs) = (recycles && is_it, attrs.filter(|_| is_it).cloned());
                let gone = Spare { at: at.to_owned(), stat, attrs };
                self.keep((swap.path, swap.txn), gone, recycles)?.into_iter().for_each(tell);
            }
            Settled::Rescued(edit) => tell(edit),
            Settled::Gone => {}
        }
        Ok(())
    }

    /// Keeps what was displaced to `at`, which is ours, for the next time, if it may become a spare; else
    /// drops it, unless somebody has it open, who may yet save it.
    fn keep(
        &self,
        (path, txn): (&str, u64),
        Spare { at, stat, attrs }: Spare,
        recycles: bool,
    ) -> Result<Option<Rescued>, FsError> {
        let fs = self.fs;
        let recycles = recycles && self.spares().may_keep(path, &stat);
        if !recycles {
            let asks = self.spares().may_keep_in_mind(&stat);
            if !asks || !is_open(fs, &at) {
                return fs.unlink(&at).map(|()| None);
            }
        }
        // Under a name that belongs to no record, at which nobody looks for what a swap has left.
        let (at, stat) = match spare_name_path(&at) {
            Some(_) => (at, stat),
            None => {
                let name = self.names.spare(path);
                fs.rename(&at, &name, Rename::Replace)?;
                // The rename has moved its ctime.
                let Some(now) = fs.stat(&name)? else { return Ok(None) };
                if !now.stamp.same_body(&stat.stamp) {
                    // Saved since the look that has found it to be ours.
                    return rescue(fs, &name, path, txn).map(Some);
                }
                (name, now)
            }
        };
        let attrs = attrs.filter(|attrs| are_kept(attrs, &stat));
        let spare = Spare { at, stat, attrs };
        if recycles {
            self.spares().keep(path, spare);
            return Ok(None);
        }
        let one_too_many = self.spares().keep_in_mind(path, spare);
        one_too_many.map_or(Ok(None), |spare| spare.unlink(fs).map(|()| None))
    }
}

/// Remembers how the document looks, to know an outside edit by. An edit that came between the swap
/// and this look differs from what was staged, and is not taken for ours.
pub(crate) fn note_stamp(
    fs: &dyn Fs,
    view: &View,
    path: &str,
    staged: &Staged,
) -> Result<(), FsError> {
    let taken = fs.now();
    if let Some(stat) = fs.stat(path)?
        && stat.stamp.same_body(&staged.stamp)
    {
        view.stamp(path, Stamped { stamp: stat.stamp, taken });
    }
    Ok(())
}
