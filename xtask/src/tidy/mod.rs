//! Conventions as checks: each has a name, a reason, a remedy and tests that show it failing.

mod layers;
mod links;
mod size;
mod sources;
mod texts;

use std::path::Path;

use crate::tree::Tree;
use crate::{Fault, Outcome};

/// A convention.
struct Rule {
    name: &'static str,
    /// Why the convention exists.
    reason: &'static str,
    /// What to do about a finding.
    remedy: &'static str,
    check: fn(&Tree) -> Vec<Finding>,
}

/// A place where a convention does not hold.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Line, from 1; 1 where the whole file is meant.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

/// Every convention, group by group.
fn rules() -> impl Iterator<Item = &'static Rule> {
    [size::RULES, layers::RULES, sources::RULES, texts::RULES, links::RULES].into_iter().flatten()
}

/// Checks the checkout and prints one line a finding.
pub(crate) fn run(root: &Path) -> Result<Outcome, Fault> {
    let tree = Tree::read(root)?;
    let lines: Vec<String> = rules().flat_map(|rule| report(rule, &tree)).collect();
    lines.iter().for_each(|line| println!("{line}"));
    if lines.is_empty() {
        println!("tidy: {} rules hold in {} files", rules().count(), tree.files().len());
        return Ok(Outcome::Clean);
    }
    println!("tidy: {} finding{}", lines.len(), if lines.len() == 1 { "" } else { "s" });
    Ok(Outcome::Findings)
}

/// Prints the conventions with their reasons.
pub(crate) fn list() -> Outcome {
    rules().for_each(|rule| println!("{:18} {}", rule.name, rule.reason));
    Outcome::Clean
}

/// `path:line: rule: what. why. what to do.`
fn report(rule: &Rule, tree: &Tree) -> Vec<String> {
    let mut findings = (rule.check)(tree);
    findings.sort();
    let line = |Finding { path, line, what }: &Finding| {
        format!("{path}:{line}: {}: {what}. {}. {}.", rule.name, rule.reason, rule.remedy)
    };
    findings.iter().map(line).collect()
}

/// The line on which `needle` first stands, 1 if it stands nowhere.
fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).map_or(1, |index| index + 1)
}

/// The places that a check finds in a tree of the given files, as `path:line`.
#[cfg(test)]
fn places(check: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
    let mut findings = check(&Tree::of(files));
    findings.sort();
    findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn rules_have_distinct_names_and_full_explanations() {
        let names: HashSet<&str> = rules().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules().count());
        for rule in rules() {
            assert!(!rule.reason.is_empty() && !rule.reason.ends_with('.'), "{}", rule.name);
            assert!(!rule.remedy.is_empty() && !rule.remedy.ends_with('.'), "{}", rule.name);
        }
    }

    #[test]
    fn a_finding_is_one_line_with_what_why_and_remedy() {
        let rule = Rule {
            name: "a-rule",
            reason: "Because",
            remedy: "Mend it",
            check: |_| vec![Finding::new("b.rs", 2, "second"), Finding::new("a.rs", 9, "first")],
        };
        let lines = report(&rule, &Tree::of(&[]));
        assert_eq!(lines, ["a.rs:9: a-rule: first. Because. Mend it.", "b.rs:2: a-rule: second. Because. Mend it."]);
    }
}
