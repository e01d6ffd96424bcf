//! All documents below a directory, as they stand.

use filepact_fs::{DocPath, Fs, FsError, Kind};

use crate::META;

/// The documents below a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sorted.
    pub documents: Vec<DocPath>,
    /// Files whose names are not UTF-8, or are too long for a document; shown, not reached.
    pub skipped: Vec<String>,
}

/// Lists the documents below `dir` (`""` is the store), recursively.
///
/// Links, devices, `.filepact` and nested stores are left out. A directory that is not there has
/// no documents.
pub fn list(fs: &dyn Fs, dir: &str) -> Result<Listing, FsError> {
    let mut listing = Listing::default();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = match fs.list(&dir) {
            Err(error) if error.is_not_found() || error.is_link() => continue,
            entries => entries?,
        };
        let nested = !dir.is_empty() && entries.iter().any(|entry| entry.name == META);
        if nested {
            continue;
        }
        for entry in entries {
            let shown = entry.name.to_string_lossy();
            let path = if dir.is_empty() { shown.into_owned() } else { format!("{dir}/{shown}") };
            let valid = entry.name.to_str().and_then(|_| DocPath::new(&path).ok());
            match (entry.kind, valid) {
                (Kind::Dir, Some(_)) => pending.push(path),
                (Kind::File, Some(document)) => listing.documents.push(document),
                (Kind::File | Kind::Dir, None) if path != META => listing.skipped.push(path),
                _ => {}
            }
        }
    }
    listing.documents.sort();
    listing.skipped.sort();
    Ok(listing)
}
