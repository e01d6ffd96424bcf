//! Edits by other programs that were displaced unseen: seen, compared, restored, dropped.

use std::sync::Arc;

use filepact_commit::{
    Attributes, Change, Committed, Dropped, Refusal, drop_rescued, is_as_listed, open_rescued,
    prepare_reader, rescued_edits,
};
use filepact_fs::{DocPath, File, Kind};

use crate::content::Content;
use crate::error::prepare_error;
use crate::read;
use crate::{Durability, Error, Reader, Rescued, Store, Transaction, Version};

/// A rescued edit beside the document that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compared {
    /// The version that the document would have with the edit's content.
    pub edit: Version,
    /// The version that it has; `None` if it is absent.
    pub document: Option<Version>,
}

impl Compared {
    /// Whether the document holds what the edit holds.
    pub fn is_same(&self) -> bool {
        self.document == Some(self.edit)
    }
}

impl Store {
    /// The edits by other programs that transactions, or the recovery after a crash, have displaced
    /// without having read them, the oldest first. Each stays in `.filepact/rescued/` until it is
    /// [restored](Transaction::restore_rescued) or [dropped](Self::drop_rescued), or somebody takes it
    /// away by hand.
    ///
    /// ```
    /// # use filepact::{Error, Store};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// store.write("page.json", &"first")?;
    /// # let page = folder.path().join("page.json");
    /// std::fs::write(page, "\"an edit\"").expect("any program may");
    /// store.write("page.json", &"second")?; // has not read the edit
    ///
    /// let edits = store.rescued()?;
    /// assert_eq!(edits[0].path, "page.json");
    /// assert_eq!(store.read_rescued(&edits[0])?, b"\"an edit\"");
    ///
    /// let seen = store.compare_rescued(&edits[0], "page.json")?;
    /// store.restore_rescued(&edits[0], "page.json", seen.document)?;
    /// assert_eq!(store.read::<String>("page.json")?, "an edit");
    /// assert!(store.rescued()?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn rescued(&self) -> Result<Vec<Rescued>, Error> {
        self.enter()?;
        Ok(rescued_edits(self.0.fs())?)
    }

    /// The bytes of a rescued edit.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not there any more; [`Error::Refused`] if it is no file.
    pub fn read_rescued(&self, edit: &Rescued) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.rescued_content(edit)?.read_pieces(|piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// A rescued edit for reading, in constant memory.
    ///
    /// # Errors
    /// As [`read_rescued`](Self::read_rescued).
    pub fn rescued_reader(&self, edit: &Rescued) -> Result<Reader, Error> {
        Ok(self.rescued_content(edit)?.into_reader())
    }

    /// Holds a rescued edit against a document: its own, or another.
    ///
    /// # Errors
    /// As [`read_rescued`](Self::read_rescued).
    pub fn compare_rescued(
        &self,
        edit: &Rescued,
        path: impl AsRef<str>,
    ) -> Result<Compared, Error> {
        let content = self.rescued_content(edit)?;
        Ok(Compared { edit: Version(content.hash()?), document: self.version(path)? })
    }

    /// Makes a rescued edit the content of a document, durably, in a transaction of its own, and takes
    /// it out of `.filepact/rescued/`; see [`Transaction::restore_rescued`].
    ///
    /// # Errors
    /// [`Error::Conflict`] if the document has neither the version that is expected nor the edit's own
    /// content, or if the edit was saved again since it was listed: nothing has changed.
    /// [`Error::NotFound`] if it is not there any more; [`Error::Refused`] if it is no file, or cannot be
    /// at this path.
    pub fn restore_rescued(
        &self,
        edit: &Rescued,
        path: impl AsRef<str>,
        expected: Option<Version>,
    ) -> Result<Committed, Error> {
        let mut tx = self.begin()?;
        tx.restore_rescued(edit, path, expected)?;
        tx.commit()
    }

    /// Removes a rescued edit for good. After a power cut it may be there again.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not there any more; [`Error::Conflict`] if it was saved again since
    /// it was listed, by a program that still had it open: it stays.
    pub fn drop_rescued(&self, edit: &Rescued) -> Result<(), Error> {
        self.enter()?;
        if edit.kind == Kind::Dir {
            return Err(refused(edit, Refusal::Directory));
        }
        match drop_rescued(self.0.fs(), edit)? {
            Dropped::Yes => Ok(()),
            Dropped::Gone => Err(Error::not_found(&edit.at)),
            Dropped::Changed => Err(saved_again(edit)),
        }
    }

    fn rescued_content(&self, edit: &Rescued) -> Result<Content, Error> {
        self.enter()?;
        let file = open(self, edit)?;
        let len = file.stat()?.stamp.size;
        Ok(Content::of_file(file, len))
    }
}

impl Transaction {
    /// Makes a rescued edit the content of a document, its own or another, with the mode, owner and
    /// extended attributes that the edit has. When the transaction has committed, and the bytes can no
    /// longer be lost, the edit is taken out of `.filepact/rescued/`.
    ///
    /// So that nothing is replaced unseen, `expected` says which version of the document is: what
    /// [`Store::compare_rescued`] has shown, or `None` if it is to be absent. Also good is a document
    /// that holds the edit's content already. Otherwise the commit is [`Error::Conflict`]. What is
    /// replaced so goes as with every put.
    ///
    /// A crash leaves the edit where it was, or the document restored, or both; then it can be restored
    /// once more, or dropped. After any error of the commit it is where it was, also after
    /// [`Error::Unpublished`]: then the document is restored as well. Extended attributes are in no record: of
    /// the edit's a crash may leave the document none, and it has never those of the document before.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the edit is not there any more; [`Error::Conflict`] if it was saved again
    /// since it was listed, by a program that still had it open; [`Error::Refused`] if it is no file.
    pub fn restore_rescued(
        &mut self,
        edit: &Rescued,
        path: impl AsRef<str>,
        expected: Option<Version>,
    ) -> Result<(), Error> {
        let path = DocPath::new(path)?;
        self.store.0.check_open()?;
        let shared = &self.store.0;
        let file = open(&self.store, edit)?;
        let as_listed = |file: &dyn File| match is_as_listed(edit, &file.stat()?) {
            true => Ok(()),
            false => Err(saved_again(edit)),
        };
        as_listed(&*file)?;
        let attrs = file.attrs()?;
        // Copied, and not linked: whoever has the edit open may save it again at any time.
        let mut reader = Content::of_file(Arc::clone(&file), edit.size).into_reader();
        let content = prepare_reader(shared.fs(), &path, &mut reader, shared.options.inline_max)
            .map_err(|error| prepare_error(&path, error))?;
        as_listed(&*file)?;
        let own = Some(Version(content.hash()));
        let present = read::seen(shared.fs(), shared.writer.view(), &path)?.seen.hash();
        let present = present.map(Version);
        self.expect(&path, if present == own { own } else { expected })?;
        self.change(path.clone(), Change::Put { content, attributes: Attributes::Own(attrs) });
        self.restored.insert(path, edit.clone());
        Ok(())
    }

    /// After the commit of what was restored.
    pub(crate) fn drop_restored(store: &Store, restored: impl IntoIterator<Item = Rescued>) {
        let mut restored = restored.into_iter().peekable();
        if restored.peek().is_none() {
            return;
        }
        // A commit with `Buffered` can still be lost; what a checkpoint covers cannot.
        if store.0.options.durability == Durability::Buffered
            && let Err(error) = store.0.writer.checkpoint(store.0.timeout())
        {
            tracing::warn!(target: "filepact", %error, "what was restored stays in `rescued/` as well");
            return;
        }
        for edit in restored {
            // The transaction stands. What stays is listed, and can be dropped.
            match drop_rescued(store.0.fs(), &edit) {
                Ok(Dropped::Yes | Dropped::Gone) => {}
                Ok(Dropped::Changed) => {
                    tracing::warn!(target: "filepact", at = edit.at, "a restored edit was saved again");
                }
                Err(error) => {
                    tracing::warn!(target: "filepact", %error, "a restored edit stays as well");
                }
            }
        }
    }
}

/// The edit's file.
fn open(store: &Store, edit: &Rescued) -> Result<Arc<dyn File>, Error> {
    match edit.kind {
        Kind::File => {}
        Kind::Dir => return Err(refused(edit, Refusal::Directory)),
        Kind::Link => return Err(refused(edit, Refusal::Link)),
        Kind::Other => return Err(refused(edit, Refusal::NotAFile)),
    }
    let file = open_rescued(store.0.fs(), edit)?;
    file.map(Arc::from).ok_or_else(|| Error::not_found(&edit.at))
}

fn refused(edit: &Rescued, refusal: Refusal) -> Error {
    Error::Refused { path: edit.at.clone(), refusal }
}

fn saved_again(edit: &Rescued) -> Error {
    Error::Conflict { paths: vec![edit.at.clone()] }
}
