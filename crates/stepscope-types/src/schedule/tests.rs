//! Every kind against its formula written another way, texts there and back, and what is refused.

use std::f64::consts::PI;

use proptest::prelude::*;

use super::*;

const STEPS: u64 = 100;

fn parse(text: &str) -> ScheduleSpec {
    text.parse().unwrap()
}

fn schedule(text: &str, base: f64) -> Schedule {
    parse(text).resolve(base, Scheduled::LearningRate, &RunClock::steps(STEPS, 10.0)).unwrap()
}

fn agrees(text: &str, base: f64, twin: impl Fn(u64) -> f64) {
    let schedule = schedule(text, base);
    for step in 0..STEPS {
        let (got, expected) = (schedule.at(step as f64), twin(step));
        assert!((got - expected).abs() < 1e-12 * expected.abs().max(1.0), "{text} at {step}: {got} and not {expected}");
    }
}

/// A recursion instead of the closed form: PyTorch's schedulers step from value to value.
fn recursion(start: f64, next: impl Fn(u64, f64) -> f64) -> impl Fn(u64) -> f64 {
    move |step| (0..step).fold(start, |value, t| next(t, value))
}

#[test]
fn decays_agree_with_recursions_and_other_forms() {
    agrees("constant", 2.5, |_| 2.5);
    agrees("constant(from = 0.1)", 2.5, |_| 0.1);
    agrees("linear", 0.4, recursion(0.4, |_, v| v - 0.4 / 100.0));
    // PolynomialLR: each step multiplies by ((1 − (t + 1)/T)/(1 − t/T))^p.
    let polynomial = |t: u64, v: f64| v * ((1.0 - (t + 1) as f64 / 100.0) / (1.0 - t as f64 / 100.0)).powf(3.0);
    agrees("polynomial(power = 3)", 0.4, recursion(0.4, polynomial));
    // CosineAnnealingLR's recursion.
    let angle = |t: u64| (PI * t as f64 / 100.0).cos();
    let cosine = |t: u64, v: f64| 0.05 + (1.0 + angle(t + 1)) / (1.0 + angle(t)) * (v - 0.05);
    agrees("cosine(to = 0.05)", 0.4, recursion(0.4, cosine));
    agrees("exponential(factor = 0.5, every = 1ep)", 0.4, recursion(0.4, |_, v| v * 0.5_f64.powf(0.1)));
    agrees("exponential(to = 0.004)", 0.4, recursion(0.4, |_, v| v * 0.01_f64.powf(0.01)));
    let drop = |t: u64, v: f64| if (t + 1).is_multiple_of(30) { v * 0.1 } else { v };
    agrees("step(every = 30st)", 3.0, recursion(3.0, drop));
    agrees("inverse-sqrt(scale = 7st)", 0.4, |t| 0.4 / (1.0 + t as f64 / 7.0).sqrt());
    agrees("inverse-sqrt(warmup = 10st, warmup_from = 0)", 0.4, |t| {
        if t < 10 { 0.04 * t as f64 } else { 0.4 * (10.0 / t as f64).sqrt() }
    });
}

#[test]
fn cycles_agree_with_their_published_formulas() {
    // CyclicLR's formula, its cycle counted from 1.
    let cyclic = |t: u64| {
        let cycle = (1.0 + t as f64 / 20.0).floor();
        let x = (t as f64 / 10.0 - 2.0 * cycle + 1.0).abs();
        0.001 + 0.004 * (1.0 - x).max(0.0) * 0.5_f64.powf(cycle - 1.0)
    };
    agrees("cyclic(to = 0.005, every = 20st, factor = 0.5)", 0.001, cyclic);
    agrees("cyclic(to = 0.005, every = 2ep, shape = discrete)", 0.001, |t| if t / 10 % 2 == 1 { 0.005 } else { 0.001 });
    agrees("cyclic(to = 0.005, every = 20st, shape = cosine)", 0.001, |t| {
        0.003 - 0.002 * (2.0 * PI * t as f64 / 20.0).cos()
    });
    // Loshchilov and Hutter: cycles of 10, 20, 40, ... steps, walked one by one.
    let restarts = |t: u64| {
        let (mut start, mut length, mut peak) = (0, 10, 0.8);
        while t >= start + length {
            (start, length, peak) = (start + length, 2 * length, peak * 0.5);
        }
        peak * 0.5 * (1.0 + (PI * (t - start) as f64 / length as f64).cos())
    };
    agrees("sgdr(every = 10st, grow = 2, factor = 0.5)", 0.8, restarts);
    agrees("sgdr(every = 10st)", 0.8, |t| 0.4 * (1.0 + (PI * (t % 10) as f64 / 10.0).cos()));
    let one_cycle = |t: u64| {
        let half = |from: f64, to: f64, u: f64| to + (from - to) / 2.0 * (1.0 + (PI * u).cos());
        if t < 30 { half(0.02, 0.5, t as f64 / 30.0) } else { half(0.5, 0.02e-4, (t - 30) as f64 / 70.0) }
    };
    agrees("one-cycle", 0.5, one_cycle);
}

#[test]
fn warm_up_cooldown_and_joined_parts_are_where_they_should_be() {
    let trapezoid = |t: u64| 3.0 * ((t + 1) as f64 / 11.0).min((STEPS - t) as f64 / 20.0).min(1.0);
    agrees("trapezoid(warmup = 1ep)", 3.0, trapezoid);
    agrees("wsd(cooldown = 25st)", 3.0, |t| 3.0 * (1.0 - (t.saturating_sub(75) as f64 / 25.0).sqrt()));
    agrees("piecewise(1, 0.5 at 0.5dur, 0.25 at 75st)", 9.0, |t| [1.0, 1.0, 0.5, 0.25][t as usize / 25]);
    agrees(
        "interpolated(0, 1 at 10st, 0 at 1dur)",
        9.0,
        |t| {
            if t < 10 { 0.1 * t as f64 } else { (100 - t) as f64 / 90.0 }
        },
    );
    agrees(
        "constant(length = 0.5dur) then linear(from = 1)",
        2.0,
        |t| {
            if t < 50 { 2.0 } else { (100 - t) as f64 / 50.0 }
        },
    );
    // Behind its end the last part keeps its value.
    agrees("linear(to = 1, length = 10st)", 2.0, |t| 2.0 - (t as f64 / 10.0).min(1.0));
}

#[test]
fn a_momentum_and_a_batch_size_have_schedules_too() {
    let clock = RunClock::Epochs { num_epochs: 8.0 };
    let batch = parse("cyclic(from = 128, to = 640, every = 4ep, shape = discrete)");
    let batch = batch.resolve(32.0, Scheduled::BatchSize, &clock).unwrap();
    assert_eq!([0.0, 1.9, 2.0, 3.9, 4.0, 6.5].map(|at| batch.at(at)), [128.0, 128.0, 640.0, 640.0, 128.0, 640.0]);
    let momentum = parse("one-cycle(from = 0.95, peak = 0.85, to = 0.95)");
    let momentum = momentum.resolve(0.0, Scheduled::Momentum, &clock).unwrap();
    assert!((momentum.at(2.4) - 0.85).abs() < 1e-12 && (momentum.at(8.0) - 0.95).abs() < 1e-12);
}

#[test]
fn texts_that_are_no_schedule_are_refused_with_advice() {
    for (text, part) in [
        ("cosin", "expected one of constant, linear, polynomial, cosine"),
        ("", "is no kind of schedule"),
        ("cosine(", "brackets do not match"),
        ("cosine(too = 1)", "'too' is no argument of it: expected some of to, from, warmup"),
        ("cosine(to = x)", "to is 'x', expected a finite number"),
        ("cosine(to = nan)", "to is 'nan', expected a finite number"),
        ("cosine(to = 1, to = 2)", "'to' is given twice"),
        ("cosine(0.1)", "'0.1' has no name"),
        ("cosine(warmup = 5)", "warmup is '5', expected a length such as 10ep, 300st or 0.5dur"),
        ("step", "every is missing: add every = 10ep"),
        ("step(every = 1ep, factor = 0)", "factor is '0', expected a number above 0"),
        ("cyclic(every = 1ep)", "to is missing"),
        ("wsd(shape = round)", "expected one of 1-sqrt, linear, cosine"),
        ("inverse-sqrt", "scale is missing"),
        ("exponential", "expected to = a value above 0, or factor and every"),
        ("piecewise", "the first value"),
        ("piecewise(1, 2)", "'2' is not as expected"),
        ("linear then constant", "'linear' has no end, and more follows"),
    ] {
        let message = text.parse::<ScheduleSpec>().unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn what_does_not_fit_the_run_or_the_setting_is_refused_with_numbers() {
    let steps = RunClock::steps(STEPS, 10.0);
    let epochs = RunClock::Epochs { num_epochs: 4.0 };
    let cases = [
        ("linear(warmup = 200st)", Scheduled::LearningRate, steps, "the warm-up takes 200 steps and there are 100"),
        ("wsd(warmup = 90st)", Scheduled::LearningRate, steps, "the cooldown takes 20 steps and there are 10"),
        ("one-cycle(rise = 1dur)", Scheduled::LearningRate, steps, "the rise takes 100 steps"),
        ("constant(length = 200st) then linear", Scheduled::LearningRate, steps, "there are 100"),
        (
            "piecewise(1, 2 at 5ep, 3 at 40st)",
            Scheduled::LearningRate,
            steps,
            "a change at 40 steps comes after one at 50",
        ),
        (
            "linear(to = -1)",
            Scheduled::LearningRate,
            steps,
            "reaches -1, expected a finite learning rate of at least 0",
        ),
        ("linear(to = 1)", Scheduled::Momentum, steps, "reaches 1, expected a momentum above -1 and below 1"),
        ("linear", Scheduled::BatchSize, steps, "reaches 0, expected a batch size of at least 1"),
        ("exponential(factor = 1e9, every = 1st)", Scheduled::LearningRate, steps, "reaches inf"),
        ("gauged", Scheduled::BatchSize, steps, "\"gauged\" is for schedule.learning_rate alone"),
        ("linear(warmup = 10st)", Scheduled::LearningRate, epochs, "\"10st\" has no length here"),
    ];
    for (text, of, clock, part) in cases {
        let message = parse(text).resolve(0.5, of, &clock).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn rates_above_one_are_rates() {
    assert_eq!(schedule("linear", 8.0).at(0.0), 8.0);
}

fn duration() -> impl Strategy<Value = TrainingDuration> {
    prop_oneof![
        (1_u64..1000).prop_map(TrainingDuration::Steps),
        (1_u32..1000).prop_map(|n| TrainingDuration::Epochs(f64::from(n) / 8.0)),
        (1_u32..64).prop_map(|n| TrainingDuration::Fraction(f64::from(n) / 64.0)),
    ]
}

fn kind() -> impl Strategy<Value = ScheduleKind> {
    let value = || -2.0..2.0_f64;
    let above = || 0.01..3.0_f64;
    let changes = || prop::collection::vec((value(), duration()), 0..3);
    let form = |shapes: &'static [Shape]| prop::sample::select(shapes);
    prop_oneof![
        Just(ScheduleKind::Constant),
        value().prop_map(|to| ScheduleKind::Linear { to }),
        (value(), above()).prop_map(|(to, power)| ScheduleKind::Polynomial { to, power }),
        value().prop_map(|to| ScheduleKind::Cosine { to }),
        above().prop_map(|to| ScheduleKind::Exponential { decay: ExponentialDecay::To(to) }),
        (above(), duration()).prop_map(|(factor, every)| ScheduleKind::Exponential {
            decay: ExponentialDecay::Factor { factor, every }
        }),
        (duration(), above()).prop_map(|(every, factor)| ScheduleKind::Step { every, factor }),
        (
            prop::option::of(value()),
            prop::option::of(value()),
            prop::option::of(duration()),
            form(&[Shape::Cosine, Shape::Linear])
        )
            .prop_map(|(peak, to, rise, shape)| ScheduleKind::OneCycle { peak, to, rise, shape }),
        (value(), duration(), form(&[Shape::Triangular, Shape::Cosine, Shape::Discrete]), above())
            .prop_map(|(to, every, shape, factor)| ScheduleKind::Cyclic { to, every, shape, factor }),
        (duration(), value(), above(), above()).prop_map(|(every, to, grow, factor)| ScheduleKind::Sgdr {
            every,
            to,
            grow,
            factor
        }),
        (duration(), value(), form(&[Shape::OneMinusSqrt, Shape::Linear, Shape::Cosine]))
            .prop_map(|(cooldown, to, shape)| ScheduleKind::Wsd { cooldown, to, shape }),
        duration().prop_map(|scale| ScheduleKind::InverseSqrt { scale: Some(scale) }),
        (value(), changes()).prop_map(|(first, changes)| ScheduleKind::Piecewise { first, changes }),
        (value(), changes()).prop_map(|(first, changes)| ScheduleKind::Interpolated { first, changes }),
        (duration(), value(), duration()).prop_map(|(cooldown, to, least)| ScheduleKind::Gauged(Gauged {
            cooldown,
            to,
            least
        })),
    ]
}

prop_compose! {
    fn schedule_part()(
        kind in kind(), from in prop::option::of(-2.0..2.0_f64), warmup in prop::option::of(duration()),
        warmup_from in prop::option::of(-2.0..2.0_f64), length in duration(),
    ) -> SchedulePart {
        SchedulePart { kind, from, warmup, warmup_from, length: Some(length) }
    }
}

proptest! {
    #[test]
    fn writing_and_reading_are_inverse(parts in prop::collection::vec(schedule_part(), 1..4)) {
        let spec = ScheduleSpec { parts };
        let text = spec.to_string();
        prop_assert_eq!(text.parse::<ScheduleSpec>(), Ok(spec), "{}", text);
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = text.parse::<ScheduleSpec>();
    }

    #[test]
    fn values_stay_within_the_bounds(kind in kind(), base in 0.1..2.0_f64, position in 0.0..100.0_f64) {
        let spec = ScheduleSpec { parts: vec![SchedulePart { kind, from: None, warmup: None, warmup_from: None, length: None }] };
        if let Ok(schedule) = spec.resolve(base, Scheduled::LearningRate, &RunClock::steps(STEPS, 10.0)) {
            let (low, high) = schedule.bounds(100.0);
            let value = schedule.at(position);
            prop_assert!((low - 1e-9..=high + 1e-9).contains(&value), "{} at {}: {} not in {}..{}", spec, position, value, low, high);
        }
    }
}
