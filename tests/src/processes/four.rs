//! Do several processes commit as much as one, and each its share?
//!
//! Each process commits to documents of its own, so that nobody conflicts and only the lock and the
//! disk are shared. Many and one take turns in one run, so that a disk that is slower for a while is
//! slower for both.

use std::io::{BufRead, BufReader, stdin};
use std::time::{Duration, Instant};

use filepact::Store;

use super::crew::Crew;
use super::scratch::Scratch;
use super::{Arguments, Outcome};

/// Documents in a transaction.
const DOCUMENTS: usize = 2;

/// `processes four`.
pub fn run(arguments: &[String]) -> Outcome {
    let arguments = Arguments::parse(arguments, &["turns", "millis", "processes"])?;
    let (turns, millis) = (arguments.or("turns", 5).max(1), arguments.or("millis", 2000).max(1));
    let processes = arguments.or("processes", 4) as usize;
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for turn in 1..=turns {
        let many = commits(processes, millis)?;
        let one = commits(1, millis)?;
        let rate = |commits: u64| commits as f64 * 1000.0 / millis as f64;
        let total = rate(many.iter().sum());
        println!(
            "turn {turn}: {processes} processes {total:6.0} a second, each {:?}; one {:6.0}",
            many,
            rate(one[0])
        );
        together.push((total, many));
        alone.push(rate(one[0]));
    }
    let (many, one) = (median(together.iter().map(|turn| turn.0)), median(alone.into_iter()));
    let shares = together.iter().map(|(_, each)| {
        let (least, most) = (each.iter().min(), each.iter().max());
        least.zip(most).map_or(0.0, |(least, most)| *least as f64 / (*most).max(1) as f64)
    });
    println!(
        "medians: {processes} processes {many:.0} commits a second, one {one:.0}: {:.2} times",
        many / one
    );
    println!("fewest commits of a process by most, median: {:.2}", median(shares));
    println!("ok");
    Ok(())
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// How many commits each of so many processes makes in this time, in a store of their own.
fn commits(processes: usize, millis: u64) -> Outcome<Vec<u64>> {
    let scratch = Scratch::new()?;
    let folder = scratch.store();
    let store = Store::open(&folder)?;
    let mut crew = Crew::default();
    let mut outputs = Vec::new();
    for place in 0..processes {
        let arguments = [folder.display().to_string(), place.to_string(), millis.to_string()];
        crew.start(place, "four", &arguments)?;
        outputs.push(BufReader::new(crew.output(place).ok_or("the worker is mute")?).lines());
    }
    // All are ready before any begins.
    let mut next = |place: usize| -> Outcome<String> {
        Ok(outputs[place].next().ok_or("the worker has ended")??)
    };
    (0..processes).try_for_each(|place| next(place).map(drop))?;
    (0..processes).try_for_each(|place| crew.tell(place, "go"))?;
    let mut commits = Vec::new();
    for place in 0..processes {
        commits.push(next(place)?.parse()?);
    }
    crew.finish()?;
    for (place, commits) in commits.iter().enumerate() {
        for document in 0..DOCUMENTS {
            if store.get::<u64>(path(place, document))?.unwrap_or(0) != *commits {
                return Err(format!("a commit of process {place} is lost").into());
            }
        }
    }
    store.close()?;
    Ok(commits)
}

fn path(place: usize, document: usize) -> String {
    format!("{place}/{document}.json")
}

pub(super) fn work(arguments: &[String]) -> Outcome {
    let [folder, place, millis] = arguments else {
        return Err("a worker needs a folder and two numbers".into());
    };
    let store = Store::open(folder)?;
    let (place, time) = (place.parse()?, Duration::from_millis(millis.parse()?));
    println!("ready");
    stdin().lock().lines().next().ok_or("nobody said go")??;
    let (began, mut commits) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        let mut tx = store.begin()?;
        for document in 0..DOCUMENTS {
            tx.write(path(place, document), &(commits + 1))?;
        }
        tx.commit()?;
        commits += 1;
    }
    println!("{commits}");
    Ok(())
}
