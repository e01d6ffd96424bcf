//! What all have in common that keep documents as plain files.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::Reader;
use crate::Outcome;

/// Reads files one after the other: of no particular moment.
pub(super) fn read(root: &Path, paths: &[String], each: Reader<'_>) -> Outcome {
    paths.iter().try_for_each(|path| each(&fs::read(root.join(path))?))
}

/// Directories that are known to be there, durably.
#[derive(Debug, Default)]
pub(super) struct Folders(HashSet<PathBuf>);

impl Folders {
    /// Makes the directory of a file, with all above it, where they are not known to be there.
    pub(super) fn make(&mut self, file: &Path) -> Outcome {
        let Some(folder) = file.parent() else { return Ok(()) };
        if self.0.contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        for above in folder.ancestors().take(3) {
            File::open(above)?.sync_all()?;
        }
        self.0.insert(folder.to_owned());
        Ok(())
    }
}
