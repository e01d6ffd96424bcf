//! The journal's last say on each path: groups, folded.

use std::collections::BTreeMap;

use filepact_fs::Time;

use crate::{Group, Hash, Put, RecordKind, Remove, Was};

/// The last word on every path that the applied groups name.
#[derive(Clone, Debug, Default)]
pub struct Words(BTreeMap<String, Word>);

/// The journal's last say on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The seq of the record.
    pub seq: u64,
    /// The number of its transaction.
    pub txn: u64,
    /// The time of its commit, which a published file has as its mtime.
    pub time: Time,
    /// An outside edit that was adopted: it was at its path before it was written here.
    pub outside: bool,
    /// What it says. Clones share a body in the journal.
    pub change: Change,
    /// The hashes that earlier words gave the path: each once, the newest last.
    pub earlier: Vec<Hash>,
    /// What validation saw at the path before the first of these words.
    pub oldest: Option<Was>,
}

/// What a word says of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The document has this body.
    Put(Put),
    /// There is no document.
    Remove(Remove),
}

impl Words {
    /// Takes in the next group.
    pub fn apply(&mut self, group: &Group) {
        for (changes, commit, txn) in group.transactions() {
            for record in changes {
                let (path, change) = match &record.kind {
                    RecordKind::Put(put) => (&put.path, Change::Put(put.clone())),
                    RecordKind::Remove(remove) => (&remove.path, Change::Remove(remove.clone())),
                    RecordKind::Commit(_) | RecordKind::Checkpoint { .. } => continue,
                };
                let (earlier, oldest) = match self.0.remove(path) {
                    Some(word) => word.into_past(),
                    None => (Vec::new(), change.was().cloned()),
                };
                let word = Word {
                    seq: record.seq,
                    txn,
                    time: commit.time,
                    outside: commit.outside,
                    change,
                    earlier,
                    oldest,
                };
                self.0.insert(path.clone(), word);
            }
        }
    }

    /// The last word on a path; `None` if no applied group names it.
    pub fn get(&self, path: &str) -> Option<&Word> {
        self.0.get(path)
    }

    /// All words, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Word)> {
        self.0.iter().map(|(path, word)| (path.as_str(), word))
    }

    /// The number of paths.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no word at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops the words whose seq is at most `seq`: a checkpoint covers them.
    pub fn clear_upto(&mut self, seq: u64) {
        self.0.retain(|_, word| word.seq > seq);
    }
}

impl Change {
    /// What validation saw at the path.
    pub fn was(&self) -> Option<&Was> {
        match self {
            Self::Put(put) => put.was.as_ref(),
            Self::Remove(remove) => remove.was.as_ref(),
        }
    }
}

impl Word {
    /// What its successor has as `earlier` and `oldest`.
    fn into_past(self) -> (Vec<Hash>, Option<Was>) {
        let mut hashes = self.earlier;
        if let Change::Put(put) = self.change {
            // From the end: a document that goes back and forth finds its hash there.
            if let Some(at) = hashes.iter().rposition(|hash| *hash == put.hash) {
                hashes.remove(at);
            }
            hashes.push(put.hash);
        }
        (hashes, self.oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::put;
    use crate::{Body, Chain, Commit, Position, Record};

    fn remove(path: &str) -> RecordKind {
        RecordKind::Remove(Remove { path: path.into(), was: None })
    }

    fn commit(time: i64, outside: bool) -> RecordKind {
        RecordKind::Commit(Commit { time: Time(time), note: None, outside })
    }

    fn group(first: u64, kinds: Vec<RecordKind>) -> Group {
        let at = Position::new(1, 0, first - 1, Chain::ZERO);
        let last = first + kinds.len() as u64 - 1;
        let records = (first..).zip(kinds).map(|(seq, kind)| Record { seq, synced: 0, kind });
        Group {
            records: records.collect(),
            first,
            last,
            begins: at,
            ends: at,
            born: false,
            covered: false,
        }
    }

    #[test]
    fn the_last_word_on_a_path_counts() {
        let mut words = Words::default();
        words.apply(&group(1, vec![put("b", b"1"), put("a", b"1"), commit(10, true)]));
        words.apply(&group(
            4,
            vec![put("a", b"2"), commit(20, false), remove("b"), commit(30, false)],
        ));
        let paths: Vec<_> = words.iter().map(|(path, word)| (path, word.seq, word.txn)).collect();
        assert_eq!(paths, [("a", 4, 5), ("b", 6, 7)]);
        let (a, b) = (words.get("a").unwrap(), words.get("b").unwrap());
        assert_eq!((a.time, a.outside, b.time), (Time(20), false, Time(30)));
        assert_eq!(a.earlier, [Hash::of(b"1")]);
        assert!(matches!(b.change, Change::Remove(_)));

        words.clear_upto(4);
        assert_eq!((words.len(), words.get("a")), (1, None));
    }

    #[test]
    fn earlier_hashes_stand_once_the_newest_last() {
        let mut words = Words::default();
        for (first, body) in (1..).step_by(2).zip([b"1", b"2", b"1", b"3"]) {
            words.apply(&group(first, vec![put("a", body), commit(0, false)]));
        }
        words.apply(&group(9, vec![remove("a"), commit(0, false)]));
        let earlier = &words.get("a").unwrap().earlier;
        assert_eq!(*earlier, [Hash::of(b"2"), Hash::of(b"1"), Hash::of(b"3")]);
    }

    #[test]
    fn a_word_shares_its_body_with_the_record() {
        let group = group(1, vec![put("a", b"body"), commit(0, false)]);
        let mut words = Words::default();
        words.apply(&group);
        let Change::Put(word) = &words.get("a").unwrap().change else { panic!() };
        let RecordKind::Put(record) = &group.records[0].kind else { panic!() };
        let (Body::Inline(ours), Body::Inline(theirs)) = (&word.body, &record.body) else {
            panic!()
        };
        assert!(std::sync::Arc::ptr_eq(ours, theirs));
    }
}
