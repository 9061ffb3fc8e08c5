//! Claims 1, 4, 5, 17 and 18 of `loss-prediction`, section 5: different ways to the same curve.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use faer::Mat;
use stepscope_theory::{
    Closure, PowerLaw, QuadraticModel, Sgd, Stability, critical_learning_rate, growth_per_step, noise_floor,
};

fn model(nu: f64, kappa: f64, modes: f64, closure: Closure) -> QuadraticModel {
    PowerLaw::new(nu, kappa, modes).unwrap().model(closure).unwrap()
}

/// (closure, a as a share of the critical rate, b, γ).
fn settings() -> Vec<(Closure, f64, f64, f64)> {
    let mut settings = vec![];
    for closure in [Closure::INTERPOLATING, Closure::GAUSSIAN, Closure::LEADING] {
        for (share, b, gamma) in
            [(0.3, 0.0, 1.0), (0.5, 0.5, 0.25), (0.7, -0.4, 0.1), (0.2, 0.9, 1.0), (1.05, 0.0, 1.0)]
        {
            settings.push((closure, share, b, gamma));
        }
    }
    settings
}

/// Power series of 1/(1 − zU) by Newton's iteration, P ← P(2 − (1 − zU)P), doubling the number of right terms.
fn resolvent(noise: &[f64]) -> Vec<f64> {
    let n = noise.len();
    let mut denominator = vec![0.0; n];
    denominator[0] = 1.0;
    for t in 1..n {
        denominator[t] = -noise[t - 1];
    }
    let mut inverse = vec![1.0];
    while inverse.len() < n {
        let length = (2 * inverse.len()).min(n);
        let mut correction = product(&denominator[..length], &inverse, length);
        correction.iter_mut().for_each(|c| *c = -*c);
        correction[0] += 2.0;
        inverse = product(&inverse, &correction, length);
    }
    inverse
}

fn product(a: &[f64], b: &[f64], length: usize) -> Vec<f64> {
    let mut result = vec![0.0; length];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate().take(length.saturating_sub(i)) {
            result[i + j] += x * y;
        }
    }
    result
}

#[test]
fn claim_1_recursion_volterra_and_series_are_one_curve() {
    for (closure, share, b, gamma) in settings() {
        let model = model(1.5, 0.75, 200.0, closure).with_label_noise(if b == 0.5 { 0.2 } else { 0.0 }).unwrap();
        let a = share * critical_learning_rate(&model, b, gamma).unwrap();
        let sgd = Sgd::from_numbers(a, b, gamma).unwrap();
        let steps = 400;
        let recursion = model.loss_curve(&sgd, steps).unwrap().loss;
        let volterra = model.loss_curve_volterra(&sgd, steps).unwrap().loss;
        let propagators = model.propagators(&sgd, steps).unwrap();
        let mut source = propagators.signal.clone();
        for (t, value) in source.iter_mut().enumerate() {
            *value += model.label_noise() * propagators.noise_per_drive[..t].iter().sum::<f64>();
        }
        let series = product(&resolvent(&propagators.noise_per_drive), &source, source.len());
        for t in 0..recursion.len() {
            assert!((volterra[t] / recursion[t] - 1.0).abs() < 1e-12, "{closure:?} {share} {b} t={t}");
            assert!((0.5 * series[t] / recursion[t] - 1.0).abs() < 1e-11, "{closure:?} {share} {b} t={t}");
        }
    }
}

#[test]
fn claim_1_talbot_agrees_once_the_transient_is_over() {
    let mut worst = 0.0_f64;
    for (closure, share, b, gamma) in settings() {
        if share >= 1.0 {
            continue;
        }
        let model = model(1.5, 0.75, 3000.0, closure).with_label_noise(if b == 0.5 { 1e-3 } else { 0.0 }).unwrap();
        let a = share * critical_learning_rate(&model, b, gamma).unwrap();
        let sgd = Sgd::from_numbers(a, b, gamma).unwrap();
        let first = (200.0 / (1.0 - b.abs())).ceil() as u64;
        let times = [first, 2 * first, 3000];
        let (talbot, recursion) = (model.loss_at_talbot(&sgd, &times).unwrap(), model.loss_at(&sgd, &times).unwrap());
        assert!(talbot.warnings.is_empty(), "{:?}", talbot.warnings);
        for (x, y) in talbot.loss.iter().zip(&recursion.loss) {
            worst = worst.max((x / y - 1.0).abs());
        }
    }
    assert!(worst < 1e-8, "{worst}");
    println!("Talbot: largest deviation {worst:.2e}");
}

#[test]
fn talbot_hands_over_to_the_recursion_where_it_must() {
    let model = model(1.5, 0.75, 50.0, Closure::INTERPOLATING);
    let sgd = Sgd::from_numbers(0.5, 0.5, 0.1).unwrap();
    let times = [3, 200_000];
    let (talbot, recursion) = (model.loss_at_talbot(&sgd, &times).unwrap(), model.loss_at(&sgd, &times).unwrap());
    assert_eq!(talbot.loss, recursion.loss);
    assert_eq!(talbot.warnings.len(), 2);
    let unstable = Sgd::from_numbers(1.9, 0.0, 1.0).unwrap();
    assert_eq!(model.loss_at_talbot(&unstable, &[100]).unwrap().loss, model.loss_at(&unstable, &[100]).unwrap().loss);
}

#[test]
fn claim_4_the_noise_propagator_sums_to_the_noise_gain() {
    for (closure, share, b, gamma) in settings() {
        if share >= 1.0 {
            continue;
        }
        let model = model(1.5, 0.75, 30.0, closure);
        let a = share * critical_learning_rate(&model, b, gamma).unwrap();
        let sgd = Sgd::from_numbers(a, b, gamma).unwrap();
        let sum: f64 = model.propagators(&sgd, 60_000).unwrap().noise_per_drive.iter().sum();
        assert!((sum / Stability::of(&model, &sgd).noise_gain - 1.0).abs() < 1e-9, "{closure:?} {b} {gamma}");
    }
}

/// Spectral radius of the full linear map on (C, J, V) of all modes.
fn spectral_radius(eigenvalues: &[f64], closure: Closure, sgd: &Sgd) -> f64 {
    let n = eigenvalues.len();
    let (a, b, gamma) = (sgd.learning_rate, sgd.momentum, sgd.noise_factor);
    let mut map = Mat::<f64>::zeros(3 * n, 3 * n);
    for (k, &l) in eigenvalues.iter().enumerate() {
        let mut gain = vec![0.0; 3 * n];
        for (other, &m) in eigenvalues.iter().enumerate() {
            gain[other] += gamma * a * a * closure.tau1() * l * m;
        }
        gain[k] += a * a * l * l * (1.0 - gamma * closure.tau2());
        gain[n + k] -= 2.0 * a * b * l;
        gain[2 * n + k] += b * b;
        for (column, &g) in gain.iter().enumerate() {
            map[(k, column)] += g;
            map[(n + k, column)] += g;
            map[(2 * n + k, column)] += g;
        }
        map[(k, k)] += 1.0 - 2.0 * a * l;
        map[(k, n + k)] += 2.0 * b;
        map[(n + k, n + k)] += b;
        map[(n + k, k)] -= a * l;
    }
    map.eigenvalues().unwrap().iter().map(|z| z.re.hypot(z.im)).fold(0.0, f64::max)
}

#[test]
fn claims_4_and_5_threshold_and_growth_are_those_of_the_full_map() {
    let law = PowerLaw::new(1.5, 0.75, 24.0).unwrap();
    let eigenvalues = law.spectrum().unwrap().eigenvalues().to_vec();
    let (mut worst_threshold, mut worst_growth) = (0.0_f64, 0.0_f64);
    for (closure, b, gamma) in [
        (Closure::INTERPOLATING, 0.0, 1.0),
        (Closure::INTERPOLATING, 0.9, 1.0),
        (Closure::INTERPOLATING, -0.5, 0.1),
        (Closure::GAUSSIAN, 0.0, 1.0),
        (Closure::GAUSSIAN, 0.7, 0.3),
        (Closure::LEADING, -0.3, 0.5),
        (Closure::LEADING, 0.3, 0.02),
    ] {
        let model = law.model(closure).unwrap();
        let critical = critical_learning_rate(&model, b, gamma).unwrap();
        let at = |a: f64| spectral_radius(&eigenvalues, closure, &Sgd::from_numbers(a, b, gamma).unwrap());
        // Secant steps from a bracket around the predicted threshold.
        let (mut low, mut high) = (critical * 0.999, critical * 1.001);
        assert!(at(low) < 1.0 && at(high) > 1.0, "{closure:?} {b} {gamma}");
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if at(middle) < 1.0 { low = middle } else { high = middle }
        }
        worst_threshold = worst_threshold.max((low / critical - 1.0).abs());
        for factor in [1.02, 1.3] {
            let sgd = Sgd::from_numbers(critical * factor, b, gamma).unwrap();
            let growth = growth_per_step(&model, &sgd).unwrap();
            worst_growth = worst_growth.max((growth / at(sgd.learning_rate) - 1.0).abs());
        }
    }
    assert!(worst_threshold < 1e-8 && worst_growth < 1e-8, "{worst_threshold:.2e} {worst_growth:.2e}");
    println!("threshold {worst_threshold:.2e}, growth {worst_growth:.2e}");
}

#[test]
fn past_the_mode_limit_the_growth_is_that_of_full_batch_descent() {
    let model = model(1.5, 0.75, 24.0, Closure::INTERPOLATING);
    let sgd = Sgd::from_numbers(2.5, 0.0, 0.0).unwrap();
    assert!((growth_per_step(&model, &sgd).unwrap() - 1.5 * 1.5).abs() < 1e-12);
    assert_eq!(growth_per_step(&model, &Sgd::from_numbers(0.1, 0.0, 0.0).unwrap()).unwrap(), 1.0);
}

#[test]
fn claim_17_label_noise_leaves_its_floor() {
    let mut worst = 0.0_f64;
    for (closure, share, b, gamma) in settings() {
        if share >= 1.0 {
            continue;
        }
        let model = model(1.5, 0.75, 30.0, closure).with_label_noise(0.3).unwrap().with_loss_floor(0.15).unwrap();
        let a = share * critical_learning_rate(&model, b, gamma).unwrap();
        let sgd = Sgd::from_numbers(a, b, gamma).unwrap();
        let late = model.loss_at(&sgd, &[100_000]).unwrap().loss[0];
        let (floor, gain) = (noise_floor(&model, &sgd).unwrap(), Stability::of(&model, &sgd).noise_gain);
        let formula = 0.3 * gain / (2.0 * closure.tau1() * (1.0 - gain));
        worst = worst.max((late / (0.15 + floor) - 1.0).abs()).max((floor / formula - 1.0).abs());
    }
    assert!(worst < 1e-8, "{worst}");
}

#[test]
fn claim_18_bins_keep_the_loss() {
    let times = [1, 10, 100, 1000, 10_000, 100_000];
    for (nu, kappa) in [(1.5, 0.75), (1.5, 3.0), (2.0, 1.0)] {
        let full = model(nu, kappa, 20_000.0, Closure::INTERPOLATING);
        let sgd = Sgd::from_numbers(0.3, 0.0, 0.2).unwrap();
        let exact = full.loss_at(&sgd, &times).unwrap().loss;
        let mut errors = [0.0_f64; 2];
        for (error, resolution) in errors.iter_mut().zip([16, 32]) {
            let loss = full.binned(resolution).unwrap().loss_at(&sgd, &times).unwrap().loss;
            *error = loss.iter().zip(&exact).map(|(x, y)| (x / y - 1.0).abs()).fold(0.0, f64::max);
        }
        assert!(errors[1] <= 2e-4, "{nu} {kappa}: {errors:?}");
        let answer = full.loss_at_binned(&sgd, &times, 1e-4).unwrap();
        let error = answer.prediction.loss.iter().zip(&exact).map(|(x, y)| (x / y - 1.0).abs()).fold(0.0, f64::max);
        assert!(error < 1e-4 && answer.relative_error < 1e-4, "{nu} {kappa}: {error} {answer:?}");
        println!(
            "{nu} {kappa}: {errors:?}, automatic {:?} nodes {} stated {:.1e} true {error:.1e}",
            answer.bins_per_decade, answer.num_nodes, answer.relative_error
        );
    }
}
