//! Averages inside the recursion against their definition on sampled trajectories and against closed forms.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use stepscope_theory::{
    Average, Closure, ExcessSpectrum, MonteCarlo, NoiseSource, PowerLaw, Prediction, QuadraticModel, Sgd,
    StationaryMode, TheoryError,
};
use stepscope_types::Spectrum;

const AVERAGES: [Average; 7] = [
    Average::Last,
    Average::Ema { rate: 0.1 },
    Average::PowerFunction { exponent: 3.0 },
    Average::Tail { from: 15 },
    Average::Window { length: 12 },
    Average::TwoPoint { gap: 1 },
    Average::TwoPoint { gap: 20 },
];

fn largest_z(sampled: &Prediction, exact: &Prediction) -> f64 {
    let errors = sampled.standard_errors.as_ref().unwrap();
    sampled.loss.iter().zip(&exact.loss).zip(errors).map(|((s, e), d)| ((s - e) / d).abs()).fold(0.0, f64::max)
}

#[test]
fn averaged_losses_have_the_mean_of_sampled_trajectories_under_a_schedule() {
    let law = PowerLaw::new(1.3, 1.0, 12.0).unwrap();
    let model = law.model(Closure::GAUSSIAN).unwrap().with_label_noise(0.05).unwrap();
    let schedule = |step: u64| {
        let t = step as f64;
        let learning_rate = if step < 10 { 0.03 * (t + 1.0) } else { 0.3 / (1.0 + 0.02 * (t - 10.0)) };
        Sgd { learning_rate, momentum: 0.3 - 0.5 * t / 60.0, noise_factor: if step < 30 { 0.5 } else { 1.0 / 6.0 } }
    };
    let times = [1, 5, 20, 40, 60];
    let sampler = MonteCarlo { runs: 3000, seed: 2024 };
    for average in AVERAGES {
        let sampled =
            sampler.sample_average(&model, NoiseSource::GaussianFeatures, &schedule, average, &times).unwrap();
        let exact = model.averaged_loss_at(&schedule, average, &times).unwrap();
        assert!(largest_z(&sampled, &exact) < 4.5, "{average:?}: {}", largest_z(&sampled, &exact));
    }
}

#[test]
fn without_noise_the_average_is_that_of_the_path_of_descent() {
    let spectrum = Spectrum::new(vec![1.5, 0.4, 0.05, -0.02], vec![1.0, 2.0, 3.0, 0.1]).unwrap();
    let model = QuadraticModel::interpolating(&spectrum, Closure::INTERPOLATING).unwrap();
    for momentum in [0.0, 0.6] {
        let sgd = Sgd::from_numbers(0.4, momentum, 0.0).unwrap();
        for average in AVERAGES {
            for time in [0, 1, 7, 35] {
                let weights = average.weights(time).unwrap();
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                let loss: f64 =
                    spectrum.pairs().map(|(l, c)| 0.5 * l * c * mean_of_descent(l, &sgd, &weights).powi(2)).sum();
                let answer = model.averaged_loss_at(&sgd, average, &[time]).unwrap().loss[0];
                assert!((answer - loss).abs() < 1e-12, "{average:?} {time}: {answer} {loss}");
            }
        }
    }
}

fn mean_of_descent(eigenvalue: f64, sgd: &Sgd, weights: &[f64]) -> f64 {
    let (mut x, mut v, mut path) = (1.0, 0.0, vec![1.0]);
    for _ in 1..weights.len() {
        v = sgd.momentum * v - sgd.learning_rate * eigenvalue * x;
        x += v;
        path.push(x);
    }
    path.iter().rev().zip(weights).map(|(x, w)| x * w).sum()
}

#[test]
fn once_stationary_the_recursion_has_the_variance_ratios_of_the_closed_forms() {
    let (eigenvalue, gamma) = (0.8, 0.25);
    let spectrum = Spectrum::new(vec![eigenvalue], vec![1.0]).unwrap();
    let model = QuadraticModel::measured(&spectrum, 0.0, 1.0).unwrap();
    for (learning_rate, momentum) in [(0.2, 0.0), (0.05, 0.9), (0.3, -0.4)] {
        let sgd = Sgd::from_numbers(learning_rate, momentum, gamma).unwrap();
        let mode = StationaryMode::new(learning_rate * eigenvalue, momentum).unwrap();
        let time = 3000;
        let last = model.loss_at(&sgd, &[time]).unwrap().loss[0];
        for (average, ratio) in [
            (Average::Ema { rate: 0.05 }, mode.ema_ratio(0.05).unwrap()),
            (Average::Window { length: 30 }, mode.window_ratio(30).unwrap()),
            (Average::TwoPoint { gap: 7 }, mode.two_point_ratio(7)),
        ] {
            let loss = model.averaged_loss_at(&sgd, average, &[time]).unwrap().loss[0];
            assert!((loss / last / ratio - 1.0).abs() < 1e-9, "{average:?} {momentum}: {} {ratio}", loss / last);
        }
    }
}

#[test]
fn averages_without_a_meaning_are_refused() {
    for bad in [Average::Ema { rate: 0.0 }, Average::Window { length: 0 }, Average::PowerFunction { exponent: -1.0 }] {
        assert!(matches!(bad.weights(5), Err(TheoryError::Number { .. })), "{bad:?}");
    }
}

#[test]
fn a_two_point_curve_tells_what_every_average_gains() {
    // 300 directions with rates over three decades and excess e(a): the curve and the gains are known exactly.
    let modes: Vec<(StationaryMode, f64)> = (0..300)
        .map(|k| {
            let rate = 10_f64.powf(-3.0 + 2.7 * f64::from(k) / 299.0);
            (StationaryMode::new(rate, 0.0).unwrap(), 0.01 * (1.0 + f64::from(k % 7)) * rate.powf(0.3))
        })
        .collect();
    let true_gain =
        |ratio: &dyn Fn(&StationaryMode) -> f64| modes.iter().map(|(mode, e)| e * (1.0 - ratio(mode))).sum::<f64>();
    let lags = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000];
    let drops: Vec<f64> = lags.iter().map(|&lag| true_gain(&|mode| mode.two_point_ratio(lag))).collect();
    let spectrum = ExcessSpectrum::fit(&lags, &drops, 0.0).unwrap();
    for ema_rate in [0.3, 0.03, 0.003] {
        let predicted = spectrum.gain(|mode| mode.ema_ratio(ema_rate)).unwrap();
        let truth = true_gain(&|mode| mode.ema_ratio(ema_rate).unwrap());
        println!("EMA {ema_rate}: {predicted:.5} of {truth:.5}");
        assert!((predicted / truth - 1.0).abs() < 2e-3, "{ema_rate}: {predicted} {truth}");
    }
    for length in [10, 100, 1000] {
        let predicted = spectrum.gain(|mode| mode.window_ratio(length)).unwrap();
        let truth = true_gain(&|mode| mode.window_ratio(length).unwrap());
        assert!((predicted / truth - 1.0).abs() < 2e-3, "{length}: {predicted} {truth}");
    }
    assert!((spectrum.total() / modes.iter().map(|(_, e)| e).sum::<f64>() - 1.0).abs() < 5e-3);
    assert!(ExcessSpectrum::fit(&[1, 10], &[0.1, -0.1], 0.0).is_err());
}

/// Brute force: many walkers of one direction through a linear cooldown.
#[test]
fn a_cooldown_ends_with_the_variance_that_walkers_have() {
    use stepscope_theory::StationaryMode;
    let mut state = 88_172_645_463_325_252_u64;
    let mut sign = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Batch optima at ±1: the variance is all that counts.
        if state & 1 == 0 { 1.0 } else { -1.0 }
    };
    for (rate, momentum) in [(0.05, 0.0), (0.02, 0.9)] {
        let mode = StationaryMode::new(rate, momentum).unwrap();
        let cooldown: Vec<f64> = (0..60).map(|t| 1.0 - f64::from(t) / 60.0).collect();
        let (mut before, mut after) = (0.0, 0.0);
        let walkers = 20_000;
        let (mut x, mut v) = (0.0, 0.0);
        for _ in 0..walkers {
            // A walker goes on at the constant rate, and a copy of it cools down.
            for _ in 0..200 {
                v = momentum * v + x - sign();
                x -= rate * v;
            }
            before += x * x;
            let (mut cool, mut speed) = (x, v);
            for multiplier in &cooldown {
                speed = momentum * speed + cool - sign();
                cool -= multiplier * rate * speed;
            }
            after += cool * cool;
        }
        let (measured, predicted) = (after / before, mode.cooldown_ratio(cooldown));
        // Standard error of a ratio of two variances: about √(4/20,000).
        assert!((measured / predicted - 1.0).abs() < 0.05, "{rate} {momentum}: {measured} {predicted}");
        let stays = mode.cooldown_ratio(vec![1.0; 50]);
        assert!((stays - 1.0).abs() < 1e-12, "a constant rate is stationary: {stays}");
        let lower = mode.cooldown_ratio(vec![0.5; 20_000]);
        assert!((lower / mode.rate_ratio(0.5).unwrap() - 1.0).abs() < 1e-9);
    }
}
