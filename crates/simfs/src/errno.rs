//! What Linux answers when it refuses, as the plain numbers that a fault or an error carries.
#![allow(missing_docs)] // the names are those of errno(3), less their E

pub const PERM: i32 = 1;
pub const NOENT: i32 = 2;
pub const INTR: i32 = 4;
pub const IO: i32 = 5;
pub const BADF: i32 = 9;
pub const AGAIN: i32 = 11;
pub const ACCES: i32 = 13;
pub const BUSY: i32 = 16;
pub const EXIST: i32 = 17;
pub const XDEV: i32 = 18;
pub const NOTDIR: i32 = 20;
pub const ISDIR: i32 = 21;
pub const INVAL: i32 = 22;
pub const MFILE: i32 = 24;
pub const NOSPC: i32 = 28;
pub const ROFS: i32 = 30;
pub const NAMETOOLONG: i32 = 36;
pub const NOTEMPTY: i32 = 39;
pub const LOOP: i32 = 40;
pub const OPNOTSUPP: i32 = 95;
pub const DQUOT: i32 = 122;
