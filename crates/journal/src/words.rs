//! The journal's last say on each path: groups, folded.

use std::collections::{BTreeMap, HashSet};

use filepact_fs::{Time, parent_of};

use crate::{Append, Group, Hash, Put, RecordKind, Remove, Was};

/// The last word on every path that the applied groups name.
#[derive(Clone, Debug, Default)]
pub struct Words(BTreeMap<String, Word>);

/// The journal's last say on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The seq of the last record on it.
    pub seq: u64,
    /// The number of its transaction.
    pub txn: u64,
    /// The time of its commit, which a published file has as its mtime.
    pub time: Time,
    /// What the document holds.
    pub said: Said,
    /// What earlier words said; of puts with one hash the last. The newest stands last.
    pub earlier: Vec<Said>,
    /// What validation saw at the path before the first of these words.
    pub oldest: Option<Was>,
    /// What it saw of versions in between that appends have made: no one record has their hash.
    pub added_to: Vec<Was>,
}

/// What a document holds: a body, or whatever it held before, and what was added to it. Clones share
/// the bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The last put or removal; `None` if no record that counts here is one: what the document held
    /// before, up to the first offset.
    pub base: Option<Base>,
    /// The appends since then, in order.
    pub appends: Vec<Added>,
}

/// What appends are added to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The seq of the record.
    pub seq: u64,
    /// The time of its commit.
    pub time: Time,
    /// An outside edit that was adopted: it was at its path before it was written here.
    pub outside: bool,
    /// What it says.
    pub change: Change,
}

/// What replaces all that a document held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The document has this body.
    Put(Put),
    /// There is no document.
    Remove(Remove),
}

/// One append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The seq of the record.
    pub seq: u64,
    /// What it says.
    pub append: Append,
}

impl Words {
    /// Takes in the next group.
    pub fn apply(&mut self, group: &Group) {
        for (changes, commit, txn) in group.transactions() {
            for record in changes {
                let seq = record.seq;
                let (path, was) = match &record.kind {
                    RecordKind::Put(put) => (&put.path, put.was.as_ref()),
                    RecordKind::Remove(remove) => (&remove.path, remove.was.as_ref()),
                    RecordKind::Append(append) => (&append.path, Some(&append.was)),
                    RecordKind::Commit(_) | RecordKind::Checkpoint { .. } => continue,
                };
                let word = self.0.entry(path.clone()).or_insert_with(|| Word {
                    seq,
                    txn,
                    time: commit.time,
                    said: Said::default(),
                    earlier: Vec::new(),
                    oldest: was.cloned(),
                    added_to: Vec::new(),
                });
                (word.seq, word.txn, word.time) = (seq, txn, commit.time);
                let (time, outside) = (commit.time, commit.outside);
                let base = |change| Base { seq, time, outside, change };
                match &record.kind {
                    RecordKind::Put(put) => word.replace(base(Change::Put(put.clone()))),
                    RecordKind::Remove(remove) => {
                        word.replace(base(Change::Remove(remove.clone())));
                    }
                    RecordKind::Append(append) => {
                        if word.said.is_removal() {
                            // To a document that another program has made since.
                            word.said.base = None;
                        }
                        word.said.appends.push(Added { seq, append: append.clone() });
                    }
                    RecordKind::Commit(_) | RecordKind::Checkpoint { .. } => {}
                }
            }
        }
    }

    /// The last word on a path; `None` if no applied group names it.
    pub fn get(&self, path: &str) -> Option<&Word> {
        self.0.get(path)
    }

    /// All words, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Word)> + Clone {
        self.0.iter().map(|(path, word)| (path.as_str(), word))
    }

    /// The documents that somebody has removed unseen: a later transaction has put, added to or removed one below
    /// such a path, or in the place of a directory above it.
    pub fn gone(&self) -> HashSet<&str> {
        let mut gone = HashSet::new();
        for (path, word) in self.iter() {
            let mut above = parent_of(path);
            while !above.is_empty() {
                if let Some(other) = self.get(above) {
                    if word.shows_gone(other) {
                        gone.insert(above);
                    } else if other.shows_gone(word) {
                        gone.insert(path);
                    }
                }
                above = parent_of(above);
            }
        }
        gone
    }

    /// The number of paths.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no word at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops what was said before the append of this number, in order: somebody had changed the document
    /// by then, and what it added to is what they have left.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn forget_before(&mut self, path: &str, append: usize) {
        let word = self.0.get_mut(path).expect("only what was said is forgotten");
        let appends = word.said.appends.split_off(append);
        let before = std::mem::replace(&mut word.said, Said { base: None, appends });
        word.earlier.push(before);
    }

    /// Drops what records up to `seq` say: a checkpoint covers them, or all of it is published.
    pub fn clear_upto(&mut self, seq: u64) {
        self.0.retain(|_, word| {
            word.said.base.take_if(|base| base.seq <= seq);
            word.said.appends.retain(|added| added.seq > seq);
            word.seq > seq
        });
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

    /// Mode and owner are its own, whatever the document had.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Put(put) if put.own)
    }
}

impl Word {
    /// What validation saw of the document that this word replaces, or adds to.
    pub fn was(&self) -> Option<&Was> {
        match &self.said.base {
            Some(base) => base.change.was(),
            None => self.said.appends.first().map(|added| &added.append.was),
        }
    }

    /// What validation saw at the path under this word and those before it, as far as it is kept.
    pub fn seen(&self) -> impl Iterator<Item = &Was> {
        self.was().into_iter().chain(&self.oldest).chain(&self.added_to)
    }

    /// An outside edit that was adopted: it was at its path before it was written here.
    pub fn is_outside(&self) -> bool {
        self.said.base.as_ref().is_some_and(|base| base.outside) && self.said.appends.is_empty()
    }

    /// Whether there was a document here when that of the other word cannot have been there any more. A removal
    /// that was adopted does not show it: nobody knows when that was.
    fn shows_gone(&self, other: &Self) -> bool {
        let was_here = !self.said.is_removal() || !self.is_outside();
        was_here && self.txn > other.txn && !other.said.is_removal()
    }

    fn replace(&mut self, base: Base) {
        let before =
            std::mem::replace(&mut self.said, Said { base: Some(base), appends: Vec::new() });
        if before == Said::default() {
            return;
        }
        if !before.appends.is_empty() {
            self.added_to.extend(self.was().cloned());
        }
        // From the end: a document that goes back and forth finds its hash there.
        let same = |said: &Said| before.hash().is_some() && said.hash() == before.hash();
        if let Some(at) = self.earlier.iter().rposition(same) {
            self.earlier.remove(at);
        }
        if !before.is_removal() {
            self.earlier.push(before);
        }
    }
}

impl Said {
    /// The last put, where there is one.
    pub fn put(&self) -> Option<&Put> {
        match &self.base {
            Some(Base { change: Change::Put(put), .. }) => Some(put),
            _ => None,
        }
    }

    /// There is no document.
    pub fn is_removal(&self) -> bool {
        matches!(&self.base, Some(Base { change: Change::Remove(_), .. }))
    }

    /// The hash of all that the document holds; `None` where one record does not say it.
    pub fn hash(&self) -> Option<Hash> {
        self.put().filter(|_| self.appends.is_empty()).map(|put| put.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::{append, put};
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

    fn hashes(word: &Word) -> Vec<Hash> {
        word.earlier.iter().map(|said| said.hash().unwrap()).collect()
    }

    #[test]
    fn what_validation_saw_of_a_version_that_appends_have_made_is_kept() {
        let mut words = Words::default();
        words.apply(&group(1, vec![put("a", b"v"), append("a", 1, b"x"), commit(10, false)]));
        let was = Was { size: 2, mtime: Time(10), ino: 1, hash: Some(Hash::of(b"vx")) };
        let removed = RecordKind::Remove(Remove { path: "a".into(), was: Some(was.clone()) });
        words.apply(&group(4, vec![removed, commit(20, false)]));
        words.apply(&group(6, vec![put("a", b"w"), commit(30, false)]));
        words.apply(&group(8, vec![put("a", b"z"), commit(40, false)]));
        assert_eq!(words.get("a").unwrap().added_to, [was]);
    }

    #[test]
    fn appends_add_to_what_stands_until_it_is_replaced() {
        let mut words = Words::default();
        words.apply(&group(1, vec![append("a", 5, b"x"), commit(10, false)]));
        words.apply(&group(3, vec![append("a", 6, b"y"), commit(20, false)]));
        let word = words.get("a").unwrap();
        assert_eq!((word.seq, word.txn, word.time, &word.said.base), (3, 4, Time(20), &None));
        assert_eq!(word.oldest.as_ref(), word.was());
        let offsets: Vec<_> = word.said.appends.iter().map(|added| added.append.offset).collect();
        assert_eq!(offsets, [5, 6]);

        words.apply(&group(5, vec![put("a", b"new"), append("a", 3, b"z"), commit(30, false)]));
        let word = words.get("a").unwrap();
        assert_eq!((word.said.put().unwrap().len, word.said.appends.len()), (3, 1));
        assert_eq!((word.said.hash(), word.earlier.len()), (None, 1));

        let mut published = words.clone();
        published.clear_upto(5);
        let word = published.get("a").unwrap();
        assert_eq!((&word.said.base, word.said.appends.len()), (&None, 1));
        words.clear_upto(6);
        assert!(words.is_empty());
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
        assert_eq!((a.time, a.is_outside(), b.time), (Time(20), false, Time(30)));
        assert_eq!(hashes(a), [Hash::of(b"1")]);
        assert!(b.said.is_removal());

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
        let earlier = hashes(words.get("a").unwrap());
        assert_eq!(earlier, [Hash::of(b"2"), Hash::of(b"1"), Hash::of(b"3")]);
    }

    #[test]
    fn a_word_shares_its_body_with_the_record() {
        let group = group(1, vec![put("a", b"body"), commit(0, false)]);
        let mut words = Words::default();
        words.apply(&group);
        let word = words.get("a").unwrap().said.put().unwrap();
        let RecordKind::Put(record) = &group.records[0].kind else { panic!() };
        let (Body::Inline(ours), Body::Inline(theirs)) = (&word.body, &record.body) else {
            panic!()
        };
        assert!(std::sync::Arc::ptr_eq(ours, theirs));
    }
}
