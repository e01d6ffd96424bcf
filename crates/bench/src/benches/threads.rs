//! Several threads, two documents in a transaction: documents of their own, and all the same two.
//!
//! Where all change the same two, each reads them first and writes what follows on them; in the end
//! they must have been changed as often as there were transactions.

use std::thread;
use std::time::{Duration, Instant};

use super::writer::{Documents, Writer};
use crate::Outcome;
use crate::bench::{Bench, Opened};
use crate::measure::{Lane, Turn, repeat_beside};
use crate::report::Case;
use crate::systems::{Kind, Sharing};

const DOCS: u64 = 2;
const BYTES: usize = 1024;
/// Long turns: a thread may wait for long until it gets through.
const TURNS: u32 = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Own,
    Same,
}

pub(super) fn run(bench: &mut Bench) -> Outcome {
    for which in [Which::Own, Which::Same] {
        for threads in bench.sized(&[1, 2][..], &[1, 4, 16], &[1, 4, 16]) {
            measure(bench, which, *threads)?;
        }
    }
    Ok(())
}

fn measure(bench: &mut Bench, which: Which, threads: u64) -> Outcome {
    let takes_part = |kind: Kind| which == Which::Own || kind.updates() || kind == Kind::Floor;
    let opened = bench.open(Sharing::Alone, takes_part)?;
    let mut crews = opened
        .iter()
        .map(|opened| Ok((opened.kind, crew(opened, which, threads)?)))
        .collect::<Outcome<Vec<_>>>()?;
    let lanes = crews.iter_mut().map(|(kind, crew)| {
        let update = which == Which::Same && *kind != Kind::Floor;
        Lane::new(*kind, move |budget| turn(crew, budget, update))
    });
    let case = Case {
        bench: "threads",
        case: Some(if which == Which::Own { "disjoint" } else { "contended" }),
        docs: DOCS,
        bytes: BYTES as u64,
        threads,
        rate: true,
        ..Case::default()
    };
    let lanes = lanes.collect();
    bench.measure(&case, bench.pace.at_most(TURNS), lanes)?;
    for (kind, crew) in crews {
        if kind.keeps() {
            check(crew, which).map_err(|error| format!("{}: {error}", kind.name()))?;
        }
    }
    bench.close(opened)
}

fn crew(opened: &Opened, which: Which, threads: u64) -> Outcome<Vec<Writer>> {
    let writer = |thread| {
        let first = if which == Which::Own { thread * DOCS } else { 0 };
        let documents = Documents { first, ..Documents::new(DOCS, BYTES) };
        let mut writer = Writer::new(opened.system.client()?, documents);
        if which == Which::Own || thread == 0 || opened.kind == Kind::Floor {
            writer.write_missing()?;
        }
        Ok(writer)
    };
    (0..threads).map(writer).collect()
}

fn turn(crew: &mut [Writer], budget: Duration, update: bool) -> Outcome<Turn> {
    let began = Instant::now();
    let work = |writer: &mut Writer| {
        let one = || if update { writer.update() } else { writer.commit() };
        repeat_beside(began, budget, one)
    };
    let turns: Outcome<Vec<Turn>> = thread::scope(|scope| {
        let threads: Vec<_> =
            crew.iter_mut().map(|writer| scope.spawn(move || work(writer))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Outcome<Turn>>| {
            thread.join().map_err(|_| "a thread panicked")?
        };
        threads.into_iter().map(join).collect()
    });
    Ok(Turn::together(turns?))
}

/// Nothing was lost.
fn check(mut crew: Vec<Writer>, which: Which) -> Outcome {
    if which == Which::Own {
        return crew.iter_mut().try_for_each(Writer::check);
    }
    let updates: u64 = crew.iter().map(|writer| writer.updates).sum();
    match crew[0].numbers()? {
        numbers if numbers.iter().all(|number| *number == updates) => Ok(()),
        numbers => Err(format!("{updates} updates have made it {numbers:?}").into()),
    }
}
