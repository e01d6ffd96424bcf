//! A process: the seam's calls, with the handles and locks that die with it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filepact_fs::{
    Access, Attrs, Entry, Facts, File, Fs, FsError, Lock, LockKind, Rename, Result, Stat, SyncKind,
    Time,
};

use crate::errno;
use crate::fs::{Class, Refusal, SimFs, Twist};
use crate::inode::Id;
use crate::system::System;

/// A process that uses a [`SimFs`]; made by [`SimFs::actor`], ended by [`SimFs::kill`].
pub struct Actor {
    sim: SimFs,
    id: u64,
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({})", self.id)
    }
}

impl Actor {
    pub(crate) fn new(sim: SimFs, id: u64) -> Self {
        Self { sim, id }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    fn call<T>(
        &self,
        op: &'static str,
        path: &str,
        class: Class,
        work: impl FnOnce(&mut System, Twist) -> std::result::Result<T, i32>,
    ) -> Result<T> {
        let answer = self.sim.state().call(self.id, (op, path), String::new, class, work);
        answer.map_err(|refusal| refusal.on(op, path))
    }

    fn file(&self, path: &str, access: Access, opened: Opened) -> Box<dyn File> {
        Box::new(SimFile {
            handle: Held { sim: self.sim.clone(), actor: self.id, handle: opened.handle },
            id: opened.id,
            mount: opened.mount,
            access,
            path: Mutex::new(Arc::from(path)),
        })
    }
}

#[derive(Clone, Copy)]
struct Opened {
    handle: u64,
    id: Id,
    mount: u64,
}

impl Refusal {
    fn on(self, op: &'static str, path: &str) -> FsError {
        match self {
            Self::Errno(errno) => FsError::new(op, path, io::Error::from_raw_os_error(errno)),
            Self::Dead => FsError::new(op, path, io::Error::other("the process is dead")),
        }
    }
}

impl Fs for Actor {
    fn facts(&self) -> Result<Facts> {
        self.call("facts", "", Class::Look, |system, _| {
            let network = system.config.network;
            let mount = system.config.mount_ids.then_some(system.mount);
            let leases = system.config.leases;
            Ok(Facts { boot: system.boot_id(), mount, network, leases })
        })
    }

    fn now(&self) -> Time {
        let config = &mut self.sim.state().system.config;
        config.take_step();
        config.clock
    }

    fn unique(&self) -> String {
        self.sim.state().system.unique()
    }

    fn open(&self, path: &str, access: Access) -> Result<Box<dyn File>> {
        let opened = self.call("open", path, Class::Look, |system, _| {
            system.room_for_handle(self.id)?;
            let (id, mount) = system.file(path)?;
            if system.is_leased(id) {
                return Err(errno::AGAIN);
            }
            match access {
                Access::ReadDevice if !system.config.read_device => return Err(errno::INVAL),
                Access::Write | Access::Append if system.inode(id).frozen => {
                    return Err(errno::PERM);
                }
                Access::Write | Access::Append if system.config.read_only => {
                    return Err(errno::ROFS);
                }
                _ => {}
            }
            Ok(Opened { handle: system.open_handle(self.id, id, None), id, mount })
        })?;
        Ok(self.file(path, access, opened))
    }

    fn create(&self, path: &str) -> Result<Box<dyn File>> {
        let opened = self.call("create", path, Class::Change, |system, _| {
            system.room_for_handle(self.id)?;
            let (id, mount) = system.create(path, 0o600)?;
            Ok(Opened { handle: system.open_handle(self.id, id, None), id, mount })
        })?;
        Ok(self.file(path, Access::Write, opened))
    }

    fn create_unnamed(&self, dir: &str) -> Result<Box<dyn File>> {
        let opened = self.call("create_unnamed", dir, Class::Change, |system, _| {
            system.room_for_handle(self.id)?;
            let (id, mount) = system.create_unnamed(dir)?;
            Ok(Opened { handle: system.open_handle(self.id, id, None), id, mount })
        })?;
        let path = if dir.is_empty() { "#unnamed".to_owned() } else { format!("{dir}/#unnamed") };
        Ok(self.file(&path, Access::Write, opened))
    }

    fn stat(&self, path: &str) -> Result<Option<Stat>> {
        self.call("stat", path, Class::Look, |system, _| system.stat(path))
    }

    fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        self.call("list", dir, Class::Look, |system, _| {
            let (id, _) = system.dir(dir)?;
            let entry = |(name, entry): (&crate::step::Name, crate::step::Entry)| Entry {
                name: name.to_os_string(),
                kind: system.inode(entry.id).kind,
            };
            Ok(system.live.list(id).map(entry).collect())
        })
    }

    fn make_dir(&self, path: &str, mode: u32) -> Result<()> {
        self.call("make_dir", path, Class::Change, |system, _| system.make_dir(path, mode))
    }

    fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        let sign = if how == Rename::Exchange { "<->" } else { "->" };
        let both = format!("{from} {sign} {to}");
        let class = Class::Change;
        let answer =
            self.sim.state().call(self.id, ("rename", &both), String::new, class, |system, _| {
                system.rename(from, to, how)
            });
        answer.map_err(|refusal| refusal.on("rename", to))
    }

    fn check_dir(&self, dir: &str) -> Result<()> {
        self.call("check_dir", dir, Class::Look, |system, _| {
            let (id, _) = system.dir(dir)?;
            match system.config.read_only {
                true => Err(errno::ROFS),
                false if system.inode(id).frozen => Err(errno::PERM),
                false => Ok(()),
            }
        })
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.call("unlink", path, Class::Change, |system, _| system.unlink(path))
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.call("remove_dir", path, Class::Change, |system, _| system.remove_dir(path))
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        self.call("sync_dir", dir, Class::Sync, |system, twist| {
            let (id, _) = system.dir(dir)?;
            match twist {
                Twist::Fails => system.fail_names(|change| change.step.touches_dir(id)),
                _ => system.sync_dir(id),
            }
            Ok(())
        })
    }

    fn sync_everything(&self) -> Result<()> {
        self.call("sync_everything", "", Class::Sync, |system, twist| {
            match twist {
                Twist::Fails => system.fail_sync_everything(),
                _ => system.sync_everything(),
            }
            Ok(())
        })
    }

    /// Time is virtual, so that nobody waits: who cannot have the lock now sees `patience` pass.
    fn lock(
        &self,
        path: &str,
        kind: LockKind,
        patience: Duration,
    ) -> Result<Option<Box<dyn Lock>>> {
        let handle = self.call("lock", path, Class::Lock, |system, _| {
            system.room_for_handle(self.id)?;
            let (id, _) = system.file(path)?;
            if system.is_locked_against(id, kind) {
                system.config.advance(patience);
                return Ok(None);
            }
            Ok(Some(system.open_handle(self.id, id, Some(kind))))
        })?;
        Ok(handle.map(|handle| -> Box<dyn Lock> {
            Box::new(Held { sim: self.sim.clone(), actor: self.id, handle })
        }))
    }
}

/// A handle in the world; dropping it closes it.
struct Held {
    sim: SimFs,
    actor: u64,
    handle: u64,
}

impl Lock for Held {}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handle {} of actor {}", self.handle, self.actor)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sim.state().system.close_handle(self.handle);
    }
}

struct SimFile {
    handle: Held,
    id: Id,
    mount: u64,
    access: Access,
    /// For errors, faults and the log.
    path: Mutex<Arc<str>>,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({}, {:?})", self.path(), self.access)
    }
}

impl SimFile {
    fn path(&self) -> Arc<str> {
        Arc::clone(&self.path.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn call<T>(
        &self,
        op: &'static str,
        details: impl FnOnce() -> String,
        class: Class,
        work: impl FnOnce(&mut System, Twist) -> std::result::Result<T, i32>,
    ) -> Result<T> {
        let path = self.path();
        let mut state = self.handle.sim.state();
        let answer = state.call(self.handle.actor, (op, &path), details, class, work);
        drop(state);
        answer.map_err(|refusal| refusal.on(op, &path))
    }

    fn must_write(&self) -> std::result::Result<(), i32> {
        match self.access {
            Access::Write | Access::Append => Ok(()),
            Access::Read | Access::ReadDevice => Err(errno::BADF),
        }
    }
}

/// What a short call does: half, but something, since 0 would mean the end.
fn shortened(len: usize, twist: Twist) -> usize {
    if twist == Twist::Short { len.div_ceil(2) } else { len }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let details = range(offset, buffer.len());
        self.call("read", details, Class::Look, |system, twist| {
            let len = shortened(buffer.len(), twist);
            let device = self.access == Access::ReadDevice;
            Ok(system.inode(self.id).data.read(&mut buffer[..len], offset, device))
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        let offset = match self.access {
            Access::Append => {
                self.handle.sim.state().system.stat_of(self.id, self.mount).stamp.size
            }
            _ => offset,
        };
        let class = Class::Write(self.id, offset, bytes.len());
        self.call("write", range(offset, bytes.len()), class, |system, twist| {
            self.must_write()?;
            let written = system.write(self.id, &bytes[..shortened(bytes.len(), twist)], offset)?;
            system.take_set_id(self.id);
            Ok(written)
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.call(
            "set_len",
            || format!(" {len}"),
            Class::Change,
            |system, _| {
                self.must_write()?;
                system.set_len(self.id, len)
            },
        )
    }

    fn sync(&self, what: SyncKind) -> Result<()> {
        let details = || if what == SyncKind::Data { " data" } else { " all" }.to_owned();
        self.call("sync", details, Class::Sync, |system, twist| {
            match twist {
                Twist::Fails => system.inode_mut(self.id).data.fail_sync(),
                _ => system.sync(self.id, what),
            }
            Ok(())
        })
    }

    fn stat(&self) -> Result<Stat> {
        self.call("stat", String::new, Class::Look, |system, _| {
            Ok(system.stat_of(self.id, self.mount))
        })
    }

    fn link(&self, to: &str) -> Result<()> {
        self.call(
            "link",
            || format!(" -> {to}"),
            Class::Change,
            |system, _| system.link(self.id, self.mount, to),
        )?;
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = Arc::from(to);
        Ok(())
    }

    fn attrs(&self) -> Result<Attrs> {
        self.call("attrs", String::new, Class::Look, |system, _| {
            Ok(system.inode(self.id).meta.live.attrs())
        })
    }

    fn set_attrs(&self, attrs: &Attrs) -> Result<()> {
        self.call(
            "set_attrs",
            || format!(" {:o}", attrs.mode),
            Class::Change,
            |system, _| {
                system.set_attrs(self.id, attrs);
                Ok(())
            },
        )
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        self.call(
            "set_mode",
            || format!(" {mode:o}"),
            Class::Change,
            |system, _| {
                let attrs = Attrs { mode, ..system.inode(self.id).meta.live.attrs() };
                system.set_attrs(self.id, &attrs);
                Ok(())
            },
        )
    }

    fn set_mtime(&self, time: Time) -> Result<()> {
        self.call(
            "set_mtime",
            || format!(" {time}"),
            Class::Change,
            |system, _| {
                system.set_mtime(self.id, time);
                Ok(())
            },
        )
    }

    fn lease(&self) -> Result<bool> {
        self.call("lease", String::new, Class::Lock, |system, _| {
            self.must_write()?;
            system.lease(self.handle.handle)
        })
    }
}

fn range(offset: u64, len: usize) -> impl FnOnce() -> String {
    move || format!(" {offset}..{}", offset + len as u64)
}
