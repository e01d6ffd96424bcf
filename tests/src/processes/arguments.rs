//! `--name value`, and nothing else.

use std::collections::HashMap;

use super::Outcome;

/// The numbers that a scenario was given on the command line.
#[derive(Debug)]
pub struct Arguments(HashMap<String, u64>);

impl Arguments {
    /// Reads `--name value` pairs; only these names are known.
    pub fn parse(arguments: &[String], known: &[&str]) -> Outcome<Self> {
        let mut numbers = HashMap::new();
        for pair in arguments.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} has no value", pair[0]).into());
            };
            let name = name.strip_prefix("--").filter(|name| known.contains(name));
            let name = name.ok_or_else(|| format!("{} is not known here", pair[0]))?;
            let value = value.replace('_', "");
            let value = value.parse().map_err(|_| format!("--{name} needs a number"))?;
            numbers.insert(name.to_owned(), value);
        }
        Ok(Self(numbers))
    }

    /// The number of this name, if it was given.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// The number of this name, or `default`.
    pub fn or(&self, name: &str, default: u64) -> u64 {
        self.get(name).unwrap_or(default)
    }
}
