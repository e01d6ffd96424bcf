//! Recovery of a store: bring every document to the journal's word, before anybody reads.
//!
//! ```text
//! inspect   disk -> facts        reads only: the journal, `state`, every document since the checkpoint
//! plan      facts -> actions     pure: one table, a labelled row for every case
//! run       actions -> disk      idempotent, by the swaps that commits use
//! report    what was found and done, for people and for `recover --dry-run`
//! progress  how far it has come, for who waits
//! ```
//!
//! Who opens a store that others have open [joins](join()) them: shared means recovered.
//!
//! A crash inside recovery is just another crash: the next opening inspects what it left. If
//! recovery cannot be sure of something it changes nothing and refuses, and says what it found.

mod error;
mod inspect;
mod join;
mod open;
mod plan;
mod progress;
mod report;
mod run;

pub use error::RecoveryError;
pub use inspect::{Inspected, Inspection};
pub use join::join;
pub use open::{Opened, examine, open};
pub use plan::{Action, BodyAt, Displace, Facts, OnDisk, Planned, Row, Standing, decide, plan};
pub use progress::{RecoveryProgress, RecoveryStep};
pub use report::{Report, TornTail};
