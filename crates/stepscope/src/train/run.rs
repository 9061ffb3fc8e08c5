//! A run from its specification: the pieces put together.

use std::sync::Arc;

use stepscope_spectral::random::RandomStream;
use stepscope_types::spec::{self, OptimizerMethod};
use stepscope_types::{BatchSize, Manifest, ModelManifest, RunSpec, Seeds, Software};
use thiserror::Error;

use super::afford::Means;
use super::averaging::{AverageSetup, bank};
use super::event::Sink;
use super::interrupt::Interrupt;
use super::measured_mode::MeasuredMode;
use super::plan::{Plan, PlanError};
use super::probes::RunProbes;
use super::range_test::RangeTestError;
use super::run_loop::{Outcome, ResumeFrom, ScheduledProbe, TrainError, TrainingLoop};
use crate::backend::{BURN_VERSION, Backend, DeviceError};
use crate::checkpoint::{Checkpoint, CheckpointError, Retention, WeightsError, load_weights};
use crate::control::{MethodError, method};
use crate::data::{
    Batch, DataError, Dataset, Loader, Sampler, SamplingError, WithReplacement, planned_sampler, probe_subset, sampler,
};
use crate::measure::{CostModel, Objective};
use crate::models::{InMode, Model, ModelError, ParamLayout, describe};

/// Examples whose statistics one forward pass finds; of more, layer after layer takes a pass.
const STATISTICS_BATCH: usize = 2048;

/// A run that could not start or not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// The specification and the data do not go together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The network does not fit the data.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The data cannot be used as asked.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The method does not suit the data.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The examples cannot be drawn as asked.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A range test that is none.
    #[error(transparent)]
    RangeTest(#[from] RangeTestError),
    /// The file of initial weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The checkpoint to go on from belongs to another network.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The loop stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl RunError {
    /// Whether the specification is at fault, and not something that happened while running.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Train(_))
    }
}

/// A probe of a run's network, with the steps at which it measures.
pub type RunProbe<'p> = ScheduledProbe<'p, InMode<Model>>;

/// A specification with its data, checked: everything is ready but nothing has been trained or written.
#[derive(Debug)]
pub struct Run<'a> {
    pub(super) spec: &'a RunSpec,
    pub(super) dataset: &'a Dataset,
    pub(super) backend: Backend,
    pub(super) plan: Plan,
    pub(super) network: Model,
    pub(super) resume: Option<ResumeFrom>,
    interrupt: Interrupt,
}

impl<'a> Run<'a> {
    /// Checks that specification, data and network go together, and draws the initial weights.
    ///
    /// # Errors
    /// [`RunError`] where they do not; [`RunError::is_bad_input`] is then true.
    pub fn prepare(spec: &'a RunSpec, dataset: &'a Dataset) -> Result<Self, RunError> {
        let plan = Plan::new(spec, dataset.train.num_examples() as u64)?;
        if spec.average.enabled {
            // What a shadow cannot hold is refused before anything runs.
            bank(&spec.average, &plan).map_err(PlanError::from)?;
        }
        let backend = Backend::open(spec.train.device, spec.model.precision)?;
        let random = RandomStream::named(spec.seeds.init_seed(), "initial weights");
        Self::measured_on(spec, &backend)?;
        let network = Model::new(&spec.model, dataset.shape, dataset.num_outputs, random, &backend)?;
        let network = match &spec.model.weights {
            Some(file) => {
                let network = load_weights(network, std::path::Path::new(file))?;
                // The tangent is that at the weights the run starts from.
                if spec.model.linearised { network.linearised() } else { network }
            }
            None => network,
        };
        let (resume, interrupt) = (None, Interrupt::default());
        // A method that does not fit is found here, before anything is written.
        let num_train = dataset.train.num_examples() as u64;
        drop(method::<Model, Batch>(spec, &plan, num_train, &ParamLayout::of(&network))?);
        Ok(Self { spec, dataset, backend, plan, network, resume, interrupt })
    }

    /// The same run, to be asked to stop through `interrupt`.
    pub fn interrupted_by(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// The same run, to go on from `checkpoint`.
    ///
    /// # Errors
    /// [`RunError::Checkpoint`] where it was saved from another architecture.
    pub fn resumed_from(mut self, checkpoint: &Checkpoint) -> Result<Self, RunError> {
        self.network = checkpoint.network(self.network)?;
        let state = Arc::clone(&checkpoint.state);
        let (step, wall_seconds) = (checkpoint.step, checkpoint.wall_seconds);
        self.resume = Some(ResumeFrom { step, wall_seconds, state });
        Ok(self)
    }

    /// Which checkpoints of the run stay.
    pub fn retention(&self) -> Retention {
        let newest = usize::try_from(self.spec.checkpoint.keep).unwrap_or(usize::MAX);
        Retention { newest, multiples_of: self.plan.checkpoint_keep_every }
    }

    /// What the run computes on.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The lengths of the run in steps.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What `run.json` says. `started_unix_seconds` is the time now: the library reads no calendar.
    pub fn manifest(&self, started_unix_seconds: u64) -> Manifest {
        let seeds = &self.spec.seeds;
        Manifest {
            format: Manifest::FORMAT,
            name: self.spec.name.clone(),
            process: "training".to_owned(),
            spec: self.spec.clone(),
            seeds: Seeds {
                root: seeds.root,
                init: Some(seeds.init_seed()),
                data: Some(seeds.data_seed()),
                probe: Some(seeds.probe_seed()),
            },
            data: self.dataset.manifest(),
            model: ModelManifest {
                description: describe(&self.spec.model, self.dataset.shape, self.dataset.num_outputs),
                num_params: ParamLayout::of(&self.network).num_params() as u64,
            },
            software: Software {
                stepscope: env!("CARGO_PKG_VERSION").to_owned(),
                burn: BURN_VERSION.to_owned(),
                device: self.backend.description(),
                threads: self.backend.threads(),
            },
            started_unix_seconds,
        }
    }

    /// How the run's probes see its network.
    pub(super) fn measured_mode(&self, measured_on: &Backend) -> Result<MeasuredMode, SamplingError> {
        let (spec, num_train) = (self.spec, self.dataset.train.num_examples());
        MeasuredMode::of(spec, || {
            let size = spec.measure.examples.min(num_train as u64);
            let examples = probe_subset(num_train, size, spec.seeds.probe_seed())?;
            let (tracked, dtype) = (measured_on.tracked(), measured_on.dtype());
            let (split, shape) = (&self.dataset.train, self.dataset.shape);
            Ok(Objective::with_micro_batch_size(split, shape, &examples, &tracked, dtype, STATISTICS_BATCH))
        })
    }

    /// The device in the precision in which is measured.
    pub(super) fn measured_on(spec: &RunSpec, backend: &Backend) -> Result<Backend, DeviceError> {
        backend.in_precision(spec.measure.chosen_precision(spec.model.precision))
    }

    /// Trains, with the probes of the specification and those of `extra`, and tells `sink` everything.
    ///
    /// # Errors
    /// [`RunError::Train`] where a sink or a probe fails, where a checkpoint does not fit, and where the run was
    /// interrupted. Divergence is an outcome, not an error.
    pub fn train(self, extra: Vec<RunProbe<'_>>, sink: &mut dyn Sink) -> Result<Outcome<Model>, RunError> {
        let measured_on = Self::measured_on(self.spec, &self.backend)?;
        let measured_mode = self.measured_mode(&measured_on)?;
        let Self { spec, dataset, backend, plan, network, resume, interrupt } = self;
        let (num_train, seeds) = (dataset.train.num_examples(), spec.seeds);
        let (plain, dtype) = (backend.plain(), backend.dtype());
        let model = CostModel::of(&network, dataset.shape, &backend.tracked(), dtype);
        let method = method(spec, &plan, num_train as u64, &ParamLayout::of(&network))?;
        let lends = backend.computes_like(&measured_on) && measured_mode.is_of_training() && !method.trains_elsewhere();
        let means = Means::of(spec, &plan, lends, model);
        let mut own = RunProbes::new(spec, dataset, &measured_on, &means)?;
        let mut probes = own.scheduled(&plan, &means);
        // Field by field, so that the longer borrow of the caller's probes may shrink to that of the ones above.
        probes.extend(extra.into_iter().map(|ScheduledProbe { probe, due, claim }| ScheduledProbe {
            probe,
            due,
            claim,
        }));

        let num_statistics = spec.average.statistics_examples.min(num_train as u64);
        let of_train = probe_subset(num_train, num_statistics, seeds.probe_seed())?;
        let averages = spec.average.enabled.then(|| AverageSetup {
            spec: spec.average.clone(),
            test: Objective::whole(&dataset.test, dataset.shape, &plain, dtype),
            train: Objective::new(&dataset.train, dataset.shape, &of_train, &plain, dtype),
        });
        let statistics_examples = Objective::new(&dataset.train, dataset.shape, &of_train, &plain, dtype);
        let training_loop = TrainingLoop {
            dataset,
            device: backend.tracked(),
            dtype,
            product_dtype: backend.product_dtype(),
            // Searches hold the loss that came with the gradient against others of the same batch: one function of the weights.
            narrow_losses: spec.optimizer.method.compares_own_losses(),
            measure_dtype: measured_on.dtype(),
            loader: Loader::new(
                &dataset.train,
                dataset.shape,
                planned_sampler(spec.train.sampling, num_train, plan.batches.clone(), seeds.data_seed())?,
                dataset.augmentation(&spec.data, seeds.data_seed())?,
                plan.batches.clone(),
            ),
            // Apart from the training stream, so that measuring the learning rate does not change the order of the examples.
            line_sampler: line_sampler(spec, num_train)?,
            method,
            probes,
            measured_mode,
            lends,
            budget: spec.measure.chosen_budget(),
            cost_model: model,
            dropout_seed: seeds.data_seed(),
            micro_batch_size: spec.train.micro_batch_size.map(BatchSize::get),
            statistics_examples,
            averages,
            resume,
            interrupt,
            plan,
        };
        Ok(training_loop.run(network, sink)?)
    }
}

/// The batches on which a method looks at the loss.
fn line_sampler(spec: &RunSpec, num_train: usize) -> Result<Box<dyn Sampler>, SamplingError> {
    let (batch_size, seed) = (spec.train.batch_size, spec.seeds.probe_seed());
    Ok(match spec.optimizer.method {
        // Passes over the training set, which is what it measures.
        OptimizerMethod::Fbpal => sampler(spec::Sampling::WithoutReplacement, num_train, batch_size, seed)?,
        _ => Box::new(WithReplacement::new(num_train, batch_size, seed)?),
    })
}
