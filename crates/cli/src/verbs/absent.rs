//! Why there is no document at a path.
#![allow(clippy::disallowed_methods, reason = "looks at names for a message, changes nothing")]

use std::path::Path;

use filepact::Error;

use crate::failure::Failure;

/// The answer to whoever asked for a document that is not there, by what stands there instead.
pub(super) fn absent(root: &Path, path: &str) -> Failure {
    let mut failure = Failure::from(Error::NotFound { path: path.to_owned() });
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        let part = &path[..end];
        let Ok(found) = root.join(part).symlink_metadata() else { break };
        if found.is_symlink() {
            failure.message = format!(
                "`{path}` is no document: `{part}` is a symbolic link, and none is followed"
            );
            break;
        }
        if end == path.len() && found.is_dir() {
            failure.message = format!("`{path}` is no document: it is a directory");
        }
    }
    failure
}
