//! Faults: calls that fail, fall short or are interrupted (rule 9).

/// A fault to come, given to [`SimFs::fault`](crate::SimFs::fault).
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which call it strikes.
    pub at: When,
    /// What it does.
    pub kind: FaultKind,
    /// It strikes every later call that matches, too ([`When::Call`]: every later call).
    pub sticky: bool,
}

/// Which call.
#[derive(Clone, Debug)]
pub enum When {
    /// The call of this number, counted as [`SimFs::calls`](crate::SimFs::calls) does: the first
    /// call has number 1.
    Call(u64),
    /// The `nth` call, from 1 and counted from now on, that is this `op` on such a path.
    Matching {
        /// `open`, `create`, `create_unnamed`, `stat`, `list`, `make_dir`, `rename`, `unlink`,
        /// `remove_dir`, `sync_dir`, `sync_everything`, `lock`, `read`, `write`, `set_len`, `sync`, `link`,
        /// `attrs`, `set_attrs`, `set_mode`, `set_mtime`, `lease`, `check_dir`, `facts`; empty for all.
        op: &'static str,
        /// A part of the path, of either path for `rename`; empty for all. A handle has the path
        /// by which it was opened, and after a `link` that one.
        path_contains: String,
        /// 1 for the first.
        nth: u64,
    },
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The call fails with this [errno](crate::errno) and has no effect; but a `sync` that fails
    /// loses its pages: they count as clean, and the disk keeps the old bytes. Names whose
    /// sync failed are not made durable by the next one either. (`EMFILE` and `EACCES` are of the way
    /// to what is synced, and lose nothing.)
    Error(i32),
    /// Half of the bytes are written. Other calls are left alone.
    ShortWrite,
    /// Half of the bytes are read. Other calls are left alone.
    ShortRead,
    /// `EINTR`, without effect.
    Interrupted,
    /// The file system gives up, as one that cannot write its log: from this call on all that changes
    /// or syncs fails with `EROFS`, until a power cut or another mount, and reads go on.
    GivesUp,
}

/// A fault and what it has seen.
#[derive(Debug)]
pub(crate) struct Armed {
    fault: Fault,
    seen: u64,
    spent: bool,
}

impl Armed {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, seen: 0, spent: false }
    }

    /// What the fault does to this call, if it strikes it.
    pub(crate) fn strike(&mut self, number: u64, op: &str, path: &str) -> Option<FaultKind> {
        let is_due = match &self.fault.at {
            When::Call(call) => number == *call || self.fault.sticky && number > *call,
            When::Matching { op: wanted, path_contains, nth } => {
                if !wanted.is_empty() && *wanted != op || !path.contains(path_contains.as_str()) {
                    return None;
                }
                self.seen += 1;
                self.seen == *nth || self.fault.sticky && self.seen > *nth
            }
        };
        if !is_due || self.spent {
            return None;
        }
        self.spent = !self.fault.sticky;
        Some(self.fault.kind)
    }
}
