//! Crashes a story at every call, recovers every distinct outcome, and judges what is found.
//!
//! - [`story`]: a run that was recorded, and what may be found after a crash at each of its moments.
//! - [`stories`]: transactions, edits by other programs, births of segments, healing, and who
//!   looks on meanwhile.
//! - [`suite`]: all of them, by name.
//! - [`explore`]: crashes the moments of a story, the recoveries after that, and the recoveries of
//!   those.
//! - [`judge`]: what has to hold after each recovery.
//! - [`case`]: the address of one recovery, from which it can be repeated.
//! - [`counts`]: what was tried, by kind.
//! - [`run`]: stories on all cores.

pub mod case;
pub mod counts;
pub mod explore;
pub mod judge;
pub mod run;
pub mod stories;
pub mod story;
pub mod suite;

use std::sync::Arc;
use std::time::Duration;

use filepact::{Options, Store};
use filepact_simfs::{Actor, SimFs};

use crate::history::{self, INLINE_MAX, Tree};

/// How the tests open a store on the simulated file system.
pub fn options() -> Options {
    Store::options()
        .inline_max(INLINE_MAX)
        .lock_timeout(Duration::ZERO)
        .max_retries(0)
        .background_checkpoints(false)
}

/// Opens a store as a new process; panics with the tree if it cannot.
pub fn open(sim: &SimFs) -> Store {
    let actor: Arc<Actor> = sim.actor();
    match options().open_with(actor) {
        Ok(store) => store,
        Err(error) => panic!("the store does not open: {error:?}\n{}", sim.dump()),
    }
}

/// The documents of a store, as anybody finds them.
pub fn documents(sim: &SimFs) -> Tree {
    sim.tree_beside(".filepact")
}

/// A store with the documents of [`history::before`], closed and durable.
pub fn prepared() -> SimFs {
    prepared_with(&history::before())
}

/// A store with these documents, closed and durable.
pub fn prepared_with(documents: &Tree) -> SimFs {
    let sim = SimFs::new();
    let store = open(&sim);
    store
        .transact(|tx| {
            documents.iter().try_for_each(|(path, body)| tx.write_bytes(path, body.clone()))
        })
        .expect("nothing fails here");
    store.close().expect("nothing fails here");
    sim.write_back_all();
    sim
}
