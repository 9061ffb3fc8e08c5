//! The independent random streams of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seeds by purpose, so that one can be changed while the others stay.
///
/// `root` gives each stream its seed; a stream that is set by name keeps the value given.
///
/// ```
/// use stepscope_types::Seeds;
/// let (a, b) = (Seeds::from_root(1), Seeds { init: Some(7), ..Seeds::from_root(1) });
/// assert_eq!(a.data_seed(), b.data_seed());
/// assert_eq!(b.init_seed(), 7);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Seeds {
    /// The seed from which every stream that is not set by name is derived.
    pub root: u64,
    /// Seed of the initial weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<u64>,
    /// Seed of the order of the training examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<u64>,
    /// Seed of everything that probes draw: subsets, start vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<u64>,
}

impl Seeds {
    /// All streams derived from one number.
    pub fn from_root(root: u64) -> Self {
        Self { root, init: None, data: None, probe: None }
    }

    /// Seed of the initial weights.
    pub fn init_seed(&self) -> u64 {
        self.init.unwrap_or_else(|| mix(self.root, 1))
    }

    /// Seed of the order of the training examples.
    pub fn data_seed(&self) -> u64 {
        self.data.unwrap_or_else(|| mix(self.root, 2))
    }

    /// Seed of everything that probes draw.
    pub fn probe_seed(&self) -> u64 {
        self.probe.unwrap_or_else(|| mix(self.root, 3))
    }
}

/// The output function of splitmix64 on `root` and a stream number: neighbouring roots give unrelated seeds.
/// Kept within 53 bits so that every JSON reader holds a seed exactly.
fn mix(root: u64, stream: u64) -> u64 {
    let mut z = root.wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn streams_and_roots_do_not_collide() {
        let seeds: HashSet<u64> =
            (0..1000).map(Seeds::from_root).flat_map(|s| [s.init_seed(), s.data_seed(), s.probe_seed()]).collect();
        assert_eq!(seeds.len(), 3000);
        assert!(seeds.iter().all(|&seed| seed < 1 << 53));
    }
}
