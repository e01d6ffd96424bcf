//! What decays at rest in `.filepact/` is detected and named, or harmless, but for one admitted hole.
//!
//! Every byte of every file there: a bit turns, the file ends, a sector is zeros, is older or belongs
//! elsewhere, bytes are added, the file is lost, two files have each other's names. Then the store is
//! opened. Either it refuses, says which file and where, and has changed nothing at all; or it opens, and
//! every document is byte for byte as it should be, also after one more transaction and a power cut.
//!
//! **The hole** that the protocol admits. Only a later line, or `state`, says that a line had been synced. Where
//! `state` is lost, or older, as a power cut may leave it, nothing vouches for the last group: damage to it
//! reads as a torn tail, and the store opens as it was before that group.
//!
//! A bit that turns takes no more than that: the lines behind it vouch for it. But a file that ends early, or
//! is lost, takes all groups from there on, and with them all that would vouch for them. These cases are
//! counted apart (`Wide`). In both, nothing but the end of the journal is gone: each document is a version of
//! its own, and a newer one that stood at its path is in `rescued/`.

use crate::damage::judge::{Came, Counts, judge};
use crate::damage::kinds::{Hurt, damages};
use crate::damage::stores::stores;

/// What holds after each.
mod judge;
/// What decay does to which bytes.
mod kinds;
/// What decays.
mod stores;

#[test]
fn damage_at_rest_is_detected_or_harmless() {
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for store in stores() {
        for Hurt { what, path, kind, sim } in damages(&store) {
            match judge(&store, &path, &sim) {
                Ok(came) => counts.add(store.name, kind, came),
                Err(wrong) => failures.push(format!("{}, {what}: {wrong}", store.name)),
            }
        }
    }
    println!("{counts}");
    for failure in &failures {
        println!("{}", failure.lines().next().unwrap_or_default());
    }
    assert!(failures.is_empty(), "{} are wrong; {}", failures.len(), failures[0]);
    for kind in kinds::ALL {
        assert!(counts.of_kind(kind) > 20, "{kind:?}");
    }
    assert!(counts.came(Came::Detected) > 5_000 && counts.came(Came::Harmless) > 5_000);
    assert!(counts.came(Came::Hole) > 50, "what is admitted is found as well");
    // Of a line that does not verify the lines behind it say that it had been synced.
    assert_eq!(counts.both(kinds::Kind::BitFlip, Came::Wide), 0);
}
