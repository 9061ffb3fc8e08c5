//! What is measured while the rate stays: before anything is stationary, and in the window after it.

use stepscope::control::Direction;
use stepscope::control::schedule::{Shape, cooldown};
use stepscope::control::transform::GradientTransform;
use stepscope::measure::{
    ChordPlan, FixedBatchesProbe, HalfRateGaugeProbe, Measured, OneStepProbe, Probe, ProbePoint, TwoPointProbe,
};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::Sampling;
use stepscope::types::{Momentum, Step};

use crate::trainer::{Average, Trainer, distance, dot, mean, middle};
use crate::{AFTER, BEFORE, Failure, Found, WINDOW};

const LAGS: [u64; 8] = [1, 3, 10, 30, 100, 300, 1000, 3000];
/// Steps between two beginnings of chords.
const EVERY: u64 = 100;
/// Steps between two looks at averages, and at the loss along an update.
const LOOK: u64 = 50;
/// Half-lives whose gain is predicted and measured.
pub(crate) const EMAS: [u64; 3] = [10, 100, 300];
const WINDOWS: [usize; 3] = [30, 300, 1000];
/// Distances of two points whose gain is measured.
const GAPS: [u64; 3] = [100, 1000, 3000];
/// Where along an early update the gauge is read, in updates since the start.
const EARLY: u64 = 20;

/// Slopes and curvatures of the full loss along updates that were made: the half-rate law, measured apart from the probe.
#[derive(Default)]
pub(crate) struct Updates {
    slopes: Vec<f64>,
    curvatures: Vec<f64>,
}

impl Updates {
    /// Makes a step of `run` and looks at the loss at its beginning, middle and end.
    pub(crate) fn look(&mut self, run: &mut Trainer<'_>, rate: f64) -> Result<(), Failure> {
        let start = run.theta.clone();
        run.step(rate)?;
        let problem = run.problem;
        let [a, m, b] = [problem.loss(&start)?, problem.loss(&middle(&start, &run.theta))?, problem.loss(&run.theta)?];
        self.slopes.push(4.0 * m - 3.0 * a - b);
        self.curvatures.push(4.0 * (a - 2.0 * m + b));
        Ok(())
    }

    /// The vertex of the mean parabola, in updates.
    pub(crate) fn vertex(&self) -> f64 {
        -mean(&self.slopes) / mean(&self.curvatures)
    }

    /// The rise of the mean parabola over the whole update, in depths of its minimum: 0 where 1/2 is the vertex.
    fn rise(&self) -> f64 {
        let (slope, curvature) = (mean(&self.slopes), mean(&self.curvatures));
        (slope + 0.5 * curvature) / (0.5 * slope * slope / curvature)
    }
}

/// The gauge of the first updates, where the loss still falls fast.
pub(crate) fn early(run: &mut Trainer<'_>, rate: f64, found: &mut Found) -> Result<(), Failure> {
    let mut updates = Updates::default();
    while run.steps < EARLY {
        updates.look(run, rate)?;
    }
    found.insert("measured/vertex/early".to_owned(), updates.vertex().into());
    Ok(())
}

/// Measures the stationary window of `run`, and gives back the iterate 1000 steps before its end.
pub(crate) fn stationary(run: &mut Trainer<'_>, rate: f64, found: &mut Found) -> Result<Vec<f64>, Failure> {
    let problem = run.problem;
    let plan = ChordPlan { every: EVERY, lags: LAGS.to_vec() };
    let linear = cooldown(AFTER, Shape::Linear);
    let mut two_point =
        TwoPointProbe::new(problem.batches("a"), Sampling::WithReplacement, problem.examples(), plan, linear);
    let mut gauge = HalfRateGaugeProbe::new(problem.batches("b"), problem.examples(), 24);
    let mut one_step = OneStepProbe::new(problem.batches("c"), problem.examples(), 4);
    let mut fixed = FixedBatchesProbe::new(problem.batches("d"), 4, RandomStream::named(7, "remembered"));
    let rule = GradientTransform::heavy_ball(Momentum::new(run.momentum)?);

    let mut averages: Vec<Average> = EMAS.iter().map(|&half_life| Average::ema(half_life, &run.theta)).collect();
    averages.extend(WINDOWS.iter().map(|&length| Average::window(length)));
    let mut gains = Gains::new(averages);
    let mut updates = Updates::default();
    let mut gradients = Gradients::default();
    let (mut last, mut singles) = (Vec::new(), Vec::new());
    loop {
        let step = run.steps - BEFORE;
        let ends = LAGS.iter().any(|&lag| step >= lag && (step - lag).is_multiple_of(EVERY));
        if step.is_multiple_of(EVERY) || ends {
            let now = problem.at(&run.theta);
            let mut at = ProbePoint::new(&now, problem.layout, Step(run.steps), rate);
            at.motion = rule.motion();
            let measured = two_point.measure(&at)?;
            if step.is_multiple_of(EVERY) {
                last = measured;
            }
            if step.is_multiple_of(1000) {
                singles.extend(values(&fixed.measure(&at)?));
                // Directions with a velocity are the run's own: `Updates` has them.
                if run.momentum == 0.0 {
                    singles.extend(values(&gauge.measure(&at)?));
                    singles.extend(values(&one_step.measure(&at)?));
                }
            }
        }
        if step.is_multiple_of(LOOK) && step >= WINDOW / 3 {
            gains.look(run)?;
            gradients.full(&problem.full_gradient(&run.theta)?);
        }
        if step == WINDOW {
            break;
        }
        let before = run.gradient.clone();
        if step % LOOK == LOOK / 2 {
            updates.look(run, rate)?;
        } else {
            run.step(rate)?;
        }
        gradients.batch(&before, &run.gradient);
        gains.take(run);
    }
    insert_all(values(&last), found);
    insert_all(means_by_name(singles), found);
    found.insert("measured/vertex".to_owned(), updates.vertex().into());
    found.insert("measured/rise_over_depth".to_owned(), updates.rise().into());
    gradients.report(found);
    Ok(gains.report(found))
}

/// Squares and products of gradients along the run.
#[derive(Default)]
struct Gradients {
    full_squares: Vec<f64>,
    batch_squares: Vec<f64>,
    consecutive: Vec<f64>,
}

impl Gradients {
    fn full(&mut self, gradient: &[f64]) {
        self.full_squares.push(dot(gradient, gradient));
    }

    fn batch(&mut self, before: &[f64], gradient: &[f64]) {
        self.batch_squares.push(dot(gradient, gradient));
        self.consecutive.push(dot(before, gradient));
    }

    fn report(&self, found: &mut Found) {
        let full = mean(&self.full_squares);
        found.insert("measured/full_over_batch_gradient".to_owned(), (full / mean(&self.batch_squares)).into());
        let consecutive = mean(&self.consecutive) / full;
        found.insert("measured/consecutive_over_full_gradient".to_owned(), consecutive.into());
    }
}

/// What averages gain over the iterates of the window, and where those lie.
struct Gains {
    averages: Vec<Average>,
    gains: Vec<Vec<f64>>,
    accuracies: Vec<Vec<f64>>,
    losses: Vec<f64>,
    last_accuracies: Vec<f64>,
    /// Iterates at the looks.
    iterates: Vec<Vec<f64>>,
    two_points: [Vec<f64>; GAPS.len()],
    two_point_accuracies: [Vec<f64>; GAPS.len()],
    /// Every iterate, for the run's mean.
    sum: Vec<f64>,
    count: f64,
}

impl Gains {
    fn new(averages: Vec<Average>) -> Self {
        Self {
            gains: vec![Vec::new(); averages.len()],
            accuracies: vec![Vec::new(); averages.len()],
            averages,
            losses: Vec::new(),
            last_accuracies: Vec::new(),
            iterates: Vec::new(),
            two_points: Default::default(),
            two_point_accuracies: Default::default(),
            sum: Vec::new(),
            count: 0.0,
        }
    }

    fn take(&mut self, run: &Trainer<'_>) {
        self.averages.iter_mut().for_each(|average| average.take(&run.theta));
        self.sum.resize(run.theta.len(), 0.0);
        self.sum.iter_mut().zip(&run.theta).for_each(|(sum, theta)| *sum += theta);
        self.count += 1.0;
    }

    fn look(&mut self, run: &Trainer<'_>) -> Result<(), Failure> {
        let problem = run.problem;
        let here = problem.loss(&run.theta)?;
        self.losses.push(here);
        self.last_accuracies.push(problem.test_accuracy(&run.theta));
        let rows = self.averages.iter().zip(&mut self.gains).zip(&mut self.accuracies);
        for ((average, gains), accuracies) in rows {
            let value = average.value();
            gains.push(here - problem.loss(&value)?);
            accuracies.push(problem.test_accuracy(&value));
        }
        for (gap, (gains, accuracies)) in
            GAPS.iter().zip(self.two_points.iter_mut().zip(&mut self.two_point_accuracies))
        {
            let back = (gap / LOOK) as usize;
            if let Some(place) = self.iterates.len().checked_sub(back) {
                let value = middle(&self.iterates[place], &run.theta);
                gains.push(here - problem.loss(&value)?);
                accuracies.push(problem.test_accuracy(&value));
            }
        }
        self.iterates.push(run.theta.clone());
        Ok(())
    }

    /// Writes the means, and gives back the iterate 1000 steps before the end.
    fn report(&self, found: &mut Found) -> Vec<f64> {
        let mut put = |name: String, value: f64| found.insert(name, value.into());
        for ((average, gains), accuracies) in self.averages.iter().zip(&self.gains).zip(&self.accuracies) {
            put(format!("measured/{}", average.name()), mean(gains));
            put(format!("accuracy/{}", average.name()), mean(accuracies));
        }
        for ((gap, gains), accuracies) in GAPS.iter().zip(&self.two_points).zip(&self.two_point_accuracies) {
            put(format!("measured/two_points/{gap}"), mean(gains));
            put(format!("accuracy/two_points/{gap}"), mean(accuracies));
        }
        let half = self.losses.len() / 2;
        put("measured/loss".to_owned(), mean(&self.losses));
        put("measured/drift".to_owned(), mean(&self.losses[..half]) - mean(&self.losses[half..]));
        put("accuracy/last".to_owned(), mean(&self.last_accuracies));
        let centre: Vec<f64> = self.sum.iter().map(|sum| sum / self.count).collect();
        let shell: Vec<f64> = self.iterates.iter().map(|theta| distance(theta, &centre)).collect();
        let back = (1000 / LOOK) as usize;
        let pairs = self.iterates.iter().zip(self.iterates.iter().skip(back));
        let middles: Vec<f64> = pairs.map(|(a, b)| distance(&middle(a, b), &centre)).collect();
        put("measured/radius_ratio".to_owned(), mean(&middles) / mean(&shell));
        self.iterates[self.iterates.len() - 1 - back].clone()
    }
}

fn values(measured: &[Measured]) -> Vec<(String, f64)> {
    let value = |m: &Measured| m.reading.estimate().map(|estimate| (m.quantity.name.to_owned(), estimate.value));
    measured.iter().filter_map(value).collect()
}

fn means_by_name(readings: Vec<(String, f64)>) -> Vec<(String, f64)> {
    let mut by_name = std::collections::BTreeMap::<String, Vec<f64>>::new();
    for (name, value) in readings {
        by_name.entry(name).or_default().push(value);
    }
    by_name.into_iter().map(|(name, values)| (name, mean(&values))).collect()
}

fn insert_all(readings: Vec<(String, f64)>, found: &mut Found) {
    found.extend(readings.into_iter().map(|(name, value)| (name, value.into())));
}
