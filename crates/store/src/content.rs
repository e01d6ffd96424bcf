//! A document's content where it lies, for bodies that need not fit into memory.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use filepact_fs::{File, FsError, read_full};
use filepact_journal::{Hash, Hasher};

/// Bytes in memory at a time.
const PIECE: usize = 256 * 1024;

/// The content of a document at one moment: parts, one behind the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    parts: Vec<Part>,
}

/// A part of a content.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// In memory.
    Memory(Arc<[u8]>),
    /// The first bytes of a file, whatever is added to it later.
    File {
        /// The file.
        file: Arc<dyn File>,
        /// How many bytes of it.
        len: u64,
    },
}

impl Content {
    pub(crate) fn of(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    pub(crate) fn of_file(file: Arc<dyn File>, len: u64) -> Self {
        Self { parts: vec![Part::File { file, len }] }
    }

    /// This, and a part behind it.
    pub(crate) fn and(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// The file that holds all of it, and its length, if one does.
    pub(crate) fn file(&self) -> Option<(&Arc<dyn File>, u64)> {
        match &self.parts[..] {
            [Part::File { file, len }] => Some((file, *len)),
            _ => None,
        }
    }

    /// The file that its first part lies in.
    pub(crate) fn first_file(&self) -> Option<&Arc<dyn File>> {
        match self.parts.first() {
            Some(Part::File { file, .. }) => Some(file),
            _ => None,
        }
    }

    /// Shows all bytes, in order.
    pub(crate) fn read_pieces(&self, mut show: impl FnMut(&[u8])) -> Result<(), FsError> {
        for part in &self.parts {
            match part {
                Part::Memory(bytes) => show(bytes),
                Part::File { file, len } => {
                    let mut buffer = vec![0; usize::try_from(*len).unwrap_or(PIECE).min(PIECE)];
                    let mut offset = 0;
                    while offset < *len {
                        let rest = usize::try_from(len - offset).unwrap_or(PIECE).min(PIECE);
                        let read = read_full(&**file, &mut buffer[..rest], offset)?;
                        show(&buffer[..read]);
                        offset += read as u64;
                        if read < rest {
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The hash of all bytes.
    pub(crate) fn hash(&self) -> Result<Hash, FsError> {
        let mut hasher = Hasher::new();
        self.read_pieces(|piece| hasher.update(piece))?;
        Ok(hasher.finish())
    }

    pub(crate) fn into_reader(self) -> Reader {
        Reader { parts: self.parts.into(), offset: 0 }
    }
}

/// The content of a document, as it was when the reader was made.
#[derive(Debug)]
pub struct Reader {
    parts: VecDeque<Part>,
    /// In the first part.
    offset: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(part) = self.parts.front().filter(|_| !buffer.is_empty()) {
            let read = match part {
                Part::Memory(bytes) => {
                    let rest = usize::try_from(self.offset).ok().and_then(|at| bytes.get(at..));
                    rest.unwrap_or_default().read(buffer)?
                }
                Part::File { file, len } => {
                    let rest = usize::try_from(len - self.offset).unwrap_or(usize::MAX);
                    let rest = rest.min(buffer.len());
                    read_full(&**file, &mut buffer[..rest], self.offset)
                        .map_err(io::Error::other)?
                }
            };
            if read > 0 {
                self.offset += read as u64;
                return Ok(read);
            }
            self.parts.pop_front();
            self.offset = 0;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_as_one_content() {
        let memory = |bytes: &[u8]| Part::Memory(bytes.into());
        let content = Content::of(vec![memory(b"one "), memory(b""), memory(b"two")]);
        let mut pieces = Vec::new();
        content.read_pieces(|piece| pieces.extend_from_slice(piece)).unwrap();
        assert_eq!(pieces, b"one two");
        let mut read = Vec::new();
        content.and(memory(b" three")).into_reader().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"one two three");
    }
}
