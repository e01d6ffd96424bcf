//! Temp and rename: each file is whole, and the two do not belong together.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use filepact::Store;

use crate::{Case, Outcome, Pattern, Result, nobody, replace};

pub(crate) const PATTERN: Pattern = Pattern {
    name: "temp-and-rename",
    cases: &[
        Case::Naive("each file with temp and rename", naive),
        Case::Filepact("both in one transaction", with_filepact),
    ],
    other: nobody,
};

const VERSIONS: u32 = 200;

/// An upstream and its routes, which name it: of one version, or requests go astray.
fn naive(folder: &Path) -> Result<Outcome> {
    let (upstream, routes) = (folder.join("upstream.conf"), folder.join("routes.conf"));
    let look =
        || -> Result<_> { Ok((fs::read_to_string(&upstream)?, fs::read_to_string(&routes)?)) };
    replace(&upstream, "1")?;
    replace(&routes, "1")?;

    replace(&upstream, "2")?;
    let seen = look()?; // what any reader finds at this moment, and everybody after a crash here
    replace(&routes, "2")?;

    let words = format!("a reader found upstream {} with routes {}", seen.0, seen.1);
    Ok(if seen.0 == seen.1 { Outcome::Held(words) } else { Outcome::Lost(words) })
}

fn with_filepact(folder: &Path) -> Result<Outcome> {
    let store = Store::open(folder)?;
    let publish = |version: u32| {
        store.transact::<_, filepact::Error>(|tx| {
            tx.write_bytes("upstream.conf", version.to_string())?;
            tx.write_bytes("routes.conf", version.to_string())
        })
    };
    publish(0)?;
    let done = AtomicBool::new(false);
    let reader = || -> Result<_, filepact::Error> {
        let (mut looks, mut mixed) = (0, 0);
        while !done.load(Relaxed) {
            let seen = store.transact::<_, filepact::Error>(|tx| {
                Ok((tx.read_bytes("upstream.conf")?, tx.read_bytes("routes.conf")?))
            })?;
            looks += 1;
            mixed += u32::from(seen.0 != seen.1);
        }
        Ok((looks, mixed))
    };
    let (looks, mixed) = thread::scope(|scope| {
        let reader = scope.spawn(reader);
        let published = (1..=VERSIONS).try_for_each(publish);
        done.store(true, Relaxed);
        published.and(reader.join().expect("the reader does not panic"))
    })?;
    store.close()?;
    let words =
        format!("{looks} looks while {VERSIONS} versions were published, {mixed} of two versions");
    Ok(if looks > 0 && mixed == 0 { Outcome::Held(words) } else { Outcome::Lost(words) })
}
