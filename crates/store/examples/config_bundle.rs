//! A service that loads its configuration, several files, whole: again whenever somebody publishes.
//!
//! ```text
//! cargo run -p filepact --example config_bundle
//! cargo run -p filepact --example config_bundle -- 1000     # versions to publish
//! ```
//!
//! The publisher is another process. The service watches the store ([`Store::watch`]), hears of every
//! transaction, and reads all files from one snapshot: they always belong together, however fast the
//! next version comes.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use filepact::{LoggedTransaction, Store, Watched};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Listen {
    version: u32,
    port: u16,
}

#[derive(Serialize, Deserialize)]
struct Routes {
    version: u32,
    /// The path of each route and the pool that serves it.
    routes: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct Pool {
    version: u32,
    servers: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [publisher, folder, versions] = &arguments[..]
        && publisher == "publisher"
    {
        return publish(folder, versions.parse()?);
    }
    let versions: u32 = arguments.first().map_or(Ok(200), |versions| versions.parse())?;
    let folder = tempfile::tempdir_in(".")?;
    let store = Store::open(folder.path())?;
    let mut watch = store.watch()?; // before the first load, so that nothing falls between the two

    let mut publisher = Command::new(std::env::current_exe()?);
    publisher.arg("publisher").arg(folder.path()).arg(versions.to_string());
    let mut publisher = publisher.spawn()?;

    let (mut loads, mut version, mut txn) = (0, 0, 0);
    while version < versions {
        let must_load = match watch.wait(Duration::from_secs(10))?.ok_or("nobody publishes")? {
            // It may have been loaded already, when the one before it was told.
            Watched::Transaction(told) => told.txn > txn && touches_config(&told),
            // It looked so seldom that the journal has gone on.
            Watched::Gap { .. } => true,
        };
        if must_load {
            let before = version;
            (version, txn) = load(&store)?;
            assert!(version > before, "told of a version that is not there");
            loads += 1;
        }
    }
    assert!(publisher.wait()?.success());
    assert_eq!(version, versions);
    store.close()?;
    println!("{versions} versions were published, and loaded {loads} times: always whole");
    Ok(())
}

fn touches_config(told: &LoggedTransaction) -> bool {
    told.changes.iter().any(|change| change.path.starts_with("config/"))
}

/// All files of one moment, and what must agree among them does; the version, and when that was.
fn load(store: &Store) -> Result<(u32, u64), filepact::Error> {
    let config = store.snapshot()?;
    let listen: Listen = config.read("config/listen.json")?;
    let routes: Routes = config.read("config/routes.json")?;
    assert_eq!(listen.version, routes.version, "two versions were mixed");
    assert_eq!(listen.port, port(listen.version));
    for (_, pool) in &routes.routes {
        // Pools come and go; those that the routes name are there.
        let pool: Pool = config.read(format!("config/pools/{pool}.json"))?;
        assert!(pool.version <= listen.version && pool.servers > 0);
    }
    Ok((listen.version, config.txn()))
}

fn port(version: u32) -> u16 {
    8000 + (version % 100) as u16
}

fn publish(folder: &str, versions: u32) -> Result<(), Box<dyn Error>> {
    let store = Store::open(folder)?;
    for version in 1..=versions {
        store.transact::<_, filepact::Error>(|tx| {
            let name = format!("pool-{version}");
            let routes = vec![("/".to_owned(), name.clone())];
            tx.write("config/listen.json", &Listen { version, port: port(version) })?;
            tx.write("config/routes.json", &Routes { version, routes })?;
            tx.write(format!("config/pools/{name}.json"), &Pool { version, servers: 3 })?;
            if version > 1 {
                tx.remove(format!("config/pools/pool-{}.json", version - 1))?;
            }
            tx.note(format!("version {version}"));
            Ok(())
        })?;
    }
    Ok(store.close()?)
}
