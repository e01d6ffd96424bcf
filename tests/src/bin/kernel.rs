//! A real kernel's file systems are shut down in the middle of commits: `kernel --help`.

use std::process::ExitCode;

use filepact_tests::kernel::{Failure, run, supervise, work};

const USAGE: &str = "\
Makes images of real file systems, commits to a store on them, shuts the file systems down in the
middle of it (no flush of pages or log), mounts them again, recovers, and judges what is there.
Needs root, loop devices, and the packages e2fsprogs and xfsprogs.

kernel
  --fs NAMES   some of ext4, xfs and ext4-writeback (ext4,xfs)
  --cuts N     on each (50)
  --seed S     everything but the timing follows from it (another one every time)
  --first N    the number of the first cut (1)
  --size MB    of an image (320)
  --dir DIR    where the images lie meanwhile (beside this program)

Ends with 0 and `ok`; with 1 and the first thing that is wrong; with 2 if it cannot be done here.
Unmounts, detaches and removes what it has made, also when it is interrupted.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let ended = match arguments.split_first() {
        Some((word, rest)) if word == "supervise" => supervise(rest),
        Some((word, rest)) if word == "worker" => {
            work(rest).map_err(|error| Failure::Wrong(error.to_string()))
        }
        _ => run(&arguments),
    };
    let Err(failure) = ended else { return ExitCode::SUCCESS };
    if !matches!(failure, Failure::Told(_)) {
        eprintln!("kernel: {failure}");
    }
    ExitCode::from(match failure {
        Failure::Wrong(_) => 1,
        Failure::Unfit(_) => 2,
        Failure::Told(code) => code,
        Failure::Interrupted => 130,
    })
}
