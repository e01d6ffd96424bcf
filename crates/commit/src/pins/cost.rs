//! What pins cost, for people.

use std::collections::{BTreeMap, HashMap};

use filepact_fs::{Fs, FsError, Time};

use super::{Kept, Look, look_at, names};
use crate::KEPT;

/// An older moment that somebody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPin {
    /// Everything up to this record is seen there, often that of a checkpoint and not always that of a
    /// transaction; `None` while it is being made.
    pub txn: Option<u64>,
    /// When it was made.
    pub since: Time,
    /// The process that holds it, as far as its name says.
    pub process: Option<u32>,
    /// Bytes of documents that are there for it, and perhaps for others; what is also at the path of a
    /// document costs nothing.
    pub bytes: u64,
}

/// The pins that somebody holds, oldest first. Changes nothing.
pub fn held_pins(fs: &dyn Fs) -> Result<Vec<HeldPin>, FsError> {
    let mut pins = Vec::new();
    for at in names(fs)? {
        if let Look::Held { says, since } = look_at(fs, &at)? {
            let name = at.rsplit('/').next().unwrap_or_default();
            let process = name.split_once('-').and_then(|(pid, _)| pid.parse().ok());
            pins.push(HeldPin { txn: says, since, process, bytes: 0 });
        }
    }
    pins.sort_by_key(|pin| (pin.since, pin.txn));
    if pins.is_empty() {
        return Ok(pins);
    }
    let mut kept = Kept::list(fs)?.entries;
    kept.sort_by(|a, b| (&a.path, a.txn).cmp(&(&b.path, b.txn)));
    // Sizes of what has names in `kept/` alone.
    let mut names = HashMap::new();
    let mut stats = BTreeMap::new();
    for entry in &kept {
        // Swept since it was listed.
        let Some(stat) = fs.stat(&format!("{KEPT}/{}", entry.name))? else { continue };
        *names.entry(stat.stamp.ino).or_insert(0) += 1;
        stats.insert(&entry.name, stat);
    }
    for pin in &mut pins {
        let mut last = None;
        for entry in kept.iter().filter(|entry| pin.txn.is_none_or(|txn| txn < entry.txn)) {
            // The lowest of each path, or all of them.
            if pin.txn.is_some() && last.replace(&entry.path) == Some(&entry.path) {
                continue;
            }
            let stat = stats.get(&entry.name).filter(|stat| names[&stat.stamp.ino] >= stat.nlink);
            pin.bytes += stat.map_or(0, |stat| stat.stamp.size);
        }
    }
    Ok(pins)
}
