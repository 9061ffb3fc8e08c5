//! The adjoint gradient, the best schedules and the best constant settings; claim 12 of `loss-prediction`, section 5.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use stepscope_theory::{Closure, PowerLaw, QuadraticModel, Sampling, ScheduleFamily, Sgd};
use stepscope_types::{BatchSize, Spectrum};

#[test]
fn the_adjoint_gradient_is_that_of_differences() {
    let spectrum = Spectrum::new(vec![1.5, 0.7, 0.2, 0.05, -0.05], vec![1.0, 0.5, 2.0, 1.0, 0.3]).unwrap();
    for closure in [Closure::INTERPOLATING, Closure::GAUSSIAN, Closure::ADDITIVE] {
        let model = QuadraticModel::interpolating(&spectrum, closure).unwrap().with_label_noise(0.1).unwrap();
        let schedule: Vec<Sgd> = (0..23)
            .map(|t| {
                let t = f64::from(t);
                Sgd::from_numbers(0.1 + 0.01 * t, 0.4 - 0.03 * t, 1.0 / (1.0 + 0.2 * t)).unwrap()
            })
            .collect();
        let gradient = model.loss_gradient(&schedule).unwrap();
        let loss = |schedule: &Vec<Sgd>| model.loss_at(schedule, &[23]).unwrap().loss[0];
        assert!((gradient.loss / loss(&schedule) - 1.0).abs() < 1e-13);
        for step in [0, 4, 5, 11, 22] {
            let difference = |change: fn(&mut Sgd, f64)| {
                let at = |amount: f64| {
                    let mut changed = schedule.clone();
                    change(&mut changed[step], amount);
                    loss(&changed)
                };
                // Fourth order, so that rounding is what limits the agreement.
                (8.0 * (at(1e-3) - at(-1e-3)) - (at(2e-3) - at(-2e-3))) / 12e-3
            };
            for (adjoint, numeric) in [
                (gradient.learning_rate[step], difference(|sgd, amount| sgd.learning_rate += amount)),
                (gradient.momentum[step], difference(|sgd, amount| sgd.momentum += amount)),
                (gradient.noise_factor[step], difference(|sgd, amount| sgd.noise_factor += amount)),
            ] {
                assert!((adjoint - numeric).abs() < 1e-9 * (1.0 + adjoint.abs()), "{step}: {adjoint} {numeric}");
            }
        }
    }
}

#[test]
fn claim_12_the_best_momentum_of_the_noise_phase_is_negative() {
    let model = PowerLaw::new(1.5, 3.0, 1000.0).unwrap().model(Closure::INTERPOLATING).unwrap();
    let sampling = Sampling::Finite { num_examples: 1000 };
    for (batch, low, high, without, heavy) in [(1, -0.38, -0.30, 1.014, 1.68), (10, -0.18, -0.11, 1.013, 3.20)] {
        let gamma = sampling.noise_factor(BatchSize::new(batch).unwrap()).unwrap();
        let best = model.best_constant_settings(gamma, 10_000, (-0.9, 0.9)).unwrap();
        let at = |momentum: f64| model.best_learning_rate(momentum, gamma, 10_000).unwrap().loss / best.loss;
        println!("B = {batch}: {best:?}, b = 0 costs {:.4}, b = .9 costs {:.3}", at(0.0), at(0.9));
        assert!(best.momentum > low && best.momentum < high, "{best:?}");
        assert!((at(0.0) - without).abs() < 2e-3 && (at(0.9) / heavy - 1.0).abs() < 0.01);
    }
}

#[test]
fn the_best_member_of_each_family_stands_to_the_free_optimum_as_the_document_says() {
    // Section 6.6: T = 1000, B = 1; loss over that of the free 39-knot optimum.
    for (kappa, label_noise, expected) in [
        (3.0, 0.0, [9.51, 8.73, 1.89, 1.11]),
        (1.0, 0.0, [1.51, 1.02, 1.51, 1.01]),
        (3.0, 0.05, [1.64, 1.11, 1.64, 1.04]),
    ] {
        let law = PowerLaw::new(1.5, kappa, 1000.0).unwrap();
        let model = law.binned_model(Closure::INTERPOLATING, 8, 1e-9).unwrap().with_label_noise(label_noise).unwrap();
        let best = |family| model.optimize_schedule(family, 0.0, 1.0, 1000).unwrap();
        let free = best(ScheduleFamily::Knots(39));
        let families = [
            ScheduleFamily::Constant,
            ScheduleFamily::Anneal,
            ScheduleFamily::LinearWarmup,
            ScheduleFamily::PowerWarmupAnneal,
        ];
        let ratios = families.map(|family| best(family).loss / free.loss);
        println!(
            "kappa {kappa} noise {label_noise}: {ratios:.3?} of {expected:?}, free {} in {}",
            free.loss, free.evaluations
        );
        for (ratio, expected) in ratios.iter().zip(expected) {
            assert!((ratio / expected - 1.0).abs() < 0.06, "{ratios:?} {expected}");
        }
        let stable = best(ScheduleFamily::WarmupStableDecay).loss / free.loss;
        assert!(stable >= 0.999 * ratios[3], "{stable}");
    }
}

#[test]
fn a_larger_batch_never_hurts_and_in_the_end_buys_nothing() {
    let model = PowerLaw::new(1.5, 0.75, 300.0).unwrap().model(Closure::INTERPOLATING).unwrap();
    let gain = |batch: u64| {
        let batch = BatchSize::new(batch).unwrap();
        model.batch_doubling_gain(0.0, batch, Sampling::Stream, 2000).unwrap()
    };
    let gains = [gain(1), gain(16), gain(16_384)];
    assert!(gains[0] < gains[1] && gains[1] < gains[2] && gains[2] <= 1.0 && gains[2] > 0.98, "{gains:?}");
}
