//! All mutations of a file at once: each behind a question for its number.
//!
//! Where a statement or an expression `x` is replaced by `y`, the woven file says
//! `if is(7) { y } else { x }`. Mutations of the same part stand in one chain; one that lies within
//! another's part stands in its `else`. A replacement that holds the word `MUTANT` is taken as it
//! stands, with the question in place of that word and what was there in place of `ORIGINAL`: for
//! patterns, which no `if` can be put around.

use super::{Mutation, TRACE, VARIABLE};

/// The file that holds the question, in the copy of the tree alone.
pub const QUESTION_FILE: &str = "crates/fs/src/mutant.rs";

/// The file that names it.
pub const QUESTION_PARENT: &str = "crates/fs/src/lib.rs";

/// What is added to [`QUESTION_PARENT`].
pub const QUESTION_MODULE: &str = "\n#[doc(hidden)]\npub mod mutant;\n";

/// The content of [`QUESTION_FILE`]. Where the second variable names a file, each number that is asked
/// for is written there once.
pub fn question_source() -> String {
    format!(
        r#"
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{{AtomicBool, Ordering}};

static REACHED: [AtomicBool; 4096] = [const {{ AtomicBool::new(false) }}; 4096];

#[must_use]
pub fn is(number: usize) -> bool {{
    static NUMBER: OnceLock<usize> = OnceLock::new();
    static TRACE: OnceLock<Option<std::ffi::OsString>> = OnceLock::new();
    if let Some(path) = TRACE.get_or_init(|| std::env::var_os("{TRACE}"))
        && !REACHED[number].swap(true, Ordering::Relaxed)
    {{
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(format!("{{number}}\n").as_bytes()));
        written.expect("the trace can be written");
    }}
    let asked = || std::env::var("{VARIABLE}").map_or(0, |text| text.parse().expect("a number"));
    *NUMBER.get_or_init(asked) == number
}}
"#
    )
}

/// Where a mutation replaces what with what.
#[derive(Clone, Copy)]
struct Cut<'a> {
    start: usize,
    end: usize,
    number: usize,
    mutation: &'a Mutation,
}

/// The text of `file` with all of these mutations, which are all its own, each with its number.
///
/// # Errors
/// Which of them does not fit.
pub fn weave<'a>(
    file: &str,
    text: &str,
    mutations: impl IntoIterator<Item = (usize, &'a Mutation)>,
) -> Result<String, String> {
    let mut cuts = Vec::new();
    for (number, mutation) in mutations {
        let find = &mutation.find;
        let whole = format!("{}{}{}", find.before, find.part, find.after);
        let mut found = text.match_indices(&whole);
        let (Some((at, _)), None) = (found.next(), found.next()) else {
            let times = text.matches(&whole).count();
            return Err(format!("`{}`: {file} has its text {times} times", mutation.name));
        };
        let start = at + find.before.len();
        cuts.push(Cut { start, end: start + find.part.len(), number, mutation });
    }
    cuts.sort_by_key(|cut| (cut.start, std::cmp::Reverse(cut.end), cut.number));
    let question = match file.starts_with("crates/fs/") {
        true => "crate::mutant::is",
        false => "filepact_fs::mutant::is",
    };
    weave_part(question, text, (0, text.len()), &cuts)
}

fn weave_part(
    question: &str,
    text: &str,
    (start, end): (usize, usize),
    mut cuts: &[Cut<'_>],
) -> Result<String, String> {
    let mut woven = String::new();
    let mut at = start;
    while let Some(first) = cuts.first() {
        let of_first = |cut: &Cut<'_>| (cut.start, cut.end) == (first.start, first.end);
        let same = cuts.iter().take_while(|cut| of_first(cut)).count();
        let within = cuts[same..].iter().take_while(|cut| cut.start < first.end).count();
        let (same, rest) = cuts.split_at(same);
        let (within, rest) = rest.split_at(within);
        if let Some(torn) = within.iter().find(|cut| cut.end > first.end) {
            let (one, other) = (&first.mutation.name, &torn.mutation.name);
            return Err(format!("`{one}` and `{other}` overlap"));
        }
        for (at, cut) in same.iter().enumerate() {
            let with = &cut.mutation.with;
            if let Some(hidden) = same[..at].iter().chain(within).next()
                && with.contains("MUTANT")
                && !with.contains("ORIGINAL")
            {
                let (one, other) = (&cut.mutation.name, &hidden.mutation.name);
                return Err(format!("`{one}` hides `{other}`: it has no ORIGINAL"));
            }
        }
        woven.push_str(&text[at..first.start]);
        let original = weave_part(question, text, (first.start, first.end), within)?;
        woven.push_str(&chain(question, &original, same));
        (at, cuts) = (first.end, rest);
    }
    woven.push_str(&text[at..end]);
    Ok(woven)
}

/// What stands for one part.
fn chain(question: &str, original: &str, cuts: &[Cut<'_>]) -> String {
    let mut woven = original.to_owned();
    for Cut { number, mutation, .. } in cuts {
        let asks = format!("{question}({number})");
        let (with, part) = (&mutation.with, mutation.find.part.trim());
        woven = if with.contains("MUTANT") {
            with.replace("MUTANT", &asks).replace("ORIGINAL", &woven)
        } else if part.is_empty() || part.ends_with([';', '}']) {
            format!("if {asks} {{ {with} }} else {{ {woven} }}")
        } else {
            format!("(if {asks} {{ {with} }} else {{ {woven} }})")
        };
    }
    woven
}

#[cfg(test)]
mod tests {
    use super::super::Find;
    use super::*;

    fn mutation(before: &str, part: &str, after: &str, with: &str) -> Mutation {
        let find = Find { before: before.into(), part: part.into(), after: after.into() };
        let name = format!("{before}{part}{after}");
        let (area, file, step) = (String::new(), "crates/x.rs".to_owned(), String::new());
        let (what, lost, past, red, green) = (String::new(), String::new(), None, vec![], None);
        let with = with.to_owned();
        Mutation { name, area, file, step, what, lost, past, red, green, find, with }
    }

    fn woven(text: &str, mutations: &[Mutation]) -> Result<String, String> {
        let woven = weave("crates/x.rs", text, (1..).zip(mutations))?;
        Ok(woven.replace("filepact_fs::mutant::is", "is"))
    }

    #[test]
    fn statements_and_expressions_get_a_question_each() {
        let statement = mutation("", "f()?;", " g", "");
        let expression = mutation("g(", "a && b", ")", "a");
        assert_eq!(
            woven("f()?; g(a && b)", &[statement, expression]).unwrap(),
            "if is(1) {  } else { f()?; } g((if is(2) { a } else { a && b }))"
        );
    }

    #[test]
    fn one_within_another_stands_where_the_other_is_not_in_force() {
        let outer = mutation("", "f(x);", "", "");
        let inner = mutation("f(", "x", ")", "y");
        let expected = "if is(1) {  } else { f((if is(2) { y } else { x })); }";
        assert_eq!(woven("f(x);", &[outer, inner]).unwrap(), expected);
    }

    #[test]
    fn a_pattern_is_written_out() {
        let arm = mutation("", "None =>", "", "None if !MUTANT =>");
        assert_eq!(woven("None => 1,", &[arm]).unwrap(), "None if !is(1) => 1,");
    }

    #[test]
    fn what_is_not_there_once_or_overlaps_is_refused() {
        woven("f(); f();", &[mutation("", "f();", "", "")]).expect_err("twice");
        woven("g();", &[mutation("", "f();", "", "")]).expect_err("not at all");
        let overlapping = [mutation("", "a + b", "", "1"), mutation("", "b + c", "", "2")];
        woven("a + b + c", &overlapping).expect_err("they overlap");
        let hiding = [mutation("", "f(x);", "", "g(MUTANT);"), mutation("f(", "x", ")", "y")];
        woven("f(x);", &hiding).expect_err("the second could never be in force");
    }
}
