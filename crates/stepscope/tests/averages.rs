//! Averages of live networks against their slow definitions.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::prelude::*;
use stepscope::backend::Backend;
use stepscope::checkpoint::{State, WeightState, export_weights};
use stepscope::control::average::{
    AverageBank, AverageError, Decay, Ring, Rule, Running, ShadowPrecision, TwoPoint, TwoPoints, WarmUp, combine,
};
use stepscope::models::{ParamLayout, ParamTensors};
use stepscope::spectral::random::RandomStream;
use stepscope::theory::{Average, PowerProfile};
use stepscope::types::spec::Precision;

/// Any module: a vector long enough for more than one block, and a matrix.
#[derive(Module, Debug)]
struct Own {
    long: Param<Tensor<1>>,
    matrix: Param<Tensor<2>>,
}

const LONG: usize = 5;

fn device(precision: Precision) -> (Device, DType) {
    let backend = Backend::cpu(precision);
    (backend.tracked(), backend.dtype())
}

fn own(precision: Precision, long: usize) -> Own {
    let (device, dtype) = device(precision);
    let zeros = |count: usize| TensorData::new(vec![0.0_f64; count], [count]);
    let long = Tensor::<1>::from_data(zeros(long), (&device, dtype));
    let matrix = Tensor::<1>::from_data(zeros(6), (&device, dtype)).reshape([2, 3]);
    Own { long: Param::from_tensor(long), matrix: Param::from_tensor(matrix) }
}

/// A trajectory of a network in f64: x_1, ..., x_n.
struct Trajectory {
    networks: Vec<Own>,
    values: Vec<Vec<f64>>,
}

impl Trajectory {
    fn random(steps: usize, seed: u64) -> Self {
        let mut random = RandomStream::new(seed, 0);
        let (mut network, mut values) = (own(Precision::F64, LONG), Vec::new());
        let layout = ParamLayout::of(&network);
        let mut networks = Vec::new();
        let mut x: Vec<f64> = (0..layout.num_params()).map(|_| random.normal()).collect();
        for _ in 0..steps {
            x.iter_mut().for_each(|x| *x += 0.3 * random.normal());
            network = layout.assign(network, &x);
            networks.push(network.clone());
            values.push(x.clone());
        }
        Self { networks, values }
    }

    fn constant(steps: usize, seed: u64) -> Self {
        let Self { networks, values } = Self::random(1, seed);
        Self { networks: vec![networks[0].clone(); steps], values: vec![values[0].clone(); steps] }
    }

    /// Σ w_t x_t, with `weights` on x_1, ..., x_n.
    fn sum(&self, weights: &[f64]) -> Vec<f64> {
        let count = self.values[0].len();
        (0..count).map(|i| weights.iter().zip(&self.values).map(|(w, x)| w * x[i]).sum()).collect()
    }

    fn bank(&self, averages: Vec<Running>) -> Vec<Vec<f64>> {
        let count = averages.len();
        let mut bank = AverageBank::new(averages);
        for (index, network) in self.networks.iter().enumerate() {
            bank.update(index as u64 + 1, network);
        }
        (0..count).map(|index| flat(&bank.network(index, &self.networks[0]).unwrap())).collect()
    }
}

fn flat(network: &Own) -> Vec<f64> {
    ParamLayout::of(network).values(network)
}

#[track_caller]
fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance * (1.0 + expected.abs()), "{got} {expected}");
    }
}

/// The weights on x_1, ..., x_n of an average that takes in shares at some steps: the definition, walked backwards.
fn weights_of_shares(steps: usize, share: impl Fn(u64) -> Option<f64>) -> Vec<f64> {
    let (mut kept, mut weights) = (1.0, vec![0.0; steps]);
    for step in (1..=steps as u64).rev() {
        if let Some(share) = share(step) {
            weights[step as usize - 1] = kept * share;
            kept *= 1.0 - share;
        }
    }
    assert!(kept.abs() < 1e-14, "the first iterate is taken in whole");
    weights
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_ema_equals_its_closed_form_whatever_its_start_and_interval(
        steps in 1_usize..60, start in 1_u64..20, every in 1_u64..7, half_life in 0.5_f64..40.0, seed in 0_u64..1000
    ) {
        prop_assume!(start <= steps as u64);
        let trajectory = Trajectory::random(steps, seed);
        let decay = Decay::with_half_life(half_life).unwrap();
        let average = Running::ema(decay).from_step(start).every(every).unwrap();
        // α = 1 − d with d = β^D on x_T', x_T'−D, ..., and d^n on the first one.
        let updates = (steps as u64 - start) / every;
        let d = 2_f64.powf(-(every as f64) / half_life);
        let mut weights = vec![0.0; steps];
        for n in 0..=updates {
            let place = (start + (updates - n) * every) as usize - 1;
            weights[place] = if n == updates { d.powi(n as i32) } else { (1.0 - d) * d.powi(n as i32) };
        }
        close(&trajectory.bank(vec![average])[0], &trajectory.sum(&weights), 1e-12);
    }

    #[test]
    fn a_power_function_average_has_the_integrals_of_its_profile_whatever_its_interval(
        steps in 1_usize..60, every in 1_u64..7, exponent in 0.0_f64..20.0, seed in 0_u64..1000
    ) {
        prop_assume!(every <= steps as u64);
        let trajectory = Trajectory::random(steps, seed);
        let average = Running::new(Rule::Power { exponent }).unwrap().every(every).unwrap();
        let last = steps as u64 / every * every;
        let up_to = |t: u64| (t as f64 / last as f64).powf(exponent + 1.0);
        let mut weights = vec![0.0; steps];
        for t in (every..=last).step_by(every as usize) {
            weights[t as usize - 1] = up_to(t) - up_to(t - every);
        }
        close(&trajectory.bank(vec![average])[0], &trajectory.sum(&weights), 1e-12);
    }

    #[test]
    fn means_windows_and_two_points_equal_their_sums(
        steps in 1_usize..40, start in 1_u64..12, every in 1_u64..6, count in 1_u64..6, gap in 1_u64..12, seed in 0_u64..1000
    ) {
        prop_assume!(start <= steps as u64);
        let trajectory = Trajectory::random(steps, seed);
        let taken: Vec<u64> = (start..=steps as u64).step_by(every as usize).collect();
        let equal = |taken: &[u64]| {
            let mut weights = vec![0.0; steps];
            taken.iter().for_each(|t| weights[*t as usize - 1] += 1.0 / taken.len() as f64);
            trajectory.sum(&weights)
        };
        let swa = Running::new(Rule::Mean).unwrap().from_step(start).every(every).unwrap();
        close(&trajectory.bank(vec![swa])[0], &equal(&taken), 1e-12);

        let mut ring = Ring::new(count, every).unwrap().from_step(start);
        let mut points = TwoPoints::new(gap);
        for (index, network) in trajectory.networks.iter().enumerate() {
            let step = index as u64 + 1;
            ring.update(step, network);
            points.update(step, network, |due| due == steps as u64);
        }
        let last = trajectory.networks.last().unwrap();
        let newest = &taken[taken.len().saturating_sub(count as usize)..];
        prop_assert_eq!(ring.steps().collect::<Vec<_>>(), newest);
        close(&flat(&ring.network(last).unwrap()), &equal(newest), 1e-12);
        match points.network(steps as u64, last) {
            Some(middle) => close(&flat(&middle), &equal(&[steps as u64 - gap, steps as u64]), 1e-12),
            None => prop_assert!(gap >= steps as u64),
        }
    }

    #[test]
    fn warm_ups_equal_their_published_recursions(steps in 1_usize..60, every in 1_u64..5, seed in 0_u64..1000) {
        let trajectory = Trajectory::random(steps, seed);
        let decay = Decay::new(0.97).unwrap();
        let (gamma, power) = (1.5, 2.0 / 3.0);
        let average = |warm_up| Running::new(Rule::Ema { decay, warm_up }).unwrap().from_step(1).every(every).unwrap();
        let kinds = [WarmUp::Ramp, WarmUp::Power { gamma, power }, WarmUp::Unbiased];
        let got = trajectory.bank(kinds.map(average).to_vec());
        let is_due = |step: u64| (step - 1).is_multiple_of(every);
        // Every step's decay, multiplied up since the last update.
        let capped = |cap: &dyn Fn(f64) -> f64| weights_of_shares(steps, |step| is_due(step).then(|| {
            if step == 1 { return 1.0 }
            1.0 - (step - every..step).map(|t| cap(t as f64).min(0.97)).product::<f64>()
        }));
        close(&got[0], &trajectory.sum(&capped(&|t| (1.0 + t) / (10.0 + t))), 1e-12);
        close(&got[1], &trajectory.sum(&capped(&|t| 1.0 - (1.0 + t / gamma).powf(-power))), 1e-12);
        let ages: Vec<f64> = (1..=steps as u64)
            .map(|step| if is_due(step) { 0.97_f64.powf((steps as u64 - step) as f64) } else { 0.0 }).collect();
        let total: f64 = ages.iter().sum();
        close(&got[2], &trajectory.sum(&ages.iter().map(|age| age / total).collect::<Vec<_>>()), 1e-12);
    }

    #[test]
    fn an_average_of_equal_iterates_is_that_iterate_to_the_last_bit(steps in 1_usize..30, seed in 0_u64..1000) {
        let trajectory = Trajectory::constant(steps, seed);
        let decay = Decay::with_half_life(3.7).unwrap();
        let rules = [
            Rule::Ema { decay, warm_up: WarmUp::None },
            Rule::Ema { decay, warm_up: WarmUp::Ramp },
            Rule::Ema { decay, warm_up: WarmUp::Unbiased },
            Rule::Power { exponent: 6.94 },
            Rule::Mean,
        ];
        for got in trajectory.bank(rules.map(|rule| Running::new(rule).unwrap()).to_vec()) {
            prop_assert_eq!(&got, &trajectory.values[0]);
        }
        let mut ring = Ring::new(3, 1).unwrap();
        trajectory.networks.iter().zip(1..).for_each(|(network, step)| ring.update(step, network));
        close(&flat(&ring.network(&trajectory.networks[0]).unwrap()), &trajectory.values[0], 1e-15);
    }
}

/// A run of 40 steps in plan, of which step 17 decides that it ends after 24.
#[test]
fn windows_and_two_points_are_counted_back_from_an_end_that_is_decided_late() {
    let (planned, decided, end) = (40_u64, 17_u64, 24_u64);
    let trajectory = Trajectory::random(end as usize, 5);
    let run = |gap: u64| {
        let mut ring = Ring::new(4, 3).unwrap().from_step(planned % 3);
        let mut points = TwoPoints::new(gap);
        for (network, step) in trajectory.networks.iter().zip(1..) {
            if step == decided {
                ring.align_with(end);
                points.end_at(end, step, network);
            }
            ring.update(step, network);
            points.update(step, network, |due| due == if step < decided { planned } else { end });
        }
        let last = trajectory.networks.last().unwrap();
        (ring.steps().collect::<Vec<_>>(), flat(&points.network(end, last).unwrap()))
    };
    let middle = |earlier: usize| {
        let pair = trajectory.values[earlier - 1].iter().zip(&trajectory.values[end as usize - 1]);
        pair.map(|(a, b)| 0.5 * (a + b)).collect::<Vec<f64>>()
    };
    let (steps, near) = run(5);
    // 16 is of the old count; the step between two snapshots is shorter once.
    assert_eq!(steps, [16, 18, 21, 24]);
    close(&near, &middle(19), 1e-15);
    let (_, far) = run(20);
    close(&far, &middle(17), 1e-15);
}

#[test]
fn the_bank_has_the_weights_of_the_theory() {
    let steps = 40;
    let trajectory = Trajectory::random(steps, 3);
    // The theory's averages begin at x_0; ours are given x_1, ..., so its x_0 is our x_1.
    let theory = |average: Average| {
        let mut weights = average.weights(steps as u64 - 1).unwrap();
        weights.reverse();
        trajectory.sum(&weights)
    };
    let decay = Decay::new(0.9).unwrap();
    let tail = Running::new(Rule::Mean).unwrap().from_step(20);
    let got = trajectory.bank(vec![Running::ema(decay).from_step(1), tail]);
    close(&got[0], &theory(Average::Ema { rate: 0.1 }), 1e-13);
    close(&got[1], &theory(Average::Tail { from: 19 }), 1e-13);
}

#[test]
fn a_long_vector_is_read_in_blocks_and_an_f32_network_has_an_f32_shadow() {
    let network = own(Precision::F32, 100_001);
    let layout = ParamLayout::of(&network);
    let mut bank = AverageBank::emas([Decay::new(0.5).unwrap(), Decay::new(0.75).unwrap()]);
    let points = [1.0, 2.0].map(|scale| {
        let values: Vec<f64> = (0..layout.num_params()).map(|i| scale * (i % 1000) as f64).collect();
        layout.assign(network.clone(), &values)
    });
    bank.update(1, &points[0]);
    bank.update(2, &points[1]);
    for (index, factor) in [(0, 1.5), (1, 1.25)] {
        let average = flat(&bank.network(index, &points[0]).unwrap());
        assert!(average.iter().enumerate().all(|(i, x)| *x == factor * (i % 1000) as f64));
    }
    let mut state = State::default();
    state.nest_weights("bank", &bank, &layout);
    assert!(state.tensors().values().all(|tensor| !tensor.is_double()));
}

#[test]
fn a_saved_bank_goes_on_as_if_it_had_not_been_saved() {
    let trajectory = Trajectory::random(30, 9);
    let layout = ParamLayout::of(&trajectory.networks[0]);
    let decay = Decay::with_half_life(4.0).unwrap();
    let fresh = || {
        let ramp = Running::new(Rule::Ema { decay, warm_up: WarmUp::Ramp }).unwrap().every(3).unwrap();
        let late = Running::new(Rule::Mean).unwrap().from_step(25);
        AverageBank::new([ramp, late, Running::new(Rule::Power { exponent: 5.0 }).unwrap()])
    };
    let feed = |bank: &mut AverageBank, steps: std::ops::RangeInclusive<u64>| {
        steps.for_each(|step| bank.update(step, &trajectory.networks[step as usize - 1]));
    };
    let mut whole = fresh();
    feed(&mut whole, 1..=30);
    let mut first = fresh();
    feed(&mut first, 1..=17);
    let (mut state, mut second) = (State::default(), fresh());
    first.save_weights(&mut state, &layout);
    second.load_weights(&state, &layout).unwrap();
    feed(&mut second, 17..=30); // the step that was taken in already is not taken in twice
    for index in 0..3 {
        let at = |bank: &AverageBank| flat(&bank.network(index, &trajectory.networks[0]).unwrap());
        assert_eq!(at(&second), at(&whole));
    }
}

#[test]
fn a_bf16_shadow_that_would_freeze_is_refused_and_one_that_follows_is_not() {
    let sparse =
        |half_life: f64, every: u64| Running::ema(Decay::with_half_life(half_life).unwrap()).every(every).unwrap();
    let refused =
        AverageBank::new([sparse(10.0, 1), sparse(1000.0, 1)]).with_shadow(ShadowPrecision::Bf16).unwrap_err();
    assert!(matches!(refused, AverageError::Vanishes { .. }));
    let words = refused.to_string();
    assert!(words.contains("bf16") && words.contains("0.9993") && words.contains("f32 shadow"), "{words}");
    assert!(AverageBank::new([Running::new(Rule::Mean).unwrap()]).with_shadow(ShadowPrecision::Bf16).is_err());

    let network = own(Precision::F32, LONG);
    let layout = ParamLayout::of(&network);
    let at = |value: f64| layout.assign(network.clone(), &vec![value; layout.num_params()]);
    let mut bank = AverageBank::new([sparse(1000.0, 100)]).with_shadow(ShadowPrecision::Bf16).unwrap();
    bank.update(0, &at(1.0));
    (1..=200).for_each(|n| bank.update(100 * n, &at(2.0)));
    let end = flat(&bank.network(0, &network).unwrap())[0];
    assert!((end - 2.0).abs() < 0.06, "it follows: {end}");
    // What was refused: an update of 7e-4 of a difference of 1 at 1, where the next number is 1/128 away.
    assert_eq!(burn::tensor::bf16::from_f32(1.0 + 7e-4).to_f32(), 1.0);
}

#[test]
fn settings_without_a_meaning_are_refused_by_name() {
    for decay in [0.0, 1.0, -0.1, 1.5, f64::NAN] {
        let words = Decay::new(decay).unwrap_err().to_string();
        assert!(words.contains(&format!("decay {decay}")) && words.contains("between 0 and 1"), "{words}");
    }
    assert!(Decay::with_half_life(0.0).unwrap_err().to_string().contains("half-life of 0"));
    assert!(Decay::with_half_life(1e300).is_err(), "a decay that rounds to 1");
    assert!(Decay::of_update(0.9, 0).is_err());
    assert!(Running::ema(Decay::new(0.9).unwrap()).every(0).is_err());
    assert!(Running::new(Rule::Power { exponent: -1.0 }).unwrap_err().to_string().contains("exponent"));
    let warm_up = WarmUp::Power { gamma: 0.0, power: 1.0 };
    let decay = Decay::new(0.9).unwrap();
    assert!(Running::new(Rule::Ema { decay, warm_up }).unwrap_err().to_string().contains("gamma"));
    assert!(Ring::new(0, 1).unwrap_err().to_string().contains("snapshots"));
}

#[test]
fn a_decay_means_the_same_in_every_unit() {
    let steps = Decay::with_half_life(50.0).unwrap();
    let same = |other: Decay| assert!((other.get() / steps.get() - 1.0).abs() < 1e-14);
    same(Decay::with_half_life_in_examples(1600.0, 32).unwrap());
    same(Decay::with_half_life_in(2.0, 25.0).unwrap());
    same(Decay::of_update(steps.over(7), 7).unwrap());
    // Half the batch, twice the steps to as many examples.
    let halved = steps.at_batch_size(64, 32).unwrap();
    assert!((halved.half_life() / 100.0 - 1.0).abs() < 1e-12);
}

#[test]
fn a_point_on_disk_is_a_point_in_memory() {
    let trajectory = Trajectory::random(3, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("earlier.safetensors");
    let [earlier, _, last] = trajectory.networks.as_slice() else { unreachable!() };
    std::fs::write(&file, export_weights(earlier).unwrap()).unwrap();
    let from_file = TwoPoint::from_file(last, &file).unwrap().network(last);
    assert_eq!(flat(&from_file), flat(&TwoPoint::from_earlier(earlier).network(last)));
    assert_eq!(flat(last), trajectory.values[2], "the network itself is untouched");
    let other = TwoPoint::from_file(&own(Precision::F64, LONG + 1), &file).unwrap_err().to_string();
    assert!(other.contains("earlier.safetensors") && other.contains("long"), "{other}");
    assert!(TwoPoint::from_file(last, Path::new("nowhere.safetensors")).is_err());
}

#[test]
fn profiles_put_together_afterwards_are_those_that_were_tracked() {
    // Two widths, stored every 100 steps, as checkpoints hold them; 0.08 tracked beside them is the truth.
    let (steps, every) = (1000, 5);
    let trajectory = Trajectory::random(steps, 12);
    let profile = |width| PowerProfile::with_relative_width(width).unwrap();
    let widths = [0.05, 0.10, 0.08];
    let average =
        |width| Running::new(Rule::Power { exponent: profile(width).exponent() }).unwrap().every(every).unwrap();
    let mut bank = AverageBank::new(widths.map(average));
    let (mut stored, mut tracked) = (Vec::new(), Vec::new());
    for (index, network) in trajectory.networks.iter().enumerate() {
        let step = index as u64 + 1;
        bank.update(step, network);
        if step.is_multiple_of(100) {
            for (member, width) in widths.iter().enumerate().take(2) {
                stored.push(ParamTensors::values(&bank.network(member, network).unwrap()));
                tracked.push((profile(*width), step as f64));
            }
        }
    }
    let synthesis = profile(0.08).synthesis(steps as f64, &tracked).unwrap();
    let points: Vec<(f64, &ParamTensors)> = synthesis.weights.iter().copied().zip(&stored).collect();
    let network = trajectory.networks.last().unwrap();
    let (made, truth) = (flat(&combine(&points, network)), flat(&bank.network(2, network).unwrap()));
    // In units of how far the average is from the last iterate; the profile itself says how well it can be reached.
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let error = distance(&made, &truth) / distance(&flat(network), &truth);
    assert!(synthesis.relative_error < 1e-2 && error < 1e-2, "{} {error}", synthesis.relative_error);
}

/// The weights that other packages put on x_1, ..., x_40, written by `benches/peers/averages.py` from runs of the packages.
const PEERS: &str = include_str!("../../../benches/peers/averages.json");

#[test]
fn averages_of_other_packages_are_ours() {
    let peers: serde_json::Value = serde_json::from_str(PEERS).unwrap();
    let ema = |decay: f64, warm_up| Running::new(Rule::Ema { decay: Decay::new(decay).unwrap(), warm_up }).unwrap();
    let power = WarmUp::Power { gamma: 1.0, power: 2.0 / 3.0 };
    let twins = [
        ("torch.optim.swa_utils EMA 0.9", ema(0.9, WarmUp::None).from_step(1)),
        ("torch.optim.swa_utils SWA every 4", Running::new(Rule::Mean).unwrap().from_step(4).every(4).unwrap()),
        ("timm ModelEmaV3 0.9, warm-up", ema(0.9, power).from_step(1)),
        ("ema-pytorch EMA 0.9, warm-up", ema(0.9, power).from_step(1)),
        ("optax incremental_update 0.1", ema(0.9, WarmUp::None).from_step(1)),
    ];
    let network = own(Precision::F64, 40);
    let layout = ParamLayout::of(&network);
    let mut bank = AverageBank::new(twins.iter().map(|(_, average)| *average));
    for step in 1..=40_usize {
        let mut unit = vec![0.0; layout.num_params()];
        unit[step - 1] = 1.0;
        bank.update(step as u64, &layout.assign(network.clone(), &unit));
    }
    for (index, (name, _)) in twins.iter().enumerate() {
        let theirs: Vec<f64> = peers[name].as_array().unwrap().iter().map(|w| w.as_f64().unwrap()).collect();
        let ours = flat(&bank.network(index, &network).unwrap());
        assert_eq!(theirs.len(), 40);
        // ema-pytorch computes its decay in f32.
        let tolerance = if name.starts_with("ema-pytorch") { 1e-6 } else { 1e-13 };
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() <= tolerance * theirs.abs(), "{name}: {ours} {theirs}");
        }
    }
}

#[path = "../examples/average_any_module.rs"]
mod average_any_module;

#[test]
fn the_example_in_a_loop_of_ones_own_runs() {
    average_any_module::main().unwrap();
}
