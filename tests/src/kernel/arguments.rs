//! What was asked for.

use std::path::PathBuf;
use std::{env, fmt};

use crate::processes::Outcome;

/// File systems that the kernel can shut down. (btrfs refuses the call.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Ext4,
    /// Blocks of 1 KiB, and nothing keeps names from being durable before the data under them.
    Ext4Writeback,
    Xfs,
}

impl Kind {
    /// What `mount` calls it.
    pub(super) fn file_system(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Ext4Writeback => "ext4",
            Self::Xfs => "xfs",
        }
    }

    pub(super) fn mkfs_options(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["-q", "-b", "4096"],
            Self::Ext4Writeback => &["-q", "-b", "1024"],
            Self::Xfs => &["-q"],
        }
    }

    pub(super) fn mount_options(self) -> &'static str {
        match self {
            Self::Ext4Writeback => "data=writeback",
            Self::Ext4 | Self::Xfs => "defaults",
        }
    }

    /// The smallest image that its `mkfs` takes.
    fn least_megabytes(self) -> u64 {
        match self {
            Self::Ext4 | Self::Ext4Writeback => 64,
            Self::Xfs => 300,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Ext4Writeback => "ext4-writeback",
            Self::Xfs => "xfs",
        })
    }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// One after the other.
    pub file_systems: Vec<Kind>,
    /// Cuts on each.
    pub cuts: u64,
    /// The number of the first one, from 1: what a cut does follows from the seed and its number.
    pub first: u64,
    /// Everything but the timing follows from it.
    pub seed: u64,
    /// The size of an image.
    pub megabytes: u64,
    /// Where the images lie while they are in use, and what is kept of a failure.
    pub dir: PathBuf,
}

impl Settings {
    /// Reads `--name value` pairs.
    pub fn parse(arguments: &[String], random_seed: u64) -> Outcome<Self> {
        let mut settings = Self {
            file_systems: vec![Kind::Ext4, Kind::Xfs],
            cuts: 50,
            first: 1,
            seed: random_seed,
            megabytes: 320,
            dir: beside_the_program()?,
        };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} has no value", pair[0]).into());
            };
            match name.as_str() {
                "--fs" => settings.file_systems = kinds(value)?,
                "--cuts" => settings.cuts = number(name, value)?,
                "--first" => settings.first = number(name, value)?,
                "--seed" => settings.seed = number(name, value)?,
                "--size" => settings.megabytes = number(name, value)?,
                "--dir" => settings.dir = PathBuf::from(value),
                other => return Err(format!("{other} is not known here; try --help").into()),
            }
        }
        for kind in &settings.file_systems {
            let least = kind.least_megabytes();
            if settings.megabytes < least {
                return Err(format!("--size: {kind} needs {least} MB or more").into());
            }
        }
        Ok(settings)
    }

    /// The same run again, as words; `cuts` of them from `first` on, on one of the file systems.
    pub fn words(&self, kind: Kind, first: u64, cuts: u64) -> String {
        let Self { seed, megabytes, .. } = self;
        format!("--fs {kind} --seed {seed} --first {first} --cuts {cuts} --size {megabytes}")
    }
}

/// On a real disk, unlike the folder for temporary files.
fn beside_the_program() -> Outcome<PathBuf> {
    let program = env::current_exe()?;
    Ok(program.parent().ok_or("the program lies in no folder")?.to_owned())
}

fn number(name: &str, value: &str) -> Outcome<u64> {
    value.replace('_', "").parse().map_err(|_| format!("{name} needs a number").into())
}

fn kinds(value: &str) -> Outcome<Vec<Kind>> {
    let kind = |name: &str| match name {
        "ext4" => Ok(Kind::Ext4),
        "ext4-writeback" => Ok(Kind::Ext4Writeback),
        "xfs" => Ok(Kind::Xfs),
        "btrfs" => Err("--fs: btrfs does not know the shutdown call".into()),
        other => {
            Err(format!("--fs: no file system that can be shut down has the name {other}").into())
        }
    };
    value.split(',').map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Settings, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Settings::parse(&words, 7).map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_both_file_systems_are_cut() {
        let settings = parsed("").unwrap();
        assert_eq!(settings.file_systems, [Kind::Ext4, Kind::Xfs]);
        assert_eq!((settings.cuts, settings.first, settings.seed), (50, 1, 7));
    }

    #[test]
    fn the_words_of_a_run_are_the_run() {
        let settings = parsed("--fs xfs --cuts 1_000 --seed 9 --size 400").unwrap();
        let again = parsed(&settings.words(Kind::Xfs, 1, 1000)).unwrap();
        assert_eq!(settings, again);
    }

    #[test]
    fn what_cannot_be_done_is_refused_in_words() {
        for (words, says) in [
            ("--cuts", "--cuts has no value"),
            ("--cuts many", "--cuts needs a number"),
            ("--kills 3", "--kills is not known here"),
            ("--fs btrfs", "does not know the shutdown call"),
            ("--fs ext4,tmpfs", "has the name tmpfs"),
            ("--fs ext4,", "has the name "),
            ("--size 100", "xfs needs 300 MB"),
        ] {
            let error = parsed(words).unwrap_err();
            assert!(error.contains(says), "{words}: {error}");
        }
    }
}
