//! The training loop. Its order of events is written in [`event`](super::event)'s pseudocode.

use std::time::Instant;

use burn::tensor::{DType, Device};
use stepscope_spectral::random::RandomStream;
use stepscope_types::quantity;
use stepscope_types::{Estimate, Measurement, Mode, Reading, Step, StopReason, Timing, Uncertainty};
use thiserror::Error;

use super::averaging::{AverageExamples, Averages};
use super::divergence::DivergenceWatch;
use super::event::{Event, Sink, SinkError};
use super::plan::Plan;
use super::schedule::Due;
use crate::control::{LearningRateSource, Line, Sgd};
use crate::data::{Batch, Dataset, Loader, Sampler};
use crate::measure::objective::{mean_loss, scalar};
use crate::measure::{Measured, Objective, Probe, ProbeError, ProbePoint};
use crate::models::{DropoutMode, InMode, Network, NormalisationMode, ParamLayout, ParamTensors, Pass};

/// A probe with the steps at which it measures.
pub struct ScheduledProbe<'p, N> {
    /// The probe.
    pub probe: &'p mut dyn Probe<N>,
    /// When it measures.
    pub due: Due,
}

/// Everything that a run consists of.
pub struct TrainingLoop<'p, N> {
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
    pub probes: Vec<ScheduledProbe<'p, N>>,
    /// Where every step's dropout masks come from.
    pub dropout_seed: u64,
    /// The examples on which averages are evaluated; `None` for no averages.
    pub average_examples: Option<AverageExamples>,
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
}

impl<N: Network> TrainingLoop<'_, N> {
    /// Trains `network`, which is on the tracked device, and tells `sink` everything.
    ///
    /// # Errors
    /// [`TrainError`] where a sink or a probe fails. Divergence is an outcome, not an error.
    pub fn run(mut self, mut network: N, sink: &mut dyn Sink) -> Result<Outcome<N>, TrainError> {
        let layout = ParamLayout::of(&network);
        let clock = Clock(Instant::now());
        let mut averages = self.average_examples.take().map(|examples| Averages::new(&self.plan, examples));
        let mut watch = DivergenceWatch::new();
        let mut last_learning_rate = None;
        let mut stop = None;
        let mut step = Step(0);
        sink.receive(&Event::RunStarted { num_steps: self.plan.num_steps, timing: clock.now(None) })?;
        while step.0 < self.plan.num_steps {
            self.measure_due(step, &network, &layout, &clock, sink)?;
            let batch = self.loader.next_batch(&self.device, self.dtype);
            // A function of the step alone, so that a run that is resumed drops what it would have dropped.
            let pass = Pass::training(RandomStream::new(self.dropout_seed, step.0).next_word());
            let loss = mean_loss(&network, &batch, &pass).value;
            let batch_loss = scalar(&loss);
            stop = watch.observe(step, batch_loss, self.learning_rate.current());
            if stop.is_none() {
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
                    sink.receive(&Event::Measured(self.measurement(step, measured, clock.now(None))))?;
                }
                network = pass.statistics().absorb_into(self.optimizer.step(network, learning_rate));
                let changed = last_learning_rate.replace(learning_rate) != Some(learning_rate);
                // The last one too, so that a curve has both ends.
                let changed = changed || step.0 + 1 == self.plan.num_steps;
                sink.receive(&self.step_taken(step, &batch, batch_loss, changed.then_some(learning_rate), &clock))?;
                step = Step(step.0 + 1);
                if let Some(averages) = &mut averages {
                    averages.update(step.0, &network);
                }
            } else {
                sink.receive(&self.step_taken(step, &batch, batch_loss, None, &clock))?;
                break;
            }
        }
        if stop.is_none() {
            self.measure_due(step, &network, &layout, &clock, sink)?;
            for measured in averages.iter().flat_map(|averages| averages.evaluate(&network)) {
                sink.receive(&Event::Measured(self.measurement(step, measured, clock.now(None))))?;
            }
        }
        let reason = stop.unwrap_or(StopReason::Finished);
        let epoch = self.plan.epoch(step.0);
        sink.receive(&Event::RunEnded { step, epoch, reason: reason.clone(), timing: clock.now(None) })?;
        Ok(Outcome { network, step, reason })
    }

    fn measure_due(
        &mut self,
        step: Step,
        network: &N,
        layout: &ParamLayout,
        clock: &Clock,
        sink: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let point = ProbePoint { network, layout, step, learning_rate: self.learning_rate.current() };
        for index in 0..self.probes.len() {
            let scheduled = &mut self.probes[index];
            if !scheduled.due.at(step.0, self.plan.num_steps) {
                continue;
            }
            let started = Instant::now();
            let measured = scheduled.probe.measure(&point).map_err(|source| TrainError::Probe { step, source })?;
            let cost = started.elapsed().as_secs_f64() / measured.len().max(1) as f64;
            for measured in measured {
                sink.receive(&Event::Measured(self.measurement(step, measured, clock.now(Some(cost)))))?;
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

struct Clock(Instant);

impl Clock {
    fn now(&self, cost_seconds: Option<f64>) -> Timing {
        Timing { wall_seconds: self.0.elapsed().as_secs_f64(), cost_seconds }
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
