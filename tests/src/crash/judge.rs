//! What has to hold after each recovery.

use std::collections::{BTreeMap, BTreeSet};

use filepact::{Report, Store};
use filepact_simfs::{Grain, Profile, SimFs};

use crate::crash::story::{Expect, Promise};
use crate::crash::{documents, options};
use crate::history::Tree;

/// A recovery that is wrong: what, and what was there.
pub type Verdict = Result<(), String>;

/// Judges a store that was just opened on `sim`, closes it, opens it again and judges that. `lost`
/// says that the power was cut, or the device pulled, since the story began.
///
/// - The documents are one of those that may be found, byte for byte.
/// - Nothing was rescued, adopted or left: nobody else has written. (But for garbage, on a disk that
///   leaves it: noise, and no loss.) Where somebody has, that edit is there.
/// - The journal verifies, and every document is as it says.
/// - `stage/` is swept, and so are the pins of those who have died, and what was kept for them.
/// - A second opening finds nothing to do, and changes nothing.
/// - The worst power cut now loses nothing.
pub fn judge(sim: &SimFs, store: Store, expect: &Expect, profile: Profile, lost: bool) -> Verdict {
    let now = documents(sim);
    let report = store.recovery_report().clone();
    let noisy = profile.grain() == Grain::Trash;
    let is_lost = lost && expect.promise == Promise::Buffered;
    if is_lost {
        is_prefix(&now, &report, expect)?;
    } else {
        let is = |tree: &Tree| *tree == now || noisy && holds(&now, tree, &expect.history);
        let is_torn = |tree: &Tree| holds(&now, tree, &expect.history);
        if !expect.trees.iter().any(is) && !expect.torn.as_ref().is_some_and(is_torn) {
            return Err(format!("half a transaction, or a lost one: {:?}", summary(&now)));
        }
        others(sim, &now, &report, expect, profile)?;
    }
    // Garbage and what stands behind it, what a lost transaction has left, and the edit look as if
    // somebody else had written.
    let may_differ = |path: &String| {
        let is_version = || expect.history.iter().any(|tree| tree.get(path) == now.get(path));
        noisy && !is_version()
            || is_lost && report.documents.iter().all(|planned| planned.path != *path)
            || expect.edit.as_ref().is_some_and(|edit| edit.path == *path)
    };
    match store.check() {
        Ok(check) if check.problems.is_empty() && check.outside_edits.iter().all(may_differ) => {}
        Ok(check) => return Err(format!("not clean: {check:?}")),
        Err(error) => return Err(format!("cannot be checked: {error:?}")),
    }
    for dir in [".filepact/stage", ".filepact/pins", ".filepact/kept"] {
        let leftovers = sim.names_in(dir);
        if !leftovers.is_empty() {
            return Err(format!("`{dir}` is not swept: {leftovers:?}"));
        }
    }
    drop(store);
    durable(sim, &now, expect, profile)?;
    again(sim, &report)
}

/// What plain readers find after a power cut, before anybody has opened the store, where files are
/// promised to be whole: each document as one of the trees has it, or added to in part.
pub fn judge_files(sim: &SimFs, expect: &Expect, profile: Profile) -> Verdict {
    let found = documents(sim);
    let paths: BTreeSet<&String> =
        expect.trees.iter().flat_map(BTreeMap::keys).chain(found.keys()).collect();
    for path in paths {
        let body = found.get(path);
        let is = |tree: &Tree| match (tree.get(path), body) {
            (Some(was), Some(now)) => now.starts_with(was),
            // Such a file system can lose both names of an exchange.
            (was, None) => was.is_none() || matches!(profile, Profile::Hostile(_)),
            (None, Some(_)) => false,
        };
        let is_whole = |tree: &Tree| tree.get(path) == body;
        // Of two trees one may be the other with something added.
        let grows = expect.trees.iter().any(|tree| {
            expect.trees.iter().any(|longer| match (tree.get(path), longer.get(path)) {
                (Some(was), Some(then)) => then.len() > was.len() && then.starts_with(was),
                _ => false,
            })
        });
        if !expect.trees.iter().any(|tree| is_whole(tree) || (grows || body.is_none()) && is(tree))
        {
            return Err(format!(
                "`{path}` is not whole before the recovery: {:?}",
                summary(&found)
            ));
        }
    }
    Ok(())
}

/// After a power cut that nothing was synced against: the journal has the first of the transactions,
/// and each document on which it has a word is as they have left it. One that they only added to holds
/// what they have added; what lost transactions have done to it may be there as well.
fn is_prefix(now: &Tree, report: &Report, expect: &Expect) -> Verdict {
    let kept = report.kept.len();
    let Some(tree) = expect.history.get(kept) else {
        return Err(format!("{kept} transactions are kept, and there were not as many"));
    };
    for path in report.documents.iter().map(|planned| &planned.path) {
        let (wanted, found) = (tree.get(path), now.get(path));
        let before = &expect.history[..=kept];
        let parts = wanted.map(|wanted| parts(wanted, path, before)).unwrap_or_default();
        let added = parts.get(1..).unwrap_or_default();
        let is_in = |part: &Vec<u8>| {
            found.is_some_and(|found| found.windows(part.len()).any(|window| window == part))
        };
        if found != wanted && (added.is_empty() || !added.iter().all(is_in)) {
            return Err(format!(
                "{kept} transactions are kept, and `{path}` is not as they left it"
            ));
        }
    }
    Ok(())
}

/// The body of a document in the parts of which it was made, as the trees until then show it: a first one,
/// and what was added to it.
fn parts(wanted: &[u8], path: &str, history: &[Tree]) -> Vec<Vec<u8>> {
    let was = history.iter().filter_map(|tree| tree.get(path));
    let was = was.filter(|was| wanted.starts_with(was)).map(Vec::len);
    let ends: BTreeSet<usize> = was.chain([wanted.len()]).collect();
    let begins = std::iter::once(0).chain(ends.iter().copied());
    begins.zip(&ends).map(|(begin, end)| wanted[begin..*end].to_vec()).collect()
}

/// What is taken for the edits of others is one, or garbage; and no edit is lost.
fn others(sim: &SimFs, now: &Tree, report: &Report, expect: &Expect, profile: Profile) -> Verdict {
    let edit = expect.edit.as_ref();
    let is_edited = |path: &String| edit.is_some_and(|edit| edit.path == *path);
    if !report.adopted.iter().all(is_edited) || !report.left.is_empty() {
        return Err("nobody else has written, and yet something was adopted or left".to_owned());
    }
    let noisy = profile.grain() == Grain::Trash;
    // Where one side of an exchange can be lost, an edit can go with its name, and what is moved to
    // `rescued/` can be our own body in its place: no promise holds for edits, or for garbage, there.
    let sides = matches!(profile, Profile::Hostile(_)) && (edit.is_some() || noisy);
    let rescued = rescued(sim);
    for (path, body) in &rescued {
        let is_version = expect.history.iter().any(|tree| tree.values().any(|was| was == body));
        // What was added twice is taken for somebody's work when it is crashed again.
        let is_torn = expect.torn.is_some()
            && expect.history.iter().any(|tree| tree.values().any(|was| body.starts_with(was)));
        // Perhaps with a part of what was being added to it.
        let is_edit = edit.is_some_and(|edit| body.starts_with(&edit.body));
        if !is_edit && (!noisy || is_version) && !is_torn && !sides {
            return Err(format!("nobody else has written, and yet there is `{path}`"));
        }
    }
    let Some(edit) = edit.filter(|_| !sides) else { return Ok(()) };
    let holds_it = |body: &Vec<u8>| body.windows(edit.body.len()).any(|part| part == edit.body);
    let is_kept = now.get(&edit.path).is_some_and(holds_it)
        || rescued.values().any(holds_it)
        || edit.removed && !now.contains_key(&edit.path);
    match is_kept {
        true => Ok(()),
        false => Err(format!("the edit of `{}` is lost: {:?}", edit.path, summary(now))),
    }
}

/// What lies in `rescued/`.
fn rescued(sim: &SimFs) -> Tree {
    const RESCUED: &str = ".filepact/rescued";
    match sim.names_in(RESCUED).is_empty() {
        true => Tree::new(),
        false => sim.tree().into_iter().filter(|(path, _)| path.starts_with(RESCUED)).collect(),
    }
}

/// Whether these documents are those, but for garbage in front of what was added to one.
///
/// Where a disk leaves garbage in the place of an addition, nobody can tell it from what another
/// program has added: it stays, and the addition follows it, and also later ones that were not harmed.
/// So does a part of the addition, where the redo that wrote it behind the garbage was cut short.
fn holds(now: &Tree, tree: &Tree, history: &[Tree]) -> bool {
    let at = history.iter().position(|known| known == tree);
    let history = at.map_or(history, |at| &history[..=at]);
    let same = |(path, wanted): (&String, &Vec<u8>)| {
        let Some(found) = now.get(path) else { return false };
        let parts = parts(wanted, path, history);
        let [first, added @ ..] = &parts[..] else { return found.is_empty() };
        found == wanted
            || found.starts_with(first)
                && !added.is_empty()
                && added.iter().all(|part| found.windows(part.len()).any(|window| window == part))
    };
    now.len() == tree.len() && tree.iter().all(same)
}

/// What recovery says is durable has to be.
fn durable(sim: &SimFs, now: &Tree, expect: &Expect, profile: Profile) -> Verdict {
    // Where nothing is pending, no power cut takes anything. Else: the worst ones.
    if sim.is_durable_beside(".filepact", profile) {
        return Ok(());
    }
    // No promise holds for an edit there.
    let sides = matches!(profile, Profile::Hostile(_)) && expect.edit.is_some();
    for world in &sim.world().power_cut(&profile, 8, 0).worlds {
        let lost = documents(world);
        if lost != *now {
            return Err(format!("recovered, and lost again: {:?}", summary(&lost)));
        }
        // One that was dropped may come back.
        let left = rescued(world);
        if !sides && rescued(sim).iter().any(|(path, edit)| left.get(path) != Some(edit)) {
            return Err("an edit was in `rescued/`, and is lost again".to_owned());
        }
    }
    Ok(())
}

/// A second opening finds nothing to do, and does nothing: only `state`, and the mark, are written.
///
/// A torn tail stays where it is until a record follows it, and is reported again.
fn again(sim: &SimFs, first: &Report) -> Verdict {
    let fingerprint = || {
        sim.fingerprint_of(|path| {
            !matches!(path, ".filepact" | ".filepact/state" | ".filepact/checkpoint.lock")
        })
    };
    let before = fingerprint();
    let store = match options().open_with(sim.actor()) {
        Ok(store) => store,
        Err(error) => return Err(format!("it does not open a second time: {error:?}")),
    };
    let report = store.recovery_report();
    let idle = report.trusted
        && report.kept.is_empty()
        && (report.torn.is_none() || report.torn == first.torn)
        && report.documents.is_empty()
        && report.adopted.is_empty()
        && report.rescued.is_empty()
        && report.left.is_empty()
        && report.swept == 0;
    if !idle {
        return Err(format!("a second opening finds something to do: {report:?}"));
    }
    if fingerprint() != before {
        return Err("a second opening changes something".to_owned());
    }
    Ok(())
}

fn summary(tree: &Tree) -> BTreeMap<String, String> {
    let of = |(path, body): (&String, &Vec<u8>)| {
        let start = String::from_utf8_lossy(&body[..body.len().min(8)]).into_owned();
        (path.clone(), format!("{} bytes, {start:?}", body.len()))
    };
    tree.iter().map(of).collect()
}
