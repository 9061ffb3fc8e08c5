//! The training loop. Its order of events is written in [`event`](super::event)'s pseudocode.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{DType, Device};
use stepscope_spectral::random::RandomStream;
use stepscope_types::quantity;
use stepscope_types::spec::MeasureBudget;
use stepscope_types::{Estimate, Measurement, Mode, Reading, Step, StopReason, Timing, Uncertainty};
use thiserror::Error;

use super::averaging::{AverageExamples, Averages};
use super::budget::Budget;
use super::divergence::DivergenceWatch;
use super::event::{Event, Sink, SinkError, Snapshot};
use super::interrupt::Interrupt;
use super::measured_mode::MeasuredMode;
use super::plan::Plan;
use super::schedule::Due;
use crate::checkpoint::{NETWORK, State, StateError};
use crate::control::{LearningRateSource, Line, Sgd};
use crate::data::{Batch, Dataset, Loader, Sampler};
use crate::measure::objective::{mean_loss, scalar};
use crate::measure::{Cost, Measured, Objective, Probe, ProbeError, ProbePoint, SharedReadings};
use crate::models::{DropoutMode, InMode, Network, NormalisationMode, ParamLayout, ParamTensors, Pass};

/// A probe with the steps at which it measures.
pub struct ScheduledProbe<'p, N> {
    /// The probe.
    pub probe: &'p mut dyn Probe<N>,
    /// When it measures.
    pub due: Due,
}

/// Everything that a run consists of.
pub struct TrainingLoop<'p, N: Network> {
    /// The training examples.
    pub dataset: &'p Dataset,
    /// Where tensors live: the tracked device.
    pub device: Device,
    /// Their number type.
    pub dtype: DType,
    /// The lengths.
    pub plan: Plan,
    /// The training batches.
    pub loader: Loader,
    /// The batches that a measured learning rate is evaluated on.
    pub line_sampler: Box<dyn Sampler>,
    /// The direction.
    pub optimizer: Sgd,
    /// The length of the step.
    pub learning_rate: LearningRateSource,
    /// The probes.
    pub probes: Vec<ScheduledProbe<'p, InMode<N>>>,
    /// How the probes see the network.
    pub measured_mode: MeasuredMode,
    /// What all readings together may cost, as a share of the training; `None` for no limit.
    pub budget: Option<MeasureBudget>,
    /// Where every step's dropout masks come from.
    pub dropout_seed: u64,
    /// The examples on which averages are evaluated; `None` for no averages.
    pub average_examples: Option<AverageExamples>,
    /// Where to go on; `None` to begin.
    pub resume: Option<ResumeFrom>,
    /// The handle that asks the run to stop.
    pub interrupt: Interrupt,
}

/// The place from which a run goes on.
#[derive(Debug, Clone)]
pub struct ResumeFrom {
    /// Updates applied.
    pub step: Step,
    /// Seconds that the run took so far.
    pub wall_seconds: f64,
    /// The state after that step.
    pub state: Arc<State>,
}

/// How a run ended, and with which weights.
#[derive(Debug)]
pub struct Outcome<N> {
    /// The network after the last step.
    pub network: N,
    /// Updates applied.
    pub step: Step,
    /// Why it ended.
    pub reason: StopReason,
}

/// A run that could not go on.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A sink refused an event.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A probe could not measure.
    #[error("step {step}: {source}")]
    Probe {
        /// Where.
        step: Step,
        /// Why.
        source: ProbeError,
    },
    /// The state to go on from does not fit this run.
    #[error(transparent)]
    State(#[from] StateError),
    /// The run was asked to stop. It has not ended: where checkpoints are on, it can go on from this step.
    #[error("stopped after {step} steps, as asked")]
    Interrupted {
        /// Updates applied.
        step: Step,
    },
}

/// What changes from step to step beside the network and the parts of the loop.
struct Progress {
    step: Step,
    last_learning_rate: Option<f64>,
    watch: DivergenceWatch,
    averages: Option<Averages>,
    budget: Budget,
    clock: Clock,
}

impl<N: Network> TrainingLoop<'_, N> {
    /// Trains `network`, which is on the tracked device, and tells `sink` everything.
    ///
    /// # Errors
    /// [`TrainError`] where a sink or a probe fails, where the state to go on from does not fit, and where the run was
    /// interrupted. Divergence is an outcome, not an error.
    pub fn run(mut self, network: N, sink: &mut dyn Sink) -> Result<Outcome<N>, TrainError> {
        let layout = ParamLayout::of(&network);
        let num_steps = self.plan.num_steps;
        let (mut network, mut now) = self.begin(network, &layout, sink)?;
        let mut stop = None;
        while now.step.0 < num_steps && stop.is_none() {
            self.save_due(&now, &network, &layout, sink)?;
            self.measure_due(&mut now, &network, &layout, sink)?;
            (network, stop) = self.advance(network, &mut now, sink)?;
        }
        if stop.is_none() {
            self.save_due(&now, &network, &layout, sink)?;
            self.measure_due(&mut now, &network, &layout, sink)?;
            for measured in now.averages.iter().flat_map(|averages| averages.evaluate(&network)) {
                sink.receive(&Event::Measured(self.measurement(now.step, measured, now.clock.now(None))))?;
            }
        }
        let (step, reason) = (now.step, stop.unwrap_or(StopReason::Finished));
        let (epoch, timing) = (self.plan.epoch(step.0), now.clock.now(None));
        for measured in now.budget.summary(step.0) {
            sink.receive(&Event::Measured(self.measurement(step, measured, timing)))?;
        }
        if let Some(event) = readings_left_out(&now.budget, step, epoch, timing) {
            sink.receive(&event)?;
        }
        sink.receive(&Event::RunEnded { step, epoch, reason: reason.clone(), timing })?;
        Ok(Outcome { network, step, reason })
    }

    /// The start of the run, or the place where an earlier process left it.
    fn begin(&mut self, network: N, layout: &ParamLayout, sink: &mut dyn Sink) -> Result<(N, Progress), TrainError> {
        let mut now = Progress {
            step: Step(0),
            last_learning_rate: None,
            watch: DivergenceWatch::new(),
            averages: self.average_examples.take().map(|examples| Averages::new(&self.plan, examples)),
            budget: Budget::new(self.budget, self.plan.num_steps, Cost::gradients(self.plan.batch_size as usize)),
            clock: Clock { started: Instant::now(), earlier_seconds: 0.0 },
        };
        let num_steps = self.plan.num_steps;
        let Some(from) = self.resume.take() else {
            sink.receive(&Event::RunStarted { num_steps, timing: now.clock.now(None) })?;
            return Ok((network, now));
        };
        let network = from.state.network(NETWORK, network)?;
        self.load(&from.state, &mut now, layout)?;
        now.step = from.step;
        now.clock.earlier_seconds = from.wall_seconds;
        sink.receive(&Event::RunResumed { step: now.step, num_steps, timing: now.clock.now(None) })?;
        Ok((network, now))
    }

    /// One update; or, where the batch's loss says so, the reason to stop.
    fn advance(
        &mut self,
        network: N,
        now: &mut Progress,
        sink: &mut dyn Sink,
    ) -> Result<(N, Option<StopReason>), TrainError> {
        let step = now.step;
        let batch = self.loader.next_batch(&self.device, self.dtype);
        // A function of the step alone, so that a run that is resumed drops what it would have dropped.
        let pass = Pass::training(RandomStream::new(self.dropout_seed, step.0).next_word());
        let loss = mean_loss(&network, &batch, &pass).value;
        let batch_loss = scalar(&loss);
        let stop = now.watch.observe(step, batch_loss, self.learning_rate.current());
        if stop.is_some() {
            sink.receive(&self.step_taken(step, &batch, batch_loss, None, &now.clock))?;
            return Ok((network, stop));
        }
        let direction = self.optimizer.accelerate(ParamTensors::gradient(&network, &mut loss.backward()));
        let mut line = HeldOutLine {
            network: &network,
            direction,
            dataset: self.dataset,
            sampler: self.line_sampler.as_mut(),
            device: self.device.clone().inner(),
            dtype: self.dtype,
        };
        let (learning_rate, measured) = self.learning_rate.at(step, &mut line);
        for measured in measured {
            sink.receive(&Event::Measured(self.measurement(step, measured, now.clock.now(None))))?;
        }
        let network = pass.statistics().absorb_into(self.optimizer.step(network, learning_rate));
        let changed = now.last_learning_rate.replace(learning_rate) != Some(learning_rate);
        // The last one too, so that a curve has both ends.
        let changed = changed || step.0 + 1 == self.plan.num_steps;
        sink.receive(&self.step_taken(step, &batch, batch_loss, changed.then_some(learning_rate), &now.clock))?;
        now.step = Step(step.0 + 1);
        if let Some(averages) = &mut now.averages {
            averages.update(now.step.0, &network);
        }
        Ok((network, None))
    }

    /// Tells the state where a checkpoint is due; ends here where the run was asked to stop.
    fn save_due(
        &self,
        now: &Progress,
        network: &N,
        layout: &ParamLayout,
        sink: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let (step, is_calm, is_interrupted) = (now.step, now.watch.is_calm(), self.interrupt.is_requested());
        let is_due = |every: u64| {
            let is_time = step.0 > 0 && (step.0.is_multiple_of(every.max(1)) || step.0 == self.plan.num_steps);
            is_interrupted || (is_time && is_calm)
        };
        if self.plan.checkpoint_every.is_some_and(is_due) {
            let state = Arc::new(self.save(now, network, layout));
            let wall_seconds = now.clock.now(None).wall_seconds;
            sink.receive(&Event::Checkpoint(Arc::new(Snapshot { step, is_calm, wall_seconds, state })))?;
        }
        if is_interrupted { Err(TrainError::Interrupted { step }) } else { Ok(()) }
    }

    fn save(&self, now: &Progress, network: &N, layout: &ParamLayout) -> State {
        let mut state = State::default();
        state.put_network(NETWORK, network);
        state.nest_weights("optimizer", &self.optimizer, layout);
        state.nest("loader", &self.loader);
        state.nest("line_sampler", self.line_sampler.as_ref());
        state.nest("learning_rate", &self.learning_rate);
        for (index, scheduled) in self.probes.iter().enumerate() {
            state.nest(&probe_key(index, scheduled.probe.name()), &*scheduled.probe);
        }
        state.nest("divergence", &now.watch);
        state.nest("budget", &now.budget);
        if let Some(averages) = &now.averages {
            state.nest_weights("averages", averages, layout);
        }
        state.put("last_learning_rate", &now.last_learning_rate);
        state
    }

    fn load(&mut self, state: &State, now: &mut Progress, layout: &ParamLayout) -> Result<(), StateError> {
        state.restore_weights("optimizer", &mut self.optimizer, layout)?;
        state.restore("loader", &mut self.loader)?;
        state.restore("line_sampler", self.line_sampler.as_mut())?;
        state.restore("learning_rate", &mut self.learning_rate)?;
        for (index, scheduled) in self.probes.iter_mut().enumerate() {
            state.restore(&probe_key(index, scheduled.probe.name()), &mut *scheduled.probe)?;
        }
        state.restore("divergence", &mut now.watch)?;
        state.restore("budget", &mut now.budget)?;
        if let Some(averages) = &mut now.averages {
            state.restore_weights("averages", averages, layout)?;
        }
        now.last_learning_rate = state.get("last_learning_rate")?;
        Ok(())
    }

    fn measure_due(
        &mut self,
        now: &mut Progress,
        network: &N,
        layout: &ParamLayout,
        sink: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let (step, shared, motion) = (now.step, SharedReadings::default(), self.optimizer.motion());
        let learning_rate = self.learning_rate.current();
        let due: Vec<usize> =
            (0..self.probes.len()).filter(|&index| self.probes[index].due.at(step.0, self.plan.num_steps)).collect();
        let wanted = |&index: &usize| {
            let probe = &self.probes[index].probe;
            (probe.name(), probe.cost(), probe.weight())
        };
        let costs: Vec<(&str, Cost, f64)> = due.iter().map(wanted).collect();
        let admitted = now.budget.admit(step.0, &costs);
        if !admitted.contains(&true) {
            return Ok(());
        }
        let (view, cost) = self.measured_mode.view(network);
        now.budget.charge_preparation(cost);
        let mode = self.measured_mode.mode();
        let point = ProbePoint { network: &view, layout, step, learning_rate, motion, shared: Some(&shared), mode };
        for (index, _) in due.into_iter().zip(admitted).filter(|(_, admitted)| *admitted) {
            let probe = &mut self.probes[index].probe;
            let started = Instant::now();
            let measured = probe.measure(&point).map_err(|source| TrainError::Probe { step, source })?;
            now.budget.charge(probe.name(), probe.cost());
            let cost = started.elapsed().as_secs_f64() / measured.len().max(1) as f64;
            for measured in measured {
                sink.receive(&Event::Measured(self.measurement(step, measured, now.clock.now(Some(cost)))))?;
            }
            if let Some(spectrum) = self.probes[index].probe.take_spectrum() {
                sink.receive(&Event::Spectrum(Arc::new(spectrum)))?;
            }
        }
        Ok(())
    }

    fn step_taken(
        &self,
        step: Step,
        batch: &Batch,
        batch_loss: f64,
        learning_rate: Option<f64>,
        clock: &Clock,
    ) -> Event {
        let loss = Estimate::new(batch_loss, quantity::BATCH_LOSS.unit, Uncertainty::Exact)
            .over_examples(batch.len() as u64)
            .in_mode(Mode::Train);
        let measurement = |name: &str, reading: Reading| self.at(step, name, reading, clock.now(None));
        Event::StepTaken {
            batch_loss: measurement(quantity::BATCH_LOSS.name, loss.into()),
            learning_rate: learning_rate.map(|rate| {
                let estimate = Estimate::new(rate, quantity::LEARNING_RATE.unit, Uncertainty::Exact);
                measurement(quantity::LEARNING_RATE.name, estimate.into())
            }),
        }
    }

    fn measurement(&self, step: Step, measured: Measured, timing: Timing) -> Measurement {
        self.at(step, measured.quantity.name, measured.reading, timing)
    }

    fn at(&self, step: Step, name: &str, reading: Reading, timing: Timing) -> Measurement {
        let mut measurement = Measurement::new(step, self.plan.epoch(step.0), name, reading);
        measurement.timing = Some(timing);
        measurement
    }
}

/// Which readings a budget left out, where it did.
fn readings_left_out(budget: &Budget, step: Step, epoch: f64, timing: Timing) -> Option<Event> {
    let (share, left_out) = (budget.share()?, budget.left_out());
    (!left_out.is_empty()).then_some(Event::ReadingsLeftOut { step, epoch, budget: share, left_out, timing })
}

/// Name of a probe in a saved state: with its place, since two of a kind may measure.
fn probe_key(index: usize, name: &str) -> String {
    format!("probes/{index}-{name}")
}

/// Seconds since the run began, over all its processes.
struct Clock {
    started: Instant,
    earlier_seconds: f64,
}

impl Clock {
    fn now(&self, cost_seconds: Option<f64>) -> Timing {
        Timing { wall_seconds: self.earlier_seconds + self.started.elapsed().as_secs_f64(), cost_seconds }
    }
}

/// The loss along the coming step, on batches that did not give the direction.
struct HeldOutLine<'a, N> {
    network: &'a N,
    direction: &'a ParamTensors,
    dataset: &'a Dataset,
    sampler: &'a mut dyn Sampler,
    device: Device,
    dtype: DType,
}

impl<N: Network> Line for HeldOutLine<'_, N> {
    fn losses(&mut self, positions: [f64; 3], num_batches: usize) -> Vec<[f64; 3]> {
        // On each batch's own statistics, as in the step: the running ones belong to where the step starts.
        let networks = positions.map(|s| {
            let displaced = self.direction.displace(self.network.valid(), -s);
            InMode::new(displaced, NormalisationMode::TrainBatch, DropoutMode::Off)
        });
        (0..num_batches)
            .map(|_| {
                let indices = self.sampler.next_batch();
                let split = &self.dataset.train;
                let batch = Batch::gather(split, self.dataset.shape, indices, &self.device, self.dtype);
                let objective = Objective::of_batch(batch);
                [0, 1, 2].map(|point| objective.evaluate(&networks[point]).mean_loss())
            })
            .collect()
    }
}
