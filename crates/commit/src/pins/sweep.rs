//! What no pin needs goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use filepact_fs::{Fs, FsError, LockKind};

use super::{Kept, held, is_denied, name_path, names, unlink_if_there};
use crate::KEPT;

/// Removes pins whose owners are gone, and images that no pin needs.
///
/// Anybody may do it at any time, beside commits and others who sweep, so that nobody waits. Entries
/// are listed **first, then** pins: an entry is made when its transaction is committed, so that who
/// needs one of these has a pin by now; and who pins from here on reads later than all of them.
pub fn sweep_kept(fs: &dyn Fs) -> Result<(), FsError> {
    let Kept { mut entries, .. } = Kept::list(fs)?;
    let pins = held(fs)?;
    entries.sort_by(|a, b| (&a.path, a.txn).cmp(&(&b.path, b.txn)));
    // What a pin reads is the lowest entry above it.
    let mut below = BTreeMap::new();
    for entry in entries {
        let lower = below.insert(entry.path.clone(), entry.txn);
        // One that does not say what it reads may read any moment.
        let needed = |pin: &Option<u64>| {
            pin.is_none_or(|pin| pin < entry.txn && lower.is_none_or(|lower| lower <= pin))
        };
        if !pins.iter().any(needed) {
            unlink_if_there(fs, &format!("{KEPT}/{}", entry.name))?;
        }
    }
    Ok(())
}

/// As [`sweep_kept`], by who has the writer lock: the paths of which nothing is kept any more go as
/// well. Beside a publisher the image may be on its way.
pub fn sweep_all_kept(fs: &dyn Fs) -> Result<(), FsError> {
    sweep_kept(fs)?;
    let Kept { entries, named } = Kept::list(fs)?;
    let kept: BTreeSet<_> = entries.into_iter().map(|entry| entry.path).collect();
    named.difference(&kept).try_for_each(|path| unlink_if_there(fs, &name_path(path)))
}

/// As [`sweep_all_kept`], by who has the store alone: another user's pin, of which nobody else can tell
/// whether it is held, is not.
pub fn sweep_kept_alone(fs: &dyn Fs) -> Result<(), FsError> {
    for at in names(fs)? {
        let lock = fs.lock(&at, LockKind::Exclusive, Duration::ZERO);
        if lock.is_err_and(|error| is_denied(&error)) {
            unlink_if_there(fs, &at)?;
        }
    }
    sweep_all_kept(fs)
}
