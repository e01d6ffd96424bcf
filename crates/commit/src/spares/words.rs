//! Whose is a spare that nobody remembers?

use std::collections::HashMap;

use filepact_fs::{Access, Fs, FsError, Kind};
use filepact_journal::{Hash, Scan, Words};

use crate::versions::{is_cut_short, is_version, is_whole_version};
use crate::{Rescued, hash_file, rescue, spare_name_path, stage_body_path as in_stage};

/// How often to look at a spare that its owner has for himself.
const PATIENCE: usize = 16;

/// What the journal says since the last checkpoint, by the names of spares: all versions that any of
/// them has held are there.
#[derive(Debug)]
pub struct SpareWords {
    words: Words,
    /// The path of each document by its hash.
    paths: HashMap<String, String>,
    /// Words behind this one may have been on their way into a spare when somebody died.
    published: u64,
}

impl SpareWords {
    /// What the groups of the journal say, of which all up to *published* are at their paths.
    pub fn of(scan: &Scan, published: u64) -> Self {
        let mut words = Words::default();
        for group in scan.groups.iter().filter(|group| group.last > scan.checkpoint) {
            words.apply(group);
        }
        words.clear_upto(scan.checkpoint);
        let hash = |path: &str| Hash::of(path.as_bytes()).to_string();
        let paths = words.iter().map(|(path, _)| (hash(path), path.to_owned())).collect();
        Self { words, paths, published }
    }

    /// Drops a spare, if it is ours, else rescues it: somebody has saved it late, or an exchange that
    /// nobody has settled has displaced an edit to it.
    ///
    /// `torn`: a power cut may have made it of several versions.
    pub fn settle(&self, fs: &dyn Fs, name: &str, torn: bool) -> Result<Option<Rescued>, FsError> {
        let mut tries = 0;
        loop {
            match self.try_settle(fs, name, torn) {
                // Whose it is, or who else sweeps, has let it go just now.
                Err(error) if error.is_not_found() => return Ok(None),
                // Whose it is looks at it just now, and lets it go, or has been stopped there.
                Err(error) if error.is_leased() && tries < PATIENCE => tries += 1,
                Err(error) if error.is_leased() => return Ok(None),
                settled => return settled,
            }
        }
    }

    fn try_settle(&self, fs: &dyn Fs, name: &str, torn: bool) -> Result<Option<Rescued>, FsError> {
        let at = in_stage(name);
        let Some(stat) = fs.stat(&at)? else { return Ok(None) };
        let path = spare_name_path(name).and_then(|hash| self.paths.get(hash));
        let word = path.and_then(|path| self.words.get(path));
        let is_ours = match word.filter(|_| stat.kind == Kind::File) {
            Some(word) => {
                let found = (&stat, hash_at(fs, &at)?);
                let is_version = match torn {
                    true => is_version(fs, &at, found, word)?,
                    false => is_whole_version(found, word),
                };
                is_version || word.seq > self.published && is_cut_short(fs, &at, &stat, word)?
            }
            None => false,
        };
        if is_ours {
            return fs.unlink(&at).map(|()| None);
        }
        let path = path.map_or(name, String::as_str);
        rescue(fs, &at, path, word.map_or(0, |word| word.txn)).map(Some)
    }
}

fn hash_at(fs: &dyn Fs, at: &str) -> Result<Hash, FsError> {
    hash_file(&*fs.open(at, Access::Read)?)
}
