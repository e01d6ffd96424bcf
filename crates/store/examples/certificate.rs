//! A TLS certificate and its key, renewed again and again: who loads them never finds two that do not
//! match, and the key stays readable for its owner only.
//!
//! ```text
//! cargo run -p filepact --example certificate
//! cargo run -p filepact --example certificate -- 500     # renewals
//! ```
//!
//! Any text stands for the PEM here: a pair matches if both name the same serial number.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use filepact::Store;

const CERTIFICATE: &str = "tls/server.pem";
const KEY: &str = "tls/server.key";

fn main() -> Result<(), Box<dyn Error>> {
    let renewals: u32 = std::env::args().nth(1).map_or(Ok(200), |renewals| renewals.parse())?;
    let folder = tempfile::tempdir_in(".")?;
    let store = Store::open(folder.path())?;

    renew(&store, 0)?;

    let done = AtomicBool::new(false);
    let (pairs, serials) = thread::scope(|scope| {
        let server = scope.spawn(|| -> Result<_, filepact::Error> {
            let (mut pairs, mut serials, mut last) = (0, 0, None);
            while !done.load(Relaxed) {
                let serial = load(&store)?;
                assert!(Some(serial) >= last, "an older pair came back");
                assert_eq!(mode(folder.path(), KEY), 0o600, "the key is for its owner only");
                pairs += 1;
                serials += u32::from(Some(serial) != last);
                last = Some(serial);
            }
            Ok((pairs, serials))
        });
        let renewed = (1..=renewals).try_for_each(|serial| renew(&store, serial));
        done.store(true, Relaxed);
        renewed.and(server.join().expect("every pair matches"))
    })?;
    assert!(pairs > 0);
    assert_eq!(load(&store)?, renewals);
    store.close()?;
    println!(
        "{renewals} renewals; {pairs} pairs were loaded meanwhile, of {serials} serial numbers"
    );
    println!("each pair matched, and the key has mode 0600");
    Ok(())
}

/// Both files, or neither.
fn renew(store: &Store, serial: u32) -> Result<(), filepact::Error> {
    store.transact(|tx| {
        tx.write_bytes(CERTIFICATE, pem("CERTIFICATE", serial))?;
        // For its owner only from its first moment; every later version keeps that.
        tx.write_bytes_with(KEY, pem("PRIVATE KEY", serial), 0o600)?;
        tx.note(format!("renewal {serial}"));
        Ok(())
    })
}

/// As the server does before it takes a pair: both in one transaction.
fn load(store: &Store) -> Result<u32, filepact::Error> {
    let (certificate, key) = store.transact::<_, filepact::Error>(|tx| {
        Ok((tx.read_bytes(CERTIFICATE)?, tx.read_bytes(KEY)?))
    })?;
    let certificate = serial(&certificate.expect("there is a certificate"));
    assert_eq!(certificate, serial(&key.expect("there is a key")), "they do not match");
    Ok(certificate)
}

fn pem(kind: &str, serial: u32) -> String {
    format!("-----BEGIN {kind}-----\n{serial}\n-----END {kind}-----\n")
}

fn serial(pem: &[u8]) -> u32 {
    let pem = std::str::from_utf8(pem).expect("it is text");
    let serial = pem.lines().nth(1).expect("it has a body");
    serial.parse().expect("the body is the serial number")
}

/// Of the ordinary file at the document's path.
#[allow(clippy::disallowed_methods, reason = "as any other program sees it")]
fn mode(folder: &Path, path: &str) -> u32 {
    let found = std::fs::metadata(folder.join(path)).expect("a document is never missing");
    found.permissions().mode() & 0o777
}
