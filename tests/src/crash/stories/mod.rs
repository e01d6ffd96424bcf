//! The stories, family by family.

pub mod births;
pub mod edits;
pub mod healing;
pub mod moment;
pub mod spares;
pub mod transactions;
