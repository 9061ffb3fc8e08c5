//! The instruments against independent twins: dense matrices, brute force along lines, convex losses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{ACTIVATIONS, digits, dot, model, norm, random_vector};
use stepscope::backend::Backend;
use stepscope::control::Direction;
use stepscope::control::transform::{GradientTransform, Rule};
use stepscope::data::Dataset;
use stepscope::measure::{
    BatchSharpnessProbe, BatchSource, CriticalSharpnessProbe, Curvature, CurvatureOperator, DistanceProbe,
    FixedBatchesProbe, GradientCovarianceProbe, HalfRateGaugeProbe, HessianSpectrumProbe, Measured, Objective,
    OneStepProbe, Probe, ProbePoint, Section, SharedReadings, SharpnessProbe, per_example_curvature, section_curvature,
};
use stepscope::models::{Model, ParamLayout, ParamTensors};
use stepscope::spectral::LinearOperator;
use stepscope::spectral::random::RandomStream;
use stepscope::types::quantity::{self, Quantity};
use stepscope::types::spec::{Activation, DataSpec, MeasureSpec, ModelKind, ModelSpec, Precision};
use stepscope::types::{Estimate, Momentum, Step};

const F64: Precision = Precision::F64;

/// So few training examples that everything can be computed by brute force.
fn few(train_examples: u64) -> Dataset {
    Dataset::load(&DataSpec { train_examples: Some(train_examples), ..DataSpec::default() }).unwrap()
}

fn tracked(dataset: &Dataset, indices: &[u32]) -> Objective {
    let backend = Backend::cpu(F64);
    Objective::new(&dataset.train, dataset.shape, indices, &backend.tracked(), backend.dtype())
}

fn whole(dataset: &Dataset) -> Objective {
    tracked(dataset, &all(dataset))
}

fn plain(dataset: &Dataset) -> Objective {
    let backend = Backend::cpu(F64);
    Objective::whole(&dataset.train, dataset.shape, &backend.plain(), backend.dtype())
}

fn batches(dataset: &Dataset, batch_size: u64) -> BatchSource<'_> {
    let backend = Backend::cpu(F64);
    BatchSource::new(dataset, batch_size, backend.tracked(), backend.dtype(), RandomStream::named(4, "batches"))
}

fn all(dataset: &Dataset) -> Vec<u32> {
    (0..dataset.train.num_examples() as u32).collect()
}

fn estimate<'m>(measured: &'m [Measured], quantity: &Quantity) -> &'m Estimate {
    let found = measured.iter().find(|m| m.quantity == quantity);
    found.and_then(|m| m.reading.estimate()).expect(quantity.name)
}

fn product(network: &Model, objective: &Objective, layout: &ParamLayout, v: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; v.len()];
    CurvatureOperator::new(network, objective, layout, Curvature::Hessian).apply(v, &mut out).unwrap();
    out
}

/// The loss over the whole training set at θ − s·direction.
fn loss_along(network: &Model, objective: &Objective, direction: &[f64], s: f64) -> f64 {
    let layout = ParamLayout::of(network);
    let values: Vec<f64> = layout.values(network).iter().zip(direction).map(|(theta, d)| theta - s * d).collect();
    objective.loss_and_gradient(&layout.assign(network.clone(), &values), &layout).unwrap().0
}

#[test]
fn per_example_curvature_is_the_product_with_each_examples_own_hessian() {
    let dataset = digits();
    for activation in ACTIVATIONS {
        for precision in [Precision::F64, Precision::F32] {
            let network = model(ModelKind::Mlp, activation, precision, &dataset);
            let layout = ParamLayout::of(&network);
            let v = random_vector(layout.num_params(), 3);
            let objective = common::objective(&dataset, 20, precision);
            let fast = per_example_curvature(&network, &layout, &objective, &v).unwrap();
            let wide = model(ModelKind::Mlp, activation, F64, &dataset);
            let wide = ParamLayout::of(&wide).assign(wide, &layout.values(&network));
            let slow = (0..20).map(|i| dot(&v, &product(&wide, &tracked(&dataset, &[i]), &ParamLayout::of(&wide), &v)));
            let slow: Vec<f64> = slow.collect();
            let error = common::relative_error(&fast, &slow);
            let allowed = if precision == F64 { 1e-8 } else { 2e-3 };
            println!("{activation:?} {precision:?}: {error:.1e}");
            assert!(error < allowed, "{activation:?} {precision:?}: {error:.1e}");
        }
    }
}

#[test]
fn the_critical_rate_brackets_the_crossing_that_a_fine_scan_finds() {
    let dataset = few(48);
    let network = model(ModelKind::Mlp, Activation::Relu, F64, &dataset);
    let layout = ParamLayout::of(&network);
    let objective = tracked(&dataset, &all(&dataset));
    let (loss, gradient) = objective.loss_and_gradient(&network, &layout).unwrap();
    // The batch is the whole training set, so the probe's direction is known: here with a velocity along a random direction.
    let velocity = random_vector(layout.num_params(), 9).iter().map(|v| 0.1 * norm(&gradient) * v).collect::<Vec<_>>();
    let direction: Vec<f64> = gradient.iter().zip(&velocity).map(|(g, v)| g + 0.5 * v).collect();
    let velocity = ParamTensors::values(&layout.assign(network.clone(), &velocity));
    let mut rule = GradientTransform::heavy_ball(Momentum::new(0.5).unwrap());
    // From rest, this gradient is the velocity.
    rule.direction(velocity, &ParamTensors::default);
    let motion = rule.motion();
    let at = ProbePoint { motion, ..ProbePoint::new(&network, &layout, Step(0), 0.1) };
    let measured = CriticalSharpnessProbe::new(batches(&dataset, 48), whole(&dataset)).measure(&at).unwrap();
    let scan =
        |level: f64| (1..).map(|i| 0.01 * i as f64).find(|&s| loss_along(&network, &objective, &direction, s) > level);
    let critical = estimate(&measured, &quantity::CRITICAL_LEARNING_RATE);
    let truth = scan(loss).unwrap();
    let (low, high) = critical.interval();
    assert!(low <= truth && truth - 0.01 <= high && high <= 1.3 * low, "{critical:?} {truth}");
    let sharpness = estimate(&measured, &quantity::CRITICAL_SHARPNESS);
    assert!((sharpness.value * critical.value - 2.0).abs() < 1e-12);
    let (low, high) = estimate(&measured, &quantity::LOSS_RAISING_STEPS).interval();
    let truth = scan(1.2 * loss).unwrap() / 0.1;
    assert!(low <= truth && truth - 0.1 <= high, "{low} {high} {truth}");
}

#[test]
fn batch_sharpness_is_the_mean_of_the_ratio_over_batches() {
    let dataset = few(24);
    let network = model(ModelKind::Mlp, Activation::Tanh, F64, &dataset);
    let layout = ParamLayout::of(&network);
    let ratio = |indices: &[u32]| {
        let objective = tracked(&dataset, indices);
        let gradient = objective.loss_and_gradient(&network, &layout).unwrap().1;
        dot(&gradient, &product(&network, &objective, &layout, &gradient)) / dot(&gradient, &gradient)
    };
    let at = ProbePoint::new(&network, &layout, Step(0), 0.1);
    let read = |batch_size, tolerance| {
        let mut probe = BatchSharpnessProbe::new(batches(&dataset, batch_size), 200, tolerance);
        let measured = probe.measure(&at).unwrap();
        estimate(&measured, &quantity::BATCH_SHARPNESS).clone()
    };
    let full = read(24, 0.1);
    assert!((full.value / ratio(&all(&dataset)) - 1.0).abs() < 1e-9 && full.num_products == 1, "{full:?}");
    // All 276 pairs, written out.
    let pairs: Vec<f64> = (0..24).flat_map(|i| (0..i).map(move |j| [i, j])).map(|pair| ratio(&pair)).collect();
    let truth = pairs.iter().sum::<f64>() / pairs.len() as f64;
    let few = read(2, 0.5);
    let (low, high) = few.interval();
    assert!((few.value - truth).abs() < 4.0 * (high - few.value), "{few:?} {truth} {low}");
    let (coarse, fine) = (read(12, 0.5), read(12, 0.02));
    assert!(coarse.num_products < fine.num_products, "the stop rule spends more where more is asked");
}

#[test]
fn the_gauge_is_the_vertex_of_the_parabola_along_the_update() {
    let dataset = few(48);
    let network = model(ModelKind::Mlp, Activation::Tanh, F64, &dataset);
    let layout = ParamLayout::of(&network);
    let objective = tracked(&dataset, &all(&dataset));
    let gradient = objective.loss_and_gradient(&network, &layout).unwrap().1;
    let rate = 0.3;
    let loss = |s: f64| loss_along(&network, &objective, &gradient, s * rate);
    // The batch is the whole training set, so every update is the same. Least squares by the normal equations.
    let positions = [0.0, 0.5, 1.0, 2.0];
    let moment = |power: i32| positions.iter().map(|s: &f64| s.powi(power)).sum::<f64>();
    let right = |power: i32| positions.iter().map(|&s| s.powi(power) * loss(s)).sum::<f64>();
    let m = |i: i32, j: i32| moment(i + j);
    let det = |a: [[f64; 3]; 3]| {
        a[0][0] * (a[1][1] * a[2][2] - a[1][2] * a[2][1]) - a[0][1] * (a[1][0] * a[2][2] - a[1][2] * a[2][0])
            + a[0][2] * (a[1][0] * a[2][1] - a[1][1] * a[2][0])
    };
    let coefficient = |column: usize| {
        let mut a = [0, 1, 2].map(|i| [0, 1, 2].map(|j| m(i, j)));
        (0..3).for_each(|row| a[row][column] = right(row as i32));
        det(a)
    };
    let truth = -coefficient(1) / (2.0 * coefficient(2));
    let mut gauge = HalfRateGaugeProbe::new(batches(&dataset, 48), whole(&dataset), 3);
    let measured = gauge.measure(&ProbePoint::new(&network, &layout, Step(0), rate)).unwrap();
    let vertex = estimate(&measured, &quantity::ONE_STEP_GAUGE).value;
    let position = estimate(&measured, &quantity::STEP_POSITION).value;
    assert!((vertex / truth - 1.0).abs() < 1e-6, "{vertex} {truth}");
    assert!((position - (1.0 / vertex - 1.0)).abs() < 1e-9, "{position} {vertex}");
    // The chord from here to one update on.
    let values: Vec<f64> = layout.values(&network).iter().zip(&gradient).map(|(theta, g)| theta - rate * g).collect();
    let moved = layout.assign(network.clone(), &values);
    let measured = gauge.measure(&ProbePoint::new(&moved, &layout, Step(1), rate)).unwrap();
    let chord = estimate(&measured, &quantity::MANY_STEP_GAUGE).value;
    let (start, middle, end) = (loss(0.0), loss(0.5), loss(1.0));
    let truth = (3.0 * start - 4.0 * middle + end) / (4.0 * (start - 2.0 * middle + end));
    assert!((chord / truth - 1.0).abs() < 1e-6, "{chord} {truth}");
}

#[test]
fn the_best_step_of_a_batch_is_the_one_that_a_fine_scan_finds() {
    let dataset = few(16);
    let network = model(ModelKind::Mlp, Activation::Softplus, F64, &dataset);
    let layout = ParamLayout::of(&network);
    let objective = tracked(&dataset, &all(&dataset));
    let (start, gradient) = objective.loss_and_gradient(&network, &layout).unwrap();
    let mut probe = OneStepProbe::new(batches(&dataset, 16), whole(&dataset), 2);
    let measured = probe.measure(&ProbePoint::new(&network, &layout, Step(0), 0.05)).unwrap();
    let found = estimate(&measured, &quantity::ONE_STEP_MINIMUM).value;
    let floor = estimate(&measured, &quantity::ONE_STEP_FLOOR).value;
    let scan = (1..500).map(|i| loss_along(&network, &objective, &gradient, found * f64::from(i) / 200.0));
    let lowest = scan.fold(f64::INFINITY, f64::min);
    assert!(floor >= lowest - 1e-12 && floor - lowest < 0.01 * (start - lowest), "{floor} {lowest}");
    let ratio = estimate(&measured, &quantity::ONE_STEP_FLOOR_RATIO).value;
    assert!((ratio * start - floor).abs() < 1e-9);
    assert!(estimate(&measured, &quantity::QUADRATIC_FIT).value > 0.9, "a smooth loss is nearly a parabola there");
}

#[test]
fn a_convex_loss_has_every_convexity_score_at_one_and_the_trajectory_back_is_no_different() {
    // Softmax regression: convex in its weights.
    let dataset = few(64);
    let spec = ModelSpec { hidden: Some(vec![]), precision: F64, ..ModelSpec::default() };
    let random = RandomStream::new(3, 0);
    let network = Model::new(&spec, dataset.shape, dataset.num_classes, random, &Backend::cpu(F64)).unwrap();
    let layout = ParamLayout::of(&network);
    let mut probe = FixedBatchesProbe::new(batches(&dataset, 8), 4, RandomStream::named(1, "remembered"));
    let mut last = Vec::new();
    for step in 0..7 {
        let moved: Vec<f64> = layout
            .values(&network)
            .iter()
            .zip(random_vector(layout.num_params(), 50 + step))
            .map(|(theta, r)| theta + 3.0 * r)
            .collect();
        let moved = layout.assign(network.clone(), &moved);
        last = probe.measure(&ProbePoint::new(&moved, &layout, Step(step), 0.1)).unwrap();
    }
    for quantity in [&quantity::CHORD_CONVEXITY, &quantity::FIRST_ORDER_CONVEXITY] {
        let share = estimate(&last, quantity);
        assert_eq!(share.value, 1.0, "{}", quantity.name);
        assert!(share.interval().0 < 0.9, "16 pairs do not prove all: {share:?}");
    }
    assert!(estimate(&last, &quantity::CHORD_GAP).value > 0.0);
}

/// Negative pivots of A + `shift`·1 by elimination with symmetric pivoting: its negative eigenvalues (Sylvester).
fn negative_pivots(rows: &[f64], dim: usize, shift: f64) -> usize {
    let mut a: Vec<Vec<f64>> = rows.chunks(dim).map(<[f64]>::to_vec).collect();
    (0..dim).for_each(|i| a[i][i] += shift);
    let mut negative = 0;
    for k in 0..dim {
        let pivot = (k..dim).max_by(|&i, &j| a[i][i].abs().total_cmp(&a[j][j].abs())).unwrap();
        a.swap(k, pivot);
        a.iter_mut().for_each(|row| row.swap(k, pivot));
        negative += usize::from(a[k][k] < 0.0);
        let top = a[k].clone();
        for row in &mut a[k + 1..] {
            let factor = row[k] / top[k];
            row.iter_mut().zip(&top).for_each(|(entry, top)| *entry -= factor * top);
        }
    }
    negative
}

#[test]
fn trace_norm_and_bottom_of_the_hessian_are_those_of_the_dense_one() {
    let dataset = few(32);
    let spec =
        ModelSpec { hidden: Some(vec![3]), precision: F64, activation: Activation::Tanh, ..ModelSpec::default() };
    let random = RandomStream::new(3, 0);
    let network = Model::new(&spec, dataset.shape, dataset.num_classes, random, &Backend::cpu(F64)).unwrap();
    let layout = ParamLayout::of(&network);
    let objective = tracked(&dataset, &all(&dataset));
    let dim = layout.num_params();
    let (mut trace, mut squares, mut rows) = (0.0, 0.0, Vec::new());
    for index in 0..dim {
        let mut unit = vec![0.0; dim];
        unit[index] = 1.0;
        let row = product(&network, &objective, &layout, &unit);
        trace += row[index];
        squares += dot(&row, &row);
        rows.extend(row);
    }
    let mut probe = HessianSpectrumProbe::new(objective, 120, 1e-6, RandomStream::named(1, "spectrum"));
    let measured = probe.measure(&ProbePoint::new(&network, &layout, Step(0), 0.1)).unwrap();
    for (quantity, truth) in [(&quantity::HESSIAN_TRACE, trace), (&quantity::HESSIAN_FROBENIUS, squares.sqrt())] {
        let got = estimate(&measured, quantity);
        let error = got.interval().1 - got.value;
        assert!((got.value - truth).abs() < 4.0 * error, "{}: {got:?} {truth}", quantity.name);
    }
    // The bottom by power iteration on cI − H, c above the spectrum.
    let shift = squares.sqrt();
    let mut v = random_vector(dim, 2);
    let mut bottom = 0.0;
    for _ in 0..3000 {
        let image: Vec<f64> = rows.chunks(dim).zip(&v).map(|(row, x)| shift * x - dot(row, &v)).collect();
        bottom = shift - dot(&v, &image);
        let length = norm(&image);
        v = image.iter().map(|x| x / length).collect();
    }
    let got = estimate(&measured, &quantity::HESSIAN_BOTTOM_EIGENVALUE);
    assert!((got.value - bottom).abs() < 1e-3 * shift && bottom < 0.0, "{got:?} {bottom}");
    // Sturm's count of the dense matrix: negative pivots of H + cI are its eigenvalues below -c, beyond f32's rounding of the largest.
    let top = rows.chunks(dim).zip(0..).map(|(row, _): (&[f64], usize)| norm(row)).fold(0.0, f64::max);
    let truth = negative_pivots(&rows, dim, 1e-4 * top) as f64 / dim as f64;
    let mass = estimate(&measured, &quantity::HESSIAN_NEGATIVE_MASS);
    let (low, high) = mass.interval();
    assert!(low <= truth && truth <= high && low <= mass.value && mass.value <= high, "{mass:?} {truth}");
    assert!(high - low < 0.9, "{mass:?}");

    // The raw density: quadrature of the gradient's measure gives gᵀHg and |Hg|² of the dense matrix, for polynomials of low degree exactly.
    let saved = Probe::<Model>::take_spectrum(&mut probe).unwrap();
    assert!(Probe::<Model>::take_spectrum(&mut probe).is_none(), "handed out once");
    let gradient = tracked(&dataset, &all(&dataset)).loss_and_gradient(&network, &layout).unwrap().1;
    let image: Vec<f64> = rows.chunks(dim).map(|row| dot(row, &gradient)).collect();
    let measure = saved.gradient.as_ref().unwrap();
    let moment = |power: i32| -> f64 {
        measure.squared_norm * measure.nodes.pairs().map(|(node, weight)| weight * node.powi(power)).sum::<f64>()
    };
    assert!((moment(0) / dot(&gradient, &gradient) - 1.0).abs() < 1e-10);
    assert!((moment(1) / dot(&gradient, &image) - 1.0).abs() < 1e-6);
    assert!((moment(2) / dot(&image, &image) - 1.0).abs() < 1e-6);
    // And P times the mean node of the random vectors is the trace, with an error of 2|H|/n for normal vectors.
    let first: f64 = saved.pooled().map(|(node, share)| node * share).sum();
    let deviation = (2.0 * squares / saved.probes.len() as f64).sqrt();
    assert!((dim as f64 * first - trace).abs() < 4.0 * deviation, "{first} {trace} {deviation}");
    assert_eq!((saved.num_params, saved.step, saved.num_products), (dim as u64, Step(0), 72));
}

#[test]
fn the_covariance_is_that_of_every_examples_gradient_written_out() {
    let dataset = few(30);
    let spec = ModelSpec { hidden: Some(vec![4]), precision: F64, ..ModelSpec::default() };
    let random = RandomStream::new(3, 0);
    let network = Model::new(&spec, dataset.shape, dataset.num_classes, random, &Backend::cpu(F64)).unwrap();
    let layout = ParamLayout::of(&network);
    let gradient = |indices: &[u32]| tracked(&dataset, indices).loss_and_gradient(&network, &layout).unwrap().1;
    let full = gradient(&all(&dataset));
    let deviations: Vec<Vec<f64>> =
        (0..30).map(|i| gradient(&[i]).iter().zip(&full).map(|(g, mean)| g - mean).collect()).collect();
    let trace = deviations.iter().map(|d| dot(d, d)).sum::<f64>() / 30.0;
    // The top eigenvector by power iteration on K.
    let mut v = random_vector(full.len(), 2);
    let mut top = 0.0;
    for _ in 0..500 {
        let mut image = vec![0.0; v.len()];
        for d in &deviations {
            let along = dot(d, &v) / 30.0;
            image.iter_mut().zip(d).for_each(|(out, x)| *out += along * x);
        }
        top = norm(&image);
        v = image.iter().map(|x| x / top).collect();
    }
    let shared = SharedReadings::default();
    shared.set_sharpest_direction(&v);
    let at = ProbePoint { shared: Some(&shared), ..ProbePoint::new(&network, &layout, Step(0), 0.1) };
    let random = RandomStream::named(1, "covariance");
    let measured =
        GradientCovarianceProbe::new(tracked(&dataset, &all(&dataset)), 60, 1e-8, random).measure(&at).unwrap();
    let got = estimate(&measured, &quantity::COVARIANCE_TOP_EIGENVALUE);
    assert!((got.value / top - 1.0).abs() < 1e-6, "{got:?} {top}");
    let got = estimate(&measured, &quantity::COVARIANCE_TRACE);
    assert!((got.value - trace).abs() < 4.0 * (got.interval().1 - got.value), "{got:?} {trace}");
    let cosine = estimate(&measured, &quantity::HESSIAN_COVARIANCE_ALIGNMENT).value;
    assert!((cosine - 1.0).abs() < 1e-4, "the direction left there is the top one itself: {cosine}");
}

#[test]
fn sections_pass_through_their_ends_and_have_the_curvature_of_the_hessian() {
    let dataset = few(24);
    let network = model(ModelKind::Mlp, Activation::Tanh, F64, &dataset);
    let layout = ParamLayout::of(&network);
    let objective = tracked(&dataset, &all(&dataset));
    let direction = random_vector(layout.num_params(), 4);
    let end: Vec<f64> = layout.values(&network).iter().zip(&direction).map(|(theta, d)| theta + 0.1 * d).collect();
    let line = Section::between(&network, &layout, &end);
    assert!((line.length(0) - 0.1).abs() < 1e-12);
    let positions = Section::<Model>::positions(-1.0, 2.0, 61);
    let [points] = line.evaluate(positions.into_iter().map(|x| vec![x]), [&plain(&dataset)], |network| network);
    let loss = |values: &[f64]| {
        let network = layout.assign(network.clone(), values);
        objective.loss_and_gradient(&network, &layout).unwrap().0
    };
    assert!((points[20].loss - loss(&layout.values(&network))).abs() < 1e-12, "position 0");
    assert!((points[40].loss - loss(&end)).abs() < 1e-12, "position 1");
    let exact = dot(&direction, &product(&network, &objective, &layout, &direction));
    let got = section_curvature(&points, 0.0, 0.25, line.length(0));
    assert!((got.value / exact - 1.0).abs() < 0.02, "{got:?} {exact}");
    assert!(got.error > 0.0 && got.error < 0.02 * exact.abs(), "{got:?}");
    assert!(section_curvature(&points, -1.0, 0.05, 1.0).value.is_nan(), "two points are no parabola");
    // A plane is the line where the second coordinate is 0.
    let random = &mut RandomStream::named(1, "direction");
    let other = Section::normalised_direction(&network, &layout, random);
    let plane = Section::new(&network, &layout, vec![direction.iter().map(|d| 0.1 * d).collect(), other]);
    let [on_line] = plane.evaluate([vec![0.5, 0.0], vec![0.5, 0.1]], [&plain(&dataset)], |network| network);
    assert!((on_line[0].loss - points[30].loss).abs() < 1e-12);
    assert!((on_line[1].loss - on_line[0].loss).abs() > 1e-6);
}

#[test]
fn sharpness_is_held_against_the_optimizers_own_threshold() {
    let dataset = few(32);
    let network = model(ModelKind::Mlp, Activation::Tanh, F64, &dataset);
    let layout = ParamLayout::of(&network);
    for (momentum, nesterov, threshold) in [(0.0, false, 2.0), (0.9, false, 3.8), (0.9, true, 3.8 / 2.8)] {
        let objective = tracked(&dataset, &all(&dataset));
        let random = RandomStream::named(1, "sharpness");
        let mut probe = SharpnessProbe::new(objective, &MeasureSpec::default(), random);
        let rule = GradientTransform::new(if nesterov { Rule::nesterov(momentum) } else { Rule::heavy_ball(momentum) });
        let motion = rule.motion();
        let at = ProbePoint { motion, ..ProbePoint::new(&network, &layout, Step(0), 0.1) };
        let measured = probe.measure(&at).unwrap();
        let sharpness = estimate(&measured, &quantity::HESSIAN_TOP_EIGENVALUE).value;
        let position = estimate(&measured, &quantity::STABILITY_POSITION).value;
        assert!((position - 0.1 * sharpness / threshold).abs() < 1e-12, "{momentum} {nesterov}");
    }
}

#[test]
fn distances_are_euclidean_and_runs_can_be_compared_by_their_coordinates() {
    let dataset = few(16);
    let network = model(ModelKind::Mlp, Activation::Tanh, F64, &dataset);
    let layout = ParamLayout::of(&network);
    let start = layout.values(&network);
    let moved = |way: &[f64]| {
        let values: Vec<f64> = start.iter().zip(way).map(|(theta, d)| theta + d).collect();
        layout.assign(network.clone(), &values)
    };
    let read = |seed: u64, way: &[f64]| {
        let mut probe = DistanceProbe::new(seed);
        probe.measure(&ProbePoint::new(&network, &layout, Step(0), 0.1)).unwrap();
        probe.measure(&ProbePoint::new(&moved(way), &layout, Step(5), 0.1)).unwrap()
    };
    let coordinates = |measured: &[Measured]| -> Vec<f64> {
        quantity::SKETCH.iter().map(|quantity| estimate(measured, quantity).value).collect()
    };
    let (a, b) = (random_vector(start.len(), 1), random_vector(start.len(), 2));
    let truth = common::norm(&a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<f64>>());
    let mut squares = Vec::new();
    for seed in 0..40 {
        let (first, second) = (read(seed, &a), read(seed, &b));
        assert!((estimate(&first, &quantity::DISTANCE_FROM_START).value - 1.0).abs() < 1e-12);
        assert!((estimate(&first, &quantity::DISTANCE_BETWEEN_READINGS).value - 1.0).abs() < 1e-12);
        let difference: Vec<f64> = coordinates(&first).iter().zip(coordinates(&second)).map(|(a, b)| a - b).collect();
        squares.push((norm(&difference) / truth).powi(2));
    }
    // Chi-square with 16 degrees over 16: mean 1, deviation 0.35 a projection.
    let mean = squares.iter().sum::<f64>() / 40.0;
    assert!((mean - 1.0).abs() < 4.0 * 0.354 / 40.0_f64.sqrt(), "{mean}");
}
