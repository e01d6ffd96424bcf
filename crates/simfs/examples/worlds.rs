//! How many worlds a second the simulated file system makes, forks and tells apart, on one core.
//!
//! `cargo run --release -p filepact-simfs --example worlds`

use std::hint::black_box;
use std::time::Instant;

use filepact_fs::{Access, Fs, FsError, Rename, SyncKind};
use filepact_simfs::{Grain, Profile, SimFs};

/// Something like a store in the middle of a commit: a padded journal with a new line, two documents
/// exchanged with new bodies, and twenty other files.
fn store() -> Result<SimFs, FsError> {
    let sim = SimFs::new();
    for dir in ["meta", "meta/journal", "meta/stage"] {
        sim.mkdir(dir);
    }
    sim.write("meta/journal/1", &[b'\n'; 64 * 1024]);
    for number in 0..20 {
        sim.write(&format!("doc{number}"), &[b'0'; 300]);
    }
    sim.write_back_all();
    let process = sim.actor();
    process.open("meta/journal/1", Access::Write)?.write_at(&[b'x'; 900], 600)?;
    for number in 0..2 {
        let staged = format!("meta/stage/{number}");
        let file = process.create_unnamed("")?;
        file.write_at(&[b'1'; 300], 0)?;
        file.link(&staged)?;
        process.rename(&staged, &format!("doc{number}"), Rename::Exchange)?;
    }
    process.open("meta/journal/1", Access::Write)?.sync(SyncKind::Data)?;
    Ok(sim)
}

fn main() -> Result<(), FsError> {
    let sim = store()?;
    let moment = sim.world();
    let rate = |what: &str, work: &mut dyn FnMut() -> usize| {
        let (begun, mut done) = (Instant::now(), 0);
        while begun.elapsed().as_millis() < 500 {
            done += work();
        }
        println!("{what}: {:.0} a second", done as f64 / begun.elapsed().as_secs_f64());
    };
    for profile in [Profile::Strict(Grain::Page), Profile::Strict(Grain::Sector)] {
        let mut seed = 0;
        rate(&format!("outcomes of power cuts, {profile:?}"), &mut || {
            seed += 1;
            black_box(moment.power_cut(&profile, 1024, seed).worlds).len()
        });
        rate(&format!("single power cuts with two outcomes, {profile:?}"), &mut || {
            seed += 1;
            black_box(moment.power_cut(&profile, 2, seed).worlds).len() / 2
        });
    }
    let worlds = moment.power_cut(&Profile::Strict(Grain::Page), 1024, 1).worlds;
    let each = |work: &dyn Fn(&SimFs)| {
        worlds.iter().for_each(work);
        worlds.len()
    };
    rate("forks", &mut || each(&|world| drop(black_box(world.fork()))));
    rate("fingerprints", &mut || {
        each(&|world| {
            black_box(world.fingerprint());
        })
    });
    Ok(())
}
