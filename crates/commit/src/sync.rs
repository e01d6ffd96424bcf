//! What threads wait with, in one place: the tests of the line build it with locks of their own.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
pub(crate) use std::time::Instant;
