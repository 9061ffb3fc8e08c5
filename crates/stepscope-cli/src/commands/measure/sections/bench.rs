//! The examples on which a section is evaluated, and its directions.

use anyhow::anyhow;
use stepscope::backend::Backend;
use stepscope::data::{Split, probe_subset};
use stepscope::measure::{Curvature, CurvatureOperator, Objective, Section};
use stepscope::models::{Model, ParamLayout, in_precision};
use stepscope::spectral::random::RandomStream;
use stepscope::spectral::{Lanczos, LanczosConfig, StartVector};
use stepscope::train::Run;
use stepscope::types::spec::LearningRateSpec;
use stepscope::types::{Mode, SectionDirection};

use super::super::saved_run::SavedRun;
use crate::args::Direction;
use crate::failure::Failure;

/// Training examples from which the statistics of batch normalisation are computed at every point, at most: one batch.
const STATISTICS_EXAMPLES: usize = 2048;

/// The probe examples of a run, and as many of its test set.
pub(super) struct Bench<'r> {
    run: &'r SavedRun,
    backend: Backend,
    tracked: Objective,
    /// The first of them in one batch, so that statistics over it are exact in one pass.
    statistics: Objective,
    pub(super) train: Objective,
    pub(super) test: Objective,
}

impl<'r> Bench<'r> {
    pub(super) fn new(run: &'r SavedRun) -> Result<Self, Failure> {
        let (spec, dataset) = (&run.spec, &run.dataset);
        let backend = {
            let precision = spec.measure.chosen_precision(spec.model.precision);
            Backend::open(spec.train.device, precision).map_err(Failure::bad_input)?
        };
        let subset = |split: &Split| {
            let count = split.num_examples();
            probe_subset(count, spec.measure.examples.min(count as u64), spec.seeds.probe_seed())
                .map_err(Failure::bad_input)
        };
        let (of_train, of_test) = (subset(&dataset.train)?, subset(&dataset.test)?);
        let (device, dtype) = (backend.plain(), backend.dtype());
        let plain = |split: &Split, indices: &[u32]| Objective::new(split, dataset.shape, indices, &device, dtype);
        let (train, test) = (plain(&dataset.train, &of_train), plain(&dataset.test, &of_test));
        let tracked = Objective::new(&dataset.train, dataset.shape, &of_train, &backend.tracked(), dtype);
        let few = &of_train[..of_train.len().min(STATISTICS_EXAMPLES)];
        let split = &dataset.train;
        let statistics = Objective::with_micro_batch_size(split, dataset.shape, few, &device, dtype, few.len());
        Ok(Self { run, backend, tracked, statistics, train, test })
    }

    /// The network of a run in the precision in which is measured.
    pub(super) fn network(&self, run: &Run<'_>) -> Model {
        in_precision(run.network().clone(), self.backend.dtype())
    }

    /// How points of a section of `network` are evaluated: statistics of one place would be wrong at another.
    pub(super) fn mode(&self, network: &Model) -> Mode {
        if self.statistics.statistics(network).is_empty() { Mode::Eval } else { Mode::FrozenFull }
    }

    /// `network` as `mode` evaluates it.
    pub(super) fn prepared(&self, network: Model, mode: Mode) -> Model {
        if mode == Mode::FrozenFull { self.statistics.with_own_statistics(network) } else { network }
    }

    /// A direction through `network`, with the number that it has in the section.
    pub(super) fn direction(
        &self,
        direction: Direction,
        index: usize,
        network: &Model,
        layout: &ParamLayout,
    ) -> Result<(SectionDirection, Vec<f64>), Failure> {
        let spec = &self.run.spec;
        let mut random = RandomStream::named(spec.seeds.probe_seed(), &format!("section direction {index}"));
        let (kind, name, values) = match direction {
            Direction::Random => {
                let values = Section::normalised_direction(network, layout, &mut random);
                ("random", "a random direction, each layer's part as long as its weights", values)
            }
            Direction::Gradient => {
                let rate = match spec.optimizer.learning_rate {
                    Some(LearningRateSpec::Fixed(rate)) => rate.get(),
                    // Between measurements no one rate is the run's: the first one gives the scale.
                    _ => spec.line_search.initial_learning_rate.get(),
                };
                let (_, gradient) = self.tracked.loss_and_gradient(network, layout).map_err(Failure::failed)?;
                let values = gradient.into_iter().map(|g| -rate * g).collect();
                ("gradient", "down the gradient, in steps of the learning rate", values)
            }
            Direction::Sharpest => {
                let mut operator = CurvatureOperator::new(network, &self.tracked, layout, Curvature::Hessian);
                let lanczos = Lanczos::new(LanczosConfig::default());
                let outcome = lanczos.run(&mut operator, StartVector::Random, &mut random).map_err(Failure::failed)?;
                let top = outcome.eigenpairs.into_iter().next().map(|pair| pair.eigenvector);
                let values = top.ok_or_else(|| {
                    Failure::Failed(anyhow!(
                        "no eigenvector of the Hessian was found on {}",
                        self.backend.description()
                    ))
                })?;
                ("sharpest", "the sharpest direction, of length 1", values)
            }
        };
        let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        Ok((SectionDirection { kind: kind.to_owned(), name: name.to_owned(), length }, values))
    }
}
