//! Whether every dependency may be used under a licence that this project accepts.

use std::path::Path;
use std::process::Command;

use crate::{Fault, Outcome};

/// Licences whose only duties are to keep their text with the code: nothing that a user of stepscope could trip over.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A package accepted under a licence that is not accepted in general.
struct Exception {
    package: &'static str,
    licence: &'static str,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        package: "buildid",
        licence: "MPL-2.0",
        reason: "the kernels of graphics cards are kept by it (features cuda, wgpu); the licence binds changes to its own files, and we change none",
    },
    Exception {
        package: "cfg_block",
        licence: "",
        reason: "with the features cuda and wgpu; its manifest names a file in place of an expression, and the file is Apache-2.0",
    },
    Exception {
        package: "colored",
        licence: "MPL-2.0",
        reason: "Burn's tensors print with it; the licence binds changes to its own files, and we change none",
    },
    Exception {
        package: "option-ext",
        licence: "MPL-2.0",
        reason: "burn-train finds the user's folders with it; the licence binds changes to its own files, and we change none",
    },
    Exception {
        package: "webpki-roots",
        licence: "CDLA-Permissive-2.0",
        reason: "Mozilla's certificate roots, for downloads over HTTPS; the licence is for data and asks for its text alone",
    },
];

/// A package of the build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    /// The licence expression of its manifest; empty where it gives none.
    licence: String,
}

/// The command whose output is judged. It lists what is really compiled, for every platform: `cargo metadata` would
/// add hundreds of packages that optional features of dependencies name and nothing enables, and download them.
const TREE: [&str; 10] = [
    "tree",
    "--workspace",
    "--locked",
    "--edges=normal,build,dev",
    "--target=all",
    "--prefix=none",
    "--charset=ascii",
    "--color=never",
    "--format",
    "{p}\t{l}",
];

/// Checks every dependency of the default build and prints what was found.
pub(crate) fn run(root: &Path) -> Result<Outcome, Fault> {
    with_features(root, "")
}

/// The same with features, separated by commas.
pub(crate) fn with_features(root: &Path, features: &str) -> Result<Outcome, Fault> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(TREE).args(["--features", features]).current_dir(root).output()?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`cargo {}` failed: {}", TREE[..3].join(" "), message.trim()).into());
    }
    let packages = parse_tree(&String::from_utf8(output.stdout)?)?;
    let findings: Vec<String> = packages.iter().filter_map(finding).collect();
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.is_empty() {
        println!("licences: {} of {} packages are not accepted", findings.len(), packages.len());
        return Ok(Outcome::Findings);
    }
    println!("licences: {} packages, all accepted{}", packages.len(), exceptions_used(&packages));
    Ok(Outcome::Clean)
}

fn exceptions_used(packages: &[Package]) -> String {
    let used = EXCEPTIONS.iter().filter(|exception| packages.iter().any(|package| package.name == exception.package));
    used.map(|exception| {
        format!("\n  by exception: {} ({}): {}", exception.package, exception.licence, exception.reason)
    })
    .collect()
}

fn parse_tree(output: &str) -> Result<Vec<Package>, Fault> {
    let mut packages = Vec::new();
    for line in output.lines().filter(|line| !line.trim().is_empty()) {
        // cargo marks a package that it has listed before.
        let line = line.strip_suffix(" (*)").unwrap_or(line);
        let fields = line.split_once('\t').and_then(|(package, licence)| {
            let mut words = package.split_whitespace();
            Some(Package {
                name: words.next()?.to_owned(),
                version: words.next()?.to_owned(),
                licence: licence.trim().to_owned(),
            })
        });
        packages.push(fields.ok_or_else(|| format!("cannot read this line of `cargo tree`: {line}"))?);
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// What is wrong with a package's licence, if anything.
fn finding(package: &Package) -> Option<String> {
    let Package { name, version, licence } = package;
    let accepts = |leaf: &str| {
        ACCEPTED.contains(&leaf)
            || EXCEPTIONS.iter().any(|exception| exception.package == name && exception.licence == leaf)
    };
    let problem = if licence.is_empty() && accepts("") {
        return None;
    } else if licence.is_empty() {
        "its manifest gives no licence expression".to_owned()
    } else {
        match parse(licence) {
            Ok(expression) if expression.is_satisfied(&accepts) => return None,
            Ok(_) => format!("`{licence}` is not accepted"),
            Err(problem) => format!("`{licence}` is no licence expression: {problem}"),
        }
    };
    Some(format!(
        "Cargo.lock:1: licences: {name} {version}: {problem}. Do without it, or add its licence to ACCEPTED or the \
         package to EXCEPTIONS, with the reason, in xtask/src/licences.rs. `cargo tree -i {name}` shows who needs it."
    ))
}

/// A licence expression in the SPDX grammar.
#[derive(Debug, PartialEq, Eq)]
enum Expression {
    /// One licence, with its exception if it has one.
    Licence(String),
    /// All of them bind.
    All(Vec<Expression>),
    /// The user chooses one.
    Any(Vec<Expression>),
}

impl Expression {
    fn is_satisfied(&self, accepts: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Licence(name) => accepts(name),
            Self::All(parts) => parts.iter().all(|part| part.is_satisfied(accepts)),
            Self::Any(parts) => parts.iter().any(|part| part.is_satisfied(accepts)),
        }
    }
}

/// Reads an expression: WITH binds tighter than AND, AND tighter than OR; `/` is the old way to write OR.
fn parse(text: &str) -> Result<Expression, String> {
    let spaced = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let expression = parse_any(&mut rest)?;
    match rest.first() {
        None => Ok(expression),
        Some(token) => Err(format!("`{token}` is one too many")),
    }
}

fn parse_any(rest: &mut &[&str]) -> Result<Expression, String> {
    let parts = parse_list(rest, "OR", parse_all)?;
    Ok(single_or(parts, Expression::Any))
}

fn parse_all(rest: &mut &[&str]) -> Result<Expression, String> {
    let parts = parse_list(rest, "AND", parse_licence)?;
    Ok(single_or(parts, Expression::All))
}

fn parse_list(
    rest: &mut &[&str],
    separator: &str,
    part: impl Fn(&mut &[&str]) -> Result<Expression, String>,
) -> Result<Vec<Expression>, String> {
    let mut parts = vec![part(rest)?];
    while take(rest, separator) {
        parts.push(part(rest)?);
    }
    Ok(parts)
}

fn single_or(mut parts: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { several(parts) }
}

fn parse_licence(rest: &mut &[&str]) -> Result<Expression, String> {
    if take(rest, "(") {
        let inner = parse_any(rest)?;
        return if take(rest, ")") { Ok(inner) } else { Err("a parenthesis is not closed".to_owned()) };
    }
    let mut name = parse_name(rest)?;
    if take(rest, "WITH") {
        name = format!("{name} WITH {}", parse_name(rest)?);
    }
    Ok(Expression::Licence(name))
}

fn parse_name(rest: &mut &[&str]) -> Result<String, String> {
    match rest.split_first() {
        None => Err("it ends where a licence should be".to_owned()),
        Some((token, _)) if ["(", ")", "AND", "OR", "WITH"].contains(token) => {
            Err(format!("`{token}` stands where a licence should be"))
        }
        Some((token, after)) => {
            *rest = after;
            Ok((*token).to_owned())
        }
    }
}

fn take(rest: &mut &[&str], token: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == token => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(name: &str, licence: &str) -> bool {
        finding(&Package { name: name.into(), version: "v1".into(), licence: licence.into() }).is_none()
    }

    #[test]
    fn a_choice_needs_one_accepted_licence_and_a_conjunction_all() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "MIT AND BSD-3-Clause",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT/Apache-2.0",
            "GPL-2.0 / MIT",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
            "GPL-3.0 AND LGPL-2.1 OR MIT",
        ] {
            assert!(is_accepted("any", good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND GPL-3.0",
            "GPL-3.0 WITH Classpath-exception-2.0",
            "Apache-2.0 WITH Unknown-exception",
            "MIT AND (GPL-3.0 OR LGPL-2.1)",
            "",
        ] {
            assert!(!is_accepted("any", bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_with_the_reason() {
        for (text, reason) in [
            ("MIT OR", "ends where"),
            ("OR MIT", "`OR` stands"),
            ("(MIT", "not closed"),
            ("MIT Apache-2.0", "`Apache-2.0` is one too many"),
            ("MIT WITH )", "`)` stands"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(reason), "{text}: {problem}");
        }
    }

    #[test]
    fn an_exception_holds_for_its_package_alone() {
        assert!(is_accepted("colored", "MPL-2.0"));
        assert!(!is_accepted("coloured", "MPL-2.0"));
        assert!(!is_accepted("colored", "GPL-3.0"));
    }

    #[test]
    fn the_tree_is_read_without_repetitions() {
        let output = "a v1.0.0 (/home/a)\tMIT\nb v2.0.0 (proc-macro)\tMIT OR ISC\nb v2.0.0 (proc-macro)\tMIT OR ISC (*)\nc v0.1.0\t\n";
        let packages = parse_tree(output).unwrap();
        let fields: Vec<_> =
            packages.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.licence.as_str())).collect();
        assert_eq!(fields, [("a", "v1.0.0", "MIT"), ("b", "v2.0.0", "MIT OR ISC"), ("c", "v0.1.0", "")]);
        assert!(parse_tree("something else").is_err());
    }
}
