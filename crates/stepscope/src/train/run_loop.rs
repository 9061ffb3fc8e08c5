//! The training loop. Its order of events is written in [`event`](super::event)'s pseudocode.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{DType, Device};
use stepscope_types::quantity;
use stepscope_types::spec::MeasureBudget;
use stepscope_types::{Estimate, Measurement, Mode, Reading, Step, StopReason, Timing, Uncertainty};
use thiserror::Error;

use super::averaging::{AverageSetup, Averages, with_own_statistics};
use super::budget::{Budget, Claim};
use super::clock::Clock;
use super::divergence::DivergenceWatch;
use super::event::{Event, Sink, SinkError, Snapshot};
use super::interrupt::Interrupt;
use super::lending::Drawn;
use super::measured_mode::MeasuredMode;
use super::plan::Plan;
use super::schedule::Due;
use crate::checkpoint::{NETWORK, State, StateError};
use crate::control::schedule::ScheduleRecorder;
use crate::control::{Context, Halt, Method, Numbered, Passes, StepReport};
use crate::data::{Batch, Dataset, Loader, Sampler};
use crate::measure::{CostModel, Measured, Objective, Probe, ProbeError};
use crate::models::{InMode, Network, ParamLayout};

/// A probe with the steps at which it measures.
pub struct ScheduledProbe<'p, N> {
    /// The probe.
    pub probe: &'p mut dyn Probe<N>,
    /// When it measures.
    pub due: Due,
    /// What it may claim of a budget.
    pub claim: Claim,
}

/// Everything that a run consists of.
pub struct TrainingLoop<'p, N: Network> {
    /// The training examples.
    pub dataset: &'p Dataset,
    /// Where tensors live: the tracked device.
    pub device: Device,
    /// Their number type.
    pub dtype: DType,
    /// The narrower type in which dense and convolution layers multiply in a step; `None` for their own.
    pub product_dtype: Option<DType>,
    /// Whether losses along a line are computed in those products, too.
    pub narrow_losses: bool,
    /// The type in which is measured; the probes are made for it.
    pub measure_dtype: DType,
    /// The lengths.
    pub plan: Plan,
    /// The training batches.
    pub loader: Loader,
    /// The batches on which methods look at the loss apart from those that are trained on.
    pub line_sampler: Box<dyn Sampler>,
    /// What turns batches into updates.
    pub method: Box<dyn Method<N, Batch>>,
    /// The probes.
    pub probes: Vec<ScheduledProbe<'p, InMode<N>>>,
    /// How the probes see the network.
    pub measured_mode: MeasuredMode,
    /// Whether the coming step computes what probes measure: in their mode and numbers, at the weights that they see.
    pub lends: bool,
    /// What all readings together may cost, as a share of the training; `None` for no limit.
    pub budget: Option<MeasureBudget>,
    /// What the parts of a reading are worth on this network.
    pub cost_model: CostModel,
    /// Where every step's dropout masks come from.
    pub dropout_seed: u64,
    /// Examples a pass; `None` for a whole batch.
    pub micro_batch_size: Option<u64>,
    /// Training examples, on the plain device, on which running statistics are computed where gradients are taken elsewhere.
    pub statistics_examples: Objective,
    /// The averages; `None` for none.
    pub averages: Option<AverageSetup>,
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
    /// The optimizer cannot go on.
    #[error("step {step}: {reason}")]
    Halted {
        /// Where.
        step: Step,
        /// Why.
        reason: Halt,
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
pub(super) struct Progress {
    pub(super) step: Step,
    last_learning_rate: Option<f64>,
    schedules: ScheduleRecorder,
    watch: DivergenceWatch,
    averages: Option<Averages>,
    pub(super) budget: Budget,
    /// The coming step's batch, where probes have seen it already.
    pub(super) drawn: Option<Drawn>,
    updates: u64,
    passes: Passes,
    pub(super) clock: Clock,
}

impl Progress {
    /// What the optimizer did in all.
    fn work(&self) -> [Measured; 3] {
        [
            (&quantity::UPDATES, self.updates),
            (&quantity::FORWARD_PASSES, self.passes.forward),
            (&quantity::BACKWARD_PASSES, self.passes.backward),
        ]
        .map(|(quantity, count)| {
            Measured::new(quantity, Estimate::new(count as f64, quantity.unit, Uncertainty::Exact))
        })
    }
}

impl<N: Network> TrainingLoop<'_, N> {
    /// Trains `network`, which is on the tracked device, and tells `sink` everything.
    ///
    /// # Errors
    /// [`TrainError`] where a sink or a probe fails, where the state to go on from does not fit, and where the run was
    /// interrupted. Divergence is an outcome, not an error.
    pub fn run(mut self, network: N, sink: &mut dyn Sink) -> Result<Outcome<N>, TrainError> {
        let layout = ParamLayout::of(&network);
        let (mut network, mut now) = self.begin(network, &layout, sink)?;
        let mut stop = None;
        // A gauged learning rate may bring the end nearer.
        while now.step.0 < self.plan.num_steps && stop.is_none() {
            network = self.settled(network, &now);
            self.save_due(&now, &network, &layout, sink)?;
            self.measure_due(&mut now, &network, &layout, sink)?;
            self.evaluate_averages(&now, &network, sink)?;
            (network, stop) = self.advance(network, &mut now, sink)?;
        }
        if stop.is_none() {
            network = self.settled(network, &now);
            self.save_due(&now, &network, &layout, sink)?;
            self.measure_due(&mut now, &network, &layout, sink)?;
            self.evaluate_averages(&now, &network, sink)?;
        }
        let (step, reason) = (now.step, stop.unwrap_or(StopReason::Finished));
        let (epoch, timing) = (self.plan.epoch(step.0), now.clock.now(None));
        for measured in now.work().into_iter().chain(now.budget.summary(step.0)) {
            sink.receive(&Event::Measured(self.measurement(step, measured, timing)))?;
        }
        if let Some(event) = readings_left_out(&now.budget, step, epoch, timing) {
            sink.receive(&event)?;
        }
        sink.receive(&Event::RunEnded { step, epoch, reason: reason.clone(), timing })?;
        Ok(Outcome { network, step, reason })
    }

    /// The network as it may be looked at. Where gradients are taken elsewhere its running statistics are those of other weights; they
    /// are computed anew at steps where somebody looks, from examples that are the same every time. No step depends on them.
    fn settled(&self, network: N, now: &Progress) -> N {
        let (step, last) = (now.step.0, self.plan.num_steps);
        let is_seen = self.plan.saves_at(step) || step == last || self.interrupt.is_requested();
        let is_wanted = || (0..self.probes.len()).any(|index| self.is_wanted(index, now));
        if self.method.trains_elsewhere() && (is_seen || is_wanted()) {
            with_own_statistics(network, &self.statistics_examples)
        } else {
            network
        }
    }

    /// The start of the run, or the place where an earlier process left it.
    fn begin(&mut self, network: N, layout: &ParamLayout, sink: &mut dyn Sink) -> Result<(N, Progress), TrainError> {
        let mut now = Progress {
            step: Step(0),
            last_learning_rate: None,
            schedules: ScheduleRecorder::default(),
            watch: DivergenceWatch::new(),
            averages: self.averages.take().map(|setup| Averages::new(&self.plan, setup)),
            budget: Budget::new(self.budget, self.plan.num_steps, self.plan.mean_batch_size(), self.cost_model),
            drawn: None,
            updates: 0,
            passes: Passes::default(),
            clock: Clock { started: Instant::now(), earlier_seconds: 0.0 },
        };
        self.follow_schedules(now.step);
        let num_steps = self.plan.num_steps;
        let Some(from) = self.resume.take() else {
            sink.receive(&Event::RunStarted { num_steps, timing: now.clock.now(None) })?;
            return Ok((network, now));
        };
        let network = from.state.network(NETWORK, network)?;
        self.load(&from.state, &mut now, layout)?;
        now.step = from.step;
        self.plan.num_steps = self.method.end().unwrap_or(self.plan.num_steps);
        self.follow_schedules(now.step);
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
        let Drawn { batch, mut oracle } = match now.drawn.take() {
            Some(drawn) => drawn,
            None => self.draw(),
        };
        let (len, current) = (batch.len() as u64, self.method.learning_rate());
        let (dataset, sampler, dtype) = (self.dataset, &mut self.line_sampler, self.dtype);
        let plain = self.device.clone().inner();
        let mut held_out = || Batch::gather(&dataset.train, dataset.shape, sampler.next_batch(), &plain, dtype);
        let (watch, mut stop) = (&mut now.watch, None);
        let mut admit = |loss| {
            stop = watch.observe(step, loss, current);
            stop.is_none()
        };
        let mut context =
            Context::new(&mut oracle, self.dropout_seed).with_held_out(&mut held_out).with_admission(&mut admit);
        let (network, report) = self.method.take(network, Numbered { number: step.0, batch }, &mut context);
        if stop.is_some() {
            sink.receive(&self.step_taken(step, len, report.loss, None, &now.clock))?;
            return Ok((network, stop));
        }
        let StepReport { loss, learning_rate, measured, passes, updated, halt, .. } = report;
        if let Some(reason) = halt {
            return Err(TrainError::Halted { step, reason });
        }
        now.passes += passes;
        now.updates += u64::from(updated);
        for measured in measured {
            sink.receive(&Event::Measured(self.measurement(step, measured, now.clock.now(None))))?;
        }
        let network = oracle.absorb_into(network);
        // The last one too, so that a curve has both ends.
        let is_last = step.0 + 1 == self.plan.num_steps;
        let (scheduled_size, momentum) = self.plan.scheduled_at(step.0);
        for measured in now.schedules.changes(scheduled_size, momentum, is_last) {
            sink.receive(&Event::Measured(self.measurement(step, measured, now.clock.now(None))))?;
        }
        let rate = learning_rate.filter(|rate| now.last_learning_rate.replace(*rate) != Some(*rate) || is_last);
        sink.receive(&self.step_taken(step, len, loss, rate, &now.clock))?;
        now.step = Step(step.0 + 1);
        self.follow_schedules(now.step);
        if let Some(averages) = &mut now.averages {
            averages.update(now.step.0, self.plan.num_steps, &network);
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
        let is_saved = self.plan.checkpoint_every.is_some();
        if is_saved && (is_interrupted || (is_calm && self.plan.saves_at(step.0))) {
            let state = Arc::new(self.save(now, network, layout));
            let wall_seconds = now.clock.now(None).wall_seconds;
            sink.receive(&Event::Checkpoint(Arc::new(Snapshot { step, is_calm, wall_seconds, state })))?;
        }
        if is_interrupted { Err(TrainError::Interrupted { step }) } else { Ok(()) }
    }

    /// The momentum of the coming step, where it follows a schedule: from here on measurements see it as well.
    fn follow_schedules(&mut self, step: Step) {
        if let Some(momentum) = &self.plan.momentum {
            self.method.set_momentum(momentum.at(step.0));
        }
    }

    fn save(&self, now: &Progress, network: &N, layout: &ParamLayout) -> State {
        let mut state = State::default();
        state.put_network(NETWORK, network);
        state.nest_weights("method", self.method.as_ref(), layout);
        state.nest("loader", &self.loader);
        state.nest("line_sampler", self.line_sampler.as_ref());
        for (index, scheduled) in self.probes.iter().enumerate() {
            state.nest(&probe_key(index, scheduled.probe.name()), &*scheduled.probe);
        }
        state.nest("divergence", &now.watch);
        state.nest("budget", &now.budget);
        if let Some(averages) = &now.averages {
            state.nest_weights("averages", averages, layout);
        }
        state.put("last_learning_rate", &now.last_learning_rate);
        state.nest("schedules", &now.schedules);
        state.put("work", &[now.updates, now.passes.forward, now.passes.backward]);
        state
    }

    fn load(&mut self, state: &State, now: &mut Progress, layout: &ParamLayout) -> Result<(), StateError> {
        state.restore_weights("method", self.method.as_mut(), layout)?;
        state.restore("loader", &mut self.loader)?;
        state.restore("line_sampler", self.line_sampler.as_mut())?;
        for (index, scheduled) in self.probes.iter_mut().enumerate() {
            state.restore(&probe_key(index, scheduled.probe.name()), &mut *scheduled.probe)?;
        }
        state.restore("divergence", &mut now.watch)?;
        state.restore("budget", &mut now.budget)?;
        if let Some(averages) = &mut now.averages {
            state.restore_weights("averages", averages, layout)?;
        }
        now.last_learning_rate = state.get("last_learning_rate")?;
        state.restore("schedules", &mut now.schedules)?;
        [now.updates, now.passes.forward, now.passes.backward] = state.get("work")?;
        let (loader, device, dtype) = (&mut self.loader, &self.device, self.dtype);
        self.method.restore_held(&mut |number| loader.batch_at(number, device, dtype));
        Ok(())
    }

    /// Reads the averages where they are due: at the end, and along the run where the specification says so.
    fn evaluate_averages(&self, now: &Progress, network: &N, sink: &mut dyn Sink) -> Result<(), TrainError> {
        for measured in
            now.averages.iter().flat_map(|averages| averages.evaluate_due(now.step.0, self.plan.num_steps, network))
        {
            sink.receive(&Event::Measured(self.measurement(now.step, measured, now.clock.now(None))))?;
        }
        Ok(())
    }

    fn step_taken(
        &self,
        step: Step,
        batch_size: u64,
        batch_loss: f64,
        learning_rate: Option<f64>,
        clock: &Clock,
    ) -> Event {
        let loss = Estimate::new(batch_loss, quantity::BATCH_LOSS.unit, Uncertainty::Exact)
            .over_examples(batch_size)
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

    pub(super) fn measurement(&self, step: Step, measured: Measured, timing: Timing) -> Measurement {
        self.at(step, measured.quantity.name, measured.reading, timing)
    }

    fn at(&self, step: Step, name: &str, reading: Reading, timing: Timing) -> Measurement {
        let mut measurement = Measurement::new(step, self.plan.epoch(step.0), name, reading);
        measurement.timing = Some(timing);
        self.dataset.train.target().in_unit(measurement)
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
