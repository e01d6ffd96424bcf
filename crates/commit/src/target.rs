//! C4: can every change be published, and what does it replace?

use std::collections::HashMap;

use filepact_fs::{Access, Attrs, DocPath, FsError, Kind, Stamp, Stat, parent_of};
use filepact_journal::{Hash, Was};

use crate::validate::{Validation, by_content, changed_lately};
use crate::{Attributes, Change, CommitError, Holds, Known, Live, Refusal, Seen, Stamped};

/// A change that can be published.
#[derive(Debug)]
pub(crate) struct Target {
    /// Whether there is a document. What is added to one that is not there makes it, also where filepact
    /// knows a version that another program has removed.
    pub(crate) exists: bool,
    /// Whether the document is as a put has published it.
    pub(crate) is_ours: bool,
    /// And its body is in the journal: then its inode may become its spare.
    pub(crate) recycles: bool,
    /// What the change knowingly replaces: the version that the transaction read, or that filepact
    /// knows, or, where neither does, what is there.
    pub(crate) was: Option<Was>,
    /// The attributes that the body gets: its own; the document's; or of a new one those of the
    /// document that it was before its rename. `None` if there are none of these.
    pub(crate) attrs: Option<Attrs>,
    /// The document's directory, or the nearest one above it that exists.
    pub(crate) dir: String,
}

impl Validation<'_> {
    /// Parent, type, permission and mount of a change.
    pub(crate) fn target(
        &self,
        path: &DocPath,
        change: &Change,
        seen: Option<&Seen>,
        directories: &mut HashMap<String, Directory>,
    ) -> Result<Target, CommitError> {
        let refuse = |refusal| CommitError::Refused { path: path.to_string(), refusal };
        let stat = self.stat(path)?;
        if let Some(stat) = &stat {
            match stat.kind {
                Kind::File => {}
                Kind::Dir => return Err(refuse(Refusal::Directory)),
                Kind::Link => return Err(refuse(Refusal::Link)),
                Kind::Other => return Err(refuse(Refusal::NotAFile)),
            }
            if stat.mount != self.mount {
                return Err(refuse(Refusal::OtherMount));
            }
            if stat.frozen {
                return Err(refuse(Refusal::Frozen));
            }
        }
        let dir = self.directory(path, directories).map_err(|wrong| match wrong {
            Wrong::Refused(refusal) => refuse(refusal),
            Wrong::Io(error) => error.into(),
        })?;
        let mut exists = stat.is_some();
        let ours = stat.and_then(|stat| self.last_put(path, &stat));
        let (was, attrs) = match (change, stat) {
            (Change::Append { .. }, Some(stat)) => match self.added_to(path, seen, &stat) {
                // Removed since.
                Err(CommitError::Io(error)) if error.is_not_found() => {
                    exists = false;
                    (self.replaced(path, seen, None)?, None)
                }
                was => (Some(was?), None),
            },
            (Change::Put { attributes: Attributes::Own(own), .. }, stat) => {
                (self.replaced(path, seen, stat.as_ref())?, Some(own.clone()))
            }
            (Change::Put { attributes: Attributes::Like(like), .. }, None) => {
                (self.replaced(path, seen, None)?, self.attrs(like)?)
            }
            (_, None) => (self.replaced(path, seen, None)?, None),
            (_, Some(stat)) => {
                let known = self.spares.attrs(path, &stat).cloned();
                let attrs = match known {
                    Some(attrs) => Some(attrs),
                    None => self.attrs(path)?,
                };
                (self.replaced(path, seen, Some(&stat))?, attrs)
            }
        };
        let ours = ours.filter(|_| exists);
        let (is_ours, recycles) = (ours.is_some(), ours > Some(self.recycles_above));
        Ok(Target { exists, is_ours, recycles, was, attrs, dir })
    }

    /// The version that an append adds to, whoever made it.
    ///
    /// Its hash lets recovery tell a torn version from somebody's edit; a large document is not read
    /// for that.
    fn added_to(
        &self,
        path: &DocPath,
        seen: Option<&Seen>,
        stat: &Stat,
    ) -> Result<Was, CommitError> {
        // It is added to in place, so that it has to be open to us.
        drop(self.fs.open(path, Access::Append)?);
        let known = self.view.known(path);
        let proves = |known: &Known| {
            known.stamp.is_some_and(|stamped| self.view.proves(path, &stamped, &stat.stamp))
        };
        let is_ours = |known: &Known| proves(known) || known.time == stat.stamp.mtime;
        if !known.as_ref().is_some_and(is_ours) {
            let holds = known.as_ref().filter(|known| !known.unread);
            let holds = holds.and_then(|known| known.content.as_ref());
            // Renamed, touched, or somebody else's: the content says whether it is ours.
            if let Some(holds) = holds.filter(|holds| holds.len() == stat.stamp.size)
                && let Some(hash) = self.recognised(path, holds)?
            {
                let put = known.as_ref().filter(|known| known.is_put).map(|known| known.seq);
                self.sync_put(path, stat, put)?;
                return Ok(was(&stat.stamp, Some(hash)));
            }
            if changed_lately(&stat.stamp, self.fs.now()) {
                // What is added to is in no record: without it the addition is not what was committed.
                self.sync_once(path, &stat.stamp)?;
            }
        }
        self.sync_put(path, stat, self.last_put(path, stat))?;
        // Size and hash are of one look: others may add to it between two, and of a version that never
        // was nobody finds that the append has added to it.
        if let Some(Seen::Document { hash, stamp: Some(Stamped { stamp, .. }) }) = seen {
            return Ok(was(stamp, Some(*hash)));
        }
        if let Some(holds) = known.filter(proves).and_then(|known| known.content) {
            return Ok(was(&stat.stamp, holds.hash()));
        }
        if stat.stamp.size <= self.inline_max as u64
            && let Live::Document { stat, hash, .. } = self.look(path)?
        {
            return Ok(was(&stat.stamp, Some(hash)));
        }
        Ok(was(&stat.stamp, None))
    }

    /// Before something is added to what the put of this seq has published, which may have gone into a spare
    /// that held an older version: what a power cut makes of the two is told apart as long as nothing is added.
    fn sync_put(&self, path: &DocPath, stat: &Stat, put: Option<u64>) -> Result<(), FsError> {
        let checkpoint = self.view.progress().checkpoint();
        match put.is_some_and(|put| put > checkpoint && put <= self.syncs_bodies_upto) {
            true => self.sync_body(path, &stat.stamp),
            false => Ok(()),
        }
    }

    /// The seq of the put that has published a document which looks like this.
    fn last_put(&self, path: &str, stat: &Stat) -> Option<u64> {
        let known = self.view.known(path).filter(|known| !known.unread && known.is_put)?;
        (known.time == stat.stamp.mtime).then_some(known.seq)
    }

    fn attrs(&self, path: &DocPath) -> Result<Option<Attrs>, FsError> {
        match self.fs.open(path, Access::Read) {
            // Removed since: what is published will be a new document.
            Err(error) if error.is_not_found() => Ok(None),
            file => file?.attrs().map(Some),
        }
    }

    /// The version that a change knowingly replaces.
    ///
    /// A version that the transaction neither read nor expected is known by the handle's stamp of
    /// it; where that differs somebody edited the document unseen, and `was` stays what filepact
    /// knows: so the edit, when it is displaced, is found not to be ours and is rescued.
    fn replaced(
        &self,
        path: &DocPath,
        seen: Option<&Seen>,
        stat: Option<&Stat>,
    ) -> Result<Option<Was>, CommitError> {
        if let Some(seen) = seen {
            return Ok(match (seen, stat) {
                // The stamp of that look, and not of a later one: an edit that came between the two is none.
                (Seen::Document { hash, stamp }, Some(stat)) => {
                    let stamp = stamp.map_or(stat.stamp, |seen| seen.stamp);
                    Some(was(&stamp, Some(*hash)))
                }
                _ => None,
            });
        }
        let Some(known) = self.view.known(path) else {
            let Some(stat) = stat else { return Ok(None) };
            let settled = stat.stamp.is_settled(self.fs.now());
            let hash = if settled { None } else { self.look(path)?.hash() };
            return Ok(Some(was(&stat.stamp, hash)));
        };
        let Some(holds) = known.content else { return Ok(None) };
        let Some(stat) = stat else { return Ok(Some(by_content(&holds))) };
        if known.unread {
            // Whatever is displaced is not this.
            return Ok(Some(Was { hash: None, ..by_content(&holds) }));
        }
        if known.stamp.is_some_and(|stamped| self.view.proves(path, &stamped, &stat.stamp)) {
            return Ok(Some(was(&stat.stamp, holds.hash())));
        }
        if let Some(hash) = self.recognised(path, &holds)? {
            return Ok(Some(was(&stat.stamp, Some(hash))));
        }
        // The content alone tells the known version: an edit can have kept its inode and put its
        // time back.
        Ok(Some(by_content(&holds)))
    }

    /// The hash of the document, if it holds what is known of it; then its stamp is known as well.
    fn recognised(&self, path: &DocPath, holds: &Holds) -> Result<Option<Hash>, CommitError> {
        let Live::Document { stat, taken, hash } = self.look(path)? else { return Ok(None) };
        if !self.is_same(path, holds, hash)? {
            return Ok(None);
        }
        self.view.recognise(path, hash, Stamped { stamp: stat.stamp, taken });
        Ok(Some(hash))
    }

    /// Whether the document, whose content has this hash, holds what is known of it.
    fn is_same(&self, path: &DocPath, holds: &Holds, hash: Hash) -> Result<bool, FsError> {
        match holds.hash() {
            Some(known) => Ok(known == hash),
            None => Ok(matches!(holds.is_at(self.fs, path)?, Some((true, _)))),
        }
    }

    /// The directory to stage in; every directory is looked at once.
    fn directory(
        &self,
        path: &DocPath,
        directories: &mut HashMap<String, Directory>,
    ) -> Result<String, Wrong> {
        let mut dir = path.parent();
        loop {
            let state = match directories.get(dir) {
                Some(state) => state,
                None => {
                    let state = self.look_at_directory(dir)?;
                    directories.entry(dir.to_owned()).or_insert(state)
                }
            };
            let change = DocPath::new(dir).ok().and_then(|dir| self.request.changes.get(&dir));
            match (state, change) {
                (_, Some(Change::Put { .. } | Change::Append { .. })) => {
                    return Err(Refusal::BelowFile(dir.to_owned()).into());
                }
                (Directory::Usable, _) => return Ok(dir.to_owned()),
                // The same transaction removes the file, and removals are published first.
                (Directory::File, Some(Change::Remove)) | (Directory::Absent, _) => {
                    dir = parent_of(dir);
                }
                (Directory::File, None) => {
                    return Err(Refusal::BelowFile(dir.to_owned()).into());
                }
                (Directory::Refused(refusal), _) => return Err(refusal.clone().into()),
            }
        }
    }

    fn look_at_directory(&self, dir: &str) -> Result<Directory, FsError> {
        let stat = match self.fs.stat(dir) {
            Err(error) if error.is_link() => return Ok(Directory::Refused(Refusal::Link)),
            stat => stat?,
        };
        Ok(match stat {
            None => Directory::Absent,
            Some(stat) => match stat.kind {
                Kind::File => Directory::File,
                Kind::Link => Directory::Refused(Refusal::Link),
                Kind::Other => Directory::Refused(Refusal::BelowFile(dir.to_owned())),
                Kind::Dir if stat.mount != self.mount => Directory::Refused(Refusal::OtherMount),
                Kind::Dir if stat.frozen => Directory::Refused(Refusal::Frozen),
                Kind::Dir => Directory::Usable,
            },
        })
    }
}

/// What stands where a directory is needed.
pub(crate) enum Directory {
    Usable,
    Absent,
    File,
    Refused(Refusal),
}

enum Wrong {
    Refused(Refusal),
    Io(FsError),
}

impl From<Refusal> for Wrong {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<FsError> for Wrong {
    fn from(error: FsError) -> Self {
        Self::Io(error)
    }
}

fn was(stamp: &Stamp, hash: Option<Hash>) -> Was {
    Was { size: stamp.size, mtime: stamp.mtime, ino: stamp.ino, hash }
}
