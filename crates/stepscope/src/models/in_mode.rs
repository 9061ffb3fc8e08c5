//! A network that is always evaluated in one mode.

use burn::module::{Module, ModuleDisplay};

use super::{DropoutMode, Dual, Network, NormalisationMode, Pass};

/// A network whose every forward pass takes its statistics and its dropout masks from where this says, whatever the pass
/// says: what a probe or an operator measures in another mode than evaluation.
///
/// Parameters are those of the network itself, so that a [`ParamLayout`](super::ParamLayout) of the one fits the other.
///
/// | mode | built by | examples independent |
/// |---|---|---|
/// | running statistics | [`NormalisationMode::Eval`] | yes |
/// | those of the measured examples, constant | [`NormalisationMode::FrozenFull`] of [`BatchStatistics::over`](super::BatchStatistics::over) | yes |
/// | each batch's own | [`NormalisationMode::TrainBatch`] | no: no gradient covariance, and the micro-batch size matters |
///
/// Source: `curvature`, section 4.8.
#[derive(Module, Debug)]
pub struct InMode<N: Module + ModuleDisplay> {
    network: N,
    #[module(skip)]
    normalisation: NormalisationMode,
    #[module(skip)]
    dropout: DropoutMode,
}

impl<N: Network> InMode<N> {
    /// `network` (a clone shares its memory) in that mode.
    pub fn new(network: N, normalisation: NormalisationMode, dropout: DropoutMode) -> Self {
        Self { network, normalisation, dropout }
    }
}

impl<N: Network> Network for InMode<N> {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let own = pass.clone().with_normalisation(self.normalisation.clone()).with_dropout(self.dropout);
        let logits = self.network.logits(images, &own);
        pass.take_over(&own);
        logits
    }

    fn kinks(&self) -> Vec<&'static str> {
        self.network.kinks()
    }
}
