//! The lists of mutations.
//!
//! ```text
//! === name
//! file: crates/journal/src/append.rs
//! step: C7
//! what: the sync is left out
//! lost: an acknowledged commit goes with the power
//! past: the bug that this brings back, if it does
//! red: guards::a_test; filepact-journal append::tests::another
//! green: instead of `red`, why no test can notice
//! ---
//! text that the file has once, with «the part that is replaced» marked
//! ---
//! what takes its place
//! ```
//!
//! A value goes on in the next line if that is indented. Lines before the first name are comments.

use super::{Find, Mutation};

/// Reads one list.
///
/// # Errors
/// Which line cannot be read, and why.
pub fn parse(area: &str, text: &str) -> Result<Vec<Mutation>, String> {
    let mut mutations = Vec::new();
    let mut rest = text.split("\n=== ");
    rest.next();
    for block in rest {
        let (name, block) = block.split_once('\n').unwrap_or((block, ""));
        let wrong = |reason: &str| format!("`{name}`: {reason}");
        mutations.push(mutation(area, name.trim(), block).map_err(|reason| wrong(&reason))?);
    }
    Ok(mutations)
}

fn mutation(area: &str, name: &str, block: &str) -> Result<Mutation, String> {
    let mut parts = block.split("\n---\n");
    let (Some(head), Some(find), Some(with), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it has no two texts behind lines of `---`".to_owned());
    };
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in head.lines().filter(|line| !line.trim().is_empty()) {
        match (line.strip_prefix(' '), fields.last_mut()) {
            (Some(more), Some((_, value))) => *value = format!("{value} {}", more.trim()),
            _ => {
                let (key, value) = line.split_once(':').ok_or(format!("`{line}` has no key"))?;
                fields.push((key, value.trim().to_owned()));
            }
        }
    }
    let mut take = |key: &str| {
        let at = fields.iter().position(|(other, _)| *other == key)?;
        Some(fields.remove(at).1)
    };
    let red = take("red").unwrap_or_default();
    let red = red.split(';').map(str::trim).filter(|test| !test.is_empty());
    let mutation = Mutation {
        name: name.to_owned(),
        area: area.to_owned(),
        file: take("file").ok_or("it has no `file`")?,
        step: take("step").ok_or("it has no `step`")?,
        what: take("what").ok_or("it has no `what`")?,
        lost: take("lost").ok_or("it has no `lost`")?,
        past: take("past"),
        red: red.map(str::to_owned).collect(),
        green: take("green"),
        find: marked(find)?,
        with: with.trim_end().to_owned(),
    };
    if let Some((key, _)) = fields.first() {
        return Err(format!("nobody knows `{key}`"));
    }
    if mutation.red.is_empty() == mutation.green.is_none() {
        return Err("it goes `red`, or says why it stays `green`".to_owned());
    }
    Ok(mutation)
}

fn marked(text: &str) -> Result<Find, String> {
    let (before, rest) = text.split_once('«').ok_or("no part of its text is marked")?;
    let (part, after) = rest.split_once('»').ok_or("no part of its text is marked")?;
    Ok(Find { before: before.to_owned(), part: part.to_owned(), after: after.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_as_it_is_written() {
        let text = "A comment.\n\n=== one\nfile: a.rs\nstep: C7\nwhat: goes\nlost: all\n  of it\n\
                    red: a::b; c d\n---\n    f(«x»)?;\n---\ny\n\n=== two\nfile: b.rs\nstep: C8\n\
                    what: w\nlost: l\ngreen: never\n---\n«z;»\n---\n\n";
        let read = parse("area", text).expect("it is a list");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].lost.as_str(), read[0].with.as_str()), ("all of it", "y"));
        assert_eq!(read[0].red, ["a::b", "c d"]);
        assert_eq!(read[0].find.before, "    f(");
        assert_eq!((read[1].with.as_str(), read[1].green.as_deref()), ("", Some("never")));
    }

    #[test]
    fn what_is_neither_red_nor_green_is_refused() {
        let text = "\n=== one\nfile: a.rs\nstep: C7\nwhat: goes\nlost: all\n---\n«x»\n---\ny\n";
        parse("area", text).expect_err("it says neither");
    }
}
