//! In which mode of batch normalisation a run is measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::instruments::Instrument;

/// Where batch normalisation takes mean and variance from while measuring. Networks without it have one mode, and record
/// it as `eval`.
///
/// Source: `curvature`, section 4.8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeasureMode {
    /// The running statistics: what the network would be used with. Early in training they lag behind the weights.
    #[default]
    Eval,
    /// Those of the probe examples at the present weights, computed anew for each reading and held constant in it.
    FrozenFull,
    /// Those of each batch of the training's size, differentiated through, as a training step does. Examples then see each
    /// other, so what is made of single examples' gradients does not exist.
    TrainBatch,
}

impl MeasureMode {
    /// The word that a specification uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Eval => "eval",
            Self::FrozenFull => "frozen-full",
            Self::TrainBatch => "train-batch",
        }
    }

    /// Whether what `instrument` measures exists in this mode on networks with batch normalisation.
    pub fn allows(self, instrument: Instrument) -> bool {
        let per_example = [Instrument::BreakEven, Instrument::GradientNoise, Instrument::GradientCovariance];
        self != Self::TrainBatch || !per_example.contains(&instrument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_mode_is_the_one_in_specifications() {
        for mode in [MeasureMode::Eval, MeasureMode::FrozenFull, MeasureMode::TrainBatch] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.word());
        }
    }
}
