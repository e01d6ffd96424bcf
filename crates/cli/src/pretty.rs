//! JSON text laid out anew, token by token.
//!
//! Only the space between tokens changes. A parser that builds values would reorder keys or turn
//! `1.10` into `1.1`; here every string and every number is copied as it is. The text must be
//! valid JSON, as a `RawValue` is.

/// Two spaces of indentation and a newline at the end: the layout of the library's own writing.
pub(crate) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut tokens = Tokens(json).peekable();
    while let Some(token) = tokens.next() {
        match token {
            "{" | "[" => {
                out.push_str(token);
                if let Some(close) = tokens.next_if(|next| matches!(*next, "}" | "]")) {
                    out.push_str(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            "}" | "]" => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push_str(token);
            }
            "," => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ":" => out.push_str(": "),
            token => out.push_str(token),
        }
    }
    out.push('\n');
    out
}

/// One line, without any space between tokens.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    out.extend(Tokens(json));
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// The tokens of a valid JSON text.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        let bytes = text.as_bytes();
        let len = match bytes.first()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_len(bytes),
            _ => bytes.iter().position(|b| b"{}[],: \t\n\r\"".contains(b)).unwrap_or(bytes.len()),
        };
        let (token, rest) = text.split_at(len);
        self.0 = rest;
        Some(token)
    }
}

/// The length of the string that begins here, with both quotes.
fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'"') => return at + 1,
            // Whatever is escaped is never the closing quote.
            Some(b'\\') => at = (at + 2).min(bytes.len()),
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: &[&str] = &[
        "null",
        " 1 ",
        "[]",
        "{ }",
        "[ [ ], { } ]",
        "{\"b\":1,\"a\":[1,2,{\"c\":null}]}",
        "{\"quote \\\" brace {\":\"back\\\\\",\"x\":\"[,:]\"}",
        "[\"\\\\\",\"\\\\\\\"\",\"ä \\u00e4 {\"]",
        "\"a\\nb\"",
        "[true,false,null,-1.5e300,0.1]",
    ];

    #[test]
    fn the_layout_is_that_of_the_library() {
        for text in EXAMPLES {
            // `Value` sorts keys; a sorted example is compared byte by byte.
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let sorted = serde_json::to_string(&value).unwrap();
            let expected = serde_json::to_string_pretty(&value).unwrap() + "\n";
            assert_eq!(indented(&sorted), expected);
            assert_eq!(compact(&expected), sorted);
        }
    }

    #[test]
    fn the_value_stays_whatever_the_layout() {
        for text in EXAMPLES {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            for laid_out in [indented(text), compact(text), compact(&indented(text))] {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&laid_out).unwrap(), value);
            }
            assert_eq!(indented(&indented(text)), indented(text));
        }
    }

    #[test]
    fn numbers_and_the_order_of_keys_are_kept() {
        let text = r#"{"z":1.10,"a":100000000000000000000000001,"m":1E+2,"b":-0}"#;
        assert_eq!(
            indented(text),
            "{\n  \"z\": 1.10,\n  \"a\": 100000000000000000000000001,\n  \"m\": 1E+2,\n  \"b\": -0\n}\n"
        );
        assert_eq!(compact(&indented(text)), text);
    }
}
