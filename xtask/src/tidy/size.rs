//! Files and functions of a size that can be read at one sitting.

use super::{Finding, Rule};
use crate::source::Function;
use crate::tree::Tree;

const MAX_FILE_LINES: usize = 500;
const MAX_TEST_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 60;
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The comment that allows a long function; the reason stands behind it.
const LONG_BECAUSE: &str = "// tidy: long because ";

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "file-length",
        reason: "A file holds one idea, and one idea fits",
        remedy: "Split it where the subject changes",
        check: file_length,
    },
    Rule {
        name: "function-length",
        reason: "A function is read on one screen",
        remedy: "Give its parts names of their own, or write `// tidy: long because ...` above it",
        check: function_length,
    },
    Rule {
        name: "file-size",
        reason: "Everyone who clones the project carries every file for ever",
        remedy: "Make it smaller, compress it, or fetch it with a checksum when it is needed",
        check: file_size,
    },
];

fn file_length(tree: &Tree) -> Vec<Finding> {
    let finding = |path: &str, num_lines: usize| {
        let most = if tree.is_test_file(path) { MAX_TEST_FILE_LINES } else { MAX_FILE_LINES };
        (num_lines > most).then(|| Finding::new(path, 1, format!("{num_lines} lines, at most {most} are allowed")))
    };
    tree.rust().filter_map(|(file, source)| finding(&file.path, source.lines().count())).collect()
}

fn function_length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tree.rust().filter(|(file, _)| !tree.is_test_file(&file.path)) {
        let text: Vec<&str> = file.text.as_deref().unwrap_or_default().lines().collect();
        for Function { name, first_line, last_line } in source.functions() {
            let num_lines = last_line + 1 - first_line;
            let is_excused = source.is_test(first_line) || says_why(&text[..first_line - 1]);
            if num_lines > MAX_FUNCTION_LINES && !is_excused {
                let what = format!("`{name}` has {num_lines} lines, at most {MAX_FUNCTION_LINES} are allowed");
                findings.push(Finding::new(&file.path, first_line, what));
            }
        }
    }
    findings
}

/// Whether the comments and attributes right above a function hold the reason for its length.
fn says_why(lines_above: &[&str]) -> bool {
    let is_header = |line: &&str| line.starts_with("//") || line.starts_with("#[");
    let mut header = lines_above.iter().rev().map(|line| line.trim()).take_while(is_header);
    header.any(|line| line.strip_prefix(LONG_BECAUSE).is_some_and(|reason| !reason.trim().is_empty()))
}

fn file_size(tree: &Tree) -> Vec<Finding> {
    let large = tree.files().iter().filter(|file| file.size > MAX_FILE_BYTES);
    large
        .map(|file| {
            let what = format!("{} bytes, at most {MAX_FILE_BYTES} are allowed", file.size);
            Finding::new(&file.path, 1, what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    #[test]
    fn long_files_are_found_and_tests_may_be_longer() {
        let lines = |count: usize| "//\n".repeat(count);
        let (at_limit, above, above_test) = (lines(500), lines(501), lines(601));
        let files = [
            ("crates/a/src/good.rs", at_limit.as_str()),
            ("crates/a/src/bad.rs", &above),
            ("crates/a/tests/good.rs", &above),
            ("crates/a/tests/bad.rs", &above_test),
            ("README.md", &above_test),
        ];
        assert_eq!(places(file_length, &files), ["crates/a/src/bad.rs:1", "crates/a/tests/bad.rs:1"]);
    }

    #[test]
    fn long_functions_are_found_unless_they_say_why_or_are_tests() {
        let function = |header: &str, inner: usize| format!("{header}fn f() {{\n{}}}\n", "    x();\n".repeat(inner));
        for (text, expected) in [
            (function("", 58), vec![]),
            (function("", 59), vec!["a.rs:1"]),
            (function("/// Doc.\npub async ", 59), vec!["a.rs:2"]),
            (function("// tidy: long because a table is read whole\n#[inline]\npub ", 59), vec![]),
            (function("// tidy: long because \n", 59), vec!["a.rs:2"]),
            (function("// tidy: long because of another\n\n", 59), vec!["a.rs:3"]),
            (function("#[test]\n", 59), vec![]),
            (format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function("", 59)), vec![]),
        ] {
            assert_eq!(places(function_length, &[("a.rs", &text)]), expected, "{text}");
        }
        assert!(places(function_length, &[("crates/a/benches/b.rs", &function("", 59))]).is_empty());
    }

    #[test]
    fn large_files_are_found_text_or_not() {
        let large = "x".repeat(1024 * 1024 + 1);
        assert_eq!(places(file_size, &[("a", &large), ("b", &large[1..])]), ["a:1"]);
    }
}
