//! What the disk and its file system may do, by name.

use filepact_simfs::{Grain, Profile};

/// A profile of the simulated file system.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name in options and counts.
    pub name: &'static str,
    /// What it does.
    pub profile: Profile,
}

/// All of them.
pub fn all() -> Vec<Named> {
    vec![
        Named { name: "strict", profile: Profile::Strict(Grain::Page) },
        Named { name: "sector", profile: Profile::Strict(Grain::Sector) },
    ]
}

/// The one of this name.
pub fn named(name: &str) -> Option<Named> {
    all().into_iter().find(|profile| profile.name == name)
}
