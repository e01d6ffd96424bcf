//! What a file keeps beside its content: mode, owner, extended attributes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fd::AsFd;
use rustix::fs::{Gid, Mode, Stat, Uid, XattrFlags};
use rustix::fs::{fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat};
use rustix::io::Errno;

use crate::Attrs;

pub(crate) fn read(file: impl AsFd) -> io::Result<Attrs> {
    let file = file.as_fd();
    let stat = fstat(file)?;
    let xattrs = extended(file)?;
    Ok(Attrs { mode: mode(&stat), uid: stat.st_uid, gid: stat.st_gid, xattrs })
}

/// The extended ones, sorted.
pub(crate) fn extended(file: impl AsFd) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let file = file.as_fd();
    let mut xattrs = Vec::new();
    for name in names(file)? {
        match grow(|room| fgetxattr(file, &*name, room)) {
            Ok(value) => xattrs.push((name, value)),
            // Gone since it was listed, or listed without being there to get.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// The order matters: a change of owner clears setuid, setgid and file capabilities, and an ACL
/// changes the mode. What stands already is not written, since it may be forbidden to write it.
pub(crate) fn write(file: impl AsFd, wanted: &Attrs) -> io::Result<()> {
    let file = file.as_fd();
    let mut present = read(file)?;

    let uid = (present.uid != wanted.uid).then(|| Uid::from_raw(wanted.uid));
    let gid = (present.gid != wanted.gid).then(|| Gid::from_raw(wanted.gid));
    if uid.is_some() || gid.is_some() {
        fchown(file, uid, gid)?;
        present = read(file)?;
    }
    let mut changed = false;
    for (name, value) in &wanted.xattrs {
        if value_of(&present, name) != Some(value) {
            fsetxattr(file, name, value, XattrFlags::empty())?;
            changed = true;
        }
    }
    for (name, _) in &present.xattrs {
        if value_of(wanted, name).is_none() {
            changed = true;
            match fremovexattr(file, name) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    // An ACL that has come or gone has changed it.
    let now = if changed { mode(&fstat(file)?) } else { present.mode };
    if now != wanted.mode {
        fchmod(file, Mode::from_raw_mode(wanted.mode))?;
        // The kernel drops setgid in silence where the caller is not of the group.
        if wanted.mode & 0o2000 != 0 && mode(&fstat(file)?) != wanted.mode {
            return Err(Errno::PERM.into());
        }
    }
    Ok(())
}

fn value_of<'a>(attrs: &'a Attrs, name: &OsStr) -> Option<&'a Vec<u8>> {
    attrs.xattrs.iter().find_map(|(present, value)| (present == name).then_some(value))
}

fn mode(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

fn names(file: impl AsFd) -> io::Result<Vec<OsString>> {
    match grow(|room| flistxattr(&file, room)) {
        Ok(list) => Ok(list
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| OsStr::from_bytes(name).to_owned())
            .collect()),
        // A file system without extended attributes has none to keep.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Vec::new()),
        Err(errno) => Err(errno.into()),
    }
}

/// Calls with more and more room, until the answer fits.
fn grow(
    mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    // The kernel's own limit on a value, and on a list of names.
    const LIMIT_BYTES: usize = 65536;
    let mut room = vec![0; 256];
    loop {
        match call(&mut room) {
            Ok(len) => {
                room.truncate(len);
                return Ok(room);
            }
            Err(Errno::RANGE) if room.len() < LIMIT_BYTES => room.resize(room.len() * 4, 0),
            Err(errno) => return Err(errno),
        }
    }
}
