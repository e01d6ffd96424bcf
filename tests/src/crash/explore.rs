//! Crashes the moments of a story, the recoveries after that, and the recoveries of those.
//!
//! What a power cut may leave before a call is among what it may leave after it, until a sync takes
//! some of that away. So the power is cut before each sync and at the end, and, where that has more
//! outcomes than are tried, before each other call as well. A process dies before every call.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use filepact::Report;
use filepact_simfs::{Profile, SimFs};

use crate::crash::case::{How, Point, Trail, mix};
use crate::crash::counts::{Counts, Kind};
use crate::crash::judge::{judge, judge_files};
use crate::crash::options;
use crate::crash::story::{Expect, Promise, Scene, Story};

/// How much to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Distinct outcomes of one crash, at most: in a story, in a recovery, in the recovery of that.
    pub outcomes: [usize; 3],
    /// One in so many recoveries of a story is crashed at each of its calls, and one in so many of
    /// the recoveries after that; 0 for none.
    pub deeper: [u64; 2],
    /// What chances are made of.
    pub seed: u64,
}

/// A recovery that was wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Everything that there is to say, the command that repeats it first.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Crashes a story in every way. Stops at the first recovery that is wrong.
pub fn explore(story: &Story, profile: Profile, effort: Effort) -> (Counts, Result<(), Failure>) {
    let mut explorer = Explorer::new(story, profile, effort);
    explorer.counts.stories = 1;
    let result = explorer.scenes(&story.scenes, &Trail::default());
    (explorer.counts, result)
}

/// Repeats the one recovery at the end of a trail, and says what the opening reported.
pub fn repeat(
    story: &Story,
    profile: Profile,
    effort: Effort,
    trail: &Trail,
) -> Result<String, Failure> {
    let explorer = Explorer::new(story, profile, effort);
    let mut scenes = story.scenes.clone();
    let mut text = String::new();
    let mut gone = Trail::default();
    for (nth, point) in trail.0.iter().enumerate() {
        let missing = |what: String| Failure { text: format!("{gone}: {what}") };
        let scene = scenes.iter().find(|scene| scene.call == point.call);
        let scene = scene.ok_or_else(|| missing(format!("no call {}", point.call)))?;
        let (worlds, _) = explorer.outcomes(scene, point.how, &gone);
        let world = worlds.into_iter().nth(point.outcome);
        let world = world.ok_or_else(|| missing(format!("no outcome {}", point.outcome)))?;
        let call = scene.moment.call.clone();
        gone.0.push(*point);
        let is_last = nth + 1 == trail.0.len();
        let (report, moments) = explorer.recover(&world, &scene.expect, &gone, !is_last)?;
        text += &format!("{gone}: {call}\n{report:?}\n");
        scenes = moments;
    }
    Ok(text)
}

struct Explorer<'a> {
    story: &'a Story,
    profile: Profile,
    /// Its place among all.
    place: usize,
    effort: Effort,
    counts: Counts,
    /// States that were recovered already, with what was expected: one that comes again, at another
    /// moment, would show the same again.
    seen: HashSet<(u64, u64, How)>,
}

impl<'a> Explorer<'a> {
    fn new(story: &'a Story, profile: Profile, effort: Effort) -> Self {
        let place = Profile::ALL.iter().position(|known| *known == profile);
        let place = place.expect("these are all");
        Self { story, profile, place, effort, counts: Counts::default(), seen: HashSet::new() }
    }

    fn scenes(&mut self, scenes: &[Scene], trail: &Trail) -> Result<(), Failure> {
        // The first moment since the last sync.
        let mut since = 0;
        for (at, scene) in scenes.iter().enumerate() {
            self.counts.moments += 1;
            if takes_away(scene) {
                for how in [How::Cut, How::Pulled] {
                    if self.crash(scene, how, trail)? {
                        continue;
                    }
                    for scene in &scenes[since..at] {
                        self.crash(scene, how, trail)?;
                    }
                }
                since = at + 1;
            }
            self.crash(scene, How::Died, trail)?;
        }
        Ok(())
    }

    /// Crashes one moment one way; says whether these were all outcomes.
    fn crash(&mut self, scene: &Scene, how: How, trail: &Trail) -> Result<bool, Failure> {
        let (worlds, complete) = self.outcomes(scene, how, trail);
        let kind = Kind { profile: self.place, depth: trail.0.len(), how };
        self.counts.kinds.entry(kind).or_default().sampled += u64::from(!complete);
        let expected = scene.expect.fingerprint();
        for (outcome, world) in worlds.into_iter().enumerate() {
            // After a death the same files may hide another disk.
            let is_new = how == How::Died || self.seen.insert((world.fingerprint(), expected, how));
            if !is_new {
                self.counts.kinds.entry(kind).or_default().repeated += 1;
                continue;
            }
            let mut trail = trail.clone();
            trail.0.push(Point { call: scene.call, how, outcome });
            let deeper = self.goes_deeper(&trail);
            let (report, scenes) = self.recover(&world, &scene.expect, &trail, deeper)?;
            self.counts.kinds.entry(kind).or_default().add(&report);
            if deeper {
                self.scenes(&scenes, &trail)?;
            }
        }
        Ok(complete)
    }

    /// What a crash may leave, and whether that is all.
    fn outcomes(&self, scene: &Scene, how: How, trail: &Trail) -> (Vec<SimFs>, bool) {
        let most = self.effort.outcomes[trail.0.len()].div_ceil(self.story.share);
        let most = match (how, takes_away(scene)) {
            (How::Cut, true) => most,
            (How::Cut, false) => most.div_ceil(8),
            // The same as after a power cut, but for the boot.
            (How::Pulled, _) => most.div_ceil(32),
            (How::Died, _) => return (scene.moment.world.process_death_variants(), true),
        };
        let seed = mix(hash_of(trail, self.effort.seed), scene.call as u64);
        let world = &scene.moment.world;
        let outcomes = match how {
            How::Pulled => world.remount(&self.profile, most, seed),
            _ => world.power_cut(&self.profile, most, seed),
        };
        (outcomes.worlds, outcomes.complete)
    }

    fn goes_deeper(&self, trail: &Trail) -> bool {
        let every = self.effort.deeper.get(trail.0.len() - 1).copied().unwrap_or(0);
        let mut hasher = DefaultHasher::new();
        self.story.name.hash(&mut hasher);
        every != 0 && mix(hash_of(trail, self.effort.seed), hasher.finish()).is_multiple_of(every)
    }

    /// Recovers a crashed file system and judges it; if `recorded`, returns the moments of the
    /// recovery.
    fn recover(
        &self,
        world: &SimFs,
        expect: &Expect,
        trail: &Trail,
        recorded: bool,
    ) -> Result<(Report, Vec<Scene>), Failure> {
        let found = world.fork();
        if recorded {
            world.record();
        }
        let lost = trail.0.iter().any(|point| point.how != How::Died);
        let work = || {
            if lost && trail.0.len() == 1 && expect.promise == Promise::Files {
                judge_files(world, expect, self.profile)?;
            }
            let store = match options().open_with(world.actor()) {
                Ok(store) => store,
                Err(error) => return Err(format!("the store does not open: {error:?}")),
            };
            let report = store.recovery_report().clone();
            let moments = if recorded { world.recorded() } else { Vec::new() };
            match judge(world, store, expect, self.profile, lost) {
                Ok(()) => Ok((report, moments)),
                Err(wrong) => Err(format!("{wrong}\n{report:?}")),
            }
        };
        let panicked = |panic: Box<dyn std::any::Any + Send>| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            Err(format!("it panics: {}", text.unwrap_or_default()))
        };
        let (report, moments) = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(panicked)
            .map_err(|wrong| self.failure(trail, &wrong, &found, world))?;
        let scenes = moments.into_iter().enumerate();
        let scenes =
            scenes.map(|(call, moment)| Scene { call, moment, expect: expect.clone() }).collect();
        Ok((report, scenes))
    }

    fn failure(&self, trail: &Trail, wrong: &str, found: &SimFs, now: &SimFs) -> Failure {
        let Story { name, text, scenes, .. } = self.story;
        let call = trail.0.first().and_then(|point| {
            let scene = scenes.iter().find(|scene| scene.call == point.call)?;
            Some(scene.moment.call.clone())
        });
        let [outcomes, inside, inmost] = self.effort.outcomes;
        Failure {
            text: format!(
                "cargo run --release -p filepact-tests --bin crash-suite -- --story '{name}' \
                 --profile {} --seed {} --outcomes {outcomes},{inside},{inmost} --trail {trail}\n\
                 {text}, crashed before `{}`\n{wrong}\nfound:\n{}\nnow:\n{}",
                self.profile,
                self.effort.seed,
                call.unwrap_or_default(),
                found.dump(),
                now.dump()
            ),
        }
    }
}

/// Whether more may be left before this call than after it.
fn takes_away(scene: &Scene) -> bool {
    scene.moment.call.starts_with("sync") || scene.moment.call == "end"
}

fn hash_of(trail: &Trail, seed: u64) -> u64 {
    trail.0.iter().fold(seed, |sum, point| {
        let number = (point.call << 24) ^ (point.outcome << 2) ^ point.how as usize;
        mix(sum, number as u64)
    })
}
