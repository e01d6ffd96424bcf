//! The critical section of filepact: from the writer's turn to the published files.
//!
//! A commit is nine steps, C1 to C9 (`docs/protocol.md`), and [`Writer::commit`] is their order:
//! prepare bodies, take the turn, catch up, validate, stage, append, sync, publish, let go. Every
//! other module here is one of these steps, or what two of them share:
//!
//! ```text
//! prepare  C1   queue  C2   validate  C4   group, stage  C5   publication, publish  C8   checkpoint
//! request, read_set        what a transaction asks for, and what it has seen
//! live, list, outside      what is at a path now, and is it ours?
//! view                     what the threads of one handle know of committed documents
//! ```
//!
//! Redo only: once the journal's sync has returned, a transaction is committed, always. Nothing
//! here ever takes a committed change back.

mod checkpoint;
mod error;
mod group;
mod layout;
mod list;
mod live;
mod outside;
mod prepare;
mod publication;
mod publish;
mod queue;
mod read_set;
mod request;
mod stage;
mod validate;
mod view;
mod writer;

pub use checkpoint::{CheckpointMark, sync_documents};
pub use error::{CommitError, Refusal};
pub use layout::{
    GITIGNORE, MARK, META, OPEN, OPENING, RESCUED, STAGE, ensure_layout, stage_body_path,
};
pub use list::{Listing, list};
pub use live::{Live, hash_file, look, read_live};
pub use outside::{Rescued, is_plainly_was, rescue, rescued_edits};
pub use prepare::{Content, PrepareError, prepare_bytes, prepare_reader};
pub use publish::{Displaced, Swap, remove_document, settle};
pub use read_set::{Listed, Observation, ReadSet, Seen, Stamped};
pub use request::{Change, Committed, Request};
pub use stage::{Dress, StageNames, Staged, stage_bytes, stage_copy, stage_name_seq};
pub use view::{Found, Known, View};
pub use writer::{JournalStatus, Limits, Quiet, Writer, WriterParts};
