//! LABPAL: large-batch parabolic approximation line search.

mod measurement;
mod quantities;
mod rates;
mod refusal;
mod schedule;
mod state;
mod task;

use burn::module::Module;
use stepscope_types::TrainingDuration;
use stepscope_types::spec::{LabPalProfile, LabPalSpec, OutsideNorms};

pub use refusal::Refusal;
pub use task::{LabPalError, LabPalTask};

use self::measurement::{Held, Judge, Measurement};
use self::quantities::measured;
use self::rates::Rates;
use self::schedule::BatchSchedule;
use self::state::{Counts, Gathered};
use super::direction::Direction;
use super::halt::Halt;
use super::line_search::{LineFit, Pace, is_repeated, losses_at};
use super::method::{Context, Method, Numbered, Phase, StepReport};
use crate::measure::Motion;
use crate::models::ParamTensors;

/// What is kept between measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabPalMode {
    /// LABPAL&SGD: the learning rate. Steps shrink and grow with the gradient.
    Sgd,
    /// LABPAL&NSGD: the length of the step along the unit direction.
    Nsgd,
}

/// LABPAL: every so many updates the loss of many mini-batches is measured along the step and a parabola put through it; its
/// minimum, times α, is the step until the next measurement.
///
/// Rests on two findings: the full-batch loss along an update is a parabola, and its minimum moves slowly, so that one dear
/// measurement serves a thousand cheap steps. A measurement takes n_a updates' worth of batches, one a call: k give the direction
/// and its gradient, all of them the loss at θ; with the last, the same batches are evaluated at two points along −v/‖v‖ with
/// the same dropout masks. Then:
///
/// | | |
/// |---|---|
/// | s* = −b / 2a | the minimum, from paired differences in f64 ([`LineFit`]) |
/// | m = α min(s*, s_max) | the step measured |
/// | p = m / ‖v‖ | the learning rate that it was |
/// | mean of the last H of m or p | in use, once the first U updates are over |
///
/// [`LabPalMode::Sgd`] steps by p v, [`LabPalMode::Nsgd`] by m v/‖v‖; the update that ends a measurement by m in both. A
/// measurement without a minimum, or with a direction outside the bounds, is refused with a [`Refusal`] and the last step serves
/// on; where there is none yet, the update is as long as the second point, if the loss there is lower. Where the loss explodes (not
/// a number, or ten times that of the last measurement and 10 nat), the weights of that measurement are put back and the step is quartered. Without an update for long the report says [`Halt::Stalled`].
///
/// Symbols and keys are those of [`LabPalSpec`]. Direction: any [`Direction`], momentum and weight decay included, since the
/// loss is measured along what it gives.
///
/// Cost of a measurement: 3 n_a k forward and k backward passes for n_a k batches and one update (3 n_a k − 2k forward with the
/// direction's batches left out, and one more at the first, which finds out whether the oracle repeats itself); at default
/// settings 0.9 % more arithmetic than SGD over 1000 updates. Memory: one copy of the weights, to go back to; while a line is looked
/// along, the direction in its place, and n_a k batches.
///
/// Source: Mutschler, Laube, Zell 2021; `line-search`, sections 2.1 to 2.4. [`LabPalProfile::Reference`] keeps the released code's factor of
/// two, its counters and its schedule. Beside that document, in the exact profile: measurements are closer together at the beginning
/// ([`LabPalSpec::early_measurements`]), steps can be taken back, and shrink to nothing in the last tenth of the training
/// ([`LabPalSpec::landing`]), since steps of a length that was right on the way do not come to rest.
pub struct LabPal<B> {
    mode: LabPalMode,
    spec: LabPalSpec,
    direction: Box<dyn Direction>,
    schedule: BatchSchedule,
    num_batches: u64,
    rates: Rates,
    gathered: Gathered,
    measurement: Option<Measurement<B>>,
    /// The weights at which the line was last measured, and the loss there: where to go back to when the loss explodes.
    fallback: Option<(ParamTensors, f64)>,
    counts: Counts,
}

impl<B> LabPal<B> {
    /// A method at its start.
    ///
    /// # Errors
    /// [`LabPalError`] where a key is wrong by itself, or a line would be measured over more examples than there are.
    pub fn new(
        mode: LabPalMode,
        spec: &LabPalSpec,
        direction: Box<dyn Direction>,
        task: LabPalTask,
    ) -> Result<Self, LabPalError> {
        spec.validate()?;
        let LabPalTask { batch_size, num_examples, num_batches } = task;
        let usual = 128.0 / batch_size as f64 * num_examples as f64 / 40_000.0;
        let steps_per_epoch = num_examples as f64 / batch_size as f64;
        let batches = |at: &TrainingDuration| at.steps(steps_per_epoch, Some(num_batches)).unwrap_or(u64::MAX);
        let entries = spec.schedule_at.iter().map(batches).zip(spec.schedule_batches.iter().copied());
        let schedule = BatchSchedule::new(spec.noise_factor.unwrap_or(usual), entries.collect());
        let (batches, per_update) = (spec.approximation_batches, schedule.largest());
        let approximation = batches.saturating_mul(per_update).saturating_mul(batch_size);
        if approximation > num_examples {
            return Err(LabPalError::LargerThanData { approximation, batches, per_update, batch_size, num_examples });
        }
        Ok(Self {
            mode,
            spec: spec.clone(),
            direction,
            schedule,
            num_batches,
            rates: Rates::new(spec),
            gathered: Gathered::default(),
            measurement: None,
            fallback: None,
            counts: Counts::default(),
        })
    }

    /// Updates so far.
    pub fn num_updates(&self) -> u64 {
        self.counts.updates
    }

    /// Measurements so far that ended, accepted or refused.
    pub fn num_measurements(&self) -> u64 {
        self.counts.measurements
    }

    fn is_exact(&self) -> bool {
        self.spec.profile == LabPalProfile::Exact
    }

    fn pace(&self) -> Pace {
        let begins_early = self.spec.early_measurements.unwrap_or(self.is_exact());
        Pace::new(self.spec.updates_per_measurement, begins_early)
    }

    /// Whether the coming update is to be measured.
    fn is_due(&self) -> bool {
        let counts = &self.counts;
        let since = counts.batches.saturating_sub(counts.last_measured) / self.schedule.per_update();
        let trust_begins = counts.updates == self.spec.untrusted_updates + 2;
        counts.is_due || self.rates.current().is_none() || since >= self.pace().interval(counts.paced) || trust_begins
    }

    /// The factor on a direction of that norm, where a step is known.
    fn factor(&self, norm: f64, as_measured: bool) -> Option<f64> {
        let rate = self.rates.current()?;
        let factor = match self.mode {
            LabPalMode::Sgd if !as_measured => rate.learning_rate,
            _ => rate.step_length / norm.max(self.spec.min_step),
        };
        Some(factor * self.landing())
    }

    /// What is left of a step at the end of the training.
    fn landing(&self) -> f64 {
        let share = self.spec.landing.unwrap_or(if self.is_exact() { 0.1 } else { 0.0 });
        let landing = share * self.num_batches as f64;
        let left = self.num_batches.saturating_sub(self.counts.batches) as f64;
        if left < landing { left / landing } else { 1.0 }
    }
}

impl<M: Module, B> Method<M, B> for LabPal<B> {
    fn take(&mut self, model: M, batch: Numbered<B>, context: &mut Context<'_, M, B>) -> (M, StepReport) {
        let before = context.passes();
        let mut report = StepReport::default();
        let model = self.take_in(model, batch, context, &mut report);
        report.passes = context.passes() - before;
        report.batches_per_update = self.schedule.per_update();
        report.phase = match &self.measurement {
            Some(measurement) => Phase::Measuring { batches: measurement.held.len() as u64 },
            None => Phase::Training,
        };
        self.counts.batches += 1;
        self.counts.updates += u64::from(report.updated);
        self.counts.since_update = if report.updated { 0 } else { self.counts.since_update + 1 };
        if report.halt.is_none() {
            report.halt = self.stalled();
        }
        (model, report)
    }

    fn learning_rate(&self) -> Option<f64> {
        self.rates.current().map(|rate| rate.learning_rate)
    }

    fn motion(&self) -> Motion<'_> {
        self.direction.motion()
    }

    fn set_momentum(&mut self, momentum: f64) {
        self.direction.set_momentum(momentum);
    }

    fn restore_held(&mut self, batch: &mut dyn FnMut(u64) -> B) {
        for held in self.measurement.iter_mut().flat_map(|measurement| &mut measurement.held) {
            held.batch = Some(batch(held.number));
        }
    }
}

/// What happens in one call, in order.
impl<B> LabPal<B> {
    fn take_in<M: Module>(
        &mut self,
        model: M,
        batch: Numbered<B>,
        context: &mut Context<'_, M, B>,
        report: &mut StepReport,
    ) -> M {
        let missing = self.measurement.iter().flat_map(|m| &m.held).filter(|held| held.batch.is_none()).count();
        if missing > 0 {
            report.halt = Some(Halt::BatchesMissing { missing });
            return model;
        }
        let model = self.follow_schedule(model, report);
        let is_measured = self.measurement.as_ref().is_some_and(|measurement| measurement.direction.is_some());
        if is_measured {
            return self.look(model, batch, context, report);
        }
        // The released code measures at once and throws away what was gathered for the update under way.
        let may_begin = self.gathered.count == 0 || !self.is_exact();
        if self.measurement.is_none() && may_begin && self.is_due() {
            self.gathered = Gathered::default();
            self.measurement = Some(Measurement::new());
        }
        self.gather(model, batch, context, report)
    }

    /// Changes the number of batches per update where that is due; a measurement with the old number is given up.
    fn follow_schedule<M: Module>(&mut self, model: M, report: &mut StepReport) -> M {
        let batches = self.counts.batches;
        let advance = |schedule: &mut BatchSchedule| match self.spec.profile {
            LabPalProfile::Exact => schedule.advance(batches),
            LabPalProfile::Reference => schedule.advance_at(batches),
        };
        if self.gathered.count > 0 || !advance(&mut self.schedule) {
            return model;
        }
        self.counts.is_due = true;
        match self.measurement.take().and_then(|measurement| measurement.direction) {
            Some((direction, norm)) => {
                self.refuse(Refusal::Rescheduled, report);
                self.move_by(model, &direction, self.factor(norm, true), norm, report)
            }
            None => model,
        }
    }

    /// A batch for the direction of an update.
    fn gather<M: Module>(
        &mut self,
        model: M,
        batch: Numbered<B>,
        context: &mut Context<'_, M, B>,
        report: &mut StepReport,
    ) -> M {
        let seed = context.seed_of(batch.number, 0);
        let evaluated = context.evaluate(&model, &batch.batch, seed);
        report.loss = evaluated.loss;
        if let Some((weights, before)) = &self.fallback
            && (evaluated.loss.is_nan() || evaluated.loss > 10.0 * before.max(1.0))
        {
            let (model, before) = (weights.assign_to(model), *before);
            self.refuse(Refusal::RolledBack { loss: evaluated.loss, before }, report);
            self.rates.exploded();
            self.direction.reset();
            (self.measurement, self.gathered, self.counts.is_due) = (None, Gathered::default(), true);
            return model;
        }
        if !context.admit(evaluated.loss) {
            return model;
        }
        self.gathered.gradient.scale_and_add(1.0, 1.0 / self.schedule.per_update() as f64, &evaluated.gradient);
        self.gathered.count += 1;
        if let Some(measurement) = &mut self.measurement {
            measurement.held.push(Held { number: batch.number, loss: evaluated.own_loss, batch: Some(batch.batch) });
        }
        if self.gathered.count < self.schedule.per_update() { model } else { self.step(model, context, report) }
    }

    /// All batches of an update are there: its direction, and the update itself, unless it is to be measured first.
    fn step<M: Module>(&mut self, model: M, context: &mut Context<'_, M, B>, report: &mut StepReport) -> M {
        let Gathered { gradient, .. } = std::mem::take(&mut self.gathered);
        let direction = self.direction.direction(gradient.clone(), &|| ParamTensors::values(&model));
        let norm = direction.norm();
        report.norm = norm;
        if self.measurement.is_none() {
            return self.move_by(model, &direction, self.factor(norm, false), norm, report);
        }
        let slope = -gradient.dot(&direction) / norm;
        drop(gradient);
        let (low, high) = (self.spec.min_direction_norm, self.spec.max_direction_norm);
        let refusal = match () {
            () if !(norm >= low && norm <= high) => Some(Refusal::Norm { norm, low, high }),
            () if slope >= 0.0 => Some(Refusal::Ascent { slope }),
            () => None,
        };
        let outside = self.spec.outside_norms.unwrap_or(match self.spec.profile {
            LabPalProfile::Exact => OutsideNorms::ReuseLast,
            LabPalProfile::Reference => OutsideNorms::TakeNone,
        });
        match refusal {
            // Without a step to take again the bounds would keep it from ever beginning.
            Some(Refusal::Norm { .. })
                if outside == OutsideNorms::ReuseLast
                    && self.rates.current().is_none()
                    && norm.is_finite()
                    && slope < 0.0 => {}
            Some(refusal) => {
                self.refuse(refusal, report);
                self.measurement = None;
                if outside == OutsideNorms::TakeNone {
                    return model;
                }
                self.ended(false);
                return self.move_by(model, &direction, self.factor(norm, true), norm, report);
            }
            None => {}
        }
        if let Some(measurement) = &mut self.measurement {
            measurement.direction = Some((direction, norm));
        }
        // From here to the end of the measurement the weights are these: an older copy would be a second one.
        if self.fallback.is_some() {
            self.fallback = Some((ParamTensors::values(&model), report.loss));
        }
        self.check_oracle(&model, context, report);
        model
    }

    /// A batch for the loss at θ; with the last of them, the rest of the measurement.
    fn look<M: Module>(
        &mut self,
        model: M,
        batch: Numbered<B>,
        context: &mut Context<'_, M, B>,
        report: &mut StepReport,
    ) -> M {
        let seed = context.seed_of(batch.number, 0);
        let direction = ParamTensors::default();
        let loss = losses_at(context, &model, &direction, 0.0, &[(&batch.batch, seed)])[0];
        let mut mean = [loss];
        context.reduce().mean_over_ranks(&mut mean);
        [report.loss] = mean;
        context.admit(report.loss);
        let wanted = self.spec.approximation_batches * self.schedule.per_update();
        let Some(measurement) = &mut self.measurement else { return model };
        measurement.held.push(Held { number: batch.number, loss, batch: Some(batch.batch) });
        if (measurement.held.len() as u64) < wanted {
            return model;
        }
        let Some(measurement) = self.measurement.take() else { return model };
        self.finish(model, measurement, context, report)
    }

    /// The loss at the two points, the fit, and the update.
    fn finish<M: Module>(
        &mut self,
        model: M,
        measurement: Measurement<B>,
        context: &mut Context<'_, M, B>,
        report: &mut StepReport,
    ) -> M {
        let serves = self.pace().interval(self.counts.paced + 1);
        let judge = Judge::new(&self.spec, &model, context.is_short(), serves);
        let can_exclude = self.is_exact() && self.spec.approximation_batches >= 3;
        let excludes = self.spec.exclude_direction_batches.unwrap_or(can_exclude);
        let excluded = if excludes { self.schedule.per_update() as usize } else { 0 };
        let fit = measurement.fit(&model, judge.points, excluded, context);
        let judged = fit.as_ref().map_err(Clone::clone).and_then(|fit| judge.step_length(fit));
        report.fit = fit.ok();
        self.ended(judged.is_ok());
        let Some((direction, norm)) = measurement.direction else { return model };
        report.norm = norm;
        let mut factor = None;
        match judged {
            Ok(step_length) => {
                let half_curvature = report.fit.as_ref().map_or(f64::NAN, |fit| fit.parabola.half_curvature);
                self.rates.measured(
                    step_length,
                    norm,
                    half_curvature,
                    self.counts.updates > self.spec.untrusted_updates + 1,
                );
                if let Some(fit) = report.fit.as_ref().filter(|_| self.is_exact()) {
                    self.fallback = Some((ParamTensors::values(&model), fit.losses[0]));
                }
            }
            Err(refusal) => {
                self.refuse(refusal, report);
                if self.is_exact() && self.rates.current().is_none() {
                    factor = report.fit.as_ref().and_then(step_to_second_point).map(|step| step / norm);
                }
            }
        }
        report.measured = measured(report, self.counts.refusals);
        let factor = self.factor(norm, true).or(factor);
        self.move_by(model, &direction, factor, norm, report)
    }

    /// θ − factor · v, where there is a factor.
    fn move_by<M: Module>(
        &self,
        model: M,
        direction: &ParamTensors,
        factor: Option<f64>,
        norm: f64,
        report: &mut StepReport,
    ) -> M {
        match factor.filter(|factor| (factor * norm).is_finite()) {
            Some(factor) => {
                report.updated = true;
                report.learning_rate = Some(factor);
                report.step_length = Some(factor * norm);
                direction.displace(model, -factor)
            }
            None => model,
        }
    }

    /// A measurement is over, whatever came of it.
    fn ended(&mut self, is_accepted: bool) {
        self.counts.measurements += 1;
        self.counts.paced += u64::from(is_accepted || self.rates.current().is_some());
        self.counts.last_measured = self.counts.batches;
        self.counts.is_due = false;
    }

    fn refuse(&mut self, refusal: Refusal, report: &mut StepReport) {
        self.counts.refusals += 1;
        self.counts.last_refusal = refusal.to_string();
        report.refusal = Some(refusal);
    }

    /// Once, with the first batch of the first measurement: the loss must come out again.
    fn check_oracle<M: Module>(&mut self, model: &M, context: &mut Context<'_, M, B>, report: &mut StepReport) {
        let Some(Held { number, loss, batch: Some(batch) }) =
            self.measurement.as_ref().and_then(|measurement| measurement.held.first())
        else {
            return;
        };
        if std::mem::replace(&mut self.counts.is_checked, true) {
            return;
        }
        let (first, seed) = (*loss, context.seed_of(*number, 0));
        let second = losses_at(context, model, &ParamTensors::default(), 0.0, &[(batch, seed)])[0];
        if !is_repeated(first, second) {
            report.halt = Some(Halt::NotRepeatable { first, second });
        }
    }

    fn stalled(&self) -> Option<Halt> {
        /// Measurements' worth of batches without an update.
        const PATIENCE: u64 = 10;
        let batches = self.counts.since_update;
        let is_stalled = batches >= PATIENCE * self.spec.approximation_batches * self.schedule.per_update();
        is_stalled.then(|| Halt::Stalled { batches, reason: self.counts.last_refusal.clone() })
    }
}

/// μ, where the loss there is lower than at 0: the step of a method that knows none yet.
fn step_to_second_point(fit: &LineFit) -> Option<f64> {
    (fit.losses[2] < fit.losses[0]).then_some(fit.points[1])
}
