//! Who may depend on whom, read from the manifests.

use toml::{Table, Value};

use super::{Finding, Rule, line_of};
use crate::tree::Tree;

/// The crates that name Burn: the library, and its adapter to burn-train.
const BURN_CRATES: &[&str] = &["stepscope", "stepscope-learner"];

/// Each package of the workspace with those it may see: lower layers never see higher ones.
const LAYERS: &[(&str, &[&str])] = &[
    ("stepscope-types", &[]),
    ("stepscope-spectral", &["stepscope-types"]),
    ("stepscope-theory", &["stepscope-types"]),
    ("stepscope-kernels", &[]),
    ("stepscope-report", &["stepscope-types"]),
    ("stepscope", &["stepscope-kernels", "stepscope-types", "stepscope-spectral", "stepscope-theory"]),
    ("stepscope-export", &["stepscope-types"]),
    ("stepscope-watch", &["stepscope-report", "stepscope-types"]),
    ("stepscope-learner", &["stepscope", "stepscope-export", "stepscope-types"]),
    (
        "stepscope-cli",
        &[
            "stepscope",
            "stepscope-export",
            "stepscope-report",
            "stepscope-spectral",
            "stepscope-theory",
            "stepscope-types",
            "stepscope-watch",
        ],
    ),
    ("xtask", &[]),
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "burn-in-one-crate",
        reason: "A release of Burn touches one crate (ARCHITECTURE.md, invariant 1)",
        remedy: "Put what needs Burn into crates/stepscope and pass plain numbers across",
        check: burn_in_one_crate,
    },
    Rule {
        name: "layers",
        reason: "Lower crates never see higher ones, so a formula builds in seconds",
        remedy: "Move the shared type down to stepscope-types, or change LAYERS in xtask/src/tidy/layers.rs together \
                 with ARCHITECTURE.md",
        check: layers,
    },
    Rule {
        name: "workspace-lints",
        reason: "Lints stand once, in the root manifest, and hold for every crate",
        remedy: "Add `[lints]` with `workspace = true`",
        check: workspace_lints,
    },
    Rule {
        name: "workspace-versions",
        reason: "Every dependency's version stands once, in the root manifest",
        remedy: "Add it to `[workspace.dependencies]` and write `NAME.workspace = true` here",
        check: workspace_versions,
    },
];

/// A dependency as a manifest states it.
struct Dependency {
    /// The key, which is the name in the code.
    key: String,
    /// The package behind the key.
    package: String,
    /// Whether version and source come from the workspace.
    from_workspace: bool,
}

/// A member of the workspace.
struct Member<'tree> {
    path: &'tree str,
    text: &'tree str,
    name: String,
    table: Table,
}

impl Member<'_> {
    fn dependencies(&self) -> Vec<Dependency> {
        let platforms = self.table.get("target").and_then(Value::as_table).into_iter().flatten();
        let tables = std::iter::once(&self.table).chain(platforms.filter_map(|(_, value)| value.as_table()));
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        let sections = tables.flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()));
        sections.flatten().map(|(key, value)| dependency(key, value)).collect()
    }

    /// A finding at the line that names `dependency`.
    fn finding(&self, dependency: &Dependency, what: String) -> Finding {
        let is_entry = |line: &str| {
            line.trim_start().strip_prefix(&dependency.key).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        };
        let line = self.text.lines().position(is_entry).map_or(1, |index| index + 1);
        Finding::new(self.path, line, what)
    }
}

fn dependency(key: &str, value: &Value) -> Dependency {
    let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
    let from_workspace = value.get("workspace").and_then(Value::as_bool) == Some(true);
    Dependency { key: key.to_owned(), package: package.to_owned(), from_workspace }
}

/// The members whose manifests can be read; cargo itself refuses the others.
fn members(tree: &Tree) -> impl Iterator<Item = Member<'_>> {
    tree.manifests().filter_map(|(file, _, text)| {
        let table: Table = text.parse().ok()?;
        let name = table.get("package")?.get("name")?.as_str()?.to_owned();
        Some(Member { path: &file.path, text, name, table })
    })
}

/// The findings of `judge` over every dependency of every member.
fn over_dependencies(tree: &Tree, judge: impl Fn(&Member<'_>, &Dependency) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members(tree) {
        for dependency in member.dependencies() {
            findings.extend(judge(&member, &dependency).map(|what| member.finding(&dependency, what)));
        }
    }
    findings
}

fn burn_in_one_crate(tree: &Tree) -> Vec<Finding> {
    let is_burn = |name: &str| name == "burn" || name.starts_with("burn-") || name.starts_with("burn_");
    over_dependencies(tree, |member, dependency| {
        let names_burn = is_burn(&dependency.key) || is_burn(&dependency.package);
        (names_burn && !BURN_CRATES.contains(&member.name.as_str())).then(|| {
            format!("{} depends on `{}`, only {} may", member.name, dependency.package, BURN_CRATES.join(" and "))
        })
    })
}

fn layers(tree: &Tree) -> Vec<Finding> {
    let lower_of = |name: &str| LAYERS.iter().find(|(member, _)| *member == name).map(|(_, lower)| *lower);
    let mut findings = over_dependencies(tree, |member, dependency| {
        let lower = lower_of(&member.name)?;
        let is_ours = lower_of(&dependency.package).is_some();
        (is_ours && !lower.contains(&dependency.package.as_str())).then(|| {
            let allowed = if lower.is_empty() { "no crate of ours".to_owned() } else { lower.join(", ") };
            format!("{} depends on {}, it may see {allowed}", member.name, dependency.package)
        })
    });
    let unknown = members(tree).filter(|member| lower_of(&member.name).is_none());
    findings.extend(unknown.map(|member| {
        let what = format!("no layer is given for {}", member.name);
        Finding::new(member.path, line_of(member.text, "name"), what)
    }));
    findings
}

fn workspace_lints(tree: &Tree) -> Vec<Finding> {
    let inherits = |table: &Table| table.get("lints").and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true);
    let missing = members(tree).filter(|member| !inherits(&member.table));
    missing.map(|member| Finding::new(member.path, 1, "the workspace's lints are not inherited")).collect()
}

fn workspace_versions(tree: &Tree) -> Vec<Finding> {
    over_dependencies(tree, |_, dependency| {
        (!dependency.from_workspace).then(|| format!("`{}` does not come from the workspace", dependency.key))
    })
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    /// The places that a check finds in a workspace of one package.
    fn check(rule: fn(&Tree) -> Vec<Finding>, name: &str, rest: &str) -> Vec<String> {
        let manifest = format!("[package]\nname = \"{name}\"\n{rest}");
        places(rule, &[(&format!("crates/{name}/Cargo.toml"), &manifest)])
    }

    #[test]
    fn burn_is_found_under_any_name_section_and_platform() {
        for dependency in [
            "[dependencies]\nburn.workspace = true\n",
            "[dev-dependencies]\nburn-core = \"0.22\"\n",
            "[build-dependencies]\ntensors = { package = \"burn-flex\", version = \"1\" }\n",
            "[target.'cfg(unix)'.dependencies]\nburn = { workspace = true }\n",
        ] {
            assert_eq!(
                check(burn_in_one_crate, "stepscope-theory", dependency),
                ["crates/stepscope-theory/Cargo.toml:4"],
                "{dependency}"
            );
            assert!(check(burn_in_one_crate, "stepscope", dependency).is_empty());
        }
        assert!(check(burn_in_one_crate, "stepscope-theory", "[dependencies]\nburnish.workspace = true\n").is_empty());
    }

    #[test]
    fn a_lower_crate_must_not_see_a_higher_one() {
        for (name, dependency, is_allowed) in [
            ("stepscope-types", "stepscope-spectral", false),
            ("stepscope-spectral", "stepscope-types", true),
            ("stepscope-spectral", "stepscope-theory", false),
            ("stepscope-report", "stepscope", false),
            ("stepscope", "stepscope-theory", true),
            ("stepscope", "stepscope-report", false),
            ("stepscope-cli", "stepscope-report", true),
            ("xtask", "stepscope-types", false),
        ] {
            let found =
                check(layers, name, &format!("[dev-dependencies]\nserde = \"1\"\n{dependency}.workspace = true\n"));
            assert_eq!(found.is_empty(), is_allowed, "{name} -> {dependency}: {found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        assert_eq!(check(layers, "stepscope-new", ""), ["crates/stepscope-new/Cargo.toml:2"]);
    }

    #[test]
    fn lints_must_be_inherited() {
        assert!(check(workspace_lints, "stepscope", "[lints]\nworkspace = true\n").is_empty());
        assert_eq!(check(workspace_lints, "stepscope", ""), ["crates/stepscope/Cargo.toml:1"]);
        assert_eq!(check(workspace_lints, "stepscope", "[lints.rust]\n").len(), 1);
    }

    #[test]
    fn versions_come_from_the_workspace() {
        let text = "[dependencies]\nserde.workspace = true\ntoml = { workspace = true }\nrand = \"1\"\n";
        assert_eq!(check(workspace_versions, "stepscope", text), ["crates/stepscope/Cargo.toml:6"]);
    }
}
