//! What a document is known to hold, piece by piece: an append says the hash of its own bytes alone.

use filepact_fs::{File, Fs, FsError, Stat};
use filepact_journal::{Append, Change, Hash, Hasher, Said};

use crate::Agrees;
use crate::live::{Opened, hash_part, open_past_links, read_steady};

/// The content of a document, as the journal and this handle know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holds {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    len: u64,
    /// `None` where only the length is known.
    hash: Option<Hash>,
}

impl Holds {
    /// A content of one piece.
    pub fn whole(len: u64, hash: Option<Hash>) -> Self {
        Self { pieces: vec![Piece { len, hash }] }
    }

    /// What the document holds after these words; `before` is what it held. `None` says that it is
    /// removed.
    pub fn after(before: Option<Self>, said: &Said) -> Option<Self> {
        let base = match said.base.as_ref().map(|base| &base.change) {
            Some(Change::Put(put)) => Some(Self::whole(put.len, Some(put.hash))),
            Some(Change::Remove(_)) => None,
            None => before,
        };
        let mut appends = said.appends.iter().map(|added| &added.append).peekable();
        let first = appends.peek().map(|append| Self::whole(append.was.size, append.was.hash));
        let mut holds = base.or(first)?;
        appends.for_each(|append| holds.add(append));
        Some(holds)
    }

    fn add(&mut self, append: &Append) {
        let len = self.len();
        if append.offset < len {
            // Somebody has cut it: what is left is not known.
            self.pieces = vec![Piece { len: append.offset, hash: None }];
        } else if append.offset > len {
            // Somebody else has added something in between.
            self.pieces.push(Piece { len: append.offset - len, hash: None });
        }
        self.pieces.push(Piece { len: append.len, hash: Some(append.hash) });
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len).sum()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hash of all of it, where that is known.
    pub fn hash(&self) -> Option<Hash> {
        match self.pieces[..] {
            [piece] => piece.hash,
            _ => None,
        }
    }

    /// Whether this is what the file holds, as far as it is known.
    pub fn is_in(&self, file: &dyn File) -> Result<bool, FsError> {
        if file.stat()?.stamp.size != self.len() {
            return Ok(false);
        }
        let mut offset = 0;
        for piece in &self.pieces {
            if let Some(hash) = piece.hash
                && hash_part(file, offset, piece.len)? != hash
            {
                return Ok(false);
            }
            offset += piece.len;
        }
        Ok(true)
    }

    /// Whether this is what stands at the path, and what stands there; `None` if that is no document.
    pub fn is_at(&self, fs: &dyn Fs, path: &str) -> Result<Option<(bool, Stat)>, FsError> {
        let Opened::Document(file) = open_past_links(fs, path)? else { return Ok(None) };
        let read = read_steady(fs, &*file, |file, _| self.is_in(file))?;
        Ok(Some((read.content, read.stat)))
    }

    /// To be shown a content, piece by piece.
    pub(crate) fn proof(&self) -> Proof<'_> {
        Proof { pieces: self.pieces.iter(), piece: None, is_whole: true, differs: false }
    }

    pub(crate) fn has_seams(&self) -> bool {
        self.pieces.len() > 1
    }

    /// Forgets the seams: a checkpoint has read all of it back, and the next one need not.
    pub(crate) fn join_pieces(&mut self) {
        if self.has_seams() {
            *self = Self::whole(self.len(), None);
        }
    }
}

/// Is a content that is shown in pieces of any size what a document is known to hold?
#[derive(Debug)]
pub(crate) struct Proof<'a> {
    pieces: std::slice::Iter<'a, Piece>,
    /// What is being shown, how much of it is missing, and the hash so far.
    piece: Option<(&'a Piece, u64, Hasher)>,
    /// Every piece so far has a hash.
    is_whole: bool,
    differs: bool,
}

impl Proof<'_> {
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.differs {
            let Some((piece, rest, mut hasher)) = self.piece.take().or_else(|| self.next()) else {
                // There is more than is known.
                self.differs = true;
                return;
            };
            let here = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes.len());
            hasher.update(&bytes[..here]);
            bytes = &bytes[here..];
            match rest - here as u64 {
                0 => self.end(piece, &hasher),
                rest => self.piece = Some((piece, rest, hasher)),
            }
        }
    }

    pub(crate) fn finish(mut self) -> Agrees {
        // What is left has no bytes, or they are missing.
        let missing = self.piece.is_some() || self.next().is_some();
        match (self.differs || missing, self.is_whole) {
            (true, _) => Agrees::No,
            (false, true) => Agrees::Yes,
            (false, false) => Agrees::Perhaps,
        }
    }
}

impl<'a> Proof<'a> {
    /// The next piece that has bytes.
    fn next(&mut self) -> Option<(&'a Piece, u64, Hasher)> {
        let piece = self.pieces.find(|piece| piece.len > 0)?;
        Some((piece, piece.len, Hasher::new()))
    }

    fn end(&mut self, piece: &Piece, hasher: &Hasher) {
        match piece.hash {
            Some(hash) => self.differs |= hasher.finish() != hash,
            None => self.is_whole = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use filepact_fs::Time;
    use filepact_journal::{Added, Body, Was};

    use super::*;

    fn append(offset: u64, bytes: &[u8]) -> Added {
        let append = Append {
            path: "log".into(),
            offset,
            len: bytes.len() as u64,
            hash: Hash::of(bytes),
            was: Was { size: offset, mtime: Time(0), ino: 1, hash: None },
            body: Body::Inline(bytes.into()),
        };
        Added { seq: 1, append }
    }

    fn said(appends: Vec<Added>) -> Said {
        Said { base: None, appends }
    }

    #[test]
    fn pieces_follow_each_other_and_what_others_did_is_unknown() {
        let before = Holds::whole(5, Some(Hash::of(b"12345")));
        let holds = |appends| Holds::after(Some(before.clone()), &said(appends)).unwrap();
        let grown = holds(vec![append(5, b"ab"), append(7, b"c")]);
        assert_eq!((grown.len(), grown.hash(), grown.pieces.len()), (8, None, 3));
        let added_to = holds(vec![append(6, b"ab")]);
        let gap = Piece { len: 1, hash: None };
        assert_eq!((added_to.len(), added_to.pieces[1]), (8, gap));
        let cut = holds(vec![append(2, b"ab")]);
        assert_eq!((cut.len(), cut.pieces[0]), (4, Piece { len: 2, hash: None }));

        let unknown = Holds::after(None, &said(vec![append(5, b"ab")])).unwrap();
        assert_eq!((unknown.len(), unknown.pieces.len()), (7, 2));
        assert_eq!(Holds::after(Some(before.clone()), &said(Vec::new())), Some(before));
        assert_eq!(Holds::after(None, &said(Vec::new())), None);
    }

    #[test]
    fn a_content_is_proved_piece_by_piece_whatever_it_is_shown_in() {
        let before = Holds::whole(5, Some(Hash::of(b"12345")));
        let known = Holds::after(Some(before.clone()), &said(vec![append(5, b"ab")])).unwrap();
        let behind_unknown = Holds::after(None, &said(vec![append(5, b"ab")])).unwrap();
        let empty = Holds::whole(0, Some(Hash::of(b"")));
        for (holds, content, agrees) in [
            (&known, "12345ab", Agrees::Yes),
            (&known, "12345aB", Agrees::No),
            (&known, "x2345ab", Agrees::No),
            (&known, "12345a", Agrees::No),
            (&known, "12345", Agrees::No),
            (&known, "12345abc", Agrees::No),
            (&known, "", Agrees::No),
            (&behind_unknown, "x2345ab", Agrees::Perhaps),
            (&behind_unknown, "x2345aB", Agrees::No),
            (&empty, "", Agrees::Yes),
            (&empty, "x", Agrees::No),
        ] {
            for size in 1..8 {
                let mut proof = holds.proof();
                content.as_bytes().chunks(size).for_each(|piece| proof.take(piece));
                assert_eq!(proof.finish(), agrees, "{content} by {size}");
            }
        }
    }
}
