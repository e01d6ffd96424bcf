//! What no other test noticed when a single line was taken out (`docs/mutations.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filepact::{Options, Store};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::options;
use filepact_tests::steps::Steps;

use crate::support::{dies, fail};

/// Checkpoints, healing, and the mark.
mod checkpoint;
/// C1 to C9.
mod commit;
/// Appends, and what others add meanwhile.
mod logs;
/// One moment, without waiting.
mod readers;
/// Openings, and what they find.
mod recovery;

/// A handle beside which `action` happens once, just before its next call of this name on this path,
/// once the flag is set.
fn just_before(
    sim: &SimFs,
    op: &'static str,
    path: &'static str,
    action: impl Fn(&SimFs) + Send + Sync + 'static,
) -> (Store, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(false));
    let (world, flag) = (sim.clone(), Arc::clone(&armed));
    let steps = Steps::new(sim.actor(), move |_, called, on| {
        if called == op && on == path && flag.swap(false, Ordering::SeqCst) {
            action(&world);
        }
    });
    (options().open_with(steps).expect("it opens"), armed)
}

/// A process whose sync of this path fails, and which dies before it can say so.
fn dies_with_the_error_of(sim: &SimFs, options: Options, op: &'static str, path: &str) -> Store {
    let path = path.to_owned();
    let failed = AtomicBool::new(false);
    fail(sim, op, &path, errno::IO, false);
    dies(sim, options, move |called, on| {
        failed.load(Ordering::SeqCst) || {
            failed.store(called == op && on == path, Ordering::SeqCst);
            false
        }
    })
}

/// Commits these while somebody else has the turn, so that they wait in one line for the next one.
fn in_one_turn<T: Send>(
    store: &Store,
    commits: impl IntoIterator<Item = impl FnOnce(&Store) -> T + Send>,
) -> Vec<T> {
    let turn = store.begin_exclusive(Duration::ZERO).expect("nobody else has it");
    std::thread::scope(|scope| {
        let threads: Vec<_> = commits
            .into_iter()
            .map(|commit| {
                let thread = scope.spawn(|| commit(store));
                std::thread::sleep(Duration::from_millis(50));
                thread
            })
            .collect();
        turn.rollback();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

fn patient() -> Options {
    options().lock_timeout(Duration::from_secs(60))
}
