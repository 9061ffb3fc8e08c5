//! Claims B1, B2 and C7 of `curvature`: stationary loss, occupancy of basins, break-even.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use faer::{Mat, Side};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stepscope_theory::{
    Basin, CurvatureSpread, Sampling, Sgd, StationaryExcess, break_even_curvature, controllable_noise,
    equivalent_learning_rate, largest_stable_learning_rate, largest_stable_learning_rate_with_momentum,
    log_occupancy_ratio, mean_square_growth, preference_switch, smallest_stable_batch,
};
use stepscope_types::{BatchSize, Spectrum};

struct Draws(ChaCha8Rng);

impl Draws {
    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }
}

const EXAMPLES: usize = 1500;
const DIMENSION: usize = 6;

/// A linear regression with whitened features (so that Hessian and gradient covariance nearly commute), scaled per direction.
struct Regression {
    features: Vec<[f64; DIMENSION]>,
    targets: Vec<f64>,
    minimum: [f64; DIMENSION],
    spectrum: Spectrum,
    lowest: f64,
}

/// Real per-example gradients at the minimum give λ_i and c_i in the eigenbasis of the Hessian.
fn regression(draws: &mut Draws) -> Regression {
    let scale = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3_f64];
    let features: Vec<[f64; DIMENSION]> = (0..EXAMPLES).map(|_| scale.map(|s| s.sqrt() * draws.normal())).collect();
    let targets: Vec<f64> = features.iter().map(|x| x.iter().sum::<f64>() + 0.5 * draws.normal()).collect();
    let n = EXAMPLES as f64;
    let hessian = Mat::from_fn(DIMENSION, DIMENSION, |i, j| features.iter().map(|x| x[i] * x[j]).sum::<f64>() / n);
    let right: Vec<f64> =
        (0..DIMENSION).map(|i| features.iter().zip(&targets).map(|(x, y)| x[i] * y).sum::<f64>() / n).collect();
    let eigen = hessian.self_adjoint_eigen(Side::Lower).unwrap();
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let mut minimum = [0.0; DIMENSION];
    for k in 0..DIMENSION {
        let along: f64 = (0..DIMENSION).map(|i| vectors[(i, k)] * right[i]).sum();
        (0..DIMENSION).for_each(|i| minimum[i] += vectors[(i, k)] * along / values[k]);
    }
    let residual = |x: &[f64; DIMENSION], y: f64| x.iter().zip(&minimum).map(|(x, w)| x * w).sum::<f64>() - y;
    let variance = |k: usize| {
        let along = |x: &[f64; DIMENSION]| (0..DIMENSION).map(|i| vectors[(i, k)] * x[i]).sum::<f64>();
        features.iter().zip(&targets).map(|(x, y)| (residual(x, *y) * along(x)).powi(2)).sum::<f64>() / n
    };
    let spectrum =
        Spectrum::new((0..DIMENSION).map(|k| values[k]).collect(), (0..DIMENSION).map(variance).collect()).unwrap();
    let lowest = features.iter().zip(&targets).map(|(x, y)| residual(x, *y).powi(2)).sum::<f64>() / (2.0 * n);
    Regression { features, targets, minimum, spectrum, lowest }
}

impl Regression {
    /// Mean excess loss of SGD with batches of S (drawn with replacement) after a burn-in.
    fn excess(&self, learning_rate: f64, momentum: f64, batch: usize, draws: &mut Draws) -> f64 {
        let (mut w, mut v) = (self.minimum, [0.0; DIMENSION]);
        let burn_in = (10.0 * (1.0 - momentum) / (learning_rate * 0.3)) as usize;
        let (steps, mut sum, mut count) = (60_000 + burn_in, 0.0, 0.0);
        for step in 0..steps {
            let mut gradient = [0.0; DIMENSION];
            for _ in 0..batch {
                let i = (draws.uniform() * EXAMPLES as f64) as usize;
                let residual = self.features[i].iter().zip(&w).map(|(x, w)| x * w).sum::<f64>() - self.targets[i];
                gradient.iter_mut().zip(&self.features[i]).for_each(|(g, x)| *g += residual * x / batch as f64);
            }
            for k in 0..DIMENSION {
                v[k] = momentum * v[k] - learning_rate * gradient[k];
                w[k] += v[k];
            }
            if step >= burn_in && step % 10 == 0 {
                sum += self.loss(&w) - self.lowest;
                count += 1.0;
            }
        }
        sum / count
    }

    fn loss(&self, w: &[f64; DIMENSION]) -> f64 {
        let square = |(x, y): (&[f64; DIMENSION], &f64)| (x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() - y).powi(2);
        self.features.iter().zip(&self.targets).map(square).sum::<f64>() / (2.0 * EXAMPLES as f64)
    }
}

#[test]
fn claim_b1_the_stationary_excess_loss_is_the_discrete_form_and_the_continuous_one_only_at_small_rates() {
    let mut draws = Draws(ChaCha8Rng::seed_from_u64(1));
    let regression = regression(&mut draws);
    let largest = regression.spectrum.eigenvalues()[0];
    for (product, momentum, batch) in [(0.1, 0.0, 128), (0.7, 0.0, 64), (1.5, 0.0, 256), (0.1, 0.8, 128)] {
        let learning_rate = product / largest;
        let sgd = Sgd::from_numbers(learning_rate, momentum, 1.0 / batch as f64).unwrap();
        let predicted = StationaryExcess::of(&regression.spectrum, &sgd).unwrap();
        let measured = regression.excess(learning_rate, momentum, batch, &mut draws);
        let (discrete, continuous) = (measured / predicted.discrete - 1.0, measured / predicted.continuous - 1.0);
        println!("eta lambda {product} beta {momentum}: discrete off {discrete:+.3}, continuous off {continuous:+.3}");
        assert!(discrete.abs() < 0.05, "{product} {momentum}: {discrete}");
        assert_eq!(continuous.abs() < 0.05, product <= 0.1, "{product} {momentum}: {continuous}");
    }
}

/// A double well with two quadratic basins joined at a ridge, V(x) = min over basins of L + h(x − c)²/2.
fn double_well(x: f64, wells: &[(f64, f64, f64); 2]) -> (f64, f64) {
    let value = |(loss, curvature, centre): (f64, f64, f64)| loss + 0.5 * curvature * (x - centre).powi(2);
    let lower = if value(wells[0]) < value(wells[1]) { wells[0] } else { wells[1] };
    (value(lower), lower.1 * (x - lower.2))
}

#[test]
fn claim_b2_basins_are_occupied_by_their_boltzmann_mass() {
    // Wells (loss, curvature, centre): the second is deeper and sharper.
    let wells = [(0.12, 1.0, -2.0), (0.0, 8.0, 1.0)];
    let basin = |(loss, curvature, _): (f64, f64, f64)| Basin::new(loss, vec![curvature]).unwrap();
    let (wide, deep) = (basin(wells[0]), basin(wells[1]));
    let switch = preference_switch(&wide, &deep).unwrap();
    assert!((switch - 0.12 / (0.5 * 8_f64.ln())).abs() < 1e-14);
    assert_eq!(preference_switch(&deep, &wide), None);
    // A decade of noise: masses of the two basins by quadrature of exp(−V/n), against the Laplace form.
    let exact = |noise: f64| {
        let ridge = {
            let (mut low, mut high) = (wells[0].2, wells[1].2);
            for _ in 0..60 {
                let middle = 0.5 * (low + high);
                let left = wells[0].0 + 0.5 * wells[0].1 * (middle - wells[0].2).powi(2);
                let right = wells[1].0 + 0.5 * wells[1].1 * (middle - wells[1].2).powi(2);
                if left < right { low = middle } else { high = middle }
            }
            low
        };
        let mass = |from: f64, to: f64| {
            let cells = 40_000;
            let width = (to - from) / f64::from(cells);
            (0..cells).map(|i| (-double_well(from + (f64::from(i) + 0.5) * width, &wells).0 / noise).exp()).sum::<f64>()
                * width
        };
        (mass(ridge - 20.0, ridge) / mass(ridge, ridge + 10.0)).ln()
    };
    for step in 0..=10 {
        let noise = 0.03 * 10_f64.powf(f64::from(step) / 10.0);
        let formula = log_occupancy_ratio([&wide, &deep], [noise, noise]).unwrap();
        assert!((formula - exact(noise)).abs() < 0.1, "{noise}: {formula} {}", exact(noise));
    }
    let (mut low, mut high) = (0.03, 0.3);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if exact(middle) < 0.0 { low = middle } else { high = middle }
    }
    assert!((low / switch - 1.0).abs() < 0.05, "{low} {switch}");
}

#[test]
fn claim_b2_injected_noise_visits_the_basins_as_predicted() {
    let wells = [(0.12, 1.0, -2.0), (0.0, 8.0, 1.0)];
    let basin = |(loss, curvature, _): (f64, f64, f64)| Basin::new(loss, vec![curvature]).unwrap();
    let (wide, deep) = (basin(wells[0]), basin(wells[1]));
    for noise in [0.45, 0.6] {
        let rate = 0.01;
        let mut log_ratios = Vec::new();
        for seed in 0..8 {
            let mut draws = Draws(ChaCha8Rng::seed_from_u64(seed));
            let (mut x, mut left, mut right) = (0.0, 0.0_f64, 0.0_f64);
            // x′ = x − ηV′ + √(2ηn)ξ: the Boltzmann law at noise n as η → 0.
            let kick = f64::sqrt(2.0 * rate * noise);
            let ridge = 0.2022;
            for _ in 0..3_000_000 {
                x += kick * draws.normal() - rate * double_well(x, &wells).1;
                if x < ridge { left += 1.0 } else { right += 1.0 }
            }
            log_ratios.push((left / right).ln());
        }
        let mean = log_ratios.iter().sum::<f64>() / 8.0;
        let error = (log_ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 56.0).sqrt();
        let formula = log_occupancy_ratio([&wide, &deep], [noise, noise]).unwrap();
        println!("n = {noise}: visited {mean:.3} +- {error:.3}, Laplace {formula:.3}");
        assert!((mean - formula).abs() < 0.1 + 3.0 * error, "{noise}: {mean} {formula}");
    }
}

#[test]
fn claim_c7_the_second_moment_turns_at_the_break_even_curvature() {
    // Explicit per-example curvatures, batches without replacement: E ψ² over one step, averaged over many batches.
    let mut draws = Draws(ChaCha8Rng::seed_from_u64(7));
    let (learning_rate, spread, num_examples, batch) = (0.5, 2.0, 40_usize, 3_usize);
    let mut deviations: Vec<f64> = (0..num_examples).map(|_| draws.normal()).collect();
    let mean = deviations.iter().sum::<f64>() / num_examples as f64;
    let size = (deviations.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / num_examples as f64).sqrt();
    deviations.iter_mut().for_each(|d| *d = spread * (*d - mean) / size);
    let mut batches = Vec::new();
    for i in 0..num_examples {
        for j in i + 1..num_examples {
            for k in j + 1..num_examples {
                batches.push((deviations[i] + deviations[j] + deviations[k]) / batch as f64);
            }
        }
    }
    // Every batch is enumerated, so the growth factor of E ψ² is exact.
    let growth = |curvature: f64| {
        batches.iter().map(|d| (1.0 - learning_rate * (curvature + d)).powi(2)).sum::<f64>() / batches.len() as f64
    };
    let c = Sampling::Finite { num_examples: num_examples as u64 }.noise_factor(BatchSize::new(3).unwrap()).unwrap();
    let threshold = break_even_curvature(learning_rate, CurvatureSpread::Fixed(spread), c).unwrap().unwrap();
    assert!((growth(threshold) - 1.0).abs() < 1e-12);
    assert!(growth(0.98 * threshold) < 1.0 && growth(1.02 * threshold) > 1.0);
    assert!((mean_square_growth(learning_rate, 1.3, spread, c) - growth(1.3)).abs() < 1e-12);
    // And the sampled process: ln E ψ² over 12 steps rises or falls with the side of the threshold.
    for (side, grows) in [(0.9, false), (1.1, true)] {
        let (mut mean_square, runs, steps) = (0.0, 200_000, 12);
        for _ in 0..runs {
            let path = (0..steps).fold(1.0, |psi, _| {
                let d = batches[(draws.uniform() * batches.len() as f64) as usize];
                psi * (1.0 - learning_rate * (side * threshold + d))
            });
            mean_square += path * path / f64::from(runs);
        }
        assert_eq!(mean_square > 1.0, grows, "{side}: {mean_square}");
    }
}

#[test]
fn the_forms_of_the_break_even_condition_agree() {
    let c = Sampling::Finite { num_examples: 45_000 }.noise_factor(BatchSize::new(128).unwrap()).unwrap();
    let proportional = break_even_curvature(1.0, CurvatureSpread::Proportional(3.0), c).unwrap().unwrap();
    assert!((proportional - 1.87).abs() < 0.005, "{proportional}");
    assert_eq!(break_even_curvature(0.1, CurvatureSpread::Fixed(5.0), 0.0).unwrap(), Some(20.0));
    assert_eq!(break_even_curvature(1.0, CurvatureSpread::Fixed(2.0), 1.0).unwrap(), None);
    let rate = largest_stable_learning_rate(3.0, 2.0, 0.1).unwrap();
    assert!((mean_square_growth(rate, 3.0, 2.0, 0.1) - 1.0).abs() < 1e-14);
    assert!((largest_stable_learning_rate_with_momentum(3.0, 2.0, 0.1, 0.0).unwrap() / rate - 1.0).abs() < 1e-12);
    let smallest = smallest_stable_batch(0.5, 3.0, 2.0, 1000).unwrap().unwrap();
    let growth = |batch: u64| {
        let c = Sampling::Finite { num_examples: 1000 }.noise_factor(BatchSize::new(batch).unwrap()).unwrap();
        mean_square_growth(0.5, 3.0, 2.0, c)
    };
    assert!(growth(smallest) <= 1.0 && growth(smallest - 1) > 1.0, "{smallest}");
    assert_eq!(smallest_stable_batch(0.5, 5.0, 1.0, 1000).unwrap(), None);
}

#[test]
fn with_momentum_the_stable_rate_is_where_the_second_moments_turn() {
    let (curvature, spread, gamma, momentum) = (2.0, 3.0, 0.2, 0.7);
    let limit = largest_stable_learning_rate_with_momentum(curvature, spread, gamma, momentum).unwrap();
    for (factor, grows) in [(0.999, false), (1.001, true)] {
        let rate = factor * limit;
        let [mut c, mut j, mut v] = [1.0, 0.0, 0.0];
        for _ in 0..200_000 {
            let mean = rate * curvature;
            let gain = (mean * mean + gamma * (spread * rate).powi(2)) * c - 2.0 * mean * momentum * j
                + momentum * momentum * v;
            (c, j, v) = (c + 2.0 * (momentum * j - mean * c) + gain, momentum * j - mean * c + gain, gain);
        }
        assert_eq!(c > 1.0, grows, "{factor}: {c}");
    }
}

#[test]
fn equal_controllable_noise_means_equal_continuous_excess() {
    let spectrum = Spectrum::new(vec![3.0, 1.0], vec![2.0, 0.5]).unwrap();
    let sgd = Sgd::from_numbers(0.02, 0.0, 1.0 / 32.0).unwrap();
    let rate = equivalent_learning_rate(&sgd, 0.9, 1.0 / 128.0).unwrap();
    let other = Sgd::from_numbers(rate, 0.9, 1.0 / 128.0).unwrap();
    assert!((controllable_noise(&other) / controllable_noise(&sgd) - 1.0).abs() < 1e-14);
    let excess = |sgd| StationaryExcess::of(&spectrum, sgd).unwrap().continuous;
    assert!((excess(&other) / excess(&sgd) - 1.0).abs() < 1e-14);
}
