//! One process dies in a commit, another one that has the store open goes on, and then there is a
//! crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use filepact::Store;
use filepact_simfs::SimFs;

use crate::crash::stories::spares::make_spares;
use crate::crash::story::{Expect, Scene, Story};
use crate::crash::{open, options, prepared};
use crate::history::{self, Tree, Txn};
use crate::steps::Steps;

/// So many stories have the same transactions, and differ in where the first process dies, and in whether
/// it has spares by then.
pub const PLACES: usize = 32;

/// The process of the first transaction dies before one of the calls of its commit; the next one
/// commits the second. Every moment of that.
pub fn healing(name: String, txns: [Txn; 2], place: usize) -> Story {
    let has_spares = place % 2 == 1;
    let whole = Death::of(txns[0], has_spares, usize::MAX);
    let calls = whole.calls;
    // Spread over all calls, at other ones for other transactions.
    let at = 1 + (place * calls / PLACES + txns[1].0 as usize + txns[1].1 as usize) % calls;
    let Death { sim, next, acknowledged: first, .. } = Death::of(txns[0], has_spares, at);
    let (before, after) = (whole.before, whole.after);

    sim.record();
    // Only one of the two is there: what the next one reads says whether the first one counts.
    let reads = |tree: &Tree| {
        let touched = before.keys().chain(after.keys());
        touched.into_iter().all(|path| {
            next.read_bytes(path).expect("nothing fails here").as_ref() == tree.get(path)
        })
    };
    let counts = reads(&after);
    assert!(counts || !first && reads(&before), "half a transaction is seen, or a lost one");
    let mut last = if counts { after.clone() } else { before.clone() };
    history::run(&next, txns[1], 2, &mut last).expect("nothing fails here");
    let acknowledged = sim.recorded().len() - 1;
    next.close().expect("nothing fails here");

    let history: Arc<[Tree]> = Arc::from([before.clone(), after.clone(), last.clone()]);
    let scene = |(call, moment)| {
        let mut expect = Expect::one_of(std::slice::from_ref(&last));
        if call < acknowledged {
            // A crash may revive, whole, what is void, until what voids it is durable.
            expect.trees.push(after.clone());
            expect.trees.extend((!first).then(|| before.clone()));
        }
        expect.history = Arc::clone(&history);
        Scene { call, moment, expect }
    };
    let scenes = sim.recorded().into_iter().enumerate().map(scene).collect();
    let counts = if counts { "counts" } else { "is void" };
    let [first, second] = txns;
    let spares = if has_spares { "with spares, " } else { "" };
    let text = format!(
        "{spares}{first:?} dies before call {at} of {calls}, and {counts}; another process, {second:?}"
    );
    Story { name, text, scenes, share: 1 }
}

/// A process that died in its commit, and one that has the store open as well.
struct Death {
    sim: SimFs,
    next: Store,
    /// What the dead one has done since it had opened the store.
    calls: usize,
    /// What was there.
    before: Tree,
    /// What it wanted to leave.
    after: Tree,
    /// It was told that it had, before it died.
    acknowledged: bool,
}

impl Death {
    fn of(txn: Txn, has_spares: bool, at: usize) -> Self {
        let sim = prepared();
        let calls = Arc::new(AtomicUsize::new(0));
        let actor = sim.actor();
        let (world, victim, count) = (sim.clone(), actor.clone(), Arc::clone(&calls));
        let steps = Steps::new(actor, move |_, _, _| {
            if count.fetch_add(1, Ordering::SeqCst) + 1 == at {
                world.kill(&victim);
            }
        });
        // Opening is not counted.
        let store = {
            calls.store(usize::MAX / 2, Ordering::SeqCst);
            options().open_with(steps).expect("it opens")
        };
        let next = open(&sim);
        let mut before = history::before();
        if has_spares {
            make_spares(&store, &mut before);
        }
        calls.store(0, Ordering::SeqCst);
        let mut after = before.clone();
        let acknowledged = history::run(&store, txn, 1, &mut after).is_ok();
        let calls = calls.load(Ordering::SeqCst);
        drop(store);
        Self { sim, next, calls, before, after, acknowledged }
    }
}
