//! Documents that must exist, be in order, be up to date, and keep out what does not belong to them.

use super::{Finding, Rule, line_of};
use crate::docs;
use crate::tree::Tree;

const CHANGELOG: &str = "CHANGELOG.md";
const GLOSSARY: &str = "GLOSSARY.md";
const REFERENCES: &str = "REFERENCES.bib";

/// Hosts of package registries, written in two parts so that this file does not name them.
const REGISTRY_HOSTS: [&str; 7] = [
    concat!("crates", ".io"),
    concat!("index.", "crates"),
    concat!("static.", "crates"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted"),
    concat!("npm", "js."),
    concat!("registry.", "yarnpkg"),
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "no-registry-hosts",
        reason: "Where packages come from is the business of whoever builds, not of the sources",
        remedy: "Name the package, not the place it is fetched from",
        check: no_registry_hosts,
    },
    Rule {
        name: "changelog",
        reason: "Users read in one place what changes for them",
        remedy: "Keep CHANGELOG.md with an `## Unreleased` section at the top",
        check: changelog,
    },
    Rule {
        name: "glossary-order",
        reason: "A term is looked up by the alphabet, and stands once",
        remedy: "Move the row to its place, or merge the two",
        check: glossary_order,
    },
    Rule {
        name: "reference-keys",
        reason: "A key names one source",
        remedy: "Rename or remove the second entry",
        check: reference_keys,
    },
    Rule {
        name: "quantities-page",
        reason: "docs/quantities.md is made from the code, so that the two never differ",
        remedy: "Run `cargo xtask docs`",
        check: quantities_page,
    },
];

fn no_registry_hosts(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts().filter(|(file, _)| file.path != "Cargo.lock") {
        for (index, line) in text.lines().enumerate() {
            let lower = line.to_ascii_lowercase();
            let hosts = REGISTRY_HOSTS.iter().filter(|host| lower.contains(**host));
            findings.extend(hosts.map(|host| Finding::new(&file.path, index + 1, format!("`{host}`"))));
        }
    }
    findings
}

fn changelog(tree: &Tree) -> Vec<Finding> {
    let problem = match tree.text(CHANGELOG) {
        None => Some("the file is missing"),
        Some(text) if !text.lines().any(|line| line.trim() == "## Unreleased") => Some("no `## Unreleased` section"),
        Some(_) => None,
    };
    problem.map(|what| Finding::new(CHANGELOG, 1, what)).into_iter().collect()
}

fn glossary_order(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(GLOSSARY).unwrap_or_default();
    let first_cell = |line: &str| Some(line.strip_prefix('|')?.split_once('|')?.0.trim().to_lowercase());
    let rows = text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, first_cell(line)?)));
    // Behind the header comes the line of dashes, and then the terms.
    let terms: Vec<(usize, String)> = rows.skip_while(|(_, cell)| !is_ruler(cell)).skip(1).collect();
    let pairs = terms.windows(2).filter(|pair| pair[0].1 >= pair[1].1);
    pairs
        .map(|pair| {
            let what = format!("`{}` stands behind `{}`", pair[1].1, pair[0].1);
            Finding::new(GLOSSARY, pair[1].0, what)
        })
        .collect()
}

fn is_ruler(cell: &str) -> bool {
    !cell.is_empty() && cell.chars().all(|character| "-: ".contains(character))
}

fn reference_keys(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(REFERENCES).unwrap_or_default();
    let key = |line: &'_ str| Some(line.strip_prefix('@')?.split_once('{')?.1.trim_end_matches(',').to_owned());
    let keys: Vec<(usize, String)> =
        text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, key(line)?))).collect();
    let is_again = |index: usize| keys[..index].iter().any(|(_, earlier)| *earlier == keys[index].1);
    let again = (0..keys.len()).filter(|index| is_again(*index));
    again.map(|index| Finding::new(REFERENCES, keys[index].0, format!("`{}` again", keys[index].1))).collect()
}

fn quantities_page(tree: &Tree) -> Vec<Finding> {
    let Some(source) = tree.text(docs::SOURCE) else { return Vec::new() };
    match docs::page(source) {
        Ok(page) if tree.text(docs::PAGE) == Some(&page) => Vec::new(),
        Ok(_) => vec![Finding::new(docs::PAGE, 1, format!("not what {} says", docs::SOURCE))],
        Err(problem) => vec![Finding::new(docs::SOURCE, line_of(source, "quantities! {"), problem)],
    }
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    #[test]
    fn registry_hosts_are_found_everywhere_but_in_the_lock_file() {
        for host in REGISTRY_HOSTS {
            let text = format!("fine\nhttps://WWW.{}/x\n", host.to_uppercase());
            assert_eq!(places(no_registry_hosts, &[("ci.sh", &text)]), ["ci.sh:2"], "{host}");
            assert!(places(no_registry_hosts, &[("Cargo.lock", &text)]).is_empty());
        }
        assert!(places(no_registry_hosts, &[("a.md", "see crates/ and docs.rs, crates io")]).is_empty());
    }

    #[test]
    fn a_changelog_says_what_is_unreleased() {
        assert_eq!(places(changelog, &[]), ["CHANGELOG.md:1"]);
        assert_eq!(places(changelog, &[("CHANGELOG.md", "## 0.1.0\n")]), ["CHANGELOG.md:1"]);
        assert!(places(changelog, &[("CHANGELOG.md", "# Changes\n\n## Unreleased\n")]).is_empty());
    }

    #[test]
    fn glossary_rows_are_sorted_and_stand_once() {
        let glossary = |terms: &[&str]| {
            let rows: String = terms.iter().map(|term| format!("| {term} | x |\n")).collect();
            format!("# Glossary\n\n| term | symbol |\n|---|---|\n{rows}")
        };
        assert!(places(glossary_order, &[("GLOSSARY.md", &glossary(&["batch", "Epoch", "step"]))]).is_empty());
        assert_eq!(places(glossary_order, &[("GLOSSARY.md", &glossary(&["step", "Epoch"]))]), ["GLOSSARY.md:6"]);
        assert_eq!(places(glossary_order, &[("GLOSSARY.md", &glossary(&["step", "Step"]))]), ["GLOSSARY.md:6"]);
    }

    #[test]
    fn a_reference_key_stands_once() {
        let text = "@article{a,\n}\n@misc{b,\n}\n@book{a,\n}\n";
        assert_eq!(places(reference_keys, &[("REFERENCES.bib", text)]), ["REFERENCES.bib:5"]);
    }

    #[test]
    fn the_quantities_page_follows_the_code() {
        let source = "\nquantities! {\n    A = \"a/b\", \"1\", \"T\", \"M.\";\n}\n";
        let page = docs::page(source).unwrap();
        assert!(places(quantities_page, &[(docs::SOURCE, source), (docs::PAGE, &page)]).is_empty());
        assert_eq!(places(quantities_page, &[(docs::SOURCE, source)]), ["docs/quantities.md:1"]);
        let stale = page.replace("M.", "N.");
        assert_eq!(places(quantities_page, &[(docs::SOURCE, source), (docs::PAGE, &stale)]), ["docs/quantities.md:1"]);
        let broken = source.replace("\"1\", ", "");
        assert_eq!(places(quantities_page, &[(docs::SOURCE, &broken)]), [format!("{}:2", docs::SOURCE)]);
    }
}
