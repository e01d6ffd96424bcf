//! What has to hold after each recovery.

use std::collections::BTreeMap;

use filepact::{Report, Store};
use filepact_simfs::SimFs;

use crate::crash::profiles::Named;
use crate::crash::story::Expect;
use crate::crash::{documents, options};
use crate::history::Tree;

/// A recovery that is wrong: what, and what was there.
pub type Verdict = Result<(), String>;

/// Judges a store that was just opened on `sim`, closes it, opens it again and judges that.
///
/// - The documents are one of those that may be found, byte for byte.
/// - Nothing was rescued, adopted or left: nobody else has written.
/// - The journal verifies, and every document is as it says.
/// - `stage/` and `rescued/` are empty.
/// - A second opening finds nothing to do, and changes no document.
/// - The worst power cut now loses nothing.
pub fn judge(sim: &SimFs, store: Store, expect: &Expect, profile: &Named) -> Verdict {
    let now = documents(sim);
    if !expect.trees.contains(&now) {
        return Err(format!("half a transaction, or a lost one: {:?}", summary(&now)));
    }
    let report = store.recovery_report().clone();
    if !report.rescued.is_empty() || !report.adopted.is_empty() || !report.left.is_empty() {
        return Err(
            "nobody else has written, and yet something was rescued, adopted or left".into()
        );
    }
    match store.check() {
        Ok(check) if check.problems.is_empty() && check.outside_edits.is_empty() => {}
        Ok(check) => return Err(format!("not clean: {check:?}")),
        Err(error) => return Err(format!("cannot be checked: {error:?}")),
    }
    for folder in [".filepact/stage", ".filepact/rescued"] {
        let leftovers = sim.names_in(folder);
        if !leftovers.is_empty() {
            return Err(format!("`{folder}` is not swept: {leftovers:?}"));
        }
    }
    drop(store);
    durable(sim, &now, profile)?;
    again(sim, &report)
}

/// What recovery says is durable has to be.
fn durable(sim: &SimFs, now: &Tree, profile: &Named) -> Verdict {
    // Where nothing is pending, no power cut takes anything. Else: the worst ones.
    if sim.is_durable_beside(".filepact") {
        return Ok(());
    }
    for world in &sim.world().power_cut(&profile.profile, 8, 0).worlds {
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
