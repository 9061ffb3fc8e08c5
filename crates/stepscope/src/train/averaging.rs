//! The averages that a run keeps, and what they gain.

use burn::module::Module;
use stepscope_theory::PowerProfile;
use stepscope_types::quantity::{self, AverageQuantities, Quantity};
use stepscope_types::spec::{AverageSpec, EmaWarmUp, ShadowKind};
use stepscope_types::{Estimate, Mode, Uncertainty};

use super::plan::Plan;
use crate::checkpoint::{State, StateError, WeightState};
use crate::control::average::{
    AverageBank, AverageError, Decay, Ring, Rule, Running, ShadowPrecision, TwoPoints, WarmUp,
};
use crate::measure::loss::{accuracy, binomial_error, loss};
use crate::measure::{Evaluation, Measured, Objective};
use crate::models::{BatchStatistics, Dual, Network, ParamLayout};

/// Snapshots of a window whose stride is not given.
const WINDOW_SNAPSHOTS: u64 = 10;

/// Which averages a run keeps, and what they are evaluated on, on the plain device.
#[derive(Debug)]
pub struct AverageSetup {
    /// Which averages.
    pub spec: AverageSpec,
    /// Where their loss and accuracy are measured.
    pub test: Objective,
    /// Training examples that running statistics are computed on anew: those of the last iterate are not the average's.
    pub train: Objective,
}

/// The averages of a run, with their gain on the test set.
#[derive(Debug)]
pub(super) struct Averages {
    /// What is recorded of each average of the bank, in its order.
    recorded: Vec<&'static AverageQuantities>,
    bank: AverageBank,
    window: Option<Ring>,
    lawa: Option<Ring>,
    two_points: TwoPoints,
    start: u64,
    /// The end of the run, as far as it is known.
    end: u64,
    evaluate_every: Option<u64>,
    test: Objective,
    train: Objective,
}

/// The running averages of a specification, with what is recorded of each.
///
/// # Errors
/// [`AverageError`] where a shadow would lose the updates.
pub(crate) fn bank(
    spec: &AverageSpec,
    plan: &Plan,
) -> Result<(Vec<&'static AverageQuantities>, AverageBank), AverageError> {
    let warm_up = match spec.ema_warm_up {
        EmaWarmUp::None => WarmUp::None,
        EmaWarmUp::Ramp => WarmUp::Ramp,
        EmaWarmUp::Power => WarmUp::Power { gamma: 1.0, power: 2.0 / 3.0 },
        EmaWarmUp::Unbiased => WarmUp::Unbiased,
    };
    let (mut recorded, mut averages) = (Vec::new(), Vec::new());
    let half_lives = [spec.ema_half_life].into_iter().chain(spec.more_ema_half_lives.iter().copied());
    for (half_life, quantities) in half_lives.zip([quantity::EMA].into_iter().chain(quantity::EMA_BANK)) {
        let decay = Decay::with_half_life(plan.steps(half_life) as f64)?;
        let ema = Running::new(Rule::Ema { decay, warm_up })?;
        averages.push(ema.from_step(plan.average_start).every(plan.steps(spec.ema_every))?);
        recorded.push(quantities);
    }
    if let Some(every) = spec.swa_every {
        averages.push(Running::new(Rule::Mean)?.from_step(plan.average_start).every(plan.steps(every))?);
        recorded.push(quantity::SWA);
    }
    for (width, quantities) in spec.power_widths.iter().zip(quantity::POWER_BANK) {
        // Widths were checked with the specification.
        let profile = PowerProfile::with_relative_width(*width).map_err(|_| AverageError::Number {
            what: "relative width of a power-function average",
            got: *width,
            expected: "between 0.001 and 0.2886",
        })?;
        averages.push(Running::new(Rule::Power { exponent: profile.exponent() })?);
        recorded.push(quantities);
    }
    let shadow = match spec.shadow {
        ShadowKind::Full => ShadowPrecision::Full,
        ShadowKind::Bf16 => ShadowPrecision::Bf16,
    };
    Ok((recorded, AverageBank::new(averages).with_shadow(shadow)?))
}

impl Averages {
    pub(super) fn new(plan: &Plan, setup: AverageSetup) -> Self {
        let AverageSetup { spec, test, train } = setup;
        // `Run::prepare` has refused what cannot be kept; without it there is nothing of the bank.
        let (recorded, bank) = bank(&spec, plan).unwrap_or_else(|_| (Vec::new(), AverageBank::new([])));
        let window = spec.window.and_then(|window| {
            let length = plan.steps(window);
            let stride = spec.window_stride.map_or(length.div_ceil(WINDOW_SNAPSHOTS), |stride| plan.steps(stride));
            Ring::new(length.div_ceil(stride), stride).ok().map(|ring| ring.from_step(ending_at(plan, stride)))
        });
        let epoch = (plan.steps_per_epoch.round() as u64).max(1);
        let lawa = spec.lawa_epochs.and_then(|count| Ring::new(count, epoch).ok());
        Self {
            recorded,
            bank,
            window,
            lawa: lawa.map(|ring| ring.from_step(ending_at(plan, epoch))),
            two_points: TwoPoints::new(plan.two_point_gap),
            start: plan.average_start,
            end: plan.num_steps,
            evaluate_every: spec.evaluate_every.map(|every| plan.steps(every)),
            test,
            train,
        }
    }

    /// Takes in the weights after `step` updates of a run that will, as far as is known, have `num_steps`.
    pub(super) fn update<N: Module>(&mut self, step: u64, num_steps: u64, network: &N) {
        if num_steps != self.end {
            self.follow_end(step, num_steps, network);
        }
        self.bank.update(step, network);
        for ring in self.window.iter_mut().chain(&mut self.lawa) {
            ring.update(step, network);
        }
        let (start, every) = (self.start, self.evaluate_every);
        if step >= start {
            self.two_points.update(step, network, |due| is_due(due, start, num_steps, every));
        }
    }

    /// A gauged learning rate has decided where the run ends: windows and two points are counted back from there, and averages begin at
    /// the latest now if they were to begin later than that.
    fn follow_end<N: Module>(&mut self, step: u64, end: u64, network: &N) {
        self.end = end;
        if end <= self.start {
            self.start = step;
            self.bank.begin_by(step);
        }
        self.window.iter_mut().chain(&mut self.lawa).for_each(|ring| ring.align_with(end));
        self.two_points.end_at(end, step, network);
    }

    /// Where the averages are to be read after `step` updates: loss and accuracy of every one on the test set, and the gain in
    /// loss over the last iterate. Nothing elsewhere.
    pub(super) fn evaluate_due<N: Network>(&self, step: u64, num_steps: u64, network: &N) -> Vec<Measured> {
        if !is_due(step, self.start, num_steps, self.evaluate_every) {
            return Vec::new();
        }
        let last_network = network.valid();
        let last = self.test.evaluate(&last_network);
        let members = self.recorded.iter().enumerate();
        let mut averages: Vec<(&AverageQuantities, Option<N>)> =
            members.map(|(index, quantities)| (*quantities, self.bank.network(index, &last_network))).collect();
        averages.push((quantity::TWO_POINT, self.two_points.network(step, &last_network)));
        let ring = |ring: &Option<Ring>| ring.as_ref().and_then(|ring| ring.network(&last_network));
        averages.push((quantity::WINDOW, ring(&self.window)));
        averages.push((quantity::LAWA, ring(&self.lawa)));
        let known = averages.into_iter().filter_map(|(quantities, average)| Some((quantities, average?)));
        known.flat_map(|(quantities, average)| self.report(average, &last, quantities)).collect()
    }

    fn report<N: Network>(&self, average: N, last: &Evaluation, recorded: &'static AverageQuantities) -> Vec<Measured> {
        let statistics = statistics_of(&average, &self.train);
        // Before and after: what the last iterate's statistics cost.
        let before = (!statistics.is_empty()).then(|| self.test.evaluate(&average));
        let evaluation = self.test.evaluate(&statistics.assign_to(average));
        let mut measured = vec![
            loss(&recorded.loss, &evaluation, Uncertainty::StandardError(evaluation.standard_error())),
            accuracy(&recorded.accuracy, &evaluation, binomial_error(&evaluation)),
            gain(&recorded.gain, last, &evaluation),
        ];
        measured.extend(before.map(|before| gain(&recorded.statistics_gain, &before, &evaluation)));
        measured
    }
}

/// The network with the running statistics that its own weights have on these examples, which are on the plain device.
pub(super) fn with_own_statistics<N: Network>(network: N, examples: &Objective) -> N {
    statistics_of(&network.valid(), examples).assign_to(network)
}

/// Whether averages are read after `step` updates.
fn is_due(step: u64, start: u64, num_steps: u64, every: Option<u64>) -> bool {
    step == num_steps || (step >= start && step < num_steps && every.is_some_and(|every| step.is_multiple_of(every)))
}

/// The first step of a series with that spacing which has one at the end of the run.
fn ending_at(plan: &Plan, every: u64) -> u64 {
    plan.num_steps % every
}

/// The running statistics that belong to the weights of `network`, from the examples of `train`; empty where it has none.
pub(crate) fn statistics_of<N: Network>(network: &N, train: &Objective) -> BatchStatistics {
    let batches: Vec<_> = train.micro_batches().map(|(batch, _)| batch).collect();
    BatchStatistics::by_batches(batches.len(), |index, pass| {
        if let Some(batch) = batches.get(index) {
            network.logits(Dual::constant(batch.images.clone()), pass);
        }
    })
}

/// The loss of `before` minus that of `after`, paired by example: what examples differ by cancels, and the error of the gain is
/// that of the pairs.
pub(crate) fn paired_gain(before: &Evaluation, after: &Evaluation) -> (f64, f64) {
    let pairs = before.losses.iter().zip(&after.losses);
    let gains = Evaluation { losses: pairs.map(|(before, after)| before - after).collect(), hits: None };
    (gains.mean_loss(), gains.standard_error())
}

fn gain(of: &'static Quantity, before: &Evaluation, after: &Evaluation) -> Measured {
    let (gain, error) = paired_gain(before, after);
    let estimate = Estimate::new(gain, of.unit, Uncertainty::StandardError(error))
        .over_examples(after.losses.len() as u64)
        .in_mode(Mode::Eval);
    Measured::new(of, estimate)
}

impl WeightState for Averages {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put("start", &self.start);
        state.nest_weights(BANK, &self.bank, layout);
        state.nest_weights("two_points", &self.two_points, layout);
        for (name, ring) in [("window", &self.window), ("lawa", &self.lawa)] {
            if let Some(ring) = ring {
                state.nest_weights(name, ring, layout);
            }
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        self.start = state.get("start")?;
        state.restore_weights(BANK, &mut self.bank, layout)?;
        state.restore_weights("two_points", &mut self.two_points, layout)?;
        for (name, ring) in [("window", &mut self.window), ("lawa", &mut self.lawa)] {
            if let Some(ring) = ring {
                state.restore_weights(name, ring, layout)?;
            }
        }
        Ok(())
    }
}

/// Name of the running averages in the saved state of the averages.
const BANK: &str = "bank";

/// Name of the running averages in the saved state of a run.
pub(crate) const SAVED_BANK: &str = "averages/bank";
