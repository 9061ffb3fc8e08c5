//! PAL, full-batch PAL, SLS and PoNoS on lines that are known.

use stepscope::control::line_search::{
    ArmijoSearch, ArmijoSettings, FullBatchParabolicSearch, MAX_TRIES, NonMonotoneSearch, NonMonotoneSettings,
    ParabolicSearch, ParabolicSettings, Reset, SMALLEST_RATE,
};
use stepscope::control::transform::{GradientTransform, Rule};
use stepscope::control::{Context, Line, Method, Numbered, StepLength, Stepwise};
use stepscope::types::Reading;
use stepscope::types::spec::HistoryAverage;

use super::learning_rate_free::compare;
use super::point::{Point, START, gradient, loss, oracle};

/// A line whose loss is a function of the learning rate, the same for every batch; its direction is 2 long.
struct Known<F> {
    of: F,
    slope: f64,
    step: u64,
    looked: u64,
}

impl<F: Fn(f64) -> f64> Known<F> {
    fn new(of: F, slope: f64) -> Self {
        Self { of, slope, step: 0, looked: 0 }
    }
}

impl<F: Fn(f64) -> f64> Line for Known<F> {
    fn step(&self) -> u64 {
        self.step
    }
    fn loss(&self) -> f64 {
        (self.of)(0.0)
    }
    fn slope(&self) -> f64 {
        self.slope
    }
    fn norm(&self) -> f64 {
        2.0
    }
    fn own_losses(&mut self, positions: &[f64]) -> Vec<f64> {
        self.looked += positions.len() as u64;
        positions.iter().map(|&s| (self.of)(s)).collect()
    }
    fn held_out_losses(&mut self, positions: [f64; 3], num_batches: usize) -> Vec<[f64; 3]> {
        self.looked += 3 * num_batches as u64;
        // Batches that differ by a constant.
        (0..num_batches).map(|batch| positions.map(|s| (self.of)(s) + batch as f64)).collect()
    }
}

fn reason(chosen: &stepscope::control::Chosen) -> String {
    match &chosen.measured.first().map(|measured| &measured.reading) {
        Some(Reading::Unresolved { reason, .. }) => reason.clone(),
        _ => String::new(),
    }
}

const PAL: ParabolicSettings = ParabolicSettings {
    probe_length: 0.1,
    update_step_adaptation: 1.5,
    max_step_length: 3.0,
    initial_learning_rate: 0.01,
};

#[test]
fn pal_goes_alpha_times_as_far_as_the_minimum_of_a_parabola() {
    let mut pal = ParabolicSearch::new(PAL);
    let mut line = Known::new(|s| 1.0 - s + 2.0 * s * s, -1.0);
    let rate = pal.choose(&mut line).learning_rate;
    assert!((rate - 1.5 * 0.25).abs() < 1e-12 && line.looked == 1, "{rate}");
    assert_eq!(pal.current(), rate);
    // Falling and bending down: μ, which is half of it as a rate. Rising: nothing. Far away: the longest step.
    let mut choose = |of: fn(f64) -> f64, slope| pal.choose(&mut Known::new(of, slope));
    assert!((choose(|s| 1.0 - s - s * s, -1.0).learning_rate - 0.05).abs() < 1e-15);
    let rising = choose(|s| 1.0 + s + s * s, 1.0);
    assert!(rising.learning_rate.is_nan() && reason(&rising).contains("rises"), "{}", reason(&rising));
    assert!((choose(|s| 1.0 - s + 1e-9 * s * s, -1.0).learning_rate - 1.5).abs() < 1e-12);
    for of in [|s| if s > 0.0 { f64::NAN } else { 1.0 }, |s| if s > 0.0 { f64::INFINITY } else { 1.0 }] {
        let lost = choose(of, -1.0);
        assert!(lost.learning_rate.is_nan() && reason(&lost).contains("not finite"), "{}", reason(&lost));
    }
}

#[test]
fn full_batch_pal_measures_every_so_often_and_keeps_the_rate_where_it_cannot() {
    let mut pal = FullBatchParabolicSearch::new(PAL, 10, 7);
    let mut line = Known::new(|s| 1.0 - s + 2.0 * s * s, 99.0);
    for step in 0..25 {
        line.step = step;
        let chosen = pal.choose(&mut line);
        assert!((chosen.learning_rate - 1.5 * 0.25).abs() < 1e-9, "{}", chosen.learning_rate);
        assert_eq!(chosen.measured.len(), usize::from(step % 10 == 0));
    }
    assert_eq!(line.looked, 3 * 3 * 7);
    let kept = pal.current();
    for of in [|s| 1.0 + s, |s| if s > 0.0 { f64::NAN } else { 1.0 }] {
        let chosen =
            FullBatchParabolicSearch::choose(&mut pal.clone(), &mut Known { step: 30, ..Known::new(of, -1.0) });
        assert!(chosen.learning_rate == kept && reason(&chosen).contains("kept"), "{}", reason(&chosen));
    }
}

#[test]
fn full_batch_pal_averages_its_last_rates_once_they_are_as_far_apart_as_they_will_be() {
    let mut pal =
        FullBatchParabolicSearch::new(PAL, 20, 2).with_early_measurements(true).with_history(2, HistoryAverage::Mean);
    let mut found = Vec::new();
    for step in 0..100 {
        // The minimum lies at the number of the update: rates are α times that.
        let at = 1e-3 * (1 + step) as f64;
        let mut line = Known { step, ..Known::new(move |s| (s - at).powi(2), -1.0) };
        let chosen = pal.choose(&mut line);
        if !chosen.measured.is_empty() {
            found.push((step, (chosen.learning_rate / 1.5e-3).round() as u64));
        }
    }
    assert_eq!(found, [(0, 1), (10, 11), (30, 31), (50, (31 + 51) / 2), (70, (51 + 71) / 2), (90, (71 + 91) / 2)]);
}

fn armijo(reset: Reset) -> ArmijoSettings {
    ArmijoSettings {
        initial_learning_rate: 1.0,
        max_learning_rate: 10.0,
        c: 0.1,
        shrink: 0.9,
        growth: 2.0,
        reset,
        steps_per_epoch: 4.0,
    }
}

#[test]
fn sls_takes_the_first_rate_of_the_series_that_lowers_the_loss_enough() {
    // 1 − s + 2s² ≤ 1 − 0.1 s holds up to s = 0.45.
    let line = || Known::new(|s| 1.0 - s + 2.0 * s * s, -1.0);
    let (fixed, grown) = (0.9_f64.powi(8), 2.0_f64.powf(0.25) * 0.9_f64.powi(10));
    for (reset, first, second, tries) in [
        (Reset::Keep, fixed, fixed, 9),
        (Reset::Restart, fixed, fixed, 9),
        (Reset::Grow, grown, grown * 2.0_f64.powf(0.25) * 0.9, 11),
    ] {
        let mut sls = ArmijoSearch::new(armijo(reset));
        let mut counted = line();
        let rate = sls.choose(&mut counted).learning_rate;
        assert!((rate - first).abs() < 1e-12 && counted.looked == tries, "{rate} {}", counted.looked);
        let again = sls.choose(&mut line()).learning_rate;
        assert!((again - second).abs() < 1e-12, "{reset:?}: {again} {second}");
    }
}

const NONMONOTONE: NonMonotoneSettings = NonMonotoneSettings {
    c: 0.5,
    polyak_c: 0.1,
    shrink: 0.5,
    memory: 1.0,
    lower_bound: 0.0,
    min_learning_rate: 1e-6,
    max_learning_rate: 10.0,
};

#[test]
fn searches_that_cannot_succeed_say_why_and_go_on() {
    let searches: [Box<dyn StepLength>; 2] =
        [Box::new(ArmijoSearch::new(armijo(Reset::Grow))), Box::new(NonMonotoneSearch::new(NONMONOTONE))];
    for mut search in searches {
        let latest = search.choose(&mut Known::new(|s| 1.0 - s + 2.0 * s * s, -1.0)).learning_rate;
        let uphill = search.choose(&mut Known::new(|s| 1.0 + s, 1.0));
        assert!(uphill.learning_rate == latest && reason(&uphill).contains("does not descend"), "{}", reason(&uphill));
        let mut nowhere = Known::new(|s| if s > 0.0 { f64::NAN } else { 1.0 }, -1.0);
        let lost = search.choose(&mut nowhere);
        assert!(lost.learning_rate == SMALLEST_RATE && nowhere.looked == u64::from(MAX_TRIES));
        assert!(reason(&lost).contains("none of 100"), "{}", reason(&lost));
    }
}

fn stepwise(length: impl StepLength + 'static) -> Box<dyn Method<Point, usize>> {
    Box::new(Stepwise::new(Box::new(GradientTransform::new(Rule::heavy_ball(0.0))), Box::new(length)))
}

fn moved(x: &[f64], g: &[f64], rate: f64) -> Vec<f64> {
    x.iter().zip(g).map(|(x, g)| x - rate * g).collect()
}

#[test]
fn sls_along_a_run_is_its_twin() {
    let mut latest = 1.0;
    compare(
        "sls",
        || stepwise(ArmijoSearch::new(armijo(Reset::Grow))),
        |step, x| {
            let (g, start) = (gradient(x, step), loss(x, step));
            let squared: f64 = g.iter().map(|g| g * g).sum();
            let mut rate = (latest * 2.0_f64.powf(0.25)).min(10.0);
            while loss(&moved(x, &g, rate), step) > start - 0.1 * rate * squared {
                rate *= 0.9;
            }
            latest = rate;
            *x = moved(x, &g, rate);
            rate
        },
    );
}

#[test]
fn ponos_along_a_run_is_its_twin() {
    let settings = NONMONOTONE;
    let (mut losses, mut shrunk) = (Vec::new(), 0_i32);
    compare(
        "ponos",
        || stepwise(NonMonotoneSearch::new(settings)),
        |step, x| {
            let (g, start) = (gradient(x, step), loss(x, step));
            let squared: f64 = g.iter().map(|g| g * g).sum();
            losses.push(start);
            // With memory 1 the reference is the plain mean.
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            let mut rate = (start / (0.1 * squared) * 0.5_f64.powi(shrunk)).clamp(1e-6, 10.0);
            let mut tries = 0;
            while loss(&moved(x, &g, rate), step) > mean.max(start) - 0.5 * rate * squared {
                rate *= 0.5;
                tries += 1;
            }
            shrunk = (shrunk + tries - 1).max(0);
            *x = moved(x, &g, rate);
            rate
        },
    );
}

#[test]
fn ponos_may_rise_up_to_the_mean_of_earlier_losses_and_without_memory_may_not() {
    for (memory, rises) in [(1.0, true), (0.0, false)] {
        let mut search = NonMonotoneSearch::new(NonMonotoneSettings { memory, ..NONMONOTONE });
        search.choose(&mut Known::new(|s| 9.0 - s + 0.01 * s * s, -1.0));
        // The mean is 5; the first try, at 10, lies at 2.5.
        let of = |s: f64| 1.0 - 0.05 * s + 0.02 * s * s;
        let rate = search.choose(&mut Known::new(of, -0.05)).learning_rate;
        assert_eq!(of(rate) > 1.0, rises, "{rate}");
    }
}

#[test]
fn pal_along_a_run_lands_on_the_minimum_of_its_batch_and_counts_two_forwards() {
    let settings = ParabolicSettings { update_step_adaptation: 1.0, max_step_length: 1e9, ..PAL };
    compare(
        "pal",
        || stepwise(ParabolicSearch::new(settings)),
        |step, x| {
            let g = gradient(x, step);
            let squared: f64 = g.iter().map(|g| g * g).sum();
            let bend: f64 = (0..5).map(|i| super::point::CURVATURES[i] * g[i] * g[i]).sum();
            let rate = squared / bend;
            *x = moved(x, &g, rate);
            rate
        },
    );
    let mut method = stepwise(ParabolicSearch::new(settings));
    let mut oracle = oracle;
    let mut context = Context::new(&mut oracle, 1);
    let (_, report) = method.take(Point::at(&START), Numbered { number: 0, batch: 0 }, &mut context);
    assert_eq!((report.passes.forward, report.passes.backward), (2, 1));
}
