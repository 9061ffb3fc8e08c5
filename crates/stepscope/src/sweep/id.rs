//! What a run is called: the hash of what it does.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use sha2::{Digest, Sha256};
use stepscope_types::RunSpec;
use stepscope_types::spec::CheckpointSpec;

/// Hexadecimal digits of a name: 64 bits, so that among a million runs two share a name with probability below 1e-7.
const NUM_DIGITS: usize = 16;

/// A run's name: the first 64 bits of the SHA-256 of its resolved specification, in hexadecimal.
///
/// Every key counts, also those at their defaults, but for `name` and `checkpoint`, which change nothing that is
/// computed: a sweep that is renamed, or saves more often, keeps its results.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RunId(String);

impl RunId {
    /// The name of the run that `spec` makes.
    pub fn of(spec: &RunSpec) -> Self {
        let computed = RunSpec { name: String::new(), checkpoint: CheckpointSpec::default(), ..spec.clone() };
        // Keys are written in the order of the struct, so equal specifications have equal bytes; numbers, words and lists
        // always have JSON.
        let bytes = serde_json::to_vec(&computed).unwrap_or_default();
        let digits: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self(digits[..NUM_DIGITS].to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RunId {
    /// Refuses what is no name: one read from a file becomes part of a path.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == NUM_DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits {
            Ok(Self(text))
        } else {
            Err(de::Error::custom(format!("'{text}' is no name of a run: expected {NUM_DIGITS} hexadecimal digits")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_types::spec::LearningRateSpec;

    #[test]
    fn the_name_hangs_on_every_key_that_changes_what_is_computed() {
        let spec = RunSpec::with_learning_rate(LearningRateSpec::Measured);
        let id = RunId::of(&spec);
        assert_eq!(id, RunId::of(&RunSpec { name: "other".into(), ..spec.clone() }));
        let mut changed = spec.clone();
        changed.measure.tolerance *= 1.0 + f64::EPSILON;
        assert_ne!(id, RunId::of(&changed), "one unit in the last place is another run");
        let mut saved = spec.clone();
        saved.checkpoint.keep = 9;
        assert_eq!(id, RunId::of(&saved));
        let mut changed = spec;
        changed.seeds.init = Some(0);
        assert_ne!(id, RunId::of(&changed));
    }

    #[test]
    fn a_path_is_no_name() {
        for bad in ["../../../../etc/", "0123456789ABCDEF", "0123", "0123456789abcdef0", "0123456789abcde/"] {
            assert!(serde_json::from_value::<RunId>(bad.into()).is_err(), "{bad}");
        }
        assert!(serde_json::from_value::<RunId>("0123456789abcdef".into()).is_ok());
    }
}
