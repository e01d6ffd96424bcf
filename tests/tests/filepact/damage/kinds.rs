//! What decay does: to each byte, each sector, each length, each file, each pair of files.

use std::collections::BTreeSet;

use filepact_simfs::{Damage, SimFs};

use crate::damage::stores::Resting;

const SECTOR: usize = 512;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    BitFlip,
    ZeroSector,
    StaleSector,
    MisplacedSector,
    Truncated,
    Added,
    Lost,
    Swapped,
}

pub(crate) const ALL: [Kind; 8] = [
    Kind::BitFlip,
    Kind::ZeroSector,
    Kind::StaleSector,
    Kind::MisplacedSector,
    Kind::Truncated,
    Kind::Added,
    Kind::Lost,
    Kind::Swapped,
];

/// A store that was hurt.
pub(crate) struct Hurt {
    pub(crate) what: String,
    /// The file, or both of two that are swapped.
    pub(crate) path: Vec<String>,
    pub(crate) kind: Kind,
    pub(crate) sim: SimFs,
}

/// Each damage to each file of the store's folder. What is in `rescued/` is its owner's; and a staged body
/// that a document shares its inode with is that document, whose changes are edits.
pub(crate) fn damages(store: &Resting) -> impl Iterator<Item = Hurt> + '_ {
    let tree = store.sim.tree();
    let inode = |path: &str| store.sim.stat(path).expect("it is there").stamp.ino;
    let documents: BTreeSet<u64> = tree
        .keys()
        .filter(|path| !path.starts_with(".filepact/"))
        .map(|path| inode(path))
        .collect();
    let files: Vec<(String, Vec<u8>)> = tree
        .into_iter()
        .filter(|(path, _)| path.starts_with(".filepact/") && !path.contains("/rescued/"))
        .filter(|(path, _)| !documents.contains(&inode(path)))
        .collect();
    let names: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
    let pairs = names.clone();
    let swapped = names.into_iter().enumerate().flat_map(move |(at, path)| {
        // Where the mark gets a name that is a link of a large body, it is written over that body.
        let is_linked = |path: &str| store.sim.stat(path).is_some_and(|stat| stat.nlink > 1);
        let is_mark = |path: &str| path == ".filepact/checkpoint.lock";
        let others: Vec<String> = pairs[at + 1..]
            .iter()
            .filter(|other| {
                !(is_mark(&path) && is_linked(other) || is_mark(other) && is_linked(&path))
            })
            .cloned()
            .collect();
        others.into_iter().map(move |other| {
            let sim = store.sim.fork();
            sim.damage_swap(&path, &other);
            let what = format!("`{path}` and `{other}` swapped");
            Hurt { what, path: vec![path.clone(), other], kind: Kind::Swapped, sim }
        })
    });
    files.into_iter().flat_map(move |(path, bytes)| file(store, &path, &bytes)).chain(swapped)
}

/// Where the bytes end that mean something.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| !is_padding(*byte)).map_or(0, |last| last + 1)
}

/// Whether nothing stands there.
fn is_padding(byte: u8) -> bool {
    matches!(byte, b'\n' | 0)
}

/// All offsets of what means something, and some of the padding between and behind.
fn offsets(bytes: &[u8]) -> Vec<usize> {
    // Of a large body some bytes of each sector.
    let step = if bytes.contains(&b'{') || used(bytes) < SECTOR { 1 } else { 97 };
    let means = (0..bytes.len()).step_by(step).filter(|at| !is_padding(bytes[*at]));
    let padding = (0..bytes.len()).step_by((bytes.len() / 24).max(1));
    means.chain(padding.filter(|at| is_padding(bytes[*at]))).collect()
}

fn file(store: &Resting, path: &str, bytes: &[u8]) -> Vec<Hurt> {
    let mut all = Vec::new();
    let mut hurt = |kind, what: String, work: &dyn Fn(&SimFs)| {
        let sim = store.sim.fork();
        work(&sim);
        let what = format!("`{path}`: {what}");
        all.push(Hurt { what, path: vec![path.to_owned()], kind, sim });
    };
    for offset in offsets(bytes) {
        let (offset, bit) = (offset as u64, (offset * 5 % 8) as u8);
        hurt(Kind::BitFlip, format!("bit {bit} of byte {offset}"), &|sim| {
            sim.damage(path, Damage::FlipBit { offset, bit });
        });
        hurt(Kind::Truncated, format!("cut to {offset} bytes"), &|sim| {
            sim.damage(path, Damage::Truncate(offset));
        });
    }
    // What means something, and one sector of padding.
    let sectors =
        used(bytes).div_ceil(SECTOR).min(bytes.len().div_ceil(SECTOR).saturating_sub(1)) + 1;
    let sectors = if bytes.is_empty() { 0 } else { sectors };
    let sector = |bytes: &[u8], at: usize| -> Vec<u8> {
        bytes.iter().skip(at * SECTOR).take(SECTOR).copied().collect()
    };
    let mut seen = BTreeSet::new();
    for at in 0..sectors {
        hurt(Kind::ZeroSector, format!("sector {at} is zeros"), &|sim| {
            sim.damage(path, Damage::ZeroSector(at as u64));
        });
        for from in (0..sectors).filter(|from| sector(bytes, *from) != sector(bytes, at)) {
            let damage = Damage::MisplacedSector { from: from as u64, to: at as u64 };
            hurt(Kind::MisplacedSector, format!("sector {at} is {from}"), &|sim| {
                sim.damage(path, damage);
            });
        }
        for (nth, earlier) in store.earlier.iter().enumerate() {
            let Some(old) = earlier.read(path) else { continue };
            if sector(&old, at) != sector(bytes, at) && seen.insert((at, sector(&old, at))) {
                hurt(Kind::StaleSector, format!("sector {at} as before {nth}"), &|sim| {
                    sim.damage_stale(path, at as u64, earlier);
                });
            }
        }
    }
    let line = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
    let added = [vec![0; 10], b"\n\n".to_vec(), b"garbage".to_vec(), vec![b'\n'; 4096], line];
    for (nth, added) in added.into_iter().enumerate() {
        hurt(Kind::Added, format!("bytes added, {nth}"), &|sim| {
            sim.write(path, &[bytes, &added].concat());
            sim.write_back(path);
        });
    }
    hurt(Kind::Lost, "lost".to_owned(), &|sim| sim.damage(path, Damage::Delete));
    all
}
