//! Kills and stops workers, and audits what they leave.

use std::fmt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use filepact::{Error, Store};
use rustix::process::{Pid, Signal, kill_process};

use super::Dice;
use super::ledger::{Ledger, SUM, sum};
use super::worker::options;

/// How hard it blows.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Processes at a time.
    pub processes: u64,
    /// Threads of each.
    pub threads: u64,
    /// How many are killed before it ends.
    pub kills: u64,
    /// The digits that choose moments and victims.
    pub seed: u64,
}

/// What a storm did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage {
    kills: u64,
    /// Of them in rounds that killed all at once, so that the store was recovered alone.
    all_at_once: u64,
    recoveries: u64,
    replayed: u64,
    stops: u64,
    /// Stopped while it had the writer lock.
    stopped_holders: u64,
    /// Commits beside a stopped holder that were told so.
    locked: u64,
    slowest_read: Duration,
    audits: u64,
    heals: u64,
    commits: u64,
}

/// Starts this program as a worker: in `folder`, with these numbers as its arguments.
pub type Spawn<'a> = dyn Fn(&Path, [u64; 3]) -> Command + 'a;

/// Runs a storm in `folder`.
///
/// # Errors
/// What was lost, torn or otherwise not as promised.
pub fn storm(folder: &Path, weather: Weather, spawn: &Spawn<'_>) -> Result<Damage, String> {
    let ledger = Ledger::in_folder(folder);
    let open = |path: &Path| options().open(path);
    let mut store = Some(ledger.found(open).map_err(|error| format!("{error:?}"))?);
    let mut dice = Dice::new(weather.seed);
    let mut damage = Damage::default();
    let start = |number, dice: &mut Dice| {
        spawn(folder, [number, weather.threads, dice.roll(1 << 40)]).spawn().expect("it starts")
    };
    let mut workers: Vec<Child> =
        (0..weather.processes).map(|number| start(number, &mut dice)).collect();
    let outcome = (|| {
        while damage.kills < weather.kills {
            sleep(Duration::from_micros(dice.roll(60_000)));
            for worker in &mut workers {
                if let Some(status) = worker.try_wait().expect("it is our child") {
                    return Err(format!("a worker gave up: {status}"));
                }
            }
            // The first one lives on, but where all are killed: it heals, and can say so.
            let victim = 1 + dice.roll(weather.processes - 1);
            match dice.roll(20) {
                0 => {
                    for worker in &mut workers {
                        worker.kill().expect("it is our child");
                    }
                    for worker in &mut workers {
                        worker.wait().expect("it is our child");
                    }
                    damage.kills += weather.processes;
                    damage.all_at_once += weather.processes;
                    let closed = store.take().expect("opened again").close();
                    closed.map_err(|error| format!("the last one to close: {error:?}"))?;
                    let alone = open(&ledger.store).map_err(|error| format!("alone: {error:?}"))?;
                    damage.recoveries += 1;
                    damage.replayed += alone.recovery_report().replayed.len() as u64;
                    check(&ledger, &alone, &mut damage)?;
                    store = Some(alone);
                    workers = (0..weather.processes).map(|n| start(n, &mut dice)).collect();
                }
                1..4 => {
                    let store = store.as_ref().expect("opened again");
                    stop(store, &workers, &mut dice, &mut damage)?;
                }
                _ => {
                    let worker = &mut workers[victim as usize];
                    worker.kill().expect("it is our child");
                    worker.wait().expect("it is our child");
                    damage.kills += 1;
                    *worker = start(victim, &mut dice);
                    if damage.kills % 10 == 0 {
                        ledger.audit(store.as_ref().expect("opened again"))?;
                        damage.audits += 1;
                    }
                }
            }
        }
        Ok(())
    })();
    for worker in &mut workers {
        // They may have ended by themselves.
        let _ = worker.kill();
        let _ = worker.wait();
    }
    outcome?;
    drop(store);
    let store = open(&ledger.store).map_err(|error| format!("in the end: {error:?}"))?;
    check(&ledger, &store, &mut damage)?;
    let status = store.status().map_err(|error| format!("{error:?}"))?;
    (damage.heals, damage.commits) = (status.counts.heals, status.counts.commits);
    if !status.rescued.is_empty() {
        return Err(format!("nobody edited, and this was rescued: {:?}", status.rescued));
    }
    store.close().map_err(|error| format!("{error:?}"))?;
    let left =
        std::fs::read_dir(ledger.store.join(".filepact/stage")).expect("it is there").count();
    if left > 0 {
        return Err(format!("{left} names are left in stage/"));
    }
    Ok(damage)
}

/// The audit, and `check`.
fn check(ledger: &Ledger, store: &Store, damage: &mut Damage) -> Result<(), String> {
    ledger.audit(store)?;
    damage.audits += 1;
    let check = store.check().map_err(|error| format!("{error:?}"))?;
    if check.problems.is_empty() && check.outside_edits.is_empty() {
        Ok(())
    } else {
        Err(format!("{check:?}"))
    }
}

/// Stops a worker for a while, the holder of the lock if there is one among them: reads go on, and
/// a commit gets through or is told who has the lock.
fn stop(
    store: &Store,
    workers: &[Child],
    dice: &mut Dice,
    damage: &mut Damage,
) -> Result<(), String> {
    let pids: Vec<Pid> = workers.iter().map(Pid::from_child).collect();
    let named = match store.begin_exclusive(Duration::ZERO) {
        Err(Error::Locked { holder, .. }) => holder,
        Ok(_) => None,
        Err(error) => return Err(format!("{error:?}")),
    };
    let holder = pids
        .iter()
        .copied()
        .find(|pid| named.map(|pid| pid as i32) == Some(pid.as_raw_nonzero().get()));
    let victim = holder.unwrap_or(pids[dice.roll(pids.len() as u64) as usize]);
    kill_process(victim, Signal::STOP).expect("it is our child");
    damage.stops += 1;
    let outcome = beside_stopped(store, victim, damage);
    sleep(Duration::from_micros(dice.roll(10_000)));
    kill_process(victim, Signal::CONT).expect("it is our child");
    outcome
}

fn beside_stopped(store: &Store, stopped: Pid, damage: &mut Damage) -> Result<(), String> {
    let began = Instant::now();
    let total = store.transact(sum).map_err(|error| format!("beside a stopped one: {error:?}"))?;
    damage.slowest_read = damage.slowest_read.max(began.elapsed());
    if total != SUM {
        return Err(format!("beside a stopped one: {total}"));
    }
    match store.begin_exclusive(Duration::from_millis(5)) {
        Ok(_) => Ok(()),
        Err(Error::Locked { holder, .. }) => {
            damage.locked += 1;
            let is_holder = holder.map(|pid| pid as i32) == Some(stopped.as_raw_nonzero().get());
            damage.stopped_holders += u64::from(is_holder);
            Ok(())
        }
        Err(error) => Err(format!("beside a stopped one: {error:?}")),
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, all_at_once, recoveries, replayed, stops, stopped_holders, .. } = self;
        writeln!(f, "kills      {kills}, {all_at_once} of them all at once")?;
        writeln!(f, "recoveries {recoveries}, which replayed {replayed} transactions")?;
        writeln!(f, "heals      {} by processes that went on", self.heals)?;
        writeln!(f, "stops      {stops}, {stopped_holders} of them of the holder of the lock")?;
        writeln!(
            f,
            "           {} commits were told so; the slowest read took {:?}",
            self.locked, self.slowest_read
        )?;
        writeln!(f, "commits    {}, as far as they were counted", self.commits)?;
        write!(f, "audits     {}: no acknowledged transfer lost, none half done", self.audits)
    }
}
