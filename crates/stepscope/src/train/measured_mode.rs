//! The mode in which a run's probes see its network.

use stepscope_spectral::random::RandomStream;
use stepscope_types::spec::{self, Normalisation};
use stepscope_types::{Mode, RunSpec};

use crate::measure::{Cost, Objective};
use crate::models::{BatchStatistics, DropoutMode, Dual, InMode, Network, NormalisationMode, Pass};

/// How probes evaluate the network, whatever training does: `measure.mode` and `measure.dropout`.
#[derive(Debug)]
pub struct MeasuredMode {
    statistics: Statistics,
    dropout: DropoutMode,
    is_of_training: bool,
}

#[derive(Debug)]
enum Statistics {
    Running,
    /// Of these examples at the present weights.
    Frozen(Objective),
    OfBatches,
}

impl MeasuredMode {
    /// Running statistics, nothing dropped.
    pub fn eval() -> Self {
        Self { statistics: Statistics::Running, dropout: DropoutMode::Off, is_of_training: false }
    }

    /// Whether a training step evaluates the network in this mode too, so that what it computes can be lent to probes.
    pub(super) fn is_of_training(&self) -> bool {
        self.is_of_training
    }

    /// What `measure.mode` and `measure.dropout` of `spec` ask for; `examples` gives the probe examples, from which frozen statistics are
    /// computed. Networks without batch normalisation have one mode, those without dropout drop nothing.
    ///
    /// # Errors
    /// That of `examples`.
    pub fn of<E>(spec: &RunSpec, examples: impl FnOnce() -> Result<Objective, E>) -> Result<Self, E> {
        let mode = match spec.model.normalisation() {
            Normalisation::Batch => spec.measure.mode,
            _ => spec::MeasureMode::Eval,
        };
        let statistics = match mode {
            spec::MeasureMode::Eval => Statistics::Running,
            spec::MeasureMode::FrozenFull => Statistics::Frozen(examples()?),
            spec::MeasureMode::TrainBatch => Statistics::OfBatches,
        };
        let drops = spec.measure.dropout && spec.model.dropout > 0.0;
        let seed = RandomStream::named(spec.seeds.probe_seed(), "dropout masks").next_word();
        // One mask for the whole run: curves then show the weights' change and not the masks'.
        let dropout = if drops { DropoutMode::FixedMask { seed } } else { DropoutMode::Off };
        let is_batches_own =
            spec.model.normalisation() != Normalisation::Batch || mode == spec::MeasureMode::TrainBatch;
        let is_of_training = is_batches_own && spec.model.dropout == 0.0;
        Ok(Self { statistics, dropout, is_of_training })
    }

    /// The word that is recorded with every value.
    pub fn mode(&self) -> Mode {
        let normalisation = match self.statistics {
            Statistics::Running => NormalisationMode::Eval,
            Statistics::Frozen(_) => NormalisationMode::FrozenFull(BatchStatistics::default()),
            Statistics::OfBatches => NormalisationMode::TrainBatch,
        };
        Pass::values().with_normalisation(normalisation).with_dropout(self.dropout).mode()
    }

    /// `network` (a clone shares its memory) in this mode, and what that cost beside what is measured in it: one or more
    /// forward passes over the probe examples where statistics are theirs.
    pub fn view<N: Network>(&self, network: &N) -> (InMode<N>, Cost) {
        let (normalisation, cost) = match &self.statistics {
            Statistics::Running => (NormalisationMode::Eval, Cost::ZERO),
            Statistics::OfBatches => (NormalisationMode::TrainBatch, Cost::ZERO),
            Statistics::Frozen(examples) => {
                let statistics = self.statistics_over(network, examples);
                let is_whole = examples.micro_batches().count() <= 1;
                let passes = if is_whole { 1 } else { statistics.len() + 1 };
                let cost = Cost::forwards(passes * examples.num_examples());
                (NormalisationMode::FrozenFull(statistics), cost)
            }
        };
        (InMode::new(network.clone(), normalisation, self.dropout), cost)
    }

    fn statistics_over<N: Network>(&self, network: &N, examples: &Objective) -> BatchStatistics {
        let network = network.clone().no_grad();
        let batches: Vec<_> = examples.micro_batches().map(|(batch, _)| batch).collect();
        BatchStatistics::over(batches.len(), |index, pass| {
            if let Some(batch) = batches.get(index) {
                let own = pass.clone().with_dropout(self.dropout).with_first_example(batch.first_example);
                network.logits(Dual::constant(batch.images.clone()), &own);
                pass.take_over(&own);
            }
        })
    }
}
