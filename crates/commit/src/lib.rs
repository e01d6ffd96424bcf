//! The critical section of filepact: from the writer's turn to the published files.
//!
//! A commit is nine steps, C1 to C9 (`docs/protocol.md`): prepare bodies, take the turn, catch up,
//! validate, stage, append, sync, publish, let go.
//!
//! ```text
//! writer                   who comes in, and waits for whom     C2, C9   queue, turn
//! catch_up                 others' work, done or half done      C3       heal
//! steps                    a group, from requests to documents  C4 to C8
//!   validate, target       C4: is all as it was seen, and can it be published?
//!   touched                C4: may two requests be in one group?
//!   group, stage           C5: bodies on their way
//!   publication            C8: the documents of a group, each on its way
//!   publisher, publish     C8: one of them, and its swap
//!   spares                 C8: what was displaced, for the next time
//!   append                 C8: what is added at the end
//!   pins                   C8: what stays for those who read an older moment
//! prepare, stream          bodies, before anybody waits         C1
//! checkpoint, rewrite      so that older journal can go
//! blank                    the journal's next segment, before a commit needs it
//! durable, mark            documents on the disk, and syncs that are not done
//! request, read_set        what a transaction asks for, and what it has seen
//! live, list, outside      what is at a path now, and is it ours?
//! rescued                  edits that were not, and where they lie
//! holds                    what a document is known to hold, piece by piece
//! view                     what a handle knows of committed documents, whoever committed them
//! past                     and what it knew at an older moment, for those who read it
//! counters                 how often things have happened
//! ```
//!
//! Redo only: once the journal's sync has returned, a transaction is committed, always. Nothing
//! here ever takes a committed change back.

mod append;
mod blank;
mod catch_up;
mod checkpoint;
mod counters;
mod durable;
mod error;
mod group;
mod heal;
mod holds;
mod layout;
mod list;
mod listener;
mod live;
mod mark;
mod outside;
mod past;
mod pins;
mod prepare;
mod publication;
mod publish;
mod publisher;
mod queue;
#[cfg(test)]
mod queue_tests;
mod read_set;
mod request;
mod rescued;
mod rewrite;
mod spares;
mod stage;
mod steps;
mod stream;
mod sync;
mod target;
mod touched;
mod turn;
mod validate;
mod versions;
mod view;
mod writer;

pub use append::{are_there, finish, is_torn, is_torn_from};
pub use blank::WantedBlank;
pub use counters::{Counters, Counts};
pub use durable::{sync_documents, sync_names};
pub use error::{CommitError, Refusal};
pub use heal::drop_staged;
pub use holds::Holds;
pub use layout::{
    COUNTERS, GITIGNORE, KEPT, LOCK, MARK, META, OPEN, OPENING, PINS, RESCUED, STAGE, TURN,
    create_layout, ensure_layout, ensure_own, stage_body_path,
};
pub use list::{Listing, list};
pub use listener::{Heard, Listener};
pub use live::{
    Live, Opened, Steady, hash_file, hash_part, look, look_past_links, open_document,
    open_past_links, read_live, read_steady,
};
pub use mark::Mark;
pub use outside::{is_before_own, is_plainly_was, rescue};
pub use past::{Agrees, Pinned};
pub use pins::{
    Before, HeldPin, Images, Names, held_pins, sweep_all_kept, sweep_kept, sweep_kept_alone,
};
pub use prepare::{Content, PrepareError, prepare_bytes, prepare_existing, prepare_reader};
pub use publish::{Displaced, Swap, remove_document, settle, settle_leftover};
pub use read_set::{Listed, Observation, ReadSet, Seen, Stamped};
pub use request::{Attributes, Change, Committed, Request};
pub use rescued::{
    Dropped, Rescued, drop_rescued, is_as_listed, open_rescued, rescued_edits, secure_rescued,
};
pub use rewrite::{Rewritten, rewrite};
pub use spares::SpareWords;
pub use stage::{
    Dress, StageNames, Staged, place, restage, spare_name_path, stage_edited, stage_name_record,
};
pub use turn::Turn;
pub use versions::{is_displaced, is_earlier, is_whole_version};
pub use view::{Found, Known, Lost, Moment, View, Whole};
pub use writer::{Durability, JournalStatus, Limits, Writer, WriterParts};
