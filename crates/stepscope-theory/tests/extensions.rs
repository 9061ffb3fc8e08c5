//! Section 6 of `loss-prediction`: other methods, the continuous limit, fitted spectra, two batch sizes.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::borrow::Cow;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stepscope_theory::{
    Asymptotics, Closure, LinearMethod, MeasuredHead, PowerLaw, QuadraticModel, Sgd, Stability, TheoryError,
    noise_gain_from_two_batches,
};
use stepscope_types::Spectrum;

#[test]
fn heavy_ball_as_a_linear_method_is_the_recursion() {
    let spectrum = Spectrum::new(vec![1.5, 0.6, 0.1, 0.01, -0.02], vec![1.0, 0.5, 2.0, 3.0, 0.2]).unwrap();
    let times: Vec<u64> = (0..=80).collect();
    for closure in [Closure::INTERPOLATING, Closure::GAUSSIAN] {
        let model = QuadraticModel::interpolating(&spectrum, closure).unwrap().with_label_noise(0.2).unwrap();
        for (a, b, gamma) in [(0.3, 0.7, 0.2), (0.4, -0.3, 0.1), (0.5, 0.0, 0.05)] {
            let method = model.loss_at_method(&LinearMethod::heavy_ball(a, b).unwrap(), gamma, &times).unwrap();
            let recursion = model.loss_at(&Sgd::from_numbers(a, b, gamma).unwrap(), &times).unwrap();
            for (x, y) in method.loss.iter().zip(&recursion.loss) {
                assert!((x / y - 1.0).abs() < 1e-12, "{x} {y}");
            }
        }
    }
}

#[test]
fn scheduled_methods_are_the_scheduled_recursion_and_nesterov_written_out() {
    let spectrum = Spectrum::new(vec![1.5, 0.6, 0.1, 0.01], vec![1.0, 0.5, 2.0, 3.0]).unwrap();
    let model = QuadraticModel::interpolating(&spectrum, Closure::GAUSSIAN).unwrap();
    let times: Vec<u64> = (0..=40).collect();
    let settings = |t: u64| (0.4 / (1.0 + 0.05 * t as f64), 0.8 - 0.01 * t as f64, 0.02 + 0.001 * t as f64);

    let heavy_ball = |t| (Cow::Owned(LinearMethod::heavy_ball(settings(t).0, settings(t).1).unwrap()), settings(t).2);
    let list: Vec<Sgd> =
        times.iter().map(|&t| settings(t)).map(|(a, b, g)| Sgd::from_numbers(a, b, g).unwrap()).collect();
    let recursion = model.loss_at(&list[..], &times).unwrap().loss;
    for (x, y) in model.loss_at_methods(heavy_ball, &times).unwrap().loss.iter().zip(&recursion) {
        assert!((x / y - 1.0).abs() < 1e-12, "{x} {y}");
    }

    // Without noise the moments are those of one run along each mode.
    let nesterov = |t| (Cow::Owned(LinearMethod::nesterov(settings(t).0, settings(t).1).unwrap()), 0.0);
    let predicted = model.loss_at_methods(nesterov, &times).unwrap().loss;
    let mut modes: Vec<(f64, f64, f64)> = spectrum.pairs().map(|(l, c)| (l, c.sqrt(), 0.0)).collect();
    for (t, predicted) in predicted.iter().enumerate() {
        let loss: f64 = modes.iter().map(|(l, w, _)| 0.5 * l * w * w).sum();
        assert!((predicted / loss - 1.0).abs() < 1e-12, "step {t}: {predicted} {loss}");
        let (a, b, _) = settings(t as u64);
        for (l, w, v) in &mut modes {
            *v = b * *v - a * *l * (*w + b * *v);
            *w += *v;
        }
    }
    let bigger = LinearMethod::new(vec![1.0; 9], vec![-0.1; 3], vec![1.0, 0.0, 0.0], vec![1.0, 0.0, 0.0]).unwrap();
    let small = LinearMethod::heavy_ball(0.1, 0.0).unwrap();
    let switched = |t| (Cow::Borrowed(if t < 5 { &small } else { &bigger }), 0.0);
    assert!(matches!(model.loss_at_methods(switched, &[9]), Err(TheoryError::Length { expected: 2, got: 3, .. })));
}

#[test]
fn sampled_nesterov_on_gaussian_features_has_the_predicted_mean() {
    let model = PowerLaw::new(1.3, 1.0, 10.0).unwrap().model(Closure::GAUSSIAN).unwrap();
    let spectrum = PowerLaw::new(1.3, 1.0, 10.0).unwrap().spectrum().unwrap();
    let (a, b, batch, runs, times) = (0.3, 0.6, 4, 8000, [1, 3, 10, 30]);
    let exact = model.loss_at_method(&LinearMethod::nesterov(a, b).unwrap(), 1.0 / f64::from(batch), &times).unwrap();
    let mut generator = ChaCha8Rng::seed_from_u64(11);
    let mut uniform = || ((generator.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let mut normal = || (-2.0 * uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform()).cos();
    let mut losses = vec![Vec::new(); times.len()];
    for _ in 0..runs {
        let mut w: Vec<f64> = spectrum.coefficients().iter().map(|c| c.sqrt()).collect();
        let mut v = vec![0.0; w.len()];
        for time in 1..=30 {
            let mut gradient = vec![0.0; w.len()];
            for _ in 0..batch {
                let feature: Vec<f64> = spectrum.eigenvalues().iter().map(|l| l.sqrt() * normal()).collect();
                let output: f64 = feature.iter().zip(w.iter().zip(&v)).map(|(f, (w, v))| f * (w + b * v)).sum();
                gradient.iter_mut().zip(&feature).for_each(|(g, f)| *g += f * output / f64::from(batch));
            }
            for k in 0..w.len() {
                v[k] = b * v[k] - a * gradient[k];
                w[k] += v[k];
            }
            if let Some(index) = times.iter().position(|&t| t == time) {
                losses[index].push(spectrum.eigenvalues().iter().zip(&w).map(|(l, w)| 0.5 * l * w * w).sum::<f64>());
            }
        }
    }
    for (index, sample) in losses.iter().enumerate() {
        let mean = sample.iter().sum::<f64>() / runs as f64;
        let variance = sample.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / runs as f64;
        let z = (mean - exact.loss[index]) / (variance / runs as f64).sqrt();
        assert!(z.abs() < 4.5, "t = {}: z = {z}", times[index]);
    }
}

#[test]
fn a_method_of_the_wrong_shape_is_refused() {
    let wrong = LinearMethod::new(vec![1.0; 3], vec![-0.1; 2], vec![1.0, 0.0], vec![1.0, 0.0]);
    assert!(matches!(wrong, Err(TheoryError::Length { .. })));
    assert!(LinearMethod::nesterov(0.1, 1.0).is_err());
}

#[test]
fn the_continuous_limit_is_off_by_the_order_of_the_learning_rate() {
    let model = PowerLaw::new(1.5, 0.75, 100.0).unwrap().model(Closure::INTERPOLATING).unwrap();
    let mut errors = vec![];
    for rate in [0.1, 0.03, 0.01] {
        let sgd = Sgd::from_numbers(rate, 0.0, 0.3 / rate).unwrap();
        let times: Vec<u64> = [1.0, 3.0, 10.0, 30.0].iter().map(|s| (s / rate).round() as u64).collect();
        let (exact, limit) = (model.loss_at(&sgd, &times).unwrap(), model.continuous_loss_at(&sgd, &times).unwrap());
        let off = exact.loss.iter().zip(&limit.loss).map(|(x, y)| (x / y - 1.0).abs()).fold(0.0, f64::max);
        errors.push(off / rate);
    }
    println!("relative error over the learning rate: {errors:.4?}");
    assert!(errors.iter().all(|e| (e / errors[2] - 1.0).abs() < 0.25) && errors[2] < 0.5, "{errors:?}");
}

#[test]
fn the_continuous_limit_of_one_mode_is_its_exponential() {
    let spectrum = Spectrum::new(vec![2.0], vec![1.0]).unwrap();
    let model = QuadraticModel::interpolating(&spectrum, Closure::GAUSSIAN).unwrap();
    let sgd = Sgd::from_numbers(0.05, 0.5, 0.4).unwrap();
    // dC/ds = −2λC + γα(τ1 − τ2)λ²C with τ1 − τ2 = 2.
    let rate = -2.0 * 2.0 + 0.4 * 0.1 * 2.0 * 4.0;
    let limit = model.continuous_loss_at(&sgd, &[7, 20]).unwrap();
    for (time, loss) in [(7.0, limit.loss[0]), (20.0, limit.loss[1])] {
        assert!((loss / f64::exp(rate * 0.1 * time) - 1.0).abs() < 3e-3, "{time}: {loss}");
    }
}

#[test]
fn a_measured_head_with_trace_and_loss_predicts_nearly_as_the_whole_spectrum() {
    // Not a pure power law: exponents that drift and a wave on top.
    let modes = 400;
    let eigenvalues: Vec<f64> =
        (1..=modes).map(|k| f64::from(k).powf(-1.4) * (1.0 + 0.15 * f64::from(k).ln().sin())).collect();
    let coefficients: Vec<f64> = (1..=modes).map(|k| f64::from(k).powf(-0.35)).collect();
    let whole = Spectrum::new(eigenvalues.clone(), coefficients.clone()).unwrap();
    let full = QuadraticModel::interpolating(&whole, Closure::INTERPOLATING).unwrap();
    let head = Spectrum::new(whole.eigenvalues()[..60].to_vec(), whole.coefficients()[..60].to_vec()).unwrap();
    let measured = MeasuredHead { head, trace: full.trace(), initial_loss: full.initial_loss(), num_modes: 400 };
    let (model, nu, kappa) = measured.model(Closure::INTERPOLATING).unwrap();
    assert!((model.trace() / full.trace() - 1.0).abs() < 1e-12);
    assert!((model.initial_loss() / full.initial_loss() - 1.0).abs() < 1e-12);
    let sgd = Sgd::from_numbers(0.5, 0.0, 0.5).unwrap();
    let off = model.loss_at(&sgd, &[400]).unwrap().loss[0] / full.loss_at(&sgd, &[400]).unwrap().loss[0] - 1.0;
    println!("nu {nu:.3} kappa {kappa:.3}, loss at 400 off by {off:.4}");
    assert!(off.abs() < 0.04, "{off}");
    assert!(MeasuredHead { trace: 0.5, ..measured }.model(Closure::INTERPOLATING).is_err());
}

#[test]
fn two_batch_sizes_show_the_noise_gain_biased_low_and_less_so_later() {
    let law = PowerLaw::new(1.5, 0.75, 10_000.0).unwrap();
    let model = law.model(Closure::INTERPOLATING).unwrap();
    let of = |gamma: f64| Sgd::from_numbers(0.3, 0.0, gamma).unwrap();
    let truth = Stability::of(&model, &of(1.0)).noise_gain;
    assert!(Asymptotics::of(&law, &model, &of(1.0)).is_some());
    let estimate = |time: u64| {
        let loss = |gamma: f64| model.loss_at(&of(gamma), &[time]).unwrap().loss[0];
        noise_gain_from_two_batches([loss(1.0), loss(0.25)], [1.0, 0.25]).unwrap()
    };
    let estimates = [estimate(100), estimate(10_000)];
    println!("estimates {estimates:.3?} of {truth:.3}");
    assert!(estimates[0] < estimates[1] && estimates[1] < truth);
    assert!((estimates[1] / truth - 1.0).abs() < 0.05);
    assert_eq!(noise_gain_from_two_batches([1.0, 1.1], [1.0, 0.25]), None);
}
