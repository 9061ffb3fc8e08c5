//! One setting in the place of another: a learning rate for a batch size at equal noise, a schedule for an average, and back.

use stepscope_types::schedule::{ExponentialDecay, ScheduleKind, SchedulePart, ScheduleSpec};

use crate::averages::{
    Average, StationaryMode, multipliers, pathwise_schedule, pathwise_weights, poisson_binomial_schedule,
    poisson_binomial_weights, weights_from_multipliers,
};
use crate::error::{TheoryError, check};

/// In which sense an average and a schedule are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Equivalence {
    /// E1: the updates of a run that was made, scaled. Exact for every loss and optimizer; a run anew with the scaled rates ends there to
    /// first order in rate times curvature times the length of the average.
    RecordedUpdates,
    /// E2: full-batch gradient descent on a quadratic. Exact for all its curvatures at once.
    FullBatch,
    /// E3: a run anew with the same batches, noise included. Exact for one curvature, a = learning rate times curvature.
    SameBatches {
        /// a.
        rate: f64,
    },
}

impl Equivalence {
    /// When it is exact, in a line.
    pub fn exact_when(&self) -> &'static str {
        match self {
            Self::RecordedUpdates => {
                "exact for the updates of a run that was made, any loss, any optimizer; a new run with these rates agrees to first order"
            }
            Self::FullBatch => "exact without gradient noise on a quadratic, for all its curvatures at once",
            Self::SameBatches { .. } => "exact with the same batches on a quadratic, for this one rate times curvature",
        }
    }
}

/// A schedule that equals an average, or the reverse.
#[derive(Debug, Clone, PartialEq)]
pub struct Translation {
    /// In which sense.
    pub equivalence: Equivalence,
    /// The numbers, last step first: multipliers of the learning rate, or weights of the iterates x_T, x_{T−1}, ..., x_0. `None` where
    /// there is no such schedule or average.
    pub numbers: Option<Vec<f64>>,
}

/// The schedules that an average over the last `steps` equals, as multipliers of a constant learning rate, last update first.
///
/// E1 always exists; E2 where the weights have a Poisson-binomial form; E3 is given for `rate` a = λh. Averages of at most
/// `MOST_FACTORED` weights are tried for E2, which costs O(n³). Source: `averaging`, sections 2.6-2.8.
///
/// ```
/// use stepscope_theory::{Average, schedules_of_average};
/// let found = schedules_of_average(Average::Window { length: 4 }, 6, Some(0.1))?;
/// assert_eq!(found[0].numbers.as_deref().unwrap()[..4], [0.25, 0.5, 0.75, 1.0]); // a linear cooldown
/// assert!(found[1].numbers.is_none()); // no schedule equals a window of 3 or more at all curvatures
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
///
/// # Errors
/// [`TheoryError::Number`] for an average without a meaning, or a rate outside (0, 2).
pub fn schedules_of_average(average: Average, steps: u64, rate: Option<f64>) -> Result<Vec<Translation>, TheoryError> {
    let weights = average.weights(steps)?;
    let full_batch = (weights.len() <= MOST_FACTORED).then(|| poisson_binomial_schedule(&weights)).flatten();
    let mut found = vec![
        Translation { equivalence: Equivalence::RecordedUpdates, numbers: Some(multipliers(&weights)) },
        Translation { equivalence: Equivalence::FullBatch, numbers: full_batch },
    ];
    if let Some(rate) = rate {
        let rates = pathwise_schedule(&weights, rate)?;
        let numbers = Some(rates.into_iter().map(|a| a / rate).collect());
        found.push(Translation { equivalence: Equivalence::SameBatches { rate }, numbers });
    }
    Ok(found)
}

/// The averages that a schedule equals: weights of x_T, ..., x_0 of a run at the constant rate, from the multipliers of the schedule, last
/// update first.
///
/// A weight may be negative where the schedule rises: then no moving average does it, but the sum of iterates still holds.
/// Source: `averaging`, sections 2.6-2.8.
///
/// # Errors
/// [`TheoryError::Number`] for a rate outside (0, 2).
pub fn averages_of_schedule(schedule: &[f64], rate: Option<f64>) -> Result<Vec<Translation>, TheoryError> {
    let is_probability = schedule.iter().all(|multiplier| (0.0..=1.0).contains(multiplier));
    let full_batch = (is_probability && schedule.len() <= MOST_EXPANDED).then(|| poisson_binomial_weights(schedule));
    let mut found = vec![
        Translation { equivalence: Equivalence::RecordedUpdates, numbers: Some(weights_from_multipliers(schedule)) },
        Translation { equivalence: Equivalence::FullBatch, numbers: full_batch },
    ];
    if let Some(rate) = rate {
        let rates: Vec<f64> = schedule.iter().map(|multiplier| multiplier * rate).collect();
        let numbers = Some(pathwise_weights(&rates, rate)?);
        found.push(Translation { equivalence: Equivalence::SameBatches { rate }, numbers });
    }
    Ok(found)
}

/// Most weights whose generating polynomial is factored.
const MOST_FACTORED: usize = 200;
/// Most multipliers whose generating polynomial is multiplied out, in O(n²).
const MOST_EXPANDED: usize = 20_000;

/// E4: what an average acts as at one curvature: the share of the learning rate whose plain SGD has the same stationary
/// variance (`averaging`, section 2.5).
///
/// # Errors
/// [`TheoryError::Number`] for a rate where the direction is unstable, or an average without a meaning.
pub fn effective_share(average: Average, rate: f64, momentum: f64) -> Result<f64, TheoryError> {
    let mode = StationaryMode::new(rate, momentum)?;
    let ratio = average.stationary_ratio(&mode)?;
    // With momentum plain SGD of the same variance has the rate a/(1 − β) to first order.
    Ok(mode.effective_rate(ratio) / mode.effective_rate(1.0))
}

/// The batch size at which `target_rate` and `target_momentum` have the noise n_c = η/(S(1 − β)) of the other three.
///
/// A real number: rounding to whole examples is where the translation stops being exact. Stationary laws agree for small ηλ,
/// and as functions of *epochs* the runs also descend alike: per example both move η/S (`curvature`, section 1.2).
///
/// ```
/// use stepscope_theory::batch_size_at_equal_noise;
/// // The cyclic schedules of "Three Factors": rate 0.001 at batch 128 is rate 0.005 at batch 640.
/// assert_eq!(batch_size_at_equal_noise(0.001, 128.0, 0.0, 0.005, 0.0)?, 640.0);
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
///
/// # Errors
/// [`TheoryError::Number`] for rates or a batch not above 0, or momenta outside (−1, 1).
pub fn batch_size_at_equal_noise(
    rate: f64,
    batch_size: f64,
    momentum: f64,
    target_rate: f64,
    target_momentum: f64,
) -> Result<f64, TheoryError> {
    let positive = |name, value: f64| check(name, "finite and above 0", value, value.is_finite() && value > 0.0);
    positive("learning rate", rate)?;
    positive("batch size", batch_size)?;
    positive("learning rate", target_rate)?;
    for momentum in [momentum, target_momentum] {
        check("momentum", "between -1 and 1, both excluded", momentum, momentum.abs() < 1.0)?;
    }
    Ok(target_rate * batch_size * (1.0 - momentum) / (rate * (1.0 - target_momentum)))
}

/// The schedule whose values are `product` over those of `schedule`, which starts at `base`: of the batch size for one of the learning rate,
/// and the reverse. Lengths stay, and are to be given in epochs: that is where the runs agree.
///
/// `None` where the reciprocal has no words of its own (a line or a cosine; a warm-up): use [`reciprocal_steps`].
///
/// ```
/// use stepscope_theory::reciprocal_schedule;
/// let rate = "cyclic(from = 0.001, to = 0.005, every = 8ep, shape = discrete)".parse()?;
/// let batch = reciprocal_schedule(&rate, 0.001, 0.005 * 128.0).unwrap();
/// assert_eq!(batch.to_string(), "cyclic(from = 640, to = 128, every = 8ep, shape = discrete)");
/// # Ok::<(), stepscope_types::schedule::ParseScheduleError>(())
/// ```
pub fn reciprocal_schedule(schedule: &ScheduleSpec, base: f64, product: f64) -> Option<ScheduleSpec> {
    let parts = schedule.parts.iter().map(|part| reciprocal_part(part, base, product)).collect::<Option<_>>()?;
    Some(ScheduleSpec { parts })
}

fn reciprocal_part(part: &SchedulePart, base: f64, product: f64) -> Option<SchedulePart> {
    let over = |value: f64| product / value;
    let listed =
        |first: f64, changes: &[(f64, _)]| (over(first), changes.iter().map(|(v, at)| (over(*v), *at)).collect());
    let kind = match &part.kind {
        ScheduleKind::Constant => ScheduleKind::Constant,
        ScheduleKind::Exponential { decay: ExponentialDecay::To(to) } => {
            ScheduleKind::Exponential { decay: ExponentialDecay::To(over(*to)) }
        }
        ScheduleKind::Exponential { decay: ExponentialDecay::Factor { factor, every } } => {
            ScheduleKind::Exponential { decay: ExponentialDecay::Factor { factor: 1.0 / factor, every: *every } }
        }
        ScheduleKind::Step { every, factor } => ScheduleKind::Step { every: *every, factor: 1.0 / factor },
        ScheduleKind::Cyclic { to, every, shape: shape @ stepscope_types::schedule::Shape::Discrete, factor: 1.0 } => {
            ScheduleKind::Cyclic { to: over(*to), every: *every, shape: *shape, factor: 1.0 }
        }
        ScheduleKind::Piecewise { first, changes } => {
            let (first, changes) = listed(*first, changes);
            ScheduleKind::Piecewise { first, changes }
        }
        _ => return None,
    };
    let from = match kind {
        ScheduleKind::Piecewise { .. } => None,
        _ => Some(over(part.from.unwrap_or(base))),
    };
    let parts = SchedulePart { kind, from, warmup: None, warmup_from: None, length: part.length };
    part.warmup.is_none().then_some(parts)
}

/// `product` over the values of a schedule at `positions`, as stairs that are never further than `tolerance` (relative) from it:
/// pairs of a value and the position from which on it holds. Values beyond `most` are held there, as those of a rate that falls to 0 are.
///
/// Whole numbers where `whole`.
pub fn reciprocal_steps(
    values: impl Iterator<Item = (f64, f64)>,
    product: f64,
    tolerance: f64,
    most: f64,
    whole: bool,
) -> Vec<(f64, f64)> {
    let mut stairs: Vec<(f64, f64)> = Vec::new();
    for (position, value) in values {
        let exact = (product / value).min(most);
        let rounded = if whole { exact.round().max(1.0) } else { exact };
        if stairs.last().is_none_or(|(held, _)| (held - exact).abs() > tolerance * exact) {
            stairs.push((rounded, position));
        }
    }
    stairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_types::schedule::{RunClock, Scheduled};

    #[test]
    fn a_reciprocal_schedule_has_the_same_ratio_everywhere() {
        let clock = RunClock::Epochs { num_epochs: 12.0 };
        for text in [
            "constant",
            "step(every = 3ep, factor = 0.5)",
            "exponential(to = 0.01)",
            "exponential(factor = 0.5, every = 4ep)",
            "piecewise(0.1, 0.05 at 4ep, 0.02 at 8ep)",
            "cyclic(to = 0.02, every = 4ep, shape = discrete)",
            "constant(length = 0.5dur) then exponential(from = 0.05, to = 0.01)",
        ] {
            let rate: ScheduleSpec = text.parse().unwrap();
            let batch = reciprocal_schedule(&rate, 0.1, 6.4).unwrap();
            let batch: ScheduleSpec = batch.to_string().parse().unwrap();
            let rate = rate.resolve(0.1, Scheduled::LearningRate, &clock).unwrap();
            let batch = batch.resolve(1.0, Scheduled::BatchSize, &clock).unwrap();
            for position in (0..120).map(|tenth| f64::from(tenth) / 10.0) {
                let product = rate.at(position) * batch.at(position);
                assert!((product / 6.4 - 1.0).abs() < 1e-12, "{text} at {position}: {product}");
            }
        }
        for text in ["linear", "cosine", "cyclic(to = 1, every = 1ep)", "constant(warmup = 1ep)", "gauged"] {
            assert_eq!(reciprocal_schedule(&text.parse().unwrap(), 0.1, 1.0), None, "{text}");
        }
    }

    #[test]
    fn stairs_stay_within_the_tolerance_of_the_reciprocal() {
        let rate = |t: f64| 0.1 * (1.0 - t / 100.0);
        let stairs = reciprocal_steps((0..100).map(|t| (f64::from(t), rate(f64::from(t)))), 6.4, 0.05, 1000.0, false);
        assert!(stairs.len() > 10 && stairs.len() < 70, "{}", stairs.len());
        for t in 0..100 {
            let t = f64::from(t);
            let held = stairs[stairs.partition_point(|(_, at)| *at <= t) - 1].0;
            let exact = (6.4 / rate(t)).min(1000.0);
            assert!((held / exact - 1.0).abs() <= 0.05 + 1e-12, "{t}: {held} {exact}");
        }
    }

    #[test]
    fn an_average_and_the_schedule_made_of_it_translate_back() {
        for average in [Average::Ema { rate: 0.2 }, Average::Window { length: 5 }, Average::TwoPoint { gap: 3 }] {
            let weights = average.weights(9).unwrap();
            let schedules = schedules_of_average(average, 9, Some(0.3)).unwrap();
            let recorded = averages_of_schedule(schedules[0].numbers.as_ref().unwrap(), None).unwrap();
            let pathwise = averages_of_schedule(schedules[2].numbers.as_ref().unwrap(), Some(0.3)).unwrap();
            for found in [&recorded[0], &pathwise[2]] {
                for (a, b) in found.numbers.as_ref().unwrap().iter().zip(&weights) {
                    assert!((a - b).abs() < 1e-12, "{average:?} {found:?}");
                }
            }
        }
    }

    #[test]
    fn two_far_points_act_as_half_the_rate_and_a_rising_schedule_needs_negative_weights() {
        let share = effective_share(Average::TwoPoint { gap: 10_000 }, 0.01, 0.0).unwrap();
        assert!((share - 0.5).abs() < 0.005, "{share}");
        let rising = averages_of_schedule(&[1.0, 0.5], None).unwrap();
        assert!(rising[0].numbers.as_ref().unwrap().iter().any(|weight| *weight < 0.0));
    }
}
