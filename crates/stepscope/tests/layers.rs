//! Every tangent-aware layer against independent twins: loops in f64 for values, central differences of values for
//! tangents, central differences of gradients for Hessian products, symmetry.
#![allow(clippy::unwrap_used)]

mod common;

use burn::Tensor;
use burn::module::Module;
use burn::tensor::{Int, TensorData};
use common::{dot, norm, random_vector, relative_error, weights};
use stepscope::backend::Backend;
use stepscope::data::{Batch, Target};
use stepscope::measure::{Curvature, CurvatureOperator, Objective, ProductError, Tangents};
use stepscope::models::layers::{
    Attention, BatchNorm, Conv2d, Dropout, Embedding, GroupNorm, LayerNorm, Linear, Lstm, activation, pooling, softmax,
};
use stepscope::models::loss::cross_entropy;
use stepscope::models::{
    BatchStatistics, DropoutMode, Dual, InMode, Network, NormalisationMode, ParamLayout, Pass, PassFault, Sharing,
    buffers,
};
use stepscope::spectral::LinearOperator;
use stepscope::spectral::random::RandomStream;
use stepscope::types::Mode;
use stepscope::types::spec::{Activation, Precision};

/// One of each layer; `forward` says which of them an input goes through, between a convolution and a dense layer that
/// give it an input with a tangent and a loss.
#[derive(Module, Debug)]
struct Case {
    conv: Conv2d,
    depthwise: Conv2d,
    batch: BatchNorm,
    batch_after: BatchNorm,
    layer: LayerNorm,
    group: GroupNorm,
    attention: Attention,
    lstm: Lstm,
    embedding: Embedding,
    dropout: Dropout,
    head: Linear,
    #[module(skip)]
    forward: Forward,
}

type Forward = fn(&Case, Dual<4>, &Pass) -> Dual<2>;

impl Network for Case {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let features = (self.forward)(self, images, pass);
        self.head.forward(features, pass)
    }
}

/// A point away from every layer's special values: γ, β and the running statistics are not what they start from.
fn case(forward: Forward) -> Case {
    let mut init = weights(Precision::F64);
    let case = Case {
        conv: Conv2d::new([2, 4], 3, &mut init).with_padding(1),
        depthwise: Conv2d::grouped([4, 8], 3, 4, &mut init).with_stride(2).without_bias(),
        batch: BatchNorm::new(4, &init),
        batch_after: BatchNorm::new(4, &init),
        layer: LayerNorm::new(4, &init),
        group: GroupNorm::new(2, 4, &init),
        attention: Attention::new(4, 2, &mut init),
        lstm: Lstm::new(4, 4, &mut init),
        embedding: Embedding::new(7, 4, 1.0, &mut init),
        dropout: Dropout::new(0.4, &mut init),
        head: Linear::new(4, 3, &mut init),
        forward,
    };
    let layout = ParamLayout::of(&case);
    let shift = random_vector(layout.num_params(), 21);
    let values: Vec<f64> = layout.values(&case).iter().zip(&shift).map(|(value, shift)| value + shift).collect();
    let case = layout.assign(case, &values);
    let seen = Pass::values().with_normalisation(NormalisationMode::TrainBatch);
    case.logits(Dual::constant(images(5)), &seen);
    seen.statistics().absorb_into(case)
}

/// Images `[3, 2, 4, 4]` on the tracked device.
fn images(stream: u64) -> Tensor<4> {
    tensor([3, 2, 4, 4], stream)
}

fn tensor<const D: usize>(shape: [usize; D], stream: u64) -> Tensor<D> {
    let mut values = vec![0.0; shape.iter().product()];
    RandomStream::new(23, stream).fill_normal(&mut values);
    let backend = Backend::cpu(Precision::F64);
    Tensor::from_data(TensorData::new(values, shape), (&backend.tracked(), backend.dtype()))
}

fn vec<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// `[batch, 16, 4]`: the pixels as tokens.
fn tokens(x: Dual<4>) -> Dual<3> {
    x.linear(|x| x.reshape([3, 4, 16]).swap_dims(1, 2))
}

fn pooled(x: Dual<4>) -> Dual<2> {
    pooling::global_avg_pool2d(x)
}

fn with_activation(activation: Activation, case: &Case, x: Dual<4>, pass: &Pass) -> Dual<2> {
    pooled(activation::apply(activation, case.conv.forward(x, pass)))
}

fn last_token(x: Dual<3>) -> Dual<2> {
    x.linear(|x| x.narrow(1, 15, 1).reshape([3, 4]))
}

const BATCH_NORM: Forward = |case, x, pass| {
    let x = activation::tanh(case.batch.forward(case.conv.forward(x, pass), pass));
    case.batch_after.forward(pooled(x), pass)
};
const DROPOUT: Forward =
    |case, x, pass| pooled(activation::tanh(case.dropout.forward(case.conv.forward(x, pass), pass)));

const CASES: [(&str, Forward); 21] = [
    ("relu", |case, x, pass| with_activation(Activation::Relu, case, x, pass)),
    ("tanh", |case, x, pass| with_activation(Activation::Tanh, case, x, pass)),
    ("gelu", |case, x, pass| with_activation(Activation::Gelu, case, x, pass)),
    ("gelu-tanh", |case, x, pass| with_activation(Activation::GeluTanh, case, x, pass)),
    ("silu", |case, x, pass| with_activation(Activation::Silu, case, x, pass)),
    ("sigmoid", |case, x, pass| with_activation(Activation::Sigmoid, case, x, pass)),
    ("softplus", |case, x, pass| with_activation(Activation::Softplus, case, x, pass)),
    ("batch norm", BATCH_NORM),
    ("layer norm", |case, x, pass| last_token(case.layer.forward(tokens(case.conv.forward(x, pass)), pass))),
    ("group norm", |case, x, pass| pooled(activation::tanh(case.group.forward(case.conv.forward(x, pass), pass)))),
    ("group norm of features", |case, x, pass| case.group.forward(pooled(case.conv.forward(x, pass)), pass)),
    ("max-pool", |case, x, pass| pooled(pooling::max_pool2d(activation::tanh(case.conv.forward(x, pass)), 2))),
    ("avg-pool", |case, x, pass| pooled(activation::tanh(pooling::avg_pool2d(case.conv.forward(x, pass), 2)))),
    ("residual", |case, x, pass| {
        let y = case.conv.forward(x, pass);
        pooled(y.clone() + activation::tanh(y))
    }),
    ("depthwise", |case, x, pass| {
        let y = case.depthwise.forward(activation::tanh(case.conv.forward(x, pass)), pass);
        activation::tanh(y.linear(|y| y.reshape([3, 8]))).linear(|y| y.narrow(1, 2, 4))
    }),
    ("dropout", DROPOUT),
    ("softmax", |case, x, pass| softmax::softmax(pooled(case.conv.forward(x, pass)))),
    ("log-softmax", |case, x, pass| softmax::log_softmax(pooled(case.conv.forward(x, pass)))),
    ("attention", |case, x, pass| last_token(case.attention.forward(tokens(case.conv.forward(x, pass)), pass))),
    ("lstm", |case, x, pass| case.lstm.forward(tokens(case.conv.forward(x, pass)), pass)),
    ("embedding", |case, x, pass| {
        let numbers = case.embedding.tokens_of(x.value.slice([0..3, 0..1, 0..1, 0..4]).mul_scalar(3.0));
        case.lstm.forward(case.embedding.forward(numbers, pass), pass)
    }),
];

/// Everything in a row.
const COMPOSITE: Forward = |case, x, pass| {
    let x = case.batch.forward(case.conv.forward(x, pass), pass);
    let x = case.group.forward(x.clone() + activation::apply(Activation::Silu, x), pass);
    let x = tokens(case.dropout.forward(x, pass));
    let x = case.layer.forward(x.clone() + case.attention.forward(x, pass), pass);
    case.batch_after.forward(case.lstm.forward(x, pass), pass)
};

fn frozen(case: &Case) -> BatchStatistics {
    BatchStatistics::over(1, |_, pass| drop(case.logits(Dual::constant(images(6)), pass)))
}

/// The modes in which a case is checked: those of its layers that have more than one.
fn modes(case: &Case) -> Vec<Pass> {
    let pass = Pass::values;
    let mask = DropoutMode::FixedMask { seed: 5 };
    vec![
        pass(),
        pass().with_normalisation(NormalisationMode::TrainBatch),
        pass().with_normalisation(NormalisationMode::FrozenFull(frozen(case))),
        pass().with_dropout(mask),
        Pass::training(5),
    ]
}

/// `pass`, along `v`.
fn along(case: &Case, pass: &Pass, v: &[f64]) -> Pass {
    let layout = ParamLayout::of(case);
    layout.pass_along(v).with_normalisation(pass.normalisation().clone()).with_dropout(pass.dropout())
}

fn displaced(case: &Case, v: &[f64], factor: f64) -> Case {
    let layout = ParamLayout::of(case);
    let values: Vec<f64> = layout.values(case).iter().zip(v).map(|(value, v)| value + factor * v).collect();
    layout.assign(case.clone(), &values)
}

fn loss(case: &Case, pass: &Pass) -> Dual<1> {
    let labels = Tensor::<1, Int>::from_data([0, 2, 1], &Backend::cpu(Precision::F64).tracked());
    cross_entropy(case.logits(Dual::constant(images(1)), pass), labels).linear(Tensor::mean)
}

fn gradient(case: &Case, pass: &Pass) -> Vec<f64> {
    ParamLayout::of(case).gradient(case, &mut loss(case, pass).value.backward())
}

fn hessian_product(case: &Case, pass: &Pass, v: &[f64]) -> Vec<f64> {
    let tangent = loss(case, &along(case, pass, v)).tangent.unwrap();
    ParamLayout::of(case).gradient(case, &mut tangent.backward())
}

/// Every case in every mode that makes a difference to it.
fn for_every_case(check: impl Fn(&str, &Case, &Pass)) {
    for (name, forward) in CASES.into_iter().chain([("composite", COMPOSITE)]) {
        let case = case(forward);
        let has_modes = ["batch norm", "dropout", "composite"].contains(&name);
        let modes = if has_modes { modes(&case) } else { vec![Pass::values()] };
        for pass in modes {
            check(&format!("{name}, {:?}", pass.mode()), &case, &pass);
        }
    }
}

#[test]
fn tangents_are_differences_of_values_and_do_not_change_them() {
    for_every_case(|name, case, pass| {
        let v = random_vector(ParamLayout::of(case).num_params(), 3);
        let at = |case: &Case, pass: &Pass| case.logits(Dual::constant(images(1)), pass);
        let plain = vec(at(case, pass).value);
        let dual = at(case, &along(case, pass, &v));
        assert!(relative_error(&vec(dual.value), &plain) <= 1e-14, "{name}: values differ");
        let tangent = vec(dual.tangent.unwrap());
        let error = [1e-5, 1e-6]
            .map(|epsilon| {
                let [plus, minus] = [epsilon, -epsilon].map(|e| vec(at(&displaced(case, &v, e), pass).value));
                let difference: Vec<f64> = plus.iter().zip(minus).map(|(p, m)| (p - m) / (2.0 * epsilon)).collect();
                relative_error(&difference, &tangent)
            })
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        assert!(error <= 1e-8, "{name}: relative error {error:.1e}");
    });
}

#[test]
fn hessian_products_are_differences_of_gradients() {
    for_every_case(|name, case, pass| {
        let v = random_vector(ParamLayout::of(case).num_params(), 4);
        let exact = hessian_product(case, pass, &v);
        let error = [3e-5, 1e-5, 2e-6]
            .map(|epsilon| {
                let [plus, minus] = [epsilon, -epsilon].map(|e| gradient(&displaced(case, &v, e), pass));
                let difference: Vec<f64> = plus.iter().zip(minus).map(|(p, m)| (p - m) / (2.0 * epsilon)).collect();
                relative_error(&difference, &exact)
            })
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        assert!(error <= 1e-7, "{name}: relative error {error:.1e}");
    });
}

#[test]
fn hessians_are_symmetric() {
    for_every_case(|name, case, pass| {
        let count = ParamLayout::of(case).num_params();
        let (u, v) = (random_vector(count, 1), random_vector(count, 2));
        let (hu, hv) = (hessian_product(case, pass, &u), hessian_product(case, pass, &v));
        let defect = (dot(&u, &hv) - dot(&hu, &v)).abs() / (norm(&hu) * norm(&hv)).sqrt();
        assert!(defect <= 1e-12, "{name}: {defect:.1e}");
    });
}

#[test]
fn the_dense_hessian_of_all_layers_in_a_row_is_symmetric() {
    let case = case(COMPOSITE);
    let count = ParamLayout::of(&case).num_params();
    let pass = Pass::training(5);
    let columns: Vec<Vec<f64>> = (0..count)
        .map(|index| {
            let mut unit = vec![0.0; count];
            unit[index] = 1.0;
            hessian_product(&case, &pass, &unit)
        })
        .collect();
    let largest = columns.iter().flatten().fold(0.0_f64, |largest, entry| largest.max(entry.abs()));
    for (i, column) in columns.iter().enumerate() {
        for (j, entry) in column.iter().enumerate() {
            assert!((entry - columns[j][i]).abs() <= 1e-12 * largest, "entries {i}, {j}");
        }
    }
}

#[test]
fn activations_are_their_formulas() {
    let x = tensor([40], 8);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let formulas: [(Activation, &dyn Fn(f64) -> f64); 5] = [
        (Activation::Relu, &|x| x.max(0.0)),
        (Activation::Silu, &|x| x * sigmoid(x)),
        (Activation::Sigmoid, &sigmoid),
        (Activation::Softplus, &|x| x.exp().ln_1p()),
        (Activation::GeluTanh, &|x| {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }),
    ];
    for (activation, formula) in formulas {
        let got = vec(activation::apply(activation, Dual::constant(x.clone())).value);
        let expected: Vec<f64> = vec(x.clone()).into_iter().map(formula).collect();
        assert!(relative_error(&got, &expected) <= 1e-14, "{activation:?}");
    }
    // The approximation is that of the exact one.
    let [exact, approximate] = [Activation::Gelu, Activation::GeluTanh]
        .map(|activation| vec(activation::apply(activation, Dual::constant(x.clone())).value));
    assert!(exact.iter().zip(&approximate).all(|(a, b)| (a - b).abs() < 1e-3));
}

#[test]
fn normalising_layers_standardise_what_they_say() {
    let init = weights(Precision::F64);
    let standardised = |numbers: &[f64]| {
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
        numbers.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt()).collect::<Vec<f64>>()
    };
    let x = tensor([3, 4, 2, 5], 9).mul_scalar(3.0).add_scalar(1.0);
    let input = vec(x.clone());
    let index = |n: usize, c: usize, p: usize| (n * 4 + c) * 10 + p;
    let training = Pass::values().with_normalisation(NormalisationMode::TrainBatch);
    let batch = vec(BatchNorm::new(4, &init).forward(Dual::constant(x.clone()), &training).value);
    let group = vec(GroupNorm::new(2, 4, &init).forward(Dual::constant(x.clone()), &training).value);
    let layer = vec(LayerNorm::new(5, &init).forward(Dual::constant(x), &training).value);
    // The sets of places that each layer standardises together.
    let of_channel = |c| (0..3).flat_map(move |n| (0..10).map(move |p| index(n, c, p))).collect::<Vec<_>>();
    let of_group =
        |n, g: usize| (0..2).flat_map(move |c| (0..10).map(move |p| index(n, 2 * g + c, p))).collect::<Vec<_>>();
    let sets = [
        (batch, (0..4).map(of_channel).collect::<Vec<_>>()),
        (group, (0..3).flat_map(|n| (0..2).map(move |g| of_group(n, g))).collect()),
        (layer, (0..24).map(|row| (5 * row..5 * row + 5).collect()).collect()),
    ];
    for (output, sets) in sets {
        for set in sets {
            let expected = standardised(&set.iter().map(|&i| input[i]).collect::<Vec<_>>());
            let got: Vec<f64> = set.iter().map(|&i| output[i]).collect();
            assert!(relative_error(&got, &expected) <= 1e-13);
        }
    }
    assert_eq!([12, 9, 7, 4, 1].map(|channels| GroupNorm::new(8, channels, &init).groups()), [6, 3, 7, 4, 1]);
}

#[test]
fn attention_and_lstm_are_their_definitions() {
    let case = case(COMPOSITE);
    let layout = ParamLayout::of(&case);
    let values = layout.values(&case);
    let param = |name: &str| values[layout.ranges().find(|(path, _)| *path == name).unwrap().1].to_vec();
    let x = tensor([2, 5, 4], 10);
    let input = vec(x.clone());
    let affine = |x: &[f64], weight: &[f64], bias: &[f64]| -> Vec<f64> {
        let count = bias.len();
        (0..count).map(|o| bias[o] + (0..x.len()).map(|i| x[i] * weight[i * count + o]).sum::<f64>()).collect()
    };
    let layer = |name: &str, x: &[f64]| affine(x, &param(&format!("{name}.weight")), &param(&format!("{name}.bias")));
    let token = |n: usize, t: usize| &input[(n * 5 + t) * 4..][..4];

    let mut expected = Vec::new();
    for n in 0..2 {
        let rows = |name: &str| (0..5).map(|t| layer(name, token(n, t))).collect::<Vec<_>>();
        let (q, k, v) = (rows("attention.query"), rows("attention.key"), rows("attention.value"));
        for query in &q {
            let mut mixed = vec![0.0; 4];
            for head in 0..2 {
                let part = 2 * head..2 * head + 2;
                let scores: Vec<f64> =
                    (0..5).map(|s| (dot(&query[part.clone()], &k[s][part.clone()]) / 2.0_f64.sqrt()).exp()).collect();
                for i in part {
                    mixed[i] = (0..5).map(|s| scores[s] * v[s][i]).sum::<f64>() / scores.iter().sum::<f64>();
                }
            }
            expected.extend(layer("attention.output", &mixed));
        }
    }
    let got = vec(case.attention.forward(Dual::constant(x.clone()), &Pass::values()).value);
    assert!(relative_error(&got, &expected) <= 1e-13);

    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut expected = Vec::new();
    for n in 0..2 {
        let (mut h, mut c) = (vec![0.0; 4], vec![0.0; 4]);
        for t in 0..5 {
            let from_input = layer("lstm.input", token(n, t));
            let z = affine(&h, &param("lstm.recurrent"), &from_input);
            for i in 0..4 {
                c[i] = sigmoid(z[4 + i]) * c[i] + sigmoid(z[i]) * z[8 + i].tanh();
                h[i] = sigmoid(z[12 + i]) * c[i].tanh();
            }
        }
        expected.extend(h);
    }
    let got = vec(case.lstm.forward(Dual::constant(x), &Pass::values()).value);
    assert!(relative_error(&got, &expected) <= 1e-13);
    let fresh = Lstm::new(3, 2, &mut weights(Precision::F64));
    let layout = ParamLayout::of(&fresh);
    let bias = layout.ranges().find(|(path, _)| *path == "input.bias").unwrap().1;
    assert_eq!(layout.values(&fresh)[bias], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], "the forget gate starts open");
}

#[test]
fn token_numbers_outside_the_vocabulary_are_read_as_its_ends() {
    let embedding = Embedding::new(7, 2, 1.0, &mut weights(Precision::F64));
    let device = Backend::cpu(Precision::F64).tracked();
    let images = Tensor::<4>::from_data([[[[0.0, 6.0, 7.0, 1e9, -3.0, 2.0]]]], &device);
    let tokens = embedding.tokens_of(images);
    assert_eq!(tokens.into_data().iter::<i64>().collect::<Vec<_>>(), [0, 6, 6, 6, 0, 2]);
}

#[test]
fn a_forward_pass_changes_nothing_and_statistics_are_absorbed_when_asked() {
    let before = case(BATCH_NORM);
    let pass = Pass::training(1);
    let x = images(1);
    before.logits(Dual::constant(x.clone()), &pass);
    let listed = buffers::list(&before);
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["running_mean", "running_variance"].map(|name| ["batch", "batch_after"].map(|l| format!("{l}.{name}")));
    assert!(expected.as_flattened().iter().all(|name| names.contains(&name.as_str())) && names.len() == 4, "{names:?}");

    let after = pass.statistics().absorb_into(before.clone());
    assert_eq!(buffers::list(&before), listed, "the network that was measured is as it was");
    // The first layer's by hand: r ← 0.9 r + 0.1 s, variance with divisor n − 1.
    let channels = vec(before.conv.forward(Dual::constant(x), &Pass::values()).value);
    let (old, new) = (&listed[1].1, &buffers::list(&after)[1].1);
    assert_eq!(names[1], "batch.running_variance");
    for channel in 0..4 {
        let numbers: Vec<f64> = (0..3).flat_map(|n| channels[(n * 4 + channel) * 16..][..16].to_vec()).collect();
        let mean = numbers.iter().sum::<f64>() / 48.0;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 47.0;
        assert!((new[channel] - 0.9 * old[channel] - 0.1 * variance).abs() < 1e-13);
    }
    // In evaluation nothing is collected.
    let pass = Pass::values();
    before.logits(Dual::constant(images(1)), &pass);
    assert!(pass.statistics().is_empty());
}

#[test]
fn frozen_statistics_over_micro_batches_are_those_of_one_batch() {
    let case = case(BATCH_NORM);
    let all = tensor([12, 2, 4, 4], 14);
    let part = |from: usize, count: usize| Dual::constant(all.clone().narrow(0, from, count));
    let whole = BatchStatistics::over(1, |_, pass| drop(case.logits(part(0, 12), pass)));
    let micro = BatchStatistics::over(3, |batch, pass| {
        let [from, count] = [[0, 5], [5, 5], [10, 2]][batch];
        drop(case.logits(part(from, count), pass));
    });
    assert_eq!((whole.len(), micro.len()), (2, 2));
    assert!(BatchStatistics::over(3, |_, _| ()).is_empty() && BatchStatistics::by_batches(3, |_, _| ()).is_empty());
    let logits = |case: &Case, mode| vec(case.logits(part(3, 4), &Pass::values().with_normalisation(mode)).value);
    let frozen = logits(&case, NormalisationMode::FrozenFull(whole.clone()));
    assert!(relative_error(&logits(&case, NormalisationMode::FrozenFull(micro)), &frozen) <= 1e-13);
    let assigned = whole.assign_to(case.clone());
    assert!(relative_error(&logits(&assigned, NormalisationMode::Eval), &frozen) <= 1e-14);
    assert!(relative_error(&logits(&case, NormalisationMode::TrainBatch), &frozen) > 1e-3, "modes differ");
    assert!(relative_error(&logits(&case, NormalisationMode::Eval), &frozen) > 1e-3, "modes differ");
}

#[test]
fn buffers_are_no_parameters_on_any_device_and_can_be_set_by_name() {
    let case = case(BATCH_NORM);
    let layout = ParamLayout::of(&case);
    assert!(layout.ranges().all(|(path, _)| !path.contains("running")));
    assert_eq!(ParamLayout::of(&case.valid()).num_params(), layout.num_params());
    let mut wanted = buffers::list(&case);
    wanted.iter_mut().flat_map(|(_, values)| values).for_each(|value| *value += 1.0);
    let set = buffers::set(case.clone(), &wanted).unwrap();
    assert_eq!(buffers::list(&set), wanted);
    assert_eq!(buffers::list(&set.valid()), wanted);
    assert_eq!(layout.values(&set), layout.values(&case), "parameters are untouched");
    let error = buffers::set(case.clone(), &[("batch.mean".into(), vec![0.0])]).unwrap_err().to_string();
    assert!(error.contains("batch.mean") && error.contains("batch.running_mean"), "{error}");
    let error = buffers::set(case, &[("batch.running_mean".into(), vec![0.0])]).unwrap_err().to_string();
    assert!(error.contains("1 numbers, expected 4"), "{error}");
}

#[test]
fn dropout_masks_are_functions_of_seed_layer_and_place() {
    let mut init = weights(Precision::F64);
    let (first, second) = (Dropout::new(0.25, &mut init), Dropout::new(0.25, &mut init));
    let ones = Tensor::<2>::ones([200, 50], &Backend::cpu(Precision::F64).tracked());
    let masked = |layer: &Dropout, rows: std::ops::Range<usize>, pass: &Pass| {
        let pass = pass.clone().with_first_example(rows.start as u64);
        vec(layer.forward(Dual::constant(ones.clone().slice([rows])), &pass).value)
    };
    let mask = masked(&first, 0..200, &Pass::training(7));
    assert_eq!(mask, masked(&first, 0..200, &Pass::training(7)), "the same seed, again");
    assert_ne!(mask, masked(&first, 0..200, &Pass::training(8)));
    assert_ne!(mask, masked(&second, 0..200, &Pass::training(7)));
    let parts = [masked(&first, 0..70, &Pass::training(7)), masked(&first, 70..200, &Pass::training(7))].concat();
    assert_eq!(mask, parts, "micro-batches drop what the whole drops");
    assert!(mask.iter().all(|&m| m == 0.0 || (m - 4.0 / 3.0).abs() < 1e-6));
    let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f64 / 1e4;
    assert!((dropped - 0.25).abs() < 4.0 * (0.25_f64 * 0.75 / 1e4).sqrt(), "{dropped}");
    assert!(masked(&first, 0..200, &Pass::values()).iter().all(|&m| m == 1.0));
}

#[test]
fn what_cannot_take_part_in_a_pass_is_named() {
    let opaque: Forward = |case, x, pass| {
        let x = pooled(case.conv.forward(x, pass));
        pass.without_rule("MyFilter", x, |x| x.sin())
    };
    let case = case(opaque);
    let v = random_vector(ParamLayout::of(&case).num_params(), 1);
    let pass = along(&case, &Pass::values(), &v);
    case.logits(Dual::constant(images(1)), &pass);
    assert_eq!(pass.fault(), Some(PassFault::NoTangentRule { layer: "MyFilter".into() }));
    assert!(pass.fault().unwrap().to_string().contains("MyFilter"));
    let pass = Pass::values();
    case.logits(Dual::constant(images(1)), &pass);
    assert_eq!(pass.fault(), None, "values need no rule");

    let labels = Tensor::from_data([0, 2, 1], &images(1).device());
    let batch = Batch { images: images(1), labels, first_example: 0, target: Target::Class };
    let objective = Objective::of_batch(batch.clone());
    let layout = ParamLayout::of(&case);
    let mut out = vec![0.0; layout.num_params()];
    let mut hessian = CurvatureOperator::new(&case, &objective, &layout, Curvature::Hessian);
    let error = hessian.apply(&v, &mut out).unwrap_err();
    assert_eq!(error, ProductError::Layer(PassFault::NoTangentRule { layer: "MyFilter".into() }));
    let mut gauss_newton = CurvatureOperator::new(&case, &objective, &layout, Curvature::GaussNewton);
    gauss_newton.apply(&v, &mut out).unwrap();
    assert!(matches!(gauss_newton.tangents(), Some(Tangents::Differences(_))), "which needs no rule");

    let case = self::case(BATCH_NORM);
    let none = NormalisationMode::FrozenFull(BatchStatistics::default());
    let pass = Pass::values().with_normalisation(none.clone());
    let logits = case.logits(Dual::constant(images(1)), &pass).value;
    assert_eq!(pass.fault(), Some(PassFault::NoStatistics { channels: 4 }));
    assert!(vec(logits).iter().all(|z| z.is_nan()), "nobody takes this for a result");
    let (layout, network) = (ParamLayout::of(&case), InMode::new(case, none, DropoutMode::Off));
    let mut hessian = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
    let error = hessian.apply(&random_vector(layout.num_params(), 1), &mut vec![0.0; layout.num_params()]).unwrap_err();
    assert_eq!(error, ProductError::Layer(PassFault::NoStatistics { channels: 4 }));
}

#[test]
fn an_operator_measures_in_the_mode_that_its_network_is_put_in() {
    let case = case(COMPOSITE);
    let labels = Tensor::from_data([0, 2, 1], &images(1).device());
    let batch = Batch { images: images(1), labels, first_example: 0, target: Target::Class };
    let objective = Objective::of_batch(batch);
    let layout = ParamLayout::of(&case);
    let v = random_vector(layout.num_params(), 6);
    for pass in modes(&case) {
        let network = InMode::new(case.clone(), pass.normalisation().clone(), pass.dropout());
        let mut operator = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
        let mut got = vec![0.0; layout.num_params()];
        operator.apply(&v, &mut got).unwrap();
        assert!(relative_error(&got, &hessian_product(&case, &pass, &v)) <= 1e-13, "{:?}", pass.mode());
        let preflight = operator.preflight(&mut RandomStream::new(1, 1)).unwrap();
        assert!(preflight.tangent_defect.unwrap() < 1e-12 && preflight.symmetry_defect < 1e-12);
    }
}

#[test]
fn products_that_share_their_linearisation_are_the_same_bit_for_bit() {
    let labels = Tensor::from_data([0, 2, 1], &images(1).device());
    let objective = Objective::of_batch(Batch { images: images(1), labels, first_example: 0, target: Target::Class });
    // Layers are too small here for anything to be worth keeping.
    let everything = Sharing { max_bytes: u64::MAX, min_multiplications: 0 };
    for_every_case(|name, case, pass| {
        let layout = ParamLayout::of(case);
        let network = InMode::new(case.clone(), pass.normalisation().clone(), pass.dropout());
        for curvature in [Curvature::Hessian, Curvature::GaussNewton] {
            let operator = || CurvatureOperator::new(&network, &objective, &layout, curvature);
            let (mut shared, mut got) = (operator().sharing(everything), vec![0.0; layout.num_params()]);
            for stream in 0..3 {
                let (v, mut expected) = (random_vector(layout.num_params(), stream), got.clone());
                shared.apply(&v, &mut got).unwrap();
                operator().apply(&v, &mut expected).unwrap();
                assert_eq!(got, expected, "{name}, {curvature:?}, product {stream}");
            }
            assert!(shared.bytes_shared() > 0, "{name}");
        }
    });
}

#[test]
fn the_mode_says_where_statistics_come_from_and_whether_features_are_dropped() {
    let case = case(BATCH_NORM);
    let modes: Vec<Mode> = modes(&case).iter().map(Pass::mode).collect();
    assert_eq!(modes, [Mode::Eval, Mode::TrainBatch, Mode::FrozenFull, Mode::EvalWithDropout, Mode::Train]);
}
