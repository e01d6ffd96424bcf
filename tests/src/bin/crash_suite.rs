//! Crashes every story at every call, with every distinct outcome of each profile.
//!
//! `crash-suite --help` says what can be chosen; `docs/testing.md` what is judged.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use filepact_simfs::Profile;
use filepact_tests::crash::case::{Trail, mix};
use filepact_tests::crash::explore::{Effort, repeat};
use filepact_tests::crash::run::run;
use filepact_tests::crash::suite::{families, story};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
crash-suite [OPTIONS]

  --family NAME      only stories of this family (again for another one); all of them otherwise
  --from N, --to N   only those from number N on, to before number N
  --profile NAME     only this profile (again for another one); all of them otherwise
  --seed N           what chances are made of (0)
  --count N          stop after so many recoveries
  --outcomes A,B,C   distinct outcomes of one crash at most: in a story, in a recovery, in the
                     recovery of that (1024,16,8)
  --deeper A,B       crash one in A recoveries at each of its calls, and one in B of the recoveries
                     after that; 0 for none (257,61)
  --story NAME       only this story, such as pair:400
  --trail TRAIL      repeat one recovery of it, as a failure names it, such as 17:cut:3/5:died:0
  --verbose          a line for each story
";

struct Choice {
    families: Vec<String>,
    from: usize,
    to: usize,
    profiles: Vec<Profile>,
    effort: Effort,
    enough: u64,
    story: Option<String>,
    trail: Option<Trail>,
    verbose: bool,
}

fn main() -> ExitCode {
    let choice = match parse(std::env::args().skip(1).collect()) {
        Ok(choice) => choice,
        Err(error) => {
            let known = families();
            let known = known.iter().map(|family| {
                format!("  {:<10} {:>6}  {}\n", family.name, family.count, family.about)
            });
            let profiles: Vec<String> = Profile::ALL.iter().map(ToString::to_string).collect();
            let known: String = known.collect();
            eprintln!("{error}{HELP}\nfamilies:\n{known}\nprofiles: {}", profiles.join(" "));
            return ExitCode::from(2);
        }
    };
    match &choice.trail {
        Some(trail) => repeat_one(&choice, trail),
        None => run_all(&choice),
    }
}

fn repeat_one(choice: &Choice, trail: &Trail) -> ExitCode {
    let name = choice.story.as_deref().unwrap_or_default();
    let outcome = story(name).and_then(|story| {
        let profile = choice.profiles[0];
        repeat(&story, profile, choice.effort, trail).map_err(|failure| failure.text)
    });
    match outcome {
        Ok(text) => {
            println!("{text}nothing is wrong");
            ExitCode::SUCCESS
        }
        Err(text) => {
            println!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn run_all(choice: &Choice) -> ExitCode {
    let mut stories = Vec::new();
    for profile in &choice.profiles {
        if let Some(name) = &choice.story {
            stories.push((0, (name.clone(), *profile)));
            continue;
        }
        for family in families() {
            let is_chosen = choice.families.is_empty()
                || choice.families.iter().any(|name| name == family.name);
            let mut numbers: Vec<usize> = (choice.from..choice.to.min(family.count)).collect();
            // In an order that the seed picks.
            numbers.sort_by_key(|number| mix(choice.effort.seed, *number as u64));
            let of = |number| (format!("{}:{number}", family.name), *profile);
            let turns = numbers.into_iter().map(of).enumerate();
            stories.extend(turns.filter(|_| is_chosen));
        }
    }
    // A story of each family on each profile, then another of each, so that a run that is stopped has
    // tried all of them.
    stories.sort_by_key(|(turn, _)| *turn);
    let stories: Vec<_> = stories.into_iter().map(|(_, story)| story).collect();
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let outcome = run(&stories, choice.effort, choice.enough, |name, counts, failure| {
        if choice.verbose {
            println!("{name}: {}", counts.recoveries());
        }
        failure.iter().for_each(|failure| println!("{failure}\n"));
    });
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let recoveries = outcome.counts.recoveries();
    print!("{}", outcome.counts);
    println!(
        "{recoveries} recoveries, {} violations, in {wall:.1} s: {:.0} a second, {:.0} a CPU second",
        outcome.failures.len(),
        recoveries as f64 / wall,
        recoveries as f64 / cpu,
    );
    if outcome.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What this process has used of the processors, in seconds.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn parse(arguments: VecDeque<String>) -> Result<Choice, String> {
    let mut choice = Choice {
        families: Vec::new(),
        from: 0,
        to: usize::MAX,
        profiles: Vec::new(),
        effort: Effort { outcomes: [1024, 16, 8], deeper: [257, 61], seed: 0 },
        enough: u64::MAX,
        story: None,
        trail: None,
        verbose: false,
    };
    let mut rest = arguments;
    while let Some(option) = rest.pop_front() {
        if option == "--verbose" {
            choice.verbose = true;
            continue;
        }
        if option == "--help" {
            return Err(String::new());
        }
        let value = rest.pop_front().ok_or_else(|| format!("{option} needs a value\n\n"))?;
        let wrong = || format!("{option} cannot be `{value}`\n\n");
        match option.as_str() {
            "--family" if families().iter().any(|family| family.name == value) => {
                choice.families.push(value);
            }
            "--from" => choice.from = value.parse().map_err(|_| wrong())?,
            "--to" => choice.to = value.parse().map_err(|_| wrong())?,
            "--profile" => choice.profiles.push(value.parse()?),
            "--seed" => choice.effort.seed = value.parse().map_err(|_| wrong())?,
            "--count" => choice.enough = value.parse().map_err(|_| wrong())?,
            "--outcomes" => choice.effort.outcomes = numbers(&value).ok_or_else(wrong)?,
            "--deeper" => choice.effort.deeper = numbers(&value).ok_or_else(wrong)?,
            "--story" => choice.story = Some(value),
            "--trail" => choice.trail = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
    }
    if choice.profiles.is_empty() {
        choice.profiles = Profile::ALL.to_vec();
    }
    if let Some(name) = &choice.story {
        story(name).map_err(|error| format!("{error}\n\n"))?;
    }
    Ok(choice)
}

fn numbers<T: FromStr, const N: usize>(text: &str) -> Option<[T; N]> {
    let numbers: Vec<T> = text.split(',').map_while(|digits| digits.parse().ok()).collect();
    numbers.try_into().ok()
}
