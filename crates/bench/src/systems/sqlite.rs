//! SQLite, bundled with rusqlite 0.43: one table from path to body.
//!
//! Serializable transactions, durable when they return, several processes.
//!
//! Settings: `journal_mode=WAL` with `synchronous=FULL`, with which each commit syncs the log, and no
//! other durable mode is faster; a cache of 256 MiB and `mmap_size` of 1 GiB, so that nothing is read
//! twice; prepared statements throughout, also for BEGIN and COMMIT; a single document is written
//! without BEGIN, which saves two statements; `BEGIN IMMEDIATE` else, so that a writer waits at the
//! beginning instead of failing at the end; a `busy_timeout` of a minute. Checkpoints come as they do
//! by default, after 1000 pages. `locking_mode` stays NORMAL: EXCLUSIVE is a little faster, and keeps
//! all other processes out, which filepact does not. A table with a rowid suits bodies of this size:
//! an update of a body leaves the index of paths alone. The log is filled once before anything is measured,
//! and a connection stays open, with which it stays: as long as a log grows, a sync needs a second flush.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::{Change, Client, Put, Reader, System};
use crate::Outcome;

pub(super) struct Sqlite {
    path: PathBuf,
    /// Of who has made the database: the log goes with the last connection.
    _keeps_log: Option<Mutex<Connection>>,
}

const MAKE: &str =
    "CREATE TABLE IF NOT EXISTS documents (path TEXT PRIMARY KEY, body BLOB NOT NULL)";
const PUT: &str = "INSERT INTO documents (path, body) VALUES (?1, ?2) \
                   ON CONFLICT (path) DO UPDATE SET body = excluded.body";
const GET: &str = "SELECT body FROM documents WHERE path = ?1";

/// More than the 1000 pages of 4 KiB after which a checkpoint comes.
const FILL_LOG: &str = "CREATE TABLE filler (bytes BLOB);
                        INSERT INTO filler VALUES (randomblob(6 * 1024 * 1024));
                        DROP TABLE filler";
const BEGIN_LOG_ANEW: &str = "PRAGMA wal_checkpoint(RESTART)";

impl Sqlite {
    pub(super) fn open(folder: &Path) -> Outcome<Self> {
        let path = folder.join("documents.sqlite");
        if path.exists() {
            return Ok(Self { path, _keeps_log: None });
        }
        let connection = connect(&path)?;
        connection.execute(MAKE, [])?;
        connection.execute_batch(FILL_LOG)?;
        connection.query_row(BEGIN_LOG_ANEW, [], |_| Ok(()))?;
        Ok(Self { path, _keeps_log: Some(Mutex::new(connection)) })
    }
}

impl System for Sqlite {
    fn client(&self) -> Outcome<Box<dyn Client>> {
        Ok(Box::new(Connected(connect(&self.path)?)))
    }
}

fn connect(path: &Path) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("the file system gives no WAL, but {mode}").into());
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -256 * 1024)?;
    connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

struct Connected(Connection);

impl Connected {
    fn run(&self, sql: &str) -> Outcome {
        self.0.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn put(&self, path: &str, body: &[u8]) -> Outcome {
        self.0.prepare_cached(PUT)?.execute(params![path, body])?;
        Ok(())
    }

    /// Runs this in a transaction, and rolls it back if it fails.
    fn transaction(&self, begin: &str, work: impl FnOnce() -> Outcome) -> Outcome {
        self.run(begin)?;
        match work() {
            Ok(()) => self.run("COMMIT"),
            Err(error) => {
                self.run("ROLLBACK")?;
                Err(error)
            }
        }
    }

    fn each(&self, paths: &[String], mut each: impl FnMut(&str, &[u8]) -> Outcome) -> Outcome {
        let mut get = self.0.prepare_cached(GET)?;
        for path in paths {
            let mut rows = get.query([path])?;
            let row = rows.next()?.ok_or_else(|| format!("{path} is not there"))?;
            each(path, row.get_ref(0)?.as_blob()?)?;
        }
        Ok(())
    }
}

impl Client for Connected {
    fn commit(&mut self, puts: &[Put]) -> Outcome {
        match puts {
            [put] => self.put(&put.path, &put.body),
            puts => self.transaction("BEGIN IMMEDIATE", || {
                puts.iter().try_for_each(|put| self.put(&put.path, &put.body))
            }),
        }
    }

    fn read(&mut self, paths: &[String], each: Reader<'_>) -> Outcome {
        match paths {
            [_] => self.each(paths, |_, body| each(body)),
            paths => self.transaction("BEGIN", || self.each(paths, |_, body| each(body))),
        }
    }

    fn update(&mut self, paths: &[String], change: Change<'_>) -> Outcome {
        self.transaction("BEGIN IMMEDIATE", || {
            let mut after = Vec::with_capacity(paths.len());
            self.each(paths, |path, body| {
                after.push((path.to_owned(), change(body)?));
                Ok(())
            })?;
            after.iter().try_for_each(|(path, body)| self.put(path, body))
        })
    }
}
