use std::fs;
use std::path::Path;

use filepact_journal::{Hash, Scan, ScanError, Tail, scan};

use super::makers::framed;

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of the example, each with its newline.
fn example() -> String {
    let page = source("docs/reference/format.md");
    let (_, example) = page.split_once("## A worked example").expect("the page has one");
    let (_, lines) = example.split_once("```json\n").expect("its lines are set as JSON");
    lines.split_once("```").expect("the block ends").0.to_owned()
}

fn scan_one(segment: &[u8], synced: Option<u64>) -> Result<Scan, ScanError> {
    scan(&[(1, segment)], synced)
}

#[test]
fn the_worked_example_is_what_the_page_says() {
    let page = source("docs/reference/format.md");
    let mut chain = "0".repeat(32);
    let mut hashed = String::new();
    let (mut chains, mut bytes) = (0, Vec::new());
    for (number, line) in example().lines().enumerate() {
        let rec = &line[r#"{"crc":"00000000","rec":"#.len()..line.len() - 1];
        assert_eq!(format!("{line}\n"), framed(rec), "line {}: its CRC", number + 1);
        bytes.extend_from_slice(format!("{line}\n").as_bytes());
        if number == 0 {
            assert!(rec.contains(&format!("\"chain\":\"{chain}\"")), "the header: {rec}");
            continue;
        }
        let (rec, written) = match rec.split_once(",\"chain\":\"") {
            Some((rest, written)) => (format!("{rest}}}"), written.strip_suffix("\"}")),
            None => (rec.to_owned(), None),
        };
        hashed += &format!("{rec}\n");
        if let Some(written) = written {
            let found = Hash::of(format!("{chain}{hashed}").as_bytes()).to_string();
            assert_eq!(found, written, "line {}: its chain", number + 1);
            chain = found;
            hashed.clear();
            chains += 1;
        }
    }
    assert_eq!(chains, 3, "the example has three groups");
    bytes.resize(64 * 1024, b'\n');
    let scan = scan_one(&bytes, Some(5)).expect("it is sound");
    let groups: Vec<_> = scan.groups.iter().map(|group| (group.first, group.last)).collect();
    assert_eq!(groups, [(1, 1), (2, 4), (5, 5)]);
    assert_eq!((scan.checkpoint, scan.tail, scan.end.chain().to_string()), (4, Tail::Clean, chain));
    // What the page says of changed lines.
    let lines: Vec<_> = example().lines().map(str::len).collect();
    for (number, len) in lines.iter().enumerate() {
        let mut changed = bytes.clone();
        changed[lines[..number].iter().sum::<usize>() + number + len / 2] ^= 1;
        let last = number + 1 == lines.len();
        let alone = scan_one(&changed, None);
        assert_eq!(alone.is_ok(), last, "line {}: {alone:?}", number + 1);
        assert!(scan_one(&changed, Some(5)).is_err(), "line {}", number + 1);
    }
    // And it is not made up: it is a file of a fixture.
    let fixture = super::load("closed");
    assert!(fixture[".filepact/journal/00000000000000000001.jsonl"] == bytes, "of `closed`");
    assert!(page.contains("`checkpoint` 4"), "the page says what a scan finds");
}

/// Every variant of `Error`, in order.
fn variants() -> Vec<String> {
    let source = source("crates/store/src/error.rs");
    let (_, rest) = source.split_once("pub enum Error {\n").expect("it is there");
    let (body, _) = rest.split_once("\n}\n").expect("it ends");
    let names = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names = names.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    names.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

#[test]
fn every_error_and_every_exit_code_is_on_its_page() {
    let page = source("docs/reference/errors.md");
    let table = source("crates/cli/src/failure.rs");
    let mut codes = Vec::new();
    for line in table.lines() {
        if let Some((name, code)) = line
            .strip_prefix("pub(crate) const ")
            .and_then(|line| line.strip_suffix(';')?.split_once(": u8 = "))
        {
            assert!(
                page.contains(&format!("\n| {code} | ")),
                "exit code {code} is not on the page"
            );
            codes.push((name, code));
        }
    }
    assert_eq!(codes.len(), 9, "{codes:?}");
    let variants = variants();
    assert!(variants.len() >= 18, "{variants:?}");
    for variant in variants {
        let row = table.lines().map(str::trim).find(|line| {
            let rest = line.strip_prefix(&format!("Error::{variant}"));
            rest.is_some_and(|rest| rest.starts_with([' ', '(']) && rest.contains("=> (\""))
        });
        let row = row.unwrap_or_else(|| panic!("`{variant}` is not in the table of exit codes"));
        let (_, answer) = row.split_once("=> (\"").expect("it was looked for");
        let (kind, name) = answer.split_once("\", ").expect("a word and a code");
        let name = name.trim_end_matches("),");
        let code = codes.iter().find(|code| code.0 == name).expect("a constant of the table").1;
        let expected = format!("\n| `{variant}` | `{kind}` | {code} | ");
        assert!(page.contains(&expected), "this row is not on the page: {expected}");
    }
}

/// Every line of code on the page of patterns is a line of the program that the section names.
#[test]
fn the_page_of_patterns_quotes_what_runs() {
    let code = |line: &str| line.split("//").next().unwrap_or_default().trim().to_owned();
    let page = source("docs/patterns.md");
    let mut quoted = 0;
    for section in page.split("\n## ").skip(1) {
        let Some((_, link)) = section.split_once("(../") else { continue };
        let (path, _) = link.split_once(')').expect("the link ends");
        let Some(program) = path.ends_with(".rs").then(|| source(path)) else { continue };
        let lines: Vec<String> = program.lines().map(code).collect();
        for block in section.split("```rust\n").skip(1) {
            let (block, _) = block.split_once("```").expect("the block ends");
            for line in block.lines().map(code).filter(|line| !line.is_empty()) {
                assert!(lines.contains(&line), "{path} has no line `{line}`");
                quoted += 1;
            }
        }
    }
    assert!(quoted > 40, "only {quoted} lines are quoted");
}
