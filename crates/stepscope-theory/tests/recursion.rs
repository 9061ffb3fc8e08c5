//! The per-mode recursion against sampled SGD and against closed forms.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use proptest::prelude::*;
use stepscope_theory::{
    Closure, MonteCarlo, NoiseSource, Prediction, QuadraticModel, Sgd, TheoryError, Warning, critical_learning_rate,
    growth_per_step, noise_floor,
};
use stepscope_types::Spectrum;

fn power_law(modes: usize, nu: f64) -> Spectrum {
    let eigenvalues: Vec<f64> = (1..=modes).map(|k| (k as f64).powf(-nu)).collect();
    let coefficients = (1..=modes).map(|k| 1.0 / k as f64).collect();
    Spectrum::new(eigenvalues, coefficients).unwrap()
}

fn largest_z(sampled: &Prediction, exact: &Prediction) -> f64 {
    let errors = sampled.standard_errors.as_ref().unwrap();
    let z = sampled.loss.iter().zip(&exact.loss).zip(errors).map(|((s, e), error)| ((s - e) / error).abs());
    z.fold(0.0, f64::max)
}

const TIMES: [u64; 5] = [1, 3, 10, 30, 60];

#[test]
fn explicit_gaussian_batches_have_the_predicted_mean_loss() {
    let model = QuadraticModel::interpolating(&power_law(20, 1.5), Closure::GAUSSIAN).unwrap();
    let model = model.with_label_noise(0.3).unwrap().with_loss_floor(0.15).unwrap();
    let sampler = MonteCarlo { runs: 4000, seed: 7 };
    for (learning_rate, momentum, batch) in [(0.2, 0.0, 1.0), (0.3, 0.5, 4.0), (0.4, -0.4, 2.0)] {
        let sgd = Sgd::from_numbers(learning_rate, momentum, 1.0 / batch).unwrap();
        let sampled = sampler.sample(&model, NoiseSource::GaussianFeatures, &sgd, &TIMES).unwrap();
        let exact = model.loss_at(&sgd, &TIMES).unwrap();
        assert!(largest_z(&sampled, &exact) < 4.5, "{sgd:?}: {}", largest_z(&sampled, &exact));
    }
}

#[test]
fn the_wrong_closure_is_told_apart_by_the_sampled_loss() {
    let wrong = QuadraticModel::interpolating(&power_law(20, 1.5), Closure::INTERPOLATING).unwrap();
    let sgd = Sgd::from_numbers(0.2, 0.0, 1.0).unwrap();
    let sampler = MonteCarlo { runs: 4000, seed: 7 };
    let sampled = sampler.sample(&wrong, NoiseSource::GaussianFeatures, &sgd, &TIMES).unwrap();
    assert!(largest_z(&sampled, &wrong.loss_at(&sgd, &TIMES).unwrap()) > 4.5);
}

#[test]
fn a_schedule_of_all_three_settings_is_followed() {
    let model = QuadraticModel::interpolating(&power_law(15, 1.2), Closure::GAUSSIAN).unwrap();
    let schedule = |step: u64| {
        let t = step as f64;
        let learning_rate = if step < 20 { 0.02 * (t + 1.0) } else { 0.4 / (1.0 + 0.05 * (t - 20.0)) };
        let batch = if step < 30 { 2.0 } else { 6.0 };
        Sgd { learning_rate, momentum: 0.3 - 0.5 * t / 60.0, noise_factor: 1.0 / batch }
    };
    let sampler = MonteCarlo { runs: 4000, seed: 11 };
    let sampled = sampler.sample(&model, NoiseSource::GaussianFeatures, &schedule, &TIMES).unwrap();
    let exact = model.loss_at(&schedule, &TIMES).unwrap();
    assert!(largest_z(&sampled, &exact) < 4.5, "{}", largest_z(&sampled, &exact));
}

#[test]
fn any_closure_is_sampled_by_its_own_noise() {
    for (tau1, tau2) in [(1.0, 1.0), (1.0, 0.0), (0.6, 0.2), (0.0, 0.0)] {
        let closure = Closure::new(tau1, tau2).unwrap();
        let model = QuadraticModel::interpolating(&power_law(15, 1.5), closure).unwrap().with_label_noise(0.1).unwrap();
        let sgd = Sgd::from_numbers(0.3, 0.4, 0.3).unwrap();
        let sampled = MonteCarlo { runs: 3000, seed: 5 }.sample(&model, NoiseSource::Closure, &sgd, &TIMES).unwrap();
        let z = largest_z(&sampled, &model.loss_at(&sgd, &TIMES).unwrap());
        assert!(z < 4.5, "({tau1}, {tau2}): {z}");
    }
}

#[test]
fn additive_noise_settles_at_the_stationary_law_of_heavy_ball() {
    // Var = (1 + b)/((1 − b)(2(1 + b) − aλ)) · γaσ² along each mode (`averaging`, 2.2; `curvature`, 1.2).
    let eigenvalues = [2.0, 1.0, 0.3, 0.05];
    let spectrum = Spectrum::new(eigenvalues.to_vec(), vec![1.0; 4]).unwrap();
    let (floor, noise_trace, gamma) = (0.7, 5.0, 0.25);
    let model = QuadraticModel::measured(&spectrum, floor, noise_trace).unwrap();
    let label_noise = noise_trace / eigenvalues.iter().sum::<f64>();
    for (a, b) in [(0.1, 0.0), (0.5, 0.0), (0.05, 0.9), (0.3, -0.5), (0.99, 0.0)] {
        let sgd = Sgd::from_numbers(a, b, gamma).unwrap();
        let curve = model.loss_curve(&sgd, 20_000).unwrap();
        let excess: f64 = eigenvalues
            .iter()
            .map(|l| 0.5 * l * gamma * a * label_noise * (1.0 + b) / ((1.0 - b) * (2.0 * (1.0 + b) - a * l)))
            .sum();
        assert!((curve.loss[20_000] / (floor + excess) - 1.0).abs() < 1e-10, "{a} {b}");
        assert!(curve.warnings.is_empty());
    }
}

#[test]
fn a_curve_and_single_times_are_the_same_numbers() {
    let model = QuadraticModel::interpolating(&power_law(37, 1.5), Closure::LEADING).unwrap();
    for momentum in [0.0, 0.6] {
        let sgd = Sgd::from_numbers(0.3, momentum, 0.2).unwrap();
        let curve = model.loss_curve(&sgd, 50).unwrap();
        let asked = model.loss_at(&sgd, &[50, 0, 7, 7]).unwrap();
        assert_eq!(asked.loss, [curve.loss[50], curve.loss[0], curve.loss[7], curve.loss[7]]);
        assert_eq!(model.loss_curve(&vec![sgd], 50).unwrap().loss.len(), 51);
    }
}

#[test]
fn a_mode_of_momentum_zero_runs_the_same_in_both_kernels() {
    let model = QuadraticModel::interpolating(&power_law(23, 1.5), Closure::INTERPOLATING).unwrap();
    let sgd = Sgd::from_numbers(0.9, 0.0, 0.1).unwrap();
    let plain = model.loss_curve(&sgd, 200).unwrap();
    let general = model.loss_curve(&move |_| sgd, 200).unwrap();
    for (a, b) in plain.loss.iter().zip(&general.loss) {
        assert!((a / b - 1.0).abs() < 1e-13, "{a} {b}");
    }
}

#[test]
fn negative_curvature_descends_without_bound_and_says_so() {
    let spectrum = Spectrum::new(vec![1.0, 0.0, -0.1], vec![1.0, 5.0, 0.01]).unwrap();
    let model = QuadraticModel::measured(&spectrum, 2.0, 1.0).unwrap();
    let (a, gamma) = (0.1, 0.5);
    let curve = model.loss_curve(&Sgd::from_numbers(a, 0.0, gamma).unwrap(), 300).unwrap();
    // All the noise lies in the positive mode: σ² = 1; the negative one only grows by (1 + 0.01)² a step.
    let positive = |t: i32| {
        let decay = (1.0 - a) * (1.0 - a);
        decay.powi(t) + gamma * a * a * (1.0 - decay.powi(t)) / (1.0 - decay)
    };
    for t in [1, 100, 300] {
        let expected = 2.0 + 0.5 * positive(t) - 0.5 * 0.1 * 0.01 * 1.01_f64.powi(2 * t);
        assert!((curve.loss[t as usize] - expected).abs() < 1e-13, "{t}");
    }
    let growth = curve.warnings.iter().find_map(|warning| match warning {
        Warning::NegativeCurvature { num_modes: 1, growth_per_step, .. } => Some(*growth_per_step),
        _ => None,
    });
    assert!((growth.unwrap() - 1.01_f64.powi(2)).abs() < 1e-12);
    assert!(curve.warnings.contains(&Warning::ZeroCurvature { num_modes: 1 }));
}

#[test]
fn divergence_ends_in_infinity_not_in_nan() {
    let model = QuadraticModel::interpolating(&power_law(10, 1.5), Closure::GAUSSIAN).unwrap();
    let curve = model.loss_curve(&Sgd::from_numbers(50.0, 0.0, 1.0).unwrap(), 1000).unwrap();
    assert_eq!(curve.loss.len(), 1001);
    assert!(curve.loss.iter().all(|loss| !loss.is_nan()));
    assert_eq!(curve.loss[1000], f64::INFINITY);
    assert!(curve.warnings.iter().any(|w| matches!(w, Warning::Overflow { .. })));
    assert!(curve.warnings.iter().any(|w| matches!(w, Warning::ModeUnstable { .. })));
}

#[test]
fn bad_settings_anywhere_in_a_schedule_are_refused() {
    let model = QuadraticModel::interpolating(&power_law(10, 1.5), Closure::GAUSSIAN).unwrap();
    let late = |step: u64| Sgd { learning_rate: 0.1, momentum: if step == 9 { 1.0 } else { 0.5 }, noise_factor: 1.0 };
    assert!(matches!(model.loss_curve(&late, 10), Err(TheoryError::Number { name: "momentum", .. })));
    assert!(model.loss_curve(&late, 9).is_ok());
}

#[test]
fn curves_too_long_to_store_are_refused_not_allocated() {
    let model = QuadraticModel::interpolating(&power_law(3, 1.5), Closure::GAUSSIAN).unwrap();
    let sgd = Sgd::from_numbers(0.1, 0.0, 1.0).unwrap();
    assert!(model.loss_curve(&sgd, u64::MAX).is_err());
    assert!(model.loss_curve_volterra(&sgd, u64::MAX).is_err());
    let sampler = MonteCarlo { runs: 2, seed: 1 };
    assert!(sampler.sample(&model, NoiseSource::Closure, &sgd, &[u64::MAX]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(3),
        ..ProptestConfig::default()
    })]
    #[test]
    fn no_input_panics_or_gives_a_number_that_is_none(
        modes in prop::collection::vec((-2.0..2.0_f64, 0.0..5.0_f64), 1..12),
        settings in (prop::num::f64::ANY, prop::num::f64::ANY, prop::num::f64::ANY),
        tame in (0.0..3.0_f64, -0.999..0.999_f64, 0.0..1.0_f64),
        tau in (0.0..2.0_f64, -2.0..2.0_f64),
        variance in 0.0..1.0_f64,
    ) {
        let (eigenvalues, coefficients) = modes.into_iter().unzip();
        let spectrum = Spectrum::new(eigenvalues, coefficients).unwrap();
        let Ok(closure) = Closure::new(tau.0, tau.1) else { return Ok(()) };
        let Ok(model) = QuadraticModel::interpolating(&spectrum, closure) else { return Ok(()) };
        let model = model.with_label_noise(variance).unwrap();
        for (learning_rate, momentum, noise_factor) in [settings, tame] {
            let sgd = Sgd { learning_rate, momentum, noise_factor };
            if let Ok(curve) = model.loss_curve(&sgd, 60) {
                prop_assert!(curve.loss.iter().all(|loss| !loss.is_nan()), "{:?}", curve);
            }
            if let Ok(answer) = model.loss_at_talbot(&sgd, &[3, 400]) {
                prop_assert!(answer.loss.iter().all(|loss| !loss.is_nan()), "{:?}", answer);
            }
            let critical = critical_learning_rate(&model, momentum, noise_factor);
            prop_assert!(critical.is_err() || critical.as_ref().is_ok_and(|rate| *rate > 0.0), "{:?}", critical);
            let growth = growth_per_step(&model, &sgd);
            prop_assert!(growth.is_err() || growth.as_ref().is_ok_and(|factor| *factor >= 1.0), "{:?}", growth);
            prop_assert!(noise_floor(&model, &sgd).is_ok_and(|floor| floor >= 0.0) || growth.is_err());
        }
    }
}
