//! What the tests on the simulated file system share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use filepact::{Error, Options, Store};
use filepact_fs::{Access, Fs, Time, write_all};
use filepact_simfs::{Fault, FaultKind, Grain, Moment, Profile, SimFs, When, errno};
use filepact_tests::crash::{open, options};
use filepact_tests::steps::{Hook, Steps};

pub(crate) const STRICT: Profile = Profile::Strict(Grain::Page);
pub(crate) const HOSTILE: Profile = Profile::Hostile(Grain::Page);

pub(crate) fn put(store: &Store, path: &str, content: &[u8]) {
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes(path, content).expect("a valid path");
    tx.commit().expect("nothing stands in the way");
}

/// Commits all of these as one.
pub(crate) fn commit(store: &Store, changes: &[(&str, &str)]) -> Result<u64, Error> {
    let mut tx = store.begin()?;
    for (path, body) in changes {
        tx.write_bytes(path, *body)?;
    }
    Ok(tx.commit()?.txn)
}

pub(crate) fn read(sim: &SimFs, path: &str) -> Option<String> {
    sim.read(path).map(|bytes| String::from_utf8(bytes).expect("the tests write text"))
}

pub(crate) fn text(store: &Store, path: &str) -> Option<String> {
    let bytes = store.read_bytes(path).expect("it can be read");
    bytes.map(|bytes| String::from_utf8(bytes).expect("the tests write text"))
}

pub(crate) fn fail(sim: &SimFs, op: &'static str, path: &str, errno: i32, sticky: bool) {
    let at = When::Matching { op, path_contains: path.to_owned(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno), sticky });
}

/// Every file system that a power cut now may leave, opened: also one on which a synced directory vouches for
/// its own half of a move alone.
pub(crate) fn after_power_cuts(sim: &SimFs, limit: usize, judge: impl Fn(&SimFs, &Store)) {
    after_power_cuts_of(&STRICT, sim, limit, &judge);
    after_power_cuts_of(&HOSTILE, sim, limit, &judge);
}

/// Those of one kind of file system.
pub(crate) fn after_power_cuts_of(
    profile: &Profile,
    sim: &SimFs,
    limit: usize,
    judge: impl Fn(&SimFs, &Store),
) {
    for world in sim.world().power_cut(profile, limit, 1).worlds {
        let store = open(&world);
        judge(&world, &store);
    }
}

/// The first moment whose call begins like this.
pub(crate) fn moment(sim: &SimFs, call: &str) -> Moment {
    let calls = sim.recorded();
    let found = calls.iter().find(|moment| moment.call.starts_with(call));
    found.unwrap_or_else(|| panic!("no call `{call}` in {:#?}", sim.call_log())).clone()
}

pub(crate) fn set_mtime(sim: &SimFs, path: &str, mtime: Time) {
    let file = sim.actor().open(path, Access::Write).expect("it is there");
    file.set_mtime(mtime).expect("nothing fails here");
}

/// Adds a line as `echo >>` does it, durably.
pub(crate) fn echo(sim: &SimFs, path: &str, line: &str) {
    let file = sim.actor().open(path, Access::Append).expect("it is there");
    write_all(&*file, line.as_bytes(), 0).expect("nothing fails here");
    sim.write_back(path);
}

pub(crate) fn mtime(sim: &SimFs, path: &str) -> Time {
    sim.stat(path).expect("it is there").stamp.mtime
}

/// What lies in `stage/`, but for the spares of whoever has the store open.
pub(crate) fn staged(sim: &SimFs) -> Vec<String> {
    let names = sim.tree().into_keys().filter(|path| path.starts_with(".filepact/stage/"));
    names.filter(|path| !is_spare(path)).collect()
}

pub(crate) fn spares(sim: &SimFs) -> Vec<String> {
    sim.tree().into_keys().filter(|path| is_spare(path)).collect()
}

fn is_spare(path: &str) -> bool {
    path.starts_with(".filepact/stage/spare-")
}

/// The store's next opening is in the same boot, and does not believe it.
pub(crate) fn distrust(sim: &SimFs) {
    let state = sim.read(".filepact/state").expect("it is there");
    sim.replace(".filepact/state", &state);
}

/// A process that dies before the first call of which `now` says so, by its name and its path.
pub(crate) fn dies(
    sim: &SimFs,
    options: Options,
    now: impl Fn(&'static str, &str) -> bool + Send + Sync + 'static,
) -> Store {
    let actor = sim.actor();
    let (world, victim) = (sim.clone(), actor.clone());
    let steps = Steps::new(actor, move |_, op, on| {
        if now(op, on) {
            world.kill(&victim);
        }
    });
    options.open_with(steps).expect("it opens")
}

/// A process that dies before its n-th call of this name on this path.
pub(crate) fn dies_before(
    sim: &SimFs,
    options: Options,
    op: &'static str,
    path: &'static str,
    nth: u32,
) -> Store {
    let seen = AtomicU32::new(0);
    dies(sim, options, move |called, on| {
        called == op && on == path && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth
    })
}

/// A process that dies in the middle of C8, just before it swaps or removes this document.
pub(crate) fn dies_before_swap(sim: &SimFs, path: &'static str) -> Store {
    dies(sim, options(), move |op, on| {
        let names = on.split_once(" -> ");
        op == "rename" && names.is_some_and(|(from, to)| from == path || to == path)
    })
}

/// A process whose sync of what has this in its path fails, and that dies before it can say so.
pub(crate) fn dies_of_a_sync(sim: &SimFs, path_contains: &'static str) -> Arc<Steps<Hook>> {
    fail(sim, "sync", path_contains, errno::IO, false);
    let (world, victim) = (sim.clone(), sim.actor());
    let (dying, synced) = (victim.clone(), AtomicBool::new(false));
    Steps::new(victim, move |_, op, on| {
        if synced.fetch_or(op == "sync" && on.contains(path_contains), Ordering::SeqCst) {
            world.kill(&dying);
        }
    })
}

/// A process before whose n-th call something is done, counted from when it is armed.
pub(crate) struct Beside {
    pub(crate) steps: Arc<Steps<Hook>>,
    armed_at: Arc<AtomicUsize>,
}

impl Beside {
    pub(crate) fn new(
        sim: &SimFs,
        nth: usize,
        action: impl FnMut(&str, &str) + Send + 'static,
    ) -> Self {
        let armed_at = Arc::new(AtomicUsize::new(usize::MAX));
        let (since, action) = (Arc::clone(&armed_at), Mutex::new(action));
        let steps = Steps::new(sim.actor(), move |n, op, on| {
            let since = since.load(Ordering::SeqCst);
            if since != usize::MAX && n - since == nth {
                (action.lock().expect("no test has failed"))(op, on);
            }
        });
        Self { steps, armed_at }
    }

    pub(crate) fn arm(&self) {
        self.armed_at.store(self.steps.calls(), Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> usize {
        self.steps.calls() - self.armed_at.load(Ordering::SeqCst)
    }
}
