//! What to do with each document: a pure decision.
//!
//! The journal's last word on a path is held against what is there. [`decide`] is the whole table;
//! it is total, and every row carries its reason. Nothing here reads or writes.

use std::fmt;

/// What recovery knows of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where the body of the last word is.
    pub body: BodyAt,
    /// What stands at the path, held against that word.
    pub disk: OnDisk,
    /// How far `state`, and with it the page cache, can be believed.
    pub standing: Standing,
}

/// Where the body of a path's last word can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyAt {
    /// In the journal.
    Journal,
    /// In its staged file, which verifies.
    Staged,
    /// In its staged file, which somebody has edited since the commit by the name of the document that was
    /// renamed.
    Edited,
    /// The document is the staged file itself, edited in place since.
    Document,
    /// In a staged file without another name, which somebody has written to since the commit: half a copy,
    /// or the document as it was edited in place before it was replaced.
    Overwritten,
    /// In a staged file that is gone or holds something else.
    Nowhere,
    /// At the document's path only: a large outside edit, recorded by its hash.
    InPlace,
    /// The word is a removal.
    Removed,
    /// Nothing but appends: the document itself is older.
    Before,
}

/// What stands at a path, held against the journal's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// The word's content, by hash, and all that was added to it; for a removal, nothing.
    Equal,
    /// All that was there before the appends, which are not there, or in part, and not because
    /// somebody has cut them off.
    Short,
    /// Nothing, where there should be a document.
    Absent,
    /// Another content under the word's own time: a write that the disk lost, or an edit that put the time
    /// back.
    LostWrite,
    /// The version before, an earlier word, an empty file or zeros.
    Old,
    /// Any other content.
    Foreign,
    /// A directory, a link, a device; or a file stands where a directory above it must be.
    NotAFile,
    /// No document, and there was none any more: a later word is on a path that lies below this one, or above.
    Gone,
}

/// How far the page cache can be believed for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// `state` is trusted and says that the word was published.
    Published,
    /// `state` is trusted and says that the word was not published yet.
    Committed,
    /// `state` is not trusted: a power cut, a remount, a copy.
    Untrusted,
    /// A sync has failed, or a checkpoint is unfinished: what reads well may not be on the disk.
    Failed,
}

/// What to do with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sync it.
    Keep,
    /// Sync it, read it back past the page cache, and rewrite it if that does not prove it.
    Verify,
    /// Give it a new inode with the same content.
    Rewrite,
    /// Publish the word again.
    Redo(Displace),
    /// Add what was added, where it is missing.
    Extend,
    /// Record what is there as an outside edit.
    Adopt,
    /// Leave what is there, and say so.
    Leave,
    /// Open nothing, change nothing.
    Refuse,
}

/// What becomes of what a redo displaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Displace {
    /// Nobody's: it is dropped.
    Drop,
    /// Perhaps somebody's: it goes to `rescued/`.
    Rescue,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: &'static str,
}

/// A path with its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The document.
    pub path: String,
    /// What was found.
    pub facts: Facts,
    /// What to do.
    pub row: Row,
}

/// The table. Read it from the top: the first line that fits decides.
pub fn decide(facts: Facts) -> Row {
    use Action::{Adopt, Extend, Keep, Leave, Redo, Refuse, Rewrite, Verify};
    use BodyAt::{
        Before, Document, Edited, InPlace, Journal, Nowhere, Overwritten, Removed, Staged,
    };
    use OnDisk::{Absent, Equal, Foreign, Gone, LostWrite, NotAFile, Old, Short};
    use Standing::{Committed, Failed, Published, Untrusted};

    let Facts { body, disk, standing } = facts;
    let row = |action, reason| Row { action, reason };
    match (body, disk, standing) {
        (Removed, Equal | Absent | NotAFile | Gone, _) => {
            row(Keep, "removed, and no document is there")
        }
        (_, Gone, _) => row(Adopt, "another document has taken its place since"),
        (_, Equal, Published | Committed) => row(Keep, "the document is as the journal says"),
        (_, Equal, Untrusted) => row(Verify, "it reads as it should; the device has to say so too"),
        (_, Equal, Failed) => row(Rewrite, "a sync failed: what reads well may not be on the disk"),

        (
            Journal | Staged | Edited | Document | Overwritten | Nowhere | InPlace | Before,
            Short,
            _,
        ) => row(Extend, "what was added to it is not all there"),

        (Journal | Staged, LostWrite, Published) => {
            row(Redo(Displace::Rescue), "the time is ours, the content not: a write the disk lost")
        }
        (_, _, Published) => row(Adopt, "published before, so somebody changed it since"),

        (InPlace, _, _) => {
            row(Leave, "an outside edit recorded by its hash alone was changed again")
        }
        (Document, _, _) => row(Leave, "the large body itself was edited in place"),
        (Before, Absent, _) => row(Extend, "it is gone, and what was added to it stays"),
        (Before, NotAFile, _) => row(Refuse, "what stands at its path is no file; move it"),
        (Before, _, _) => row(Leave, "what was added to it stands in another content"),
        (Overwritten, Foreign, _) => {
            row(Leave, "the large body was edited in place, and somebody has replaced it since")
        }
        (Nowhere | Overwritten, _, _) => {
            row(Refuse, "the body is neither at its path nor in its staged file")
        }
        (Journal | Staged | Edited, NotAFile, _) => {
            row(Refuse, "what stands at its path is no file, or a file is in the way; move it")
        }
        (Journal | Staged | Edited, Absent, _) => row(Redo(Displace::Drop), "it was not there yet"),
        (Journal | Staged | Edited | Removed, Old, _) => {
            row(Redo(Displace::Drop), "it was still as before, or its write was lost")
        }
        (Journal | Staged | Edited, LostWrite, _) => row(
            Redo(Displace::Rescue),
            "the time is ours, the content not: a lost write, or an edit with its time put back",
        ),
        (Journal | Staged | Edited | Removed, Foreign, _) | (Removed, LostWrite | Short, _) => {
            row(Redo(Displace::Rescue), "another content stands there, perhaps somebody's edit")
        }
    }
}

/// The plan for all paths, in their order.
pub fn plan(facts: impl IntoIterator<Item = (String, Facts)>) -> Vec<Planned> {
    let planned = |(path, facts)| Planned { path, facts, row: decide(facts) };
    facts.into_iter().map(planned).collect()
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Verify => "verify",
            Self::Rewrite => "rewrite",
            Self::Redo(Displace::Drop) => "redo",
            Self::Redo(Displace::Rescue) => "redo, rescue",
            Self::Extend => "add",
            Self::Adopt => "adopt",
            Self::Leave => "leave",
            Self::Refuse => "refuse",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODIES: [BodyAt; 9] = [
        BodyAt::Journal,
        BodyAt::Staged,
        BodyAt::Edited,
        BodyAt::Document,
        BodyAt::Overwritten,
        BodyAt::Nowhere,
        BodyAt::InPlace,
        BodyAt::Removed,
        BodyAt::Before,
    ];
    const DISKS: [OnDisk; 8] = [
        OnDisk::Equal,
        OnDisk::Short,
        OnDisk::Absent,
        OnDisk::LostWrite,
        OnDisk::Old,
        OnDisk::Foreign,
        OnDisk::NotAFile,
        OnDisk::Gone,
    ];
    const STANDINGS: [Standing; 4] =
        [Standing::Published, Standing::Committed, Standing::Untrusted, Standing::Failed];

    fn every_row() -> impl Iterator<Item = (Facts, Action)> {
        BODIES.into_iter().flat_map(|body| {
            DISKS.into_iter().flat_map(move |disk| {
                STANDINGS.into_iter().map(move |standing| {
                    let facts = Facts { body, disk, standing };
                    (facts, decide(facts).action)
                })
            })
        })
    }

    #[test]
    fn a_document_that_is_right_is_never_replaced_by_another_content() {
        for (facts, action) in every_row().filter(|(facts, _)| facts.disk == OnDisk::Equal) {
            assert!(
                matches!(action, Action::Keep | Action::Verify | Action::Rewrite),
                "{facts:?} {action:?}"
            );
        }
    }

    #[test]
    fn nothing_is_believed_without_the_device_unless_state_is_trusted() {
        for (facts, action) in every_row() {
            let believed = action == Action::Keep && facts.body != BodyAt::Removed;
            let trusted = matches!(facts.standing, Standing::Published | Standing::Committed);
            assert!(!believed || trusted, "{facts:?}");
        }
    }

    #[test]
    fn an_edit_after_publication_is_adopted_and_never_reverted() {
        for (facts, action) in every_row() {
            if facts.standing == Standing::Published
                && matches!(facts.disk, OnDisk::Foreign | OnDisk::Absent | OnDisk::Old)
                && (facts.body, facts.disk) != (BodyAt::Removed, OnDisk::Absent)
            {
                assert_eq!(action, Action::Adopt, "{facts:?}");
            }
        }
    }

    #[test]
    fn only_what_is_plainly_nobodys_is_dropped() {
        for (facts, action) in every_row() {
            if action == Action::Redo(Displace::Drop) {
                assert!(matches!(facts.disk, OnDisk::Absent | OnDisk::Old), "{facts:?}");
            }
            if facts.disk == OnDisk::Foreign {
                assert_ne!(action, Action::Redo(Displace::Drop), "{facts:?}");
            }
        }
    }

    #[test]
    fn a_body_that_lies_nowhere_else_is_never_overwritten() {
        for (facts, action) in every_row() {
            if matches!(
                facts.body,
                BodyAt::Document | BodyAt::InPlace | BodyAt::Overwritten | BodyAt::Nowhere
            ) {
                assert!(!matches!(action, Action::Redo(_)), "{facts:?}");
            }
        }
    }

    #[test]
    fn a_committed_change_is_redone_wherever_it_can_be() {
        for (facts, action) in every_row() {
            let can = matches!(facts.body, BodyAt::Journal | BodyAt::Staged | BodyAt::Edited)
                && !matches!(facts.disk, OnDisk::Equal | OnDisk::NotAFile | OnDisk::Gone);
            if can && facts.standing != Standing::Published {
                assert!(matches!(action, Action::Redo(_) | Action::Extend), "{facts:?}");
            }
        }
    }

    #[test]
    fn the_whole_table_is_as_it_was_reviewed() {
        // One letter a cell: bodies down, disks across, standings within a cell.
        let letter = |action| match action {
            Action::Keep => 'k',
            Action::Verify => 'v',
            Action::Rewrite => 'w',
            Action::Redo(Displace::Drop) => 'd',
            Action::Redo(Displace::Rescue) => 'r',
            Action::Extend => 'e',
            Action::Adopt => 'a',
            Action::Leave => 'l',
            Action::Refuse => 'x',
        };
        let mut table = String::new();
        for body in BODIES {
            let cells: Vec<String> = DISKS
                .iter()
                .map(|&disk| {
                    STANDINGS
                        .iter()
                        .map(|&standing| letter(decide(Facts { body, disk, standing }).action))
                        .collect()
                })
                .collect();
            table += &format!("{:<12}{}\n", format!("{body:?}"), cells.join(" "));
        }
        // disks:  Equal Short Absent LostWrite Old Foreign NotAFile Gone
        assert_eq!(
            table,
            "Journal     kkvw eeee addd rrrr addd arrr axxx aaaa\n\
             Staged      kkvw eeee addd rrrr addd arrr axxx aaaa\n\
             Edited      kkvw eeee addd arrr addd arrr axxx aaaa\n\
             Document    kkvw eeee alll alll alll alll alll aaaa\n\
             Overwritten kkvw eeee axxx axxx axxx alll axxx aaaa\n\
             Nowhere     kkvw eeee axxx axxx axxx axxx axxx aaaa\n\
             InPlace     kkvw eeee alll alll alll alll alll aaaa\n\
             Removed     kkkk arrr kkkk arrr addd arrr kkkk kkkk\n\
             Before      kkvw eeee aeee alll alll alll axxx aaaa\n"
        );
    }
}
