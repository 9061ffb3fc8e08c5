//! Claims 7 to 16 of `loss-prediction`, section 5: power laws.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use stepscope_theory::{
    Asymptotics, Closure, PowerLaw, QuadraticModel, Regime, Sampling, Sgd, Stability, balanced_batch_size,
    best_asymptotic_learning_rate, best_asymptotic_momentum, best_noise_gain, critical_eigenvalue,
    critical_learning_rate, eventual_divergence_rate, growth_per_step, learning_rate_at_noise_gain, mode_limit,
    negative_momentum_helps,
};
use stepscope_types::{BatchSize, Spectrum};

fn endless(nu: f64, kappa: f64) -> (PowerLaw, QuadraticModel) {
    let law = PowerLaw::new(nu, kappa, f64::INFINITY).unwrap();
    let model = law.binned_model(Closure::INTERPOLATING, 128, 1e-16).unwrap();
    (law, model)
}

fn local_exponent(model: &QuadraticModel, sgd: &Sgd, time: f64) -> f64 {
    let times = [(time / 1.05) as u64, (time * 1.05) as u64];
    let answer = model.loss_at_talbot(sgd, &times).unwrap();
    assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
    -(answer.loss[1] / answer.loss[0]).ln() / (times[1] as f64 / times[0] as f64).ln()
}

#[test]
fn claims_7_and_8_exponents_and_constants_at_a_hundred_million_steps() {
    for (nu, kappa, a, b, regime) in [
        (1.5, 0.75, 0.3, 0.0, Regime::SignalDominated),
        (2.0, 1.0, 0.3, 0.5, Regime::SignalDominated),
        (1.5, 3.0, 0.2, 0.0, Regime::NoiseDominated),
        (2.0, 5.0, 0.3, -0.3, Regime::NoiseDominated),
    ] {
        let (law, model) = endless(nu, kappa);
        let sgd = Sgd::from_numbers(a, b, 0.5).unwrap();
        let asymptotics = Asymptotics::of(&law, &model, &sgd).unwrap();
        assert_eq!(asymptotics.regime, regime);
        let exponent = local_exponent(&model, &sgd, 1e8);
        assert!((exponent - asymptotics.exponent()).abs() < 2e-3, "{nu} {kappa}: {exponent} {asymptotics:?}");
        let loss = model.loss_at_talbot(&sgd, &[100_000_000]).unwrap().loss[0];
        let constant = loss * 1e8_f64.powf(asymptotics.exponent());
        println!(
            "nu {nu} kappa {kappa}: exponent off {:.1e}, constant off {:.1e}",
            exponent - asymptotics.exponent(),
            constant / asymptotics.constant() - 1.0
        );
        assert!((constant / asymptotics.constant() - 1.0).abs() < 2e-3, "{nu} {kappa}: {constant} {asymptotics:?}");
    }
}

#[test]
fn claim_9_the_transition_is_where_the_exponent_is_halfway() {
    for (nu, kappa, a, b, gamma) in [(1.5, 3.0, 0.5, 0.0, 1e-3), (1.5, 3.0, 0.5, 0.5, 1e-3), (1.3, 2.6, 0.5, 0.0, 1e-3)]
    {
        let (law, model) = endless(nu, kappa);
        let sgd = Sgd::from_numbers(a, b, gamma).unwrap();
        let asymptotics = Asymptotics::of(&law, &model, &sgd).unwrap();
        let transition = asymptotics.transition_time.unwrap();
        assert!(sgd.effective_learning_rate() * transition > 3e3, "{transition}");
        let middle = 0.5 * (asymptotics.signal_exponent + asymptotics.noise_exponent);
        let (mut low, mut high) = (transition / 3.0, transition * 3.0);
        for _ in 0..40 {
            let time = (low * high).sqrt();
            if local_exponent(&model, &sgd, time) > middle { low = time } else { high = time }
        }
        println!("nu {nu} kappa {kappa}: transition {transition:.0}, halfway {low:.0}");
        assert!((low / transition - 1.0).abs() < 1e-2, "{nu} {kappa}: {low} {transition}");
    }
}

#[test]
fn claim_10_below_nu_one_every_learning_rate_diverges_at_the_stated_rate() {
    let law = PowerLaw::new(0.7, 0.5, f64::INFINITY).unwrap();
    assert_eq!(Regime::of(&law), Regime::EventualDivergence);
    let model = law.binned_model(Closure::INTERPOLATING, 64, 1e-13).unwrap();
    let sgd = Sgd::from_numbers(0.001, 0.0, 1.0).unwrap();
    let growth = growth_per_step(&model, &sgd).unwrap().ln();
    let formula = eventual_divergence_rate(&law, 1.0, &sgd).unwrap();
    println!("rate {growth:.4e}, formula {formula:.4e}");
    assert!((growth / formula - 1.0).abs() < 1e-2, "{growth} {formula}");
}

#[test]
fn claim_11_the_best_learning_rate_of_the_long_run() {
    for (nu, kappa) in [(1.5, 1.0), (2.0, 1.0), (1.5, 3.0), (2.0, 5.0), (1.3, 2.0)] {
        let (law, model) = endless(nu, kappa);
        let critical = critical_learning_rate(&model, 0.0, 1.0).unwrap();
        let (best, _) = best_asymptotic_learning_rate(&law, &model, 0.0, 1.0).unwrap().unwrap();
        let rule = best_noise_gain(&law).unwrap();
        assert!((best / critical - rule).abs() < 2e-4, "{nu} {kappa}: {} {rule}", best / critical);
        let at_rule = learning_rate_at_noise_gain(&model, 0.0, 1.0, rule).unwrap();
        assert!((at_rule / best - 1.0).abs() < 1e-3);
    }
    // At B = 10 the best U(1) is .266, not the rule's .400 (section 3).
    let (law, model) = endless(1.5, 1.0);
    let (best, _) = best_asymptotic_learning_rate(&law, &model, 0.0, 0.1).unwrap().unwrap();
    let gain = Stability::of(&model, &Sgd::from_numbers(best, 0.0, 0.1).unwrap()).noise_gain;
    assert!((gain - 0.266).abs() < 5e-4, "{gain}");
}

#[test]
fn claim_13_the_momentum_criterion_has_the_sign_of_the_derivative() {
    for step in 0..10 {
        let nu = 1.1 + 1.9 * f64::from(step) / 9.0;
        for excess in [0.5, 2.0] {
            let (law, model) = endless(nu, 2.0 * nu - 1.0 + excess);
            assert_eq!(Regime::of(&law), Regime::NoiseDominated);
            let best = |b: f64| best_asymptotic_learning_rate(&law, &model, b, 1.0).unwrap().unwrap().1;
            let slope = best(0.01) - best(-0.01);
            assert_eq!(slope > 0.0, negative_momentum_helps(&model, nu), "nu {nu} + {excess}: {slope}");
        }
    }
}

#[test]
fn claim_14_past_the_critical_eigenvalue_everything_diverges() {
    for nu in [1.2, 1.5, 2.0, 3.0] {
        let model = PowerLaw::new(nu, 1.0, 1000.0).unwrap().model(Closure::INTERPOLATING).unwrap();
        let critical_eigenvalue = critical_eigenvalue(&model).unwrap();
        if nu == 1.5 {
            assert!((critical_eigenvalue - 2.1477).abs() < 1e-4, "{critical_eigenvalue}");
        }
        for b in [-0.8, 0.0, 0.5, 0.9, 0.99] {
            for gamma in [1.0, 0.1, 0.01] {
                let bound = 2.0 / (gamma * critical_eigenvalue) * (1.0 - b);
                let critical = critical_learning_rate(&model, b, gamma).unwrap();
                assert!(critical <= bound * (1.0 + 1e-12), "{nu} {b} {gamma}: {critical} {bound}");
            }
        }
    }
    // Ratios of the true limit to the bound, section 3.
    let model = PowerLaw::new(1.5, 1.0, 1000.0).unwrap().model(Closure::INTERPOLATING).unwrap();
    let examples = Sampling::Finite { num_examples: 1000 };
    let ratio = |b: f64, batch: u64| {
        let gamma = examples.noise_factor(BatchSize::new(batch).unwrap()).unwrap();
        let bound = 2.0 * (1.0 - b) / (gamma * critical_eigenvalue(&model).unwrap());
        critical_learning_rate(&model, b, gamma).unwrap() / bound
    };
    for (b, batch, expected, digits) in [
        (0.0, 1, 0.84, 5e-3),
        (0.9, 1, 0.992, 5e-4),
        (0.0, 10, 0.21, 5e-3),
        (0.9, 10, 0.916, 5e-4),
        (0.9, 100, 0.34, 5e-3),
    ] {
        assert!((ratio(b, batch) - expected).abs() <= digits, "{b} {batch}: {}", ratio(b, batch));
    }
}

#[test]
fn the_regime_of_a_listed_spectrum_is_that_of_its_law() {
    for (nu, kappa, regime) in [
        (0.4, 1.0, Regime::ImmediateDivergence),
        (0.8, 1.0, Regime::EventualDivergence),
        (1.5, 0.75, Regime::SignalDominated),
        (1.5, 3.0, Regime::NoiseDominated),
    ] {
        let law = PowerLaw::new(nu, kappa, 4000.0).unwrap();
        assert_eq!(Regime::of(&law), regime);
        assert_eq!(Regime::of_model(&law.model(Closure::INTERPOLATING).unwrap()), regime, "{nu} {kappa}");
    }
    let flat = Spectrum::new(vec![1.0; 100], vec![1.0; 100]).unwrap();
    let flat = QuadraticModel::interpolating(&flat, Closure::INTERPOLATING).unwrap();
    assert_eq!(Regime::of_model(&flat), Regime::NotAPowerLaw);
}

#[test]
fn at_the_balanced_batch_the_two_limits_of_the_learning_rate_meet() {
    let model = PowerLaw::new(1.5, 1.0, 1000.0).unwrap().model(Closure::INTERPOLATING).unwrap();
    for b in [-0.5, 0.0, 0.9] {
        let batch = balanced_batch_size(&model, b).unwrap().unwrap();
        let noise_limit = 2.0 * batch * (1.0 - b) / critical_eigenvalue(&model).unwrap();
        assert!((noise_limit / mode_limit(&model, b, 0.0) - 1.0).abs() < 1e-12);
        let limited = |batch: f64| critical_learning_rate(&model, b, 1.0 / batch).unwrap() / mode_limit(&model, b, 0.0);
        assert!(limited(0.02 * batch) < 0.05 && limited(50.0 * batch) > 0.9, "{b}");
    }
}

#[test]
fn claim_15_the_budget_of_examples_sets_the_loss_at_small_batches() {
    let model = PowerLaw::new(1.5, 0.75, 1000.0).unwrap().model(Closure::INTERPOLATING).unwrap();
    for (batch, tolerance) in [(2, 0.003), (4, 0.003), (8, 0.007), (16, 0.019), (32, 0.11)] {
        let single = Sgd::from_numbers(0.05, 0.0, 1.0).unwrap();
        let large = Sgd::from_numbers(0.05 * f64::from(batch), 0.0, 1.0 / f64::from(batch)).unwrap();
        let budgets = [320, 1024, 3200, 10_240];
        let reference = model.loss_at(&single, &budgets).unwrap().loss;
        let times = budgets.map(|budget| budget / batch as u64);
        let loss = model.loss_at(&large, &times).unwrap().loss;
        let worst = loss.iter().zip(&reference).map(|(x, y)| (x / y - 1.0).abs()).fold(0.0, f64::max);
        println!("B = {batch}: {worst:.4}");
        assert!(worst < tolerance, "B = {batch}: {worst}");
    }
}

#[test]
fn claim_16_in_the_signal_phase_noise_costs_a_constant_factor() {
    let (law, model) = endless(1.5, 0.75);
    let (sgd, descent) = (Sgd::from_numbers(0.3, 0.0, 1.0).unwrap(), Sgd::from_numbers(0.3, 0.0, 0.0).unwrap());
    let ratio = model.loss_at_talbot(&sgd, &[1_000_000]).unwrap().loss[0]
        / model.loss_at_talbot(&descent, &[1_000_000]).unwrap().loss[0];
    let gain = Asymptotics::of(&law, &model, &sgd).unwrap().noise_gain;
    println!("ratio {ratio:.5}, 1/(1 - U) {:.5}", 1.0 / (1.0 - gain));
    assert!((ratio * (1.0 - gain) - 1.0).abs() < 3e-3, "{ratio} {gain}");
}

#[test]
fn the_best_momentum_of_the_long_run_is_the_documents() {
    // Section 3: noise phase, nu = 1.5, kappa = 3.
    let (law, model) = endless(1.5, 3.0);
    for (batch, rate, momentum) in [(1.0, 0.156, -0.420), (10.0, 0.534, -0.360)] {
        let best = best_asymptotic_momentum(&law, &model, 1.0 / batch).unwrap().unwrap();
        println!("B = {batch}: {best:?}");
        assert!((best.learning_rate - rate).abs() < 2e-3 && (best.momentum - momentum).abs() < 2e-3, "{best:?}");
        assert!(best.gain > 0.95 && best.gain < 0.99, "{best:?}");
    }
    // Signal phase, nu = 1.5, kappa = .75: momentum pays little at B = 1 and much at large batches.
    let (law, model) = endless(1.5, 0.75);
    let gains =
        [1.0, 16.0, 64.0, 256.0].map(|batch| best_asymptotic_momentum(&law, &model, 1.0 / batch).unwrap().unwrap());
    println!("{gains:?}");
    assert!(gains.iter().all(|best| best.momentum > 0.0));
    assert!(gains.windows(2).all(|pair| pair[1].gain < pair[0].gain));
    assert!(gains[0].gain > 0.95 && (gains[1].gain - 0.68).abs() < 0.02);
}
