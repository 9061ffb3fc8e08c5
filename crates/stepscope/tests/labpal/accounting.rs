//! What is counted, when measurements happen, and how the number of batches per update changes.

use stepscope::control::{LabPalError, LabPalMode, LabPalTask, LossOracle, Passes, Phase, Refusal};
use stepscope::models::ParamTensors;
use stepscope::spectral::random::RandomStream;
use stepscope::types::TrainingDuration;
use stepscope::types::spec::{LabPalProfile, LabPalSpec, StepCap};

use crate::PROFILES;
use crate::toy::{Always, Host, TASK, Toy, labpal, push, reloaded};

/// As published, in both profiles.
fn published(profile: LabPalProfile) -> LabPalSpec {
    let (early_measurements, exclude_direction_batches) = (Some(false), Some(false));
    LabPalSpec { profile, early_measurements, exclude_direction_batches, ..LabPalSpec::default() }
}

/// Claim T14, and the same with measurements that wait for the update under way instead of throwing its gradients away.
#[test]
fn a_training_of_the_paper_measures_104_times_and_updates_102_173_times() {
    for (profile, num_updates) in [(LabPalProfile::Reference, 102_173), (LabPalProfile::Exact, 102_189)] {
        let mut method = labpal(LabPalMode::Sgd, &published(profile), TASK, 0.0);
        let mut completions = Vec::new();
        push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..TASK.num_batches, |number, _, report| {
            if report.fit.is_some() {
                completions.push(number);
            }
        });
        assert_eq!(completions[..4], [9, 420, 1429, 2438]);
        assert_eq!((completions.len(), method.num_measurements(), method.num_updates()), (104, 104, num_updates));
    }
}

/// The other rows of the table in `line-search`, section 2.2: what the released code makes of small batches.
#[test]
fn the_reference_skips_entries_of_the_schedule_as_the_released_code_does() {
    for (batch_size, num_examples, measurements, updates) in
        [(128, 65_000, 95, 92_882), (64, 45_000, 57, 55_705), (32, 45_000, 38, 37_131), (8, 40_000, 10, 9_277)]
    {
        let task = LabPalTask { batch_size, num_examples, ..TASK };
        let mut method = labpal(LabPalMode::Sgd, &published(LabPalProfile::Reference), task, 0.0);
        push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..TASK.num_batches, |_, _, _| {});
        assert_eq!((method.num_measurements(), method.num_updates()), (measurements, updates), "{batch_size}");
    }
}

/// Claim T13.
#[test]
fn a_measurement_costs_three_forward_passes_a_batch_and_one_percent_of_a_thousand_updates() {
    for (per_update, profile) in [(1, PROFILES[0]), (3, PROFILES[0]), (1, PROFILES[1])] {
        let spec = LabPalSpec {
            noise_factor: Some(per_update as f64),
            schedule_at: Vec::new(),
            schedule_batches: Vec::new(),
            untrusted_updates: 0,
            ..published(profile)
        };
        let mut method = labpal(LabPalMode::Nsgd, &spec, TASK, 0.0);
        let (mut measuring, mut training, mut ended) = (Passes::default(), Passes::default(), 0);
        let (mut updates, mut was_measuring) = (0, true);
        // The first measurement also finds out whether the oracle repeats itself, the second comes soon after.
        push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..per_update * 3200, |number, _, report| {
            let counted = number >= per_update * 100 && ended < 3;
            if counted && (report.phase != Phase::Training || was_measuring) {
                measuring += report.passes;
            } else if counted {
                training += report.passes;
            }
            was_measuring = report.phase != Phase::Training;
            ended += u64::from(report.fit.is_some());
            updates += u64::from(report.updated && counted);
        });
        let batches = 10 * per_update;
        // At the beginning, after two updates, and then after every thousand: the third one was counted.
        assert_eq!(ended, 5);
        assert_eq!(measuring, Passes { forward: 3 * batches, backward: per_update });
        assert_eq!(training.forward, training.backward);
        let equivalents = |passes: Passes| (passes.forward + 2 * passes.backward) as f64;
        let extra = equivalents(measuring) - 3.0 * per_update as f64;
        let share = extra / (3.0 * per_update as f64 * 1000.0);
        assert!((share - 0.0097).abs() < 1e-4, "{share}");
    }
}

#[test]
fn the_exact_profile_spares_the_directions_batches_and_takes_them_where_there_is_but_one_other() {
    for (approximation_batches, forward, num_fitted) in
        [(10, 3 * 30 - 2 * 3 + 1, 27), (3, 3 * 9 - 2 * 3 + 1, 6), (2, 3 * 6 + 1, 6)]
    {
        let spec = LabPalSpec { noise_factor: Some(3.0), approximation_batches, ..LabPalSpec::default() };
        let mut method = labpal(LabPalMode::Sgd, &spec, TASK, 0.0);
        let mut passes = Passes::default();
        push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..3 * approximation_batches, |_, _, report| {
            passes += report.passes;
            if let Some(fit) = &report.fit {
                assert_eq!(fit.num_batches, num_fitted);
            }
        });
        assert_eq!(
            (method.num_measurements(), passes),
            (1, Passes { forward, backward: 3 }),
            "{approximation_batches}"
        );
    }
}

/// The loss along every line, wherever it starts: slope −1, more or less by batch, and a bend that comes with the call for the gradient.
struct Drawn {
    start: f64,
    spread: f64,
    /// Curvatures of the lines to come; the last one stays.
    curvatures: Vec<f64>,
}

impl LossOracle<Toy, u64> for Drawn {
    fn loss(&mut self, model: &Toy, batch: &u64, _seed: u64) -> f64 {
        let s = model.theta()[0] - self.start;
        let slope = -1.0 + if batch.is_multiple_of(2) { self.spread } else { -self.spread };
        slope * s + 0.5 * self.curvatures[0] * s * s
    }

    fn loss_and_gradient(&mut self, model: &Toy, _batch: &u64, _seed: u64) -> (f64, ParamTensors) {
        if self.curvatures.len() > 1 {
            self.curvatures.remove(0);
        }
        self.start = model.theta()[0];
        (0.0, model.vector(vec![-1.0]))
    }
}

#[test]
fn measurements_that_gave_no_step_do_not_put_off_the_next() {
    let mut method = labpal(LabPalMode::Sgd, &LabPalSpec::default(), TASK, 0.0);
    let mut oracle = Drawn { start: 0.0, spread: 0.0, curvatures: vec![-1.0, -1.0, -1.0, -1.0, 1.0] };
    let mut ended = Vec::new();
    push(&mut method, Toy::new(&[0.0]), &mut oracle, 0..140, |number, _, report| {
        if report.fit.is_some() {
            ended.push((number, report.refusal.is_some()));
        }
    });
    // After 10, 20 and 40 updates from the first that was not refused, nine batches without one each.
    let expected = [(9, true), (19, true), (29, true), (39, false), (58, false), (87, false), (136, false)];
    assert_eq!(ended, expected);
}

#[test]
fn what_serves_for_few_updates_may_be_less_certain() {
    let first = |spec: LabPalSpec| {
        let mut method = labpal(LabPalMode::Sgd, &spec, TASK, 0.0);
        let mut refusals = Vec::new();
        let mut oracle = Drawn { start: 0.0, spread: 3.0, curvatures: vec![1.0] };
        push(&mut method, Toy::new(&[0.0]), &mut oracle, 0..10, |_, _, report| {
            refusals.extend(report.refusal.clone());
        });
        refusals.pop()
    };
    // Slopes −4 and 2 of five and four batches: the minimum is at 1.3 with an error of 1.1.
    assert_eq!(first(LabPalSpec::default()), None);
    let limit_of = |refusal| match refusal {
        Some(Refusal::Imprecise { limit, .. }) => limit,
        other => panic!("{other:?}"),
    };
    let early_measurements = Some(false);
    assert_eq!(limit_of(first(LabPalSpec { early_measurements, ..LabPalSpec::default() })), 0.5);
    // For 10 updates in place of 1000, a root of a hundred times as much.
    assert_eq!(limit_of(first(LabPalSpec { max_relative_error: Some(0.05), ..LabPalSpec::default() })), 0.5);
}

#[test]
fn at_the_end_steps_land_in_a_straight_line() {
    for mode in [LabPalMode::Sgd, LabPalMode::Nsgd] {
        let spec = LabPalSpec {
            landing: Some(0.25),
            schedule_at: Vec::new(),
            schedule_batches: Vec::new(),
            early_measurements: Some(false),
            ..LabPalSpec::default()
        };
        let mut method = labpal(mode, &spec, LabPalTask { num_batches: 200, ..TASK }, 0.0);
        push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..200, |number, _, report| {
            if number >= 10 {
                let expected = 1.8 * ((200 - number) as f64 / 50.0).min(1.0);
                assert!((report.step_length.unwrap() - expected).abs() < 1e-9, "{mode:?} {number} {report:?}");
            }
        });
    }
}

/// Claim T15: no entry of the schedule is skipped, whatever makes an update and whatever is under way.
#[test]
fn every_entry_of_the_schedule_takes_effect_within_an_update_of_its_place() {
    let mut random = RandomStream::new(8, 0);
    for noise_factor in [1.0, 1.625, 2.25, 4.0, 4.5, 16.0, 27.0] {
        let places: Vec<u64> = (1..=3).map(|entry| entry * 500 + (random.normal().abs() * 100.0) as u64).collect();
        let spec = LabPalSpec {
            noise_factor: Some(noise_factor),
            schedule_at: places.iter().map(|&place| TrainingDuration::Steps(place)).collect(),
            schedule_batches: vec![2, 4, 1],
            updates_per_measurement: 20,
            ..LabPalSpec::default()
        };
        let task = LabPalTask { num_examples: 2_000_000, ..TASK };
        let mut method = labpal(LabPalMode::Sgd, &spec, task, 0.0);
        let mut seen = Vec::new();
        push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..2200, |number, _, report| {
            if seen.last().is_none_or(|(_, last)| *last != report.batches_per_update) {
                seen.push((number, report.batches_per_update));
            }
            assert!(report.halt.is_none());
        });
        let numbers: Vec<u64> = [1, 2, 4, 1].map(|n| ((f64::from(n) * noise_factor) as u64).max(1)).to_vec();
        assert_eq!(seen.iter().map(|(_, k)| *k).collect::<Vec<_>>(), numbers, "{noise_factor}");
        for (index, place) in places.iter().enumerate() {
            let late = seen[index + 1].0 - place;
            assert!(late < numbers[index], "{noise_factor}: {late} batches after {place}, {}", numbers[index]);
        }
    }
}

/// Claim T17: mid-accumulation, mid-measurement, between, in both modes with momentum.
#[test]
fn saved_at_any_phase_the_next_two_thousand_updates_are_the_same_to_the_last_bit() {
    let spec = LabPalSpec {
        noise_factor: Some(3.0),
        approximation_batches: 4,
        updates_per_measurement: 40,
        untrusted_updates: 60,
        history: 5,
        schedule_at: vec![TrainingDuration::Steps(700)],
        schedule_batches: vec![2],
        ..LabPalSpec::default()
    };
    // Noisy quadratics, so that no two measurements agree.
    let mut oracle = Host(|theta: &[f64], batch| {
        let mut random = RandomStream::new(4, batch);
        let terms = theta.iter().enumerate().map(|(index, theta)| {
            let (curvature, centre) = (1.0 + index as f64, 0.3 * random.normal());
            (0.5 * curvature * (theta - centre).powi(2), curvature * (theta - centre))
        });
        let (losses, gradient): (Vec<f64>, Vec<f64>) = terms.unzip();
        (losses.iter().sum(), gradient)
    });
    for mode in [LabPalMode::Sgd, LabPalMode::Nsgd] {
        let fresh = || labpal(mode, &spec, TASK, 0.4);
        let start = Toy::new(&[1.0, -2.0, 0.5]);
        let mut whole = fresh();
        let mut phases = std::collections::HashSet::new();
        let mut states = Vec::new();
        // Past the change of the schedule and any 2000 updates after the last state.
        const END: u64 = 13_500;
        let end = {
            let mut model = start.clone();
            for number in 0..END {
                model = push(&mut whole, model, &mut oracle, number..number + 1, |_, _, report| {
                    phases.insert(report.phase);
                });
                if (1..60).contains(&number) || [640, 641, 702, 760].contains(&number) {
                    states.push((number + 1, reloaded(&whole, fresh(), &model), model.clone()));
                }
            }
            model
        };
        assert!(phases.len() > 12, "every stage of a measurement was passed through: {phases:?}");
        for (number, mut method, model) in states.into_iter().step_by(7) {
            let before = method.num_updates();
            let again = push(&mut method, model, &mut oracle, number..END, |_, _, _| {});
            assert!(method.num_updates() - before >= 2000, "{}", method.num_updates() - before);
            assert_eq!(again.theta(), end.theta(), "{mode:?} from batch {number}");
        }
    }
}

#[test]
fn batches_that_were_not_given_back_stop_a_restored_method() {
    use stepscope::checkpoint::{State, WeightState};
    use stepscope::models::ParamLayout;
    let mut method = labpal(LabPalMode::Sgd, &LabPalSpec::default(), TASK, 0.0);
    let model = push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..4, |_, _, _| {});
    let (layout, mut state) = (ParamLayout::of(&model), State::default());
    method.save_weights(&mut state, &layout);
    let mut restored = labpal(LabPalMode::Sgd, &LabPalSpec::default(), TASK, 0.0);
    restored.load_weights(&state, &layout).unwrap();
    push(&mut restored, model, &mut Always::default(), 4..5, |_, _, report| {
        let message = report.halt.as_ref().unwrap().to_string();
        assert!(message.contains("4 batches") && message.contains("restore_held"), "{message}");
    });
}

/// At most one vector as long as the weights beside weights and gradient, at any phase: a copy of the weights to go back to, or the
/// direction of a line while it is looked along, when the copy is the weights themselves.
#[test]
fn one_vector_is_held_beside_weights_and_gradient() {
    use stepscope::checkpoint::{State, WeightState};
    use stepscope::models::ParamLayout;
    let spec = LabPalSpec { updates_per_measurement: 20, ..LabPalSpec::default() };
    let mut method = labpal(LabPalMode::Sgd, &spec, TASK, 0.0);
    let mut model = Toy::new(&[0.0, 1.0]);
    let mut most = 0;
    let mut oracle = Host(|theta: &[f64], _| {
        let loss = theta.iter().map(|theta| 0.5 * (theta - 3.0).powi(2)).sum();
        (loss, theta.iter().map(|theta| theta - 3.0).collect())
    });
    for number in 0..100 {
        model = push(&mut method, model, &mut oracle, number..number + 1, |_, _, _| {});
        let (layout, mut state) = (ParamLayout::of(&model), State::default());
        method.save_weights(&mut state, &layout);
        let held = |name| state.params(name, &layout).ok().map(|held| layout.vector(&held));
        let copy = held("fallback").filter(|copy| *copy != model.theta());
        most = most.max(copy.iter().chain(&held("measured_direction")).count());
    }
    assert_eq!(most, 1);
}

#[test]
fn a_cap_holds_before_or_after_the_adaptation() {
    for (cap, expected) in [(StepCap::BeforeAdaptation, 0.9), (StepCap::AfterAdaptation, 0.5)] {
        let spec = LabPalSpec { cap, max_step: 0.5, ..LabPalSpec::default() };
        let mut method = labpal(LabPalMode::Nsgd, &spec, TASK, 0.0);
        push(&mut method, Toy::new(&[0.0]), &mut Always::default(), 0..11, |number, _, report| {
            if number >= 9 {
                assert!((report.step_length.unwrap() - expected).abs() < 1e-12, "{cap:?} {report:?}");
            }
        });
    }
}

#[test]
fn a_line_over_more_examples_than_there_are_is_refused_by_name() {
    let task = LabPalTask { num_examples: 1000, ..TASK };
    let direction = || Box::new(stepscope::control::transform::GradientTransform::heavy_ball(Default::default()));
    let refused = |spec: LabPalSpec| {
        stepscope::control::LabPal::<u64>::new(LabPalMode::Sgd, &spec, direction(), task).err().unwrap()
    };
    let error = refused(LabPalSpec::default());
    assert!(matches!(error, LabPalError::LargerThanData { approximation: 1280, .. }), "{error}");
    assert!(error.to_string().contains("labpal.approximation_batches"), "{error}");
    let error = refused(LabPalSpec { update_step_adaptation: -1.0, ..LabPalSpec::default() });
    assert!(error.to_string().contains("labpal.update_step_adaptation"), "{error}");
}
