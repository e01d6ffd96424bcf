//! A disk that decays: damage at rest (rule 10). Whoever reads must detect it.

use filepact_fs::Rename;

use crate::fs::SimFs;
use crate::inode::Data;
use crate::page::SECTOR;
use crate::system::{Answer, System};

/// Damage at rest, done by [`SimFs::damage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit turns.
    FlipBit {
        /// Of the byte.
        offset: u64,
        /// 0 to 7.
        bit: u8,
    },
    /// The 512 bytes from `n * 512` are zeros.
    ZeroSector(u64),
    /// A write went astray: this sector holds what belongs to another one of the file.
    MisplacedSector {
        /// The sector that it belongs to, and that has it too.
        from: u64,
        /// The sector that is overwritten.
        to: u64,
    },
    /// The file ends here.
    Truncate(u64),
    /// The name is gone.
    Delete,
}

impl SimFs {
    /// Damages a file at rest, on the disk and in the cache. What was pending of it becomes durable
    /// first.
    pub fn damage(&self, path: &str, damage: Damage) {
        if damage == Damage::Delete {
            self.outside("damage", path, |system| {
                system.write_back(path)?;
                system.remove(path)?;
                system.write_back(path)
            });
            return;
        }
        self.spoil(path, |data| match damage {
            Damage::FlipBit { offset, bit } => {
                let mut byte = [0];
                assert_eq!(data.read(&mut byte, offset, false), 1, "past the end of `{path}`");
                data.write(&[byte[0] ^ 1 << bit], offset);
            }
            Damage::ZeroSector(sector) => put_sector(data, sector, &[0; SECTOR], path),
            Damage::MisplacedSector { from, to } => {
                let astray = sector_of(data, from);
                put_sector(data, to, &astray, path);
            }
            Damage::Truncate(len) => data.set_len(len),
            Damage::Delete => unreachable!("no content to spoil"),
        });
    }

    /// A write was lost: a sector of the file holds what it held in an earlier world.
    pub fn damage_stale(&self, path: &str, sector: u64, earlier: &SimFs) {
        let old = {
            let system = &earlier.state().system;
            let (id, _) = system.file(path).expect("the earlier world has the file");
            sector_of(&system.inode(id).data, sector)
        };
        self.spoil(path, |data| put_sector(data, sector, &old, path));
    }

    /// Two files have each other's names, for good.
    pub fn damage_swap(&self, path: &str, other: &str) {
        self.outside("damage", path, |system| {
            system.write_back(path)?;
            system.write_back(other)?;
            system.rename(path, other, Rename::Exchange)?;
            system.write_back(path)?;
            system.write_back(other)
        });
    }

    fn spoil(&self, path: &str, work: impl FnOnce(&mut Data)) {
        self.outside("damage", path, |system| system.spoil(path, work));
    }
}

impl System {
    /// Changes content behind everybody's back: times stay what they are.
    fn spoil(&mut self, path: &str, work: impl FnOnce(&mut Data)) -> Answer<()> {
        self.write_back(path)?;
        let (id, _) = self.file(path)?;
        let inode = self.inode_mut(id);
        work(&mut inode.data);
        inode.data.sync();
        Ok(())
    }
}

/// The bytes of a sector, with zeros past the end of the file.
fn sector_of(data: &Data, sector: u64) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    data.read(&mut bytes, sector * SECTOR as u64, false);
    bytes
}

fn put_sector(data: &mut Data, sector: u64, bytes: &[u8; SECTOR], path: &str) {
    let offset = sector * SECTOR as u64;
    assert!(offset < data.size, "past the end of `{path}`");
    let len = (data.size - offset).min(SECTOR as u64) as usize;
    data.write(&bytes[..len], offset);
}
