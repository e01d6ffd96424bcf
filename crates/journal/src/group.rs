//! A group: the records that one sync made durable.

use std::sync::Arc;

use crate::{Commit, Position, Record, RecordKind};

/// One or more whole transactions, or a checkpoint, that count together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The records; clones share them.
    pub records: Arc<[Record]>,
    /// The seq of the first record.
    pub first: u64,
    /// The seq of the last record.
    pub last: u64,
    /// Where the first line begins.
    pub begins: Position,
    /// Where the last line ends.
    pub ends: Position,
    /// The first of its segment: its bytes were synced before the segment had a name, so that a
    /// sync of the directory is all that it can lack.
    pub born: bool,
    /// Its sync had returned: a later line, or a later segment, says so. `false` proves nothing.
    pub covered: bool,
}

impl Group {
    /// The transactions, in order: changes, commit, and the number of the transaction.
    pub fn transactions(&self) -> impl Iterator<Item = (&[Record], &Commit, u64)> {
        let mut rest = &*self.records;
        std::iter::from_fn(move || {
            // Checkpoints stand between transactions, never in one.
            while let Some((Record { kind: RecordKind::Checkpoint { .. }, .. }, after)) =
                rest.split_first()
            {
                rest = after;
            }
            let commits = rest.iter().enumerate().find_map(|(at, record)| match &record.kind {
                RecordKind::Commit(commit) => Some((at, commit, record.seq)),
                _ => None,
            });
            let (at, commit, txn) = commits?;
            let changes = &rest[..at];
            rest = &rest[at + 1..];
            Some((changes, commit, txn))
        })
    }

    /// The length of its lines in bytes.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.ends.offset().saturating_sub(self.begins.offset())
    }
}

/// What is durable without the journal, `checkpoint` so far, once a checkpoint record at `seq` says
/// `upto`. Where it follows directly, it counts itself in: a checkpoint record changes no document,
/// so nothing is lost with it.
pub(crate) fn raise_checkpoint(checkpoint: u64, seq: u64, upto: u64) -> u64 {
    let durable = checkpoint.max(upto);
    if durable + 1 == seq { seq } else { durable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Remove};

    #[test]
    fn transactions_are_told_apart() {
        let remove = || RecordKind::Remove(Remove { path: "a".into(), was: None });
        let commit = || RecordKind::Commit(Commit::default());
        let kinds = [
            RecordKind::Checkpoint { upto: 1 },
            remove(),
            commit(),
            RecordKind::Checkpoint { upto: 1 },
            commit(),
            remove(),
            remove(),
            commit(),
        ];
        let records = (4..).zip(kinds).map(|(seq, kind)| Record { seq, synced: 3, kind });
        let at = Position::new(1, 0, 3, Chain::ZERO);
        let group = Group {
            records: records.collect(),
            first: 4,
            last: 11,
            begins: at,
            ends: at,
            born: false,
            covered: false,
        };
        let found: Vec<_> = group
            .transactions()
            .map(|(changes, _, txn)| (changes.iter().map(|r| r.seq).collect::<Vec<_>>(), txn))
            .collect();
        assert_eq!(found, [(vec![5], 6), (vec![], 8), (vec![9, 10], 11)]);
    }

    #[test]
    fn a_checkpoint_record_needs_no_journal_itself() {
        assert_eq!(raise_checkpoint(0, 1, 0), 1);
        assert_eq!(raise_checkpoint(0, 9, 8), 9);
        assert_eq!(raise_checkpoint(0, 9, 7), 7);
        assert_eq!(raise_checkpoint(8, 9, 2), 9);
        assert_eq!(raise_checkpoint(7, 9, 2), 7);
    }
}
