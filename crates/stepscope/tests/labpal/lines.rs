//! Lines of every shape: what is measured, what is refused, what is done then.

use stepscope::control::{Halt, LabPalMode, NetworkOracle, Refusal};
use stepscope::types::spec::{LabPalProfile, LabPalSpec, OutsideNorms};

use crate::PROFILES;
use crate::toy::{Always, Host, TASK, Toy, labpal, push};

#[test]
fn on_a_parabola_the_step_is_alpha_times_the_minimum_in_both_modes() {
    // Along the unit direction: minimum at 1, gradient of norm 1; the reference finds 2 − h.
    for (profile, expected) in [(PROFILES[0], 1.8), (PROFILES[1], 1.8 * (2.0 - 0.000_177))] {
        for mode in [LabPalMode::Sgd, LabPalMode::Nsgd] {
            let spec = LabPalSpec { profile, max_step: 5.0, ..LabPalSpec::default() };
            let mut method = labpal(mode, &spec, TASK, 0.0);
            let end = push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..12, |number, _, report| {
                assert_eq!(report.updated, number >= 9);
                if let Some(fit) = &report.fit {
                    assert!((fit.minimum().unwrap().position - 1.0).abs() < 1e-9);
                    let num_batches = if profile == LabPalProfile::Exact { 9 } else { 10 };
                    assert_eq!((fit.num_batches, fit.norm), (num_batches, 1.0));
                }
            });
            assert!((end.theta()[0] - 3.0 * expected).abs() < 1e-8, "{profile:?} {mode:?} {:?}", end.theta());
        }
    }
}

#[test]
fn sgd_keeps_the_learning_rate_and_nsgd_the_length() {
    // Half as steep from batch 10 on: the same learning rate is half the length.
    for (mode, expected) in [(LabPalMode::Sgd, 0.9), (LabPalMode::Nsgd, 1.8)] {
        let mut method = labpal(mode, &LabPalSpec::default(), TASK, 0.0);
        // The line of the measurement starts at 0, where the first batch's gradient was taken.
        let mut line = Host(
            |theta: &[f64], batch| {
                if batch < 10 { (0.5 * (theta[0] - 1.0).powi(2), vec![-1.0]) } else { (1.0, vec![-0.5]) }
            },
        );
        push(&mut method, Toy::new(&[0.0]), &mut line, 0..11, |number, _, report| {
            if number == 10 {
                assert!((report.step_length.unwrap() - expected).abs() < 1e-9, "{mode:?} {report:?}");
                assert_eq!(report.norm, 0.5);
            }
        });
    }
}

/// What happens on a line when a step of 0.5 is known already, and when none is.
fn refused(loss: impl Fn(f64) -> f64 + Copy, slope: f64) -> [(Option<Refusal>, Option<f64>); 2] {
    [false, true].map(|is_first| {
        let spec = LabPalSpec { update_step_adaptation: 0.5, ..LabPalSpec::default() };
        let mut method = labpal(LabPalMode::Nsgd, &spec, TASK, 0.0);
        let mut from = 0;
        let mut model = Toy::new(&[0.0]);
        if !is_first {
            model = push(&mut method, model, &mut Always::default(), 0..19, |_, _, _| {});
            from = 19;
        }
        let start = model.theta()[0];
        let mut found = None;
        let mut oracle = Host(|theta: &[f64], _| (loss(theta[0] - start), vec![slope]));
        push(&mut method, model, &mut oracle, from..from + 12, |_, model, report| {
            if found.is_none() && (report.refusal.is_some() || report.fit.is_some()) {
                let moved = model.theta()[0] - start;
                found = Some((report.refusal.clone(), report.updated.then_some(moved)));
            }
        });
        found.unwrap()
    })
}

fn is_near(moved: Option<f64>, expected: f64) -> bool {
    moved.is_some_and(|moved| (moved - expected).abs() < 1e-9)
}

#[test]
fn lines_without_a_minimum_are_refused_and_the_last_step_serves_on() {
    // Concave and falling: with no step known, the lower of the points that were seen.
    let [later, first] = refused(|s| 1.0 - s - s * s, -1.0);
    assert!(matches!(later.0, Some(Refusal::NoMinimum(_))) && is_near(later.1, 0.5), "{later:?}");
    assert!(matches!(first.0, Some(Refusal::NoMinimum(_))) && is_near(first.1, 0.01), "{first:?}");
    // Flat: nowhere to go.
    let [later, first] = refused(|_| 1.0, -1.0);
    assert!(matches!(later.0, Some(Refusal::NoMinimum(_))) && is_near(later.1, 0.5), "{later:?}");
    assert!(matches!(first.0, Some(Refusal::NoMinimum(_))) && first.1.is_none(), "{first:?}");
    // Rising although the gradient says otherwise.
    let [later, first] = refused(|s| 1.0 + s + s * s, -1.0);
    assert!(matches!(later.0, Some(Refusal::NoMinimum(_))) && is_near(later.1, 0.5), "{later:?}");
    assert!(first.1.is_none(), "{first:?}");
    // Not finite a little way out.
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let [later, first] = refused(move |s| if s > 0.005 { bad } else { 1.0 - s }, -1.0);
        assert!(matches!(later.0, Some(Refusal::Parabola(_))) && is_near(later.1, 0.5), "{later:?}");
        assert!(matches!(first.0, Some(Refusal::Parabola(_))) && first.1.is_none(), "{first:?}");
    }
}

#[test]
fn a_curved_valley_is_descended_without_a_crash_or_a_lost_weight() {
    for profile in PROFILES {
        for mode in [LabPalMode::Sgd, LabPalMode::Nsgd] {
            let spec = LabPalSpec { profile, updates_per_measurement: 5, ..LabPalSpec::default() };
            let mut method = labpal(mode, &spec, TASK, 0.0);
            // From where the gradient is 232 long, in a valley whose curvatures differ by a factor of 2500.
            let loss = |t: &[f64]| (1.0 - t[0]).powi(2) + 100.0 * (t[1] - t[0] * t[0]).powi(2);
            let mut oracle = Host(|t: &[f64], _| {
                let across = t[1] - t[0] * t[0];
                (loss(t), vec![-2.0 * (1.0 - t[0]) - 400.0 * t[0] * across, 200.0 * across])
            });
            let mut updates = 0;
            let end = push(&mut method, Toy::new(&[-1.2, 1.0]), &mut oracle, 0..3000, |_, model, report| {
                updates += u64::from(report.updated);
                let is_finite = model.theta().iter().all(|theta| theta.is_finite());
                assert!(is_finite || profile == LabPalProfile::Reference, "{report:?}");
                assert!(report.halt.is_none() || profile == LabPalProfile::Reference, "{report:?}");
            });
            if profile == LabPalProfile::Exact {
                assert!(
                    updates > 500 && loss(&end.theta()) < loss(&[-1.2, 1.0]),
                    "{mode:?} {updates} {:?}",
                    end.theta()
                );
            }
        }
    }
}

/// Claim T18.
#[test]
fn outside_the_norms_the_last_step_is_taken_again_and_the_reference_reports_a_stall() {
    for norm in [1e-4, 1e3] {
        let with = |outside_norms, profile| LabPalSpec {
            profile,
            outside_norms,
            updates_per_measurement: 20,
            ..LabPalSpec::default()
        };
        let run = |spec: LabPalSpec| {
            let mut method = labpal(LabPalMode::Nsgd, &spec, TASK, 0.0);
            let model = push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..10, |_, _, _| {});
            let mut oracle = Host(move |_: &[f64], _| (1.0, vec![-norm]));
            let (mut updates, mut refusals, mut halt, mut last) = (0, 0, None, 0.0);
            push(&mut method, model, &mut oracle, 10..400, |_, _, report| {
                updates += u64::from(report.updated);
                refusals += u64::from(matches!(report.refusal, Some(Refusal::Norm { .. })));
                halt = halt.take().or(report.halt.clone());
                last = report.step_length.unwrap_or(last);
            });
            (updates, refusals, halt, last)
        };
        let (updates, refusals, halt, last) = run(with(None, LabPalProfile::Exact));
        assert_eq!((updates, halt), (390, None), "{norm}");
        assert!(refusals > 10 && (last - 1.8).abs() < 1e-9, "{refusals} {last}");
        let (updates, refusals, halt, _) = run(with(None, LabPalProfile::Reference));
        assert!(updates < 30 && refusals > 300, "{updates} {refusals}");
        let Some(Halt::Stalled { batches, reason }) = halt else { panic!("{halt:?}") };
        assert!(batches == 100 && reason.contains("norm"), "{batches} {reason}");
        let (updates, ..) = run(with(Some(OutsideNorms::ReuseLast), LabPalProfile::Reference));
        assert_eq!(updates, 390);
    }
}

#[test]
fn a_step_after_which_the_loss_explodes_is_taken_back_and_not_repeated() {
    // A parabola with its minimum at 1 up to 0.05, a wall beyond 1.5.
    let mut method = labpal(LabPalMode::Nsgd, &LabPalSpec::default(), TASK, 0.0);
    for wall in [f64::NAN, 1e6] {
        let mut oracle = Host(move |theta: &[f64], _| {
            let loss = 0.5 * (theta[0] - 1.0).powi(2);
            (if theta[0] > 1.5 { wall } else { loss }, vec![theta[0] - 1.0])
        });
        let mut backs = Vec::new();
        let end = push(&mut method, Toy::new(&[0.0]), &mut oracle, 0..200, |number, model, report| {
            if let Some(Refusal::RolledBack { before, .. }) = report.refusal {
                assert!(model.theta()[0] <= 1.5 && before <= 0.5 + 1e-12, "{report:?}");
                backs.push(number);
            }
        });
        assert!(!backs.is_empty() && backs.len() < 6, "{backs:?}");
        assert!(end.theta()[0].is_finite());
        method = labpal(LabPalMode::Nsgd, &LabPalSpec::default(), TASK, 0.0);
    }
}

#[test]
fn an_oracle_that_does_not_repeat_itself_is_found_out_at_once() {
    let mut calls = 0.0;
    let mut oracle = Host(|theta: &[f64], _| {
        calls += 1.0;
        (0.5 * (theta[0] - 1.0).powi(2) + 0.01 * calls, vec![-1.0])
    });
    let mut method = labpal(LabPalMode::Sgd, &LabPalSpec::default(), TASK, 0.0);
    push(&mut method, Toy::new(&[0.0]), &mut oracle, 0..1, |_, _, report| {
        assert!(matches!(report.halt, Some(Halt::NotRepeatable { .. })), "{report:?}");
    });
}

#[test]
fn numbers_of_eight_bits_need_wide_points_and_what_they_cannot_tell_is_refused() {
    // A loss that is known to 8 bits only, as a bf16 forward pass gives it.
    let rounded = |loss: f64| f64::from(f32::from_bits((loss as f32).to_bits() & 0xFFFF_0000));
    let run = |probe_points| {
        // Beside the points, what is asked of networks of such numbers without being told.
        let (significance, max_relative_error) = (Some(2.0), Some(0.5));
        let spec = LabPalSpec { probe_points, significance, max_relative_error, ..LabPalSpec::default() };
        let mut method = labpal(LabPalMode::Sgd, &spec, TASK, 0.0);
        let mut oracle = Host(|theta: &[f64], batch| {
            let offset = 2.0 + 0.037 * batch as f64;
            (rounded(offset + 2.0 * theta[0] * (theta[0] - 0.4)), vec![-0.8])
        });
        let mut seen = None;
        push(&mut method, Toy::new(&[0.0]), &mut oracle, 0..10, |_, _, report| {
            seen = report.fit.clone().map(|fit| (fit, report.refusal.clone()));
        });
        seen.unwrap()
    };
    let (fit, refusal) = run(Some([0.000_177, 0.01]));
    assert!(refusal.is_some(), "{fit:?}");
    let (fit, refusal) = run(Some([0.1, 0.3]));
    let minimum = fit.minimum().unwrap();
    assert!(refusal.is_none() && (minimum.position - 0.2).abs() < 3.0 * minimum.standard_error + 0.02, "{minimum:?}");
}

/// Claim T16.
#[test]
fn looking_along_a_line_leaves_weights_statistics_and_losses_as_they_were() {
    use stepscope::control::LossOracle;
    use stepscope::control::line_search::measure;
    use stepscope::models::{Model, ParamLayout, buffers};
    use stepscope::types::spec::{ModelSpec, Normalisation, Precision};
    let dataset = stepscope::data::Dataset::load(&Default::default()).unwrap();
    let backend = stepscope::backend::Backend::cpu(Precision::F32);
    let spec = ModelSpec { dropout: 0.3, normalisation: Some(Normalisation::Batch), ..ModelSpec::default() };
    let random = stepscope::spectral::random::RandomStream::new(1, 0);
    let network = Model::new(&spec, dataset.shape, 10, random, &backend).unwrap();
    let batch = |number: u32| {
        let indices: Vec<u32> = (number * 64..number * 64 + 64).collect();
        stepscope::data::Batch::gather(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype())
    };
    let batches: Vec<_> = (1..9).map(batch).collect();
    let mut oracle = NetworkOracle::default();
    let state = |network: &Model| (ParamLayout::of(network).values(network), buffers::list(network));
    let before = state(&network);
    let first = oracle.loss(&network, &batches[0], 9);
    let (_, gradient) = oracle.loss_and_gradient(&network, &batch(0), 1);
    let fit = measure(&mut oracle, &network, &gradient, &batches, [0.000_177, 0.01], 4).unwrap();
    assert!(fit.minimum().is_ok(), "{fit:?}");
    assert_eq!(state(&network), before, "bit for bit");
    assert_eq!(oracle.loss(&network, &batches[0], 9), first);
    assert!(measure(&mut oracle, &network, &gradient, &batches[..1], [0.1, 0.2], 4).is_err());
    assert!(measure(&mut oracle, &network, &gradient, &batches, [0.2, 0.1], 4).is_err());
    assert!(measure(&mut oracle, &network, &Default::default(), &batches, [0.1, 0.2], 4).is_err());
}
