//! The best settings for a horizon: learning rate, momentum, batch size, schedule, as far as each is free.

use stepscope_theory::{
    OptimizedSchedule, Problem, QuadraticModel, Sampling, ScheduleFamily, ScheduleShape, Sgd, TheoryError,
};
use stepscope_types::BatchSize;
use thiserror::Error;

use super::losses::predict_losses;
use super::settings::SettingsPlan;

/// Modes up to which a search needs no bins.
const NO_BINS_BELOW: usize = 512;
/// Bins per decade of a search: 1e-3 of the loss, while optima are flat.
const SEARCH_RESOLUTION: u32 = 16;
/// Momenta searched.
const MOMENTUM_RANGE: (f64, f64) = (-0.95, 0.99);
/// Largest batch size tried.
const LARGEST_BATCH: u64 = 1 << 16;
/// Nodes times steps beyond which a schedule search takes too long: minutes.
const LARGEST_SCHEDULE: f64 = 2e7;

/// Families that are searched, with their names in results.
const FAMILIES: [(ScheduleFamily, &str); 5] = [
    (ScheduleFamily::Constant, "constant"),
    (ScheduleFamily::LinearWarmup, "linear-warmup"),
    (ScheduleFamily::Anneal, "anneal"),
    (ScheduleFamily::WarmupStableDecay, "warmup-stable-decay"),
    (ScheduleFamily::PowerWarmupAnneal, "power-warmup-anneal"),
];

/// Which settings may change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freedom {
    /// a.
    pub learning_rate: bool,
    /// b.
    pub momentum: bool,
    /// B, at the same number of examples seen.
    pub batch_size: bool,
    /// The learning rate over the run.
    pub schedule: bool,
}

/// A search that cannot be made.
#[derive(Debug, Error)]
pub enum SearchError {
    /// The theory refused.
    #[error(transparent)]
    Theory(#[from] TheoryError),
    /// Batch sizes can only be compared from one.
    #[error("a search over batch sizes needs one to begin with: it compares runs that see the same number of examples")]
    NoBatchSize,
    /// A schedule search of this length takes too long.
    #[error(
        "a schedule search over {steps} steps of {num_nodes} nodes would take too long: ask for at most {most} steps; the best \
         fractions of warm-up and anneal change slowly with the horizon"
    )]
    TooLong {
        /// Steps asked for.
        steps: u64,
        /// Nodes of the spectrum.
        num_nodes: usize,
        /// Steps that would do.
        most: u64,
    },
}

/// The best settings at one batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchRow {
    /// B.
    pub batch_size: u64,
    /// Steps that see as many examples as the asked run.
    pub steps: u64,
    /// a.
    pub learning_rate: f64,
    /// b.
    pub momentum: f64,
    /// E L after them.
    pub loss: f64,
}

/// The best schedule of one family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FamilyRow {
    /// The family's name.
    pub family: &'static str,
    /// Its best member.
    pub shape: ScheduleShape,
    /// E L at the horizon.
    pub loss: f64,
    /// Whether the descent had nothing left to gain.
    pub converged: bool,
}

/// The best settings found.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimum {
    /// a: the peak, where a schedule was searched.
    pub learning_rate: f64,
    /// b.
    pub momentum: f64,
    /// B, where there is one.
    pub batch_size: Option<u64>,
    /// Steps of the best run; fewer or more than asked only where the batch size is free.
    pub steps: u64,
    /// E L of the best run at its end.
    pub loss: f64,
    /// The best schedule, where schedules were searched.
    pub schedule: Option<FamilyRow>,
    /// The best of every family searched, in ascending order of the loss.
    pub families: Vec<FamilyRow>,
    /// The best at every batch size tried.
    pub batches: Vec<BatchRow>,
    /// Best loss at twice the batch size over that at the batch size, after as many steps, each with its own best learning
    /// rate; none without a batch size, or where twice is more than the data.
    pub doubling_gain: Option<f64>,
}

/// Finds the settings with the lowest E L after `steps`, starting from `sgd` at `batch_size`.
///
/// Learning rate and momentum by golden sections over single-time answers, the batch size over powers of two at an equal
/// number of examples, schedules by BFGS over small families. Spectra above 512 modes are searched on bins; the loss of the
/// result is computed as [`predict_losses`] does. `tell` hears what is being searched. Cost: up to minutes with schedules.
///
/// # Errors
/// [`SearchError`].
pub fn search(
    problem: &Problem,
    sgd: &Sgd,
    batch_size: Option<u64>,
    steps: u64,
    freedom: Freedom,
    tell: &dyn Fn(&str),
) -> Result<Optimum, SearchError> {
    let model = &problem.model;
    let bins = if model.num_modes() > NO_BINS_BELOW { model.binned(SEARCH_RESOLUTION)? } else { model.clone() };
    if freedom.schedule && bins.num_modes() as f64 * steps as f64 > LARGEST_SCHEDULE {
        let (num_nodes, most) = (bins.num_modes(), (LARGEST_SCHEDULE / bins.num_modes() as f64) as u64);
        return Err(SearchError::TooLong { steps, num_nodes, most });
    }
    let mut batches = Vec::new();
    let (mut best, mut batch, mut horizon) = (*sgd, batch_size, steps);
    if freedom.batch_size {
        batches = every_batch(&bins, problem.sampling, sgd, batch_size, steps, freedom, tell)?;
        if let Some(row) = batches.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)) {
            let noise_factor = noise_factor(problem.sampling, row.batch_size)?;
            best = Sgd { learning_rate: row.learning_rate, momentum: row.momentum, noise_factor };
            (batch, horizon) = (Some(row.batch_size), row.steps);
        }
    } else {
        tell("learning rate and momentum");
        best = best_constant(&bins, &best, steps, freedom)?;
    }
    let mut families = if freedom.schedule { every_family(&bins, &best, horizon, tell)? } else { Vec::new() };
    families.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    let schedule = families.first().copied();
    let plan = match schedule {
        Some(row) => {
            best.learning_rate = row.shape.peak;
            SettingsPlan::Shaped { sgd: best, shape: row.shape, steps: horizon }
        }
        None => SettingsPlan::Constant(best),
    };
    tell("what a larger batch buys");
    let found = predict_losses(model, &plan, &[horizon], 1e-3)?;
    let doubled = batch.and_then(|batch| BatchSize::new(batch).ok());
    let doubling_gain =
        doubled.and_then(|batch| bins.batch_doubling_gain(best.momentum, batch, problem.sampling, horizon).ok());
    let Sgd { learning_rate, momentum, .. } = best;
    let loss = found.loss[0];
    Ok(Optimum {
        learning_rate,
        momentum,
        batch_size: batch,
        steps: horizon,
        loss,
        schedule,
        families,
        batches,
        doubling_gain,
    })
}

fn noise_factor(sampling: Sampling, batch_size: u64) -> Result<f64, TheoryError> {
    let refused = |_| TheoryError::Number { name: "batch size", expected: "at least 1", got: batch_size as f64 };
    sampling.noise_factor(BatchSize::new(batch_size).map_err(refused)?)
}

/// The best constant settings at the batch of `sgd`.
fn best_constant(model: &QuadraticModel, sgd: &Sgd, steps: u64, freedom: Freedom) -> Result<Sgd, TheoryError> {
    let found = match (freedom.learning_rate, freedom.momentum) {
        (true, true) => model.best_constant_settings(sgd.noise_factor, steps, MOMENTUM_RANGE)?,
        (true, false) => model.best_learning_rate(sgd.momentum, sgd.noise_factor, steps)?,
        (false, true) => {
            let loss = |momentum: f64| final_loss(model, &Sgd { momentum, ..*sgd }, steps);
            return Ok(Sgd { momentum: golden_section(MOMENTUM_RANGE, loss), ..*sgd });
        }
        (false, false) => return Ok(*sgd),
    };
    Ok(Sgd { learning_rate: found.learning_rate, momentum: found.momentum, ..*sgd })
}

fn final_loss(model: &QuadraticModel, sgd: &Sgd, steps: u64) -> f64 {
    let found = predict_losses(model, &SettingsPlan::Constant(*sgd), &[steps], 1e-3);
    found.map_or(f64::INFINITY, |found| found.loss[0])
}

/// Where a function with one valley is lowest, to 1e-5 of the range: 24 evaluations.
fn golden_section((mut low, mut high): (f64, f64), f: impl Fn(f64) -> f64) -> f64 {
    let share = 0.5 * (5_f64.sqrt() - 1.0);
    let at = |low: f64, high: f64| [high - share * (high - low), low + share * (high - low)];
    let [mut left, mut right] = at(low, high).map(|x| (x, f(x)));
    for _ in 0..24 {
        if left.1 <= right.1 {
            high = right.0;
            right = left;
            left = (at(low, high)[0], f(at(low, high)[0]));
        } else {
            low = left.0;
            left = right;
            right = (at(low, high)[1], f(at(low, high)[1]));
        }
    }
    if left.1 <= right.1 { left.0 } else { right.0 }
}

fn every_batch(
    model: &QuadraticModel,
    sampling: Sampling,
    sgd: &Sgd,
    batch_size: Option<u64>,
    steps: u64,
    freedom: Freedom,
    tell: &dyn Fn(&str),
) -> Result<Vec<BatchRow>, SearchError> {
    let examples = steps.saturating_mul(batch_size.ok_or(SearchError::NoBatchSize)?);
    let most = match sampling {
        Sampling::Stream => LARGEST_BATCH,
        Sampling::Finite { num_examples } => LARGEST_BATCH.min(num_examples),
    };
    let mut rows = Vec::new();
    for batch_size in (0..=16).map(|power| 1_u64 << power).filter(|&batch| batch <= most.min(examples)) {
        tell(&format!("batch size {batch_size}"));
        let steps = (examples as f64 / batch_size as f64).round() as u64;
        let here = Sgd { noise_factor: noise_factor(sampling, batch_size)?, ..*sgd };
        let best = best_constant(model, &here, steps, freedom)?;
        let loss = final_loss(model, &best, steps);
        rows.push(BatchRow { batch_size, steps, learning_rate: best.learning_rate, momentum: best.momentum, loss });
    }
    Ok(rows)
}

fn every_family(
    model: &QuadraticModel,
    sgd: &Sgd,
    steps: u64,
    tell: &dyn Fn(&str),
) -> Result<Vec<FamilyRow>, TheoryError> {
    let mut rows = Vec::new();
    for (family, name) in FAMILIES {
        tell(name);
        let OptimizedSchedule { shape, loss, converged, .. } =
            model.optimize_schedule(family, sgd.momentum, sgd.noise_factor, steps)?;
        rows.extend(shape.map(|shape| FamilyRow { family: name, shape, loss, converged }));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use stepscope_theory::{Closure, PowerLaw};

    use super::*;

    fn problem() -> Problem {
        Problem::of_power_law(PowerLaw::new(1.5, 3.0, 300.0).unwrap(), Closure::INTERPOLATING).unwrap()
    }

    fn find(steps: u64, batch: Option<u64>, freedom: Freedom) -> Result<Optimum, SearchError> {
        search(&problem(), &Sgd::from_numbers(0.1, 0.0, 1.0).unwrap(), batch, steps, freedom, &|_| {})
    }

    #[test]
    fn no_neighbour_of_the_best_settings_is_better() {
        let problem = problem();
        let loss = |learning_rate: f64, momentum: f64| {
            final_loss(&problem.model, &Sgd { learning_rate, momentum, noise_factor: 1.0 }, 2000)
        };
        let both = find(2000, Some(1), Freedom { learning_rate: true, momentum: true, ..Freedom::default() }).unwrap();
        let (a, b) = (both.learning_rate, both.momentum);
        for (other_a, other_b) in [(1.1 * a, b), (0.9 * a, b), (a, b + 0.05), (a, b - 0.05)] {
            assert!(loss(other_a, other_b) > both.loss, "({other_a}, {other_b}) beats ({a}, {b})");
        }
        let momentum = find(2000, Some(1), Freedom { momentum: true, ..Freedom::default() }).unwrap();
        assert_eq!(momentum.learning_rate, 0.1);
        for other in [momentum.momentum + 0.02, momentum.momentum - 0.02] {
            assert!(loss(0.1, other) > momentum.loss);
        }
        assert!(both.loss <= momentum.loss);
        assert!(both.doubling_gain.unwrap() < 1.0);
    }

    #[test]
    fn batch_sizes_are_compared_at_an_equal_number_of_examples() {
        let free = Freedom { learning_rate: true, batch_size: true, ..Freedom::default() };
        let best = find(500, Some(4), free).unwrap();
        assert!(best.batches.iter().all(|row| row.batch_size * row.steps == 2000 || row.batch_size > 16));
        assert!(best.batches.iter().all(|row| row.loss >= best.loss * (1.0 - 1e-3)));
        assert!(matches!(find(500, None, free), Err(SearchError::NoBatchSize)));
    }

    #[test]
    fn noise_without_a_floor_wants_a_warm_up_and_the_constant_family_is_the_constant_optimum() {
        let best = find(300, Some(1), Freedom { schedule: true, ..Freedom::default() }).unwrap();
        let constant = best.families.iter().find(|row| row.family == "constant").unwrap();
        let rate = find(300, Some(1), Freedom { learning_rate: true, ..Freedom::default() }).unwrap();
        assert!((constant.loss / rate.loss - 1.0).abs() < 1e-5, "{} {}", constant.loss, rate.loss);
        assert!(best.loss < 0.7 * constant.loss && best.schedule.unwrap().shape.warmup_fraction > 0.1, "{best:?}");
        let freedom = Freedom { schedule: true, ..Freedom::default() };
        assert!(matches!(find(10_000_000, Some(1), freedom), Err(SearchError::TooLong { most, .. }) if most < 100_000));
    }
}
