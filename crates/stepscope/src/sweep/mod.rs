//! Many runs from one specification, by any number of processes, on any number of machines.
//!
//! [`Sweep::parse`] expands a `[sweep]` table into resolved specifications. A run's name is the hash of its
//! specification ([`RunId`]), so that every process knows, without asking any other, which runs there are and where
//! each result goes. [`Shard`] takes a share of them.
//!
//! Processes meet in a [`SweepFolder`] and nowhere else:
//!
//! ```text
//! DIR/sweep.json               which runs there are
//! DIR/<id>/                    a finished run: it appears whole, under this name, and is never changed
//! DIR/attempts/<id>/claim      locked by the process that works on the run, while it lives
//! DIR/attempts/<id>/attempt-*  run folders that are not finished, each written by one process alone
//! DIR/attempts/<id>/failure.json  why the last attempt failed
//! ```
//!
//! That two processes end with one correct folder rests on two things that need no lock: no attempt is ever written by
//! two processes (who goes on with another's attempt copies it), and a finished attempt gets its name by a rename that
//! cannot replace anything. Locks only save work. They may lie, as they do after a cut network, and the worst is that
//! a run is trained twice, with the same bytes.

mod attempt;
mod error;
mod files;
mod folder;
mod id;
mod shard;
mod state;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use stepscope_types::RunSpec;

use crate::spec::{self, SpecError};

pub use attempt::{Attempt, Published, Work};
pub use error::SweepError;
pub use folder::{ListedRun, SweepFolder, SweepList};
pub use id::RunId;
pub use shard::{ParseShardError, Shard};
pub use state::{Progress, RunFailure, RunState};

/// The runs of a specification with a `[sweep]` table.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The specification's name.
    pub name: String,
    /// Its runs, each once, in the order of the table: the first key of the grid changes slowest, the seed fastest.
    pub runs: Vec<SweepRun>,
}

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRun {
    /// The run's name, which is that of its folder.
    pub id: RunId,
    /// What sets it apart from the other runs.
    pub settings: Vec<Setting>,
    /// The specification, without a sweep, named after the settings.
    pub spec: RunSpec,
}

/// A swept key and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The key, with dots.
    pub key: String,
    /// The value as TOML.
    pub value: String,
}

impl Setting {
    /// Whether the setting is a seed: runs that differ in seeds alone are repetitions of each other.
    pub fn is_seed(&self) -> bool {
        self.key.starts_with("seeds.")
    }
}

impl Sweep {
    /// Reads a specification with a `[sweep]` table. `source` and `overrides` are as in [`spec::parse`].
    ///
    /// Combinations whose specifications are the same (a draw that was rounded to another's value) are one run.
    ///
    /// ```
    /// use stepscope::sweep::Sweep;
    /// let text = "
    ///     name = \"rates\"
    ///     [sweep]
    ///     seeds = 2
    ///     [sweep.grid]
    ///     optimizer.learning_rate = [0.1, \"measured\"]
    /// ";
    /// let sweep = Sweep::parse(text, "rates.toml", &[])?;
    /// let names: Vec<&str> = sweep.runs.iter().map(|run| run.spec.name.as_str()).collect();
    /// assert_eq!(names[..2], ["rates learning_rate=0.1 seed=0", "rates learning_rate=0.1 seed=1"]);
    /// assert_eq!(names[2..], ["rates learning_rate=measured seed=0", "rates learning_rate=measured seed=1"]);
    /// # Ok::<(), stepscope::spec::SpecError>(())
    /// ```
    ///
    /// # Errors
    /// [`SpecError`] as for a single run, where there is no sweep, where a key is swept twice or has no value, and where
    /// a combination is no valid specification.
    pub fn parse(text: &str, source: &str, overrides: &[String]) -> Result<Self, SpecError> {
        let points = spec::points(text, source, overrides)?;
        let name = points.first().map(|point| point.spec.name.clone()).unwrap_or_default();
        let mut known = std::collections::HashSet::new();
        let mut runs = Vec::with_capacity(points.len());
        for point in points {
            let id = RunId::of(&point.spec);
            if known.insert(id.clone()) {
                let settings =
                    point.settings.into_iter().map(|(key, value)| Setting { key, value }).collect::<Vec<_>>();
                let spec = RunSpec { name: run_name(&name, &settings), ..point.spec };
                runs.push(SweepRun { id, settings, spec });
            }
        }
        Ok(Self { name, runs })
    }
}

/// The settings in a line: `learning_rate=0.1 seed=3`. Keys whose last words agree are written with their tables.
pub fn describe(settings: &[Setting]) -> String {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let short = |key: &str| match key {
        "seeds.root" => "seed".to_owned(),
        key if settings.iter().filter(|other| last(&other.key) == last(key)).count() > 1 => key.to_owned(),
        key => last(key),
    };
    let text = |setting: &Setting| format!("{}={}", short(&setting.key), setting.value.trim_matches(['"', '\'']));
    settings.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn run_name(sweep: &str, settings: &[Setting]) -> String {
    format!("{sweep} {}", describe(settings))
}
