//! `state`: what was known last, for whoever comes after.
//!
//! `.filepact/state` has two slots of 512 bytes, at 0 and at 4096, written in turn. A slot is one
//! line, framed and checked like a line of the journal, and newlines to its end:
//!
//! ```text
//! {"crc":"<8 hex>","rec":{"counter":..,"ino":..,"boot":"..","mount":..,"synced":..,
//!   "committed":{"segment":..,"offset":..,"seq":..,"chain":".."},"published":{..},
//!   "holder":..,"failed":..}}
//! ```
//!
//! (one line in the file). Of the valid slots the one with the higher counter counts; a writer who
//! is killed in mid-write leaves the other. It is never synced: after a power cut it may be lost,
//! or old, and one that is there proves nothing about the page cache of this boot unless boot,
//! mount and inode are those that it names. `ino` is the file's own inode number: a copy of the
//! tree carries a `state` that speaks of another disk.

use std::sync::{Arc, Mutex, PoisonError};

use filepact_fs::{Access, File, Fs, FsError, read_full, write_all};
use serde::{Deserialize, Serialize};

use crate::line::{from_json, push_line, to_json, unwrap_line};
use crate::{Chain, Position};

/// Where `state` lies.
pub const STATE: &str = ".filepact/state";
const SLOT_BYTES: usize = 512;
/// Apart, so that no page and no sector holds both.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
const PADDING: u8 = b'\n';

/// What was known last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The boot in which this was written.
    pub boot: String,
    /// The mount; `None` where the kernel cannot say.
    pub mount: Option<u64>,
    /// The last seq whose sync had returned.
    pub synced: u64,
    /// Everything up to here counts, whatever happens.
    pub committed: Mark,
    /// Everything up to here is at its path.
    pub published: Mark,
    /// The process that holds the writer's turn.
    pub holder: Option<u32>,
    /// A sync failed: nobody writes until the store is opened again.
    pub failed: bool,
}

/// A [`Position`] as it was written down: not verified against the journal of today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The segment, by its first seq.
    pub segment: u64,
    /// The offset in the segment, in bytes.
    pub offset: u64,
    /// The last seq before this place.
    pub seq: u64,
    /// The chain of everything before this place.
    pub chain: Chain,
}

impl From<&Position> for Mark {
    fn from(position: &Position) -> Self {
        Self {
            segment: position.segment(),
            offset: position.offset(),
            seq: position.seq(),
            chain: position.chain(),
        }
    }
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What was known last.
    pub state: State,
    /// It names its own inode. If not, it was copied with its tree, and `state` must not be
    /// trusted in anything.
    pub trusted_inode: bool,
    /// The highest `synced` of any valid slot, trusted or not: a journal that ends before it has
    /// lost something.
    pub synced: u64,
}

/// The file `state`, open for writing.
#[derive(Debug)]
pub struct StateFile {
    file: Box<dyn File>,
    ino: u64,
    /// The counter of the next slot.
    counter: u64,
    /// Where the next slot goes: over the older one, or over the one that is not valid.
    turn: usize,
    /// The next slot follows one that was written here.
    own: bool,
    /// What was read last: who reads again finds mostly the same.
    last: Mutex<[Decoded; 2]>,
}

/// The bytes of a slot, and what they say.
#[derive(Clone, Debug, Default)]
struct Decoded {
    bytes: Vec<u8>,
    slot: Option<Arc<Slot>>,
}

/// One slot: what it says of itself, then the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    counter: u64,
    ino: u64,
    #[serde(flatten)]
    state: State,
}

impl StateFile {
    /// Creates the file, which must not exist; it says nothing yet.
    pub fn create(fs: &dyn Fs) -> Result<Self, FsError> {
        Self::over(fs.create(STATE)?)
    }

    /// Opens the file; `None` if there is none.
    pub fn open(fs: &dyn Fs) -> Result<Option<Self>, FsError> {
        match fs.open(STATE, Access::Write) {
            Ok(file) => Self::over(file).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the file for those who only read, and reads nothing yet; `None` if there is none.
    pub fn open_to_read(fs: &dyn Fs) -> Result<Option<Self>, FsError> {
        match fs.open(STATE, Access::Read) {
            Ok(file) => Self::unread(file).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unread(file: Box<dyn File>) -> Result<Self, FsError> {
        let ino = file.stat()?.stamp.ino;
        Ok(Self { file, ino, counter: 1, turn: 0, own: false, last: Mutex::default() })
    }

    fn over(file: Box<dyn File>) -> Result<Self, FsError> {
        let mut state = Self::unread(file)?;
        state.refresh()?;
        Ok(state)
    }

    /// What the file says, in the turn of this writer: the next write goes on from there.
    pub fn refresh(&mut self) -> Result<Option<Reading>, FsError> {
        let slots = self.slots()?;
        let newest = newest(&slots, |_| true);
        let last = newest.and_then(|at| slots[at].as_ref()).map_or(0, |slot| slot.counter);
        // A counter at its end was not written by us, and a slot that was is better than none.
        let counter = last.saturating_add(1);
        self.own &= counter == self.counter;
        self.counter = counter;
        self.turn = newest.map_or(0, |at| 1 - at);
        Ok(self.reading(&slots))
    }

    /// Whether nobody else has written since this did.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// What the file said when it was read last, at the latest when it was opened. In the turn of this
    /// writer that is what it says.
    pub fn last_read(&self) -> Option<Reading> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.reading(&last.each_ref().map(|decoded| decoded.slot.clone()))
    }

    /// What the file says; `None` if neither slot is valid.
    pub fn read(&self) -> Result<Option<Reading>, FsError> {
        Ok(self.reading(&self.slots()?))
    }

    fn slots(&self) -> Result<Slots, FsError> {
        let first = Raw::read(&*self.file)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Two readings agree also if this is what the last one said: the slots are written in turn, so that
        // both said so when this one began.
        if last.iter().zip(first.slots()).all(|(last, bytes)| last.bytes == *bytes) {
            return Ok(last.each_ref().map(|decoded| decoded.slot.clone()));
        }
        drop(last);
        let read = until_two_agree(first, || Raw::read(&*self.file))?;
        last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (last, bytes) in last.iter_mut().zip(read.slots()) {
            if last.bytes != bytes {
                let bytes = bytes.to_vec();
                *last = Decoded { slot: decode(&bytes).map(Arc::new), bytes };
            }
        }
        Ok(last.each_ref().map(|decoded| decoded.slot.clone()))
    }

    fn reading(&self, slots: &Slots) -> Option<Reading> {
        let own = newest(slots, |slot| slot.ino == self.ino);
        let synced = slots.iter().flatten().map(|slot| slot.state.synced).max();
        let chosen = own.or_else(|| newest(slots, |_| true))?;
        slots[chosen].as_ref().zip(synced).map(|(slot, synced)| Reading {
            state: slot.state.clone(),
            trusted_inode: own.is_some(),
            synced,
        })
    }

    /// Writes the state into the slot whose turn it is. Everybody on this machine sees it; a power
    /// cut may take it.
    ///
    /// # Errors
    /// After an error the state before is still what the file says, or this one is.
    pub fn write(&mut self, state: &State) -> Result<(), FsError> {
        let slot = Slot { counter: self.counter, ino: self.ino, state: state.clone() };
        let Some(bytes) = encode(&slot) else {
            return Err(FsError::new("write", STATE, std::io::ErrorKind::InvalidInput));
        };
        // The turn passes only after a success: whatever a failure left of this slot, the other
        // one is whole.
        write_all(&*self.file, &bytes, SLOT_OFFSETS[self.turn])?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last[self.turn] = Decoded { bytes, slot: Some(Arc::new(slot)) };
        drop(last);
        self.counter = self.counter.saturating_add(1);
        self.turn = 1 - self.turn;
        self.own = true;
        Ok(())
    }
}

/// What both slots say.
type Slots = [Option<Arc<Slot>>; 2];

/// The bytes of both slots, read with one call, so that little time lies between the two.
#[derive(PartialEq)]
struct Raw {
    bytes: [u8; RAW_BYTES],
    read: usize,
}

const RAW_BYTES: usize = SLOT_OFFSETS[1] as usize + SLOT_BYTES;

impl Raw {
    fn read(file: &dyn File) -> Result<Self, FsError> {
        let mut bytes = [0; RAW_BYTES];
        let read = read_full(file, &mut bytes, 0)?;
        Ok(Self { bytes, read })
    }

    fn slots(&self) -> [&[u8]; 2] {
        SLOT_OFFSETS.map(|offset| {
            let rest = self.bytes[..self.read].get(offset as usize..).unwrap_or_default();
            &rest[..rest.len().min(SLOT_BYTES)]
        })
    }
}

/// Another process may write while we read, one slot now and the other a moment later, so that each
/// looks torn. Between two writes it does far more than we do between two readings, so they soon
/// agree.
fn until_two_agree<T: PartialEq>(
    first: T,
    mut read: impl FnMut() -> Result<T, FsError>,
) -> Result<T, FsError> {
    let mut last = first;
    loop {
        let next = read()?;
        if next == last {
            return Ok(next);
        }
        last = next;
    }
}

fn newest(slots: &Slots, counts: impl Fn(&Slot) -> bool) -> Option<usize> {
    let counters = slots.iter().enumerate().filter_map(|(at, slot)| {
        let slot = slot.as_deref().filter(|slot| counts(slot))?;
        Some((slot.counter, at))
    });
    counters.max().map(|(_, at)| at)
}

/// The bytes of a slot; `None` if it does not fit.
fn encode(slot: &Slot) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    push_line(&mut bytes, &to_json(slot));
    if bytes.len() > SLOT_BYTES {
        return None;
    }
    bytes.resize(SLOT_BYTES, PADDING);
    Some(bytes)
}

/// The slot in these bytes; `None` if it is torn, or was never written.
fn decode(bytes: &[u8]) -> Option<Slot> {
    let end = bytes.iter().position(|byte| *byte == PADDING)?;
    let rec = unwrap_line(&bytes[..end]).ok()?;
    from_json(rec).ok()
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;
    use crate::faulty::Faulty;

    fn state(synced: u64) -> State {
        let mark = Mark { segment: 1, offset: 200, seq: synced, chain: Chain([7; 16]) };
        State {
            boot: "0b7a2b4e-8c1c-4b8e-9d7c-2f6d1b0c9a55".into(),
            mount: Some(2_147_483_700),
            synced,
            committed: mark.clone(),
            published: mark,
            holder: Some(4711),
            failed: false,
        }
    }

    quickcheck! {
        fn any_state_that_fits_reads_back(counter: u64, ino: u64, numbers: (u64, u64, u64, u64), chain: u128, mount: Option<u64>, holder: Option<u32>, failed: bool) -> bool {
            let (segment, offset, seq, synced) = numbers;
            let mark = Mark { segment, offset, seq, chain: Chain(chain.to_be_bytes()) };
            let (committed, published) = (mark.clone(), mark);
            let boot = state(0).boot;
            let state = State { boot, mount, synced, committed, published, holder, failed };
            let slot = Slot { counter, ino, state };
            encode(&slot).is_none_or(|bytes| decode(&bytes) == Some(slot))
        }

        fn any_bytes_are_a_slot_or_none(bytes: Vec<u8>) -> bool {
            decode(&bytes).is_none()
        }
    }

    #[test]
    fn a_state_fits_into_its_slot_for_a_thousand_years() {
        // 2^53 bytes of journal are a megabyte a second for 285 years; numbers of inodes and mounts
        // may be anything.
        let far = 1 << 53;
        let mark = Mark { segment: far, offset: far, seq: far, chain: Chain([0xff; 16]) };
        let state = State {
            mount: Some(u64::MAX),
            synced: far,
            committed: mark.clone(),
            published: mark,
            holder: Some(u32::MAX),
            ..state(1)
        };
        assert!(encode(&Slot { counter: far, ino: u64::MAX, state }).is_some());
    }

    /// Bytes on disk are published: the order of the fields too.
    #[test]
    fn a_slot_is_written_as_the_reference_says() {
        let bytes = encode(&Slot { counter: 9, ino: 3, state: state(77) }).unwrap();
        let line = std::str::from_utf8(&bytes).unwrap().trim_end();
        let mark =
            r#"{"segment":1,"offset":200,"seq":77,"chain":"07070707070707070707070707070707"}"#;
        let rec = format!(
            r#"{{"counter":9,"ino":3,"boot":"0b7a2b4e-8c1c-4b8e-9d7c-2f6d1b0c9a55","mount":2147483700,"synced":77,"committed":{mark},"published":{mark},"holder":4711,"failed":false}}"#
        );
        let crc = crc32fast::hash(rec.as_bytes());
        assert_eq!(line, format!(r#"{{"crc":"{crc:08x}","rec":{rec}}}"#));
    }

    #[test]
    fn a_slot_torn_at_any_byte_is_none() {
        let slot = Slot { counter: 9, ino: 3, state: state(77) };
        let bytes = encode(&slot).unwrap();
        let len = bytes.iter().position(|byte| *byte == PADDING).unwrap();
        for torn in 0..len {
            for rest in [0, b'\n', b'x'] {
                let mut bytes = bytes.clone();
                bytes[torn..].fill(rest);
                assert_eq!(decode(&bytes), None, "torn at {torn}");
            }
        }
    }

    #[test]
    fn the_last_state_written_is_the_one_that_is_read() {
        let (_dir, fs) = Faulty::temp();
        assert!(StateFile::open(&*fs).unwrap().is_none());
        let mut file = StateFile::create(&*fs).unwrap();
        assert_eq!(file.read().unwrap(), None);
        for synced in [5, 6, 7] {
            file.write(&state(synced)).unwrap();
            let reading = Reading { state: state(synced), trusted_inode: true, synced };
            assert_eq!(file.read().unwrap(), Some(reading));
        }
        // And over again after opening: the turn goes on.
        let mut file = StateFile::open(&*fs).unwrap().unwrap();
        assert_eq!(file.read().unwrap().unwrap().state, state(7));
        file.write(&state(8)).unwrap();
        assert_eq!(
            StateFile::open(&*fs).unwrap().unwrap().read().unwrap().unwrap().state,
            state(8)
        );
    }

    #[test]
    fn a_writer_killed_in_mid_write_leaves_the_state_before() {
        let (_dir, fs) = Faulty::temp();
        let mut file = StateFile::create(&*fs).unwrap();
        file.write(&state(5)).unwrap();
        file.write(&state(6)).unwrap();
        for cut in [1, 100, 200] {
            fs.cut_next_write(cut);
            assert!(file.write(&state(7)).is_err());
            assert_eq!(file.read().unwrap().unwrap().state, state(6), "cut after {cut} bytes");
            let mut next = StateFile::open(&*fs).unwrap().unwrap();
            assert_eq!(next.read().unwrap().unwrap().state, state(6), "cut after {cut} bytes");
            fs.cut_next_write(cut);
            assert!(next.write(&state(7)).is_err());
            assert_eq!(next.read().unwrap().unwrap().state, state(6), "twice after {cut} bytes");
        }
        file.write(&state(8)).unwrap();
        assert_eq!(file.read().unwrap().unwrap().state, state(8));
    }

    #[test]
    fn whoever_wrote_last_the_next_write_leaves_that_slot_alone() {
        for others in 1..=3 {
            let (_dir, fs) = Faulty::temp();
            let mut first = StateFile::create(&*fs).unwrap();
            first.write(&state(5)).unwrap();
            let mut second = StateFile::open(&*fs).unwrap().unwrap();
            (6..6 + others).for_each(|synced| second.write(&state(synced)).unwrap());
            first.refresh().unwrap();
            fs.cut_next_write(100);
            assert!(first.write(&state(99)).is_err());
            assert_eq!(first.read().unwrap().unwrap().state, state(5 + others), "{others} writes");
        }
    }

    #[test]
    fn attack_40_slots_that_are_written_while_they_are_read_are_read_again() {
        let mut readings = ["torn, old", "new, torn", "new, new", "new, new", "newer"].into_iter();
        let first = readings.next().unwrap();
        let read = until_two_agree(first, || Ok(readings.next().unwrap()));
        assert_eq!(read.unwrap(), "new, new");
    }

    #[test]
    fn a_copied_state_is_evidence_and_nothing_more() {
        let (_dir, fs) = Faulty::temp();
        let mut file = StateFile::create(&*fs).unwrap();
        file.write(&state(5)).unwrap();
        file.write(&state(6)).unwrap();
        let bytes = filepact_fs::read_to_end(&*file.file).unwrap();
        let copy = fs.create(".filepact/copy").unwrap();
        write_all(&*copy, &bytes, 0).unwrap();
        fs.rename(".filepact/copy", STATE, filepact_fs::Rename::Replace).unwrap();

        let mut copied = StateFile::open(&*fs).unwrap().unwrap();
        let reading = copied.read().unwrap().unwrap();
        assert_eq!((reading.trusted_inode, reading.synced), (false, 6));
        // The first state of its own counts, though the other slot speaks of a later seq.
        copied.write(&state(3)).unwrap();
        let reading = copied.read().unwrap().unwrap();
        assert_eq!(reading, Reading { state: state(3), trusted_inode: true, synced: 6 });
    }
}
