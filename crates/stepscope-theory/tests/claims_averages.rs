//! The T1 claims of `averaging`, section 4, on simulated quadratics.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stepscope_theory::{
    Average, EpochSampling, QuadraticModel, Sgd, StationaryMode, ema_for_reduction, ema_heavy_ball, ema_mean,
    loss_effective_rate, matched_ema, matched_window, multipliers, pathwise_schedule, pathwise_weights,
    poisson_binomial_schedule, poisson_binomial_weights, weights_from_multipliers,
};
use stepscope_types::Spectrum;

struct Draws(ChaCha8Rng);

impl Draws {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }
    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }
}

/// A path of x′ = x + v′, v′ = βv − a(x − c), c ~ N(0, 1), after its start is forgotten.
fn stationary_path(rate: f64, momentum: f64, steps: usize, seed: u64) -> Vec<f64> {
    let mut draws = Draws::new(seed);
    let (mut x, mut v, mut path) = (0.0, 0.0, Vec::with_capacity(steps));
    for step in 0..steps + 2000 {
        v = momentum * v - rate * (x - draws.normal());
        x += v;
        if step >= 2000 {
            path.push(x);
        }
    }
    path
}

fn mean_square(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x * x, count + 1.0));
    sum / count
}

#[test]
fn claims_1_to_3_variance_autocorrelation_and_ratios_of_averages() {
    let mut worst = 0.0_f64;
    let mut compare = |what: &str, simulated: f64, predicted: f64, unit: f64| {
        let off = ((simulated - predicted) / unit).abs();
        worst = worst.max(off);
        assert!(off < 0.01, "{what}: simulated {simulated}, predicted {predicted}");
    };
    for (rate, momentum) in [(0.05, 0.0), (0.4, 0.0), (1.2, 0.0), (0.02, 0.9), (0.5, 0.9)] {
        let mode = StationaryMode::new(rate, momentum).unwrap();
        let path = stationary_path(rate, momentum, 4_000_000, 1);
        let variance = mean_square(path.iter().copied());
        let label = |what: &str| format!("{what}, a = {rate}, beta = {momentum}");
        compare(&label("variance"), variance, mode.variance(), mode.variance());
        for lag in [1, 5, 20] {
            let covariance = path.iter().zip(&path[lag..]).map(|(x, y)| x * y).sum::<f64>() / (path.len() - lag) as f64;
            compare(&label("autocorrelation"), covariance / variance, mode.autocorrelation(lag as u64), 1.0);
            let midpoint = mean_square(path.iter().zip(&path[lag..]).map(|(x, y)| 0.5 * (x + y)));
            let ratio = mode.two_point_ratio(lag as u64);
            compare(&label("two points"), midpoint / variance, ratio, ratio);
        }
        let sums: Vec<f64> = path
            .iter()
            .scan(0.0, |sum, x| {
                *sum += x;
                Some(*sum)
            })
            .collect();
        for length in [10_usize, 100] {
            let window = mean_square(sums.iter().zip(&sums[length..]).map(|(low, high)| (high - low) / length as f64));
            let ratio = mode.window_ratio(length as u64).unwrap();
            compare(&label("window"), window / variance, ratio, ratio);
        }
        for ema_rate in [0.2, 0.02] {
            let ema = path.iter().scan(0.0, |y, x| {
                *y += ema_rate * (x - *y);
                Some(*y)
            });
            let ratio = mode.ema_ratio(ema_rate).unwrap();
            compare(&label("EMA"), mean_square(ema.skip(1000)) / variance, ratio, ratio);
        }
    }
    println!("largest deviation {worst:.4}");
}

#[test]
fn closed_forms_are_the_double_sums_over_weights() {
    for (rate, momentum) in [(0.1, 0.0), (0.05, 0.9), (0.7, -0.5)] {
        let mode = StationaryMode::new(rate, momentum).unwrap();
        let window = mode.ratio_of_weights(&[1.0 / 37.0; 37]);
        assert!((mode.window_ratio(37).unwrap() / window - 1.0).abs() < 1e-12);
        let ema: Vec<f64> = (0..2000).map(|j| 0.03 * 0.97_f64.powi(j)).collect();
        assert!((mode.ema_ratio(0.03).unwrap() / mode.ratio_of_weights(&ema) - 1.0).abs() < 1e-12);
        let mut checkpoints = vec![0.0; 41];
        checkpoints.iter_mut().step_by(10).for_each(|w| *w = 0.2);
        let ratio = mode.checkpoint_ratio(5, 10).unwrap();
        assert!((ratio / mode.ratio_of_weights(&checkpoints) - 1.0).abs() < 1e-12);
        assert!((mode.ratio_for_effective_rate(mode.effective_rate(0.3)).unwrap() - 0.3).abs() < 1e-14);
    }
    let mode = StationaryMode::new(0.1, 0.0).unwrap();
    let mut sparse = vec![0.0; 4000];
    sparse.iter_mut().step_by(8).enumerate().for_each(|(j, w)| *w = 0.2 * 0.8_f64.powi(j as i32));
    assert!((mode.sparse_ema_ratio(0.8, 8).unwrap() / mode.ratio_of_weights(&sparse) - 1.0).abs() < 1e-12);
    // The example of section 2.4: below one half near half a period.
    assert!((StationaryMode::new(0.02, 0.9).unwrap().two_point_ratio(20) - 0.370082).abs() < 1e-6);
}

/// The averages of claim 5, as weights on x_T, ..., x_0 after 300 updates.
fn averages() -> Vec<Vec<f64>> {
    [
        Average::TwoPoint { gap: 60 },
        Average::Window { length: 80 },
        Average::Ema { rate: 0.02 },
        Average::PowerFunction { exponent: 6.94 },
    ]
    .iter()
    .map(|average| average.weights(300).unwrap())
    .collect()
}

fn weighted(path: &[f64], weights: &[f64]) -> f64 {
    path.iter().rev().zip(weights).map(|(x, w)| x * w).sum()
}

#[test]
fn claim_4_an_average_rescales_the_recorded_updates_of_any_loss() {
    // Logistic-like loss log cosh(x − c) with momentum: nothing quadratic about it.
    for momentum in [0.0, 0.9] {
        let mut draws = Draws::new(4);
        let (mut x, mut v, mut path) = (3.0, 0.0, vec![3.0]);
        for _ in 0..300 {
            v = momentum * v + f64::tanh(x - draws.normal());
            x -= 0.1 * v;
            path.push(x);
        }
        for weights in averages() {
            let tail = multipliers(&weights);
            let rescaled = path[0] + (0..300).map(|m| tail[m] * (path[300 - m] - path[299 - m])).sum::<f64>();
            assert!((rescaled - weighted(&path, &weights)).abs() < 1e-12);
            let back = weights_from_multipliers(&tail);
            assert!(back.iter().zip(&weights).all(|(a, b)| (a - b).abs() < 1e-14));
        }
    }
}

#[test]
fn claim_5_a_schedule_reaches_the_average_from_the_same_batches() {
    for rate in [0.03, 0.3] {
        let mut draws = Draws::new(5);
        let optima: Vec<f64> = (0..300).map(|_| draws.normal()).collect();
        let run = |rates: &dyn Fn(usize) -> f64| {
            optima.iter().enumerate().fold(vec![2.0], |mut path, (step, c)| {
                let x = path[step];
                path.push(x - rates(step) * (x - c));
                path
            })
        };
        let path = run(&|_| rate);
        for weights in averages() {
            let schedule = pathwise_schedule(&weights, rate).unwrap();
            let end = run(&|step| schedule[299 - step])[300];
            assert!((end - weighted(&path, &weights)).abs() < 1e-11, "{rate}: {end}");
            let back = pathwise_weights(&schedule, rate).unwrap();
            // Weights far back are divided by what little is left of the past: compare where they matter.
            assert!(back.iter().zip(&weights).take(50).all(|(a, b)| (a - b).abs() < 1e-10));
        }
    }
}

#[test]
fn claim_5_closed_forms_of_the_pathwise_schedules() {
    let (a, n, alpha) = (0.2_f64, 80.0, 0.02);
    let rho = 1.0 - a;
    let two = pathwise_schedule(&Average::TwoPoint { gap: 60 }.weights(300).unwrap(), a).unwrap();
    let window = pathwise_schedule(&Average::Window { length: 80 }.weights(300).unwrap(), a).unwrap();
    let ema = pathwise_schedule(&Average::Ema { rate: alpha }.weights(6000).unwrap(), a).unwrap();
    for m in 0..60_i32 {
        let (back, z) = (f64::from(m), 1.0 - alpha);
        assert!((two[m as usize] - a * rho.powi(m) / (1.0 + rho.powi(m))).abs() < 1e-14);
        let expected = (1.0 - rho.powi(m + 1)) / (n - back + rho * (1.0 - rho.powi(m)) / a);
        assert!((window[m as usize] - expected).abs() < 1e-14);
        let (r, b) = (rho.powi(m + 1), z.powi(m + 1));
        assert!((ema[m as usize] - a * alpha * (r - b) / (alpha * r - a * b)).abs() < 1e-13);
    }
}

#[test]
fn claim_6_an_ema_is_heavy_ball_with_a_momentum_of_its_own_for_each_curvature() {
    let (learning_rate, alpha) = (0.3, 0.05);
    let mut draws = Draws::new(6);
    let mut largest = 0.0_f64;
    for k in 0..20 {
        let curvature = 0.1 + 0.15 * f64::from(k);
        let (step, momentum) = ema_heavy_ball(learning_rate, alpha, curvature);
        let (mut x, mut ema) = (1.0, 1.0);
        let (mut y, mut before) = (1.0, 1.0);
        for t in 0..500 {
            let optimum = draws.normal();
            x -= learning_rate * curvature * (x - optimum);
            ema += alpha * (x - ema);
            // The first update starts from y_0 = y_{-1} = x_0.
            let next = y + momentum * (y - before) - step * curvature * (y - optimum);
            (before, y) = (y, next);
            largest = largest.max((y - ema).abs());
            assert!(largest < 1e-12, "h = {curvature}, t = {t}: {y} {ema}");
        }
    }
    println!("largest difference {largest:.1e}");
}

#[test]
fn claim_7_binomial_weights_are_scheduled_descent_at_every_curvature() {
    let schedule: Vec<f64> = (0..30).map(|m| f64::from(m + 1) / 30.0).collect();
    let weights = poisson_binomial_weights(&schedule);
    let half = poisson_binomial_weights(&[0.5; 30]);
    for k in 1..40 {
        let a = 0.05 * f64::from(k);
        let path: Vec<f64> = (0..=30).map(|t| (1.0 - a).powi(t)).collect();
        let descent: f64 = schedule.iter().map(|w| 1.0 - w * a).product();
        assert!((weighted(&path, &weights) - descent).abs() < 1e-12);
        assert!((weighted(&path, &half) - (1.0 - 0.5 * a).powi(30)).abs() < 1e-12);
    }
    let few = [0.2, 0.35, 0.5, 0.8, 1.0];
    let back = poisson_binomial_schedule(&poisson_binomial_weights(&few)).unwrap();
    assert!(back.iter().zip(&few).all(|(a, b)| (a - b).abs() < 1e-9), "{back:?}");
    assert_eq!(poisson_binomial_schedule(&Average::Window { length: 3 }.weights(5).unwrap()), None);
    assert_eq!(poisson_binomial_schedule(&Average::TwoPoint { gap: 2 }.weights(5).unwrap()), None);
    assert!(poisson_binomial_schedule(&Average::TwoPoint { gap: 1 }.weights(3).unwrap()).is_some());
}

/// Running means of what section 2.3 speaks of, on a quadratic of ten curvatures with additive noise.
struct Gauges {
    vertex: f64,
    full_over_batch: f64,
    rate_times_curvature: f64,
    consecutive: f64,
    full_squared: f64,
}

fn gauges(learning_rate: f64, momentum: f64, seed: u64) -> Gauges {
    let curvatures: Vec<f64> = (1..=10).map(|k| 4.0 / f64::from(k * k)).collect();
    let (mut draws, n) = (Draws::new(seed), curvatures.len());
    let (mut x, mut v, mut last) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let [mut slope, mut bend, mut full, mut batch, mut curved, mut product] = [0.0; 6];
    for step in 0..420_000 {
        let counted = f64::from(u8::from(step >= 20_000));
        for (k, h) in curvatures.iter().enumerate() {
            let gradient = h * x[k];
            let noisy = gradient + h.sqrt() * draws.normal();
            v[k] = momentum * v[k] - learning_rate * noisy;
            slope += counted * gradient * v[k];
            bend += counted * h * v[k] * v[k];
            full += counted * gradient * gradient;
            batch += counted * noisy * noisy;
            curved += counted * h * noisy * noisy;
            product += counted * noisy * last[k];
            last[k] = noisy;
            x[k] += v[k];
        }
    }
    Gauges {
        vertex: -slope / bend,
        full_over_batch: full / batch,
        rate_times_curvature: 0.5 * learning_rate * curved / batch,
        consecutive: product,
        full_squared: full,
    }
}

#[test]
fn claims_8_15_and_16_the_half_rate_law() {
    for (learning_rate, momentum) in [(0.05, 0.0), (0.2, 0.0), (0.02, 0.9)] {
        let gauges = gauges(learning_rate, momentum, 8);
        println!(
            "lambda {learning_rate} beta {momentum}: vertex {:.4}, gradient ratio {:.4} of {:.4}, consecutive {:.3}",
            gauges.vertex,
            gauges.full_over_batch,
            gauges.rate_times_curvature,
            gauges.consecutive / gauges.full_squared
        );
        assert!((gauges.vertex - 0.5).abs() < 0.03, "{}", gauges.vertex);
        if momentum == 0.0 {
            assert!((gauges.full_over_batch / gauges.rate_times_curvature - 1.0).abs() < 0.1);
            assert!((gauges.consecutive / gauges.full_squared + 1.0).abs() < 0.15);
        }
    }
}

#[test]
fn claim_10b_long_chords_tell_descent_from_noise() {
    let spectrum = Spectrum::new(vec![2.0, 0.002], vec![0.0, 500.0]).unwrap();
    let model = QuadraticModel::measured(&spectrum, 0.0, 1.0).unwrap();
    let sgd = Sgd::from_numbers(0.1, 0.0, 1.0).unwrap();
    let descending = |gap| model.chord_at(&sgd, gap, &[2500]).unwrap().vertex[0];
    assert!((descending(1) - 0.5).abs() < 0.03, "{}", descending(1));
    assert!(descending(1000) > 0.6, "{}", descending(1000));
    assert!(descending(1000) > descending(100) && descending(100) > descending(1));
    let converged = |gap| model.chord_at(&sgd, gap, &[200_000]).unwrap().vertex[0];
    for gap in [1, 10, 1000] {
        assert!((converged(gap) - 0.5).abs() < 1e-6, "{gap}: {}", converged(gap));
    }
}

#[test]
fn claim_25_two_far_points_lie_inside_the_shell() {
    let paths: Vec<Vec<f64>> = (0..400).map(|k| stationary_path(0.1, 0.0, 2000, 100 + k)).collect();
    let radius = |read: &dyn Fn(&[f64]) -> f64| paths.iter().map(|path| read(path).powi(2)).sum::<f64>().sqrt();
    let shell: f64 = (0..8).map(|j| radius(&|path| path[1999 - 100 * j])).sum::<f64>() / 8.0;
    let middle: f64 =
        (0..8).map(|j| radius(&|path| 0.5 * (path[1999 - 100 * j] + path[1099 - 100 * j]))).sum::<f64>() / 8.0;
    assert!((middle / shell - 0.5_f64.sqrt()).abs() < 0.03, "{}", middle / shell);
}

/// Variances of the last iterate, the two points one epoch apart and the mean of one epoch, by running shuffled epochs.
fn shuffled(rate: f64, batches: usize, phase: usize, epochs: usize) -> [f64; 3] {
    let mut draws = Draws::new(27);
    let mut optima: Vec<f64> = (0..batches).map(|i| 2.0 * i as f64 / (batches - 1) as f64 - 1.0).collect();
    let spread = mean_square(optima.iter().copied()).sqrt();
    optima.iter_mut().for_each(|c| *c /= spread);
    let (mut x, mut ring, mut at) = (0.0, vec![0.0; batches + 1], 0);
    let (mut sums, mut count) = ([0.0; 3], 0.0);
    let warm = (10.0 / rate) as usize / batches + 2;
    for epoch in 0..epochs + warm {
        for slot in 0..batches {
            let chosen = slot + (draws.uniform() * (batches - slot) as f64) as usize;
            optima.swap(slot, chosen);
            x -= rate * (x - optima[slot]);
            at = (at + 1) % ring.len();
            ring[at] = x;
            if epoch >= warm && slot + 1 == phase {
                let old = ring[(at + 1) % ring.len()];
                let mean = (ring.iter().sum::<f64>() - old) / batches as f64;
                for (sum, value) in sums.iter_mut().zip([x, 0.5 * (x + old), mean]) {
                    *sum += value * value;
                }
                count += 1.0;
            }
        }
    }
    sums.map(|sum| sum / count)
}

#[test]
fn claim_27_without_replacement_the_finite_formula_holds_and_the_independent_one_does_not() {
    for (rate, table) in [
        (0.2, [0.0938689, 0.0467107, 0.00612833]),
        (0.02, [0.00379689, 0.00156605, 0.000481929]),
        (0.005, [0.00027578, 0.000128518, 5.78829e-05]),
    ] {
        let law = EpochSampling::new(rate, 50, 17).unwrap();
        let predicted = [law.variance(), law.two_point_variance(50).unwrap(), law.window_variance(50).unwrap()];
        let simulated = shuffled(rate, 50, 17, 30_000);
        for index in 0..3 {
            assert!((predicted[index] / table[index] - 1.0).abs() < 1e-5, "{rate} {index}: {}", predicted[index]);
            let off = simulated[index] / predicted[index] - 1.0;
            assert!(off.abs() < 0.03, "{rate} {index}: {off}");
        }
        let independent = StationaryMode::new(rate, 0.0).unwrap();
        assert!(independent.variance() > 1.15 * predicted[0]);
        assert!(independent.variance() * independent.window_ratio(50).unwrap() > 2.5 * predicted[2]);
    }
}

#[test]
fn claim_28_a_rerun_of_the_cooldown_equals_the_window_for_short_windows_only() {
    let rate = 0.005;
    for (span, expected) in [(0.1, 1.0), (1.0, 1.017), (5.0, 1.236)] {
        let length = (span / rate) as u64;
        let mode = StationaryMode::new(rate, 0.0).unwrap();
        let mut variance = mode.variance();
        for m in (0..length).rev() {
            let step = rate * (m + 1) as f64 / length as f64;
            variance = (1.0 - step).powi(2) * variance + step * step;
        }
        let ratio = variance / (mode.variance() * mode.window_ratio(length).unwrap());
        println!("a N = {span}: {ratio:.4}");
        assert!((ratio - expected).abs() < 0.05, "{span}: {ratio}");
    }
}

#[test]
fn the_mean_of_an_ema_lags_behind_its_descent() {
    for (rate, ema_rate) in [(0.01, 0.02), (0.02, 0.02), (0.3, 0.05)] {
        let (mut x, mut y) = (1.0, 1.0);
        for steps in 1..=150 {
            x *= 1.0 - rate;
            y += ema_rate * (x - y);
            assert!((ema_mean(rate, ema_rate, steps) - y).abs() < 1e-13);
        }
    }
}

#[test]
fn an_ema_chosen_for_a_reduction_gives_it_and_its_window_matches() {
    let (learning_rate, curvature) = (0.01, 0.5);
    let mode = StationaryMode::new(learning_rate * curvature, 0.0).unwrap();
    for reduction in [0.1, 0.5, 0.8] {
        let alpha = ema_for_reduction(learning_rate, curvature, reduction).unwrap();
        let effective = mode.effective_rate(mode.ema_ratio(alpha).unwrap()) / (learning_rate * curvature);
        assert!((effective / reduction - 1.0).abs() < 0.02, "{reduction}: {effective}");
        let window = matched_window(alpha);
        assert!((1.0 / window - alpha / (2.0 - alpha)).abs() < 1e-12, "noise gain");
        assert!((0.5 * (window - 1.0) - (1.0 - alpha) / alpha).abs() < 1e-9, "lag");
        assert!((matched_ema(window) - alpha).abs() < 1e-12);
    }
    assert!((loss_effective_rate(&[1.0, 3.0], &[0.2, 0.6]) - 0.5).abs() < 1e-15);
}
