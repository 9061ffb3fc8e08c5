//! The networks of the specification: published sizes, exact products on narrow copies of the same code, training from a
//! specification, and what batch statistics and dropout do to a run.
#![allow(clippy::unwrap_used)]

mod common;

use burn::Tensor;
use burn::module::Module;
use burn::tensor::{Int, TensorData};
use common::{dot, fashion, norm, random_vector, relative_error, weights};
use stepscope::backend::Backend;
use stepscope::data::Dataset;
use stepscope::measure::{Objective, Section};
use stepscope::models::init::WeightInit;
use stepscope::models::loss::cross_entropy;
use stepscope::models::networks::{
    MobileNetV2, RandomFeatures, Recurrent, RecurrentConfig, ResNet, ResNetConfig, SimpleCnn, Style, TwoLayer, Vgg,
    VisionTransformer, VisionTransformerConfig,
};
use stepscope::models::{
    DropoutMode, Dual, InMode, Mlp, Model, ModelError, Network, NormalisationMode, ParamLayout, Pass, buffers,
};
use stepscope::spectral::random::RandomStream;
use stepscope::train::{MemorySink, Outcome, Run};
use stepscope::types::spec::{
    Activation, DataSpec, Initializer, LearningRateSpec, MeasurePreset, ModelKind, ModelSpec, Normalisation, Precision,
    ResidualForm, TrainSpec,
};
use stepscope::types::{BatchSize, LearningRate, Record, RunSpec, StopReason, TrainingDuration};

const KINDS: [ModelKind; 15] = [
    ModelKind::Linear,
    ModelKind::RandomFeatures,
    ModelKind::Mlp,
    ModelKind::SimpleCnn,
    ModelKind::SimpleCnnBn,
    ModelKind::Vgg11,
    ModelKind::ResNet8,
    ModelKind::ResNet20,
    ModelKind::ResNet32,
    ModelKind::ResNet56,
    ModelKind::ResNet18,
    ModelKind::MobileNetV2,
    ModelKind::VisionTransformer,
    ModelKind::Lstm,
    ModelKind::Ntk,
];

fn build(spec: &ModelSpec, shape: [usize; 3]) -> Result<Model, ModelError> {
    Model::new(spec, shape, 10, RandomStream::new(1, 0), &Backend::cpu(spec.precision))
}

fn num_params(spec: &ModelSpec, shape: [usize; 3]) -> usize {
    let network = build(spec, shape).unwrap();
    ParamLayout::of(&network).num_params()
}

#[test]
fn networks_have_their_published_numbers_of_parameters() {
    let of = |kind| ModelSpec { kind, ..ModelSpec::default() };
    let with = |kind, normalisation| ModelSpec { normalisation: Some(normalisation), ..of(kind) };
    let counts = [
        (of(ModelKind::Linear), 3072 * 10 + 10),
        (of(ModelKind::RandomFeatures), 1024 * 10 + 10),
        (of(ModelKind::SimpleCnn), 361_898),
        (of(ModelKind::SimpleCnnBn), 361_898 + 2 * (32 + 32 + 64 + 64 + 128)),
        (with(ModelKind::SimpleCnn, Normalisation::Batch), 362_538),
        (of(ModelKind::Vgg11), 9_225_610),
        (with(ModelKind::Vgg11, Normalisation::Batch), 9_231_114),
        (of(ModelKind::ResNet8), 75_290),
        (of(ModelKind::ResNet20), 269_722),
        (of(ModelKind::ResNet32), 464_154),
        (of(ModelKind::ResNet56), 853_018),
        (ModelSpec { residual: ResidualForm::PreActivation, ..of(ModelKind::ResNet20) }, 269_722),
        (of(ModelKind::ResNet18), 11_173_962),
        // The network for ImageNet has 3,504,872 with 990 classes more, of 1280 weights and a bias each.
        (of(ModelKind::MobileNetV2), 3_504_872 - 1281 * 990),
        (of(ModelKind::Ntk), 1000 * (3072 + 10)),
        (of(ModelKind::Lstm), 20_000 * 128 + 4 * (128 * (128 + 128) + 128) + 1290),
    ];
    for (spec, expected) in counts {
        assert_eq!(num_params(&spec, [3, 32, 32]), expected, "{:?}", spec.kind);
    }
}

#[test]
fn images_too_small_for_an_architecture_are_refused_by_its_name() {
    for (kind, name) in [(ModelKind::Vgg11, "vgg-11"), (ModelKind::SimpleCnnBn, "simple-cnn-bn")] {
        let error = build(&ModelSpec { kind, ..ModelSpec::default() }, [1, 8, 8]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("8x8"), "{error}");
    }
}

#[test]
fn initial_weights_have_the_spread_of_their_law() {
    // A weight of 300 inputs and 100 outputs.
    let variance = |init| {
        let spec = ModelSpec { init, hidden: Some(vec![100]), precision: Precision::F64, ..ModelSpec::default() };
        let network = build(&spec, [3, 10, 10]).unwrap();
        let layout = ParamLayout::of(&network);
        let range = layout.ranges().next().unwrap().1;
        assert_eq!(range.len(), 30_000);
        let weights = &layout.values(&network)[range];
        (dot(weights, weights) / 30_000.0, weights.iter().fold(0.0_f64, |largest, w| largest.max(w.abs())))
    };
    let cases = [
        (Initializer::GlorotUniform, 2.0 / 400.0, Some((6.0_f64 / 400.0).sqrt())),
        (Initializer::GlorotNormal, 2.0 / 400.0, None),
        (Initializer::HeUniform, 2.0 / 300.0, Some((6.0_f64 / 300.0).sqrt())),
        (Initializer::HeNormal, 2.0 / 300.0, None),
        (Initializer::PytorchDefault, 1.0 / 900.0, Some((1.0_f64 / 300.0).sqrt())),
    ];
    for (init, expected, bound) in cases {
        let (got, largest) = variance(init);
        // The variance of a normal number's square is 2, of a uniform one's 0.8.
        assert!((got / expected - 1.0).abs() < 4.0 * (2.0 / 30_000.0_f64).sqrt(), "{init:?}: {got} {expected}");
        assert!(bound.is_none_or(|bound| largest <= bound && largest > 0.99 * bound), "{init:?}: {largest}");
    }
}

fn images(shape: [usize; 4]) -> Dual<4> {
    let mut values = vec![0.0; shape.iter().product()];
    RandomStream::new(29, 0).fill_normal(&mut values);
    let backend = Backend::cpu(Precision::F64);
    Dual::constant(Tensor::from_data(TensorData::new(values, shape), (&backend.tracked(), backend.dtype())))
}

/// Values, Hessian products and symmetry of a network in evaluation and on batch statistics.
fn check<N: Network>(name: &str, network: &N, shape: [usize; 3]) {
    let layout = ParamLayout::of(network);
    let x = images([4, shape[0], shape[1], shape[2]]);
    let labels = || Tensor::<1, Int>::from_data([0, 2, 1, 2], &x.value.device());
    let loss = |network: &N, pass: &Pass| cross_entropy(network.logits(x.clone(), pass), labels()).linear(Tensor::mean);
    let (u, v) = (random_vector(layout.num_params(), 1), random_vector(layout.num_params(), 2));
    for mode in [NormalisationMode::Eval, NormalisationMode::TrainBatch] {
        let along = |v: &[f64]| layout.pass_along(v).with_normalisation(mode.clone());
        let values = Pass::values().with_normalisation(mode.clone());
        let [plain, dual] = [&values, &along(&v)]
            .map(|pass| network.logits(x.clone(), pass).value.into_data().iter::<f64>().collect::<Vec<f64>>());
        assert!(relative_error(&dual, &plain) <= 1e-12, "{name} {mode:?}: the tangent changed the value");

        let product = |v: &[f64]| {
            let pass = along(v);
            let tangent = loss(network, &pass).tangent.unwrap();
            assert_eq!(pass.fault(), None, "{name}");
            layout.gradient(network, &mut tangent.backward())
        };
        let (hu, hv) = (product(&u), product(&v));
        let defect = (dot(&u, &hv) - dot(&hu, &v)).abs() / (norm(&hu) * norm(&hv)).sqrt();
        assert!(defect <= 1e-11, "{name} {mode:?}: asymmetric by {defect:.1e}");
        let gradient = |epsilon: f64| {
            let moved: Vec<f64> = layout.values(network).iter().zip(&v).map(|(p, v)| p + epsilon * v).collect();
            let network = layout.assign(network.clone(), &moved);
            layout.gradient(&network, &mut loss(&network, &values).value.backward())
        };
        let error = [1e-5, 2e-6, 4e-7]
            .map(|epsilon| {
                let pairs = gradient(epsilon).into_iter().zip(gradient(-epsilon));
                let difference: Vec<f64> = pairs.map(|(plus, minus)| (plus - minus) / (2.0 * epsilon)).collect();
                relative_error(&difference, &hv)
            })
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        assert!(error <= 1e-6, "{name} {mode:?}: relative error {error:.1e}");
    }
}

fn init() -> WeightInit {
    weights(Precision::F64)
}

fn smooth(normalisation: Normalisation) -> Style {
    Style { normalisation, ..Style::from(Activation::Tanh) }
}

#[test]
fn hessian_products_of_dense_networks_are_differences_of_gradients() {
    let softplus = Style { normalisation: Normalisation::Batch, ..Style::from(Activation::Softplus) };
    check("mlp with batch norm", &Mlp::new(12, &[7, 6, 5], 3, softplus, &mut init()), [3, 2, 2]);
    check("linear", &Mlp::new(12, &[], 3, softplus, &mut init()), [3, 2, 2]);
    let features = RandomFeatures::new(12, 9, 3, smooth(Normalisation::None), &mut init());
    assert_eq!(buffers::list(&features).iter().map(|(_, values)| values.len()).sum::<usize>(), 12 * 9 + 9);
    check("random features", &features, [3, 2, 2]);
    check("ntk", &TwoLayer::new(12, 9, 3, smooth(Normalisation::None), &mut init()), [3, 2, 2]);
}

#[test]
fn hessian_products_of_convolutional_networks_are_differences_of_gradients() {
    let batch = smooth(Normalisation::Batch);
    check("simple-cnn-bn", &SimpleCnn::new([1, 10, 10], 3, batch, &mut init()), [1, 10, 10]);
    let stages: [&[usize]; 2] = [&[3], &[4, 4]];
    check("vgg", &Vgg::new([2, 5, 6], 3, &stages, batch, &mut init()), [2, 5, 6]);
    check("mobilenet", &MobileNetV2::new(2, 3, 16, batch, &mut init()), [2, 9, 8]);
}

#[test]
fn hessian_products_of_residual_networks_are_differences_of_gradients() {
    for form in [ResidualForm::Classic, ResidualForm::PreActivation] {
        for projection in [false, true] {
            for normalisation in [Normalisation::None, Normalisation::Batch, Normalisation::Group] {
                let config = ResNetConfig { channels: vec![2, 4, 5], blocks: 2, projection, form };
                let network = ResNet::new(2, 3, &config, smooth(normalisation), &mut init());
                check(&format!("{config:?} {normalisation:?}"), &network, [2, 7, 8]);
            }
        }
    }
}

#[test]
fn hessian_products_of_networks_of_tokens_are_differences_of_gradients() {
    let config = VisionTransformerConfig { patch: 2, width: 6, heads: 3, depth: 2 };
    let style = Style::from(Activation::Gelu);
    check("vit", &VisionTransformer::new([2, 5, 4], 3, &config, style, &mut init()), [2, 5, 4]);
    let config = RecurrentConfig { vocabulary: 3, embedding: 4, width: 5 };
    check("lstm", &Recurrent::new(3, &config, style, &mut init()), [1, 1, 6]);
}

fn run_spec(kind: ModelKind) -> RunSpec {
    let rate = LearningRateSpec::Fixed(LearningRate::new(0.01).unwrap());
    let mut spec = RunSpec::with_learning_rate(rate);
    spec.model.kind = kind;
    spec.model.vocabulary = 16;
    spec.data = DataSpec {
        name: "fashion14".into(),
        train_examples: Some(32),
        test_examples: Some(8),
        vocabulary: 16,
        ..DataSpec::default()
    };
    spec.train.duration = TrainingDuration::Steps(2);
    spec.train.batch_size = BatchSize::new(4).unwrap();
    spec.measure.enabled = false;
    spec.average.enabled = false;
    spec
}

fn train(spec: &RunSpec, dataset: &Dataset) -> (Outcome<Model>, Vec<Record>) {
    let mut sink = MemorySink::default();
    let outcome = Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    (outcome, sink.records)
}

#[test]
fn every_kind_trains_from_a_specification() {
    for kind in KINDS.into_iter().filter(|&kind| kind != ModelKind::Vgg11) {
        let spec = run_spec(kind);
        let dataset = Dataset::load(&spec.data).unwrap();
        let run = Run::prepare(&spec, &dataset).unwrap();
        let word = serde_json::to_value(kind).unwrap();
        let description = run.manifest(0).model.description;
        assert!(description.starts_with(word.as_str().unwrap()), "{description}");
        let (outcome, _) = train(&spec, &dataset);
        assert_eq!(outcome.reason, StopReason::Finished, "{kind:?}");
        let before = build(&spec.model, dataset.shape).unwrap();
        let (old, new) = (buffers::list(&before), buffers::list(&outcome.network));
        let has_running = new.iter().any(|(name, _)| name.ends_with("running_mean"));
        assert_eq!(has_running, spec.model.normalisation() == Normalisation::Batch, "{kind:?}");
        let all_moved = old.iter().zip(&new).all(|(old, new)| old.1 != new.1);
        assert!(!has_running || all_moved, "{kind:?}: statistics followed the training");
    }
}

fn stateful_spec() -> RunSpec {
    let mut spec = run_spec(ModelKind::Mlp);
    spec.model.hidden = Some(vec![16, 12]);
    spec.model.normalisation = Some(Normalisation::Batch);
    spec.model.dropout = 0.3;
    spec.train.duration = TrainingDuration::Steps(30);
    spec.data.train_examples = Some(256);
    spec.data.test_examples = Some(64);
    spec.measure.every = TrainingDuration::Steps(10);
    spec.measure.examples = 32;
    spec.measure.noise_batches = 8;
    spec
}

#[test]
fn measuring_a_network_with_statistics_and_dropout_leaves_no_trace() {
    let silent = stateful_spec();
    let mut measured = silent.clone();
    (measured.measure.enabled, measured.average.enabled) = (true, true);
    let dataset = Dataset::load(&silent.data).unwrap();
    let ((a, _), (b, records)) = (train(&silent, &dataset), train(&measured, &dataset));
    let state = |network: &Model| (ParamLayout::of(network).values(network), buffers::list(network));
    assert_eq!(state(&a.network), state(&b.network), "bit for bit");
    let text = |records: Vec<Record>| -> Vec<String> {
        records.into_iter().map(|record| serde_json::to_string(&record.without_timing()).unwrap()).collect()
    };
    assert_eq!(text(records), text(train(&measured, &dataset).1), "the same masks at the same steps");
    let without = RunSpec { model: ModelSpec { dropout: 0.0, ..silent.model.clone() }, ..silent };
    assert_ne!(state(&train(&without, &dataset).0.network), state(&a.network));
}

/// The list of the project's aims for measuring, instrument by instrument.
const READ_BY_FULL: [&str; 44] = [
    // Sharpness against the optimizer's own threshold, batch sharpness, critical sharpness.
    "curvature/hessian_top_eigenvalue",
    "curvature/effective_sharpness",
    "stability/sharpness_over_threshold",
    "stability/batch_sharpness",
    "stability/critical_sharpness",
    "stability/loss_raising_steps",
    // The gradient covariance, its conditioning and its angle to the Hessian, scales of normalisation.
    "covariance/top_eigenvalue",
    "covariance/trace",
    "covariance/trace_over_top",
    "covariance/gram_top_eigenvalue",
    "covariance/gram_conditioning",
    "covariance/gram_trace_over_top",
    "covariance/hessian_alignment",
    "covariance/gradient_over_top_five",
    "weights/normalisation_scale_norm",
    "weights/last_normalisation_scale_norm",
    // The break-even meter.
    "stability/curvature_spread",
    "stability/mean_square_growth",
    "stability/largest_stable_learning_rate",
    "stability/break_even_curvature",
    "stability/smallest_stable_batch",
    // Fixed batches, one step, half-rate gauges.
    "fixed_batch/loss",
    "fixed_batch/chord_convexity",
    "fixed_batch/first_order_convexity",
    "one_step/minimum",
    "one_step/floor",
    "one_step/quadratic_fit",
    "gauge/one_step",
    "gauge/many_steps",
    // Distances and alignment, the tests of the gradients.
    "distance/from_start",
    "distance/since_last_reading",
    "sketch/00",
    "gradient/batch_alignment",
    "gradient/norm_test",
    "gradient/inner_product_test",
    "gradient/orthogonality_test",
    "gradient/coupled_batch_size",
    "gradient/signal_to_noise",
    "gradient/takeuchi_criterion",
    "gradient/step_position",
    // The Hessian as a whole.
    "curvature/hessian_trace",
    "curvature/hessian_frobenius_norm",
    "curvature/hessian_negative_mass",
    "noise/gradient_noise_scale",
];

#[test]
fn the_preset_full_reads_everything_that_measuring_is_for_and_documents_it() {
    let mut spec = stateful_spec();
    (spec.measure.enabled, spec.measure.preset) = (true, MeasurePreset::Full);
    spec.average.enabled = true;
    let dataset = Dataset::load(&spec.data).unwrap();
    let (_, records) = train(&spec, &dataset);
    let read: Vec<&str> = records
        .iter()
        .filter_map(|record| match record {
            Record::Measurement(measurement) => Some(measurement.name.as_str()),
            Record::Event(_) => None,
        })
        .collect();
    let documented = include_str!("../../../docs/quantities.md");
    for name in READ_BY_FULL {
        assert!(read.contains(&name), "{name} was not read");
        assert!(name.starts_with("sketch/") || documented.contains(&format!("`{name}`")), "{name} is not documented");
    }
}

#[test]
fn a_line_between_networks_has_at_every_point_the_statistics_of_that_point() {
    let spec = stateful_spec();
    let dataset = Dataset::load(&spec.data).unwrap();
    let other =
        RunSpec { train: TrainSpec { duration: TrainingDuration::Steps(5), ..spec.train.clone() }, ..spec.clone() };
    let [start, end] = [&spec, &other].map(|spec| train(spec, &dataset).0.network);
    let layout = ParamLayout::of(&start);
    let backend = Backend::cpu(spec.model.precision);
    let whole = Objective::whole(&dataset.train, dataset.shape, &backend.plain(), backend.dtype());
    let line = Section::between(&start, &layout, &layout.values(&end));
    let positions = || [vec![0.0], vec![0.5], vec![1.0]];
    let [own] = line.evaluate(positions(), [&whole], |network| whole.with_own_statistics(network));
    let [kept] = line.evaluate(positions(), [&whole], |network| network);
    // Twin: each point as a network in its own right, on the statistics of its one batch of all examples.
    assert!(dataset.train.num_examples() <= Objective::MICRO_BATCH_SIZE, "all examples are one batch");
    for (point, network) in own.iter().zip([start.clone(), line.at(&[0.5]), end]) {
        let network = InMode::new(network.valid(), NormalisationMode::TrainBatch, DropoutMode::Off);
        let expected = whole.evaluate(&network).mean_loss();
        assert!((point.loss - expected).abs() < 1e-5 * expected, "{point:?} {expected}");
    }
    assert!(
        (kept[2].loss - own[2].loss).abs() > 1e-3,
        "statistics of one end are wrong at the other: {kept:?} {own:?}"
    );
    let again = line.evaluate(positions(), [&whole], |network| whole.with_own_statistics(network));
    assert_eq!(again, [own], "no mask is drawn");
}

#[test]
fn a_described_network_names_what_makes_it_what_it_is() {
    let dataset = fashion();
    let described = |change: fn(&mut ModelSpec)| {
        let mut spec = run_spec(ModelKind::Mlp);
        change(&mut spec.model);
        Run::prepare(&spec, &dataset).unwrap().manifest(0).model.description
    };
    assert_eq!(described(|_| {}), "mlp 196-128-64-10 relu");
    assert_eq!(described(|spec| spec.kind = ModelKind::Linear), "linear 196-10");
    assert_eq!(described(|spec| spec.kind = ModelKind::ResNet8), "resnet-8 1x14x14-10 relu batch");
    assert_eq!(
        described(|spec| (spec.kind, spec.linearised) = (ModelKind::Ntk, true)),
        "ntk 196-1000-10 relu linearised"
    );
    assert_eq!(described(|spec| spec.dropout = 0.5), "mlp 196-128-64-10 relu dropout 0.5");
}
