use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::mpsc;
use std::time::Instant;

use rustix::fs::{IFlags, XattrFlags, ioctl_getflags, ioctl_setflags, lgetxattr_query, setxattr};

use super::*;
use crate::{Attrs, FsError, Kind, SyncKind, read_full, read_to_end, write_all};

fn temp() -> (tempfile::TempDir, OsFs) {
    let temp = tempfile::tempdir().unwrap();
    let fs = OsFs::open(temp.path()).unwrap();
    (temp, fs)
}

fn put(fs: &OsFs, path: &str, bytes: &[u8]) {
    write_all(&*fs.create(path).unwrap(), bytes, 0).unwrap();
}

fn get(fs: &OsFs, path: &str) -> Vec<u8> {
    read_to_end(&*fs.open(path, Access::Read).unwrap()).unwrap()
}

/// A file, a directory, links to both and one that leads nowhere, at the root and below.
fn with_links() -> (tempfile::TempDir, OsFs) {
    let (temp, fs) = temp();
    fs.make_dir("dir", 0o755).unwrap();
    put(&fs, "dir/file", b"inside");
    symlink("dir", temp.path().join("to-dir")).unwrap();
    symlink("dir/file", temp.path().join("to-file")).unwrap();
    symlink("nowhere", temp.path().join("dangling")).unwrap();
    (temp, fs)
}

#[test]
fn a_root_must_be_a_directory() {
    let (temp, _) = temp();
    assert!(OsFs::open(&temp.path().join("absent")).unwrap_err().is_not_found());
    fs::write(temp.path().join("file"), "").unwrap();
    assert!(OsFs::open(&temp.path().join("file")).is_err());
}

#[test]
fn what_was_written_is_read_wherever_it_stands() {
    let (_temp, fs) = temp();
    put(&fs, "file", b"0123456789");
    let file = fs.open("file", Access::Write).unwrap();
    write_all(&*file, b"ab", 3).unwrap();
    assert_eq!(get(&fs, "file"), b"012ab56789");
    file.set_len(4).unwrap();
    assert_eq!(get(&fs, "file"), b"012a");
    file.set_len(6).unwrap();
    assert_eq!(get(&fs, "file"), b"012a\0\0");
    assert_eq!(file.read_at(&mut [0; 8], 6).unwrap(), 0);
    file.sync(SyncKind::Data).unwrap();
    file.sync(SyncKind::All).unwrap();
    fs.sync_dir("").unwrap();
    fs.sync_everything().unwrap();
}

#[test]
fn opening_never_creates_and_creating_never_replaces() {
    let (temp, fs) = temp();
    assert!(fs.open("absent", Access::Write).unwrap_err().is_not_found());
    put(&fs, "file", b"kept");
    assert!(fs.create("file").unwrap_err().is_exists());
    assert_eq!(get(&fs, "file"), b"kept");
    assert_eq!(fs::metadata(temp.path().join("file")).unwrap().mode() & 0o7777, 0o600);
    let file = fs.open("file", Access::Read).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
}

#[test]
fn only_ordinary_files_are_opened_and_nothing_waits() {
    let (temp, fs) = temp();
    let pipe = FileType::Fifo;
    rustix::fs::mknodat(CWD, temp.path().join("pipe"), pipe, Mode::RWXU, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(temp.path().join("socket")).unwrap();
    for path in ["pipe", "socket"] {
        for access in [Access::Read, Access::Write] {
            let error = fs.open(path, access).unwrap_err();
            assert_eq!(error.source.to_string(), "not an ordinary file", "{path} {access:?}");
        }
        assert_eq!(fs.stat(path).unwrap().unwrap().kind, Kind::Other);
    }
    fs.make_dir("dir", 0o700).unwrap();
    for access in [Access::Read, Access::Write] {
        let error = fs.open("dir", access).unwrap_err();
        assert_eq!(Errno::from_io_error(&error.source), Some(Errno::ISDIR));
    }
}

#[test]
fn no_call_follows_a_link() {
    let (temp, fs) = with_links();
    let file = fs.open("dir/file", Access::Read).unwrap();
    let is_link = |outcome: Result<()>| outcome.unwrap_err().is_link();

    // At the end.
    for link in ["to-file", "to-dir", "dangling"] {
        assert!(is_link(fs.open(link, Access::Read).map(drop)), "{link}");
        assert!(is_link(fs.open(link, Access::Write).map(drop)), "{link}");
        assert!(is_link(fs.lock(link, LockKind::Shared, Duration::ZERO).map(drop)), "{link}");
        assert!(fs.create(link).unwrap_err().is_exists(), "{link}");
        assert!(file.link(link).unwrap_err().is_exists(), "{link}");
        assert_eq!(fs.stat(link).unwrap().unwrap().kind, Kind::Link, "{link}");
    }
    assert!(is_link(fs.list("to-dir").map(drop)));
    assert!(is_link(fs.sync_dir("to-dir")));
    assert!(is_link(fs.create_unnamed("to-dir").map(drop)));

    // Also where our own folders lie, which are resolved once for all.
    fs.make_dir(".filepact", 0o700).unwrap();
    fs.make_dir(".filepact/stage", 0o700).unwrap();
    symlink("../../dir/file", temp.path().join(".filepact/stage/link")).unwrap();
    assert!(is_link(fs.open(".filepact/stage/link", Access::Read).map(drop)));

    // On the way.
    let through = "to-dir/file";
    assert!(is_link(fs.open(through, Access::Read).map(drop)));
    assert!(is_link(fs.stat(through).map(drop)));
    assert!(is_link(fs.create("to-dir/new").map(drop)));
    assert!(is_link(fs.make_dir("to-dir/new", 0o700)));
    assert!(is_link(fs.unlink(through)));
    assert!(is_link(fs.remove_dir("to-dir/dir")));
    assert!(is_link(file.link("to-dir/new")));
    assert!(is_link(fs.lock(through, LockKind::Exclusive, Duration::ZERO).map(drop)));
    for how in [Rename::Replace, Rename::NoReplace, Rename::Exchange] {
        assert!(is_link(fs.rename(through, "dir/other", how)));
        assert!(is_link(fs.rename("dir/file", "to-dir/other", how)));
    }

    // Renaming and unlinking act on the link itself.
    fs.rename("to-file", "moved", Rename::NoReplace).unwrap();
    fs.unlink("moved").unwrap();
    assert_eq!(get(&fs, "dir/file"), b"inside");
}

#[test]
fn only_an_empty_directory_is_removed_as_one() {
    let (_temp, fs) = temp();
    fs.make_dir("dir", 0o700).unwrap();
    put(&fs, "dir/file", b"inside");
    let errno = |outcome: Result<()>| outcome.unwrap_err().source.raw_os_error();
    assert_eq!(errno(fs.remove_dir("dir")), Some(Errno::NOTEMPTY.raw_os_error()));
    assert!(fs.remove_dir("dir/file").unwrap_err().is_not_found(), "it is no directory");
    fs.unlink("dir/file").unwrap();
    fs.remove_dir("dir").unwrap();
    assert!(fs.remove_dir("dir").unwrap_err().is_not_found());
}

#[test]
fn no_call_leaves_the_root() {
    let (temp, _) = temp();
    fs::create_dir(temp.path().join("root")).unwrap();
    fs::write(temp.path().join("outside"), "").unwrap();
    let fs = OsFs::open(&temp.path().join("root")).unwrap();
    put(&fs, "file", b"");
    let absolute = temp.path().join("outside");
    for path in ["../outside", "..", absolute.to_str().unwrap(), "./file", "file/"] {
        let refused = |outcome: Result<()>| {
            let kind = outcome.unwrap_err().source.kind();
            assert_eq!(kind, io::ErrorKind::InvalidInput, "{path}");
        };
        refused(fs.open(path, Access::Read).map(drop));
        refused(fs.stat(path).map(drop));
        refused(fs.list(path).map(drop));
        refused(fs.create(path).map(drop));
        refused(fs.create_unnamed(path).map(drop));
        refused(fs.make_dir(path, 0o700));
        refused(fs.unlink(path));
        refused(fs.sync_dir(path));
        refused(fs.rename(path, "other", Rename::Replace));
        refused(fs.rename("file", path, Rename::Replace));
        refused(fs.open("file", Access::Read).unwrap().link(path));
        refused(fs.lock(path, LockKind::Shared, Duration::ZERO).map(drop));
    }
}

#[test]
fn an_error_names_the_call_and_the_path() {
    let (_temp, fs) = temp();
    let error = fs.open("a/b", Access::Read).unwrap_err();
    assert_eq!(error.to_string(), "cannot open `a/b`");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn stat_tells_what_stands_there_or_that_nothing_does() {
    let (temp, fs) = with_links();
    for absent in ["absent", "absent/below", "dir/file/below"] {
        assert_eq!(fs.stat(absent).unwrap(), None, "{absent}");
    }
    assert_eq!(fs.stat("").unwrap().unwrap().kind, Kind::Dir);
    let found = fs.stat("dir/file").unwrap().unwrap();
    let expected = fs::metadata(temp.path().join("dir/file")).unwrap();
    assert_eq!((found.kind, found.nlink, found.frozen), (Kind::File, 1, false));
    assert_eq!((found.stamp.dev, found.stamp.ino), (expected.dev(), expected.ino()));
    assert_eq!((found.mode, found.stamp.size), (0o600, 6));
    assert_eq!((found.uid, found.gid), (expected.uid(), expected.gid()));
    let nanos = expected.mtime() * 1_000_000_000 + expected.mtime_nsec();
    assert_eq!(found.stamp.mtime, Time(nanos));
    assert_eq!(found.mount, fs.stat("").unwrap().unwrap().mount);
    assert_ne!(found.mount, 0);
    assert_eq!(fs.open("dir/file", Access::Read).unwrap().stat().unwrap(), found);
}

#[test]
fn a_mount_below_the_root_has_an_id_of_its_own() {
    let fs = OsFs::open(Path::new("/")).unwrap();
    let root = fs.stat("").unwrap().unwrap();
    let proc = fs.stat("proc").unwrap().unwrap();
    assert_ne!(root.mount, proc.mount);
    let facts = fs.facts().unwrap();
    assert!(facts.mount.is_none_or(|id| id == root.mount), "one id in both places");
}

#[test]
fn immutable_and_append_only_files_are_frozen() {
    let (temp, fs) = temp();
    put(&fs, "file", b"");
    let file = fs::File::open(temp.path().join("file")).unwrap();
    let usual = ioctl_getflags(&file);
    for flag in [IFlags::IMMUTABLE, IFlags::APPEND] {
        let Ok(usual) = usual else { return eprintln!("skipped: no inode flags here") };
        if ioctl_setflags(&file, usual | flag).is_err() {
            return eprintln!("skipped: not allowed to set inode flags");
        }
        let stat = fs.stat("file").unwrap().unwrap();
        ioctl_setflags(&file, usual).unwrap();
        assert!(stat.frozen, "{flag:?}");
    }
}

#[test]
fn a_listing_has_every_name_and_its_kind() {
    let (temp, fs) = with_links();
    let odd = OsStr::from_bytes(b"not-\xFF-utf8");
    fs::write(temp.path().join(odd), "").unwrap();
    let mut found: Vec<_> =
        fs.list("").unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        (OsStr::new("dangling"), Kind::Link),
        (OsStr::new("dir"), Kind::Dir),
        (odd, Kind::File),
        (OsStr::new("to-dir"), Kind::Link),
        (OsStr::new("to-file"), Kind::Link),
    ];
    assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)));
    assert_eq!(fs.list("dir").unwrap().len(), 1);
    assert!(fs.list("absent").unwrap_err().is_not_found());
    assert!(fs.list("dir/file").unwrap_err().is_not_found());
}

#[test]
fn a_directory_gets_its_mode_and_syncs() {
    let (temp, fs) = temp();
    fs.make_dir("dir", 0o700).unwrap();
    assert_eq!(fs::metadata(temp.path().join("dir")).unwrap().mode() & 0o7777, 0o700);
    assert!(fs.make_dir("dir", 0o700).unwrap_err().is_exists());
    assert!(fs.make_dir("absent/dir", 0o700).unwrap_err().is_not_found());
    fs.sync_dir("dir").unwrap();
    assert!(fs.sync_dir("absent").unwrap_err().is_not_found());
}

#[test]
fn a_rename_replaces_refuses_or_swaps() {
    let (_temp, fs) = temp();
    put(&fs, "a", b"A");
    put(&fs, "b", b"B");
    fs.rename("a", "b", Rename::Exchange).unwrap();
    assert_eq!((get(&fs, "a"), get(&fs, "b")), (b"B".to_vec(), b"A".to_vec()));

    assert!(fs.rename("a", "b", Rename::NoReplace).unwrap_err().is_exists());
    assert_eq!((get(&fs, "a"), get(&fs, "b")), (b"B".to_vec(), b"A".to_vec()));
    fs.rename("a", "c", Rename::NoReplace).unwrap();
    assert_eq!(fs.stat("a").unwrap(), None);

    assert!(fs.rename("c", "absent", Rename::Exchange).unwrap_err().is_not_found());
    fs.rename("c", "b", Rename::Replace).unwrap();
    assert_eq!(get(&fs, "b"), b"B");
    assert_eq!(fs.stat("c").unwrap(), None);
    assert!(fs.rename("absent", "b", Rename::Replace).unwrap_err().is_not_found());

    fs.unlink("b").unwrap();
    assert!(fs.unlink("b").unwrap_err().is_not_found());
}

#[test]
fn an_unnamed_file_can_be_linked_again_and_again_and_never_replaces() {
    let (temp, fs) = temp();
    fs.make_dir("dir", 0o755).unwrap();
    put(&fs, "taken", b"kept");
    let file = fs.create_unnamed("dir").unwrap();
    assert!(fs.list("dir").unwrap().is_empty());
    write_all(&*file, b"body", 0).unwrap();
    assert!(file.link("taken").unwrap_err().is_exists());
    assert!(file.link("absent/x").unwrap_err().is_not_found());
    file.link("dir/one").unwrap();
    file.link("two").unwrap();
    assert_eq!(file.stat().unwrap().nlink, 2);
    drop(file);
    assert_eq!((get(&fs, "dir/one"), get(&fs, "two")), (b"body".to_vec(), b"body".to_vec()));
    assert_eq!(get(&fs, "taken"), b"kept");

    let mode = |name: &str| fs::metadata(temp.path().join(name)).unwrap().mode();
    fs::write(temp.path().join("usual"), "").unwrap();
    assert_eq!(mode("two"), mode("usual"), "0666 less the umask");

    let reopened = fs.open("two", Access::Read).unwrap();
    reopened.link("three").unwrap();
    assert_eq!(reopened.stat().unwrap().nlink, 3);
}

#[test]
fn an_unnamed_file_vanishes_on_close() {
    let (_temp, fs) = temp();
    drop(fs.create_unnamed("").unwrap());
    assert!(fs.list("").unwrap().is_empty());
}

#[test]
fn where_there_are_no_unnamed_files_the_substitute_is_linked_twice_all_the_same() {
    let (temp, fs) = temp();
    fs::create_dir_all(temp.path().join(".filepact/stage")).unwrap();
    let (fd, substitute) = unnamed::create_substitute(&fs.root, &fs.root.dir("").unwrap()).unwrap();
    let file = fs.file("(unnamed)", fd).named_by(Some(substitute));
    write_all(&file, b"body", 0).unwrap();
    file.link("one").unwrap();
    file.link("two").unwrap();
    drop(file);
    assert_eq!((get(&fs, "one"), get(&fs, "two")), (b"body".to_vec(), b"body".to_vec()));
    assert!(fs.list(".filepact/stage").unwrap().is_empty());
}

#[test]
fn attributes_are_carried_from_file_to_file() {
    let (temp, fs) = temp();
    put(&fs, "from", b"");
    put(&fs, "to", b"");
    let xattr = |file: &str, name: &str, value: &[u8]| {
        setxattr(temp.path().join(file), name, value, XattrFlags::empty())
    };
    let big = vec![b'x'; 500];
    if xattr("from", "user.small", b"1") == Err(Errno::OPNOTSUPP) {
        return eprintln!("skipped: {} keeps no extended attributes", temp.path().display());
    }
    xattr("from", "user.big", &big).unwrap();
    xattr("from", "user.empty", b"").unwrap();
    xattr("to", "user.small", b"other").unwrap();
    xattr("to", "user.unwanted", b"x").unwrap();
    let permissions = fs::Permissions::from_mode(0o4751);
    fs::set_permissions(temp.path().join("from"), permissions).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(temp.path().join("to"), Some(1234), Some(4321)).unwrap();
    }

    let from = fs.open("from", Access::Read).unwrap().attrs().unwrap();
    let user = |attrs: &Attrs| -> Vec<_> {
        let is_user = |name: &OsStr| name.as_bytes().starts_with(b"user.");
        attrs.xattrs.iter().filter(|(name, _)| is_user(name)).cloned().collect()
    };
    let expected = [("user.big", &big[..]), ("user.empty", b""), ("user.small", b"1")];
    assert_eq!(user(&from), expected.map(|(name, value)| (name.into(), value.to_vec())));
    assert_eq!(from.mode, 0o4751);

    let to = fs.open("to", Access::Write).unwrap();
    to.set_attrs(&from).unwrap();
    assert_eq!(to.attrs().unwrap(), from);

    let before = to.stat().unwrap().stamp.ctime;
    thread::sleep(Duration::from_millis(30));
    to.set_attrs(&from).unwrap();
    assert_eq!(to.stat().unwrap().stamp.ctime, before, "what stands is not written again");
}

#[test]
fn an_acl_is_carried_with_the_rest() {
    let (temp, fs) = temp();
    put(&fs, "from", b"");
    put(&fs, "to", b"");
    // Version 2; user rw, user 1234 r, group r, mask r, others nothing.
    let mut acl = vec![2, 0, 0, 0];
    let anybody = u32::MAX;
    for (tag, permissions, id) in
        [(1u16, 6u16, anybody), (2, 4, 1234), (4, 4, anybody), (16, 4, anybody), (32, 0, anybody)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let name = "system.posix_acl_access";
    if setxattr(temp.path().join("from"), name, &acl, XattrFlags::empty()).is_err() {
        return eprintln!("skipped: {} keeps no ACLs", temp.path().display());
    }
    let from = fs.open("from", Access::Read).unwrap().attrs().unwrap();
    let to = fs.open("to", Access::Write).unwrap();
    let plain = to.attrs().unwrap();
    assert_ne!(from.mode, plain.mode, "the mask shows in the mode");
    to.set_attrs(&from).unwrap();
    assert_eq!(to.attrs().unwrap(), from);
    to.set_attrs(&plain).unwrap();
    assert_eq!(to.attrs().unwrap(), plain);
    assert_eq!(lgetxattr_query(temp.path().join("to"), name), Err(Errno::NODATA));
}

#[test]
fn an_attribute_that_cannot_be_set_is_an_error() {
    let (_temp, fs) = temp();
    put(&fs, "file", b"");
    let file = fs.open("file", Access::Write).unwrap();
    let mut wanted = file.attrs().unwrap();
    wanted.xattrs.push(("system.nobody_knows_this".into(), b"x".to_vec()));
    assert!(file.set_attrs(&wanted).is_err());
}

#[test]
fn only_the_modification_time_is_set() {
    let (temp, fs) = temp();
    put(&fs, "file", b"");
    let file = fs.open("file", Access::Write).unwrap();
    let accessed = fs::metadata(temp.path().join("file")).unwrap().accessed().unwrap();
    for time in [Time(1_763_868_499_123_456_789), Time(0), Time(-1_500_000_000)] {
        file.set_mtime(time).unwrap();
        assert_eq!(file.stat().unwrap().stamp.mtime, time);
    }
    let now = fs::metadata(temp.path().join("file")).unwrap().accessed().unwrap();
    assert_eq!(now, accessed);
}

#[test]
fn the_clock_is_never_behind_a_stamp() {
    let (_temp, fs) = temp();
    for i in 0..100 {
        put(&fs, &format!("{i}"), b"");
        let ctime = fs.stat(&format!("{i}")).unwrap().unwrap().stamp.ctime;
        assert!(ctime <= fs.now());
    }
}

#[test]
fn a_unique_text_is_hex_and_unlike_the_last() {
    let (_temp, fs) = temp();
    let (one, other) = (fs.unique(), fs.unique());
    assert_ne!(one, other);
    assert_eq!(one.len(), 32);
    assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn facts_are_the_same_each_time() {
    let (_temp, fs) = temp();
    let facts = fs.facts().unwrap();
    assert_eq!(facts, fs.clone().facts().unwrap());
    assert!(!facts.boot.is_empty());
}

#[test]
fn reading_past_the_cache_finds_what_was_synced_at_any_offset() {
    let (_temp, fs) = temp();
    let body: Vec<u8> = (0..3_000_001u32).map(|i| (i % 251) as u8).collect();
    put(&fs, "file", &body);
    put(&fs, "empty", b"");
    let file = fs.open("file", Access::Write).unwrap();
    file.sync(SyncKind::Data).unwrap();
    let device = match fs.open("file", Access::ReadDevice) {
        Err(error) if error.is_unsupported() => return eprintln!("skipped: no O_DIRECT here"),
        opened => opened.unwrap(),
    };
    assert!(read_to_end(&*device).unwrap() == body);
    let end = body.len();
    for (offset, len) in
        [(0, 1), (1, 1), (4095, 2), (4096, 4096), (5000, 2_000_000), (end - 1, 9), (end, 9)]
    {
        let mut buffer = vec![0; len];
        let count = read_full(&*device, &mut buffer, offset as u64).unwrap();
        let expected = &body[offset..end.min(offset + len)];
        assert!(buffer[..count] == *expected, "{len} bytes at {offset}");
    }
    assert_eq!(device.read_at(&mut [0; 9], 1 << 40).unwrap(), 0);
    assert_eq!(device.read_at(&mut [], 0).unwrap(), 0);
    let empty = fs.open("empty", Access::ReadDevice).unwrap();
    assert_eq!(read_to_end(&*empty).unwrap(), b"");
}

#[test]
fn a_file_system_without_direct_reads_says_unsupported() {
    let fs = OsFs::open(Path::new("/proc/self")).unwrap();
    let refused = fs.open("status", Access::ReadDevice).and_then(|file| file.read_at(&mut [0], 0));
    assert!(refused.unwrap_err().is_unsupported());
}

#[test]
fn shared_locks_share_and_an_exclusive_one_does_not() {
    let (temp, one) = temp();
    let other = OsFs::open(temp.path()).unwrap();
    put(&one, "lock", b"");
    let attempt = |fs: &OsFs, kind| fs.lock("lock", kind, Duration::ZERO).unwrap();

    let shared = attempt(&one, LockKind::Shared).unwrap();
    let too = attempt(&other, LockKind::Shared).unwrap();
    assert!(attempt(&other, LockKind::Exclusive).is_none());
    drop((shared, too));
    let exclusive = attempt(&other, LockKind::Exclusive).unwrap();
    assert!(attempt(&one, LockKind::Shared).is_none());
    assert!(attempt(&one, LockKind::Exclusive).is_none());
    assert!(attempt(&other, LockKind::Exclusive).is_none(), "nor twice by one");
    drop(exclusive);
    assert!(attempt(&one, LockKind::Exclusive).is_some());
    assert!(one.lock("absent", LockKind::Shared, Duration::ZERO).unwrap_err().is_not_found());
}

#[test]
fn a_wait_for_a_lock_ends_in_time_and_leaves_nothing_locked() {
    let (temp, one) = temp();
    let other = OsFs::open(temp.path()).unwrap();
    put(&one, "lock", b"");
    let held = one.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap().unwrap();

    let start = Instant::now();
    let patience = Duration::from_millis(50);
    assert!(other.lock("lock", LockKind::Shared, patience).unwrap().is_none());
    assert!(other.lock("lock", LockKind::Exclusive, patience).unwrap().is_none());
    assert!(start.elapsed() >= 2 * patience);
    assert!(start.elapsed() < Duration::from_secs(30));

    // The helpers that still wait get it now, and give it back.
    drop(held);
    let patience = Duration::from_secs(60);
    assert!(one.lock("lock", LockKind::Exclusive, patience).unwrap().is_some());
}

#[test]
fn who_waits_for_a_lock_gets_it_as_soon_as_it_is_free() {
    let (temp, one) = temp();
    let other = OsFs::open(temp.path()).unwrap();
    put(&one, "lock", b"");
    let held = one.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap().unwrap();
    let (locked, seen) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let lock = other.lock("lock", LockKind::Exclusive, Duration::MAX);
            locked.send(lock.unwrap().is_some()).unwrap();
        });
        assert!(seen.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
        drop(held);
        assert_eq!(seen.recv_timeout(Duration::from_secs(60)), Ok(true));
    });
}

#[test]
fn handles_go_from_thread_to_thread() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<OsFs>();
    is_shared::<FsError>();
    is_shared::<Box<dyn File>>();
    is_shared::<Box<dyn Lock>>();
}

#[test]
fn an_append_goes_to_the_end_and_overwrites_nobody() {
    let (temp, root) = temp();
    put(&root, "log", b"one\n");
    let ours = root.open("log", Access::Append).unwrap();
    let mut theirs = fs::OpenOptions::new().append(true).open(temp.path().join("log")).unwrap();
    theirs.write_all(b"theirs\n").unwrap();
    write_all(&*ours, b"two\n", 0).unwrap();
    assert_eq!(read_to_end(&*ours).unwrap(), b"one\ntheirs\ntwo\n");
}

/// Where stamps are exact: whoever has looked at a directory sees by its stamp that a name has come or gone.
#[test]
fn a_directory_has_another_stamp_after_every_change_of_its_names() {
    let (_temp, fs) = temp();
    fs.make_dir("dir", 0o755).unwrap();
    let stamp = || fs.stat("dir").unwrap().unwrap().stamp;
    if !stamp().exact {
        eprintln!("skipped: times are coarse here");
        return;
    }
    let mut before = stamp();
    let mut is_new = || {
        let now = stamp();
        assert_ne!(now, std::mem::replace(&mut before, now));
    };
    for _ in 0..500 {
        put(&fs, "dir/a", b"");
        is_new();
        fs.rename("dir/a", "dir/b", Rename::NoReplace).unwrap();
        is_new();
        fs.unlink("dir/b").unwrap();
        is_new();
    }
}
