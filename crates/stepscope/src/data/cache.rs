//! The folder that holds fetched data sets.

use std::path::{Path, PathBuf};

/// Where fetched data sets are kept, one folder each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The environment variable that names another folder.
    pub const VARIABLE: &str = "STEPSCOPE_DATA";

    /// The cache in that folder, which need not be there yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The user's cache: the folder in `STEPSCOPE_DATA`, else `stepscope/data` in `XDG_CACHE_HOME`, else in `.cache` of
    /// `HOME`, else `stepscope-data` in the present folder.
    pub fn of_user() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let below = |folder: PathBuf| folder.join("stepscope").join("data");
        let root = variable(Self::VARIABLE)
            .or_else(|| variable("XDG_CACHE_HOME").map(below))
            .or_else(|| variable("HOME").map(|home| below(home.join(".cache"))));
        Self::at(root.unwrap_or_else(|| PathBuf::from("stepscope-data")))
    }

    /// The folder of the data set of that name.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The whole cache.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
