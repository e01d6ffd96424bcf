//! What the documents may be: every state that all that was seen and told so far allows.
//!
//! A transaction whose outcome nobody was told doubles the candidates; what is seen later strikes out
//! those that do not fit. If none is left, something is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::history::Tree;

/// The content of a document.
pub type Bytes = Arc<Vec<u8>>;

/// What a transaction saw or asked for, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// It found this.
    Read(String, Option<Bytes>),
    /// It expects this, seen before it began.
    Expect(String, Option<Bytes>),
    /// It found these documents.
    List(Vec<String>),
    /// It put this.
    Put(String, Bytes),
    /// It added this.
    Append(String, Bytes),
    /// It removed this.
    Remove(String),
}

impl Event {
    /// The document that it changes, if it changes one.
    pub fn changes(&self) -> Option<&str> {
        match self {
            Self::Put(path, _) | Self::Append(path, _) | Self::Remove(path) => Some(path),
            Self::Read(..) | Self::Expect(..) | Self::List(_) => None,
        }
    }

    /// The document that it changes or has seen.
    pub fn document(&self) -> Option<&str> {
        match self {
            Self::Read(path, _) | Self::Expect(path, _) => Some(path),
            _ => self.changes(),
        }
    }
}

/// An edit that no transaction has read yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edit {
    /// What the store had there.
    before: Option<Bytes>,
    /// A power cut cannot take it.
    saved: bool,
    /// It was added to when perhaps nothing was known of the document: then it is taken as it is.
    taken: bool,
}

/// A transaction that may still happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    events: Vec<Event>,
    /// The edits that were there before it, unread: what they left, and whether the journal knew the
    /// document.
    edits: BTreeMap<String, (Option<Bytes>, bool)>,
}

/// One state that may be the true one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    docs: BTreeMap<String, Bytes>,
    edits: BTreeMap<String, Edit>,
    /// Documents of which nothing is known until they are seen.
    loose: BTreeSet<String>,
    /// Documents that were unknown and have been seen: a crash may still bring something else.
    hazy: BTreeSet<String>,
    /// Transactions of unknown outcome that have not happened yet: the next opening alone decides,
    /// unless somebody has committed before.
    pending: Vec<Pending>,
    /// What must lie in `rescued/`; true if even a power cut cannot take it.
    due: BTreeMap<Bytes, bool>,
}

/// How a transaction ended, as far as its caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Committed; in this place among those at the same time.
    Committed(u64),
    /// It changed nothing.
    Unchanged,
    /// Whole or absent.
    Unknown,
}

/// All candidates, and what they share.
#[derive(Clone, Debug)]
pub struct Model {
    candidates: Vec<Candidate>,
    /// Documents of which the journal surely has a word: an edit of one is known to be an edit.
    worded: BTreeSet<String>,
    /// Documents that were added to since the store was last opened alone.
    appended: BTreeSet<String>,
    /// How often a document became loose.
    pub loosened: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            candidates: vec![Candidate::default()],
            worded: BTreeSet::new(),
            appended: BTreeSet::new(),
            loosened: 0,
        }
    }
}

impl Model {
    /// How many states are possible.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Nothing explains what was seen.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Transactions that ran at the same time, or one. True if something explains them.
    pub fn transactions(&mut self, all: &[(Vec<Event>, Ending)]) -> bool {
        let mut next = Vec::new();
        for candidate in &self.candidates {
            self.orders(candidate, all, &mut vec![false; all.len()], &mut next);
        }
        for (events, ending) in all {
            for event in events {
                if let (Some(path), true) = (event.changes(), *ending != Ending::Unchanged) {
                    if matches!(event, Event::Append(..)) {
                        self.appended.insert(path.to_owned());
                    }
                    if matches!(ending, Ending::Committed(_)) {
                        self.worded.insert(path.to_owned());
                    }
                }
            }
        }
        self.set(next);
        !self.is_empty()
    }

    /// Every order in which they can have happened from `candidate` on.
    fn orders(
        &self,
        candidate: &Candidate,
        all: &[(Vec<Event>, Ending)],
        done: &mut Vec<bool>,
        ends: &mut Vec<Candidate>,
    ) {
        if done.iter().all(|done| *done) {
            ends.push(candidate.clone());
            return;
        }
        for at in 0..all.len() {
            let (events, ending) = &all[at];
            let is_early = |other: usize| match (all[other].1, ending) {
                (Ending::Committed(first), Ending::Committed(second)) => first < *second,
                _ => false,
            };
            if done[at] || (0..all.len()).any(|other| !done[other] && is_early(other)) {
                continue;
            }
            done[at] = true;
            if let Some(after) = candidate.replay(events, &self.worded) {
                match ending {
                    // What it saw is true, and what it asked for did not happen.
                    Ending::Unchanged => self.orders(&candidate.bound(events), all, done, ends),
                    Ending::Committed(_) => {
                        let after = Candidate { pending: Vec::new(), ..after };
                        self.orders(&after, all, done, ends);
                    }
                    Ending::Unknown => self.orders(&after, all, done, ends),
                }
            }
            if *ending == Ending::Unknown {
                // It did not happen yet. What it read is true; what it expected nobody has judged.
                let mut read = events.clone();
                read.retain(|event| !matches!(event, Event::Expect(..)));
                if candidate.replay(&read, &self.worded).is_some() {
                    let mut without = candidate.bound(&read);
                    without.pending.push(candidate.pending(events.clone(), &self.worded));
                    self.orders(&without, all, done, ends);
                }
            }
            done[at] = false;
        }
    }

    /// Another program has made this of a document. If somebody who died has left it half done, what
    /// the store wants there may still come over it.
    pub fn edit(&mut self, path: &str, content: Option<&Bytes>, saved: bool, unsettled: bool) {
        let is_vague = unsettled && self.appended.contains(path);
        let mut next = Vec::new();
        for mut candidate in std::mem::take(&mut self.candidates) {
            let before = match candidate.edits.remove(path) {
                Some(edit) => edit.before,
                None => candidate.docs.get(path).cloned(),
            };
            candidate.put(path, content.cloned());
            candidate.edits.insert(path.to_owned(), Edit { before, saved, taken: false });
            if is_vague || candidate.loose.contains(path) && unsettled {
                candidate.loosen(path);
            } else {
                candidate.loose.remove(path);
            }
            next.push(candidate);
        }
        self.loosened += u64::from(is_vague);
        self.set(next);
        if unsettled {
            self.displace_edits();
        }
    }

    /// Another program has made something else of this content: where nobody had displaced it yet, nobody will.
    pub fn overwritten(&mut self, content: &Vec<u8>) {
        self.candidates.iter_mut().for_each(|candidate| {
            candidate.due.remove(content);
        });
        self.set(self.candidates.clone());
    }

    /// The edit at `path` was made in place, of a large body: it is what the store has there now. Where
    /// somebody who has died may have been about to give it another name, it goes with that, or not.
    pub fn edit_of_body(&mut self, path: &str, body: &Bytes, unsettled: bool) {
        if !unsettled {
            let mut all = self.candidates.clone();
            for candidate in &mut all {
                let now = candidate.docs.get(path).cloned();
                candidate
                    .edits
                    .get_mut(path)
                    .into_iter()
                    .for_each(|edit| edit.before = now.clone());
            }
            all.append(&mut self.candidates);
            self.set(all);
            return;
        }
        for candidate in &mut self.candidates {
            let mut may_have: Vec<String> = vec![path.to_owned()];
            let docs = candidate.docs.iter().filter(|(_, content)| *content == body);
            may_have.extend(docs.map(|(path, _)| path.clone()));
            for event in candidate.pending.iter().flat_map(|pending| &pending.events) {
                if let Event::Put(path, content) = event
                    && content == body
                {
                    may_have.push(path.clone());
                }
            }
            candidate.pending.iter_mut().for_each(|pending| {
                pending.events.retain(|event| {
                    event.document().is_none_or(|doc| !may_have.iter().any(|p| p == doc))
                });
            });
            may_have.iter().for_each(|path| candidate.loosen(path));
        }
        self.loosened += 1;
        self.set(self.candidates.clone());
    }

    /// Each edit may be displaced by the store's word from now on; then it is in `rescued/`.
    pub fn displace_edits(&mut self) {
        let mut next = Vec::new();
        for candidate in std::mem::take(&mut self.candidates) {
            let mut variants = vec![candidate.clone()];
            for path in &candidate.hazy {
                variants.iter_mut().for_each(|variant| variant.loosen(path));
            }
            for (path, edit) in &candidate.edits {
                if self.appended.contains(path) {
                    variants.iter_mut().for_each(|variant| variant.loosen(path));
                    self.loosened += 1;
                    continue;
                }
                for mut variant in variants.clone() {
                    if let (Some(content), true) = (variant.docs.get(path).cloned(), edit.saved)
                        && edit.before.as_ref() != Some(&content)
                    {
                        variant.due.insert(content, edit.saved);
                    }
                    variant.put(path, edit.before.clone());
                    variant.edits.remove(path);
                    variants.push(variant);
                }
            }
            next.append(&mut variants);
        }
        self.set(next);
    }

    /// The store is opened alone: what nobody knew may happen now.
    pub fn decide(&mut self) {
        let mut next = Vec::new();
        for mut candidate in std::mem::take(&mut self.candidates) {
            let mut variants = vec![Candidate { pending: Vec::new(), ..candidate.clone() }];
            for pending in std::mem::take(&mut candidate.pending) {
                for mut variant in variants.clone() {
                    variant.happens_late(&pending);
                    variants.push(variant);
                }
            }
            next.append(&mut variants);
        }
        self.set(next);
    }

    /// The power was cut. Edits that nobody synced may be in any state; `spares_edits`: the others
    /// are whole. `noise`: where bytes are added, garbage may be found, and is kept like anybody's.
    pub fn power_cut(&mut self, spares_edits: bool, noise: bool) {
        if noise {
            let appended = self.appended.clone();
            self.candidates.iter_mut().for_each(|c| appended.iter().for_each(|p| c.loosen(p)));
            self.loosened += appended.len() as u64;
        }
        for candidate in &mut self.candidates {
            for path in candidate.edits.keys().cloned().collect::<Vec<_>>() {
                if !spares_edits || !candidate.edits[&path].saved {
                    candidate.loosen(&path);
                    self.loosened += 1;
                }
            }
            candidate.due.retain(|_, firm| *firm && spares_edits);
        }
        self.displace_edits();
    }

    /// A sync has failed: what nobody has saved may be gone, now or later.
    pub fn lose_unsaved(&mut self) {
        for candidate in &mut self.candidates {
            for path in candidate.hazy.clone() {
                candidate.loosen(&path);
            }
            let unsaved = candidate.edits.iter().filter(|(_, edit)| !edit.saved);
            for path in unsaved.map(|(path, _)| path.clone()).collect::<Vec<_>>() {
                candidate.loosen(&path);
            }
        }
        self.set(self.candidates.clone());
    }

    /// Nothing is known any more of what was changed since the last checkpoint.
    pub fn forget_changed(&mut self, changed: &BTreeSet<String>) {
        for candidate in &mut self.candidates {
            changed.iter().for_each(|path| candidate.loosen(path));
            candidate.due.clear();
        }
        self.loosened += changed.len() as u64;
        self.set(self.candidates.clone());
    }

    /// The journal may have been cut here: what is edited from now on may be taken as it is.
    pub fn checkpointed(&mut self) {
        self.worded.clear();
    }

    /// The files as anybody finds them after the store was opened alone.
    pub fn files(&mut self, tree: &Tree) -> bool {
        let mut events: Vec<Event> = vec![Event::List(tree.keys().cloned().collect())];
        let known: BTreeSet<&String> =
            self.candidates.iter().flat_map(|c| c.loose.iter().chain(c.docs.keys())).collect();
        for path in known.into_iter().chain(tree.keys()) {
            events.push(Event::Read(path.clone(), tree.get(path).map(|b| Arc::new(b.clone()))));
        }
        let fitting = self.candidates.iter().filter_map(|candidate| {
            candidate.replay(&events, &self.worded).map(|_| candidate.bound(&events))
        });
        let fitting = fitting.collect();
        self.set(fitting);
        (self.worded, self.appended) = (BTreeSet::new(), BTreeSet::new());
        !self.is_empty()
    }

    /// Strikes out what has lost an edit; `rescued` are all contents in `rescued/`. False if nothing
    /// is left.
    pub fn rescued(&mut self, rescued: &BTreeSet<Bytes>) -> bool {
        self.candidates.retain(|candidate| candidate.due.keys().all(|due| rescued.contains(due)));
        !self.is_empty()
    }

    /// Some candidates, for a report.
    pub fn describe(&self) -> String {
        let mut text = format!("{} states were possible", self.len());
        for candidate in self.candidates.iter().take(4) {
            text += "\n   ";
            for (path, content) in &candidate.docs {
                text += &format!(" {path}={}", shown(Some(content)));
            }
            text += &format!(
                "; unread edits of {:?}; unknown: {:?}; due in rescued/: {:?}",
                candidate.edits.keys().collect::<Vec<_>>(),
                candidate.loose,
                candidate.due.keys().map(|due| shown(Some(due))).collect::<Vec<_>>()
            );
        }
        text
    }

    fn set(&mut self, mut candidates: Vec<Candidate>) {
        candidates.sort();
        candidates.dedup();
        self.candidates = candidates;
    }
}

/// A content in a few words.
pub fn shown(content: Option<&Bytes>) -> String {
    let Some(content) = content else { return "absent".to_owned() };
    let start = String::from_utf8_lossy(&content[..content.len().min(9)]).into_owned();
    format!("{start:?}*{}", content.len())
}

impl Candidate {
    fn put(&mut self, path: &str, content: Option<Bytes>) {
        match content {
            Some(content) => drop(self.docs.insert(path.to_owned(), content)),
            None => drop(self.docs.remove(path)),
        }
    }

    fn loosen(&mut self, path: &str) {
        self.docs.remove(path);
        self.edits.remove(path);
        self.hazy.remove(path);
        self.loose.insert(path.to_owned());
    }

    fn pending(&self, events: Vec<Event>, worded: &BTreeSet<String>) -> Pending {
        let edits = self
            .edits
            .keys()
            .map(|path| (path.clone(), (self.docs.get(path).cloned(), worded.contains(path))));
        Pending { events, edits: edits.collect() }
    }

    /// A transaction was not known to have happened; edits that have come since are on top of it.
    fn happens_late(&mut self, pending: &Pending) {
        let Pending { events, edits } = pending;
        for event in events {
            let (Event::Read(path, seen) | Event::Expect(path, seen)) = event else { continue };
            if self.docs.get(path) == seen.as_ref() {
                // The edit was there before, and was read.
                self.edits.remove(path);
            } else if let (Some(edit), true) = (self.edits.get_mut(path), edits.contains_key(path))
            {
                // One was there before, and was read; this one has come since.
                edit.before = seen.clone();
            }
        }
        for event in events {
            let Some(path) = event.changes() else { continue };
            let content = match event {
                Event::Put(_, content) => Some(content.clone()),
                Event::Append(_, bytes) if !self.loose.contains(path) => {
                    let old = self.docs.get(path).map_or_else(Vec::new, |old| old.to_vec());
                    Some(Arc::new([old.as_slice(), bytes].concat()))
                }
                Event::Append(..) => continue,
                _ => None,
            };
            let early = edits.get(path).filter(|(left, _)| self.docs.get(path) == left.as_ref());
            match (self.edits.get_mut(path), event) {
                (Some(_), Event::Append(..)) => self.loosen(path),
                (Some(edit), _) if let Some((left, known)) = early => {
                    if let (Some(left), true, true) = (left, *known, edit.saved && !edit.taken) {
                        self.due.insert(left.clone(), true);
                    }
                    self.edits.remove(path);
                    self.put(path, content);
                }
                (Some(edit), _) => edit.before = content,
                (None, _) => {
                    self.loose.remove(path);
                    self.put(path, content);
                }
            }
        }
    }

    /// The same, with what was unknown as these reads have found it.
    fn bound(&self, events: &[Event]) -> Self {
        let mut bound = self.clone();
        let mut own = BTreeSet::new();
        for event in events {
            match event {
                Event::Read(path, seen) | Event::Expect(path, seen)
                    if !own.contains(path) && bound.loose.remove(path) =>
                {
                    bound.put(path, seen.clone());
                    bound.hazy.insert(path.clone());
                }
                other => drop(other.changes().map(|path| own.insert(path.to_owned()))),
            }
        }
        bound
    }

    /// The state after a transaction that saw and asked for this; `None` if it cannot have seen it.
    fn replay(&self, events: &[Event], worded: &BTreeSet<String>) -> Option<Self> {
        let mut next = self.bound(events);
        let (mut own, mut put, mut read) = <(BTreeSet<_>, BTreeSet<_>, BTreeSet<_>)>::default();
        for event in events {
            match event {
                Event::Read(path, seen) | Event::Expect(path, seen) => {
                    if !next.loose.contains(path) && next.docs.get(path) != seen.as_ref() {
                        return None;
                    }
                    // What it has only added to it reads.
                    if !put.contains(path) {
                        read.insert(path.clone());
                    }
                }
                Event::List(names) => {
                    let known = |path: &&String| !next.loose.contains(*path);
                    if !next.docs.keys().filter(known).eq(names.iter().filter(known)) {
                        return None;
                    }
                }
                Event::Put(path, _) | Event::Remove(path) => {
                    let edit = next.edits.remove(path);
                    let edited = edit.filter(|_| !own.contains(path) && !read.contains(path));
                    if let (Some(edit), Some(content)) = (edited, next.docs.get(path))
                        && worded.contains(path)
                        && !edit.taken
                        && edit.saved
                    {
                        next.due.insert(content.clone(), edit.saved);
                    }
                    next.loose.remove(path);
                    next.hazy.remove(path);
                    own.insert(path.clone());
                    put.insert(path.clone());
                    let content = match event {
                        Event::Put(_, content) => Some(content.clone()),
                        _ => None,
                    };
                    next.put(path, content);
                }
                Event::Append(path, bytes) => {
                    own.insert(path.clone());
                    if !next.docs.contains_key(path) {
                        // What another program has removed is made anew, and is nobody's edit.
                        next.edits.remove(path);
                    }
                    if let (Some(edit), false) = (next.edits.get_mut(path), worded.contains(path)) {
                        edit.taken = true;
                    }
                    if !next.loose.contains(path) {
                        let mut content =
                            next.docs.get(path).map_or_else(Vec::new, |old| old.to_vec());
                        content.extend_from_slice(bytes);
                        next.put(path, Some(Arc::new(content)));
                    }
                }
            }
        }
        if !own.is_empty() {
            // What it has read is recorded ahead of it: the edit is a version like any other.
            // That it has found nothing is not recorded where nothing was known.
            let docs = &next.docs;
            let is_vague = |path: &String, edit: &Edit| {
                !edit.saved && !docs.contains_key(path) && !worded.contains(path)
            };
            let vague = next.edits.iter().filter(|(path, edit)| is_vague(path, edit));
            let vague: BTreeSet<String> = vague.map(|(path, _)| path.clone()).collect();
            next.edits.retain(|path, _| !read.contains(path) || vague.contains(path));
            next.hazy.retain(|path| !read.contains(path));
            next.hazy.extend(vague.intersection(&read).cloned());
        }
        Some(next)
    }
}
