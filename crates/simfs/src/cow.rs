//! A sorted map that is cloned in a moment: a clone shares everything, a change copies one chunk.
//!
//! A recorded run clones the world before every call, so the cost of a clone and of the first
//! change after it decides how many crashes a test can afford. Two levels of `Arc` around small
//! sorted chunks are enough for the thousands of entries that tests use.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A full chunk is split in two.
const CHUNK: usize = 32;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

pub(crate) struct Map<K, V> {
    /// No chunk is empty; keys ascend within and across chunks.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K, V> Map<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// The chunk that holds `key` or would, and the place in it.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let after = self.chunks.partition_point(|chunk| chunk[0].0.borrow() <= key);
        let at = after.saturating_sub(1);
        let place = match self.chunks.get(at) {
            Some(chunk) => chunk.binary_search_by(|(k, _)| k.borrow().cmp(key)),
            None => Err(0),
        };
        (at, place)
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        place.ok().map(|i| &self.chunks[at][i].1)
    }

    pub(crate) fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let i = place.ok()?;
        let chunk = Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[at]);
        Some(&mut chunk[i].1)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, place) = self.find(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        }
        let chunk = Arc::make_mut(&mut chunks[at]);
        match place {
            Ok(i) => Some(std::mem::replace(&mut chunk[i].1, value)),
            Err(i) => {
                chunk.insert(i, (key, value));
                self.len += 1;
                if chunk.len() > CHUNK {
                    // What is appended in order leaves full chunks behind, not halves.
                    let keep = if i + 1 == chunk.len() { CHUNK } else { CHUNK / 2 };
                    let rest = chunk.split_off(keep);
                    chunks.insert(at + 1, Arc::new(rest));
                }
                None
            }
        }
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let i = place.ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[at]);
        let (_, value) = chunk.remove(i);
        if chunk.is_empty() {
            chunks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    /// The keys must ascend.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries = entries.into_iter().peekable();
        let (mut chunks, mut len) = (Vec::new(), 0);
        while entries.peek().is_some() {
            let chunk: Vec<_> = entries.by_ref().take(CHUNK).collect();
            debug_assert!(chunk.is_sorted_by(|(a, _), (b, _)| a < b), "keys must ascend");
            len += chunk.len();
            chunks.push(Arc::new(chunk));
        }
        Self { chunks: Arc::new(chunks), len }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::Random;

    #[test]
    fn it_agrees_with_a_btreemap_and_leaves_its_clones_alone() {
        let mut random = Random::new(7);
        let (mut map, mut model) = (Map::default(), BTreeMap::new());
        let mut clones = Vec::new();
        for step in 0..5000 {
            let key = random.below(400);
            if random.chance(60) {
                assert_eq!(map.insert(key, step), model.insert(key, step));
            } else if random.chance(20) {
                if let Some(value) = map.get_mut(&key) {
                    *value += 1;
                }
                model.entry(key).and_modify(|value| *value += 1);
            } else {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            assert_eq!(map.len(), model.len());
            assert_eq!(map.get(&key), model.get(&key));
            if step % 500 == 0 {
                clones.push((map.clone(), model.clone()));
            }
        }
        clones.push((map, model));
        for (map, model) in clones {
            assert!(map.iter().eq(model.iter()));
            let mut again: Map<_, _> = model.clone().into_iter().collect();
            assert!(again.iter().eq(model.iter()) && again.len() == model.len());
            for key in 0..400 {
                assert_eq!(again.remove(&key), model.get(&key).copied());
            }
        }
    }
}
