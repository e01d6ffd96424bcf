//! What can go wrong with a call, and with which calls it can.

use filepact_simfs::{Fault, FaultKind, SimFs, When, errno};

/// A fault, and the calls that can have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) fault: FaultKind,
    /// It strikes every later call that can have it, too.
    pub(crate) sticky: bool,
    /// The calls that can have it.
    ops: &'static [&'static str],
    /// A sync that fails so says nothing of what the disk holds.
    pub(crate) loses: bool,
    /// It is gone on with, and nobody hears of it.
    pub(crate) silent: bool,
    /// In a share of the sweep it strikes one in so many calls, and of those that only look one in twice as
    /// many; 0 for all.
    often: usize,
}

const ALL: &[&str] = &[
    "open",
    "create",
    "create_unnamed",
    "stat",
    "list",
    "make_dir",
    "rename",
    "unlink",
    "remove_dir",
    "sync_dir",
    "sync_everything",
    "lock",
    "read",
    "write",
    "set_len",
    "sync",
    "link",
    "attrs",
    "set_attrs",
    "set_mtime",
    "facts",
];

/// What takes space: data, names, attributes, and the log in which changes of names go.
const SPACE: &[&str] = &[
    "create",
    "create_unnamed",
    "make_dir",
    "rename",
    "unlink",
    "sync_dir",
    "sync_everything",
    "write",
    "sync",
    "link",
    "set_attrs",
];

/// What opens a file, or the directory in which it acts.
const DESCRIPTORS: &[&str] = &[
    "open",
    "create",
    "create_unnamed",
    "stat",
    "list",
    "make_dir",
    "rename",
    "unlink",
    "remove_dir",
    "sync_dir",
    "lock",
    "link",
];

/// What changes something, and opens of whoever means to.
const CHANGES: &[&str] = &[
    "open",
    "create",
    "create_unnamed",
    "make_dir",
    "rename",
    "unlink",
    "remove_dir",
    "write",
    "set_len",
    "link",
    "set_attrs",
    "set_mtime",
];

const SYNCS: &[&str] = &["sync", "sync_dir", "sync_everything"];

const ONCE: Kind = Kind {
    name: "",
    fault: FaultKind::Interrupted,
    sticky: false,
    ops: ALL,
    loses: false,
    silent: false,
    often: 3,
};
const STICKY: Kind = Kind { sticky: true, ..ONCE };

const fn error(number: i32) -> FaultKind {
    FaultKind::Error(number)
}

pub(crate) const IO: [Kind; 3] = [
    Kind { name: "EIO", fault: error(errno::IO), loses: true, often: 0, ..ONCE },
    Kind { name: "EIO for ever", fault: error(errno::IO), loses: true, ..STICKY },
    // The rest of the disk works, so that `state` can tell of it.
    Kind { name: "EIO of all syncs", fault: error(errno::IO), ops: SYNCS, loses: true, ..STICKY },
];

pub(crate) const FULL: [Kind; 3] = [
    Kind { name: "ENOSPC", fault: error(errno::NOSPC), ops: SPACE, ..ONCE },
    Kind { name: "ENOSPC for ever", fault: error(errno::NOSPC), ops: SPACE, ..STICKY },
    Kind { name: "EDQUOT", fault: error(errno::DQUOT), ops: SPACE, often: 4, ..ONCE },
];

pub(crate) const LIMITS: [Kind; 6] = [
    Kind { name: "EMFILE", fault: error(errno::MFILE), ops: DESCRIPTORS, ..ONCE },
    Kind { name: "EMFILE for ever", fault: error(errno::MFILE), ops: DESCRIPTORS, ..STICKY },
    Kind { name: "EACCES", fault: error(errno::ACCES), ops: DESCRIPTORS, often: 4, ..ONCE },
    Kind { name: "EROFS", fault: error(errno::ROFS), ops: CHANGES, often: 4, ..ONCE },
    Kind { name: "EROFS for ever", fault: error(errno::ROFS), ops: CHANGES, ..STICKY },
    Kind { name: "the file system gives up", fault: FaultKind::GivesUp, loses: true, ..STICKY },
];

pub(crate) const SHORT: [Kind; 5] = [
    Kind {
        name: "short write",
        fault: FaultKind::ShortWrite,
        ops: &["write"],
        silent: true,
        ..ONCE
    },
    Kind {
        name: "short writes for ever",
        fault: FaultKind::ShortWrite,
        ops: &["write"],
        silent: true,
        ..STICKY
    },
    Kind { name: "short read", fault: FaultKind::ShortRead, ops: &["read"], silent: true, ..ONCE },
    Kind {
        name: "short reads for ever",
        fault: FaultKind::ShortRead,
        ops: &["read"],
        silent: true,
        ..STICKY
    },
    // For ever it would be waited for, for ever.
    Kind {
        name: "EINTR",
        fault: FaultKind::Interrupted,
        ops: &["read", "write"],
        silent: true,
        ..ONCE
    },
];

impl Kind {
    /// Whether the call can have it. Which calls give up a file system that is done for is all the
    /// same: those that change something, or sync.
    pub(crate) fn can_strike(&self, call: &str) -> bool {
        match self.fault {
            FaultKind::GivesUp => changes(call),
            _ => self.ops.contains(&op_of(call)),
        }
    }

    /// Whether this call belongs to the share of `cargo test`: all that something is written or synced with,
    /// if the fault has no like, and some of the others.
    pub(crate) fn is_shared(&self, call: &str, at: usize) -> bool {
        let at = at + self.name.len();
        match (changes(call), self.often) {
            (_, 0) | (true, 3) => true,
            (true, often) => at.is_multiple_of(often),
            (false, often) => at.is_multiple_of(2 * often),
        }
    }

    /// Strikes the call of this number, from 0, of a run that makes these calls from now on.
    pub(crate) fn arm(&self, sim: &SimFs, calls: &[String], at: usize) {
        let Self { fault, sticky, .. } = *self;
        if !sticky || fault == FaultKind::GivesUp || self.ops.len() == ALL.len() {
            let at = When::Call(sim.calls() + at as u64 + 1);
            sim.fault(Fault { at, kind: fault, sticky: sticky && fault != FaultKind::GivesUp });
            return;
        }
        for op in self.ops {
            let before = calls[..at].iter().filter(|call| op_of(call) == *op).count();
            let at = When::Matching { op, path_contains: String::new(), nth: before as u64 + 1 };
            sim.fault(Fault { at, kind: fault, sticky });
        }
    }

    /// A sync that fails so has begun, and may have lost what it was to make durable.
    pub(crate) fn loses_names(&self) -> bool {
        self.ops.len() != DESCRIPTORS.len()
    }

    /// The file system takes no more changes until it is mounted again.
    pub(crate) fn gives_up(&self) -> bool {
        self.fault == FaultKind::GivesUp
    }
}

/// Whether a call changes or syncs something.
pub(crate) fn changes(call: &str) -> bool {
    let op = op_of(call);
    op != "open" && CHANGES.contains(&op) || SYNCS.contains(&op)
}

/// The name of a call in the log of the simulated file system.
pub(crate) fn op_of(call: &str) -> &str {
    call.split(' ').next().unwrap_or_default()
}
