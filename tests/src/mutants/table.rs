//! `docs/mutations.md`, written from what the tests said.

use std::fmt::Write;

use super::Mutation;
use super::run::Outcome;

/// What the table says before its rows.
const HEAD: &str = "\
# Mutations

Each sync, each check and each order of the protocol is taken out, one at a time, and the tests run:
which one goes red? What stays green is a test that is missing, or a line that nothing needs; where
it stays all the same, its row says why. This page is written by

```
cargo run -p filepact-tests --bin mutants -- --write-table
```

which weaves all mutations of `tests/mutants/*.txt` into a copy of the tree, builds it once, and
runs the tests with one of them in force at a time. It fails if one that should go red stays green,
or the other way round, or if its text is not in its file exactly once; the last is checked by
`cargo test` as well. `--only NAME` runs one, `--list` names all.

";

/// The whole page.
pub fn page(rows: &[(&Mutation, &Outcome)]) -> String {
    let mut page = HEAD.to_owned();
    let red = rows.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Red(_))).count();
    let green = rows.len() - red;
    let _ = writeln!(page, "{} mutations: {red} go red, {green} stay green.\n", rows.len());
    past(&mut page, rows);
    let mut areas: Vec<&str> = rows.iter().map(|(mutation, _)| mutation.area.as_str()).collect();
    areas.dedup();
    for area in areas {
        let _ = writeln!(page, "## {}\n", title(area));
        page.push_str("| mutation | step | what is taken out | what goes wrong | red |\n");
        page.push_str("| --- | --- | --- | --- | --- |\n");
        for (mutation, outcome) in rows.iter().filter(|(mutation, _)| mutation.area == area) {
            if let Outcome::Red(tests) = outcome {
                let Mutation { name, step, what, lost, .. } = mutation;
                let tests = listed(tests);
                let _ = writeln!(page, "| `{name}` | {step} | {what} | {lost} | {tests} |");
            }
        }
        page.push('\n');
    }
    stays_green(&mut page, rows);
    page
}

fn past(page: &mut String, rows: &[(&Mutation, &Outcome)]) {
    page.push_str("## Past bugs, brought back\n\n| bug | mutation | red |\n| --- | --- | --- |\n");
    for (mutation, outcome) in rows {
        if let (Some(past), Outcome::Red(tests)) = (&mutation.past, outcome) {
            let _ = writeln!(page, "| {past} | `{}` | {} |", mutation.name, listed(tests));
        }
    }
    page.push('\n');
}

fn stays_green(page: &mut String, rows: &[(&Mutation, &Outcome)]) {
    page.push_str("## What stays green, and why\n\n");
    page.push_str("| mutation | step | what is taken out | why no test can tell | tests |\n");
    page.push_str("| --- | --- | --- | --- | --- |\n");
    for (mutation, outcome) in rows {
        if let Outcome::Green(tests) = outcome {
            let Mutation { name, step, what, green, .. } = mutation;
            let why = green.as_deref().unwrap_or("**a test is missing**");
            let _ = writeln!(page, "| `{name}` | {step} | {what} | {why} | {tests} |");
        }
    }
}

fn listed(tests: &[String]) -> String {
    tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join(", ")
}

/// The name of a list without the number that orders it.
fn title(area: &str) -> &str {
    area.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-')
}
