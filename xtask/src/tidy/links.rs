//! What documents point to: links, and the files and tests that ARCHITECTURE.md names.

use super::{Finding, Rule};
use crate::source::has_word;
use crate::tree::Tree;

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// First segments of paths that lead out of the workspace.
const FOREIGN: [&str; 7] = ["std", "core", "alloc", "burn", "serde", "clap", "faer"];

/// Beginnings of a path from the workspace root.
const FOLDERS: [&str; 7] = ["crates/", "xtask/", "claims/", "data/", "docs/", "examples/", ".ci/"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "links",
        reason: "A link that leads nowhere costs every reader the same search",
        remedy: "Correct the target or take the link out",
        check: links,
    },
    Rule {
        name: "architecture-names",
        reason: "ARCHITECTURE.md may only claim what is there, above all the tests that guard the invariants",
        remedy: "Correct the name, or write the test",
        check: architecture_names,
    },
];

fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts().filter(|(file, _)| file.path.ends_with(".md")) {
        for (line, prose) in prose_lines(text, &without_code_spans) {
            for target in targets(&prose) {
                let problem = dead_link(tree, &file.path, text, &target);
                findings.extend(problem.map(|what| Finding::new(&file.path, line, what)));
            }
        }
    }
    findings
}

/// The lines outside fenced code blocks, each passed through `clean`.
fn prose_lines(text: &str, clean: &dyn Fn(&str) -> String) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let is_fence = ["```", "~~~"].iter().any(|fence| line.trim_start().starts_with(fence));
        is_code ^= is_fence;
        if !is_code && !is_fence {
            lines.push((index + 1, clean(line)));
        }
    }
    lines
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<&str>>().join("`")
}

/// Targets of `[text](target)`, `[name]: target`, `src="target"` and `href="target"` in a line.
fn targets(line: &str) -> Vec<String> {
    let behind = |opening: &'static str, closing: char| {
        line.split(opening).skip(1).filter_map(move |rest| rest.split_once(closing)).map(|(target, _)| target)
    };
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    let all = behind("](", ')').chain(behind("src=\"", '"')).chain(behind("href=\"", '"')).chain(definition);
    // A title may follow the target.
    all.filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_matches(['<', '>']).to_owned())
        .collect()
}

/// What is wrong with a link, if anything; links that leave the project are not followed.
fn dead_link(tree: &Tree, from: &str, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = path.replace("%20", " ");
    let place = if path.is_empty() { Some(from.to_owned()) } else { resolve(from, &path) };
    let Some(place) = place.filter(|place| tree.has(place)) else {
        return Some(format!("the link `{target}` leads to nothing"));
    };
    let page = if place == from { Some(text) } else { tree.text(&place).filter(|_| place.ends_with(".md")) };
    let is_missing = anchor.zip(page).is_some_and(|(anchor, page)| !has_anchor(page, anchor));
    is_missing.then(|| format!("the link `{target}` names no heading of {place}"))
}

/// `path` as seen from the folder of the file `from`; `None` if it leaves the project.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn has_anchor(page: &str, anchor: &str) -> bool {
    let marks = [format!("id=\"{anchor}\""), format!("name=\"{anchor}\"")];
    let mut slugs: Vec<String> = Vec::new();
    for (_, line) in prose_lines(page, &str::to_owned) {
        if marks.iter().any(|mark| line.contains(mark)) {
            return true;
        }
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        if (1..=6).contains(&level) && line[level..].starts_with(' ') {
            let slug = slug(&line[level..]);
            let num_before = slugs.iter().filter(|earlier| **earlier == slug).count();
            let name = if num_before == 0 { slug.clone() } else { format!("{slug}-{num_before}") };
            if name == anchor {
                return true;
            }
            slugs.push(slug);
        }
    }
    false
}

/// The anchor that forges give a heading.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn architecture_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in prose_lines(tree.text(ARCHITECTURE).unwrap_or_default(), &str::to_owned) {
        for name in text.split('`').skip(1).step_by(2) {
            let problem = missing_name(tree, name);
            findings.extend(problem.map(|what| Finding::new(ARCHITECTURE, line, what)));
        }
    }
    findings
}

/// What a name in backticks points to and is not there.
fn missing_name(tree: &Tree, name: &str) -> Option<String> {
    let is_pattern = name.contains(|c: char| c.is_whitespace() || "*<>{}…".contains(c));
    if is_pattern {
        return None;
    }
    let name = name.trim_end_matches("()");
    let (path, item) = match name.rsplit_once("::") {
        Some((path, item)) => (path, Some(item)),
        None => (name, None),
    };
    let file = path.split("::").next().unwrap_or(path).trim_end_matches('/');
    let is_path =
        FOLDERS.iter().any(|folder| path.starts_with(folder)) || (file.ends_with(".rs") && file.contains('/'));
    if is_path && !tree.has(file) {
        return Some(format!("there is no `{file}`"));
    }
    let item = item?;
    if is_path {
        let text = tree.file(file).and_then(|file| file.source.as_ref());
        let is_there = text.is_some_and(|source| source.functions().iter().any(|function| function.name == item));
        return (!is_there).then(|| format!("{file} has no function `{item}`"));
    }
    let is_known =
        FOREIGN.contains(&file) || tree.rust().any(|(_, source)| source.lines().any(|(_, code)| has_word(code, item)));
    (!is_known).then(|| format!("no Rust file knows `{item}`"))
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    #[test]
    fn links_lead_to_files_folders_and_headings() {
        let page = "# Title\n[a](docs/b.md) [c](docs) [d](docs/b.md#two-words-1) [e](#title) ![f](docs/b.md \"t\")\n\
                    [g](https://example.org/none) `[h](none.md)`\n```\n[i](none.md)\n```\n[j]: docs/b.md\n";
        let other = "## Two words\n## Two `words`!\n[up](../README.md) [root](..)\n";
        assert_eq!(places(links, &[("README.md", page), ("docs/b.md", other)]), [""; 0]);
    }

    #[test]
    fn dead_links_are_found() {
        for target in
            ["[a](none.md)", "[a](#none)", "[a](b.md#none)", "[a](../b.md)", "[a]: none.md", "<img src=\"x.svg\">"]
        {
            let files = [("README.md", format!("text\n{target}\n")), ("b.md", "# B\n".to_owned())];
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            assert_eq!(places(links, &files), ["README.md:2"], "{target}");
        }
    }

    #[test]
    fn architecture_names_only_what_exists() {
        let rust = ("crates/a/src/b.rs", "pub struct Real;\n#[test]\nfn the_law_holds() {}\n");
        for (name, is_there) in [
            ("crates/a/src/b.rs", true),
            ("crates/a/", true),
            ("crates/a/src/c.rs", false),
            ("crates/a/src/b.rs::the_law_holds", true),
            ("crates/a/src/b.rs::tests::the_law_holds", true),
            ("crates/a/src/b.rs::the_law_breaks", false),
            ("a::Real", true),
            ("a::b::the_law_holds()", true),
            ("a::Unreal", false),
            ("std::fs", true),
            ("crates/<name>/x.rs", true),
            ("types <- spectral", true),
            ("metrics.jsonl", true),
        ] {
            let found = places(architecture_names, &[rust, (ARCHITECTURE, &format!("see `{name}`.\n"))]);
            assert_eq!(found.is_empty(), is_there, "{name}");
        }
    }
}
