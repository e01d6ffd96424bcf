//! May that be? A pure function of what was begun and acknowledged, and of what was found.
//!
//! Where nothing may be lost (`Journal`, `Files`): each actor's documents are exactly those after one
//! of its transactions, the last acknowledged one or the one in flight; and the two shared documents
//! tell of the same transactions, all of them, in one order. With `Files` each document is whole before
//! the recovery too.
//!
//! Nothing is in `rescued/`, but what `docs/protocol.md` says of appends: where a long document was added
//! to and then replaced, a copy of it that the cut has torn.
//!
//! Where an actor commits with `Buffered`, a prefix of the transactions is left: documents of which the
//! journal still speaks are as the last of that prefix has left them (one that it only adds to has at
//! least what it adds; a large body that lost ones have added to stays so); documents that no transaction touched that can have been lost are as they were;
//! of the others nothing is promised.

use std::collections::{BTreeMap, BTreeSet};

use filepact::Durability;

use super::plan::{
    LAST, LOG, Op, Tree, after, counted, counter, folder, last_change, lengthened, line, of_line,
    own, touched,
};

#[cfg(test)]
mod tests;

/// What an actor did before the cut.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) actor: u32,
    pub(super) durability: Durability,
    /// The number of its last transaction that was acknowledged.
    pub(super) acknowledged: u64,
    /// The number of the last one that it was told is committed: the same, or one more that could not
    /// be published.
    pub(super) committed: u64,
    /// The number of the last one that was begun.
    pub(super) begun: u64,
    /// A checkpoint that began after this one has returned.
    pub(super) kept: u64,
}

/// Everything there is to judge.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) seed: u64,
    /// The documents before; they were durable.
    pub(super) base: Tree,
    /// Those who did not work have none.
    pub(super) accounts: Vec<Account>,
    /// The documents after the cut, before anybody opened the store.
    pub(super) plain: Tree,
    /// The documents after the recovery.
    pub(super) found: Tree,
    /// The documents on which the journal had a word since the last checkpoint.
    pub(super) named: BTreeSet<String>,
    /// The last transaction of each actor that the journal still holds.
    pub(super) logged: BTreeMap<u32, u64>,
    /// The files in `rescued/`, each with the path of its document.
    pub(super) rescued: Vec<(String, Vec<u8>)>,
    pub(super) inline_max: usize,
}

/// What was found, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Actors whose last transaction was never answered, and is there.
    pub(super) unanswered_there: u64,
    /// The same, and it is not.
    pub(super) unanswered_absent: u64,
    /// Acknowledged by `Buffered`, and gone.
    pub(super) taken_back: u64,
    /// Documents that held, before the recovery, neither what the last acknowledged transaction had
    /// left nor what the one in flight would have.
    pub(super) lost_documents: u64,
    /// Torn copies of documents in `rescued/`: noise.
    pub(super) rescued: u64,
    /// Bytes of what was acknowledged in these, from the first one on that was not there.
    pub(super) lost_bytes: u64,
}

/// Judges a cut.
pub(super) fn judge(evidence: &Evidence) -> Result<Verdict, String> {
    let known = |path: &&String| {
        let mut folders = (0..).map(|actor| folder(actor) + "/").take(16);
        **path == LOG || **path == LAST || folders.any(|folder| path.starts_with(&folder))
    };
    if let Some(path) = evidence.found.keys().find(|path| !known(path)) {
        return Err(format!("nobody has written `{path}`"));
    }
    let idle_is_untouched = |actor: u32| {
        evidence.accounts.iter().any(|account| account.actor == actor)
            || own(&evidence.found, actor) == own(&evidence.base, actor)
    };
    if let Some(actor) = (0..16).find(|actor| !idle_is_untouched(*actor)) {
        return Err(format!("the documents of actor {actor}, who did nothing, have changed"));
    }
    let mut verdict = Verdict::default();
    evidence.accounts.iter().for_each(|account| measure(evidence, account, &mut verdict));
    if evidence.accounts.iter().any(|account| account.durability == Durability::Buffered) {
        for account in &evidence.accounts {
            prefix(evidence, account, &mut verdict)?;
        }
        return Ok(verdict);
    }
    let mut last = BTreeMap::new();
    for account in &evidence.accounts {
        last.insert(account.actor, exactly(evidence, account, &mut verdict)?);
    }
    shared(evidence, &last)?;
    evidence.rescued.iter().try_for_each(|(path, body)| is_noise(evidence, path, body))?;
    verdict.rescued = evidence.rescued.len() as u64;
    if evidence.accounts.iter().all(|account| account.durability == Durability::Files) {
        whole(evidence)?;
    }
    Ok(verdict)
}

impl Evidence {
    fn base_number(&self, actor: u32) -> u64 {
        counted(&self.base, actor).unwrap_or(0)
    }

    /// The actor's documents after its transaction of this number.
    fn after(&self, actor: u32, number: u64) -> Tree {
        let base = self.base_number(actor);
        after(self.seed, actor, own(&self.base, actor), base, number)
    }
}

/// Each of the actor's documents is as its last transaction that counts has left it: which one is that?
fn exactly(evidence: &Evidence, account: &Account, verdict: &mut Verdict) -> Result<u64, String> {
    let Account { actor, committed, begun, .. } = *account;
    let number = counted(&evidence.found, actor)
        .ok_or_else(|| format!("`{}` does not count", counter(actor)))?;
    if number < committed {
        return Err(format!(
            "actor {actor}: {committed} was acknowledged, and {number} is the last one there"
        ));
    }
    if number > begun {
        return Err(format!("actor {actor}: {number} is there, and only {begun} was begun"));
    }
    let (found, wanted) = (own(&evidence.found, actor), evidence.after(actor, number));
    if found != wanted {
        let difference = difference(&found, &wanted);
        return Err(format!("actor {actor}: not the documents after {number}: {difference}"));
    }
    if begun > committed {
        match number == begun {
            true => verdict.unanswered_there += 1,
            false => verdict.unanswered_absent += 1,
        }
    }
    Ok(number)
}

/// One order of all transactions, without a gap, up to the last of each actor.
fn shared(evidence: &Evidence, last: &BTreeMap<u32, u64>) -> Result<(), String> {
    let text = |path: &str, tree: &Tree| {
        let body = tree.get(path).ok_or_else(|| format!("`{path}` is not there"))?;
        String::from_utf8(body.clone()).map_err(|_| format!("`{path}` is garbage"))
    };
    let (before, log) = (text(LOG, &evidence.base)?, text(LOG, &evidence.found)?);
    let added = log.strip_prefix(&before).ok_or("the log does not begin as it did")?;
    if !added.is_empty() && !added.ends_with('\n') {
        return Err(format!("the log ends within a line: {:?}", added.lines().next_back()));
    }
    let mut next: BTreeMap<u32, u64> =
        last.keys().map(|actor| (*actor, evidence.base_number(*actor) + 1)).collect();
    for line in added.lines() {
        let (actor, number) = of_line(line).ok_or_else(|| format!("in the log: {line:?}"))?;
        match next.get_mut(&actor) {
            Some(next) if *next == number => *next += 1,
            next => return Err(format!("in the log: {line:?} where {next:?} comes next")),
        }
    }
    for (actor, number) in last {
        if next[actor] != number + 1 {
            let logged = next[actor] - 1;
            return Err(format!(
                "actor {actor}: {number} is there, and the log ends with {logged}"
            ));
        }
    }
    let newest = added.lines().next_back().map(|line| format!("{line}\n"));
    let newest = newest.map_or_else(|| text(LAST, &evidence.base), Ok)?;
    let says = text(LAST, &evidence.found)?;
    match says == newest {
        true => Ok(()),
        false => Err(format!("`{LAST}` says {says:?}, and the log ends with {newest:?}")),
    }
}

/// What lies in `rescued/` is a torn copy of a long document that was added to: recovery cannot tell it
/// from somebody's edit, since the record of the addition has no hash of what it was added to.
fn is_noise(evidence: &Evidence, path: &str, body: &[u8]) -> Result<(), String> {
    let is_torn_copy = |version: Vec<u8>| {
        let agrees = |(is, was): (&u8, &u8)| *is == 0 || is == was;
        (evidence.inline_max + 1..=version.len()).contains(&body.len())
            && body.iter().zip(&version).all(agrees)
    };
    for Account { actor, begun, .. } in &evidence.accounts {
        let (own, numbers) = (own(&evidence.base, *actor), (evidence.base_number(*actor), *begun));
        let versions = lengthened(evidence.seed, *actor, own, numbers, path, evidence.inline_max);
        if versions.into_iter().any(is_torn_copy) {
            return Ok(());
        }
    }
    Err(format!("nobody has edited anything, and `{path}` was rescued: {}", in_words(Some(body))))
}

/// Before the recovery too each document is as a commit has left it; one that is being added to may
/// hold a part of the addition, or zeros in its place.
fn whole(evidence: &Evidence) -> Result<(), String> {
    for Account { actor, acknowledged, begun, .. } in &evidence.accounts {
        let plain = own(&evidence.plain, *actor);
        let trees = [evidence.after(*actor, *acknowledged), evidence.after(*actor, *begun)];
        for path in plain.keys().chain(trees[0].keys()).collect::<BTreeSet<_>>() {
            let [was, will] = trees.each_ref().map(|tree| tree.get(path));
            let is = plain.get(path);
            // Its size can be on the disk without what was added: that reads as zeros.
            let grows = match (was, is, will) {
                (Some(was), Some(is), Some(will)) => {
                    will.starts_with(was) && is.starts_with(was) && is.len() <= will.len()
                }
                _ => false,
            };
            if is != was && is != will && !grows {
                return Err(format!(
                    "before the recovery `{path}` is not whole: {}",
                    in_words(is.map(Vec::as_slice))
                ));
            }
        }
    }
    let [plain, found] = [&evidence.plain, &evidence.found]
        .map(|tree| tree.get(LOG).map(Vec::as_slice).unwrap_or_default());
    let acknowledged = evidence.accounts.iter().filter_map(|account| {
        let line = line(account.actor, account.acknowledged);
        let at = found.windows(line.len()).rposition(|part| part == line.as_bytes())?;
        Some(at + line.len())
    });
    let certain = acknowledged.max().unwrap_or(0).max(evidence.base[LOG].len());
    match plain.starts_with(&found[..certain]) && plain.len() <= found.len() {
        true => Ok(()),
        false => {
            Err(format!("before the recovery `{LOG}` is not whole: {}", in_words(Some(plain))))
        }
    }
}

/// What `Buffered` leaves of an actor's transactions: no less than a checkpoint has covered, and of an
/// actor with another durability all that was acknowledged.
fn prefix(evidence: &Evidence, account: &Account, verdict: &mut Verdict) -> Result<(), String> {
    let Account { actor, durability, acknowledged, committed, begun, kept } = *account;
    let floor = match durability {
        Durability::Buffered => kept.max(evidence.base_number(actor)),
        Durability::Journal | Durability::Files => committed,
    };
    let found = own(&evidence.found, actor);
    let base = own(&evidence.base, actor);
    let from = evidence.base_number(actor);
    // What the journal names is exact: the counter, which every transaction puts, among it.
    let number = match evidence.named.contains(&counter(actor)) {
        true => counted(&found, actor).ok_or_else(|| format!("`{}` is garbage", counter(actor)))?,
        false => evidence.logged.get(&actor).copied().unwrap_or(floor).max(floor),
    };
    if number < floor || number > begun {
        return Err(format!(
            "actor {actor}: {number} is the last one there, not one of {floor} to {begun}"
        ));
    }
    if let Some(logged) = evidence.logged.get(&actor)
        && *logged > number
    {
        return Err(format!("actor {actor}: the journal holds {logged}, the documents {number}"));
    }
    let seed = evidence.seed;
    let wanted = after(seed, actor, base.clone(), from, number);
    let at_floor = after(seed, actor, base.clone(), from, floor);
    let uncertain = touched(seed, actor, at_floor, floor, begun);
    let lost = touched(seed, actor, wanted.clone(), number, begun);
    for path in found.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
        let is_certain = evidence.named.contains(path) || !uncertain.contains(path);
        if found.get(path) == wanted.get(path) || !is_certain {
            continue;
        }
        // A document to which the journal only adds has what it adds, behind what lost ones left.
        let last = last_change(seed, actor, base.clone(), (from, number), path);
        let is_added_to = match (found.get(path), last) {
            (Some(is), Some(Op::Append(_, added))) => {
                is.windows(added.len()).any(|part| part == added)
            }
            _ => false,
        };
        // A large body is its document's own inode, and what lost ones have added to it stays.
        let is_longer = match (found.get(path), wanted.get(path)) {
            (Some(is), Some(should)) => is.starts_with(should),
            _ => false,
        };
        if !(is_added_to || is_longer) || !lost.contains(path) {
            let difference = difference(&found, &wanted);
            return Err(format!(
                "actor {actor}: `{path}` is not as {number} left it: {difference}"
            ));
        }
    }
    verdict.taken_back += acknowledged.saturating_sub(number);
    if begun > committed {
        match number == begun {
            true => verdict.unanswered_there += 1,
            false => verdict.unanswered_absent += 1,
        }
    }
    Ok(())
}

/// What the kernel has lost of an actor's documents: to show that the cut was one.
fn measure(evidence: &Evidence, account: &Account, verdict: &mut Verdict) {
    let Account { actor, acknowledged, begun, .. } = *account;
    let plain = own(&evidence.plain, actor);
    let (was, will) = (evidence.after(actor, acknowledged), evidence.after(actor, begun));
    for path in plain.keys().chain(was.keys()).collect::<BTreeSet<_>>() {
        let is = plain.get(path);
        if is == was.get(path) || is == will.get(path) {
            continue;
        }
        verdict.lost_documents += 1;
        if let Some(was) = was.get(path) {
            let is = is.map(Vec::as_slice).unwrap_or_default();
            let same = was.iter().zip(is).take_while(|(was, is)| was == is).count();
            verdict.lost_bytes += (was.len() - same) as u64;
        }
    }
}

/// The documents in which two trees differ.
fn difference(found: &Tree, wanted: &Tree) -> String {
    let paths: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let differ = paths.into_iter().filter(|path| found.get(*path) != wanted.get(*path));
    let in_words = |path: &String| {
        let [found, wanted] =
            [found, wanted].map(|tree| in_words(tree.get(path).map(Vec::as_slice)));
        format!("`{path}` is {found}, should be {wanted}")
    };
    differ.map(in_words).collect::<Vec<_>>().join("; ")
}

fn in_words(body: Option<&[u8]>) -> String {
    let Some(body) = body else { return "absent".to_owned() };
    let first = String::from_utf8_lossy(&body[..body.len().min(12)]).into_owned();
    format!("{} bytes, {first:?}", body.len())
}
