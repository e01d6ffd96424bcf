//! The handle to a simulated world: settings, faults, recording, forks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filepact_fs::Time;

use crate::actor::Actor;
use crate::fault::{Armed, Fault, FaultKind};
use crate::inode::Id;
use crate::record::{Flight, Moment, World};
use crate::system::System;

/// A simulated file system. Clones are handles to the same one; [`fork`](SimFs::fork) copies it.
///
/// Processes reach it through [actors](SimFs::actor). Everything is deterministic: the same calls
/// give the same world, times and inode numbers included.
#[derive(Clone)]
pub struct SimFs {
    shared: Arc<Mutex<State>>,
}

/// The world, and what is known of it beside it.
pub(crate) struct State {
    pub(crate) system: System,
    actors: u64,
    dead: BTreeSet<u64>,
    calls: u64,
    faults: Vec<Armed>,
    record: Option<Record>,
}

#[derive(Default)]
struct Record {
    calls: Vec<String>,
    moments: Vec<Moment>,
}

/// What a call does, as far as crashes care.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    /// Changes nothing.
    Look,
    /// Changes something; a crash may undo it.
    Change,
    /// Changes content; may be partial if the process dies.
    Write(Id, u64, usize),
    /// Takes or leaves nothing on the disk, but others see it.
    Lock,
    /// Makes things durable.
    Sync,
}

/// What a fault leaves to the call itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    None,
    /// Do half of it.
    Short,
    /// Do what a failed sync does.
    Fails,
}

/// Why a call failed.
pub(crate) enum Refusal {
    Errno(i32),
    Dead,
}

impl Default for SimFs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimFs")
    }
}

impl SimFs {
    /// An empty root directory, durable.
    pub fn new() -> Self {
        Self::from_system(System::new())
    }

    pub(crate) fn from_system(system: System) -> Self {
        let state = State {
            system,
            actors: 0,
            dead: BTreeSet::new(),
            calls: 0,
            faults: Vec::new(),
            record: None,
        };
        Self { shared: Arc::new(Mutex::new(state)) }
    }

    /// The world; a panic in another test thread does not lock it for ever.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn without_processes(self) -> Self {
        self.state().system.close_handles(|_| true);
        self
    }

    /// A new process.
    pub fn actor(&self) -> Arc<Actor> {
        let mut state = self.state();
        state.actors += 1;
        Arc::new(Actor::new(self.clone(), state.actors))
    }

    /// The process dies: its handles and locks are gone, with them files that have no name; all that
    /// it did stays in the cache. Every later call through it fails and does nothing.
    pub fn kill(&self, actor: &Actor) {
        let mut state = self.state();
        state.dead.insert(actor.id());
        state.system.close_handles(|owner| owner == actor.id());
    }

    /// An independent copy without processes: what is live is live, what is pending is pending, in
    /// the same boot. Faults and records are not copied.
    pub fn fork(&self) -> Self {
        Self::from_system(self.state().system.clone()).without_processes()
    }

    /// The world as it is now, to crash it.
    pub fn world(&self) -> World {
        World::new(self.state().system.clone(), None)
    }

    // Recording

    /// Begins a new record: from now on the world is kept before every call that changes or syncs.
    pub fn record(&self) {
        self.state().record = Some(Record::default());
    }

    /// Every moment since [`record`](SimFs::record), and the present as the last one.
    pub fn recorded(&self) -> Vec<Moment> {
        let state = self.state();
        let moments = state.record.as_ref().map(|record| record.moments.clone());
        let end = World::new(state.system.clone(), None);
        let end = Moment { call: "end".to_owned(), world: end };
        moments.unwrap_or_default().into_iter().chain([end]).collect()
    }

    /// Every call since [`record`](SimFs::record), such as `sync .filepact/journal/1.jsonl data`.
    pub fn call_log(&self) -> Vec<String> {
        self.state().record.as_ref().map(|record| record.calls.clone()).unwrap_or_default()
    }

    /// How many calls all actors have made. `now` and `unique` do not count.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    // Faults

    /// Adds a fault. Where several strike one call, the first that was added counts.
    pub fn fault(&self, fault: Fault) {
        self.state().faults.push(Armed::new(fault));
    }

    /// Takes all faults back, sticky ones too.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// From now on every change fails with `EROFS`, as after somebody's remount; what is pending can
    /// still be synced. [`FaultKind::GivesUp`] is the worse case.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().system.config.read_only = read_only;
    }

    /// How many files and locks a process may have open at a time; one more fails with `EMFILE`.
    pub fn set_descriptors(&self, limit: impl Into<Option<usize>>) {
        self.state().system.config.handles = limit.into();
    }

    /// Leaves this many bytes free; `None` for no limit. Files take whole pages, names take nothing
    /// but need a free page; overwriting needs nothing; what is removed is free at once.
    pub fn set_free_space(&self, bytes: impl Into<Option<u64>>) {
        let system = &mut self.state().system;
        system.config.capacity = bytes.into().map(|free| system.used_space() + free);
    }

    // Settings

    /// Whether reads past the cache are supported; they are at first.
    pub fn set_read_device(&self, supported: bool) {
        self.state().system.config.read_device = supported;
    }

    /// Whether the lowest free inode number comes back at once; it does at first.
    pub fn set_reuse_numbers(&self, reuse: bool) {
        self.state().system.config.reuse_numbers = reuse;
    }

    /// Makes it a system on which every change that comes after a look at the file shows in its stamp; there
    /// the clock that stamps files has no ticks.
    pub fn set_exact_times(&self, exact: bool) {
        let config = &mut self.state().system.config;
        config.exact_times = exact;
        config.tick = if exact { 1 } else { 4_000_000 };
    }

    /// Whether the sync of a file that has no name makes it durable, for the time when it has one; it does at
    /// first. btrfs before Linux 6.16 logs nothing of it.
    pub fn set_nameless_syncs(&self, count: bool) {
        self.state().system.config.nameless_syncs = count;
    }

    /// Whether leases are granted; they are at first.
    pub fn set_leases(&self, granted: bool) {
        self.state().system.config.leases = granted;
    }

    /// Makes it a system that tells no unique id of a mount, as Linux before 6.8.
    pub fn set_mount_ids(&self, told: bool) {
        self.state().system.config.mount_ids = told;
    }

    /// Makes it a network file system in the eyes of [`facts`](filepact_fs::Fs::facts).
    pub fn set_network(&self, name: Option<&'static str>) {
        self.state().system.config.network = name;
    }

    /// Begins another mount at an existing path, file or directory, on the same device. Renames,
    /// exchanges and links across fail with `EXDEV`, on the mount point itself with `EBUSY`.
    ///
    /// # Panics
    /// If nothing stands there.
    pub fn set_mount_at(&self, path: &str) {
        let answer = self.state().system.set_mount_at(path);
        answer.unwrap_or_else(|errno| panic!("no mount at `{path}`: errno {errno}"));
    }

    /// How much time every call takes: 1 ms at first.
    pub fn set_step(&self, step: Duration) {
        self.state().system.config.step = nanos(step);
    }

    /// The tick of the clock that stamps files: 4 ms at first.
    pub fn set_tick(&self, tick: Duration) {
        self.state().system.config.tick = nanos(tick);
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.state().system.config.advance(time);
    }

    /// Sets the clock, forward or back.
    pub fn set_clock(&self, time: Time) {
        self.state().system.config.clock = time;
    }
}

/// Whether a sync that fails so has tried to write. Without a descriptor, or without permission, its
/// directory could not even be opened.
fn began(errno: i32) -> bool {
    !matches!(errno, crate::errno::MFILE | crate::errno::ACCES)
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl crate::system::Config {
    pub(crate) fn advance(&mut self, time: Duration) {
        self.clock.0 = self.clock.0.saturating_add(nanos(time));
    }

    pub(crate) fn take_step(&mut self) {
        self.clock.0 = self.clock.0.saturating_add(self.step);
    }
}

impl State {
    pub(crate) fn is_dead(&self, actor: u64) -> bool {
        self.dead.contains(&actor)
    }

    /// Makes a call of an actor: counts it, records it, lets faults strike.
    pub(crate) fn call<T>(
        &mut self,
        actor: u64,
        (op, path): (&str, &str),
        details: impl FnOnce() -> String,
        class: Class,
        work: impl FnOnce(&mut System, Twist) -> Result<T, i32>,
    ) -> Result<T, Refusal> {
        if self.is_dead(actor) {
            return Err(Refusal::Dead);
        }
        self.calls += 1;
        self.system.config.take_step();
        let strikes = self.faults.iter_mut().filter_map(|fault| fault.strike(self.calls, op, path));
        // Every fault sees the call, so that each counts for itself.
        let fault = strikes.fold(None, |first: Option<FaultKind>, next| first.or(Some(next)));
        let text = || format!("{op} {path}{}", details());
        self.watched(text, class, |system| {
            let changes = matches!(class, Class::Change | Class::Write(..));
            if fault == Some(FaultKind::GivesUp) {
                (system.config.read_only, system.config.gave_up) = (true, true);
            }
            if system.config.gave_up && matches!(class, Class::Sync) {
                return Err(crate::errno::ROFS);
            }
            let twist = match fault {
                Some(FaultKind::Interrupted) => return Err(crate::errno::INTR),
                Some(FaultKind::Error(errno)) if matches!(class, Class::Sync) && began(errno) => {
                    work(system, Twist::Fails)?;
                    return Err(errno);
                }
                Some(FaultKind::Error(errno)) => return Err(errno),
                Some(FaultKind::ShortWrite) if op == "write" => Twist::Short,
                Some(FaultKind::ShortRead) if op == "read" => Twist::Short,
                _ => Twist::None,
            };
            if changes && system.config.read_only {
                return Err(crate::errno::ROFS);
            }
            work(system, twist)
        })
        .map_err(Refusal::Errno)
    }

    /// Does something to the world, with the moment before it kept if a record is on.
    pub(crate) fn watched<T>(
        &mut self,
        text: impl FnOnce() -> String,
        class: Class,
        work: impl FnOnce(&mut System) -> T,
    ) -> T {
        let Some(record) = &mut self.record else { return work(&mut self.system) };
        let text = text();
        record.calls.push(text.clone());
        if matches!(class, Class::Look) {
            return work(&mut self.system);
        }
        let before = self.system.clone();
        let answer = work(&mut self.system);
        let write = match class {
            Class::Write(id, offset, len) => Some((id, offset, len)),
            _ => None,
        };
        let flight = match class {
            Class::Sync => None,
            _ => Some(Flight { after: Arc::new(self.system.clone()), write }),
        };
        record.moments.push(Moment { call: text, world: World::new(before, flight) });
        answer
    }
}
