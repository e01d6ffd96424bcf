//! Disk to facts: what the journal says, what `state` says, what stands at each path.
//!
//! Reads only.

use std::collections::BTreeMap;

use filepact_commit::{
    Live, Mark, Opened, Stamped, are_there, hash_part, is_before_own, is_displaced, is_earlier,
    is_torn, is_torn_from, is_whole_version, look_past_links, open_past_links, stage_body_path,
};
use filepact_fs::{
    Access, DocPath, File, Fs, FsError, Kind, Stamp, Stat, Time, parent_of, with_each,
};
use filepact_journal::{
    Added, Append, Base, Body, Change, Hash, Put, Reading, RecordKind, Scan, StateFile, Was, Word,
    Words, is_empty, read_all,
};

use crate::progress::{Counted, Tell};
use crate::{BodyAt, Facts, OnDisk, RecoveryError, RecoveryProgress, RecoveryStep, Standing};

/// How many documents to look at for each thread.
pub(crate) const WORTH_A_THREAD: usize = 8;

/// Everything that recovery decides from.
#[derive(Debug)]
pub struct Inspection {
    /// The journal.
    pub scan: Scan,
    /// Its last word on every path changed since the last checkpoint.
    pub words: Words,
    /// What `state` says, if it can be read.
    pub state: Option<Reading>,
    /// Whether `state`, and with it the page cache, can be believed.
    pub trusted: bool,
    /// A sync has failed, or a checkpoint is unfinished.
    pub failed: bool,
    /// The facts on each path, and what its file looked like.
    pub documents: BTreeMap<String, Inspected>,
}

/// One path.
#[derive(Clone, Copy, Debug)]
pub struct Inspected {
    /// What the plan needs.
    pub facts: Facts,
    /// What stands there, if it is a file.
    pub stamp: Option<Stamped>,
    /// The hash of what stands there, if it is a file.
    pub hash: Option<Hash>,
}

/// Looks at the whole store. `None` says that there is none, or that its making was cut short.
pub(crate) fn inspect(fs: &dyn Fs, tell: &Tell<'_>) -> Result<Option<Inspection>, RecoveryError> {
    // Nobody else has the store open, so that nobody writes meanwhile.
    let state = StateFile::open(fs)?.and_then(|file| file.last_read());
    if state.is_none() && is_empty(fs)? {
        return Ok(None);
    }
    let synced = state.as_ref().map(|reading| reading.synced);
    let step = RecoveryStep::Journal;
    let scan = read_all(fs, synced, &|done, of| tell(RecoveryProgress { step, done, of }))?;
    verify_paths(&scan)?;

    let failed =
        state.as_ref().is_some_and(|reading| reading.state.failed) || Mark::is_any_set(fs)?;
    let trusted = !failed && is_trusted(fs, state.as_ref())?;
    let published = state.as_ref().map_or(0, |reading| reading.state.published.seq);
    let mut words = Words::default();
    for group in scan.groups.iter().filter(|group| group.last > scan.checkpoint) {
        words.apply(group);
    }
    words.clear_upto(scan.checkpoint);
    let mut changed = Vec::new();
    for (path, word) in words.iter().filter(|(_, word)| !word.said.appends.is_empty()) {
        verify_added(fs, path, &word.said.appends)?;
        changed.extend(changed_before(fs, path, word, trusted)?.map(|at| (path.to_owned(), at)));
    }
    changed.iter().for_each(|(path, append)| words.forget_before(path, *append));

    let is_copy = state.as_ref().is_some_and(|reading| !reading.trusted_inode);
    let (all, gone): (Vec<(&str, &Word)>, _) = (words.iter().collect(), words.gone());
    let looks = Counted::begin(tell, RecoveryStep::Look, all.len());
    let inspected = with_each(fs.threads(), WORTH_A_THREAD, all.clone(), |(path, word)| {
        let standing = match (failed, trusted) {
            (true, _) => Standing::Failed,
            (false, false) => Standing::Untrusted,
            // What was adopted was at its path before it was written.
            (false, true) if word.seq <= published || word.is_outside() => Standing::Published,
            (false, true) => Standing::Committed,
        };
        let mut inspected = inspect_document(fs, path, word, &words, &scan, (standing, is_copy))?;
        if inspected.stamp.is_none() && gone.contains(path) {
            inspected.facts.disk = OnDisk::Gone;
        }
        looks.one();
        Ok::<_, FsError>(inspected)
    })?;
    let paths = all.iter().map(|(path, _)| (*path).to_owned());
    let documents = paths.zip(inspected).collect();
    Ok(Some(Inspection { scan, words, state, trusted, failed, documents }))
}

/// The append before which somebody had changed the document, unseen by us, where it shows that: what it
/// holds is what the append has added to, and not what the records before it say.
fn changed_before(
    fs: &dyn Fs,
    path: &str,
    word: &Word,
    trusted: bool,
) -> Result<Option<usize>, FsError> {
    let Opened::Document(file) = open_past_links(fs, path)? else { return Ok(None) };
    let appends = &word.said.appends;
    let begins = match word.said.put() {
        Some(put) => begins_with(&*file, put)?,
        None => true,
    };
    if begins && are_there(fs, &*file, appends)? {
        return Ok(None);
    }
    for (at, Added { append: Append { was, .. }, .. }) in appends.iter().enumerate().rev() {
        // Those of one group have seen the same.
        if at > 0 && appends[at - 1].append.was == *was {
            continue;
        }
        let is_seen = match was.hash {
            Some(hash) => {
                file.stat()?.stamp.size >= was.size && hash_part(&*file, 0, was.size)? == hash
            }
            // A large document was not read for that. A cache that is whole shows the bytes in place.
            None => trusted && are_there(fs, &*file, &appends[at..])?,
        };
        if is_seen {
            let as_said = begins && are_there(fs, &*file, &appends[..at])?;
            return Ok((!as_said).then_some(at));
        }
    }
    Ok(None)
}

/// Same boot, same mount, its own inode, and nothing failed.
fn is_trusted(fs: &dyn Fs, state: Option<&Reading>) -> Result<bool, FsError> {
    let Some(Reading { trusted_inode: true, state, .. }) = state else { return Ok(false) };
    let facts = fs.facts()?;
    let same_boot = !facts.boot.is_empty() && facts.boot == state.boot;
    Ok(same_boot && facts.mount.is_some() && facts.mount == state.mount)
}

fn inspect_document(
    fs: &dyn Fs,
    path: &str,
    word: &Word,
    words: &Words,
    scan: &Scan,
    (standing, is_copy): (Standing, bool),
) -> Result<Inspected, FsError> {
    // A link on the way: there is no document, and none can be put there.
    let live = match look_past_links(fs, path)? {
        Live::Absent if is_blocked(fs, path, words)? => Live::Other(Kind::File),
        live => live,
    };
    let body = match &word.said.base {
        Some(Base { change: Change::Put(put), time, .. }) => {
            match body_at(fs, put, *time, &live)? {
                // In a copy of the store it may be half copied.
                BodyAt::Overwritten if is_copy => BodyAt::Nowhere,
                body => body,
            }
        }
        Some(_) => BodyAt::Removed,
        None => BodyAt::Before,
    };
    let disk = match &live {
        Live::Absent if body == BodyAt::Removed => OnDisk::Equal,
        Live::Absent => OnDisk::Absent,
        Live::Other(_) => OnDisk::NotAFile,
        Live::Document { stat, hash, .. } => {
            let disk = compare(fs, path, (stat, *hash), word, standing)?;
            let is_before = word.said.put().is_some_and(|put| {
                matches!(body, BodyAt::Journal | BodyAt::Staged)
                    && is_before_own(put, &stat.stamp, word.time)
            });
            match disk {
                _ if standing == Standing::Published => disk,
                OnDisk::Equal if is_before => OnDisk::Old,
                OnDisk::Equal | OnDisk::Short
                    if matches!(body, BodyAt::Journal | BodyAt::Staged)
                        // A cache that is whole shows which version it is; in a copy an inode says nothing.
                        && standing != Standing::Committed
                        && !is_copy
                        && is_displaced(fs, path, stat, word)? =>
                {
                    OnDisk::Foreign
                }
                // An edit that was adopted was there: who has undone it since has the version before.
                OnDisk::Old
                    if word.said.base.as_ref().is_some_and(|base| base.outside)
                        && is_whole_version((stat, *hash), word) =>
                {
                    OnDisk::Foreign
                }
                OnDisk::Foreign | OnDisk::LostWrite
                    if is_old_name(fs, words, path, (path, stat))? =>
                {
                    OnDisk::Old
                }
                _ => disk,
            }
        }
    };
    // Where somebody has replaced what it was renamed to since, that stays.
    let body = match &word.said.base {
        Some(Base { change: Change::Put(put), seq, .. })
            if body == BodyAt::Overwritten
                && disk != OnDisk::Foreign
                && is_from_elsewhere(fs, scan, (path, *seq), put)? =>
        {
            BodyAt::Edited
        }
        _ => body,
    };
    let (stamp, hash) = match live {
        Live::Document { stat, taken, hash } => {
            (Some(Stamped { stamp: stat.stamp, taken }), Some(hash))
        }
        Live::Absent | Live::Other(_) => (None, None),
    };
    Ok(Inspected { facts: Facts { body, disk, standing }, stamp, hash })
}

/// Whether what lies at `at` is a large document under the name that it had before a rename, `path`, with what was
/// added to it since: a power cut brings such names back. It is the body of another word, and holds what that says,
/// or what a power cut has left of it.
pub(crate) fn is_old_name(
    fs: &dyn Fs,
    words: &Words,
    path: &str,
    (at, found): (&str, &Stat),
) -> Result<bool, FsError> {
    // A body has a name of its own in `stage/`.
    if found.nlink < 2 {
        return Ok(false);
    }
    for (_, word) in words.iter().filter(|(other, _)| *other != path) {
        let Some(Put { body: Body::Staged(name), .. }) = word.said.put() else { continue };
        let is_same =
            |body: Stat| (body.stamp.dev, body.stamp.ino) == (found.stamp.dev, found.stamp.ino);
        if fs.stat(&stage_body_path(name))?.is_some_and(is_same) {
            return is_torn(fs, &*fs.open(at, Access::Read)?, &word.said);
        }
    }
    Ok(false)
}

/// Whether what lies at `at` is the document as it was before a recovery wrote it anew, or what a power cut has
/// left of that: the copy got its time, and before that it had the one of its commit, `time`.
pub(crate) fn is_before_rewrite(
    fs: &dyn Fs,
    (path, time): (&str, Time),
    (at, found): (&str, &Stat),
) -> Result<bool, FsError> {
    let Opened::Document(copy) = open_past_links(fs, path)? else { return Ok(false) };
    let Stamp { size, mtime, .. } = copy.stat()?.stamp;
    let is_its_time = found.stamp.mtime == mtime || found.stamp.mtime == time;
    if found.kind != Kind::File || !is_its_time || found.stamp.size > size {
        return Ok(false);
    }
    is_torn_from(&*fs.open(at, Access::Read)?, copy, size)
}

/// The journal knows paths as strings only; what it says is checked before any of it is believed.
fn verify_paths(scan: &Scan) -> Result<(), RecoveryError> {
    let records = scan.groups.iter().flat_map(|group| &*group.records);
    for path in records.filter_map(|record| record.kind.path()) {
        DocPath::new(path).map_err(|error| RecoveryError::Refused {
            path: path.to_owned(),
            reason: format!("the journal names it, but {}", error.reason),
        })?;
    }
    Ok(())
}

/// What was added to a document has to be what its records say, before the document is held against it.
fn verify_added(fs: &dyn Fs, path: &str, appends: &[Added]) -> Result<(), RecoveryError> {
    for Append { len, hash, body, .. } in appends.iter().map(|added| &added.append) {
        let Body::Staged(name) = body else { continue };
        let staged = stage_body_path(name);
        let file = match fs.open(&staged, Access::Read) {
            Err(error) if error.is_not_found() => None,
            file => Some(file?),
        };
        let is_whole = match file {
            Some(file) => hash_part(&*file, 0, *len)? == *hash,
            None => false,
        };
        if !is_whole {
            let reason = format!("what was added to it is gone or damaged: `{staged}`");
            return Err(RecoveryError::Refused { path: path.to_owned(), reason });
        }
    }
    Ok(())
}

/// Whether a file stands where a directory above the path must be, and stays there.
fn is_blocked(fs: &dyn Fs, path: &str, words: &Words) -> Result<bool, FsError> {
    let mut dir = parent_of(path);
    while !dir.is_empty() {
        let goes = words.get(dir).is_some_and(|word| word.said.is_removal());
        match fs.stat(dir)? {
            Some(stat) if stat.kind == Kind::Dir => return Ok(false),
            Some(_) if !goes => return Ok(true),
            _ => dir = parent_of(dir),
        }
    }
    Ok(false)
}

fn body_at(fs: &dyn Fs, put: &Put, time: Time, live: &Live) -> Result<BodyAt, FsError> {
    let name = match &put.body {
        Body::Inline(_) => return Ok(BodyAt::Journal),
        Body::InPlace => return Ok(BodyAt::InPlace),
        Body::Staged(name) => name,
    };
    let staged = stage_body_path(name);
    let Some(stat) = fs.stat(&staged)? else { return Ok(BodyAt::Nowhere) };
    if matches!(live, Live::Document { stat: document, .. }
        if (document.stamp.dev, document.stamp.ino) == (stat.stamp.dev, stat.stamp.ino))
    {
        return Ok(BodyAt::Document);
    }
    // Cut to its length: the document may have shared the inode, and have been added to.
    let hash = hash_part(&*fs.open(&staged, Access::Read)?, 0, put.len)?;
    Ok(if hash == put.hash {
        BodyAt::Staged
    } else if stat.stamp.mtime <= time {
        BodyAt::Nowhere
    } else {
        BodyAt::Overwritten
    })
}

/// Whether a large body is what its own transaction has found at another path, and takes from there: it was
/// that document, and an edit of it is one of what it is renamed to, though its name is gone by now, or leads to
/// another file.
fn is_from_elsewhere(
    fs: &dyn Fs,
    scan: &Scan,
    (path, seq): (&str, u64),
    put: &Put,
) -> Result<bool, FsError> {
    let Body::Staged(name) = &put.body else { return Ok(false) };
    let Some(body) = fs.stat(&stage_body_path(name))? else { return Ok(false) };
    let group = scan.groups.iter().find(|group| (group.first..=group.last).contains(&seq));
    let mut transactions = group.into_iter().flat_map(|group| group.transactions());
    let own = transactions.find(|(changes, ..)| changes.iter().any(|record| record.seq == seq));
    Ok(own.into_iter().flat_map(|(changes, ..)| changes).any(|record| {
        let (of, was) = match &record.kind {
            RecordKind::Put(put) => (&put.path, &put.was),
            RecordKind::Remove(remove) => (&remove.path, &remove.was),
            _ => return false,
        };
        let is_it = |was: &Was| (was.ino, was.size) == (body.stamp.ino, put.len);
        of != path && was.as_ref().is_some_and(is_it)
    }))
}

/// Equal by content; else, what kind of other content it is.
fn compare(
    fs: &dyn Fs,
    path: &str,
    (stat, hash): (&Stat, Hash),
    word: &Word,
    standing: Standing,
) -> Result<OnDisk, FsError> {
    let put = word.said.put();
    let appends = &word.said.appends;
    let our_time = stat.stamp.mtime == word.time;
    let begins = match put {
        Some(put) if appends.is_empty() => put.hash == hash,
        Some(put) => begins_with(&*fs.open(path, Access::Read)?, put)?,
        None => !appends.is_empty(),
    };
    if begins {
        let file = fs.open(path, Access::Read)?;
        // The version before may begin with the body of the word: one that cuts it short, and was added
        // to since. A cache that is whole, and says that the word was published, shows no such version.
        let is_before = put.is_some()
            && !appends.is_empty()
            && standing != Standing::Published
            && !is_torn(fs, &*file, &word.said)?
            && is_earlier(fs, path, (stat, hash), word)?;
        return Ok(if is_before {
            OnDisk::Old
        } else if are_there(fs, &*file, appends)? {
            OnDisk::Equal
        } else if standing != Standing::Published || our_time {
            OnDisk::Short
        } else {
            OnDisk::Foreign
        });
    }
    // An append gives its time to whatever it adds to, also to an edit.
    let lost_write = put.is_some() && appends.is_empty() && our_time;
    Ok(if lost_write && standing == Standing::Published {
        OnDisk::LostWrite
    } else if is_earlier(fs, path, (stat, hash), word)? {
        OnDisk::Old
    } else if lost_write {
        OnDisk::LostWrite
    } else {
        OnDisk::Foreign
    })
}

fn begins_with(file: &dyn File, put: &Put) -> Result<bool, FsError> {
    Ok(file.stat()?.stamp.size >= put.len && hash_part(file, 0, put.len)? == put.hash)
}
