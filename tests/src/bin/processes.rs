//! Several real processes share a store on a real disk: `processes --help`.

use std::process::ExitCode;

use filepact_tests::processes::{Outcome, four, held, history, plain, storm, sums, work};

const USAGE: &str = "\
Several real processes share a store on a real disk, beside this program.

processes history        records what everybody does and sees, and judges it afterwards
  --ops N                until so many operations have ended (100000)
  --seconds N            or until so much time has passed
  --processes N          (4)
  --threads N            of each process (4)
  --kills N              processes killed on the way (20)

processes plain-readers  reads the documents without filepact while processes commit and are killed
  --reads N              (1000000)
  --threads N            that read (2)
  --kills N              (20)

processes storm          kills and stops processes at every moment, and counts what is left
  --kills N              (300)
  --processes N          (4)
  --threads N            of each process (2)

processes sums           sums all accounts through snapshots, and watches, while processes are killed
  --sums N               (2000)
  --accounts N           (1000)
  --threads N            that sum (2)
  --kills N              (20)

processes held           holds a snapshot over many commits of one process, and looks at what it costs
  --commits N            (1000000)
  --documents N          (1000)
  --threads N            that commit (8)

processes four           four processes with documents of their own, and one, in turns
  --turns N              of each (5)
  --millis N             of each turn (2000)
  --processes N          (4)

Ends with 0 and `ok`, or with 1 and the first thing that is wrong.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((scenario, rest)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(scenario, rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{scenario}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(scenario: &str, rest: &[String]) -> Outcome {
    match scenario {
        "history" => history::run(rest),
        "plain-readers" => plain::run(rest),
        "storm" => storm::run(rest),
        "sums" => sums::run(rest),
        "held" => held::run(rest),
        "four" => four::run(rest),
        "worker" => work(rest),
        other => Err(format!("no scenario has the name {other}; try --help").into()),
    }
}
