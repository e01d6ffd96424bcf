//! What the litmus tests share.

pub(crate) use std::collections::BTreeSet;
pub(crate) use std::time::Duration;

pub(crate) use filepact_fs::{
    Access, Attrs, File, Fs, FsError, Kind, LockKind, Rename, SyncKind, Time,
};
pub(crate) use filepact_simfs::{
    Actor, Damage, Fault, FaultKind, Grain, Outcomes, Profile, SimFs, When, World, errno,
};

pub(crate) const PAGES: Profile = Profile::Strict(Grain::Page);
pub(crate) const SECTORS: Profile = Profile::Strict(Grain::Sector);
pub(crate) const TRASH: Profile = Profile::Strict(Grain::Trash);
pub(crate) const ORDERED: Profile = Profile::Ordered(Grain::Page);
pub(crate) const PER_INODE: Profile = Profile::PerInode(Grain::Page);
pub(crate) const HOSTILE: Profile = Profile::Hostile(Grain::Page);

pub(crate) const PAGE: usize = 4096;

/// All that a power cut may leave.
pub(crate) fn all(world: &World, profile: Profile) -> Vec<SimFs> {
    let outcomes = world.power_cut(&profile, 100_000, 1);
    assert!(outcomes.complete, "{} are too many", outcomes.possible);
    assert_eq!(outcomes.worlds.len() as f64, outcomes.possible);
    let distinct: BTreeSet<u64> = outcomes.worlds.iter().map(SimFs::fingerprint).collect();
    assert_eq!(distinct.len(), outcomes.worlds.len(), "two worlds are the same");
    outcomes.worlds
}

/// What a power cut may leave of one file; `None` if its name may be missing.
pub(crate) fn after(sim: &SimFs, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    all(&sim.world(), PAGES).iter().map(|world| world.read(path)).collect()
}

/// Which sets of paths a power cut may leave.
pub(crate) fn names(sim: &SimFs) -> BTreeSet<String> {
    names_under(sim, PAGES)
}

pub(crate) fn names_under(sim: &SimFs, profile: Profile) -> BTreeSet<String> {
    let keys = |world: &SimFs| world.tree().into_keys().collect::<Vec<_>>().join(" ");
    all(&sim.world(), profile).iter().map(keys).collect()
}

/// Which files a power cut may leave, as `path=content`, where all content is durable.
pub(crate) fn bodies_under(sim: &SimFs, profile: Profile) -> BTreeSet<String> {
    let text = |world: &SimFs| {
        let files = world.tree().into_iter();
        let files = files.map(|(path, body)| format!("{path}={}", String::from_utf8_lossy(&body)));
        files.collect::<Vec<_>>().join(" ")
    };
    all(&sim.world(), profile).iter().map(text).collect()
}

pub(crate) fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

pub(crate) fn texts(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

/// A world with these files, durable, and the directories before them.
pub(crate) fn durable(files: &[(&str, &[u8])]) -> (SimFs, std::sync::Arc<Actor>) {
    let sim = SimFs::new();
    for (path, bytes) in files {
        if let Some((dir, _)) = path.split_once('/')
            && sim.stat(dir).is_none()
        {
            sim.mkdir(dir);
        }
        sim.write(path, bytes);
    }
    sim.write_back_all();
    let actor = sim.actor();
    (sim, actor)
}

pub(crate) fn errno_of<T>(answer: Result<T, FsError>) -> i32 {
    answer.err().expect("it fails").source.raw_os_error().expect("an errno")
}

pub(crate) fn put(actor: &Actor, path: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = actor.create(path).unwrap();
    assert_eq!(file.write_at(bytes, 0).unwrap(), bytes.len());
    file
}

/// Strikes the `nth` call from now on that is this `op`.
pub(crate) fn fault(sim: &SimFs, op: &'static str, kind: FaultKind, nth: u64, sticky: bool) {
    let at = When::Matching { op, path_contains: String::new(), nth };
    sim.fault(Fault { at, kind, sticky });
}
