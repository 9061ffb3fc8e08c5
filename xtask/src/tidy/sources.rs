//! What Rust sources must not contain.

use super::{Finding, Rule};
use crate::source::{Source, has_word};
use crate::tree::{File, Tree};

/// The module that names devices and backends: a file, or a folder of the same name.
const BACKEND_MODULE: &str = "crates/stepscope/src/backend";

/// The crates that compute and do nothing else.
const PURE_CRATES: [&str; 2] = ["crates/stepscope-spectral/src/", "crates/stepscope-theory/src/"];

/// Files, clocks, processes and generators that nobody seeded.
const IMPURE: [&str; 11] = [
    "std::fs",
    "std::io",
    "std::net",
    "std::time",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant",
    "rand::rng",
    "thread_rng",
    "from_os_rng",
];

const PRINTING: [&str; 5] = ["println!", "print!", "eprintln!", "eprint!", "dbg!"];
const PANICKING: [&str; 3] = [".unwrap()", ".expect(", "panic!"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "one-backend-file",
        reason: "Inside stepscope one module names devices and backends (ARCHITECTURE.md, invariant 1)",
        remedy: "Ask crates/stepscope/src/backend/ for the device, or take it as an argument",
        check: one_backend_file,
    },
    Rule {
        name: "pure-theory",
        reason: "Theory and spectral code does no I/O, reads no clock and takes its random generator \
                 (ARCHITECTURE.md, invariant 2)",
        remedy: "Let the caller read, time and seed, and pass the result in",
        check: pure_theory,
    },
    Rule {
        name: "no-printing",
        reason: "Libraries emit events and return values; only the program prints (ARCHITECTURE.md, invariant 3)",
        remedy: "Return it, or emit it as an event",
        check: |tree| forbidden(tree, &PRINTING),
    },
    Rule {
        name: "no-panicking",
        reason: "Failure is a value with advice, libraries never panic on input (ARCHITECTURE.md, invariant 5)",
        remedy: "Return an error variant that says what was got, what was expected and what to do",
        check: |tree| forbidden(tree, &PANICKING),
    },
    Rule {
        name: "no-unfinished-code",
        reason: "What is on the main branch is finished, and every test runs",
        remedy: "Finish it or take it out",
        check: unfinished_code,
    },
];

/// One finding for every pattern that stands as a word in one of the lines.
fn find<'source>(file: &File, lines: impl Iterator<Item = (usize, &'source str)>, patterns: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, code) in lines {
        let here = patterns.iter().filter(|pattern| has_word(code, pattern));
        findings.extend(here.map(|pattern| Finding::new(&file.path, line, format!("`{pattern}`"))));
    }
    findings
}

fn forbidden(tree: &Tree, patterns: &[&str]) -> Vec<Finding> {
    tree.library_sources().flat_map(|(file, source)| find(file, source.shipped_lines(), patterns)).collect()
}

fn one_backend_file(tree: &Tree) -> Vec<Finding> {
    let is_backend =
        |path: &str| path.strip_prefix(BACKEND_MODULE).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    let others =
        tree.rust().filter(|(file, _)| file.path.starts_with("crates/stepscope/src/") && !is_backend(&file.path));
    others.flat_map(|(file, source)| device_names(file, source)).collect()
}

fn device_names(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, code) in source.lines() {
        // `flex` is looked for inside names too: burn_flex, FlexDevice.
        let names_backend = code.to_ascii_lowercase().replace("flexib", "").contains("flex");
        let makes_device = code.contains("Device::");
        for (_, name) in [(names_backend, "flex"), (makes_device, "Device::")].iter().filter(|(found, _)| *found) {
            findings.push(Finding::new(&file.path, line, format!("`{name}` outside {BACKEND_MODULE}.rs")));
        }
    }
    findings
}

fn pure_theory(tree: &Tree) -> Vec<Finding> {
    let is_pure = |file: &File| PURE_CRATES.iter().any(|folder| file.path.starts_with(folder));
    let mut findings = Vec::new();
    for (file, source) in tree.library_sources().filter(|(file, _)| is_pure(file)) {
        findings.extend(find(file, source.shipped_lines(), &IMPURE));
        findings.extend(grouped_imports(file, source));
    }
    findings
}

/// Impure modules named inside `use std::{...}`, where no pattern sees them whole.
fn grouped_imports(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_inside = false;
    for (line, code) in source.shipped_lines() {
        is_inside |= code.contains("use std::{");
        if !is_inside {
            continue;
        }
        for module in IMPURE.iter().filter_map(|pattern| pattern.strip_prefix("std::")) {
            if has_word(code, module) {
                findings.push(Finding::new(&file.path, line, format!("`std::{module}`")));
            }
        }
        is_inside = !code.contains(';');
    }
    findings
}

fn unfinished_code(tree: &Tree) -> Vec<Finding> {
    // Written in two parts, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut findings: Vec<Finding> = tree.texts().flat_map(|(file, text)| find(file, numbered(text), &marks)).collect();
    for (file, source) in tree.rust() {
        findings.extend(find(file, source.lines(), &["todo!", "unimplemented!", "#[ignore"]));
    }
    findings
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    const LIBRARY: &str = "crates/stepscope-report/src/page.rs";

    #[test]
    fn libraries_neither_print_nor_panic() {
        for (line, rule) in [
            ("println!(\"a\");", PRINTING.as_slice()),
            ("    dbg!(a)", &PRINTING),
            ("a.unwrap();", &PANICKING),
            ("    .expect(\"a\")", &PANICKING),
            ("panic!()", &PANICKING),
        ] {
            let found = forbidden(&Tree::of(&[(LIBRARY, line)]), rule);
            assert_eq!(found.len(), 1, "{line}");
            let in_program = forbidden(&Tree::of(&[("crates/stepscope-cli/src/main.rs", line)]), rule);
            assert!(in_program.is_empty(), "{line}");
        }
    }

    #[test]
    fn tests_comments_strings_and_cousins_of_a_name_are_no_findings() {
        for text in [
            "// a.unwrap()",
            "/// ```\n/// a.unwrap();\n/// ```",
            "let a = \"println!\";",
            "a.unwrap_or(1); a.expect_err(1); writeln!(f); #[expect(unused)]",
            "#[cfg(test)]\nmod tests {\n    fn t() { a.unwrap() }\n}",
        ] {
            let tree = Tree::of(&[(LIBRARY, text)]);
            assert!(forbidden(&tree, &PANICKING).is_empty() && forbidden(&tree, &PRINTING).is_empty(), "{text}");
        }
    }

    #[test]
    fn pure_crates_touch_nothing_outside() {
        let path = "crates/stepscope-theory/src/a.rs";
        for text in [
            "use std::fs;",
            "let t = std::time::Duration::ZERO;",
            "Instant::now();",
            "use std::{fmt, io};",
            "let r = rand::rng();",
        ] {
            assert_eq!(places(pure_theory, &[(path, text)]), [format!("{path}:1")], "{text}");
            assert!(places(pure_theory, &[("crates/stepscope/src/a.rs", text)]).is_empty());
        }
        let grouped = "use std::{\n    fmt,\n    net::TcpStream,\n};\nfn io() {}\n";
        assert_eq!(places(pure_theory, &[(path, grouped)]), [format!("{path}:3")]);
        assert!(places(pure_theory, &[(path, "use std::fmt; // std::fs")]).is_empty());
    }

    #[test]
    fn one_module_names_devices() {
        let text = "fn a(device: &Device) { flexible }\nlet d = Device::default();\nuse burn_flex::FlexDevice;\n";
        let found = places(one_backend_file, &[("crates/stepscope/src/train/mod.rs", text)]);
        assert_eq!(found, ["crates/stepscope/src/train/mod.rs:2", "crates/stepscope/src/train/mod.rs:3"]);
        for path in ["crates/stepscope/src/backend.rs", "crates/stepscope/src/backend/convolution.rs"] {
            assert!(places(one_backend_file, &[(path, text)]).is_empty(), "{path}");
        }
        assert_eq!(places(one_backend_file, &[("crates/stepscope/src/backends.rs", text)]).len(), 2);
    }

    #[test]
    fn unfinished_code_is_found_in_text_and_code() {
        let mark = concat!("TO", "DO");
        assert_eq!(places(unfinished_code, &[("a.md", &format!("{mark}: write\n"))]), ["a.md:1"]);
        assert_eq!(places(unfinished_code, &[("a.rs", &format!("\n// {mark}\n"))]), ["a.rs:2"]);
        assert_eq!(places(unfinished_code, &[("a.rs", "todo!()\n#[ignore = \"slow\"]\nunimplemented!()\n")]).len(), 3);
        assert!(places(unfinished_code, &[("a.sh", "mktemp aXXXXXX\ntodo = \"warn\"\n")]).is_empty());
    }
}
