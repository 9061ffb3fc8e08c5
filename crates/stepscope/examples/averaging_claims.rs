//! The claims of `averaging`, section 4, on one data set, rate and seed, as a line of JSON:
//! `cargo run --release --workspace --example averaging_claims -- fashion14 linear 0.1 0 1` (data, model, learning rate, momentum, seed).
//! `docs/scripts/averaging_claims.py` runs it for five seeds and makes the tables of `docs/averaging-claims.md`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;

use stepscope::backend::Backend;
use stepscope::control::Direction;
use stepscope::control::schedule::{Shape, cooldown};
use stepscope::control::transform::GradientTransform;
use stepscope::data::{Batch, Dataset, Sampler, WithReplacement};
use stepscope::measure::{
    BatchSource, ChordPlan, FixedBatchesProbe, HalfRateGaugeProbe, Measured, Objective, OneStepProbe, Probe,
    ProbePoint, TwoPointProbe,
};
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{DataSpec, ModelKind, ModelSpec, Precision, Sampling};
use stepscope::types::{BatchSize, Momentum, Step};

const BATCH: u64 = 32;
const BEFORE: u64 = 3000;
const WINDOW: u64 = 4500;
const COOLDOWN: u64 = 1000;
const LAGS: [u64; 6] = [1, 3, 10, 30, 100, 300];
/// Half-lives of the EMAs whose gain is predicted and measured.
const EMAS: [u64; 3] = [10, 30, 100];
const WINDOWS: [u64; 2] = [30, 100];
/// Steps between two measurements of what averages gain.
const LOOK: u64 = 50;

type Failure = Box<dyn Error>;

/// Heavy ball on the host, in f64.
struct Trainer<'a> {
    dataset: &'a Dataset,
    backend: &'a Backend,
    network: &'a Model,
    layout: &'a ParamLayout,
    sampler: WithReplacement,
    momentum: f64,
    theta: Vec<f64>,
    velocity: Vec<f64>,
    gradient: Vec<f64>,
}

impl Trainer<'_> {
    fn step(&mut self, rate: f64) -> Result<(), Failure> {
        let indices = self.sampler.next_batch();
        let (device, dtype) = (self.backend.tracked(), self.backend.dtype());
        let batch = Batch::gather(&self.dataset.train, self.dataset.shape, indices, &device, dtype);
        let network = self.layout.assign(self.network.clone(), &self.theta);
        self.gradient = Objective::of_batch(batch).loss_and_gradient(&network, self.layout)?.1;
        for ((theta, v), g) in self.theta.iter_mut().zip(&mut self.velocity).zip(&self.gradient) {
            *v = self.momentum * *v + g;
            *theta -= rate * *v;
        }
        Ok(())
    }

    /// The same state, which draws other batches from here on.
    fn branch(&self, seed: u64) -> Result<Self, Failure> {
        let size = BatchSize::new(BATCH)?;
        Ok(Self {
            sampler: WithReplacement::new(self.dataset.train.num_examples(), size, seed)?,
            theta: self.theta.clone(),
            velocity: self.velocity.clone(),
            gradient: Vec::new(),
            ..*self
        })
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn values(measured: &[Measured]) -> Vec<(String, f64)> {
    let value = |m: &Measured| m.reading.estimate().map(|estimate| (m.quantity.name.to_owned(), estimate.value));
    measured.iter().filter_map(value).collect()
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, model, rate, momentum, seed] = arguments.as_slice() else {
        return Err(
            "expected DATA linear|mlp LEARNING-RATE MOMENTUM SEED, for instance fashion14 linear 0.1 0 1".into()
        );
    };
    let (rate, momentum, seed): (f64, f64, u64) = (rate.parse()?, momentum.parse()?, seed.parse()?);
    let dataset = Dataset::load(&DataSpec { name: data.clone(), ..DataSpec::default() })?;
    let (kind, hidden) = if model == "mlp" { (ModelKind::Mlp, Some(vec![32])) } else { (ModelKind::Linear, None) };
    let spec = ModelSpec { kind, hidden, ..ModelSpec::default() };
    let backend = Backend::cpu(Precision::F32);
    let random = |name: &str| RandomStream::named(seed, name);
    let network = Model::new(&spec, dataset.shape, dataset.num_classes, random("weights"), &backend)?;
    let layout = ParamLayout::of(&network);
    let examples = || Objective::whole(&dataset.train, dataset.shape, &backend.tracked(), backend.dtype());
    let full = examples();
    let loss = |theta: &[f64]| full.mean_loss(&layout.assign(network.clone(), theta));
    let batches = |name| BatchSource::new(&dataset, BATCH, backend.tracked(), backend.dtype(), random(name));

    let mut run = Trainer {
        dataset: &dataset,
        backend: &backend,
        network: &network,
        layout: &layout,
        sampler: WithReplacement::new(dataset.train.num_examples(), BatchSize::new(BATCH)?, seed)?,
        momentum,
        theta: layout.values(&network),
        velocity: vec![0.0; layout.num_params()],
        gradient: Vec::new(),
    };
    for _ in 0..BEFORE {
        run.step(rate)?;
    }

    // The predictions are the probe's own.
    let linear = cooldown(COOLDOWN, Shape::Linear);
    let plan = ChordPlan { every: 150, lags: LAGS.to_vec() };
    let mut two_point = TwoPointProbe::new(batches("a"), Sampling::WithReplacement, examples(), plan, linear.clone());
    let mut gauge = HalfRateGaugeProbe::new(batches("b"), examples(), 8);
    let mut one_step = OneStepProbe::new(batches("c"), examples(), 4);
    let mut fixed = FixedBatchesProbe::new(batches("d"), 4, random("e"));
    let decay = |half_life: u64| (-std::f64::consts::LN_2 / half_life as f64).exp();
    let mut emas: Vec<Vec<f64>> = EMAS.iter().map(|_| run.theta.clone()).collect();
    let mut latest: std::collections::VecDeque<Vec<f64>> = std::collections::VecDeque::new();
    let (mut losses, mut gains) = (Vec::new(), vec![Vec::new(); EMAS.len() + WINDOWS.len()]);
    let (mut full_squares, mut batch_squares, mut consecutive) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = Vec::new();
    let mut singles: Vec<(String, f64)> = Vec::new();
    let rule = GradientTransform::heavy_ball(Momentum::new(momentum)?);
    for step in 0..=WINDOW {
        let ends = LAGS.iter().any(|&lag| step >= lag && (step - lag).is_multiple_of(150));
        if step.is_multiple_of(150) || ends {
            let now = layout.assign(network.clone(), &run.theta);
            let mut at = ProbePoint::new(&now, &layout, Step(step), rate);
            at.motion = rule.motion();
            let measured = two_point.measure(&at)?;
            if step.is_multiple_of(150) {
                last = measured;
            }
            if step.is_multiple_of(450) && momentum == 0.0 {
                singles.extend(values(&gauge.measure(&at)?));
                singles.extend(values(&one_step.measure(&at)?));
                singles.extend(values(&fixed.measure(&at)?));
            }
        }
        if step.is_multiple_of(LOOK) && step >= WINDOW / 3 {
            let here = loss(&run.theta)?;
            losses.push(here);
            for (gain, ema) in gains.iter_mut().zip(&emas) {
                gain.push(here - loss(ema)?);
            }
            for (gain, length) in gains.iter_mut().skip(EMAS.len()).zip(WINDOWS) {
                let mut window = vec![0.0; run.theta.len()];
                for theta in latest.iter().rev().take(length as usize) {
                    window.iter_mut().zip(theta).for_each(|(sum, value)| *sum += value / length as f64);
                }
                gain.push(here - loss(&window)?);
            }
            let now = layout.assign(network.clone(), &run.theta);
            let gradient = full.loss_and_gradient(&now, &layout)?.1;
            full_squares.push(dot(&gradient, &gradient));
        }
        if step == WINDOW {
            break;
        }
        let before = run.gradient.clone();
        run.step(rate)?;
        batch_squares.push(dot(&run.gradient, &run.gradient));
        consecutive.push(dot(&before, &run.gradient));
        for (ema, half_life) in emas.iter_mut().zip(EMAS) {
            let d = decay(half_life);
            ema.iter_mut().zip(&run.theta).for_each(|(ema, theta)| *ema = d * *ema + (1.0 - d) * theta);
        }
        latest.push_back(run.theta.clone());
        if latest.len() > 100 {
            latest.pop_front();
        }
    }

    // What is predicted above is now run: two ways from the same end, each with its own batches.
    let (mut cooled, mut halved, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for way in 0..2 {
        let mut cooling = run.branch(1000 * (seed + 1) + way)?;
        for multiplier in &linear {
            cooling.step(rate * multiplier)?;
        }
        cooled.push(loss(&cooling.theta)?);
        for (share, end) in [(0.5, &mut halved), (1.0, &mut kept)] {
            let mut going = run.branch(1000 * (seed + 1) + way)?;
            for step in 0..COOLDOWN {
                going.step(rate * share)?;
                if step >= COOLDOWN / 2 && step.is_multiple_of(LOOK) {
                    end.push(loss(&going.theta)?);
                }
            }
        }
    }
    // Two starts, the same batches.
    let mut coupled = run.branch(7)?;
    let mut other = run.branch(7)?;
    let mut kick = random("kick");
    other.theta.iter_mut().for_each(|theta| *theta += 0.01 * kick.normal());
    let distance = |a: &Trainer<'_>, b: &Trainer<'_>| {
        a.theta.iter().zip(&b.theta).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    };
    let apart = distance(&coupled, &other);
    for _ in 0..1000 {
        coupled.step(rate)?;
        other.step(rate)?;
    }
    let shrink = distance(&coupled, &other) / apart;

    let half = losses.len() / 2;
    let mut lines: Vec<(String, f64)> = values(&last);
    for (name, value) in [
        ("measured/loss", mean(&losses)),
        ("measured/drift", mean(&losses[..half]) - mean(&losses[half..])),
        ("measured/cooldown", mean(&kept) - mean(&cooled)),
        ("measured/cooldown_from_here", mean(&losses) - mean(&cooled)),
        ("measured/halving", mean(&kept) - mean(&halved)),
        ("measured/full_over_batch_gradient", mean(&full_squares) / mean(&batch_squares)),
        ("measured/consecutive_over_full_gradient", mean(&consecutive[1..]) / mean(&full_squares)),
        ("measured/coupling", shrink),
    ] {
        lines.push((name.to_owned(), value));
    }
    for (half_life, gain) in EMAS.iter().zip(&gains) {
        lines.push((format!("measured/ema/{half_life}"), mean(gain)));
    }
    for (length, gain) in WINDOWS.iter().zip(&gains[EMAS.len()..]) {
        lines.push((format!("measured/window/{length}"), mean(gain)));
    }
    let mut names: Vec<String> = singles.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let of_name: Vec<f64> = singles.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value).collect();
        lines.push((name, mean(&of_name)));
    }
    let text: Vec<String> = lines.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    println!(
        "{{\"data\": \"{data}\", \"model\": \"{model}\", \"rate\": {rate}, \"momentum\": {momentum}, \"seed\": {seed}, {}}}",
        text.join(", ")
    );
    Ok(())
}
