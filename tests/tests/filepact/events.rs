//! What happens is told as events and counted.

use std::fmt;
use std::sync::{Arc, Mutex};

use filepact_tests::crash::{open, prepared};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::put;

/// Keeps what is said, with its level.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "filepact"
    }
    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let said = format!("{} {}", event.metadata().level(), message.0);
        self.0.lock().expect("no test has failed").push(said);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn what_happens_is_told_and_counted() {
    let heard = Heard::default();
    // With one subscriber alone, an event that a thread without it is the first to reach is silent for
    // all from then on.
    let _another = tracing::Dispatch::new(heard.clone());
    let sim = prepared();
    let counts = tracing::subscriber::with_default(heard.clone(), || {
        let store = open(&sim);
        put(&store, "a.json", b"v1");
        let mut tx = store.begin().expect("the store is open");
        tx.read_bytes("a.json").expect("it is there");
        put(&store, "a.json", b"v2");
        tx.write_bytes("sum", "1").expect("a valid path");
        tx.commit().expect_err("a.json has changed");
        sim.write("a.json", b"an edit");
        put(&store, "a.json", b"v3");
        store.checkpoint().expect("nothing fails here");
        store.status().expect("it can be read").counts
    });
    assert_eq!(
        *heard.0.lock().expect("no test has failed"),
        [
            "INFO opened",
            "DEBUG committed",
            "DEBUG committed",
            "DEBUG conflict",
            "DEBUG committed",
            "WARN kept a displaced edit",
            "DEBUG checkpoint",
        ]
    );
    // One of each was there before: the documents that every test begins with.
    assert_eq!((counts.commits, counts.groups, counts.largest_group), (4, 4, 1));
    assert_eq!((counts.conflicts, counts.rescued, counts.checkpoints), (1, 1, 2));
}
