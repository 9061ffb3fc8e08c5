//! Schedule-Free SGD, Prodigy, MoMo and SPS.

use stepscope::checkpoint::State;
use stepscope::control::line_search::{PolyakSettings, PolyakStep};
use stepscope::control::transform::{Clip, GradientTransform, Rule};
use stepscope::control::{
    Context, LossOracle, Method, Momo, MomoSettings, Numbered, Prodigy, ProdigySettings, ScheduleFree,
    ScheduleFreeSettings, StepReport, Stepwise, Svag, SvagMethod,
};
use stepscope::models::ParamLayout;
use stepscope::types::Reading;
use stepscope::types::spec::AdamSpec;

use super::point::{Point, START, difference, gradient, loss, oracle};

type Boxed = Box<dyn Method<Point, usize>>;

pub(crate) fn take(method: &mut Boxed, point: Point, step: usize) -> (Point, StepReport) {
    let mut oracle = oracle;
    let mut context = Context::new(&mut oracle, 1);
    method.take(point, Numbered { number: step as u64, batch: step }, &mut context)
}

/// `fresh` in the state of `method`.
fn restored(method: &Boxed, mut fresh: Boxed, layout: &ParamLayout) -> Boxed {
    let mut state = State::default();
    state.nest_weights("method", method.as_ref(), layout);
    state.restore_weights("method", fresh.as_mut(), layout).unwrap();
    fresh
}

/// Forty updates beside a twin over plain numbers; saved and restored into a fresh method in the middle.
pub(crate) fn compare(what: &str, fresh: impl Fn() -> Boxed, mut twin: impl FnMut(usize, &mut Vec<f64>) -> f64) {
    let mut point = Point::at(&START);
    let layout = ParamLayout::of(&point);
    let (mut method, mut x) = (fresh(), START.to_vec());
    for step in 0..40 {
        if step == 9 {
            method = restored(&method, fresh(), &layout);
        }
        let (moved, report) = take(&mut method, point, step);
        point = moved;
        let rate = twin(step, &mut x);
        // Steps over squared gradients make rounding grow along a run.
        assert!(difference(&point.values(), &x) < 1e-9, "{what}, step {step}: {:?} {x:?}", point.values());
        let reported = report.learning_rate.unwrap();
        assert!((reported - rate).abs() <= 1e-9 * rate.abs(), "{what}, step {step}: {reported} {rate}");
        assert!(report.updated && report.passes.backward == 1, "{what}");
    }
}

#[test]
fn schedule_free_walks_averages_and_looks_in_between() {
    for (interpolation, warmup, weight_decay) in [(0.9, 0, 0.0), (0.5, 7, 0.2), (0.0, 3, 0.0)] {
        let settings =
            ScheduleFreeSettings { learning_rate: 0.3, interpolation, warmup, weight_decay, clip: Clip::default() };
        let (mut z, mut sum, mut largest) = (START.to_vec(), 0.0, 0.0_f64);
        compare(
            "schedule-free",
            || Box::new(ScheduleFree::new(settings)),
            |step, x| {
                let y: Vec<f64> =
                    x.iter().zip(&z).map(|(x, z)| interpolation * x + (1.0 - interpolation) * z).collect();
                let rate = if warmup == 0 { 0.3 } else { 0.3 * ((step + 1) as f64 / warmup as f64).min(1.0) };
                for ((z, g), y) in z.iter_mut().zip(gradient(&y, step)).zip(&y) {
                    *z -= rate * (g + weight_decay * y);
                }
                largest = largest.max(rate);
                sum += largest * largest;
                let share = largest * largest / sum;
                x.iter_mut().zip(&z).for_each(|(x, z)| *x += share * (z - *x));
                rate
            },
        );
    }
}

#[test]
fn svag_steps_on_every_second_batch_with_the_noise_of_one_amplified() {
    for l in [1, 4] {
        let fresh = || -> Boxed { Box::new(SvagMethod::new(Svag::new(l).unwrap(), 0.2)) };
        let (mut method, mut point, mut x) = (fresh(), Point::at(&START), START.to_vec());
        let layout = ParamLayout::of(&point);
        for step in 0..40 {
            // In the middle of an update: the first gradient goes along.
            if step == 9 {
                method = restored(&method, fresh(), &layout);
            }
            let (moved, report) = take(&mut method, point, step);
            point = moved;
            assert_eq!((report.updated, report.passes.backward), (step % 2 == 1, 1));
            if step % 2 == 1 {
                let root = (2.0 * l as f64 - 1.0).sqrt();
                let (first, second) = (gradient(&x, step - 1), gradient(&x, step));
                for ((x, a), b) in x.iter_mut().zip(first).zip(second) {
                    *x -= 0.2 / l as f64 * (0.5 * (1.0 + root) * a + 0.5 * (1.0 - root) * b);
                }
                assert_eq!(report.learning_rate, Some(0.2 / l as f64));
            }
            assert!(difference(&point.values(), &x) < 1e-12, "{l}, step {step}: {:?} {x:?}", point.values());
        }
    }
}

#[test]
fn without_interpolation_schedule_free_is_the_mean_of_plain_sgd() {
    let clip = Clip::default();
    let settings = ScheduleFreeSettings { learning_rate: 0.1, interpolation: 0.0, warmup: 0, weight_decay: 0.0, clip };
    let mut method: Boxed = Box::new(ScheduleFree::new(settings));
    let (mut point, mut z, mut iterates) = (Point::at(&START), START.to_vec(), Vec::new());
    for step in 0..25 {
        point = take(&mut method, point, step).0;
        let g = gradient(&z, step);
        z.iter_mut().zip(g).for_each(|(z, g)| *z -= 0.1 * g);
        iterates.push(z.clone());
    }
    let mean: Vec<f64> = (0..5).map(|i| iterates.iter().map(|z| z[i]).sum::<f64>() / 25.0).collect();
    assert!(difference(&point.values(), &mean) < 1e-12);
    assert!(method.trains_elsewhere());
}

fn prodigy_settings() -> ProdigySettings {
    ProdigySettings {
        learning_rate: 1.0,
        adam: AdamSpec { beta1: 0.8, beta2: 0.9, epsilon: 1e-8 },
        initial_distance: 1e-3,
        coefficient: 1.0,
        max_growth: f64::INFINITY,
        weight_decay: 0.0,
        clip: Clip::default(),
    }
}

#[test]
fn prodigy_is_its_twin_and_its_distance_grows_also_after_a_resume() {
    let variants = [
        prodigy_settings(),
        ProdigySettings { max_growth: 1.3, weight_decay: 0.1, learning_rate: 0.5, ..prodigy_settings() },
        ProdigySettings { coefficient: 2.0, ..prodigy_settings() },
    ];
    for settings in variants {
        let ProdigySettings { learning_rate, adam, coefficient, max_growth, weight_decay, .. } = settings;
        let (mut m, mut v, mut s) = ([0.0; 5], [0.0; 5], [0.0; 5]);
        let (mut r, mut d, beta3) = (0.0, settings.initial_distance, adam.beta2.sqrt());
        let mut distances = Vec::new();
        compare(
            "prodigy",
            || Box::new(Prodigy::new(settings)),
            |step, x| {
                let g = gradient(x, step);
                let rate = learning_rate * d;
                let share = (1.0 - beta3) * learning_rate * d * d;
                let covered: f64 = (0..5).map(|i| g[i] * (START[i] - x[i])).sum();
                r = beta3 * r + share * covered;
                for i in 0..5 {
                    m[i] = adam.beta1 * m[i] + (1.0 - adam.beta1) * d * g[i];
                    v[i] = adam.beta2 * v[i] + (1.0 - adam.beta2) * (d * g[i]).powi(2);
                    s[i] = beta3 * s[i] + share * g[i];
                    x[i] -= rate * (m[i] / (v[i].sqrt() + d * adam.epsilon) + weight_decay * x[i]);
                }
                let estimate = coefficient * r / s.iter().map(|s| s.abs()).sum::<f64>();
                d = d.max(estimate.min(max_growth * d));
                distances.push(d);
                rate
            },
        );
        assert!(distances[39] > 20.0 * distances[0], "{distances:?}");
        assert!(distances[20] > 2.0 * distances[9], "it grew after the resume: {distances:?}");
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_left_out_with_its_reason_and_changes_nothing() {
    /// An oracle whose loss is in order and whose gradient is not.
    struct Broken;
    impl LossOracle<Point, usize> for Broken {
        fn loss(&mut self, _: &Point, _: &usize, _: u64) -> f64 {
            1.0
        }
        fn loss_and_gradient(&mut self, point: &Point, _: &usize, _: u64) -> (f64, stepscope::models::ParamTensors) {
            (1.0, point.vector(&[0.0, f64::NAN, 0.0, 0.0, 0.0]))
        }
    }
    let momo = MomoSettings { max_learning_rate: 1.0, beta: 0.9, lower_bound: 0.0, clip: Clip::default() };
    let methods: [Boxed; 2] = [Box::new(Prodigy::new(prodigy_settings())), Box::new(Momo::new(momo))];
    for mut method in methods {
        let point = take(&mut method, Point::at(&START), 0).0;
        let (before, rate) = (point.values(), method.learning_rate());
        let mut oracle = Broken;
        let mut context = Context::new(&mut oracle, 1);
        let (point, report) = method.take(point, Numbered { number: 1, batch: 1 }, &mut context);
        assert_eq!((point.values(), method.learning_rate()), (before, rate));
        assert!(!report.updated);
        assert!(
            matches!(&report.measured[0].reading, Reading::Unresolved { reason, .. } if reason.contains("left out"))
        );
        let (point, report) = take(&mut method, point, 2);
        assert!(report.updated && point.values().iter().all(|x| x.is_finite()), "and it goes on");
    }
}

#[test]
fn momo_is_its_twin_and_bounded_by_its_rate() {
    for (max_learning_rate, lower_bound) in [(1e9, 0.0), (0.2, 0.0), (1e9, 4.0)] {
        let beta = 0.9;
        let settings = MomoSettings { max_learning_rate, beta, lower_bound, clip: Clip::default() };
        let mut means: Option<(Vec<f64>, f64, f64)> = None;
        compare(
            "momo",
            || Box::new(Momo::new(settings)),
            |step, x| {
                let (g, f) = (gradient(x, step), loss(x, step));
                let product: f64 = g.iter().zip(x.iter()).map(|(g, x)| g * x).sum();
                let (d, mean_loss, mean_product) = means.get_or_insert((g.clone(), f, product));
                d.iter_mut().zip(&g).for_each(|(d, g)| *d = beta * *d + (1.0 - beta) * g);
                *mean_loss = beta * *mean_loss + (1.0 - beta) * f;
                *mean_product = beta * *mean_product + (1.0 - beta) * product;
                let along: f64 = d.iter().zip(x.iter()).map(|(d, x)| d * x).sum();
                let squared: f64 = d.iter().map(|d| d * d).sum();
                let rate =
                    ((*mean_loss + along - *mean_product - lower_bound).max(0.0) / squared).min(max_learning_rate);
                x.iter_mut().zip(d.iter()).for_each(|(x, d)| *x -= rate * d);
                rate
            },
        );
    }
}

#[test]
fn the_polyak_step_is_bounded_by_a_rate_that_grows_from_the_last_one() {
    for (max_learning_rate, momentum) in [(1e9, 0.0), (0.4, 0.0), (1e9, 0.6)] {
        let settings = PolyakSettings {
            c: 0.5,
            lower_bound: 1.0,
            initial_learning_rate: 0.05,
            max_learning_rate,
            growth: 2.0,
            steps_per_epoch: 6.0,
        };
        let (mut v, mut latest) = ([0.0; 5], 0.05);
        compare(
            "sps",
            || {
                let direction = GradientTransform::new(Rule::heavy_ball(momentum));
                Box::new(Stepwise::new(Box::new(direction), Box::new(PolyakStep::new(settings))))
            },
            |step, x| {
                let g = gradient(x, step);
                v.iter_mut().zip(&g).for_each(|(v, g)| *v = momentum * *v + g);
                let descent: f64 = g.iter().zip(&v).map(|(g, v)| g * v).sum();
                let bound = (latest * 2.0_f64.powf(1.0 / 6.0)).min(max_learning_rate);
                let rate =
                    if descent > 0.0 { ((loss(x, step) - 1.0).max(0.0) / (0.5 * descent)).min(bound) } else { bound };
                x.iter_mut().zip(&v).for_each(|(x, v)| *x -= rate * v);
                latest = if rate > 0.0 { rate } else { latest };
                rate
            },
        );
    }
}

#[test]
fn on_one_batch_momo_without_memory_lands_where_the_tangent_meets_the_lower_bound() {
    let settings = MomoSettings { max_learning_rate: 1e9, beta: 0.0, lower_bound: 2.0, clip: Clip::default() };
    let mut method: Boxed = Box::new(Momo::new(settings));
    let (_, report) = take(&mut method, Point::at(&START), 0);
    let g = gradient(&START, 0);
    let expected = (loss(&START, 0) - 2.0) / g.iter().map(|g| g * g).sum::<f64>();
    assert!((report.learning_rate.unwrap() / expected - 1.0).abs() < 1e-12);
}
