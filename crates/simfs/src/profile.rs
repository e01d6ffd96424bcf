//! What the disk and its file system may do to what was not synced.

use std::fmt;
use std::str::FromStr;

/// The kind of file system, by what it does to names (rule 5), and the grain of its data (rule 1).
///
/// Whatever *ordered* allows, *per-inode* does; what that allows, *strict* does; and what that
/// allows, *hostile* does (the first as long as no sync has failed). Data, sizes and attributes are
/// free of the order of names in all of them, since even a file system that orders names writes
/// data late, or early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Whatever the contract of the seam allows: any subset of the changes of names that can be
    /// replayed by name, each whole.
    Strict(Grain),
    /// A log of all changes of names, as ext4 and xfs have: a prefix of them is there. A sync of an
    /// inode carries the log to the inode's last change; one that only overwrites blocks does not
    /// need the log, and carries nothing.
    Ordered(Grain),
    /// A log, and a faster one for single inodes, as btrfs has: a prefix of all changes of names,
    /// and what syncs have carried ahead of it: the changes of the synced inode's own names, and of
    /// a directory's entries, with what they rest on.
    PerInode(Grain),
    /// Worse than anything in use: a rename or an exchange of files changes each of its two names by
    /// itself, so that it may leave both or neither; and a sync of a directory covers only the side
    /// that lies in it.
    Hostile(Grain),
}

/// What a power cut does to a page that was being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grain {
    /// Pages of 4 KiB reach the disk whole or not at all.
    Page,
    /// *Torn*: sectors of 512 bytes do.
    Sector,
    /// *Trash*: a sector that was being written may also be garbage, but for the leading bytes on
    /// which all its versions since the last sync agree: rewriting a sector with the same leading
    /// bytes does not harm those ("powersafe overwrite").
    Trash,
}

impl Profile {
    /// Every kind in every grain, the mildest first.
    pub const ALL: [Self; 12] = [
        Self::Ordered(Grain::Page),
        Self::Ordered(Grain::Sector),
        Self::Ordered(Grain::Trash),
        Self::PerInode(Grain::Page),
        Self::PerInode(Grain::Sector),
        Self::PerInode(Grain::Trash),
        Self::Strict(Grain::Page),
        Self::Strict(Grain::Sector),
        Self::Strict(Grain::Trash),
        Self::Hostile(Grain::Page),
        Self::Hostile(Grain::Sector),
        Self::Hostile(Grain::Trash),
    ];

    /// How it treats a page that was being written.
    pub fn grain(self) -> Grain {
        let (Self::Strict(grain)
        | Self::Ordered(grain)
        | Self::PerInode(grain)
        | Self::Hostile(grain)) = self;
        grain
    }
}

/// `strict`, `strict-torn`, `strict-trash`, and so on; [`FromStr`] reads it.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Strict(_) => "strict",
            Self::Ordered(_) => "ordered",
            Self::PerInode(_) => "per-inode",
            Self::Hostile(_) => "hostile",
        };
        let grain = match self.grain() {
            Grain::Page => "",
            Grain::Sector => "-torn",
            Grain::Trash => "-trash",
        };
        write!(f, "{kind}{grain}")
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|profile| profile.to_string() == text);
        known.ok_or_else(|| {
            format!("no profile `{text}`: strict, ordered, per-inode or hostile; -torn or -trash")
        })
    }
}
