//! What has to hold after each recovery.

use std::collections::BTreeMap;

use filepact::{Report, Store};
use filepact_simfs::{Grain, Profile, SimFs};

use crate::crash::story::Expect;
use crate::crash::{documents, options};
use crate::history::Tree;

const RESCUED: &str = ".filepact/rescued";

/// A recovery that is wrong: what, and what was there.
pub type Verdict = Result<(), String>;

/// Judges a store that was just opened on `sim`, closes it, opens it again and judges that.
///
/// - The documents are one of those that may be found, byte for byte.
/// - Nothing was rescued, adopted or left: nobody else has written. (But for garbage, on a disk that
///   leaves it: noise, and no loss.)
/// - The journal verifies, and every document is as it says.
/// - `stage/` is swept.
/// - A second opening finds nothing to do, and changes no document.
/// - The worst power cut now loses nothing.
pub fn judge(sim: &SimFs, store: Store, expect: &Expect, profile: Profile) -> Verdict {
    let now = documents(sim);
    let noisy = profile.grain() == Grain::Trash;
    if !expect.trees.iter().any(|tree| *tree == now || noisy && holds(&now, tree, &expect.history))
    {
        return Err(format!("half a transaction, or a lost one: {:?}", summary(&now)));
    }
    let report = store.recovery_report().clone();
    if !report.adopted.is_empty() || !report.left.is_empty() {
        return Err("nobody else has written, and yet something was adopted or left".to_owned());
    }
    if let Some(name) =
        sim.names_in(RESCUED).iter().find(|name| !is_noise(sim, name, expect, noisy))
    {
        return Err(format!("nobody else has written, and yet `{name}` was rescued"));
    }
    // What stands behind garbage is no version that anybody wrote.
    let is_version =
        |path: &String| expect.history.iter().any(|tree| tree.get(path) == now.get(path));
    match store.check() {
        Ok(check)
            if check.problems.is_empty()
                && check.outside_edits.iter().all(|path| noisy && !is_version(path)) => {}
        Ok(check) => return Err(format!("not clean: {check:?}")),
        Err(error) => return Err(format!("cannot be checked: {error:?}")),
    }
    let leftovers = sim.names_in(".filepact/stage");
    if !leftovers.is_empty() {
        return Err(format!("`stage/` is not swept: {leftovers:?}"));
    }
    drop(store);
    durable(sim, &now, profile)?;
    again(sim, &report)
}

/// Whether a rescued file may be there although nobody else has written: a disk that leaves garbage in
/// a document leaves what no transaction ever wrote, and only that may be taken for somebody's edit.
fn is_noise(sim: &SimFs, name: &str, expect: &Expect, noisy: bool) -> bool {
    let bytes = sim.read(&format!("{RESCUED}/{name}"));
    let is_version =
        expect.trees.iter().any(|tree| tree.values().any(|body| Some(body) == bytes.as_ref()));
    noisy && !is_version
}

/// Whether these documents are those, but for garbage in front of what was added to one.
///
/// Where a disk leaves garbage in the place of an addition, nobody can tell it from what another
/// program has added: it stays, and the addition follows it. So does a part of the addition, where the
/// redo that wrote it behind the garbage was cut short.
fn holds(now: &Tree, tree: &Tree, history: &[Tree]) -> bool {
    let same = |(path, wanted): (&String, &Vec<u8>)| {
        let Some(found) = now.get(path) else { return false };
        let was = history.iter().filter_map(|tree| tree.get(path));
        let mut ends: Vec<usize> =
            was.filter(|was| wanted.starts_with(was)).map(Vec::len).chain([wanted.len()]).collect();
        ends.sort_unstable();
        ends.dedup();
        let (mut rest, mut begin) = (found.as_slice(), 0);
        for end in ends {
            let part = &wanted[begin..end];
            let at = if end == wanted.len() && begin > 0 {
                rest.ends_with(part).then(|| rest.len() - part.len())
            } else if begin > 0 {
                rest.windows(part.len()).position(|window| window == part)
            } else {
                rest.starts_with(part).then_some(0)
            };
            let Some(at) = at else { return false };
            (rest, begin) = (&rest[at + part.len()..], end);
        }
        rest.is_empty()
    };
    now.len() == tree.len() && tree.iter().all(same)
}

/// What recovery says is durable has to be.
fn durable(sim: &SimFs, now: &Tree, profile: Profile) -> Verdict {
    // Where nothing is pending, no power cut takes anything. Else: the worst ones.
    if sim.is_durable_beside(".filepact", profile) {
        return Ok(());
    }
    for world in &sim.world().power_cut(&profile, 8, 0).worlds {
        let lost = documents(world);
        if lost != *now {
            return Err(format!("recovered, and lost again: {:?}", summary(&lost)));
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
