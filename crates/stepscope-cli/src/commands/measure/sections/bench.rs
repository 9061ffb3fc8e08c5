//! The examples on which a section is evaluated, and its directions.

use std::convert::Infallible;

use anyhow::anyhow;
use stepscope::backend::Backend;
use stepscope::data::{Split, probe_subset};
use stepscope::measure::{Curvature, CurvatureOperator, Objective, Section};
use stepscope::models::{InMode, Model, ParamLayout, Sharing, in_precision};
use stepscope::spectral::random::RandomStream;
use stepscope::spectral::{Lanczos, LanczosConfig, StartVector};
use stepscope::train::{MeasuredMode, Run};
use stepscope::types::spec::{LearningRateSpec, MeasureMode};
use stepscope::types::{Mode, SectionDirection};

use super::super::saved_run::SavedRun;
use crate::args::Direction;
use crate::failure::Failure;

/// Training examples from which the statistics of batch normalisation are computed at every point, at most: one batch.
const STATISTICS_EXAMPLES: usize = 2048;

/// The probe examples of a run, and as many of its test set; and how a network is evaluated on them.
pub(super) struct Bench<'r> {
    run: &'r SavedRun,
    backend: Backend,
    tracked: Objective,
    pub(super) train: Objective,
    pub(super) test: Objective,
    /// Of points that are only evaluated.
    mode: MeasuredMode,
    /// Of the network through which directions go.
    tracked_mode: MeasuredMode,
}

impl<'r> Bench<'r> {
    /// In the mode of the run's specification.
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
        let (plain, tracked, dtype) = (backend.plain(), backend.tracked(), backend.dtype());
        let size = match spec.measure.mode {
            // Whoever makes statistics of its own sees batches like those of the training.
            MeasureMode::TrainBatch => spec.train.batch_size.get() as usize,
            _ => Objective::MICRO_BATCH_SIZE,
        };
        let on = |split: &Split, indices: &[u32], device: &_, size| {
            Objective::with_micro_batch_size(split, dataset.shape, indices, device, dtype, size)
        };
        let few = &of_train[..of_train.len().min(STATISTICS_EXAMPLES)];
        let mode = |device: &_| {
            let examples = || Ok::<_, Infallible>(on(&dataset.train, few, device, few.len()));
            let Ok(mode) = MeasuredMode::of(spec, examples);
            mode
        };
        Ok(Self {
            run,
            tracked: on(&dataset.train, &of_train, &tracked, size),
            train: on(&dataset.train, &of_train, &plain, size),
            test: on(&dataset.test, &of_test, &plain, size),
            mode: mode(&plain),
            tracked_mode: mode(&tracked),
            backend,
        })
    }

    /// The network of a run in the precision in which is measured.
    pub(super) fn network(&self, run: &Run<'_>) -> Model {
        in_precision(run.network().clone(), self.backend.dtype())
    }

    /// How points are evaluated.
    pub(super) fn mode(&self) -> Mode {
        self.mode.mode()
    }

    /// `network` as it is evaluated: in `frozen-full` with statistics that are its own.
    pub(super) fn prepared(&self, network: &Model) -> InMode<Model> {
        self.mode.view(network).0
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
        let view = &self.tracked_mode.view(network).0;
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
                let (_, gradient) = self.tracked.loss_and_gradient(view, layout).map_err(Failure::failed)?;
                let values = gradient.into_iter().map(|g| -rate * g).collect();
                ("gradient", "down the gradient, in steps of the learning rate", values)
            }
            Direction::Sharpest => {
                let mut operator =
                    CurvatureOperator::new(view, &self.tracked, layout, Curvature::Hessian).sharing(Sharing::default());
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
