//! A new folder somewhere else, which gets its name once it is whole.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::At;
use crate::{Fs, OsFs, Rename, Result};

/// A folder in the making, under a name that begins with a dot, beside the one that it will have. Dropping
/// it removes it, with all that is in it.
#[derive(Debug)]
pub struct NewFolder {
    dir: TempDir,
    parent: PathBuf,
    name: String,
}

impl NewFolder {
    /// Begins the folder that will be at `path`, where there must be nothing.
    ///
    /// # Errors
    /// There is something; the folder that it would lie in is absent, or not ours to write.
    pub fn at(path: &Path) -> Result<Self> {
        let shown = path.to_string_lossy();
        let taken = || io::Error::from(io::ErrorKind::AlreadyExists);
        let name = path.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or(io::ErrorKind::InvalidInput).at("make the folder", &shown)?.to_owned();
        match std::fs::symlink_metadata(path) {
            Ok(_) => return Err(taken()).at("make the folder", &shown),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("make the folder", &shown),
        }
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let dir = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            // Less the umask, as for any new folder.
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(&parent)
            .at("make the folder", &shown)?;
        Ok(Self { dir, parent, name })
    }

    /// Where it is in the meantime.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it lies in the root of this file system, or below it.
    pub fn is_beneath(&self, fs: &dyn Fs) -> Result<bool> {
        let Some(root) = fs.stat("")? else { return Ok(false) };
        let shown = self.parent.to_string_lossy();
        let whole = self.parent.canonicalize().at("look at", &shown)?;
        for dir in whole.ancestors() {
            let found = std::fs::metadata(dir).at("look at", &shown)?;
            if (found.dev(), found.ino()) == (root.stamp.dev, root.stamp.ino) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives it its name. What is in it has to be durable before.
    ///
    /// After `Ok` the name is durable; after an error it is there or not.
    pub fn finish(self) -> Result<()> {
        let Self { dir, parent, name } = self;
        let parent = OsFs::open(&parent)?;
        let from = dir.path().file_name().and_then(|name| name.to_str());
        let from = from.ok_or(io::ErrorKind::InvalidInput).at("rename", &name)?;
        match parent.rename(from, &name, Rename::NoReplace) {
            // Another directory is replaced only if it is empty.
            Err(error) if error.is_unsupported() => parent.rename(from, &name, Rename::Replace)?,
            renamed => renamed?,
        }
        drop(dir.keep());
        parent.sync_dir("")
    }
}
