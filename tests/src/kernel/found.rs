//! What is on the disk, read as any program would read it.
#![allow(clippy::disallowed_methods, reason = "reads as any program would")]

use std::fs;
use std::path::Path;

use super::plan::Tree;
use crate::processes::Outcome;

/// Every document in a store, and everything else that stands where a document could.
pub(super) fn documents(folder: &Path) -> Outcome<Tree> {
    let mut tree = Tree::new();
    walk(folder, folder, &mut tree)?;
    Ok(tree)
}

fn walk(root: &Path, folder: &Path, tree: &mut Tree) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(root)?.to_str().ok_or("a name that is not UTF-8")?.to_owned();
        if name == ".filepact" {
            continue;
        }
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            walk(root, &path, tree)?;
        } else if metadata.is_file() {
            tree.insert(
                name,
                fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?,
            );
        } else {
            return Err(format!("`{name}` is no file").into());
        }
    }
    Ok(())
}

/// The names in `stage/`.
pub(super) fn staged(folder: &Path) -> Outcome<Vec<String>> {
    fs::read_dir(folder.join(".filepact/stage"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
