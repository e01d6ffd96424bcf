//! The tests of filepact that cross crates live in `tests/`.
