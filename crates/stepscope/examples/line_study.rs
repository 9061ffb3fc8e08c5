//! The loss along the updates of SGD, whole and by batch: claims T1 to T10 of `line-search`, section 4, on a problem of your own.
//!
//! `cargo run --release --workspace --example line_study -- optdigits mlp 0.0 1500 20 4000 3` trains for 1500 steps on up to 4000
//! examples in batches of 128 with learning rate 0.1 and momentum 0, and looks along the first 20 updates, every 20th and the one after
//! every 100th, with each of 3 seeds; one more argument is another learning rate. It prints a table for docs/line-study.md: means over
//! the seeds with standard errors.
#![allow(clippy::print_stdout)]

use stepscope::backend::Backend;
use stepscope::control::transform::GradientTransform;
use stepscope::control::{Direction, LossOracle, NetworkOracle};
use stepscope::data::{Batch, Dataset, sampler};
use stepscope::models::{Model, ParamTensors};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{DataSpec, ModelKind, ModelSpec, Normalisation, Precision, Sampling};
use stepscope::types::{BatchSize, Momentum};

const BATCH: u64 = 128;
/// Half-width of the window in which lines are fitted, and the spacing there.
const WINDOW: f64 = 0.2;
const SPACING: f64 = 0.02;
/// Second point of PAL and of the same on the whole loss.
const MU: f64 = 0.1;
/// Updates at the beginning that are all looked along.
const EARLY: u64 = 20;
/// Lines before this step are left out of everything but the distance of the first ones.
const LATE: u64 = 50;
/// Lines of a moving average.
const SMOOTHED: usize = 25;

type Failure = Box<dyn std::error::Error>;

/// Losses along one update, at `positions()`.
struct Line {
    step: u64,
    /// ‖v‖.
    norm: f64,
    whole: Vec<f64>,
    own: Vec<f64>,
    /// Slopes at 0 of all batches, and which of them gave the direction.
    slopes: Vec<f64>,
    own_index: usize,
}

/// Lengths along the unit direction: a window about 0, then further and further out.
fn positions() -> Vec<f64> {
    let steps = (WINDOW / SPACING).round() as i32;
    let near = (-steps..=steps).map(|step| f64::from(step) * SPACING);
    near.chain((1..=13).map(|step| WINDOW * 1.25_f64.powi(step))).collect()
}

struct Study {
    batches: Vec<Batch>,
    momentum: f64,
    rate: f64,
    oracle: NetworkOracle,
}

impl Line {
    fn own_slope(&self) -> f64 {
        self.slopes[self.own_index]
    }
}

impl Study {
    /// Every batch's loss at a distance along the unit direction, with its own dropout masks.
    fn losses(&mut self, network: &Model, direction: &ParamTensors, factor: f64) -> Vec<f64> {
        let moved = direction.displace(network.clone(), -factor);
        (0..).zip(&self.batches).map(|(seed, batch)| self.oracle.loss(&moved, batch, seed)).collect()
    }

    fn line(&mut self, step: u64, network: &Model, own_index: usize, direction: &ParamTensors) -> Line {
        let norm = direction.norm();
        let (mut whole, mut own) = (Vec::new(), Vec::new());
        for position in positions() {
            let losses = self.losses(network, direction, position / norm);
            whole.push(losses.iter().sum::<f64>() / losses.len() as f64);
            own.push(losses[own_index]);
        }
        let h = 0.1 * SPACING;
        let [ahead, behind] = [h, -h].map(|s| self.losses(network, direction, s / norm));
        let slopes = ahead.iter().zip(&behind).map(|(ahead, behind)| (ahead - behind) / (2.0 * h)).collect();
        Line { step, norm, whole, own, slopes, own_index }
    }

    fn run(&mut self, mut network: Model, seed: u64, num_steps: u64, every: u64) -> Result<Vec<Line>, Failure> {
        let mut rule = GradientTransform::heavy_ball(Momentum::new(self.momentum)?);
        let num_batches = self.batches.len() as u64;
        let mut order = sampler(Sampling::WithoutReplacement, num_batches as usize, BatchSize::new(1)?, seed)?;
        let mut lines = Vec::new();
        for step in 0..num_steps {
            let index = order.next_batch()[0];
            let (batch, seed) = (self.batches[index as usize].clone(), u64::from(index));
            let (_, gradient) = self.oracle.loss_and_gradient(&network, &batch, seed);
            let after = self.oracle.clone();
            let direction = rule.direction(gradient, &ParamTensors::default);
            if step <= EARLY || step % every == 0 || step % (5 * every) == 1 {
                lines.push(self.line(step, &network, index as usize, &direction));
            }
            network = after.absorb_into(direction.displace(network, -self.rate));
        }
        Ok(lines)
    }
}

/// Mean absolute error of the least-squares polynomial of that degree through the losses of the window.
fn misfit(losses: &[f64], degree: usize) -> f64 {
    let num_points = 2 * (WINDOW / SPACING).round() as usize + 1;
    let points: Vec<(f64, f64)> = positions().into_iter().zip(losses.iter().copied()).take(num_points).collect();
    // On a symmetric grid 1, s and s² − mean(s²) are orthogonal: coefficients one by one.
    let mean_square = points.iter().map(|(s, _)| s * s).sum::<f64>() / num_points as f64;
    let basis: [&dyn Fn(f64) -> f64; 3] = [&|_| 1.0, &|s| s, &|s| s * s - mean_square];
    let mut rest: Vec<f64> = points.iter().map(|(_, loss)| *loss).collect();
    for function in &basis[..=degree] {
        let (mut product, mut square) = (0.0, 0.0);
        for ((s, _), rest) in points.iter().zip(&rest) {
            product += function(*s) * rest;
            square += function(*s) * function(*s);
        }
        rest.iter_mut().zip(&points).for_each(|(rest, (s, _))| *rest -= product / square * function(*s));
    }
    rest.iter().map(|rest| rest.abs()).sum::<f64>() / num_points as f64
}

/// The losses at any length, straight between the positions.
fn at(losses: &[f64], length: f64) -> f64 {
    let positions = positions();
    let after = positions.partition_point(|s| *s < length).clamp(1, positions.len() - 1);
    let share = (length - positions[after - 1]) / (positions[after] - positions[after - 1]);
    losses[after - 1] + share.min(1.0) * (losses[after] - losses[after - 1])
}

/// The minimum: through the lowest position and its neighbours, and whether it is inside.
fn minimum(losses: &[f64]) -> (f64, bool) {
    let positions = positions();
    let lowest = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap_or(0);
    if lowest == 0 || lowest + 1 == losses.len() {
        return (positions[lowest], false);
    }
    let [(a, fa), (b, fb), (c, fc)] = [lowest - 1, lowest, lowest + 1].map(|i| (positions[i], losses[i]));
    let (left, right) = ((b - a) * (fb - fc), (b - c) * (fb - fa));
    let vertex = b - 0.5 * ((b - a) * left - (b - c) * right) / (left - right);
    let vertex = if vertex.is_finite() { vertex } else { b };
    (vertex, vertex > 0.0 && vertex <= 1.5)
}

/// PAL's step on these losses: the parabola through the slope at 0 and the loss at μ.
fn pal(losses: &[f64], slope: f64) -> f64 {
    let bend = (at(losses, MU) - at(losses, 0.0) - slope * MU) / (MU * MU);
    match () {
        () if bend > 0.0 && slope < 0.0 => -slope / (2.0 * bend),
        () if slope < 0.0 => MU,
        () => 0.0,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len().max(1) - 1) as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The quarters of the training, each a slice of `of` of every late line.
fn quarters(lines: &[Line], of: impl Fn(&Line) -> f64) -> Vec<Vec<f64>> {
    let values: Vec<f64> = lines.iter().map(of).collect();
    values.chunks(values.len().div_ceil(4).max(1)).map(<[f64]>::to_vec).collect()
}

/// What one seed gave for a claim: its values in the order of `what`.
struct Row {
    claim: String,
    what: String,
    values: Vec<f64>,
}

fn row(claim: &str, what: &str, values: impl IntoIterator<Item = f64>) -> Row {
    Row { claim: claim.to_owned(), what: what.to_owned(), values: values.into_iter().collect() }
}

/// A mean over seeds with its standard error.
fn shown(values: &[f64]) -> String {
    let count = values.len() as f64;
    let average = mean(values);
    let spread = values.iter().map(|value| (value - average).powi(2)).sum::<f64>();
    let error = if count < 2.0 { f64::NAN } else { (spread / (count - 1.0) / count).sqrt() };
    if average.abs() < 0.02 { format!("{average:.1e} ± {error:.0e}") } else { format!("{average:.3} ± {error:.3}") }
}

fn shapes(lines: &[Line], late: &[Line], rows: &mut Vec<Row>) {
    let misfits = |degree| late.iter().map(|line| misfit(&line.whole, degree)).collect::<Vec<f64>>();
    let (straight, parabola) = (misfits(1), misfits(2));
    let range: Vec<f64> = late.iter().map(|line| at(&line.whole, -WINDOW) - at(&line.whole, WINDOW)).collect();
    let (worst, relative) = (quantile(&parabola, 0.95), mean(&parabola) / mean(&range).abs());
    rows.push(row(
        "T1, T2",
        "misfit of a parabola, mean; 95th percentile; over the loss's change in the window",
        [mean(&parabola), worst, relative],
    ));
    let ratios: Vec<f64> = parabola.iter().zip(&straight).map(|(a, b)| a / b).collect();
    rows.push(row("T3", "misfit of a parabola over that of a straight line, median", [quantile(&ratios, 0.5)]));
    let between = |lines: &[Line]| -> Vec<f64> {
        let pairs = lines.windows(2).filter(|pair| pair[1].step == pair[0].step + 1);
        let window = positions().iter().filter(|s| s.abs() < WINDOW + 1e-9).count();
        let centred = |line: &Line| -> Vec<f64> {
            let (lowest, _) = minimum(&line.whole);
            positions()[..window].iter().map(|s| at(&line.whole, s + lowest) - at(&line.whole, lowest)).collect()
        };
        pairs
            .map(|pair| {
                mean(&centred(&pair[0]).iter().zip(centred(&pair[1])).map(|(a, b)| (a - b).abs()).collect::<Vec<f64>>())
            })
            .collect()
    };
    let early: Vec<f64> = between(lines).into_iter().take(EARLY as usize).collect();
    rows.push(row(
        "T4",
        "distance of consecutive centred lines, median; median and largest of the first 20",
        [quantile(&between(late), 0.5), quantile(&early, 0.5), quantile(&early, 1.0)],
    ));
}

fn steps(late: &[Line], rows: &mut Vec<Row>) {
    let inside = late.iter().filter(|line| minimum(&line.whole).1).count() as f64 / late.len() as f64;
    rows.push(row("T5", "share of lines with their minimum between 0 and 1.5", [inside]));
    let rates = quarters(late, |line| minimum(&line.whole).0 / line.norm);
    let variation = |values: &Vec<f64>| {
        let mean = mean(values);
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>().sqrt() / (values.len() as f64).sqrt() / mean
    };
    rows.push(row("T6", "best learning rate of a line, median by quarter", rates.iter().map(|v| quantile(v, 0.5))));
    rows.push(row("T6", "its variation in the first quarter, of single lines", [variation(&rates[0])]));
    // Fewer windows say nothing about how a moving average varies.
    if rates[0].len() >= 2 * SMOOTHED {
        let smooth: Vec<f64> = rates[0].windows(SMOOTHED).map(mean).collect();
        rows.push(row("T6", "and of a moving average over 25 lines", [variation(&smooth)]));
    }
    let gain =
        |step: &dyn Fn(&Line) -> f64| late.iter().map(|l| at(&l.whole, 0.0) - at(&l.whole, step(l))).sum::<f64>();
    let optimum = gain(&|line| minimum(&line.whole).0);
    let slope = |losses: &[f64]| (at(losses, SPACING) - at(losses, -SPACING)) / (2.0 * SPACING);
    let shares = [
        gain(&|line| pal(&line.whole, slope(&line.whole))),
        gain(&|line| pal(&line.own, line.own_slope())),
        gain(&|line| minimum(&line.own).0),
    ];
    rows.push(row(
        "T7",
        "gain over that of the optimum: parabola of the whole loss; PAL; minimum of the own batch",
        shares.map(|gain| gain / optimum),
    ));
    let grid = (-10..=3).map(|exponent| 10_f64.powf(f64::from(exponent) / 5.0));
    let gains: Vec<(f64, f64)> = grid.map(|rate| (rate, gain(&|line| rate * line.norm) / optimum)).collect();
    if let Some((rate, best)) = gains.iter().max_by(|a, b| a.1.total_cmp(&b.1)) {
        rows.push(row("T8", "best fixed learning rate on these lines; its gain over the optimum's", [*rate, *best]));
    }
    let whole = quarters(late, |line| minimum(&line.whole).0);
    let over = |of: Vec<Vec<f64>>| of.iter().zip(&whole).map(|(a, b)| mean(a) / mean(b)).collect::<Vec<f64>>();
    let own = over(quarters(late, |line| minimum(&line.own).0));
    rows.push(row("T9", "minimum of the own batch over that of the whole loss, by quarter", own));
    let pal = over(quarters(late, |line| pal(&line.own, line.own_slope())));
    rows.push(row("T9", "PAL's step likewise", pal));
}

/// Slope of larger batches that contain the direction's over that of the direction's, and the one number that explains them.
fn batch_sizes(late: &[Line], rows: &mut Vec<Row>) {
    let quarter = late.len().div_ceil(4).max(1);
    for (index, lines) in late.chunks(quarter).enumerate() {
        let all = lines[0].slopes.len();
        let sizes: Vec<usize> = [2, 4, 8].into_iter().filter(|size| *size < all).chain([all]).collect();
        let own = mean(&lines.iter().map(Line::own_slope).collect::<Vec<f64>>());
        // Others from a place that moves on from line to line.
        let foreign = |line: &Line, count: usize| {
            let others = line.slopes.iter().cycle().skip(line.own_index + 1).take(line.slopes.len() - 1);
            others.take(count - 1).sum::<f64>()
        };
        let slope = |line: &Line, size: usize| (line.own_slope() + foreign(line, size)) / size as f64;
        let of_size = |size: usize| mean(&lines.iter().map(|line| slope(line, size)).collect::<Vec<f64>>());
        let seen: Vec<f64> = sizes.iter().map(|size| of_size(*size) / own).collect();
        let ideal = |r: f64| sizes.iter().map(move |size| 1.0 / *size as f64 + (1.0 - 1.0 / *size as f64) * r);
        let worst = |r: f64| ideal(r).zip(&seen).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
        let best =
            (0..=1000).map(|r| f64::from(r) * 1e-3).min_by(|a, b| worst(*a).total_cmp(&worst(*b))).unwrap_or(0.0);
        let values: Vec<f64> = seen.iter().copied().chain([best, worst(best)]).collect();
        let what = format!("slope of {sizes:?} batches over that of the own; r; worst error of the formula");
        rows.push(row(&format!("T10, quarter {}", index + 1), &what, values));
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, usual: &str| arguments.get(index).map_or(usual.to_owned(), Clone::clone);
    let (data, kind) = (argument(0, "optdigits"), argument(1, "mlp"));
    let momentum: f64 = argument(2, "0").parse()?;
    let (num_steps, every): (u64, u64) = (argument(3, "1500").parse()?, argument(4, "20").parse()?);
    let rate: f64 = argument(7, "0.1").parse()?;
    let (num_examples, num_seeds): (u64, u64) = (argument(5, "4000").parse()?, argument(6, "1").parse()?);
    let spec = match kind.as_str() {
        "mlp" => ModelSpec::default(),
        "mlp-bn" => ModelSpec { normalisation: Some(Normalisation::Batch), ..ModelSpec::default() },
        "cnn-bn" => ModelSpec { kind: ModelKind::SimpleCnnBn, ..ModelSpec::default() },
        other => return Err(format!("got the network {other}, expected mlp, mlp-bn or cnn-bn").into()),
    };
    let dataset = Dataset::load(&DataSpec { name: data.clone(), ..DataSpec::default() })?;
    let backend = Backend::cpu(Precision::F32);
    let num_batches = (dataset.train.num_examples() as u64).min(num_examples) / BATCH;
    let batch = |number: u64| {
        let indices: Vec<u32> = (number * BATCH..(number + 1) * BATCH).map(|index| index as u32).collect();
        Batch::gather(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype())
    };
    let batches: Vec<Batch> = (0..num_batches).map(batch).collect();
    let (mut of_seeds, mut num_lines) = (Vec::new(), 0);
    for seed in 0..num_seeds.max(1) {
        let network = Model::new(&spec, dataset.shape, dataset.num_classes, RandomStream::new(seed, 0), &backend)?;
        let mut study = Study { batches: batches.clone(), momentum, rate, oracle: NetworkOracle::default() };
        let lines = study.run(network, seed, num_steps, every)?;
        let late: usize = lines.iter().take_while(|line| line.step < LATE).count();
        if lines.len() < late + 8 {
            return Err(
                format!("{} lines after step {LATE}, expected at least 8: more steps", lines.len() - late).into()
            );
        }
        let mut rows = Vec::new();
        shapes(&lines, &lines[late..], &mut rows);
        steps(&lines[late..], &mut rows);
        batch_sizes(&lines[late..], &mut rows);
        num_lines = lines.len();
        of_seeds.push(rows);
    }
    println!(
        "\n### {data}, {kind}, momentum {momentum}, rate {rate}: {num_lines} lines, {num_steps} steps, {num_seeds} seeds\n"
    );
    println!("| claim | what | found |\n|---|---|---|");
    for (index, Row { claim, what, values }) in of_seeds[0].iter().enumerate() {
        let over_seeds = |place: usize| of_seeds.iter().map(|rows| rows[index].values[place]).collect::<Vec<f64>>();
        let found: Vec<String> = (0..values.len()).map(|place| shown(&over_seeds(place))).collect();
        println!("| {claim} | {what} | {} |", found.join("; "));
    }
    Ok(())
}
