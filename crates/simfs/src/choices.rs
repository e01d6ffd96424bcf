//! What a power cut may leave of one inode: its attributes, its size, and of each dirty page one of
//! the versions that it had (rules 1 to 4).
//!
//! Choices that would show the same bytes are one choice, so that two different picks always mean
//! two different files.

use filepact_fs::Time;

use crate::cow::Map;
use crate::inode::{Data, Inode, Meta, MetaVersions};
use crate::page::{PAGE, Page, SECTOR};
use crate::profile::Grain;
use crate::random::{Random, hash_of};

/// The choices for one inode.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    metas: Vec<Meta>,
    latest_meta: usize,
    sizes: Vec<AtSize>,
    latest_size: usize,
    /// The mtime that a write has stamped since the newest of `metas`.
    touched: Option<Time>,
}

/// The choices once the size is chosen.
#[derive(Clone, Debug)]
struct AtSize {
    size: u64,
    units: Vec<Unit>,
}

/// A page or a sector of which more than one version may be on the disk.
#[derive(Clone, Debug)]
struct Unit {
    page: u64,
    range: std::ops::Range<usize>,
    /// The first is the durable one; no two agree within the range.
    versions: Vec<Page>,
    latest: usize,
}

/// One of the choices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pick {
    meta: usize,
    size: usize,
    units: Vec<usize>,
}

/// A single thing in which two picks differ.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Difference {
    Meta(usize),
    Size(usize),
    Unit { unit: usize, version: usize },
}

impl Choices {
    pub(crate) fn of(inode: &Inode, grain: Grain, seed: u64) -> Self {
        let MetaVersions { durable, set, touched, live } = &inode.meta;
        let mut metas = Vec::new();
        let mut latest_meta = 0;
        for meta in std::iter::once(durable).chain(set.iter()) {
            latest_meta = place_of(&mut metas, meta, Meta::agrees);
        }
        let data = &inode.data;
        let mut lengths = Vec::new();
        let mut latest_size = 0;
        for size in std::iter::once(&data.durable_size).chain(data.sizes.iter()) {
            latest_size = place_of(&mut lengths, size, u64::eq);
        }
        let sizes =
            lengths.into_iter().map(|size| AtSize { size, units: units(data, size, grain, seed) });
        Self {
            metas,
            latest_meta,
            sizes: sizes.collect(),
            latest_size,
            touched: touched.then_some(live.mtime),
        }
    }

    /// How many picks there are.
    pub(crate) fn count(&self) -> f64 {
        self.metas.len() as f64 * self.sizes.iter().map(AtSize::count).sum::<f64>()
    }

    /// The pick of this number, below [`Choices::count`].
    pub(crate) fn nth(&self, number: u64) -> Pick {
        let meta = (number % self.metas.len() as u64) as usize;
        let mut rest = number / self.metas.len() as u64;
        let mut size = 0;
        while rest >= self.sizes[size].count() as u64 {
            rest -= self.sizes[size].count() as u64;
            size += 1;
        }
        let mut take = |unit: &Unit| {
            let of = unit.versions.len() as u64;
            let version = rest % of;
            rest /= of;
            version as usize
        };
        Pick { meta, size, units: self.sizes[size].units.iter().map(&mut take).collect() }
    }

    /// Nothing that was not synced has reached the disk.
    pub(crate) fn lost(&self) -> Pick {
        Pick { meta: 0, size: 0, units: vec![0; self.sizes[0].units.len()] }
    }

    /// Everything has.
    pub(crate) fn kept(&self) -> Pick {
        let units = self.sizes[self.latest_size].units.iter().map(|unit| unit.latest).collect();
        Pick { meta: self.latest_meta, size: self.latest_size, units }
    }

    /// Every single thing in which a pick can differ from all lost and from all kept.
    pub(crate) fn differences(&self) -> Vec<Difference> {
        let metas = (0..self.metas.len()).map(Difference::Meta);
        let sizes = (0..self.sizes.len()).map(Difference::Size);
        let units = self.sizes[self.latest_size].units.iter().enumerate();
        let units = units.flat_map(|(unit, of)| {
            (0..of.versions.len()).map(move |version| Difference::Unit { unit, version })
        });
        metas.chain(sizes).chain(units).collect()
    }

    /// All kept, or all lost, but for one thing. A page that is kept alone is kept with the latest
    /// size, since it would not be seen without.
    pub(crate) fn all_but(&self, all_kept: bool, difference: Difference) -> Pick {
        let base = if all_kept { self.kept() } else { self.lost() };
        match difference {
            Difference::Meta(meta) => Pick { meta, ..base },
            Difference::Size(size) => {
                let units = self.sizes[size].units.iter();
                let units = units.map(|unit| if all_kept { unit.latest } else { 0 }).collect();
                Pick { size, units, ..base }
            }
            Difference::Unit { unit, version } => {
                let mut pick = Pick { meta: base.meta, ..self.kept() };
                if !all_kept {
                    pick.units.fill(0);
                }
                pick.units[unit] = version;
                pick
            }
        }
    }

    /// Any pick; each thing is the latest in about `percent` of a hundred cases.
    pub(crate) fn random(&self, random: &mut Random, percent: usize) -> Pick {
        let mut any = |count: usize, latest: usize| {
            if random.chance(percent) { latest } else { random.below(count) }
        };
        let meta = any(self.metas.len(), self.latest_meta);
        let size = any(self.sizes.len(), self.latest_size);
        let units = self.sizes[size].units.iter();
        let units = units.map(|unit| any(unit.versions.len(), unit.latest)).collect();
        Pick { meta, size, units }
    }

    pub(crate) fn size(&self, pick: &Pick) -> u64 {
        self.sizes[pick.size].size
    }

    /// Makes the inode what the pick says, live and durable. An mtime that a write stamped after
    /// the chosen attributes goes with them if `stamped`.
    pub(crate) fn apply(&self, pick: &Pick, stamped: bool, inode: &mut Inode) {
        let AtSize { size, units } = &self.sizes[pick.size];
        let mut pages = inode.data.durable.clone();
        for (unit, version) in units.iter().zip(&pick.units) {
            let chosen = &unit.versions[*version];
            if *version == 0 {
                continue;
            }
            if unit.range.len() == PAGE {
                pages.insert(unit.page, chosen.clone());
            } else {
                let old = pages.get(&unit.page).cloned().unwrap_or_default();
                let sector = &chosen.bytes()[unit.range.clone()];
                pages.insert(unit.page, old.with(unit.range.start, sector));
            }
        }
        inode.data = Data::settled(within(pages, *size), *size);
        let mut meta = self.metas[pick.meta].clone();
        if let (Some(mtime), true) = (self.touched, stamped && pick.meta == self.latest_meta) {
            meta.mtime = mtime;
        }
        inode.meta = MetaVersions::new(meta);
    }
}

impl AtSize {
    fn count(&self) -> f64 {
        self.units.iter().map(|unit| unit.versions.len() as f64).product()
    }
}

/// What may be on the disk within a size, where there is a choice.
fn units(data: &Data, size: u64, grain: Grain, seed: u64) -> Vec<Unit> {
    let mut units = Vec::new();
    for (&page, written) in data.dirty.iter() {
        let seen = size.saturating_sub(page * PAGE as u64).min(PAGE as u64) as usize;
        let durable = data.durable.get(&page).cloned().unwrap_or_default();
        let step = match grain {
            Grain::Page => PAGE,
            Grain::Sector | Grain::Trash => SECTOR,
        };
        for start in (0..seen).step_by(step) {
            let seen_range = start..seen.min(start + step);
            let agree = |a: &Page, b: &Page| a.agrees(b, seen_range.clone());
            let mut versions = Vec::new();
            let mut latest = 0;
            for version in std::iter::once(&durable).chain(written.iter()) {
                latest = place_of(&mut versions, version, agree);
            }
            if versions.len() > 1 && grain == Grain::Trash {
                let place = hash_of(&(seed, page, start));
                let garbage = garbage(&versions, start..start + step, place);
                place_of(&mut versions, &garbage, agree);
            }
            if versions.len() > 1 {
                units.push(Unit { page, range: start..start + step, versions, latest });
            }
        }
    }
    units
}

/// Garbage in a sector behind the leading bytes on which all versions agree.
fn garbage(versions: &[Page], range: std::ops::Range<usize>, seed: u64) -> Page {
    let (first, others) = versions.split_first().expect("the durable one");
    let is_same = |at: &usize| others.iter().all(|other| other.bytes()[*at] == first.bytes()[*at]);
    let end = range.end;
    let spoilt = range.skip_while(is_same);
    let start = spoilt.clone().next().unwrap_or(end);
    let mut random = Random::new(seed);
    let bytes: Vec<u8> = spoilt.map(|_| random.next() as u8).collect();
    first.with(start, &bytes)
}

/// Where a value stands in a list that holds no two alike; it is added if need be.
fn place_of<T: Clone>(list: &mut Vec<T>, value: &T, alike: impl Fn(&T, &T) -> bool) -> usize {
    list.iter().position(|other| alike(other, value)).unwrap_or_else(|| {
        list.push(value.clone());
        list.len() - 1
    })
}

/// Bytes past the size are not there.
pub(crate) fn within(pages: Map<u64, Page>, size: u64) -> Map<u64, Page> {
    let end = size.div_ceil(PAGE as u64);
    let mut kept = pages;
    if kept.iter().next_back().is_some_and(|(last, _)| *last >= end) {
        let seen = kept.iter().filter(|(page, _)| **page < end);
        kept = seen.map(|(page, content)| (*page, content.clone())).collect();
    }
    let tail = (size % PAGE as u64) as usize;
    if tail > 0
        && let Some(last) = kept.get_mut(&(end - 1))
    {
        *last = last.cut(tail);
    }
    kept
}
