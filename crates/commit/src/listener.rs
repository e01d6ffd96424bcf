//! Following what is committed, for one listener: whole groups, in order, none twice.

use std::time::Duration;

use filepact_fs::Listening;
use filepact_journal::{FollowError, Follower, Group, RecordKind, STATE, Scan};

use crate::{CommitError, View};

/// How often somebody looks who cannot be told.
const POLL: Duration = Duration::from_millis(20);

/// How often somebody looks who should be told: file systems on which a write from elsewhere stays unheard.
const SELDOM: Duration = Duration::from_secs(1);

/// Follows the journal from one moment on. It holds nothing up, and nothing is kept for it: who falls
/// behind by more than the journal holds is told of a gap.
#[derive(Debug)]
pub struct Listener {
    follower: Follower,
    ear: Option<Box<dyn Listening>>,
    /// What was heard so far.
    heard: u64,
}

/// What a listener hears.
#[derive(Debug)]
pub struct Heard {
    /// Records after the first number, and up to the second, are not in the journal.
    pub gap: Option<(u64, u64)>,
    /// Every transaction after this number, of these groups, is new.
    pub after: u64,
    /// The groups that were committed since.
    pub groups: Vec<Group>,
}

impl Listener {
    /// Listens for what is committed from now on.
    ///
    /// # Errors
    /// As [`View::follow`].
    pub fn new(view: &View) -> Result<Self, CommitError> {
        // The ear first, then the look: what comes in between is heard.
        let fs = view.fs();
        let ear = fs.listen(STATE)?;
        view.follow()?;
        let progress = view.progress();
        Ok(Self { follower: Follower::new(fs, progress), ear, heard: progress.end().seq() })
    }

    /// Listens for what was committed after the record `seq`: the first [hearing](Self::hear) is all that
    /// the journal holds of it.
    ///
    /// # Errors
    /// As [`View::follow`].
    pub fn since(view: &View, seq: u64) -> Result<(Self, Heard), CommitError> {
        let mut listener = Self::new(view)?;
        listener.heard = seq;
        let heard = listener.hear_anew(view)?;
        Ok((listener, heard))
    }

    /// Up to this record everything was heard.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// What was committed since the last hearing.
    ///
    /// # Errors
    /// As [`View::follow`]; then the next hearing has it all.
    pub fn hear(&mut self, view: &View) -> Result<Heard, CommitError> {
        let committed = view.read_state()?.state.committed;
        match self.follower.follow(&committed) {
            Ok(groups) => {
                let after = self.heard;
                self.heard = groups.last().map_or(after, |group| group.last);
                Ok(Heard { gap: None, after, groups })
            }
            Err(FollowError::Io(error)) => Err(error.into()),
            // Segments have gone with a checkpoint since; others may still hold all of it.
            Err(FollowError::Gone) => self.hear_anew(view),
        }
    }

    /// Reads the whole journal.
    fn hear_anew(&mut self, view: &View) -> Result<Heard, CommitError> {
        let scan = view.scan()?;
        let end = scan.end.seq();
        let begins = scan.groups.first().map_or(end, |group| group.first - 1);
        // A number beyond the end is of another life of this store, before a backup was restored.
        let gap = match self.heard {
            heard if heard > end => Some((heard, end)),
            heard if heard + 1 == begins && begins_after_checkpoint(&scan, begins) => None,
            heard if heard < begins => Some((heard, begins)),
            // So is one within a transaction.
            heard => end_around(&scan, heard).map(|end| (heard, end)),
        };
        let after = gap.map_or(self.heard, |(_, upto)| upto);
        self.follower.restart(&scan);
        self.heard = end;
        let mut groups = scan.groups;
        groups.retain(|group| group.last > after);
        Ok(Heard { gap, after, groups })
    }

    /// Waits until something may have been committed, at most for `patience`.
    ///
    /// # Errors
    /// A call failed.
    pub fn wait(&self, patience: Duration) -> Result<(), CommitError> {
        match &self.ear {
            Some(ear) => ear.wait(patience.min(SELDOM))?,
            None => std::thread::sleep(patience.min(POLL)),
        }
        Ok(())
    }
}

/// Whether the last record that has gone, with this seq, is that of a checkpoint. The first header says
/// that all up to it is durable; no record says so that is still there: it counted itself in.
fn begins_after_checkpoint(scan: &Scan, seq: u64) -> bool {
    let mut records = scan.groups.iter().flat_map(|group| &*group.records);
    scan.checkpoint == seq && !records.any(|r| matches!(r.kind, RecordKind::Checkpoint { .. }))
}

/// The end of the transaction within which this record is; `None` if it is the last of one, or that of a
/// checkpoint.
fn end_around(scan: &Scan, seq: u64) -> Option<u64> {
    let group = scan.groups.iter().find(|group| (group.first..=group.last).contains(&seq))?;
    let is_end = |kind: &_| matches!(kind, RecordKind::Commit(_) | RecordKind::Checkpoint { .. });
    let end = group.records.iter().find(|record| record.seq >= seq && is_end(&record.kind))?;
    (end.seq > seq).then_some(end.seq)
}
