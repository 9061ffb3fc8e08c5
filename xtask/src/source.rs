//! A Rust file as the rules see it: code without comments and literals, test code marked, functions measured.
//!
//! This is no parser. It blanks what is not code and matches braces, which is exact enough for files that rustfmt
//! has formatted, and takes milliseconds for the whole workspace.

use std::ops::Range;

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name.
    pub name: String,
    /// Line of its `fn`, from 1.
    pub first_line: usize,
    /// Line of its closing brace.
    pub last_line: usize,
}

/// The code of a Rust file.
pub(crate) struct Source {
    /// The text with comments, strings and characters blanked, byte for byte as long as the original.
    code: String,
    /// Byte position at which each line begins.
    line_starts: Vec<usize>,
    /// Byte ranges of items under `#[cfg(test)]` or `#[test]`.
    test_ranges: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let code = blank_all_but_code(text);
        let line_starts =
            std::iter::once(0).chain(code.match_indices('\n').map(|(position, _)| position + 1)).collect();
        let test_ranges = test_ranges(&code);
        Self { code, line_starts, test_ranges }
    }

    /// Every line of code with its number, blank where the original has comments or literals.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines that are compiled into the library or program, without test code.
    pub(crate) fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(line, _)| !self.is_test(*line))
    }

    /// Whether a line belongs to an item under `#[cfg(test)]` or `#[test]`.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        let start = self.line_starts.get(line - 1).copied().unwrap_or(self.code.len());
        let end = self.line_starts.get(line).copied().unwrap_or(self.code.len() + 1);
        self.test_ranges.iter().any(|range| range.start < end && start < range.end)
    }

    /// Names of modules declared under `#[cfg(test)]` whose text is in a file of their own.
    pub(crate) fn test_modules_elsewhere(&self) -> Vec<&str> {
        let items = self.test_ranges.iter().filter_map(|range| self.code.get(range.clone()));
        items
            .filter_map(|item| item.strip_suffix(';'))
            .filter_map(|item| item.rsplit_once("mod ").map(|(_, name)| name.trim()))
            .collect()
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let bytes = self.code.as_bytes();
        let mut functions = Vec::new();
        for (position, _) in self.code.match_indices("fn ") {
            if position > 0 && is_identifier_byte(bytes[position - 1]) {
                continue;
            }
            let name: String =
                self.code[position + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let end = item_end(&self.code, position);
            if !name.is_empty() && bytes.get(end - 1) == Some(&b'}') {
                functions.push(Function { name, first_line: self.line_of(position), last_line: self.line_of(end - 1) });
            }
        }
        functions
    }

    fn line_of(&self, position: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= position)
    }
}

/// Whether `word` stands in `line` on its own, not as part of a longer identifier.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(position, _)| {
        let before = line[..position].bytes().next_back();
        let after = line[position + word.len()..].bytes().next();
        let open = |byte: Option<u8>| !byte.is_some_and(is_identifier_byte);
        // A pattern that begins or ends in punctuation carries its own boundary.
        let starts_open = !word.as_bytes().first().is_some_and(|b| is_identifier_byte(*b)) || open(before);
        let ends_open = !word.as_bytes().last().is_some_and(|b| is_identifier_byte(*b)) || open(after);
        starts_open && ends_open
    })
}

fn is_identifier_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn blank_all_but_code(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut position = 0;
    while let Some(first) = text[position..].chars().next() {
        match literal_or_comment_end(text, position) {
            Some(end) => {
                // One space a byte keeps positions, and line breaks keep line numbers.
                blanked.extend(text[position..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
                position = end;
            }
            None => {
                blanked.push(first);
                position += first.len_utf8();
            }
        }
    }
    blanked
}

/// Where the comment or literal that begins at `position` ends; `None` if none begins there.
fn literal_or_comment_end(text: &str, position: usize) -> Option<usize> {
    let rest = &text[position..];
    let end_of = |length: Option<usize>| length.map_or(text.len(), |length| position + length);
    match rest.as_bytes()[0] {
        b'/' if rest.starts_with("//") => Some(end_of(rest.find('\n'))),
        b'/' if rest.starts_with("/*") => Some(end_of(block_comment_length(rest))),
        b'"' => Some(end_of(string_length(rest))),
        b'\'' => character_length(rest).map(|length| position + length),
        b'r' | b'b' | b'c' if !text[..position].bytes().next_back().is_some_and(is_identifier_byte) => {
            let (hashes, body) = raw_string_opening(rest)?;
            let close = format!("\"{}", "#".repeat(hashes));
            Some(end_of(rest[body..].find(&close).map(|length| body + length + close.len())))
        }
        _ => None,
    }
}

fn block_comment_length(rest: &str) -> Option<usize> {
    let (mut depth, mut position) = (0_usize, 0);
    while position < rest.len() {
        let bytes = &rest.as_bytes()[position..];
        if bytes.starts_with(b"/*") {
            depth += 1;
            position += 2;
        } else if bytes.starts_with(b"*/") {
            depth -= 1;
            position += 2;
            if depth == 0 {
                return Some(position);
            }
        } else {
            position += 1;
        }
    }
    None
}

fn string_length(rest: &str) -> Option<usize> {
    let mut escaped = false;
    rest.bytes().enumerate().skip(1).find_map(|(index, byte)| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends.then_some(index + 1)
    })
}

/// Length of a character literal; `None` for a lifetime.
fn character_length(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        // The escaped character itself may be a quote: look for the closing one after it.
        let (after_escape, escaped) = characters.next()?;
        let body = after_escape + escaped.len_utf8();
        return rest[body..].find('\'').map(|length| body + length + 1);
    }
    characters.next().filter(|(_, c)| *c == '\'').map(|(index, _)| index + 1)
}

/// For `r"`, `br##"` and the like: the number of hashes and where the content begins.
fn raw_string_opening(rest: &str) -> Option<(usize, usize)> {
    let after_prefix = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let hashes = after_prefix.bytes().take_while(|byte| *byte == b'#').count();
    after_prefix[hashes..].starts_with('"').then(|| (hashes, rest.len() - after_prefix.len() + hashes + 1))
}

fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let attributes = ["#[cfg(test)]", "#[cfg(all(test", "#[test]"];
    let starts = attributes.iter().flat_map(|attribute| code.match_indices(attribute));
    starts.map(|(start, _)| start..item_end(code, start)).collect()
}

/// The end of the item that begins at `start`: behind its closing brace, or behind its semicolon if it has no body.
fn item_end(code: &str, start: usize) -> usize {
    let (mut brackets, mut braces) = (0_i32, 0_i32);
    for (index, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces <= 0 && brackets <= 0 {
                    return index + 1;
                }
            }
            b';' if brackets == 0 && braces == 0 => return index + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new(text).code
    }

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        for (text, expected) in [
            ("a // print", "a         "),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"x("a \" b")"#, "x(        )"),
            ("x(r#\"a \" b\"#)", "x(          )"),
            ("x(br\"{\")y", "x(     )y"),
            ("'{' 'a' '\\'' '\\u{1F}' &'a T", "                      &'a T"),
            ("r#type 'static", "r#type 'static"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn letters_outside_ascii_keep_positions() {
        let text = "let η = '∑'; // λ\nnext";
        assert_eq!(code(text).len(), text.len());
        assert_eq!(Source::new(text).lines().last(), Some((2, "next")));
    }

    #[test]
    fn test_items_are_marked_and_nothing_else() {
        let source = Source::new("fn a() {}\n#[cfg(test)]\nmod tests {\n    x;\n}\nfn b() {}\n#[test]\nfn c() {\n}\n");
        let tests: Vec<usize> = (1..=9).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8, 9]);
    }

    #[test]
    fn test_modules_in_other_files_are_named() {
        let source = Source::new("mod a;\n#[cfg(test)]\nmod twin;\n#[cfg(test)]\nmod tests {}\n");
        assert_eq!(source.test_modules_elsewhere(), ["twin"]);
    }

    #[test]
    fn functions_end_at_their_own_brace() {
        let text = "trait T { fn none(&self) -> [u8; 4]; }\nfn one(f: fn(u8)) {\n    if a { \"}\" }\n}\nfn two() {}\n";
        let expected = [("one", 2, 4), ("two", 5, 5)].map(|(name, first_line, last_line)| Function {
            name: name.to_owned(),
            first_line,
            last_line,
        });
        assert_eq!(Source::new(text).functions(), expected);
    }

    #[test]
    fn words_have_boundaries() {
        assert!(has_word("use Instant;", "Instant"));
        assert!(!has_word("Instantaneous", "Instant"));
        assert!(!has_word("reprintln!(", "println!"));
        assert!(has_word("x.unwrap()", ".unwrap()"));
    }
}
