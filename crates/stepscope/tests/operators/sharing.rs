//! Products at one point that share their linearisation, beside products that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use stepscope::measure::{BatchLoss, Curvature, CurvatureOperator, Objective, ProductError};
use stepscope::models::layers::{Linear, activation};
use stepscope::models::{DropoutMode, Dual, InMode, Network, NormalisationMode, ParamLayout, Pass, Sharing};
use stepscope::spectral::random::RandomStream;
use stepscope::spectral::{EigenTracker, EigensolverConfig, LinearOperator};
use stepscope::types::spec::{Activation, ModelKind, Precision};

use crate::common::{ACTIVATIONS, digits, fashion, model, model_spec, norm, objective, random_vector, weights};
use stepscope::backend::Backend;
use stepscope::data::{Batch, Dataset};
use stepscope::models::Model;

const EVERYTHING: Sharing = Sharing { max_bytes: u64::MAX, min_multiplications: 0 };

/// 30 examples in micro-batches of 16 and 14.
fn in_two(dataset: &Dataset, precision: Precision) -> Objective {
    let (backend, indices) = (Backend::cpu(precision), (0..30).collect::<Vec<u32>>());
    let (device, dtype) = (backend.tracked(), backend.dtype());
    Objective::with_micro_batch_size(&dataset.train, dataset.shape, &indices, &device, dtype, 16)
}

/// Three products with and without, which must agree bit for bit; the bytes that were shared.
fn bytes_of_equal_products<N: BatchLoss<Batch>>(
    network: &N,
    objective: &Objective,
    curvature: Curvature,
    sharing: Sharing,
) -> u64 {
    let layout = ParamLayout::of(network);
    let operator = || CurvatureOperator::new(network, objective, &layout, curvature);
    let mut shared = operator().sharing(sharing);
    let mut after = Vec::new();
    for stream in 0..3 {
        let v = random_vector(layout.num_params(), stream);
        let (mut got, mut expected) = (vec![0.0; v.len()], vec![0.0; v.len()]);
        shared.apply(&v, &mut got).unwrap();
        operator().apply(&v, &mut expected).unwrap();
        assert!(norm(&expected) > 0.0);
        assert_eq!(got, expected, "{curvature:?}, product {stream}");
        after.push(shared.bytes_shared());
    }
    assert!(after.iter().all(|bytes| *bytes == after[0]), "the first product keeps all that is kept: {after:?}");
    after[0]
}

#[test]
fn shared_products_of_networks_are_those_of_operators_that_share_nothing() {
    for precision in [Precision::F32, Precision::F64] {
        let (grey, of_numbers) = (fashion(), digits());
        for activation in ACTIVATIONS {
            for (kind, dataset) in [(ModelKind::Mlp, &of_numbers), (ModelKind::SimpleCnn, &grey)] {
                let (network, objective) = (model(kind, activation, precision, dataset), in_two(dataset, precision));
                bytes_of_equal_products(&network, &objective, Curvature::Hessian, EVERYTHING);
            }
        }
    }
}

#[test]
fn shared_products_of_networks_with_statistics_are_the_same_in_every_mode() {
    let dataset = fashion();
    let objective = in_two(&dataset, Precision::F32);
    let spec = model_spec(ModelKind::ResNet20, Activation::Relu, Precision::F32);
    let (random, backend) = (RandomStream::new(3, 0), Backend::cpu(Precision::F32));
    let network = Model::new(&spec, dataset.shape, dataset.num_classes, random, &backend).unwrap();
    let frozen = NormalisationMode::FrozenFull(objective.statistics(&network));
    for normalisation in [NormalisationMode::Eval, NormalisationMode::TrainBatch, frozen] {
        let network = InMode::new(network.clone(), normalisation, DropoutMode::FixedMask { seed: 3 });
        let bytes = bytes_of_equal_products(&network, &objective, Curvature::Hessian, Sharing::default());
        assert!(bytes > 0, "its layers are large enough by the default");
    }
}

#[test]
fn every_matrix_shares_what_does_not_depend_on_its_vector() {
    let dataset = digits();
    let objective = in_two(&dataset, Precision::F64);
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
    // Outputs of 12, 9 and 10 numbers; of the Hessian also the gradients of 12 and 9 inputs.
    let of_outputs = 30 * (12 + 9 + 10) * 8;
    for (curvature, bytes) in [
        (Curvature::Hessian, of_outputs + 30 * (12 + 9) * 8),
        (Curvature::GaussNewton, of_outputs),
        (Curvature::EmpiricalFisher, of_outputs),
        (Curvature::GradientCovariance, of_outputs),
        (Curvature::MonteCarloFisher { samples: 2, seed: 1 }, of_outputs),
    ] {
        assert_eq!(bytes_of_equal_products(&network, &objective, curvature, EVERYTHING), bytes, "{curvature:?}");
    }
}

#[test]
fn no_more_is_kept_than_may_be_and_the_rest_is_computed_every_time() {
    let dataset = digits();
    let objective = in_two(&dataset, Precision::F64);
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
    let bytes = |sharing| bytes_of_equal_products(&network, &objective, Curvature::Hessian, sharing);
    let all = bytes(EVERYTHING);
    for max_bytes in [0, 1000, all / 2, all - 1] {
        let kept = bytes(Sharing { max_bytes, ..EVERYTHING });
        assert!(kept <= max_bytes && kept + 16 * 12 * 8 > max_bytes.min(all), "{kept} of {max_bytes}");
    }
    // 64 inputs a number of the first layer's output, at most 12 elsewhere.
    assert_eq!(bytes(Sharing::default()), 30 * 12 * 8);
    let layout = ParamLayout::of(&network);
    let mut alone = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
    let (v, mut image) = (random_vector(layout.num_params(), 1), vec![0.0; layout.num_params()]);
    alone.apply(&v, &mut image).unwrap();
    assert_eq!((alone.bytes_shared(), alone.share_kept()), (0, 0.0), "a lone product keeps nothing unless asked to");
    for (max_bytes, share) in [(all, 1.0), (all / 2, 0.5)] {
        let operator = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
        let mut operator = operator.sharing(Sharing { max_bytes, ..EVERYTHING });
        operator.apply(&v, &mut image).unwrap();
        assert!((operator.share_kept() - share).abs() < 0.1, "{} of {max_bytes}", operator.share_kept());
    }
}

#[test]
fn an_eigenvalue_does_not_depend_on_what_its_products_share() {
    let dataset = fashion();
    let network = model(ModelKind::SimpleCnn, Activation::Relu, Precision::F32, &dataset);
    let (objective, layout) = (in_two(&dataset, Precision::F32), ParamLayout::of(&network));
    let track = |sharing| {
        let config = EigensolverConfig { num_largest: 2, num_smallest: 0, max_products: 8, ..Default::default() };
        let operator = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
        let (mut operator, mut random) = (operator.sharing(sharing), RandomStream::new(1, 1));
        EigenTracker::new(config, 0).measure(&mut operator, &mut random).unwrap()
    };
    assert_eq!(track(Sharing::default()), track(Sharing { max_bytes: 0, ..Sharing::default() }));
}

/// Two layers of one shape, whose order changes from call to call where it is asked to.
#[derive(Module, Debug)]
struct Swapping {
    first: Linear,
    second: Linear,
    #[module(skip)]
    calls: Option<Arc<AtomicUsize>>,
}

impl Network for Swapping {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let [rows, ..] = images.value.dims();
        let x = images.linear(|x| x.reshape([rows as i32, -1]).narrow(1, 0, 10));
        let is_odd = self.calls.as_ref().is_some_and(|calls| calls.fetch_add(1, Ordering::Relaxed) % 2 == 1);
        let [a, b] = if is_odd { [&self.second, &self.first] } else { [&self.first, &self.second] };
        b.forward(activation::tanh(a.forward(x, pass)), pass)
    }
}

fn swapping(calls: Option<Arc<AtomicUsize>>) -> Swapping {
    let mut init = weights(Precision::F64);
    Swapping { first: Linear::new(10, 10, &mut init), second: Linear::new(10, 10, &mut init), calls }
}

#[test]
fn a_pass_that_goes_another_way_is_an_error_that_names_the_layer() {
    let dataset = digits();
    let objective = objective(&dataset, 8, Precision::F64);
    bytes_of_equal_products(&swapping(None), &objective, Curvature::Hessian, EVERYTHING);
    for curvature in [Curvature::Hessian, Curvature::GaussNewton] {
        let network = swapping(Some(Arc::default()));
        let layout = ParamLayout::of(&network);
        let mut operator = CurvatureOperator::new(&network, &objective, &layout, curvature).sharing(EVERYTHING);
        let (v, mut image) = (random_vector(layout.num_params(), 1), vec![0.0; layout.num_params()]);
        operator.apply(&v, &mut image).unwrap();
        let error = operator.apply(&v, &mut image).unwrap_err();
        assert_eq!(error, ProductError::OtherOrder { layer: "second.weight".into() });
        assert!(error.to_string().contains("hidden state"), "{error}");
    }
}

#[test]
fn what_is_shared_does_not_hide_from_a_preflight_that_the_network_changes() {
    let dataset = digits();
    let objective = objective(&dataset, 8, Precision::F64);
    let network = swapping(Some(Arc::default()));
    let layout = ParamLayout::of(&network);
    let mut operator = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian).sharing(EVERYTHING);
    let error = operator.preflight(&mut RandomStream::new(1, 0)).unwrap_err();
    assert!(matches!(error, ProductError::HiddenState { .. }), "{error}");
    let network = swapping(None);
    let layout = ParamLayout::of(&network);
    let mut operator = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian).sharing(EVERYTHING);
    operator.preflight(&mut RandomStream::new(1, 0)).unwrap();
    assert_eq!(operator.bytes_shared(), 0);
}

#[test]
fn what_is_shared_is_refused_before_it_exhausts_memory() {
    let dataset = digits();
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F32, &dataset);
    let (objective, layout) = (in_two(&dataset, Precision::F32), ParamLayout::of(&network));
    let operator = || CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
    let Some(alone) = operator().check_memory(None).unwrap() else {
        println!("skipped: the system does not tell how much memory a process has");
        return;
    };
    let need = operator().sharing(EVERYTHING).check_memory(Some(alone.limit)).unwrap().unwrap();
    // The first micro-batch's is in the measured peak; the rest of the 30 examples comes on top of it.
    let of_second = 14 * (2 * (12 + 9) + 10) * 4;
    assert!(need.peak >= alone.peak + of_second - 8, "{need:?} {alone:?}");
}
