//! SGD itself, run many times on all cores: the reference beside a prediction.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use stepscope_theory::{MonteCarlo, Prediction, Problem, Rung, TheoryError};

use super::settings::SettingsPlan;

/// Most numbers in the stored trajectory of one run: half a gigabyte.
pub const LARGEST_TRAJECTORY: f64 = 6e7;

/// Pieces that the runs are cut into: the progress that can be shown.
const NUM_CHUNKS: u64 = 64;

/// Mean losses over runs.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledLosses {
    /// Mean loss at each of the times asked for.
    pub loss: Vec<f64>,
    /// One standard error of each mean.
    pub standard_errors: Vec<f64>,
    /// Runs that went into them.
    pub runs: u64,
    /// Seed of the whole experiment.
    pub seed: u64,
}

/// Runs SGD `sampler.runs` times and averages its loss at `times`; `done` hears how many runs are finished.
///
/// The runs are the data's where the problem has data, else those of the closure, as [`Rung::MonteCarlo`] says. They are cut
/// into pieces with seeds of their own and pooled in order: the same seed gives the same numbers on any number of cores.
/// Cost: runs × steps × modes.
///
/// # Errors
/// [`TheoryError`] for fewer than 2 runs, trajectories that do not fit into memory, binned spectra.
pub fn sample_losses(
    problem: &Problem,
    plan: &SettingsPlan,
    times: &[u64],
    sampler: MonteCarlo,
    done: &(dyn Fn(u64) + Sync),
) -> Result<SampledLosses, TheoryError> {
    let MonteCarlo { runs, seed } = sampler;
    let refuse = |name, expected, got| Err(TheoryError::Number { name, expected, got });
    if runs < 2 {
        return refuse("runs", "at least 2", runs as f64);
    }
    let width = problem.data.as_ref().map_or(problem.model.num_modes(), |data| data.num_examples());
    let numbers = (times.iter().copied().max().unwrap_or(0) as f64 + 1.0) * width as f64;
    if numbers > LARGEST_TRAJECTORY {
        return refuse("steps times modes of a sampled run", "at most 6e7: ask for fewer steps or modes", numbers);
    }
    let chunks = chunk_sizes(runs);
    let results: Mutex<Vec<(usize, Result<Prediction, TheoryError>)>> = Mutex::new(Vec::new());
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(&size) = chunks.get(index) else { return };
            // Seeds of neighbouring pieces must not be those of neighbouring experiments.
            let seed = seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let result = problem.predict(plan, times, Rung::MonteCarlo(MonteCarlo { runs: size, seed }));
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
            done(size);
        }
    };
    let num_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(chunks.len());
    std::thread::scope(|scope| {
        for _ in 0..num_threads {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    let mut pool = Pool::new(times.len());
    for ((_, result), &size) in results.into_iter().zip(&chunks) {
        pool.add(&result?, size as f64);
    }
    Ok(SampledLosses { standard_errors: pool.standard_errors(), loss: pool.means, runs, seed })
}

/// Runs of each piece: at least 2, whose difference is the smallest sample of an error.
fn chunk_sizes(runs: u64) -> Vec<u64> {
    let count = NUM_CHUNKS.min(runs / 2).max(1);
    (0..count).map(|index| runs / count + u64::from(index < runs % count)).collect()
}

/// Means and sums of squared deviations of what was pooled so far.
struct Pool {
    count: f64,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Pool {
    fn new(len: usize) -> Self {
        Self { count: 0.0, means: vec![0.0; len], squares: vec![0.0; len] }
    }

    fn add(&mut self, sample: &Prediction, size: f64) {
        let total = self.count + size;
        let errors = sample.standard_errors.as_deref().unwrap_or_default();
        for (index, (&mean, &error)) in sample.loss.iter().zip(errors).enumerate() {
            let difference = mean - self.means[index];
            self.squares[index] +=
                error * error * size * (size - 1.0) + difference * difference * self.count * size / total;
            self.means[index] += difference * size / total;
        }
        self.count = total;
    }

    fn standard_errors(&self) -> Vec<f64> {
        self.squares.iter().map(|sum| (sum / (self.count * (self.count - 1.0))).sqrt()).collect()
    }
}

#[cfg(test)]
mod tests {
    use stepscope_theory::{Closure, PowerLaw, Schedule, Sgd};

    use super::*;

    #[test]
    fn pooled_pieces_are_the_moments_of_all_runs() {
        let (all, half) = ([1.0, 4.0, 2.0, 9.0, 5.0], 2);
        let moments = |values: &[f64]| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let error = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count * (count - 1.0))).sqrt();
            (mean, error)
        };
        let mut pool = Pool::new(1);
        for part in [&all[..half], &all[half..]] {
            let (mean, error) = moments(part);
            let sample =
                Prediction { times: vec![0], loss: vec![mean], standard_errors: Some(vec![error]), warnings: vec![] };
            pool.add(&sample, part.len() as f64);
        }
        let (mean, error) = moments(&all);
        assert!((pool.means[0] - mean).abs() < 1e-14 && (pool.standard_errors()[0] - error).abs() < 1e-14);
        assert_eq!(chunk_sizes(5), [3, 2]);
        assert_eq!(chunk_sizes(1000).iter().sum::<u64>(), 1000);
    }

    #[test]
    fn sampled_runs_agree_with_the_prediction_and_repeat_bit_for_bit() {
        let law = PowerLaw::new(1.5, 1.0, 20.0).unwrap();
        let problem = Problem::of_power_law(law, Closure::GAUSSIAN).unwrap();
        let plan = SettingsPlan::Constant(Sgd::from_numbers(0.2, 0.3, 0.5).unwrap());
        let times = [0, 1, 10, 50];
        let finished = AtomicU64::new(0);
        let sample = || {
            let done = |runs| {
                finished.fetch_add(runs, Ordering::Relaxed);
            };
            sample_losses(&problem, &plan, &times, MonteCarlo { runs: 2000, seed: 7 }, &done).unwrap()
        };
        let (first, again) = (sample(), sample());
        assert_eq!(first, again);
        assert_eq!(finished.into_inner(), 4000);
        let predicted = problem.model.loss_at(&plan.constant().unwrap(), &times).unwrap();
        for (index, time) in times.iter().enumerate().skip(1) {
            let z = (first.loss[index] - predicted.loss[index]) / first.standard_errors[index];
            assert!(z.abs() < 4.5, "t = {time}: {z}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_tried() {
        let problem = Problem::of_power_law(PowerLaw::new(1.5, 1.0, 1000.0).unwrap(), Closure::GAUSSIAN).unwrap();
        let plan = SettingsPlan::Constant(Sgd::from_numbers(0.2, 0.0, 0.5).unwrap());
        let sample = |runs, time| sample_losses(&problem, &plan, &[time], MonteCarlo { runs, seed: 0 }, &|_| {});
        assert!(sample(1, 10).unwrap_err().to_string().contains("at least 2"));
        assert!(sample(10, 100_000).unwrap_err().to_string().contains("fewer steps"));
    }
}
