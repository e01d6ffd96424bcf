//! Makes a history that fails shorter, as long as it fails in the same way.

use super::step::{Op, Step};

/// The shortest history that was found for which `fails` still holds.
pub fn shrink(steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut best = steps;
    loop {
        let before = best.len();
        best = without(best, &fails);
        let simpler = simplify(best.clone(), &fails);
        let is_done = simpler == best && best.len() == before;
        best = simpler;
        if is_done {
            return best;
        }
    }
}

/// Takes out as long runs of steps as can be spared, then shorter ones.
fn without(mut best: Vec<Step>, fails: &impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut chunk = best.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        while from < best.len() {
            let mut shorter = best.clone();
            shorter.drain(from..(from + chunk).min(best.len()));
            if fails(&shorter) {
                best = shorter;
            } else {
                from += chunk;
            }
        }
        chunk /= 2;
    }
    best
}

/// Makes single steps simpler.
fn simplify(mut best: Vec<Step>, fails: &impl Fn(&[Step]) -> bool) -> Vec<Step> {
    for at in 0..best.len() {
        while let Some(next) = simpler(&best[at]).into_iter().find_map(|step| {
            let mut changed = best.clone();
            changed[at] = step;
            fails(&changed).then_some(changed)
        }) {
            best = next;
        }
    }
    best
}

/// Each simpler form of a step; every chain of them ends.
fn simpler(step: &Step) -> Vec<Step> {
    let mut all = Vec::new();
    match step {
        Step::Do { who, exclusive, ops, mishap } => {
            let with = |ops| Step::Do { who: *who, exclusive: *exclusive, ops, mishap: *mishap };
            all.extend(fewer(ops).into_iter().map(with));
            if mishap.is_some() {
                let ops = ops.clone();
                all.push(Step::Do { who: *who, exclusive: *exclusive, ops, mishap: None });
            }
            if *exclusive {
                let ops = ops.clone();
                all.push(Step::Do { who: *who, exclusive: false, ops, mishap: *mishap });
            }
        }
        Step::Open { who, durability, mishap: Some(_) } => {
            all.push(Step::Open { who: *who, durability: *durability, mishap: None });
        }
        Step::Checkpoint { who, mishap: Some(_) } => {
            all.push(Step::Checkpoint { who: *who, mishap: None });
        }
        Step::Close { who, mishap: Some(_) } => all.push(Step::Close { who: *who, mishap: None }),
        Step::Together { seed, processes } => {
            for at in 0..processes.len() {
                let mut fewer_processes = processes.clone();
                fewer_processes.remove(at);
                if !fewer_processes.is_empty() {
                    all.push(Step::Together { seed: *seed, processes: fewer_processes });
                }
                for ops in fewer(&processes[at].ops) {
                    let mut processes = processes.clone();
                    processes[at].ops = ops;
                    all.push(Step::Together { seed: *seed, processes });
                }
            }
        }
        Step::Edit { doc, how, len, saved } if *len > 40 => {
            all.push(Step::Edit { doc: doc.clone(), how: *how, len: 40, saved: *saved });
        }
        _ => {}
    }
    all
}

fn fewer(ops: &[Op]) -> Vec<Vec<Op>> {
    let mut all = Vec::new();
    for at in 0..ops.len() {
        if ops.len() > 1 {
            let mut fewer = ops.to_vec();
            fewer.remove(at);
            all.push(fewer);
        }
        let smaller = match &ops[at] {
            Op::Put(doc, len) if *len > 40 => Op::Put(doc.clone(), 40),
            Op::Append(doc, len) if *len > 40 => Op::Append(doc.clone(), 40),
            Op::Create(doc, len) if *len > 40 => Op::Create(doc.clone(), 40),
            Op::Rename(from, _) | Op::Same(from) => Op::Put(from.clone(), 40),
            _ => continue,
        };
        let mut changed = ops.to_vec();
        changed[at] = smaller;
        all.push(changed);
    }
    all
}
